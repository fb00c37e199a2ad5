"""Text of others where it is shown: on a terminal, in a spreadsheet, on a page, in a figure."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import table
from run_folders import write_run

from annealtrain.runtime.foreign_text import cell, printable

STEER = "\x1b]0;mine\x07\x1b[2J"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is, ü and 字", "as it is, ü and 字"),
        (STEER, r"\x1b]0;mine\x07\x1b[2J"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_nothing_steers_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_nothing_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "-1", "+0.5", "-1e-05", "-inf", "nan", "[0.1]"])
def test_numbers_and_words_stay(text: str) -> None:
    assert cell(text) == text


def test_a_run_s_texts_are_shown_as_texts(cli: Callable, tmp_path: Path) -> None:
    name = f"$\\frac{{$<b>{STEER}"
    write_run(tmp_path / "runs" / "=a", seed=0, note="=HYPERLINK(1)", model={"name": name})
    folder = write_run(tmp_path / "runs" / "@b", seed=0, note="+1", model={"name": "b"}, **{"=key": "-x"})
    (folder / "meta.json").write_text(
        json.dumps({"annealtrain": "0.1.0", "machine": "<script>", "command": f"<img>{STEER}"})
    )
    (tmp_path / "runs" / f"c{STEER}").mkdir()
    (tmp_path / "runs" / f"c{STEER}" / "notes.txt").touch()
    outcome = cli("collect", "runs")
    assert outcome.code == 0
    assert "\x1b" not in outcome.out + outcome.err
    assert r"\x1b[2J" in outcome.out
    assert r"left out: runs/c\x1b]0;mine\x07\x1b[2J is not a run folder" in outcome.err
    rows = table(tmp_path / "runs" / "runs.csv")
    assert {row["run"] for row in rows} == {"'=a", "'@b"}
    assert {row["note"] for row in rows} == {"'=HYPERLINK(1)", "+1"}
    assert {row["'=key"] for row in rows} == {"", "'-x"}
    assert cli("report", "runs").code == 0
    page = (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    assert not {"<script>", "<b>", "<img>"} & set(page.replace("<img alt", "").split("\n"))
    assert "<script" not in page
    assert "&lt;img&gt;" in page
    assert cli("plot", "runs/=a").code == 0  # a name that is no formula of TeX
