"""Checksums of a finished run, in its result.json: of the files beside it, and of what it says itself."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.runs import contents, tables
from annealtrain.runs.checkpoint import BEST, LAST, MOST_CHECKPOINT
from annealtrain.runs.contents import CONFIG, META, METRICS, RESULT, SOLVES
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row

TEXTS, WEIGHTS = (CONFIG, META, METRICS, SOLVES), (LAST, BEST)
RESTORE = "it is not what the run wrote: restore it, or start the run anew in another folder"


def checksum(content: bytes) -> str:
    """Return the SHA-256 of a file's content, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def sealed(result: Row, folder: Path, known: Mapping[str, str]) -> Row:
    """Return a result with checksums of the run's files. known: of those that this process has written itself."""
    sums = {name: known[name] if name in known else _of_file(folder / name) for name in _present(folder)}
    whole = result | {"checksums": sums}
    return whole | {"checksums": sums | {RESULT: _of_result(whole)}}


def verify(folder: Path, result: Row) -> bool:
    """Return whether a run's result has checksums; InputError for the first file that is not what the run wrote.

    A run of an older version has none. Weights that are not there are no fault: who wants to read them will say so.
    """
    if "checksums" not in result:
        return False
    sums = result["checksums"]
    if not isinstance(sums, dict) or not {RESULT, CONFIG, META, METRICS} <= sums.keys() <= {RESULT, *TEXTS, *WEIGHTS}:
        raise tables.not_of_a_run(folder / RESULT, "checksums of other files")
    if sums[RESULT] != _of_result(result):
        raise InputError(f"{folder / RESULT}: {RESTORE}")
    for name in sums:
        path = folder / name
        if name != RESULT and (name in TEXTS or path.exists() or path.is_symlink()) and sums[name] != _of_file(path):
            raise InputError(f"{path}: {RESTORE}")
    return True


def verify_run(folder: Path) -> None:
    """Raise InputError where a finished run in a folder is not what was written; an unfinished one has no checksums."""
    if os.path.lexists(folder / RESULT):
        verify(folder, contents.read_result(folder / RESULT))


def _present(folder: Path) -> list[str]:
    return [name for name in (*TEXTS, *WEIGHTS) if (folder / name).is_file()]


def _of_file(path: Path) -> str:
    try:
        return checksum(files.read_bytes(path, MOST_CHECKPOINT))
    except OSError as error:
        raise tables.unreadable(path, error) from error


def _of_result(result: Row) -> str:
    """Return the checksum of what a result says, whatever its spaces; its own left out."""
    sums = {name: value for name, value in result["checksums"].items() if name != RESULT}
    return checksum(json.dumps(result | {"checksums": sums}, sort_keys=True).encode())
