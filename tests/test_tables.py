"""The CSV and JSON files of runs: what is written is read again, and what no run wrote is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from run_folders import META, damaged, layers, row

from annealtrain.runs import tables
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runs.tables import read_json, read_rows


def test_numbers_survive_reading_and_writing_again(tmp_path: Path) -> None:
    record = RunRecorder(tmp_path)
    record.begin("", META, resume=False)
    record.save(row(0), [], layers(0))
    values = {"a": 0.1 + 0.2, "b": 5e12, "c": 1e-300, "d": float("-inf"), "e": 100.0, "f": 7, "g": None}
    record.save(row(1, **values), [{"epoch": 1, "layer": 0, **values}], layers(1))
    text = [(tmp_path / name).read_bytes() for name in ("metrics.csv", "solves.csv")]
    assert {name: read_rows(tmp_path / "metrics.csv")[1][name] for name in values} == values
    again = RunRecorder(tmp_path)
    assert again.begin("", META, resume=True) == 1
    again.save(row(2), [{"epoch": 2, "layer": 0, **values}], layers(2))
    for name, before in zip(("metrics.csv", "solves.csv"), text, strict=True):
        assert (tmp_path / name).read_bytes().startswith(before)


def test_damaged_json(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    for text in ("", '{"seed": 1', "[]", "null", "\0"):
        path.write_text(text)
        damaged(path, read_json)
    path.write_bytes(b"\xff\xfe{}")
    damaged(path, read_json)
    path.write_text(json.dumps({"last": 1}))
    assert read_json(path, "last") == {"last": 1}
    damaged(path, lambda at: read_json(at, "last", "best_validation"))


@pytest.mark.parametrize(
    "text", ['{"seed": 1, "seed": 2}', '{"last": {"epoch": 9, "epoch": 1}}', '{"": 0, "a": 1, "": 0}']
)
def test_a_key_of_json_that_stands_there_twice(tmp_path: Path, text: str) -> None:
    """Readers differ in which they take; a checksum of what is read here would not tell."""
    path = tmp_path / "result.json"
    path.write_text(text)
    damaged(path, read_json)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("annealtrain.solvers.annealing.reference.reference_annealing", "reference_annealing"),
        ("mine.Solver", "Solver"),
        ("lenet", "lenet"),
        ("[0.1]", "[0.1]"),
        ("../shared/data", "../shared/data"),
        ("0.1.0", "0.1.0"),
        (0.1, "0.1"),
        (True, "true"),
        (None, ""),
    ],
)
def test_a_class_is_shown_by_its_own_name_and_nothing_else_is_cut(value: Any, text: str) -> None:
    assert tables.shown(value) == text


def test_a_csv_that_grows_is_the_one_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"epoch": 0, "loss": 0.5}, *({"epoch": k, "L": 0.1, "loss": 1 / k} for k in range(1, 40))]
    rows += [{"epoch": 40, "loss": 0.1, "name": "\u00e4,\ud800"}]  # one column more, and bytes that are no text
    formatted: list[int] = []
    write = csv.DictWriter.writerows
    monkeypatch.setattr(
        csv.DictWriter, "writerows", lambda self, held: formatted.append(len(held)) or write(self, held)
    )
    grown = tables.CsvText()
    for each in rows:
        grown.extend([each])
    assert formatted == [1, 2, *[1] * 38, 41]
    assert grown.content.decode() == tables.csv_text(rows)
    assert grown.content.decode().splitlines()[:2] == ["epoch,L,loss,name", "0,,0.5,"]
    assert grown.rows == rows
