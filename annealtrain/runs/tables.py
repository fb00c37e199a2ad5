"""The CSV and JSON files of runs: one writer, one reader, each refusing what no run wrote."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annealtrain.errors import InputError
from annealtrain.runtime.array_types import Row

START_ANEW = "start the run anew in another folder"


def read_json(path: Path, *names: str) -> Row:
    """Return the object in a JSON file; InputError if it is damaged, or lacks one of `names`."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not isinstance(content, dict) or not content.keys() >= set(names):
        raise InputError(f"{path} is not what a run writes: {START_ANEW}")
    return content


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV that a recorder wrote, numbers as numbers, empty fields as None."""
    try:
        with open(path, newline="") as file:
            return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read ({type(error).__name__}: {' '.join(str(error).split())}): {START_ANEW}")


def _value(text: str) -> Any:
    if text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def csv_text(rows: list[Row]) -> str:
    # The second row is the first of a trained epoch, and has every column in its order.
    columns = list(dict.fromkeys(name for row in [*rows[1:2], *rows] for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


CLASS = re.compile(
    r"[^\W\d]\w*(\.[^\W\d]\w*)+"
)  # by its full name, as in annealtrain.solvers.gate_model.imaginary_time.X


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of equal columns, booleans as true and false."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: str(v).lower() if isinstance(v, bool) else v for key, v in row.items()} for row in rows)
    path.write_text(buffer.getvalue())


def as_text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in columns as wide as their longest cell."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in [head, *rows])


def shown(value: Any) -> str:
    """Return a setting as a table shows it: a class by its own name."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text.rpartition(".")[2] if CLASS.fullmatch(text) else text
