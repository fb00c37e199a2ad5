"""Bad arguments of every command, made of the configuration's own keys and of values that are nonsense.

    PYTHONPATH=tests python -m pytest -m torture tests/test_bad_arguments.py

Every call must end by itself, in one clear line where it refuses. A value that turns out valid is as good: the training
that it would begin is interrupted.
"""

import inspect
import itertools
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from conftest import Outcome, composed
from hydra.utils import get_object

from torture.corruptions import limit

LIMIT_S = 10  # of one call; tests beside busy processes allow more
TINY = ("dataset=digits", "model=linear_small", "samples=30", "validation=20", "epochs=1", "threads=1")
CONFIGURATIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("solver=descent",),
    ("solver=sa_beam", "optimizer=pinv"),
    ("optimizer=backprop",),
    ("model=two_conv_small",),
    ("optimizer=kronecker", "solver=sqa"),
    ("solver=exact", "bits=1"),
    ("solver=neal",),
    ("solver=tabu",),
    ("solver=klein", "optimizer=pinv_weighted"),
    ("solver=itemc",),
    ("solver=dimod",),
    ("solver=pathintegral", "schedule=linear"),
    ("solver=steepest", "optimizer=difference"),
    ("solver=reference", "schedule=constant"),
    ("solver=dwave", "solver.mock=pegasus"),
    ("method=dwave_emulated",),
    ("experiment=fig5b",),
    ("model=lenet_small",),
    ("solver=beam",),
    ("solver=babai",),
)
TEXTS = ("abc", "''", "' '", "1e", "0x10", "é∞", "'\u202e\U0001f600'", "../../etc", "'a=b'", "None", "-", "true", "no")
NUMBERS = ("0", "-1", "1.5", "-0.0", "nan", "inf", "-inf", "1e400", "1e18", "-1e300", "99999999999999999999", "1e-320")
WHOLES = (str(2**31), str(2**63), str(-(2**63)), str(10**12), "1" + 400 * "0", "-1" + 400 * "0")
NESTED = ("[]", "[1,2]", "{}", "{a:1}", "[[1],{a:null}]", "{_target_:os.getcwd}", "[nan]", "null", "1,2", "", "${bits}")
INTERPOLATED = ("${nothing}", "${oc.env:NOTHING}", "'${'", "???", "[" * 300 + "]" * 300, "{", "]", "'", "a b")
NONSENSE = (*TEXTS, *NUMBERS, *WHOLES, *NESTED, *INTERPOLATED)
GROUPS = ("model", "dataset", "solver", "schedule", "optimizer", "experiment", "method", "sweep", "sweep/launcher")
HYDRAS = ("hydra.run.dir", "hydra.job.chdir", "hydra.output_subdir", "hydra/job_logging", "hydra.mode", "hydra.verbose")
UNKNOWN = (
    "epoch",
    "solver.num_sweep",
    "annealing.beta.x",
    "bits.x",
    "solver._target_",
    "model.layers.0",
    "é",
    "1",
    "a/b",
)
UNKNOWN = (
    *UNKNOWN,
    "model.layers",
    "optimizer._args_",
    "solver._partial_",
    "",
    ".",
    "a@b",
    "~",
    "hydra",
    "_global_",
    "@",
)

# Commands that compose nothing: their arguments, X in the place of nonsense.
OTHERS = (
    ("data", "--data-dir", "X"),
    ("data", "--download", "X"),
    ("data", "X"),
    ("collect", "X"),
    ("collect", "run", "--output", "X"),
    ("plot", "X"),
    ("plot", "run", "X"),
    ("report", "X"),
    ("report", "run", "--output", "X"),
    ("eval", "X"),
    ("eval", "run", "--trust", "X"),
    ("resume", "X"),
    ("resume", "run", "X"),
    ("resume", "run", "--trust", "X"),
    ("export", "X", "--format", "coo"),
    ("export", "run", "--format", "X"),
    ("export", "run", "--format", "coo", "--force", "--layer", "X"),
    ("export", "run", "--format", "coo", "--force", "--unit", "X"),
    ("export", "run", "--format", "coo", "--force", "--output", "X"),
    ("export", *TINY, "--format", "coo", "--force", "--output", "out.coo", "--config-dir", "X"),
    ("bench", "X"),
    ("bench", "solvers", *TINY, "--repeats", "X"),
    ("bench", "solvers", *TINY, "--timeout", "X"),
    ("bench", "solvers", *TINY, "--output", "X"),
    ("bench", "solvers", *TINY, "layer=X"),
    ("figure", "X"),
    ("figure", "fig2b", *TINY, "--seeds", "X"),
    ("train", *TINY, "--config-dir", "X"),
    ("train", *TINY, "--X"),
    ("train", *TINY, "X"),
    ("train", *TINY, "-m", "seed=X"),
    ("train", *TINY, "figure=X", "sweep=figure"),
    ("train", *TINY, "seeds=X", "figure=fig2b", "sweep=figure", "method=pinv"),
    ("train", *TINY, "sweep=search", "hydra.sweeper.n_trials=X"),
    ("X",),
)


