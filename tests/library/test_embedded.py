"""The embedded structures are what their table says: checked against headers, sequences and chemistry."""

import gzip
import hashlib
import re
import shutil
from collections import Counter

import build_embedded
import numpy as np
import pytest
from Bio.Data.PDBData import protein_letters_1to3, protein_letters_3to1_extended
from Bio.SVDSuperimposer import SVDSuperimposer
from scipy.spatial import cKDTree

from eqgat.datasets import embedded, embedded_names, embedded_path, embedded_structure, embedded_table
from eqgat_course.running_example import RUNNING_EXAMPLE

TABLE = embedded_table().set_index("name")
# Heavy atoms of the amino acids as residues: C, N, O, S.
COMPOSITION = {
    "A": (3, 1, 1, 0),
    "R": (6, 4, 1, 0),
    "N": (4, 2, 2, 0),
    "D": (4, 1, 3, 0),
    "C": (3, 1, 1, 1),
    "Q": (5, 2, 2, 0),
    "E": (5, 1, 3, 0),
    "G": (2, 1, 1, 0),
    "H": (6, 3, 1, 0),
    "I": (6, 1, 1, 0),
    "L": (6, 1, 1, 0),
    "K": (6, 2, 1, 0),
    "M": (5, 1, 1, 1),
    "F": (9, 1, 1, 0),
    "P": (5, 1, 1, 0),
    "S": (3, 1, 2, 0),
    "T": (4, 1, 2, 0),
    "W": (11, 2, 1, 0),
    "Y": (9, 1, 2, 0),
    "V": (5, 1, 1, 0),
}


@pytest.fixture(scope="module")
def structures():
    return {name: embedded_structure(name) for name in embedded_names()}


def text(name):
    return gzip.decompress(embedded_path(name).read_bytes()).decode()


def test_what_there_is():
    assert Counter(TABLE["kind"]) == {
        "protein": 2,
        "complex": 3,
        "protein-protein": 6,
        "rna": 1,
        "conformation": 2,
        "protein-dna": 1,
        "chain": 50,
    }
    assert TABLE[TABLE["kind"] == "chain"]["residues"].sum() == 6860
    assert embedded_names("conformation") == ["adk_open", "adk_closed"]
    assert set(TABLE.index) == set(embedded_names())


def test_folder_and_table_agree_and_are_small():
    files = {path.name for path in embedded.DATA.iterdir()}
    assert files == {*TABLE["file"], "table.csv"}
    assert sum(path.stat().st_size for path in embedded.DATA.iterdir()) < 2.5e6


def test_every_file_has_a_source_a_checksum_and_a_licence():
    assert (TABLE["source"] + "-" + TABLE["source_version"]).isin({"biopython-1.88", "mdanalysistests-2.11.0"}).all()
    for column in ("sha256", "source_sha256"):
        assert TABLE[column].str.fullmatch("[0-9a-f]{64}").all()
        assert TABLE[column].is_unique
    assert TABLE["licence"].str.contains("CC0 1.0").all()
    assert TABLE.loc[["adk_open", "adk_closed", "1k5i_md"], "preparation"].str.startswith("not the deposited").all()


def test_counts_are_those_of_the_text(structures):
    for name, row in TABLE.iterrows():
        lines = [line for line in text(name).splitlines() if line.startswith(("ATOM", "HETATM"))]
        assert len(lines) == row["atoms"], name
        atoms = structures[name].atoms
        assert len(atoms) == row["heavy_atoms"], name
        assert " ".join(f"{e}{n}" for e, n in sorted(Counter(atoms["element"]).items())) == row["elements"], name
        assert " ".join(dict.fromkeys(atoms["chain"])) == row["chains"], name


@pytest.mark.parametrize("name", ["1a8o", "1hvr", "1a28", "1bd2", "19hc", "2xhe"])
def test_header_is_of_the_entry(name):
    assert text(name).startswith("HEADER")
    assert text(name).splitlines()[0][62:66] == TABLE.loc[name, "pdb"]
    assert float(re.search(r"RESOLUTION\. +([0-9.]+)", text(name))[1]) == float(TABLE.loc[name, "resolution"])
    assert "EXPDTA    X-RAY DIFFRACTION" in text(name)


def test_header_of_the_mmcif_file():
    header = text("5pti")
    assert header.startswith("data_5PTI\n")
    assert re.search(r"_refine.ls_d_res_high +1.0\b", header)
    assert "JOINT NEUTRON AND X-RAY REFINEMENT" in header


