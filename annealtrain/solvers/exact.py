"""The ground state: all states of small units counted, larger ones by enumeration of a tree with certified bounds."""

import logging
from collections.abc import Sequence

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.grid import in_words
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import checked, whole
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.solvers.lattice.enumeration import enumerate_levels
from annealtrain.solvers.lattice.nearest_plane import gradients
from annealtrain.solvers.solver import Solver

MAX_SPINS = 24  # units of so many are counted
MAX_WEIGHTS = 60  # of a unit whose tree is enumerated
WIDTH = 256  # of the beam search that the enumeration starts from

log = logging.getLogger(__name__)


class Exact(Solver):
    """`solver=exact`: the ground state. Units of at most 24 spins (live weights x bits): all their states are counted.

    max_nodes: larger units, of at most 60 live weights and a J that is positive semidefinite, are enumerated as a tree
    (Schnorr and Euchner) of at most so many nodes, 0: not at all. How many it takes depends on J and the box, and
    doubles with every few weights; a unit that takes more ends with the best levels that it has met, and the
    statistic `certified`, 1 where a unit is solved, says so.
    """

    max_counted = MAX_SPINS

    @checked("solver.", max_nodes=whole(0))
    def __init__(self, max_nodes: int = 5_000_000) -> None:
        self.max_nodes = max_nodes

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        for k, count in enumerate(weights):
            if count * bits > MAX_SPINS and (count > MAX_WEIGHTS or not self.max_nodes):
                raise InputError(
                    f"layer {k} needs {count * bits} spins ({count} weights of {in_words(bits, None)}); "
                    f"solver=exact enumerates at most {MAX_SPINS} spins or {MAX_WEIGHTS} weights: "
                    "lower bits, take a smaller model, or solver=sa"
                )

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        live = form.couplings.indices
        self.check(bits=form.bits, weights=[live.size])
        if live.size * form.bits > self.max_counted and live.size:
            return self._enumerated(form, seed)
        levels = np.zeros((1, form.S0.size), dtype=np.int32)
        levels[0, live] = counted(form)
        return levels, {"nodes": float((form.encoding.top_level + 1) ** live.size), "certified": 1.0}

    def _enumerated(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        triangle = form.couplings.triangle
        places = form.couplings.indices[triangle.order]
        reads, _ = Beam(WIDTH).sample(form, seed)
        start = reads[np.argmin(form.energy(form.weights(reads)))]
        targets = triangle.targets(gradients([form]))[:, 0]
        found = enumerate_levels(triangle, targets, form.encoding, start[places], self.max_nodes)
        if not found.is_certified:
            log.warning("exact: %d nodes are not enough for a unit of %d weights", found.nodes, places.size)
        levels = np.zeros((1, form.S0.size), dtype=np.int32)
        levels[0, places] = found.levels
        return levels, {"nodes": float(found.nodes), "certified": float(found.is_certified)}


def counted(form: QuadraticForm) -> Array:
    """Return the levels (live,) of the lowest energy of all."""
    energies, grids = all_energies(form)
    first, second = np.unravel_index(int(np.argmin(energies)), energies.shape)
    return np.concatenate([grids[0][first], grids[1][second]])


def all_energies(form: QuadraticForm) -> tuple[Array, list[Array]]:
    """Return the energies of all states, that of S0 subtracted, and the levels of both halves of the live weights.

    Energy [x, y] is that of state x of the first half, (states, weights), and state y of the second.
    """
    live, J = form.couplings.indices, form.couplings.live_J
    # E(x, y) = E(x) + E(y) + 2 x'Jy for the two halves of the weights: all pairs as one matrix product.
    half = live.size // 2
    field = form.gradient(form.S0)[live]
    grids = [_all_levels(count, form.encoding) for count in (half, live.size - half)]
    moves = [form.encoding.offsets(grid) for grid in grids]
    own = [
        ((x @ J[part, part] + field[part]) * x).sum(axis=1)
        for x, part in zip(moves, (slice(0, half), slice(half, None)), strict=True)
    ]
    return 2 * (moves[0] @ J[:half, half:]) @ moves[1].T + own[0][:, None] + own[1], grids


def _all_levels(count: int, encoding: Encoding) -> Array:
    """Return every combination of levels of `count` weights: (levels^count, count), the first weight's fastest."""
    levels = encoding.top_level + 1
    return np.arange(levels**count)[:, None] // levels ** np.arange(count) % levels