@dataclass(frozen=True)
class Trial:
    """One call of the command line."""

    words: tuple[str, ...]

    def __repr__(self) -> str:
        return " ".join(word if len(word) < 200 else f"{word[:20]}...({len(word)})" for word in self.words)


def trials(count: int, seed: int = 0) -> Iterator[Trial]:
    """Yield so many trials: each configuration, key and value in turn, put together by chance."""
    chance = random.Random(seed)
    values = itertools.cycle(chance.sample(NONSENSE, len(NONSENSE)))
    others = itertools.cycle(chance.sample(OTHERS, len(OTHERS)))
    configurations = itertools.cycle(CONFIGURATIONS[: max(4, count // 40)])
    for number, value in zip(range(count), values, strict=False):
        if number % 5 == 0:
            yield Trial(tuple(word.replace("X", value) for word in next(others)))
            continue
        own = next(configurations)
        draw = chance.random()
        of_all = keys(own)
        key = chance.choice(of_all if draw < 0.8 else GROUPS if draw < 0.87 else HYDRAS if draw < 0.91 else UNKNOWN)
        sign = chance.choice(("", "", "++", "+", "~")) if draw < 0.9 else chance.choice(("", "+", "++"))
        yield Trial(tuple(command(chance, [*base(own), f"{sign}{key}={value}"])))


def command(chance: random.Random, words: list[str]) -> list[str]:
    """Return a command on a composed configuration."""
    draw = chance.random()
    if draw < 0.6:
        return ["train", *words, *(["hydra.run.dir=new"] if "hydra.run.dir" not in words[-1] else [])]
    if draw < 0.75:
        return ["estimate", *words]
    if draw < 0.87:
        return ["export", *words, "--format", chance.choice(("coo", "lp", "torch")), "--output", "out.x", "--force"]
    if draw < 0.94:
        return ["bench", "solvers", *words, "--output", "bench"]
    # No method of its own beside: a figure compares them.
    return ["figure", "fig2b", "dataset=digits", "samples=30", "validation=20", "epochs=1", words[-1], "--seeds=1"]


def base(own: tuple[str, ...]) -> list[str]:
    """Return the words of a small configuration."""
    named = {word.partition("=")[0] for word in own}
    return [*(word for word in TINY if word.partition("=")[0] not in named), *own]


@cache
def keys(own: tuple[str, ...]) -> list[str]:
    """Return every key of a configuration, those of groups too, and every argument of what it builds."""
    return sorted(set(_keys("", composed(*base(own)))))


def _keys(prefix: str, node: Any) -> Iterator[str]:
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(f"{prefix}{name}.", value)
    if target := node.get("_target_"):
        yield from (f"{prefix}{name}" for name in inspect.signature(get_object(target)).parameters)


def tried(trial: Trial, cli: Callable[..., Outcome], limit_s: float = LIMIT_S) -> str:
    """Return what became of a trial, "refused" or "accepted"; AssertionError for a fault."""
    with limit(limit_s):
        try:
            outcome = cli(*trial.words)
        except (Accepted, Exception) as end:
            if isinstance(end, Accepted):
                return "accepted"
            raise AssertionError(f"{trial}: {type(end).__name__}: {end}") from end
    said = (trial, outcome.code, outcome.out[-1000:], outcome.err[-1000:])
    assert "Traceback" not in outcome.err + outcome.out, said
    if outcome.code == 2:
        assert outcome.err.count("\n") == 1, said
        assert outcome.err.startswith("annealtrain"), said
        assert len(outcome.err) < 3000, said
        return "refused"
    failed = outcome.code == 1 and ("failed" in outcome.out or "eval" in trial.words or "diverged" in outcome.err)
    assert outcome.code == 0 or failed or (outcome.code == 130 and "interrupted" in outcome.err), said
    return "refused" if failed else "accepted"


class Accepted(BaseException):
    """What is raised in place of work that nothing was refused for; no handler of errors may take it."""


def accepted(*_: object, **__: object) -> None:
    raise Accepted


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Press Ctrl-C in a body that takes longer, within a limit that goes on."""

    def press(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    handler, left = signal.signal(signal.SIGALRM, press), signal.setitimer(signal.ITIMER_REAL, seconds)[0]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, max(0.01, left - seconds) if left else 0)
        signal.signal(signal.SIGALRM, handler)