@pytest.mark.parametrize("name", ["1a8o", "1hvr", "1lcd"])
def test_observed_residues_are_the_sequence_records(name, structures):
    declared: dict[str, list[str]] = {}
    for line in text(name).splitlines():
        if line.startswith("SEQRES"):
            declared.setdefault(line[11], []).extend(line[19:].split())
    residues = structures[name].residues
    for chain, sequence in declared.items():
        observed = residues[residues["chain"] == chain]["resname"].tolist()
        assert observed[: len(sequence)] == sequence  # after it may come ligands and ions
    assert sum(map(len, declared.values())) == TABLE.loc[name, "residues"]


def test_observed_residues_are_the_entity_sequence_of_the_mmcif_file(structures):
    declared = re.findall(r"^1 \d+ +([A-Z]{3}) +n *$", text("5pti"), re.MULTILINE)
    assert len(declared) == 58
    assert structures["5pti"].residues["resname"].tolist()[:58] == declared


@pytest.mark.parametrize("name", [n for n in embedded_names() if n not in ("1k5i_md", "1lcd", "1a8o", "1hvr")])
def test_elements_are_those_of_the_sequence(name, structures):
    # Chemistry against inference: the atoms that the residues must have, against the elements that we read.
    structure = structures[name].select((structures[name].atoms["hetero"] == " ").to_numpy())
    assert len(structure.sequence()) == TABLE.loc[name, "residues"]
    expected = np.sum([COMPOSITION[letter] for letter in structure.sequence()], axis=0)
    count = Counter(structure.atoms["element"])
    found = np.array([count[e] for e in "CNOS"])
    terminal = int(structure.atoms["name"].isin(["OXT", "OT2"]).sum())
    missing = expected - found + np.array([0, 0, terminal, 0])
    assert sum(count.values()) == found.sum()
    if TABLE.loc[name, "residues_with_missing_atoms"] == 0:
        assert missing.tolist() == [0, 0, 0, 0]
    else:
        assert (missing >= 0).all()
        assert missing.sum() >= TABLE.loc[name, "residues_with_missing_atoms"]


def test_chains_are_the_ones_that_they_are_called(structures):
    for name in embedded_names("chain"):
        atoms = structures[name].atoms
        assert set(atoms["chain"]) == {name[4]}
        assert TABLE.loc[name, "pdb"] == name[:4].upper()
        assert atoms["name"].eq("CA").sum() == TABLE.loc[name, "residues"]


def test_no_two_chains_are_the_same_or_close_relatives(structures):
    # Local alignment (BLOSUM62) finds none that are related; ten equal residues in a row would be the first sign.
    seen: dict[str, str] = {}
    for name in [*embedded_names("chain"), "5pti", "1a8o", "1hvr", "adk_open"]:
        sequence = structures[name].sequence(structures[name].atoms["chain"].iloc[0])
        words = {sequence[k : k + 10] for k in range(len(sequence) - 9)}
        assert not words & seen.keys(), (name, {seen[word] for word in words & seen.keys()})
        seen |= dict.fromkeys(words, name)


@pytest.mark.parametrize("name", embedded_names())
def test_geometry_is_that_of_molecules(name, structures):
    structure = structures[name]
    assert cKDTree(structure.positions).query(structure.positions, k=2)[0][:, 1].min() > 1.1  # no overlapping atoms
    # Every amino acid is the L form: the sign of the triple product of N, C and CB as seen from CA.
    atoms = structure.atoms.assign(row=structure.residue_index)
    corners = {}
    for corner in ("N", "CA", "C", "CB"):
        here = atoms[(atoms["name"] == corner) & atoms["resname"].isin(protein_letters_3to1_extended)]
        corners[corner] = here.set_index("row")[["x", "y", "z"]]
    rows = corners["CB"].index
    n, ca, c, cb = (corners[corner].loc[rows].to_numpy() for corner in ("N", "CA", "C", "CB"))
    volume = np.einsum("ij,ij->i", n - ca, np.cross(c - ca, cb - ca))
    assert (volume > 1.0).all()  # about 2.5 Å^3; a mirrored residue has the opposite sign


def test_two_conformations_of_one_molecule(structures):
    opened, closed = structures["adk_open"], structures["adk_closed"]
    same = ["residue", "resname", "name", "element"]
    assert opened.atoms[same].equals(closed.atoms[same])
    assert opened.sequence().startswith("MRIILLGAPGAGKGTQAQFIMEKYGIPQISTGDMLRAAVKSGSELGKQAKDIMDAGKLVTDELVIALVKERIA")
    assert len(opened.sequence()) == 214
    alpha = opened.atoms["name"].eq("CA").to_numpy()
    fit = SVDSuperimposer()
    fit.set(opened.positions[alpha], closed.positions[alpha])
    fit.run()
    assert fit.get_rms() == pytest.approx(6.91, abs=0.01)  # Å: far more than any noise of a structure


def test_the_rna(structures):
    rna = structures["1k5i_md"]
    assert rna.sequence() == "GGACCCGGGCUCAACCUGGGUCC"
    assert rna.atoms["element"].value_counts()["P"] == 22  # one between each two of 23 nucleotides; no potassium
    assert set(rna.atoms["element"]) == {"C", "N", "O", "P"}


