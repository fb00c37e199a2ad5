"""The CSV and JSON files of runs: one writer, one reader, each refusing what no run wrote."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annealtrain.errors import InputError, in_words
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row
from annealtrain.runtime.foreign_text import NUMBER, cell, printable

MOST_JSON, MOST_ROWS = 16_000_000, 256_000_000  # bytes; a run of 100,000 epochs has some 30 MB of rows
MOST_DEPTH = 40
START_ANEW = "start the run anew in another folder"


def read_json(path: Path, *names: str) -> Row:
    """Return the object in a JSON file; InputError if it is damaged, or lacks one of `names`."""
    try:
        content = json.loads(files.read_text(path, MOST_JSON), object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:  # nested too deep
        raise unreadable(path, error) from error
    if not isinstance(content, dict):
        raise not_of_a_run(path, "no object")
    if _is_deep(content):
        raise not_of_a_run(path, f"nested deeper than {MOST_DEPTH} levels")
    for name in names:
        if name not in content:
            raise not_of_a_run(path, f"no {name}")
    return content


def _each_once(pairs: Sequence[tuple[str, Any]]) -> Row:
    """Return an object of JSON; ValueError for a key that stands there twice: readers differ in which they take."""
    held: Row = {}
    for name, value in pairs:
        if name in held:
            raise ValueError(f"the key {name[:80]!r} stands there twice")
        held[name] = value
    return held


def _is_deep(content: Any) -> bool:
    level = [content]
    for _ in range(MOST_DEPTH):
        level = [
            part
            for value in level
            if isinstance(value, dict | list)
            for part in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV that a recorder wrote, numbers as numbers, empty fields as None."""
    try:
        reader = csv.DictReader(io.StringIO(files.read_text(path, MOST_ROWS), newline=""))
        names = reader.fieldnames or []
        if len(set(names)) != len(names):
            raise ValueError("two columns of one name")
        rows = list(reader)
        if bad := [at for at, row in enumerate(rows, 1) if None in row or None in row.values()]:
            raise ValueError(f"row {bad[0]} has not as many fields as there are columns")
        return [{key: _value(text) for key, text in row.items()} for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the error of a file that cannot be read."""
    return InputError(f"{path} cannot be read ({in_words(error)}): {START_ANEW}")


def not_of_a_run(path: Path, why: str) -> InputError:
    """Return the error of a file that is well formed and yet not what a run writes."""
    return InputError(f"{path} is not what a run writes ({why}): {START_ANEW}")


def _value(text: str) -> Any:
    """Return a field as the number that it is the text of: no more than Python writes, so no 1_000 and no space."""
    if text == "":
        return None
    if not NUMBER.fullmatch(text):
        return text
    is_float = bool(set(text) & set(".eEnif")) or len(text) > 18  # beyond what 64 bits hold
    return float(text) if is_float else int(text)


class CsvText:
    """A CSV that grows: rows that are added later are formatted alone, however many there are already."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._columns: list[str] = []
        self._content = bytearray()

    def extend(self, rows: Sequence[Row]) -> None:
        """Add rows at the end; all are formatted anew where they bring columns, or tell of their order."""
        is_settled = len(self.rows) > 1 and all(name in self._columns for row in rows for name in row)
        self.rows.extend(rows)
        if not is_settled:
            # The second row is the first of a trained epoch, and has every column in its order.
            self._columns = list(dict.fromkeys(name for row in [*self.rows[1:2], *self.rows] for name in row))
            self._content.clear()
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, self._columns, lineterminator="\n")
        if not is_settled:
            writer.writeheader()
        writer.writerows(rows if is_settled else self.rows)
        self._content += buffer.getvalue().encode("utf-8", "backslashreplace")

    @property
    def content(self) -> bytes:
        """The whole file."""
        return bytes(self._content)


def csv_text(rows: Sequence[Row]) -> str:
    table = CsvText()
    table.extend(rows)
    return table.content.decode()


CLASS = re.compile(
    r"[^\W\d]\w*(\.[^\W\d]\w*)+"
)  # by its full name, as in annealtrain.solvers.gate_model.imaginary_time.X


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of equal columns for a spreadsheet: booleans as true and false, no text as a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([cell(name) for name in rows[0]])
    writer.writerows([_field(value) for value in row.values()] for row in rows)
    files.write_text(path, buffer.getvalue(), "give another folder or --output")


def _field(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else cell(value) if isinstance(value, str) else value


def as_text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal, in columns as wide as their longest cell."""
    lines = [[printable(text) for text in row] for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def shown(value: Any) -> str:
    """Return a setting as a table shows it: a class by its own name."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text.rpartition(".")[2] if CLASS.fullmatch(text) else text
