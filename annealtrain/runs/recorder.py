"""The run folder: CSVs, metadata, checkpoints and the result, each file whole at any moment, one process at a time.

config.yaml   the composed configuration          metrics.csv  a row an epoch, epoch 0 included
meta.json     versions, command, seed, hash       solves.csv   a row a layer solve
last.npz      weights of the last epoch           result.json  written last: the run is finished
best.npz      weights of the best validation accuracy, or R2
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.runs import scores
from annealtrain.runs.checkpoint import BEST, LAST, STATE, read_checkpoint
from annealtrain.runs.lock import LOCK
from annealtrain.runs.tables import START_ANEW, csv_text, read_json, read_rows
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.files import write_atomically

CONFIG, META, METRICS, SOLVES, RESULT = "config.yaml", "meta.json", "metrics.csv", "solves.csv", "result.json"


class RunRecorder:
    """Writes one run. `begin` looks at what the folder holds before anything is written to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._metrics: list[Row] = []
        self._solves: list[Row] = []

    def begin(self, config_text: str, meta: Row, *, resume: bool) -> int | None:
        """Write the configuration; return the epoch of the checkpoint to go on from, None for a new run.

        meta["config_hash"] tells runs of different settings apart.
        Raises InputError for a folder of something else, of other settings, or of an unfinished run that is not
        to be resumed.
        """
        remedy = "choose another hydra.run.dir"
        if not (self.folder / META).exists():
            if any(not self._is_of_a_start(path, config_text) for path in self.folder.iterdir()):
                raise InputError(f"run folder {self.folder} holds other files and no run: {remedy}")
            self.write(CONFIG, config_text)
            self.write_json(META, meta | {"resumed_at": []})
            return None
        held = read_json(self.folder / META)
        if held.get("config_hash") != meta["config_hash"]:
            raise InputError(f"run folder {self.folder} holds a run with other settings: {remedy}")
        if not resume:
            raise InputError(f"run folder {self.folder} holds an unfinished run: add resume=true, or {remedy}")
        start = self._read_rows()
        self.write_json(META, held | {"resumed_at": [*held.get("resumed_at", []), meta["started_at"]]})
        return start

    @staticmethod
    def _is_of_a_start(path: Path, config_text: str) -> bool:
        """Whether a file is a log, or what this very run leaves if it is killed before META is written."""
        started = path.suffix == ".log" or path.name in (LOCK, f".{CONFIG}.part", f".{META}.part")
        return started or (path.name == CONFIG and path.read_text() == config_text)

    def _read_rows(self) -> int | None:
        """Take over the rows up to the last checkpoint; return its epoch."""
        if not (self.folder / LAST).exists():
            return None
        epoch = read_checkpoint(self.folder / LAST)[1]
        self._metrics = self._rows_of(METRICS, range(epoch + 1))
        self._solves = self._rows_of(SOLVES, range(1, epoch + 1)) if epoch else []
        return epoch

    def _rows_of(self, name: str, epochs: range) -> list[Row]:
        rows = [row for row in read_rows(self.folder / name) if row.get("epoch") in epochs]
        if {row["epoch"] for row in rows} != set(epochs):
            raise InputError(f"{self.folder / name} lacks epochs of its checkpoint {LAST}: {START_ANEW}")
        return rows

    def save(
        self, row: Row, solves: list[Row], weights: Sequence[Array], state: Mapping[str, Array] | None = None
    ) -> None:
        """Write an epoch: its rows first, then its checkpoint, from which a run goes on.

        state: arrays by name that going on needs beside the weights.
        """
        self._metrics.append(row)
        self._solves.extend(solves)
        self.write(METRICS, csv_text(self._metrics))
        if self._solves:
            self.write(SOLVES, csv_text(self._solves))
        if self.best_row() is row:
            self._write_checkpoint(BEST, row["epoch"], weights)
        self._write_checkpoint(LAST, row["epoch"], weights, state)

    @property
    def first_row(self) -> Row:
        """The metrics of epoch 0, the first weights."""
        return self._metrics[0]

    @property
    def epochs_done(self) -> int:
        """The epochs that are kept."""
        return self._metrics[-1]["epoch"] if self._metrics else 0

    @property
    def seconds(self) -> float:
        """The time spent in the epochs that are kept."""
        return float(sum(row["total_s"] for row in self._metrics))

    def best_row(self) -> Row | None:
        """Return the first row of the highest validation score, None where there is no validation set."""
        scored = [row for row in self._metrics if scores.score(row, "val") is not None]
        return max(scored, key=lambda row: scores.score(row, "val"), default=None)  # type: ignore[arg-type,return-value]

    def finish(self, extra: Row) -> Row:
        """Write and return result.json: the last and the best-validation epoch, and what `extra` holds."""
        names = ("epoch", "train_loss", *scores.columns(self._metrics[-1]))
        best = self.best_row()
        result = {
            "last": {name: self._metrics[-1].get(name) for name in names},
            "best_validation": {name: best.get(name) for name in names} if best else None,
            **extra,
        }
        self.write_json(RESULT, result)
        return result

    def write(self, name: str, text: str) -> None:
        """Write a text file atomically."""
        self._replace(name, text.encode())

    def write_json(self, name: str, content: Row) -> None:
        """Write a JSON file atomically."""
        self.write(name, json.dumps(content, indent=2) + "\n")

    def _write_checkpoint(
        self, name: str, epoch: int, weights: Sequence[Array], state: Mapping[str, Array] | None = None
    ) -> None:
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {f"weights_{k}": w for k, w in enumerate(weights)}
        arrays |= {f"{STATE}{key}": array for key, array in (state or {}).items()}
        np.savez(buffer, epoch=np.int64(epoch), **arrays)
        self._replace(name, buffer.getvalue())

    def _replace(self, name: str, content: bytes) -> None:
        remedy = "choose another hydra.run.dir, or put that right and go on with resume=true"
        write_atomically(self.folder / name, content, remedy)
