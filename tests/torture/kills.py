"""Runs and sweeps that are ended at random moments by signals, alone or with all of their group; and what is left."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conftest import LIMIT_S, Outcome, Process, assert_same_run, finished, members, process

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
ENDS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGHUP: 129}
LEFT_S = 5  # after the end of the process that was ended
SMALL = ("model=two_linear_small", "samples=200", "validation=40", "bits=3", "threads=1", "progress=false")
KINDS = {  # each runs for some seconds
    "sa": (*SMALL, "epochs=40"),
    "backprop": (*SMALL, "optimizer=backprop", "epochs=40"),
    "averaged": (*SMALL, "epochs=30", "averaging=0.9", "batch_size=50", "augment.shift=1"),
    "pinv": (*SMALL, "optimizer=pinv", "epochs=40"),
}


@dataclass(frozen=True)
class Kill:
    """One end: the kind of run or the launcher, the signal, the share of its time, and who gets it."""

    kind: str
    number: signal.Signals
    share: float
    is_group: bool


def kills(kinds: tuple[str, ...], count: int, seed: int) -> list[Kill]:
    """Return so many ends: each kind with each signal in turn, moments by chance."""
    chance = random.Random(seed)
    return [
        Kill(kinds[k % len(kinds)], SIGNALS[k // len(kinds) % 3], chance.random(), k // len(kinds) // 3 % 2 == 1)
        for k in range(count)
    ]


def timed(words: tuple[str, ...], folder: Path, name: str) -> float:
    """Run undisturbed to its end; return its seconds."""
    began = time.monotonic()
    whole = finished(process(["train", *words, name], folder))
    assert whole.code == 0, whole
    return time.monotonic() - began


def end(running: Process, kill: Kill, seconds: float) -> bool:
    """Send the signal after a share of so many seconds; return whether the process was still at work."""
    with suppress(Exception):
        running.wait(kill.share * seconds)
    was_at_work = running.poll() is None
    if was_at_work:
        (os.killpg if kill.is_group else os.kill)(running.pid, kill.number)
    outcome = finished(running)
    # A signal may come before the program listens, or after its last word.
    assert outcome.code in (ENDS[kill.number], -kill.number, 0), (kill, outcome)
    assert "Traceback" not in outcome.err, (kill, outcome)
    if kill.number != signal.SIGKILL:  # joblib's tracker tells what a killed parent has left to it
        assert outcome.err.count("\n") <= 1, (kill, outcome)
    return was_at_work and outcome.code != 0


def assert_nothing_left(running: Process, kill: Kill) -> float:
    """Assert that within LEFT_S no process of a session is left; return the seconds until then."""
    began = time.monotonic()
    while left := members(running.pid):
        assert time.monotonic() - began < LEFT_S, (kill, left)
        time.sleep(0.02)
    return time.monotonic() - began


def ended_run(kill: Kill, whole: Path, folder: Path, seconds: float, cli: Callable[..., Outcome]) -> bool:
    """End a run in a new `folder`, go on with it, and compare it with an undisturbed one; return if it was at work."""
    words = (*KINDS[kill.kind], f"hydra.run.dir={folder.name}")
    running = process(["train", *words], folder.parent)
    was_ended = end(running, kill, seconds)
    assert_nothing_left(running, kill)
    begun = (folder / "config.yaml").exists()
    resumed = cli("resume", folder.name) if begun else cli("train", *words)
    assert (resumed.code, resumed.err) == (0, ""), (kill, resumed)
    assert_same_run(folder, whole)
    return was_ended


def sweep_words(launcher: str) -> tuple[str, ...]:
    return (*SMALL, "epochs=15", "--multirun", "seed=0,1,2", f"sweep/launcher={launcher}")


def ended_sweep(kill: Kill, whole: Path, folder: Path, seconds: float) -> bool:
    """End a sweep in a new `folder`, see that nothing is left, give it again, and compare its jobs."""
    words = ["train", *sweep_words(kill.kind), f"hydra.sweep.dir={folder.name}"]
    ends, held = os.pipe()
    running = process(words, folder.parent, output=held)
    os.close(held)
    was_ended = end(running, kill, seconds)
    assert_nothing_left(running, kill)
    with open(ends, "rb") as pipe:
        os.set_blocking(ends, False)
        assert pipe.read() is not None, f"{kill}: its output is held open"  # None: nothing there, and not closed
    again = finished(process(words, folder.parent), 2 * LIMIT_S)
    assert again.code == 0, (kill, again)
    for seed in range(3):
        assert_same_run(folder / f"seed={seed}", whole / f"seed={seed}")
    return was_ended
