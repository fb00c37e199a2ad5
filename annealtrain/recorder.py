"""The run folder: CSVs, metadata, checkpoints and the result, each file whole at any moment, one process at a time.

config.yaml   the composed configuration          metrics.csv  a row an epoch, epoch 0 included
meta.json     versions, command, seed, hash       solves.csv   a row a layer solve
last.npz      weights of the last epoch           result.json  written last: the run is finished
best.npz      weights of the best validation accuracy
"""

import csv
import errno
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from annealtrain.errors import InputError

Row = dict[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]

CONFIG, META, METRICS, SOLVES, RESULT = "config.yaml", "meta.json", "metrics.csv", "solves.csv", "result.json"
LAST, BEST = "last.npz", "best.npz"
LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems that a network shares, some
_STATE = "state_"  # before the names of arrays in a checkpoint that are not weights
_ANEW = "start the run anew in another folder"


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
            raise InputError(f"{self.folder / name} lacks epochs of its checkpoint {LAST}: {_ANEW}")
        return rows

    def save(
        self, row: Row, solves: list[Row], weights: Sequence[Array], state: Mapping[str, Array] | None = None
    ) -> None:
        """Write an epoch: its rows first, then its checkpoint, from which a run goes on.

        state: arrays by name that going on needs beside the weights.
        """
        self._metrics.append(row)
        self._solves.extend(solves)
        self.write(METRICS, _csv(self._metrics))
        if self._solves:
            self.write(SOLVES, _csv(self._solves))
        if self.best_row() is row:
            self._write_checkpoint(BEST, row["epoch"], weights)
        self._write_checkpoint(LAST, row["epoch"], weights, state)

    @property
    def epochs_done(self) -> int:
        """The epochs that are kept."""
        return self._metrics[-1]["epoch"] if self._metrics else 0

    @property
    def seconds(self) -> float:
        """The time spent in the epochs that are kept."""
        return float(sum(row["total_s"] for row in self._metrics))

    def best_row(self) -> Row | None:
        """Return the first row of the highest validation accuracy, None where there is no validation set."""
        scored = [row for row in self._metrics if row.get("val_accuracy") is not None]
        return max(scored, key=lambda row: row["val_accuracy"], default=None)

    def finish(self, extra: Row) -> Row:
        """Write and return result.json: the last and the best-validation epoch, and what `extra` holds."""
        names = ("epoch", "train_loss", "train_accuracy", "val_accuracy", "test_accuracy")
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
        arrays |= {f"{_STATE}{key}": array for key, array in (state or {}).items()}
        np.savez(buffer, epoch=np.int64(epoch), **arrays)
        self._replace(name, buffer.getvalue())

    def _replace(self, name: str, content: bytes) -> None:
        remedy = "choose another hydra.run.dir, or put that right and go on with resume=true"
        replace(self.folder / name, content, remedy)


def replace(path: Path, content: bytes, remedy: str) -> None:
    """Write a file atomically, through a part file beside it; InputError, with the remedy, where it cannot be."""
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path} ({error.strerror}): {remedy}") from error


@contextmanager
def alone(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep other processes out of a run folder; waiting() is called once if one is at work there, and waited for.

    The worker of a sweep that was killed, say, which goes on to the end of its run. Where the file system has no
    locks, nobody is kept out.
    """
    path = folder / LOCK
    try:
        held = _locked(path, waiting)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another hydra.run.dir") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if held:
            held.close()


def _locked(path: Path, waiting: Callable[[], None]) -> TextIO | None:
    """Return a file that holds the lock until it is closed, None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    is_told = False
    while True:
        file = open(path, "w")  # noqa: SIM115 (closing it gives the lock back)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if not is_told:
                waiting()
            is_told = True
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError as error:
            file.close()
            if error.errno in NO_LOCKS:
                return None
            raise
        with suppress(FileNotFoundError):  # its last holder may have removed it meanwhile
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


def read_checkpoint(path: Path) -> tuple[list[Array], int]:
    """Return the weights of each trainable layer and their epoch; nothing in the file is run."""
    with _opened(path) as held:
        layers = sum(not name.startswith(_STATE) for name in held.files) - 1
        return [held[f"weights_{k}"] for k in range(layers)], int(held["epoch"])


def read_state(path: Path) -> dict[str, Array]:
    """Return the other arrays that `RunRecorder.save` was given, by name."""
    with _opened(path) as held:
        return {name.removeprefix(_STATE): held[name] for name in held.files if name.startswith(_STATE)}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
            yield held
    except Exception as error:  # a damaged zip may raise anything
        raise _unreadable(path, error) from error


def read_json(path: Path, *names: str) -> Row:
    """Return the object in a JSON file; InputError if it is damaged, or lacks one of `names`."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, dict) or not content.keys() >= set(names):
        raise InputError(f"{path} is not what a run writes: {_ANEW}")
    return content


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV that a recorder wrote, numbers as numbers, empty fields as None."""
    try:
        with open(path, newline="") as file:
            return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read ({type(error).__name__}: {' '.join(str(error).split())}): {_ANEW}")


def _value(text: str) -> Any:
    if text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _csv(rows: list[Row]) -> str:
    # The second row is the first of a trained epoch, and has every column in its order.
    columns = list(dict.fromkeys(name for row in [*rows[1:2], *rows] for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
