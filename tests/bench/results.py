"""A benchmark's file of results, a JSON line a row: one that was stopped goes on behind what it has."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Results:
    """The rows of a file, which is made with its first one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, also those of other calls."""
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def has(self, key: Mapping[str, Any]) -> bool:
        """Whether a row has all of these values."""
        return any(key.items() <= row.items() for row in self.rows)

    def add(self, row: Mapping[str, Any], *, told: bool = True) -> None:
        """Write a row, and print it."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if told:
            print(json.dumps(row), flush=True)
