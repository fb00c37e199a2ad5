"""The run folder: CSVs, metadata, checkpoints and the result, each file whole at any moment, one process at a time.

config.yaml   the composed configuration          metrics.csv  a row an epoch, epoch 0 included
meta.json     versions, command, seed, hash       solves.csv   a row a layer solve
last.npz      weights of the last epoch           result.json  written last: the run is finished, with checksums of all
best.npz      weights of the best validation accuracy, or R2
histograms.csv   a row an epoch, layer and bin of its weights, where a run is to have them
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.runs import contents, histograms, scores
from annealtrain.runs.checkpoint import BEST, LAST, MODULE, STATE, read_checkpoint
from annealtrain.runs.checksums import SEALED, checksum, sealed
from annealtrain.runs.contents import CONFIG, HISTOGRAMS, META, METRICS, RESULT, SOLVES, finite
from annealtrain.runs.foreign import is_hydras, is_open_log, is_own_log
from annealtrain.runs.lock import LOCK
from annealtrain.runs.provenance import kernel_text, kernels_of, require_same_data, resumed_kernels
from annealtrain.runs.tables import START_ANEW, CsvText
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Array, Row

STARTED, LEFT = (  # names of parts, of a run that was killed as it began, and at any time
    re.compile(files.PART.format(name=f"({'|'.join(map(re.escape, names))})"))
    for names in ((CONFIG, META), (CONFIG, META, METRICS, SOLVES, HISTOGRAMS, LAST, BEST, RESULT))
)
REMEDY = "choose another hydra.run.dir, or put that right and go on with resume=true"
NEXT_HASH = "next_config_hash"  # in META while a run is given more epochs: of the CONFIG that is about to be written


class RunRecorder:
    """Writes one run. `begin` looks at what the folder holds before anything is written to it.

    bins: of the histograms of each layer's weights; 0: none are written.
    """

    def __init__(self, folder: Path, bins: int = 0) -> None:
        self.folder, self.bins = folder, bins
        self._metrics, self._solves, self._histograms = CsvText(), CsvText(), CsvText()
        self._best: Row | None = None
        self._sums: dict[str, str] = {}  # of the files that were written here
        self.warning: str | None = None  # of going on with a run that was begun elsewhere

    def begin(self, config_text: str, meta: Row, *, resume: bool, extended: Row | None = None) -> int | None:
        """Write the configuration; return the epoch of the checkpoint to go on from, None for a new run.

        meta["config_hash"] tells runs of different settings apart. extended: what is told of a finished run that goes
        on for more epochs, by another configuration than that of its start.
        Raises InputError for a folder of something else, of other settings, or of an unfinished run that is not
        to be resumed.
        """
        remedy = "choose another hydra.run.dir"
        if not (self.folder / META).exists():
            if any(not self._is_of_a_start(path, config_text) for path in self.folder.iterdir()):
                raise InputError(f"run folder {self.folder} holds other files and no run: {remedy}")
            self._remove_parts()
            self.write(CONFIG, config_text)
            self.write_json(META, meta | {SEALED: True, "resumed_at": []})
            return None
        held = contents.read_meta(self.folder / META)
        if held.get("config_hash") != meta["config_hash"] and not extended:
            raise InputError(f"run folder {self.folder} holds a run with other settings: {remedy}")
        if not (resume or extended):
            raise InputError(f"run folder {self.folder} holds an unfinished run: add resume=true, or {remedy}")
        require_same_data(self.folder, held, meta.get("data") or {})
        start = self._read_rows()
        self._remove_parts()
        resumed = {"resumed_at": [*held.get("resumed_at", []), meta["started_at"]]}
        made_on, here = kernels_of(held), kernel_text(meta.get("blas"))
        if here not in made_on:
            resumed["resumed_blas"] = [*resumed_kernels(held), meta.get("blas")]
            self.warning = f"begun on other kernels ({', '.join(made_on)}; here {here}): sums are rounded otherwise"
        if extended:  # in this order: a run that is killed in between can be given its epochs again
            (self.folder / RESULT).unlink(missing_ok=True)
            self.write_json(META, held | {NEXT_HASH: meta["config_hash"]})
            self.write(CONFIG, config_text)
            held = {name: value for name, value in held.items() if name != NEXT_HASH}
            resumed |= {"config_hash": meta["config_hash"], "extended": [*held.get("extended", []), extended]}
        self.write_json(META, held | {SEALED: True} | resumed)
        return start

    @staticmethod
    def _is_of_a_start(path: Path, config_text: str) -> bool:
        """Whether a file is a log of ours, or what this very run leaves if it is killed before META is written."""
        if path.name == LOCK or STARTED.fullmatch(path.name) or is_hydras(path):
            return True
        if is_own_log(path) or is_open_log(path):
            return True
        try:
            return path.name == CONFIG and files.read_text(path, len(config_text.encode())) == config_text
        except (OSError, ValueError):  # larger, a link, or of another kind
            return False

    def _remove_parts(self) -> None:
        """Remove what this run was writing when it was killed."""
        for path in self.folder.iterdir():
            if LEFT.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)

    def _read_rows(self) -> int | None:
        """Take over the rows up to the last checkpoint; return its epoch."""
        last, metrics = self.folder / LAST, self.folder / METRICS
        if not (last.exists() or last.is_symlink()):
            if metrics.exists() and len(contents.read_metrics(metrics)) > 1:
                raise InputError(f"{last} is missing, the run in {self.folder} has come further: {START_ANEW}")
            return None
        epoch = read_checkpoint(last)[1]
        self._take(self._rows_of(METRICS, contents.read_metrics(metrics), range(epoch + 1)))
        solves = contents.read_solves(self.folder / SOLVES) if epoch else []
        self._solves.extend(self._rows_of(SOLVES, solves, range(1, epoch + 1)))
        if self.bins:
            held = contents.read_histograms(self.folder / HISTOGRAMS)
            self._histograms.extend(self._rows_of(HISTOGRAMS, held, range(epoch + 1)))
        self._check_best()
        return epoch

    def _rows_of(self, name: str, held: list[Row], epochs: range) -> list[Row]:
        rows = [row for row in held if row["epoch"] in epochs]
        if len(rows) < len(epochs) or {row["epoch"] for row in rows} != set(epochs):
            raise InputError(f"{self.folder / name} lacks epochs of its checkpoint {LAST}: {START_ANEW}")
        return rows

    def _check_best(self) -> None:
        """Raise InputError where the best weights are not those of the best epoch, or of one that is done again."""
        if (row := self.best_row()) is None:
            return
        found = read_checkpoint(self.folder / BEST)[1]
        if found != row["epoch"] and found <= self.epochs_done:
            raise InputError(f"{self.folder / BEST} is of epoch {found}, the best is {row['epoch']}: {START_ANEW}")

    def save(
        self,
        row: Row,
        solves: list[Row],
        weights: Sequence[Array],
        state: Mapping[str, Array] | None = None,
        module: Mapping[str, Array] | None = None,
    ) -> None:
        """Write an epoch: its rows first, then its checkpoint, from which a run goes on.

        state: arrays by name that going on needs beside the weights. module: what scoring needs beside them.
        """
        held = {f"{MODULE}{name}": array for name, array in (module or {}).items()}
        self._take([row])
        self._solves.extend(solves)
        self._replace(METRICS, self._metrics.content)
        if self._solves.rows:
            self._replace(SOLVES, self._solves.content)
        if self.bins:
            self._histograms.extend(histograms.rows_of(row["epoch"], weights, self.bins))
            self._replace(HISTOGRAMS, self._histograms.content)
        if self.best_row() is row:
            self._write_checkpoint(BEST, row["epoch"], weights, held)
        held |= {f"{STATE}{name}": array for name, array in (state or {}).items()}
        self._write_checkpoint(LAST, row["epoch"], weights, held)

    @property
    def first_row(self) -> Row:
        """The metrics of epoch 0, the first weights."""
        return self._metrics.rows[0]

    @property
    def last_row(self) -> Row:
        """The metrics of the last epoch that is kept."""
        return self._metrics.rows[-1]

    @property
    def has_diverged(self) -> bool:
        """Whether the loss of the last epoch that is kept is no finite number."""
        return bool(self._metrics.rows) and finite(self._metrics.rows[-1].get("train_loss")) is None

    @property
    def epochs_done(self) -> int:
        """The epochs that are kept."""
        return self._metrics.rows[-1]["epoch"] if self._metrics.rows else 0

    @property
    def seconds(self) -> float:
        """The time spent in the epochs that are kept."""
        return float(sum(row["total_s"] for row in self._metrics.rows))

    def best_row(self) -> Row | None:
        """Return the first row of the highest validation score, None where there is no validation set."""
        return self._best

    def _take(self, rows: Sequence[Row]) -> None:
        """Add rows of metrics, and keep the best of all."""
        self._metrics.extend(rows)
        for row in rows:
            score = scores.score(row, "val")
            best = scores.score(self._best, "val") if self._best else None
            if score is not None and (best is None or score > best):
                self._best = row

    def finish(self, extra: Row) -> Row:
        """Write and return result.json: the last and the best-validation epoch, what `extra` holds, and checksums."""
        best, names = self.best_row(), contents.of_result(self._metrics.rows[-1])
        result = {
            "last": {name: finite(self._metrics.rows[-1].get(name)) for name in names},
            "best_validation": {name: finite(best.get(name)) for name in names} if best else None,
            **extra,
        }
        result = sealed(result, self.folder, self._sums)
        self.write_json(RESULT, result)
        return result

    def write(self, name: str, text: str) -> None:
        """Write a text file atomically."""
        self._replace(name, text.encode("utf-8", "backslashreplace"))

    def write_json(self, name: str, content: Row) -> None:
        """Write a JSON file atomically."""
        self.write(name, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def _write_checkpoint(self, name: str, epoch: int, weights: Sequence[Array], more: Mapping[str, Array]) -> None:
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {f"weights_{k}": w for k, w in enumerate(weights)} | dict(more)
        np.savez(buffer, epoch=np.int64(epoch), **arrays)
        self._replace(name, buffer.getvalue())

    def _replace(self, name: str, content: bytes) -> None:
        files.write_atomically(self.folder / name, content, REMEDY)
        self._sums[name] = checksum(content)
