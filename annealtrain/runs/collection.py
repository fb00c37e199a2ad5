"""Find the runs under a folder, finished or not; one tidy table of their epochs, one summary of their groups."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from annealtrain.errors import InputError
from annealtrain.runs import checksums, contents, scores
from annealtrain.runs.contents import CONFIG, META, METRICS, RESULT
from annealtrain.runs.foreign import refuse_quantized
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row
from annealtrain.runtime.foreign_text import printable

STATUS = "annealtrain-job.log"  # one line in the folder of a sweep's job: how it ended
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
        """The configuration as one level of columns, see `flatten`; `data`: which samples there were, a fingerprint."""
        told = (self.meta.get("data") or {}).get("fingerprint")
        return flatten(self.config) | ({"data": told[:8]} if isinstance(told, str) else {})

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
    """Return the run in a folder; InputError where there is none, it is damaged, or has no epoch yet.

    Where its result.json has checksums, every file must be what the run wrote.
    """
    if not os.path.lexists(folder / META):
        raise InputError(f"{folder} is not a run folder: it has no {META}")
    meta = contents.read_meta(folder / META)
    metrics = contents.read_metrics(folder / METRICS) if os.path.lexists(folder / METRICS) else []
    if not metrics:
        refuse_quantized(folder)
        raise InputError(f"the run in {folder} has no epoch yet: {resume_command(folder)}")
    result = None
    if os.path.lexists(folder / RESULT):
        result = contents.read_result(folder / RESULT, metrics)
        checksums.verify(folder, result)
    return Run(folder, name or folder.name, contents.read_config(folder / CONFIG), meta, metrics, result)


def resume_command(folder: Path, flags: Sequence[str] = ()) -> str:
    """Return the command that goes on with the run in a folder, as a shell takes it."""
    return shlex.join(["annealtrain", "resume", str(folder), *flags])


def find(root: Path) -> tuple[list[Run], list[str]]:
    """Return all runs at or below `root`, and a line for each folder that holds files but no readable run.

    Raises InputError where `root` is no folder or has no run.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: give a run folder, or one above several")
    found: list[Run] = []
    foreign: list[str] = []
    for folder, fault in _folders(root):
        try:
            if fault:
                raise InputError(fault)
            found.append(read_run(folder, folder.relative_to(root).as_posix()))
        except InputError as error:
            foreign.append(printable(_failed(folder) or str(error)))
    if not found:
        told = f" ({foreign[0]})" if foreign else ""
        remedy = _logs(root) or "annealtrain train prints its run folder at its end"
        raise InputError(f"no run with an epoch in {root}{told}: {remedy}")
    return found, foreign


def flatten(config: Row) -> Row:
    """Return a configuration as columns: `solver.num_reads`, lists as JSON, `_target_` under its node's name.

    A model is told by its name; its class or its layers only where it has none.
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
    columns["model"] = model.get("name") or model.get("_target_") or json.dumps(model.get("layers"))
    return columns


def _logs(root: Path) -> str:
    """Return where the jobs below `root` say why they failed, "" where none does."""
    logs = sorted(root.rglob(LOG)) or sorted(root.rglob(STATUS))
    more = f" and {len(logs) - 1} more" if len(logs) > 1 else ""
    return f"see {logs[0]}{more}" if logs else ""


def _failed(folder: Path) -> str:
    """Return the line that a failed job of a sweep has left in its folder, "" where there is none."""
    try:
        line = files.read_text(folder / STATUS, 100_000).strip()
    except (OSError, ValueError):
        return ""
    return f"{folder}: {line}" if "  failed: " in line else ""


def _folders(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the folders at or below `root` that hold a run, or files and no folder; and why one cannot be one.

    Each real folder once, whatever links lead to it. A link is followed to a run, not to a folder of others.
    """
    seen: set[tuple[int, int]] = set()
    links: list[Path] = []
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            if not _is_new(folder, seen):
                continue
            children = sorted(child for child in folder.iterdir() if _is_visible(child) or child.name == META)
            inner = [child for child in children if child.is_dir()]
        except OSError as error:
            yield folder, f"{folder} cannot be read ({error.strerror})"
            continue
        if os.path.lexists(folder / META):  # a run folder holds no other runs
            yield folder, ""
            continue
        links += [child for child in inner if child.is_symlink()]
        waiting += reversed([child for child in inner if not child.is_symlink()])
        if not inner and any(child.is_file() for child in children):
            yield folder, ""
    for link in sorted(links):
        if os.path.lexists(link / META):
            if _is_new(link, seen):
                yield link, ""
        elif not link.resolve().is_relative_to(root.resolve()):
            yield link, f"{link} leads to {link.resolve()}, which is no run: give that folder itself"


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Return whether a folder is met for the first time, by its device and number."""
    status = folder.stat()
    key = (status.st_dev, status.st_ino)
    is_new = key not in seen
    seen.add(key)
    return is_new


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")
