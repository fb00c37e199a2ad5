"""Corrupted run folders: cut, zeroed, flipped, with other digits, a file missing; what each command says of them.

    PYTHONPATH=tests python -m pytest -m torture tests/test_corruptions.py

Every command must end by itself, in one line where it refuses, and accept nothing that a checksum could tell.
"""

import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES = ("config.yaml", "meta.json", "metrics.csv", "solves.csv", "result.json", "last.npz", "best.npz")
COMMANDS = ("collect", "report", "plot", "eval", "resume", "export")
LIMIT_S = 60  # of one command, beside busy processes too


class Hang(Exception):
    """A command that does not end."""


@dataclass(frozen=True)
class Trial:
    """One corruption of one file, and the command that then reads the folder."""

    is_finished: bool
    name: str
    kind: str
    command: str
    seed: int


def trials(count: int, seed: int = 0) -> Iterator[Trial]:
    """Yield so many trials: each file and each command in turn, kinds and places by chance."""
    chance = random.Random(seed)
    for number in range(count):
        is_finished = number % 5 < 3
        names = FILES if is_finished else tuple(name for name in FILES if name != "result.json")
        name, kind = names[number % len(names)], chance.choice(list(KINDS))
        yield Trial(is_finished, name, kind, COMMANDS[number // len(names) % len(COMMANDS)], chance.getrandbits(32))


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def zeroed(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    stop = min(len(content), start + chance.randint(1, 200))
    return content[:start] + bytes(stop - start) + content[stop:]


def flipped(content: bytes, chance: random.Random) -> bytes:
    wrong = bytearray(content)
    for _ in range(chance.choice((1, 1, 8))):
        wrong[chance.randrange(len(wrong))] ^= 1 << chance.randrange(8)
    return bytes(wrong)


def other_digit(content: bytes, chance: random.Random) -> bytes:
    places = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    wrong, place = bytearray(content), chance.choice(places)
    wrong[place] = chance.choice([digit for digit in range(48, 58) if digit != wrong[place]])
    return bytes(wrong)


def line_again(content: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
    return b"".join(lines)


def stripped(content: bytes, _: random.Random) -> bytes:
    """Take the checksums from a result, or from a meta.json the word that there are some."""
    try:
        held = json.loads(content)
        del held["checksums"]
    except (ValueError, KeyError):  # another file
        return content + content[-1:]
    return json.dumps(held).encode()


KINDS: dict[str, Callable[[bytes, random.Random], bytes] | None] = {
    "cut": cut,
    "zeroed": zeroed,
    "flipped": flipped,
    "other digit": other_digit,
    "line again": line_again,
    "stripped": stripped,
    "missing": None,
}


def tried(trial: Trial, runs: dict[bool, Path], folder: Path, cli: Callable[..., Any]) -> str:
    """Return what became of a trial in a new `folder`, "refused" or "accepted"; AssertionError for a fault."""
    shutil.copytree(runs[trial.is_finished], folder)
    path, corrupt = folder / trial.name, KINDS[trial.kind]
    before = path.read_bytes()
    if corrupt is None:
        path.unlink()
    else:
        path.write_bytes(corrupt(before, random.Random(trial.seed)))
    told = trial.is_finished and is_told(trial, path, before)
    words = [trial.command, str(folder)]
    if trial.command == "export":
        words += ["--format", "coo", "--force"]
    with limit(LIMIT_S):
        outcome = cli(*words)
    assert outcome.code in (0, 1, 2), (trial, outcome)
    assert "Traceback" not in outcome.err, (trial, outcome)
    assert outcome.err.count("\n") <= 1, (trial, outcome)
    if outcome.code == 0:
        assert not told, (trial, outcome)
        return "accepted"
    assert outcome.err.startswith(f"annealtrain {trial.command}: ") or trial.command == "eval", (trial, outcome)
    return "refused"


def is_told(trial: Trial, path: Path, before: bytes) -> bool:
    """Whether a finished run's checksums tell that a file is another one, and the command has to look."""
    if trial.name == "result.json":  # what it says is told, not its spaces
        if not path.exists():
            return False  # a run that has not finished yet
        try:
            return bool(json.loads(path.read_text()) != json.loads(before))
        except ValueError:
            return True
    if not path.exists():
        return not trial.name.endswith(".npz")  # weights may be removed: who reads them will miss them
    return path.read_bytes() != before


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise Hang in a body that takes longer."""

    def end(*_: object) -> None:
        raise Hang(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
