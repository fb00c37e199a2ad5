"""What in a folder this program can prove to be its own: nothing else is ever written to, appended to or removed."""

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.runs import tables
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row

MOST_BYTES = 1_000_000  # read of a file to know it
META = "meta.json"
# The first line of a log as this program's logging begins it, and of the line that a sweep leaves in a job's folder.
LOG_LINE = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]\[annealtrain\.[\w.]+\]\[[A-Z]+\] - "
OF_HYDRA = {"config.yaml", "hydra.yaml", "overrides.yaml"}  # what hydra.output_subdir holds
WATCH = "annealtrain.commands.sweep.Watch"  # stands in what Hydra writes of this program's settings


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, or a quantised network, by what its meta.json says."""
    return isinstance(_meta(folder).get("config_hash"), str)


def is_quantized(folder: Path) -> bool:
    """Whether a folder holds a network of `annealtrain quantize`, by what its meta.json says."""
    return is_run(folder) and isinstance(_meta(folder).get("network"), dict)


def refuse_quantized(folder: Path) -> None:
    """Raise InputError where a run is asked for and its folder holds a quantised network."""
    if is_quantized(folder):
        raise InputError(f"{folder} holds a network of annealtrain quantize, no run: annealtrain eval checks its files")


def _meta(folder: Path) -> Row:
    try:
        content = json.loads(text_of(folder / META) or "")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def is_own_log(path: Path) -> bool:
    """Whether a log is empty, was begun by this program, or is the line that a sweep has left of this folder's job."""
    text = text_of(path) if path.suffix == ".log" else None
    return text is not None and (text == "" or bool(re.match(LOG_LINE, text)) or is_own_line(path))


def is_open_log(path: Path) -> bool:
    """Whether this process is writing the log, which it was let to: a user's own module may have begun it."""
    return any(getattr(each, "baseFilename", None) == os.path.abspath(path) for each in logging.getLogger().handlers)


def is_own_line(path: Path) -> bool:
    """Whether a file is the one line that a sweep leaves in the folder of a job, which begins with the job's name."""
    text = text_of(path)
    return text is not None and text.startswith(f"{path.parent.name}  ") and text.count("\n") == 1


def is_hydras(folder: Path) -> bool:
    """Whether a folder is what Hydra writes with hydra.output_subdir set, for this program."""
    if folder.is_symlink() or not folder.is_dir() or not {path.name for path in folder.iterdir()} <= OF_HYDRA:
        return False
    return WATCH in (text_of(folder / "hydra.yaml") or "")


def text_of(path: Path) -> str | None:
    """Return the text of a plain file, None for anything else: a link, a pipe, a file too long or not of text."""
    try:
        return files.read_text(path, MOST_BYTES)
    except (OSError, ValueError):
        return None


def _of_hydra(folder: Path) -> Iterator[Path]:
    """Yield what Hydra may write into in a folder: logs, and what hydra.output_subdir holds."""
    for path in folder.iterdir():
        if path.suffix == ".log":
            yield path
        elif any(os.path.lexists(path / name) for name in OF_HYDRA):
            yield from (path, *(path / name for name in OF_HYDRA))


def refuse_foreign(folder: Path, own: tuple[str, ...]) -> None:
    """Raise InputError where a folder is neither a run's nor one that a run could begin in, before anything is written.

    Of ours, what Hydra writes to in place is detached from its hard links.
    own: names of files, and ends of names, that a start leaves, and that a run looks at itself before it writes.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: choose another hydra.run.dir")
    if link := next((path for path in _of_hydra(folder) if path.is_symlink()), None):
        raise InputError(
            f"{link} is a link, which a run would write through: remove it, or choose another hydra.run.dir"
        )
    if not is_run(folder):
        if (folder / META).is_file():
            tables.read_json(folder / META)  # says so where it is damaged
        held = (path for path in folder.iterdir() if not path.name.endswith(own))
        if any(not is_own_log(path) and not is_hydras(path) for path in held):
            raise InputError(f"run folder {folder} holds other files and no run: choose another hydra.run.dir")
    for path in _of_hydra(folder):
        files.detach(path, "choose another hydra.run.dir")
