"""The folder of a sweep: claimed before anything is written to it, one sweep's at a time, and told from foreign ones.

All that a sweep itself writes lies in a folder of its own in there, CLAIM; beside it lie the jobs' folders, and what
Hydra and its plugins write, whose files are looked at before they are written over.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.runs import foreign, tables
from annealtrain.runtime import files

CLAIM = ".annealtrain-sweep"
WORDS = "sweep.json"  # in CLAIM: the settings that all jobs of the folder share
RUNNING = "running"  # in CLAIM: locked by the sweep at work, holds its words
OLD_WORDS = "sweep.json"  # where version 0.1.0 kept them
JOBS, REFUSED = "jobs", "refused"  # in CLAIM: a line a job; a folder for each that could have none of its own
OF_HYDRA = {"multirun.yaml": foreign.WATCH, "optimization_results.yaml": "name: optuna"}  # and what shows it is ours
OF_LAUNCHERS = (".submitit",)  # folders in which a launcher's plugin keeps its files
REMEDY = "choose another hydra.sweep.dir"
WORDS_S = 2.0  # how long the words of a sweep that has just begun are waited for


class Entered:
    """A sweep's hold on its folder, given back by `leave`."""

    def __init__(self, folder: Path, words: Mapping[str, str], fixed: Sequence[str]) -> None:
        """Claim a folder, made if need be; InputError, and nothing written, where it is not ours or another sweep's.

        words: all settings that tell this sweep from another. fixed: those that all jobs share.
        """
        self.folder, self.words = folder, words
        self.fixed = {key: words[key] for key in sorted(fixed)}
        is_older = not _is_claimed(folder) and _is_older(folder)
        while not _is_claimed(folder):
            strangers = [] if is_older else _strangers(folder)
            if strangers and not _is_claimed(folder):  # else another sweep has begun meanwhile
                raise InputError(f"{folder} holds {strangers[0]}, which is no run of a sweep: {REMEDY}")
            if not strangers:
                _claim(folder, _older_words(folder) if is_older and (folder / OLD_WORDS).is_file() else self.fixed)
        for name, sign in OF_HYDRA.items():
            if os.path.lexists(folder / name) and sign not in (foreign.text_of(folder / name) or ""):
                raise InputError(f"{folder / name} is not of a sweep of annealtrain: {REMEDY}")
            files.detach(folder / name, REMEDY)
        for name in OF_LAUNCHERS:
            if (folder / name).is_symlink():
                raise InputError(f"{folder / name} is a link, which the sweep would write through: {REMEDY}")
        self._lock = _alone(folder, [f"{key}={words[key]}" for key in sorted(words)])
        try:
            self._check()
        except BaseException:
            self.leave()
            raise

    def _check(self) -> None:
        """Raise InputError if the folder was made with other settings that are the same in all its jobs.

        Folders of jobs are named by what varies, so that two sweeps could lie side by side unnoticed.
        """
        held, words = _words(self.folder / CLAIM / WORDS), self.words
        different = [key for key in sorted({*held, *self.fixed}) if held.get(key) != words.get(key)]
        if not different:
            return
        if self._lock is not None and not any(foreign.is_run(path) for path in self.folder.iterdir()):
            _write_words(self.folder / CLAIM, self.fixed)  # no job has begun: the folder is free
            return
        now, then = (
            " ".join(f"{key}={of[key]}" if key in of else f"no {key}=" for key in different) for of in (words, held)
        )
        raise InputError(f"sweep folder {self.folder} is of {then}, this sweep of {now}: {REMEDY}")

    def leave(self) -> None:
        """Let another sweep into the folder."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None


def place_of(folder: Path, name: str, kind: str) -> Path:
    """Return where in a sweep's own folder something of the job of this name lies."""
    return folder / CLAIM / kind / hashlib.sha256(name.encode()).hexdigest()[:16]


