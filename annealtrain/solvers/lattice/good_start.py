"""Points that other solvers begin at: the best of a few successive roundings, or of a beam, and descent from there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import generator
from annealtrain.solvers.lattice.babai import SPREAD, descended
from annealtrain.solvers.lattice.beam import beam
from annealtrain.solvers.lattice.nearest_plane import gradients, randomised

GOOD_STARTS = ("babai", "beam")
ROUNDINGS = 16  # with 8 or 32 the ends of annealing are within 1 % of it
LEAST_WIDTH, MOST_WIDTH, NUMBERS = 32, 256, 2**14  # states of a beam, and weights x states: small units get more


@dataclass(frozen=True)
class GoodStart:
    """Levels (M, N) of units that share J and L, and their energies above the least without a grid (M,)."""

    levels: Array
    excess: Array


def good_start(kind: str, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]) -> GoodStart:
    """Return `babai`, the best of 16 roundings of each unit (Babai's and Klein's), or `beam`, that of many states.

    They are 32 states, of units of less than 512 weights up to 256. Of units that have levels already it is those.
    Coordinate descent follows.
    """
    triangle, live, units = forms[0].couplings.triangle, forms[0].couplings.indices, np.arange(len(forms))
    if forms[0].present is not None:
        reads, excess = np.array([form.present for form in forms])[:, None], np.zeros((len(forms), 1))
    elif kind == "babai":
        reads, excess = randomised(forms, [generator(seed, 0) for seed in seeds], ROUNDINGS, SPREAD)
    else:
        reads, excess = beam(forms, min(max(NUMBERS // live.size, LEAST_WIDTH), MOST_WIDTH))
    levels = descended(forms, reads[units, excess.argmin(axis=1)][:, None])[:, 0]
    offsets = forms[0].encoding.offsets(levels[:, live[triangle.order]].T)
    return GoodStart(levels, triangle.excess(triangle.targets(gradients(forms)), offsets))
