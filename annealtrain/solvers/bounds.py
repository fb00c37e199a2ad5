"""Certified lower bounds of a unit's energy, by descent in the box and its dual."""

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array

# Sweeps of box descent behind a certified bound: at least 50, and up to 2000 for small units, where they cost little.
BOUND_WORK = 4e6


def descend(form: QuadraticForm, start: Array, step: float, max_sweeps: int, tolerance: float = 0.0) -> Array:
    """Return weights (N,) after coordinate descent in the box from `start`; step 0 is the continuous box."""
    live = form.couplings.indices
    weights, fields = np.ascontiguousarray(start[live]), np.ascontiguousarray(form.gradient(start)[live])
    _anneal.coordinate_descent(
        form.couplings.live_J,
        np.ascontiguousarray(form.S0[live]),
        form.half_range,
        step,
        tolerance,
        max_sweeps,
        fields,
        weights,
    )
    result = form.S0.copy()
    result[live] = weights
    return result


def lower_bound(form: QuadraticForm, weights: Array) -> float:
    """Return a certified lower bound of a convex form's energy in its box: the dual bound after box descent."""
    scale = abs(float(form.energy(form.S0))) + abs(form.E0)
    sweeps = int(min(max(BOUND_WORK / max(form.couplings.indices.size, 1) ** 2, 50), 2000))
    return form.dual_bound(descend(form, weights, 0.0, sweeps, 1e-10 * scale))
