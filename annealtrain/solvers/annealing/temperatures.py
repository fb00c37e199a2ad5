"""Inverse temperatures of an annealing solve: chosen from the Hamiltonian, or geometric."""

from typing import Any

import numpy as np

from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array

# Inverse temperature to begin with, times the typical |dE| of a top bit's flip. Slice moves have no cliffs to climb.
FIRST_BETA = {"bit": 10.0, "slice": 100.0, "greedy": 10.0}
COLDEST = 1e15  # times the first: float32 fields tell nothing finer apart


def automatic_beta_range(form: QuadraticForm, move: str = "bit") -> tuple[float, float]:
    """Return (beta0, beta1) of one unit, in 1 / loss: hot enough to move the top bit, cold enough for the lowest.

    For a general Ising problem (some J_jj <= 0) it comes from the largest and smallest typical |dE| of one flip.
    """
    live = form.couplings.indices
    diagonal = form.couplings.diagonal[live]
    field = form.gradient(form.S0)[live]
    if np.all(diagonal > 0):
        return convex_beta_range(diagonal, field, form.step, form.bits, move)
    # The size of dE at random levels: the lowest bit's for the coldest weight, the top bit's for the hottest.
    size = form.step * np.sqrt(field**2 + ((2 * form.half_range * form.couplings.live_J) ** 2).sum(axis=1))
    size = size[size > 0]
    if not size.size:
        return 1.0, 1.0
    first = 0.2 / (size.max() * 2 ** (form.bits - 1))
    return first, min(30 / size.min(), COLDEST * first)


def convex_beta_range(diagonal: Array, field: Array, step: float, bits: int, move: str) -> tuple[Any, Any]:
    """Return the automatic range of live weights with J_jj > 0 (live,) and dE/dS at S0 (..., live)."""
    top = step * 2 ** (bits - 1)
    # One of many thousand small solves of a run: sums and minima are several times faster than np.mean and np.clip.
    square = ((top * field) ** 2 + (top**2 * diagonal) ** 2).sum(axis=-1) / len(diagonal)
    first = FIRST_BETA[move] / np.sqrt(square)
    return first, np.minimum(np.maximum(100 / (step**2 * (diagonal.sum() / len(diagonal))), first), COLDEST * first)


def cooling(first: Any, last: Any, num_sweeps: int) -> Array:
    """Return geometric inverse temperatures (num_sweeps, ...), from first to last, each a number or (...)."""
    if num_sweeps == 1:
        return np.array([last])
    whole = np.log(last / first)
    logs = np.multiply.outer(np.arange(num_sweeps), whole / (num_sweeps - 1))
    logs[-1] = whole
    return first * np.exp(logs)