def write_line(folder: Path, started: str, name: str, line: str) -> None:
    """Keep the line of a job of the sweep that `started` names."""
    path = place_of(folder, name, f"{JOBS}/{started}")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, f"{line}\n".encode(), REMEDY)


def write_status(path: Path, line: str) -> None:
    """Keep the line of a job in its own folder, where `collect` looks for the reason of a run that is not there."""
    files.write_atomically(path, f"{line}\n".encode(), REMEDY)


def take_lines(folder: Path, started: str) -> list[str]:
    """Return the lines of the jobs of a sweep that has ended, by their names, and remove them."""
    place = folder / CLAIM / JOBS / started
    lines = sorted(path.read_text(encoding="utf-8").rstrip("\n") for path in place.glob("*"))
    shutil.rmtree(place, ignore_errors=True)
    return lines


def _is_claimed(folder: Path) -> bool:
    claim = folder / CLAIM
    if claim.is_dir() and not claim.is_symlink() and (claim / WORDS).is_file():
        return True
    if os.path.lexists(claim):
        raise InputError(f"{claim} is not of a sweep of annealtrain: {REMEDY}")
    return False


def _is_older(folder: Path) -> bool:
    """Whether a folder was made by a sweep of a version that did not claim it."""
    return foreign.WATCH in (foreign.text_of(folder / "multirun.yaml") or "")


def _older_words(folder: Path) -> dict[str, str]:
    return {key: str(value) for key, value in tables.read_json(folder / OLD_WORDS).items()}


def _words(path: Path) -> dict[str, str]:
    held = tables.read_json(path, "fixed")["fixed"]
    if not isinstance(held, dict):
        raise InputError(f"{path} is not of a sweep of annealtrain: {REMEDY}")
    return held


def _strangers(folder: Path) -> list[str]:
    """Return the names of what is no run in a folder that nobody has claimed."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: {REMEDY}")
    return sorted(
        path.name
        for path in folder.iterdir()
        if not path.name.startswith(CLAIM) and (path.is_symlink() or not foreign.is_run(path))
    )


def _claim(folder: Path, fixed: dict[str, str]) -> None:
    """Make CLAIM, whole at once; leave that of another process as it is."""
    part = folder / f"{CLAIM}.{uuid.uuid4().hex}"
    try:
        part.mkdir(parents=True)
        _write_words(part, fixed)
        part.rename(folder / CLAIM)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        if not os.path.lexists(folder / CLAIM):
            raise InputError(f"cannot write {folder} ({error.strerror}): {REMEDY}") from error


def _write_words(claim: Path, fixed: dict[str, str]) -> None:
    content = json.dumps({"fixed": fixed}, indent=2) + "\n"
    files.write_atomically(claim / WORDS, content.encode(), REMEDY)


def _alone(folder: Path, words: list[str]) -> int | None:
    """Return the number of an open file that is locked while this sweep is at work; None where it cannot be.

    The same sweep may run beside itself: its jobs wait for one another.
    Raises InputError where another sweep is at work.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    text, path = json.dumps(words).encode(), folder / CLAIM / RUNNING
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    limit = time.monotonic() + WORDS_S
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        while not (held := os.pread(file, 1 << 20, 0)).endswith(b"]") and time.monotonic() < limit:
            time.sleep(0.05)  # it is about to write them
        os.close(file)
        if held != text:
            raise InputError(f"another sweep is at work in {folder}: wait for its end, or {REMEDY}") from None
        return None
    except OSError:  # a file system without locks
        os.close(file)
        return None
    status = os.fstat(file)
    is_there = os.path.lexists(path) and os.lstat(path).st_ino == status.st_ino
    if is_there and status.st_nlink > 1:  # hard links, as in a snapshot: a new one takes its place
        path.unlink()
    if not is_there or status.st_nlink > 1:
        os.close(file)
        return _alone(folder, words)
    os.ftruncate(file, 0)
    os.pwrite(file, text, 0)
    return file
