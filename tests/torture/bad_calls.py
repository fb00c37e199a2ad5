"""Bad calls of the library: each argument of its functions in turn given a value that is nonsense."""

import itertools
import random
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import annealtrain
from annealtrain import LayerProblem
from annealtrain.solvers.decompose import Decompose
from annealtrain.solvers.lattice.babai import Babai
from torture.corruptions import limit

LIMIT_S = 10
J = np.array([[2.0, 0.5, 0.0], [0.5, 2.0, 0.1], [0.0, 0.1, 2.0]])
ROWS = np.arange(12.0).reshape(4, 3)
ONES = np.ones((2, 3))
NONSENSE: tuple[Any, ...] = (
    *("abc", "", b"1", "1", "é\u202e", "a\nb", "1" * 400),
    *(-1, 10**19, 10**400, -(10**400), float("nan"), float("inf"), 1e300, 1.5, 1j, Fraction(1, 3), True),
    *([], {}, [1, 2, 3, 4, 5], {"a": 1}, [[1], [2, 3]], {1, 2}, (), [None], ["a"], [float("nan")], range(3)),
    *(object(), int, np.zeros((0, 3)), np.full((3, 3), np.inf), np.array("a"), np.array([None, {}]), lambda: 1),
    *(np.datetime64("2020"), np.ones((2, 2, 2, 2)), slice(2), Ellipsis),
)


def problem() -> LayerProblem:
    return LayerProblem.from_moments(J, ONES, np.ones(2), np.zeros((2, 3)), 1.0, 2)


def functions(run: Path) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Return what is called, and arguments that are good. run: folder of a finished run."""
    tiny = {"model": "linear_small", "samples": 30, "validation": 20, "epochs": 1, "folder": run, "threads": 1}
    anneal = {"J": J, "h": None, "S0": None, "L": 1.0, "bits": 2, "num_sweeps": 2, "num_reads": 2, "beta_range": None}
    anneal |= {
        "beta_schedule": None,
        "initial_levels": None,
        "record_every": None,
        "move": "bit",
        "order": "sequential",
        "time_limit_s": None,
        "seed": 0,
        "threads": 1,
        "progress": None,
    }
    moments = {"J": J, "h": ONES, "E0": np.ones(2), "S0": np.zeros((2, 3)), "half_range": 1.0, "bits": 2}
    moments |= {"num_levels": None, "convex": None}
    rows = {"inputs": ROWS, "targets": np.ones((4, 2)), "S0": np.zeros((2, 3)), "half_range": 1.0, "bits": 2}
    rows |= {"num_levels": None, "factors": None, "samples": None, "ridge": 0.0}
    rounding = {"H": J, "W": ONES, "half_range": 1.0, "bits": 2, "num_levels": None, "centre": 0.0}
    solve = {"solver": "sa", "seed": 0, "threads": 1, "num_sweeps": 2, "num_reads": 1, "move": "bit", "beta": None}
    fit = {"X": np.arange(40.0).reshape(20, 2) % 7, "y": np.arange(20) % 2}
    made = {"hidden": (3,), "epochs": 1, "bits": 2, "L": 0.1, "num_sweeps": 1, "ridge": 0.01, "alpha": 0.1}
    made |= {"random_state": 0, "threads": 1}

    classifier = annealtrain.AnnealClassifier  # here, as its imports take seconds

    def fitted(**given: Any) -> Any:
        data = {name: given.pop(name) for name in ("X", "y")}
        return classifier(**given).fit(**data)

    given = {"H": J, "W": ONES, "bits": 2, "scales": 1.0, "num_levels": None, "solver": "babai", "seed": 0}
    counts = {"run_s": 1.0, "successes": 1, "runs": 3, "confidence": 0.99, "interval": 0.95}
    more = _of_torch() if find_spec("torch") else {}
    return more | {
        "quantize_layer": (annealtrain.quantize_layer, given),
        "tts": (annealtrain.tts, counts),
        "instance": (annealtrain.instances.load, {"name": "digits-linear_small-step-2"}),
        "decompose": (Decompose, {"inner": Babai(), "max_spins": 8, "rounds": 2}),
        "anneal": (annealtrain.anneal, anneal),
        "train": (annealtrain.train, tiny),
        "load": (annealtrain.load, {"folder": run, "trust": ()}),
        "from_moments": (LayerProblem.from_moments, moments),
        "from_rows": (LayerProblem.from_rows, rows),
        "of_rounding": (LayerProblem.of_rounding, rounding),
        "solve": (lambda **given: problem().solve(**given), solve),
        "fit": (fitted, {**fit, **made}),
    }


def _of_torch() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    import torch

    from annealtrain.torch import IsingKronecker

    torch.manual_seed(0)
    rows, model = torch.rand(20, 3), torch.nn.Linear(3, 2)
    quantize = {"model": model, "loader": [rows], "bits": 2, "levels": None, "held_out": None, "samples": 10}
    quantize |= {"group_size": None, "solver": "babai", "objective": "layerwise", "damping": None, "rounds": 1}
    quantize |= {"compensate": True, "refit_bias": True, "seed": 0, "threads": 1, "progress": None}
    step = {"bits": 2, "half_range": 0.005, "solver": "descent", "solver_settings": None, "loss": "cross_entropy"}
    step |= {"layers": None, "rest": torch.optim.SGD, "outputs": None, "eta": 0.15, "damping": 0.1, "momentum": 0.9}
    step |= {"memory": 0.95, "every": 16, "factors": "sites", "seed": 0, "threads": 1}

    def stepped(module: Any, **settings: Any) -> None:
        optimizer = IsingKronecker(module, **settings)
        try:
            model(rows).sum().backward()
            optimizer.step()
        finally:
            optimizer.close()

    return {"quantize": (annealtrain.quantize, quantize), "step": (stepped, {"module": model, **step})}


def called(count: int, run: Path, seed: int = 0) -> dict[str, Any]:
    """Make so many bad calls; return how many were refused, how many values were good ones, and a text for each fault.

    A fault is another error than ValueError or TypeError, one of several lines, or a call that does not end.
    """
    chance = random.Random(seed)
    arguments = [
        (name, call, good, key) for name, (call, good) in functions(run).items() for key in (*good, "no_such_argument")
    ]
    found: dict[str, Any] = {"refused": 0, "accepted": 0, "faults": []}
    for name, call, good, key in itertools.islice(itertools.cycle(chance.sample(arguments, len(arguments))), count):
        value = chance.choice(NONSENSE)
        said = f"{name}({key}={repr(value)[:80]})"
        try:
            with limit(LIMIT_S):
                call(**{**good, key: value})
            found["accepted"] += 1
        except (ValueError, TypeError) as error:
            found["refused"] += 1
            if not str(error) or "\n" in str(error):
                found["faults"].append(f"{said}: {error}")
        except Exception as error:
            found["faults"].append(f"{said}: {type(error).__name__}: {error}")
    return found
