"""environment.yml and pyproject.toml name the same packages with the same bounds, and CI calls the README's command."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_environment_yml_has_the_pins_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    by_pip = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    extras = {name: pins for name, pins in PROJECT["optional-dependencies"].items() if name != "all"}
    assert PROJECT["optional-dependencies"]["all"] == [f"eqgat[{','.join(extras)}]"]
    wanted = [*PROJECT["dependencies"], *(pin for pins in extras.values() for pin in pins)]
    assert sorted(by_pip) == sorted([*wanted, "-e ."])
    assert f"python{PROJECT['requires-python']}" in environment


def test_every_dependency_has_an_upper_bound():
    for pins in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]:
        for pin in pins:
            assert "<" in pin or pin.startswith("eqgat["), pin


def test_ci_and_readme_name_the_same_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").rstrip().endswith("make test")
    for command in ("run", "test", "lab"):
        assert f"make {command}" in readme
        assert f"\n{command}:" in makefile
