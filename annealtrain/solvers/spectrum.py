"""The energies that a unit has: all of them where they can be counted, else those of chance and of many reads."""

from dataclasses import dataclass
from math import log2

import numpy as np

from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import memory
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import stream
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.exact import MAX_SPINS, all_energies

SAME = 1e-9  # of the range of all energies: those closer together are one, which rounding has parted
MOST_LEVELS, BINS = 1000, 100
MOST_WEIGHTS = 8192  # of whose J eigenvalues are sought: of more it takes hours


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The energies of a unit's live weights.

    is_counted: whether they are those of all states; else of reads of an annealer, and of as many states by chance.
    log2_states: of how many states there are. energies: distinct ones from the lowest on, at most MOST_LEVELS, and
    states: how many states, or reads, have each. edges, density: how many states lie in each bin, the last one with its
    end; reads: how many reads, None where all are counted. present: the energy before a solve.
    eigenvalues: of J, rising; None of too large a J.
    """

    is_counted: bool
    log2_states: float
    energies: Array
    states: Array
    edges: Array
    density: Array
    reads: Array | None
    present: float
    eigenvalues: Array | None

    @property
    def degeneracy(self) -> int:
        """How many states, or reads, have the lowest energy."""
        return int(self.states[0])

    @property
    def gap(self) -> float:
        """From the lowest energy to the next; NaN where there is none."""
        return float(self.energies[1] - self.energies[0]) if len(self.energies) > 1 else float("nan")

    @property
    def condition(self) -> float:
        """Of J: its largest eigenvalue by its smallest above rounding; NaN where they are not known."""
        if self.eigenvalues is None:
            return float("nan")
        rounding = self.eigenvalues[-1] * len(self.eigenvalues) * np.finfo(np.float64).eps
        above = self.eigenvalues[self.eigenvalues > rounding]
        return float(above[-1] / above[0]) if above.size else float("nan")


def spectrum(form: QuadraticForm, *, num_reads: int = 1000, num_sweeps: int = 100, seed: int = 0) -> Spectrum:
    """Return the energies of a unit: of all states up to 24 spins, else of num_reads reads of annealing.

    Weights that do not move its energy are left out: each multiplies the states by its levels. InputError where the
    states, or the reads, are more than memory holds.
    """
    form = form.live_part()
    N, levels = form.S0.size, form.encoding.top_level + 1
    present = float(form.energy(form.weights(form.present_levels) if form.present is not None else form.S0))
    eigenvalues = np.linalg.eigvalsh(form.J) if 0 < N <= MOST_WEIGHTS else None
    if N * log2(levels) <= MAX_SPINS:
        memory.require(3 * 8 * levels**N, f"{levels**N} energies", "lower bits or take a smaller layer")
        found, reads = np.sort(all_energies(form)[0], axis=None) + float(form.energy(form.S0)), None
        told, chance = found, found
    else:
        memory.require(16 * num_reads * N, f"{num_reads} reads", "take fewer with --reads")
        annealed = SimulatedAnnealing(num_sweeps, num_reads).sample(form, stream(seed, 0))[0]
        told = np.sort(form.energy(form.weights(annealed)))
        random = np.random.default_rng(stream(seed, 1)).integers(0, levels, (num_reads, N))
        chance = np.sort(form.energy(form.weights(random)))
    span = (min(told[0], chance[0]), max(told[-1], chance[-1]))
    span = span if span[1] > span[0] else (span[0] - 0.5, span[1] + 0.5)
    density, edges = np.histogram(chance, BINS, span)
    reads = None if told is chance else np.histogram(told, BINS, span)[0]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(told) > SAME * (span[1] - span[0])) + 1])
    states = np.diff([*starts[:MOST_LEVELS], *([len(told)] if len(starts) <= MOST_LEVELS else [starts[MOST_LEVELS]])])
    energies = told[starts[:MOST_LEVELS]]
    return Spectrum(reads is None, N * log2(levels), energies, states, edges, density, reads, present, eigenvalues)
