"""Scripts that pages need, kept beside this file so that they are read without network.

`python -m eqgat.viz.scripts` fetches them once, at install, from npm: 3Dmol.js (BSD-3-Clause) draws the interactive
views, MathJax (Apache-2.0) the formulas of the HTML pages. Where one is missing a page asks the network for it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from eqgat.files import checksum, write_files

VENDOR = Path(__file__).with_name("vendor")
LICENCE = "package/LICENSE"


@dataclass(frozen=True)
class Script:
    """One file of an npm package, pinned by version and SHA-256; `without` says what happens where it is missing.

    >>> THREEDMOL.address
    'https://cdn.jsdelivr.net/npm/3dmol@2.5.5/build/3Dmol-min.js'
    """

    name: str
    package: str
    version: str
    member: str
    sha256: str
    without: str

    @property
    def path(self) -> Path:
        return VENDOR / Path(self.member).name

    @property
    def address(self) -> str:
        """Where a page without a copy asks the network for it."""
        return f"https://cdn.jsdelivr.net/npm/{self.package}@{self.version}/{self.member.removeprefix('package/')}"

    @property
    def licence_path(self) -> Path:
        return VENDOR / f"LICENSE.{self.package}"


THREEDMOL = Script(
    "3Dmol.js",
    "3dmol",
    "2.5.5",
    "package/build/3Dmol-min.js",
    "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016",
    "Interactive 3D views will load it from the network; every view has a still picture.",
)
# All of TeX in one file, and formulas as SVG: nothing is loaded later, neither extensions nor fonts.
MATHJAX = Script(
    "MathJax",
    "mathjax",
    "3.2.2",
    "package/es5/tex-svg-full.js",
    "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6",
    "The HTML pages of the notebooks will load it from the network; JupyterLab brings its own.",
)
SCRIPTS = (THREEDMOL, MATHJAX)


def source(script: Script) -> str | None:
    """The text of a script with its licence as a comment, or None where it has not been fetched.

    Raises:
        ValueError: if the file is there but is not the pinned version as published.

    >>> print(source(Script("none", "none", "1.0", "package/none.js", "", "")))
    None
    """
    if not (script.path.exists() and script.licence_path.exists()):
        return None
    content = script.path.read_bytes()
    _check(script, content)
    licence = script.licence_path.read_text(encoding="utf-8").replace("*/", "* /")
    return f"/*!\n{licence.strip()}\n*/\n{content.decode('utf-8')}"


def fetch(script: Script, timeout: float = 60.0) -> Path:
    """Fetch a script with npm, check it against the pinned SHA-256, and put it in place in one step.

    Returns its path; nothing is fetched if it is there already. `timeout` in seconds.

    Raises:
        FileNotFoundError: if npm is not installed.
        RuntimeError: if npm could not fetch the package.
        ValueError: if what came is not the pinned file; nothing is kept.
    """
    path = script.path
    if script.licence_path.exists() and path.exists() and checksum(path) == script.sha256:
        return path
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    package = f"{script.package}@{script.version}"
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package, "--silent", "--ignore-scripts"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"npm did not answer within {timeout:g} s") from None
        except subprocess.CalledProcessError as error:
            detail = (error.stderr or error.stdout or "").strip().splitlines()
            raise RuntimeError(f"npm could not fetch {package}: {detail[-1] if detail else error}") from None
        with tarfile.open(Path(folder) / f"{script.package}-{script.version}.tgz") as archive:
            content, licence = (_read(archive, name, package) for name in (script.member, LICENCE))
    _check(script, content)
    write_files({script.licence_path: licence, path: content})
    return path


def _read(archive: tarfile.TarFile, name: str, package: str) -> bytes:
    member = archive.extractfile(name) if name in archive.getnames() else None
    if member is None:
        raise ValueError(f"the npm package {package} has no file {name}")
    return member.read()


def _check(script: Script, content: bytes) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != script.sha256:
        raise ValueError(
            f"{script.path.name} is not {script.name} {script.version} as published: SHA-256 {found}, "
            f"expected {script.sha256}. Delete it and run: python -m eqgat.viz.scripts"
        )


def main() -> int:
    """Fetch the scripts; 0 even where that fails, because all but pages without network works without them."""
    for script in SCRIPTS:
        try:
            path = fetch(script)
        except (OSError, RuntimeError, ValueError) as error:
            print(f"{script.name} was not fetched: {error}", file=sys.stderr)
            print(script.without, file=sys.stderr)
        else:
            print(f"{script.name} {script.version} is in place: {path.relative_to(VENDOR.parents[2])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
