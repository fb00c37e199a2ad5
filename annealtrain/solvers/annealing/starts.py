"""Where chains begin, thousands of them as fast as one, and what is kept of their ends."""

from collections.abc import Sequence

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import pools
from annealtrain.solvers.annealing.markov_chains import scatter_live
from annealtrain.solvers.lattice.good_start import GOOD_STARTS

PLAIN_STARTS = ("random", "present")
STARTS = (*PLAIN_STARTS, *GOOD_STARTS)


def seeded_chains(
    seeds: Sequence[np.random.SeedSequence], reads: int, part: slice, *, live: int, bits: int
) -> tuple[Array, Array]:
    """Return keys (chains, 2) uint32 and random first levels (chains, live) int32 of some chains of several units.

    Chain c, of those in `part`, is read c % reads of unit c // reads, its seed stream(seeds[c // reads], c % reads):
    the key and the levels of a `Chain` with that seed. bits: of a level; 0 leaves the levels undefined.
    """
    units = slice(part.start // reads, (part.stop - 1) // reads + 1)
    words, hashed = pools(seeds[units])
    chains = part.stop - part.start
    keys, levels = np.empty((chains, 2), np.uint32), np.empty((chains, live), np.int32)
    _anneal.chain_seeds(words, hashed, reads, part.start - units.start * reads, bits, keys, levels)
    return keys, levels


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
