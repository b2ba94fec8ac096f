"""The README: its code runs as pasted, its tables are those of the stored numbers, its links and pictures exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import readme

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_model_in_ten_lines_runs_as_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(code) == 1
    names: dict = {}
    exec(code[0], names)
    assert names["y"].shape == (1, 1)
    assert len(names["layers"]) == 5
    assert sorted(path.name for path in (tmp_path / "my-model").iterdir())


@pytest.mark.slow
def test_its_tables_are_those_of_the_stored_numbers() -> None:
    assert readme.renewed(TEXT) == TEXT, "run: python docs/readme.py"
    assert TEXT.count("EQGAT-Full") == 1


def test_the_table_of_speed_has_a_column_for_each_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    assert readme.speed() == ""
    (tmp_path / "figures/bench").mkdir(parents=True)
    lines = [
        "part,case,side,quantity,unit,value,machine,threads",
        "models,RES,,atoms,,6400,M,1",
        "models,RES,,edges,,91020,M,1",
        "models,LBA,,atoms,,5,M,1",
        "models,LBA,,edges,,7,M,1",
        "models,RES,EQGAT,training step,s,0.5,M,1",
        "models,RES,EQGAT,forward,s,9,M,1",
        "models,LBA,GVP,training step,s,2,M,1",
        'models,RES,GVP,"not run; memory, from a quarter of the batch",MiB,2048,M,1',
    ]
    (tmp_path / "figures/bench/numbers.csv").write_text("\n".join(lines))
    table = """| model | RES: 6,400 atoms, 91,020 edges | LBA: 5 atoms, 7 edges |
| --- | --- | --- |
| EQGAT | 0.5 s | not run |
| GVP | not run: needs some 2 GiB | 2 s |"""
    assert table in readme.speed()
    assert "as is usual" not in readme.speed()
    lines.append('allocator,RES,"EQGAT, usual","training step, against kept",,1.25,M,1')
    (tmp_path / "figures/bench/numbers.csv").write_text("\n".join(lines))
    assert readme.speed().endswith("a step of the batch RES takes 1.2 (EQGAT) times as long.\n")


def test_every_link_and_picture_leads_somewhere_and_every_notebook_is_listed() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", TEXT) + re.findall(r'<img src="([^"]+)"', TEXT)
    assert len(links) > 40
    assert not [link for link in links if not (ROOT / link).exists()]
    for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        assert f"](notebooks/{path.name}) |" in TEXT, path.name


def test_what_it_is_for_whom_and_the_two_commands_stand_on_the_first_screen() -> None:
    screen = TEXT.partition("\n## ")[0]
    assert len(screen.splitlines()) <= 28
    for word in ("learn it", "teach it", "have a structure", "make run", "make test", "Windows"):
        assert word in screen
