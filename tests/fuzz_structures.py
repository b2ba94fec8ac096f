"""Mangled structure files: each must become a molecule or one ``StructureError`` that names file and line.

    python tests/fuzz_structures.py 10000

prints how many became what, the slowest, and the memory of the whole run.
"""

from __future__ import annotations

import gzip
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from eqgat.datasets import embedded_path
from eqgat.molecule import StructureError
from eqgat.structures import read_structure

SMALL = Path(__file__).parent / "data" / "structures"


def sources() -> list[tuple[str, bytes]]:
    """Endings and contents of files to mangle: the small ones, and the first 300 lines of atoms of real ones."""
    found = [(path.suffix, path.read_bytes()) for path in sorted(SMALL.glob("s*.*"))]
    for name in ("1a8o", "1k5i_md", "5pti", "6wg6"):
        path = embedded_path(name)
        lines = gzip.decompress(path.read_bytes()).split(b"\n")
        start = next(k for k, line in enumerate(lines) if line.startswith((b"ATOM", b"_atom_site.")))
        loop = [b"data_x", b"loop_"] if ".cif" in path.name else []
        found.append((Path(path.stem).suffix, b"\n".join([*loop, *lines[start : start + 300], b""])))
    return found


def mangle(data: bytes, chance: random.Random) -> bytes:
    """One to four kinds of damage, one after the other."""
    for _ in range(chance.randint(1, 4)):
        lines = data.split(b"\n")
        here, there = chance.randrange(len(lines)), chance.randrange(len(lines))
        kind = chance.randrange(12)
        if kind == 0 and data:  # a bit flips
            place = chance.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        elif kind == 1:  # cut off
            data = data[: chance.randrange(len(data) + 1)]
        elif kind == 2:  # a line lost, or repeated elsewhere
            lines[there:there] = [lines.pop(here)] * chance.randrange(3)
            data = b"\n".join(lines)
        elif kind == 3:  # lines change places
            lines[here], lines[there] = lines[there], lines[here]
            data = b"\n".join(lines)
        elif kind == 4:  # columns of one line change places
            words = lines[here].split(b" ")
            chance.shuffle(words)
            lines[here] = b" ".join(words)
            data = b"\n".join(lines)
        elif kind == 5:  # characters lost or gained within a line
            place = chance.randrange(len(lines[here]) + 1)
            lines[here] = (
                lines[here][:place]
                + chance.choice([b"", b" ", b"-", b"9", b"\t", b"\0", b"\xc3\xa9", b"'"])
                + (lines[here][place + chance.randrange(3) :])
            )
            data = b"\n".join(lines)
        elif kind == 6:  # a value becomes another
            words = lines[here].split(b" ")
            words[chance.randrange(len(words))] = chance.choice(
                [b"nan", b"inf", b"1e30", b"?", b".", b"", b"1_0.5", b"****", b"99999999", b"-", b"1.0(3)", b"\xff"]
            )
            lines[here] = b" ".join(words)
            data = b"\n".join(lines)
        elif kind == 7:  # all line ends
            data = data.replace(b"\n", chance.choice([b"\r\n", b"\r", b"\n\n", b"\r\r\n"]))
        elif kind == 8:  # the file again, behind itself
            data = data + chance.choice([b"", b"END\n", b"ENDMDL\n", b"MODEL 2\n"]) + data
        elif kind == 9:  # a piece of another alphabet in front
            data = chance.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\x1f\x8b"]) + data
        elif kind == 10:  # capitals
            data = chance.choice([data.upper(), data.lower()])
        else:  # a record more
            lines.insert(here, chance.choice([b"END", b"TER", b"MODEL", b"ENDMDL", b"loop_", b"data_y", b";", b"#"]))
            data = b"\n".join(lines)
    return data


def read_mangled(count: int, seed: int, folder: Path) -> tuple[Counter[str], float]:
    """How many became what, and the longest time of one, s. Raises whatever is neither molecule nor that error."""
    chance, found, results, slowest = random.Random(seed), sources(), Counter(), 0.0
    for _ in range(count):
        ending, data = chance.choice(found)
        data = mangle(data, chance)
        zipped = chance.random() < 0.1
        path = folder / f"mangled{ending}{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(data)[: chance.choice([-1, -20, 10**9])] if zipped else data)
        start = time.perf_counter()
        try:
            molecule = read_structure(path)
            assert molecule.positions.shape == (len(molecule), 3)
            results["molecule"] += 1
        except StructureError as error:
            placed = error.line is not None and str(error).startswith(f"{path.name}, line {error.line}: ")
            results["error" if placed else f"error without a place: {error}"] += 1
        slowest = max(slowest, time.perf_counter() - start)
    return results, slowest


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        results, slowest = read_mangled(int(sys.argv[1]), seed=0, folder=Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{dict(results)}, slowest {slowest:.2f} s, at most {peak:.0f} MiB for the whole process")
