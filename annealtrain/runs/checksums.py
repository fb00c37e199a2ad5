"""Checksums of a finished folder, in its result.json: of the files beside it, and of what it says itself."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.runs import contents, tables
from annealtrain.runs.checkpoint import BEST, LAST, MOST_CHECKPOINT
from annealtrain.runs.contents import CONFIG, HISTOGRAMS, META, METRICS, RESULT, SOLVES
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row

TEXTS, WEIGHTS = (CONFIG, META, METRICS, SOLVES, HISTOGRAMS), (LAST, BEST)
UNSEALED = "made by a version that kept no checksums: whether a file was changed since cannot be told"
SEALED = "checksums"  # in meta.json, which has a checksum itself: the run's result will have them
# Versions whose runs may have none; of the second only those that recorded no BLAS kernel either.
WITHOUT = re.compile(r"0\.1\.\d+|0\.2\.0\.dev0")


@dataclass(frozen=True)
class Kind:
    """What a finished folder of a kind holds beside its result.json.

    always: the texts that no folder lacks. arrays: may be removed by who has no need of them. maker: who wrote it all.
    """

    always: frozenset[str]
    texts: tuple[str, ...]
    arrays: tuple[str, ...]
    maker: str
    anew: str

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all, result.json left out."""
        return (*self.texts, *self.arrays)

    @property
    def restore(self) -> str:
        """What is said of a file that is another."""
        return f"it is not what {self.maker} wrote: restore it, or {self.anew}"


RUN = Kind(frozenset({CONFIG, META, METRICS}), TEXTS, WEIGHTS, "the run", "start the run anew in another folder")


def checksum(content: bytes) -> str:
    """Return the SHA-256 of a file's content, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def sealed(result: Row, folder: Path, known: Mapping[str, str], kind: Kind = RUN) -> Row:
    """Return a result with checksums of the folder's files. known: of those that this process has written itself."""
    present = [name for name in kind.files if (folder / name).is_file()]
    sums = {name: known[name] if name in known else _of_file(folder / name) for name in present}
    whole = result | {"checksums": sums}
    return whole | {"checksums": sums | {RESULT: _of_result(whole)}}


def verify(folder: Path, result: Row, kind: Kind = RUN) -> bool:
    """Return whether a result has checksums; InputError for the first file that is not what was written.

    A folder of an older version has none: of one that had them and has lost them, InputError too. Arrays that are not
    there are no fault: who wants to read them will say so.
    """
    if "checksums" not in result:
        if _had_them(contents.read_meta(folder / META), kind):
            raise InputError(f"{folder / RESULT} has lost its checksums: {kind.restore}")
        return False
    sums = result["checksums"]
    if not isinstance(sums, dict) or not {RESULT, *kind.always} <= sums.keys() <= {RESULT, *kind.files}:
        raise tables.not_of_a_run(folder / RESULT, "checksums of other files")
    if sums[RESULT] != _of_result(result):
        raise InputError(f"{folder / RESULT}: {kind.restore}")
    for name in kind.files:
        path = folder / name
        if name not in sums and os.path.lexists(path):
            raise InputError(f"{path}: {kind.maker} wrote no such file: remove it")
        if name in sums and (name in kind.texts or os.path.lexists(path)) and sums[name] != _of_file(path):
            raise InputError(f"{path}: {kind.restore}")
    return True


def verify_run(folder: Path) -> None:
    """Raise InputError where a finished run in a folder is not what was written; an unfinished one has no checksums."""
    if os.path.lexists(folder / RESULT):
        verify(folder, contents.read_result(folder / RESULT))


def _had_them(meta: Row, kind: Kind) -> bool:
    """Return whether the result beside such a meta.json was written with checksums."""
    if SEALED in meta or kind is not RUN:
        return SEALED in meta
    return "blas" in meta or not WITHOUT.fullmatch(meta.get("annealtrain") or "")


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
