"""Find the runs under a folder, finished or not; one tidy table of their epochs, one summary of their groups."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from annealtrain.errors import InputError
from annealtrain.runs import recorder, scores, tables
from annealtrain.runtime.array_types import Row

STATUS = "job.log"  # one line in the folder of a sweep's job: how it ended
LOG = "train.log"  # what went wrong in a run, with its traceback


@dataclass(frozen=True)
class Run:
    """One run as its folder holds it. name: the folder, relative to where it was looked for."""

    folder: Path
    name: str
    config: Row
    meta: Row
    metrics: list[Row]
    result: Row | None

    @cached_property
    def settings(self) -> Row:
        """The configuration as one level of columns, see `flatten`."""
        return flatten(self.config)

    @property
    def last(self) -> Row:
        """The metrics of the last epoch that is kept."""
        return self.metrics[-1]

    @property
    def best(self) -> Row:
        """The metrics of the epoch of the highest validation score; the last epoch's where nothing is held out."""
        scored = [row for row in self.metrics if scores.score(row, "val") is not None]
        return max(scored, key=lambda row: scores.score(row, "val"), default=self.last)  # type: ignore[arg-type,return-value]

    @property
    def state(self) -> str:
        """`finished`, or how far the run has come."""
        return "finished" if self.result else f"epoch {self.last['epoch']} of {self.config.get('epochs', '?')}"


def read_run(folder: Path, name: str | None = None) -> Run:
    """Return the run in a folder; InputError where there is none, it is damaged, or has no epoch yet."""
    if not (folder / recorder.META).is_file():
        raise InputError(f"{folder} is not a run folder: it has no {recorder.META}")
    meta = tables.read_json(folder / recorder.META)
    metrics = tables.read_rows(folder / recorder.METRICS) if (folder / recorder.METRICS).is_file() else []
    if not metrics:
        raise InputError(f"the run in {folder} has no epoch yet: annealtrain resume {folder}")
    if any(not isinstance(row.get("epoch"), int) for row in metrics):
        raise InputError(f"{folder / recorder.METRICS} is not what a run writes: start the run anew in another folder")
    finished = (folder / recorder.RESULT).is_file()
    result = tables.read_json(folder / recorder.RESULT, "last", "best_validation") if finished else None
    return Run(folder, name or folder.name, _config(folder / recorder.CONFIG), meta, metrics, result)


def find(root: Path) -> tuple[list[Run], list[str]]:
    """Return all runs at or below `root`, and a line for each folder that holds files but no readable run.

    Raises InputError where `root` is no folder or has no run.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: give a run folder, or one above several")
    found: list[Run] = []
    foreign: list[str] = []
    for folder in sorted(_folders(root)):
        name = folder.relative_to(root).as_posix()
        is_run = (folder / recorder.META).exists()
        is_leaf = not any(_is_visible(child) and child.is_dir() for child in folder.iterdir())
        if is_run or (is_leaf and any(child.is_file() for child in folder.iterdir())):
            try:
                found.append(read_run(folder, name))
            except InputError as error:
                failed = folder / STATUS
                foreign.append(f"{folder}: {failed.read_text().strip()}" if failed.is_file() else str(error))
    if not found:
        told = f" ({foreign[0]})" if foreign else ""
        remedy = _logs(root) or "annealtrain train prints its run folder at its end"
        raise InputError(f"no run with an epoch in {root}{told}: {remedy}")
    return found, foreign


def flatten(config: Row) -> Row:
    """Return a configuration as columns: `solver.num_reads`, lists as JSON, `_target_` under its node's name.

    A model is told by its name; its layers only where it has none.
    """
    columns: Row = {}

    def put(key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, held in value.items():
                put(key if name == "_target_" else f"{key}.{name}" if key else name, held)
        else:
            columns[key] = json.dumps(value) if isinstance(value, list) else value

    put("", {name: value for name, value in config.items() if name != "model"})
    model = config.get("model") or {}
    columns["model"] = model.get("name") or json.dumps(model.get("layers"))
    return columns


def _logs(root: Path) -> str:
    """Return where the jobs below `root` say why they failed, "" where none does."""
    logs = sorted(root.rglob(LOG)) or sorted(root.rglob(STATUS))
    more = f" and {len(logs) - 1} more" if len(logs) > 1 else ""
    return f"see {logs[0]}{more}" if logs else ""


def _config(path: Path) -> Row:
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not what a run writes")
    return content


def _folders(root: Path) -> Iterable[Path]:
    yield root
    if not (root / recorder.META).exists():  # a run folder holds no other runs
        for child in root.iterdir():
            if child.is_dir() and _is_visible(child):
                yield from _folders(child)


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")
