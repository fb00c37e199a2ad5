"""Where chains begin and what is kept of their ends, where that is not a level of bits at random."""

import numpy as np

from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.solvers.annealing.markov_chains import scatter_live
from annealtrain.solvers.lattice.good_start import GOOD_STARTS

PLAIN_STARTS = ("random", "present")
STARTS = (*PLAIN_STARTS, *GOOD_STARTS)


def better_reads(form: QuadraticForm, start: Array, levels: Array) -> Array:
    """Return levels (R, N) with those of a higher energy than the start (N,) replaced by it."""
    limit = form.energy(form.weights(start))
    is_worse = form.energy(form.weights(levels)) > limit
    return np.where(is_worse[:, None], start, levels)


def in_spins(form: QuadraticForm, levels: Array) -> Array:
    """Return levels (N,) as those of `form.spin_form()`, 0 or 1 a spin: (N n,)."""
    return (form.encoding.spins(levels) > 0).astype(np.int32)


def from_spins(form: QuadraticForm, found: Array) -> Array:
    """Return levels (N,) from those of the live weights of `form.spin_form()`, (live n,)."""
    return scatter_live(form, form.encoding.levels(found.astype(np.int8) * 2 - 1))
