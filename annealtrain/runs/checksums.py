"""Checksums of a finished run, in its result.json: of the files beside it, and of what it says itself."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.runs import contents, tables
from annealtrain.runs.checkpoint import BEST, LAST, MOST_CHECKPOINT
from annealtrain.runs.contents import CONFIG, HISTOGRAMS, META, METRICS, RESULT, SOLVES
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row

TEXTS, WEIGHTS = (CONFIG, META, METRICS, SOLVES, HISTOGRAMS), (LAST, BEST)
SEALED = "checksums"  # in meta.json, which has a checksum itself: the run's result will have them
# Versions whose runs may have none; of the second only those that recorded no BLAS kernel either.
WITHOUT = re.compile(r"0\.1\.\d+|0\.2\.0\.dev0")
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

    A run of an older version has none: of one that had them and has lost them, InputError too. Weights that are not
    there are no fault: who wants to read them will say so.
    """
    if "checksums" not in result:
        if _had_them(contents.read_meta(folder / META)):
            raise InputError(f"{folder / RESULT} has lost its checksums: {RESTORE}")
        return False
    sums = result["checksums"]
    if not isinstance(sums, dict) or not {RESULT, CONFIG, META, METRICS} <= sums.keys() <= {RESULT, *TEXTS, *WEIGHTS}:
        raise tables.not_of_a_run(folder / RESULT, "checksums of other files")
    if sums[RESULT] != _of_result(result):
        raise InputError(f"{folder / RESULT}: {RESTORE}")
    for name in (*TEXTS, *WEIGHTS):
        path = folder / name
        if name not in sums and os.path.lexists(path):
            raise InputError(f"{path}: the run wrote no such file: remove it")
        if name in sums and (name in TEXTS or os.path.lexists(path)) and sums[name] != _of_file(path):
            raise InputError(f"{path}: {RESTORE}")
    return True


def verify_run(folder: Path) -> None:
    """Raise InputError where a finished run in a folder is not what was written; an unfinished one has no checksums."""
    if os.path.lexists(folder / RESULT):
        verify(folder, contents.read_result(folder / RESULT))


def _had_them(meta: Row) -> bool:
    """Return whether the result of a run with such a meta.json was written with checksums."""
    return SEALED in meta or "blas" in meta or not WITHOUT.fullmatch(meta.get("annealtrain") or "")


def _present(folder: Path) -> list[str]:
    return [name for name in (*TEXTS, *WEIGHTS) if (folder / name).is_file()]


def _of_file(path: Path) -> str:
    most = tables.MOST_ROWS if path.suffix in (".yaml", ".json", ".csv") else MOST_CHECKPOINT
    try:
        with files.opened(path) as file:
            if os.fstat(file.fileno()).st_size > most:
                raise OSError(0, f"it is larger than {most / 1e6:g} MB", str(path))
            digest = hashlib.sha256()
            while piece := file.read(2**20):  # weights may be large
                digest.update(piece)
            return digest.hexdigest()
    except OSError as error:
        raise tables.unreadable(path, error) from error


def _of_result(result: Row) -> str:
    """Return the checksum of what a result says, whatever its spaces; its own left out."""
    sums = {name: value for name, value in result["checksums"].items() if name != RESULT}
    return checksum(json.dumps(result | {"checksums": sums}, sort_keys=True).encode())