def test_the_complex_is_a_homodimer_with_a_ligand(structures):
    protease = structures["1hvr"]
    assert protease.sequence("A") == protease.sequence("B")
    ligand = protease.atoms[protease.atoms["resname"] == "XK2"]
    assert Counter(ligand["element"]) == {"C": 41, "N": 2, "O": 3}  # its formula in the file: C41 H38 N2 O3
    assert "FORMUL   3  XK2    C41 H38 N2 O3" in text("1hvr")
    distance = cKDTree(protease.positions[protease.atoms["name"].eq("OD1") & protease.atoms["residue"].eq(25)]).query(
        ligand[["x", "y", "z"]]
    )[0]
    assert distance.min() < 3.5  # it lies between the catalytic aspartates


def test_the_first_of_several_models_is_kept():
    assert text("1lcd").count("\nMODEL ") == 1
    assert "NUMMDL    3" in text("1lcd")


def test_the_running_example_has_a_rich_neighbourhood(structures):
    structure = structures[RUNNING_EXAMPLE.structure]
    centre = structure.find_atom(*RUNNING_EXAMPLE[1:])
    assert structure.atoms.loc[centre, ["resname", "name"]].tolist() == ["PHE", "CA"]
    source, receiver = structure.graph(cutoff=4.5).edge_index.numpy()
    near = structure.atoms.loc[source[receiver == centre]]
    assert len(near) == 20
    assert Counter(near["residue"]) == {21: 4, 22: 7, 23: 3, 31: 1, 43: 3, 45: 1, 51: 1}
    assert set(near["element"]) == {"C", "N", "O", "S"}
    for neighbour in (21, 23):
        assert set(near[near["residue"] == neighbour]["name"]) & {"N", "CA", "C", "O"}
    assert near["bfactor"].max() < 12  # Å^2: well-ordered atoms
    assert near["altloc"].eq(" ").all()


# --- what happens when something is wrong ---------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path, monkeypatch):
    shutil.copy(embedded_path("1a8o"), tmp_path)
    monkeypatch.setattr(embedded, "DATA", tmp_path)
    return tmp_path / "1a8o.pdb.gz"


def test_a_changed_file_is_not_read(copied):
    embedded_names()  # the table was read from the package
    changed = gzip.decompress(copied.read_bytes()).replace(b"19.594", b"19.595", 1)
    copied.write_bytes(gzip.compress(changed))
    with pytest.raises(ValueError, match=r"1a8o\.pdb\.gz was changed.*install the package again"):
        embedded_structure("1a8o")


def test_a_damaged_file_is_not_read(copied):
    copied.write_bytes(copied.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"1a8o\.pdb\.gz is damaged.*install the package again"):
        embedded_structure("1a8o")


def test_a_missing_file_is_said_to_be_missing(copied):
    copied.unlink()
    with pytest.raises(FileNotFoundError, match="is missing: install the package again"):
        embedded_structure("1a8o")


def test_names_that_do_not_exist():
    with pytest.raises(ValueError, match="no embedded structure '1ubq'; embedded_names"):
        embedded_structure("1ubq")
    with pytest.raises(ValueError, match=r"no kind 'virus'.*chain, complex, conformation"):
        embedded_names("virus")


# --- how the folder was made ----------------------------------------------------------------------------------------


def test_preparation_leaves_out_what_it_says_and_no_more():
    atom = "ATOM      1  CA  GLY X   1       1.000   2.000   3.000  1.00100.00           C"
    other = atom.replace("CA ", "O  ")
    assert build_embedded.drop_repeats(f"{atom}\n{other}\n{atom}\n").splitlines() == [atom, other, "TER", "END"]
    two_models = f"HEADER    X\nREMARK   3 X\nMODEL        1\n{atom}\nENDMDL\nMODEL        2\n{other}\nENDMDL\nEND\n"
    kept = build_embedded.trim_pdb(two_models).splitlines()
    assert kept == ["HEADER    X", "MODEL        1", atom, "ENDMDL", "END"]
    solvated = f"{atom}\n{atom.replace('GLY', 'TIP')}\n{atom.replace('GLY', 'POT')}\n"
    assert build_embedded.polymer_of_simulation(solvated).splitlines() == [f"{atom[:21]}A{atom[22:66]}", "TER", "END"]


def test_checksums_are_of_the_unpacked_text():
    # So that they do not depend on the version of zlib that packed it.
    for name, row in TABLE.iterrows():
        assert hashlib.sha256(text(name).encode()).hexdigest() == row["sha256"], name


def test_one_letter_codes_cover_the_composition_table():
    assert set(COMPOSITION) == set(protein_letters_1to3)
