"""What a solver's class gives for a unit, checked before training takes it for weights."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from annealtrain.errors import WrongAnswer
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array


def checked_batch(name: str, forms: Sequence[QuadraticForm], answers: Any) -> list[tuple[Array, dict[str, float]]]:
    """Return the answers of a solver's class to several units, each as `checked_answer` does."""
    if not isinstance(answers, Sequence) or len(answers) != len(forms):
        gave = f"{len(answers)} answers" if isinstance(answers, Sequence) else kind(answers)
        raise WrongAnswer(f"{name}.sample_batch gave {gave} to {len(forms)} units: give a list, one for each")
    return [checked_answer(name, form, answer) for form, answer in zip(forms, answers, strict=True)]


def checked_answer(name: str, form: QuadraticForm, answer: Any) -> tuple[Array, dict[str, float]]:
    """Return a solver's levels (reads, N) and statistics for one unit; WrongAnswer where they are none.

    name: of its class. Levels are whole numbers from 0 to the top level of the unit's grid, in one read or more.
    """
    asked = f"give levels (reads, {form.S0.size}), and statistics, a dict"
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise WrongAnswer(f"{name} gave {kind(answer)}: {asked}")
    levels, stats = answer
    if not isinstance(levels, np.ndarray) or levels.dtype.kind not in "iufb":
        raise WrongAnswer(f"{name} gave levels that are no array of numbers: {asked}")
    if np.ma.is_masked(levels):  # behind a mask lies anything
        raise WrongAnswer(f"{name} gave levels that are masked: {asked}")
    if levels.ndim != 2 or levels.shape[1] != form.S0.size or not len(levels):
        raise WrongAnswer(f"{name} gave levels of shape {levels.shape}: {asked}")
    top = form.encoding.top_level
    if levels.size and not (levels.min() >= 0 and levels.max() <= top):  # NaN is neither
        raise WrongAnswer(
            f"{name} gave levels from {levels.min():g} to {levels.max():g}: those of a weight are 0 to {top}"
        )
    if levels.dtype.kind not in "iu":
        if (levels != np.rint(levels)).any():
            raise WrongAnswer(f"{name} gave levels that are no whole numbers, 0 to {top}")
        levels = levels.astype(np.int32)
    if not isinstance(stats, dict) or not all(isinstance(value, Real) for value in stats.values()):
        raise WrongAnswer(f"{name} gave statistics that are no dict of numbers: give {{}} where there are none")
    return levels, stats


def kind(value: Any) -> str:
    """Return what a value is, in words: None, "a dict"."""
    return "None" if value is None else f"a {type(value).__name__}"
