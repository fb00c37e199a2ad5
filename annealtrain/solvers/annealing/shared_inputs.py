"""Annealing units of an activated layer side by side: they share inputs X, but not J = X' diag(gamma^2) X / Q.

No J is formed. What is kept between two weights is the residual gamma (gamma X S - targets) of each unit, and J only
in its diagonal blocks of 32 weights: memory is O(inputs), and a lane of the kernel holds one unit (or read).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.memory import aligned
from annealtrain.runtime.random_streams import Seed, stream
from annealtrain.solvers.annealing.markov_chains import ChainResult, chain_stats, timed_blocks, to_float32
from annealtrain.solvers.annealing.starts import seeded_chains
from annealtrain.solvers.annealing.temperatures import Cooling
from annealtrain.solvers.deadline import UNWATCHED, Watch
from annealtrain.solvers.solver import SolveResult
from annealtrain.solvers.statistics import combine_units, with_rates

BOUND_BITS, BOUND_SWEEPS = 16, 25  # a grid so fine that descent on it finds the box's minimum


def anneal_shared_inputs(
    problem: LayerProblem, cooling: Cooling, *, num_reads: int, is_from_present: bool, seed: Seed, watch: Watch
) -> SolveResult:
    """Return the result of num_reads chains a unit, each from random levels or from those closest to S0."""
    started = time.perf_counter()
    shared, (M, N), R = SharedInputs(problem), problem.S0.shape, num_reads
    live, gradients, lanes = shared.columns.size, shared.gradients(problem.S0), []
    for i in range(M):
        own = shared.live[i]
        diagonal = shared.diagonal[i, own] + shared.ridge[i]
        betas = cooling.of_moments(diagonal, gradients[i, own], problem.encoding.step, problem.bits, problem.sites)
        keys, starts = seeded_chains([stream(seed, i)], R, slice(0, R), live=live, bits=problem.bits)
        if is_from_present:
            starts[:] = problem.encoding.middle_level
        lanes += [Lane(i, key, start, betas) for key, start in zip(keys, starts, strict=True)]
    built = time.perf_counter()
    ends = shared.run_all(lanes, problem.bits, cooling.move, watch)
    found = np.array([end.levels for end in ends]).reshape(M, R, live)
    levels = np.zeros((M, R, N), dtype=np.int32)
    levels[:, :, shared.columns] = found
    weights = np.stack([shared.weights(found[:, r], problem.bits) for r in range(R)], axis=1)
    energies = np.stack([shared.energies(weights[:, r]) for r in range(R)], axis=1)
    order = np.argsort(energies, axis=1, kind="stable")
    levels, weights = (np.take_along_axis(each, order[:, :, None], axis=1) for each in (levels, weights))
    energies = np.take_along_axis(energies, order, axis=1)
    annealed = time.perf_counter()
    bounds = shared.lower_bounds(weights[:, 0])
    visits = live * (problem.bits if cooling.move == "bit" else 1)
    units = [ends[R * i : R * (i + 1)] for i in range(M)]
    flips, sweeps = ([[getattr(end, name) for end in unit] for unit in units] for name in ("flips", "sweeps"))
    stats = combine_units([chain_stats(lanes[R * i].betas, flips[i], sweeps[i], visits) for i in range(M)])
    times = {"build_s": built - started, "anneal_s": annealed - built, "bound_s": time.perf_counter() - annealed}
    start_energies = shared.energies(problem.S0)
    return SolveResult(levels, weights, energies, start_energies, bounds, with_rates(stats | times), problem.bits)


@dataclass(frozen=True)
class Lane:
    """One chain: unit, the seed's words, first levels (live,), inverse temperatures (sweeps,) in 1 / loss."""

    unit: int
    key: Array
    start: Array
    betas: Array


class SharedInputs:
    """The least-squares view of a layer problem with factors, in the forms that annealing by rows reads."""

    def __init__(self, problem: LayerProblem) -> None:
        assert problem.least_squares is not None
        assert problem.least_squares.factors is not None
        self.problem, self.rows = problem, problem.least_squares
        self.inputs = problem.least_squares.inputs.astype(np.float64)
        self.gamma = problem.least_squares.factors.astype(np.float64)
        self.diagonal = ((self.inputs**2).T @ self.gamma**2).T / self.rows.samples  # (M, N), without the ridge
        self.live = self.diagonal > 0
        self.ridge = problem.ridge * self.diagonal.mean(axis=1)

    @cached_property
    def columns(self) -> Array:
        """The weights that are live in some unit: (live,) int."""
        return np.flatnonzero(self.live.any(axis=0))

    @cached_property
    def live_inputs(self) -> Array:
        """Their inputs: (R, live) float32, contiguous."""
        return np.ascontiguousarray(self.rows.inputs[:, self.columns], dtype=np.float32)

    @cached_property
    def blocks(self) -> Array:
        """The same in blocks of columns, (blocks, R rounded up to ROW_GROUP, BLOCK), zeros beyond."""
        R, n = self.live_inputs.shape
        group, block = _anneal.ROW_GROUP, _anneal.BLOCK
        padded = np.zeros((-(-R // group) * group, -(-n // block) * block), np.float32)
        padded[:R, :n] = self.live_inputs
        return np.ascontiguousarray(padded.reshape(len(padded), -1, block).swapaxes(0, 1))

    def residuals(self, weights: Array) -> Array:
        """Return gamma X S_i - targets of each unit at weights (M, N): (R, M)."""
        residuals: Array = self.gamma * (self.inputs @ weights.T) - self.rows.targets
        return residuals

    def energies(self, weights: Array) -> Array:
        """Return each unit's loss and ridge at weights (M, N): (M,)."""
        away = ((weights - self.problem.S0) ** 2 * self.live).sum(axis=1)
        found: Array = (self.residuals(weights) ** 2).sum(axis=0) / self.rows.samples + self.ridge * away
        return found

    def gradients(self, weights: Array) -> Array:
        """Return each unit's dE/dS at weights (M, N): (M, N)."""
        slope = (self.inputs.T @ (self.gamma * self.residuals(weights))).T * (2 / self.rows.samples)
        found: Array = slope + 2 * self.ridge[:, None] * (weights - self.problem.S0) * self.live
        return found

    def weights(self, levels: Array, bits: int) -> Array:
        """Return weights (M, N) of levels (M, live) on a grid of `bits` bits; dead weights keep S0."""
        found = self.problem.S0.copy()
        offset = Encoding(self.problem.half_range, bits).offsets(levels)
        found[:, self.columns] += np.where(self.live[:, self.columns], offset, 0.0)
        return found

    def lower_bounds(self, weights: Array) -> Array:
        """Return certified lower bounds (M,): the dual bound after descent in the box from weights (M, N)."""
        S0, L = self.problem.S0, self.problem.half_range
        start = Encoding(L, BOUND_BITS).nearest_levels((weights - S0)[:, self.columns])
        still = np.ones(BOUND_SWEEPS)
        lanes = [Lane(i, np.zeros(2, np.uint32), start[i], still) for i in range(len(S0))]
        ends = self.run_all(lanes, BOUND_BITS, "greedy")
        box = np.clip(self.weights(np.array([end.levels for end in ends]), BOUND_BITS), S0 - L, S0 + L)
        g = np.where(self.live, self.gradients(box), 0.0)
        gain = np.minimum(g * (S0 - L - box), g * (S0 + L - box)).sum(axis=1)
        bounds: Array = np.maximum(self.energies(box) + gain, self.problem.floor)
        return bounds

    def run_all(self, lanes: Sequence[Lane], bits: int, move: str, watch: Watch = UNWATCHED) -> list[ChainResult]:
        """Return the ends of any number of chains, in groups on the pool's threads."""
        wide = _anneal.lanes()
        groups = [lanes[start : start + wide] for start in range(0, len(lanes), wide)]
        found = thread_pool.parallel_map(lambda group: self.run(group, bits, move, watch), groups)
        return [end for group in found for end in group]

    def run(self, lanes: Sequence[Lane], bits: int, move: str, watch: Watch = UNWATCHED) -> list[ChainResult]:
        """Return the ends of at most _anneal.lanes() chains of as many sweeps of one move."""
        wide, (R, n), rows = _anneal.lanes(), self.live_inputs.shape, self.blocks.shape[1]
        units, sweeps = [lane.unit for lane in lanes], len(lanes[0].betas)
        if not n:  # no row reaches any unit, as behind a layer whose outputs are all 0
            return [ChainResult(lane.start, 0, sweeps) for lane in lanes]
        levels, grams = aligned((n, wide), np.int32), aligned((len(self.blocks) * _anneal.BLOCK**2, wide), np.float32)
        keys, betas, ridges = (
            np.zeros((2, wide), np.uint32),
            np.ones((sweeps, wide), np.float32),
            np.zeros(wide, np.float32),
        )
        half_range, encoding = self.problem.half_range, Encoding(self.problem.half_range, bits)
        for k, lane in enumerate(lanes):
            levels[:, k], keys[:, k], betas[:, k] = lane.start, lane.key, to_float32(lane.betas)
            ridges[k] = self.ridge[lane.unit]
        S = self.problem.S0[units][:, self.columns] + encoding.offsets(levels[:, : len(lanes)].T)
        products = np.empty((R, len(lanes)))
        _anneal.input_products(self.live_inputs, np.ascontiguousarray(S.T), products)
        gamma = self.gamma[:, units]
        weights, residuals = (aligned((rows, wide), np.float32) for _ in range(2))
        weights[:R, : len(lanes)] = gamma**2 / self.rows.samples
        residuals[:R, : len(lanes)] = gamma * (gamma * products - self.rows.targets[:, units]) * (2 / self.rows.samples)
        grams = grams.reshape(-1, _anneal.BLOCK, wide)
        _anneal.block_grams(n, self.blocks, weights, grams)
        delta = encoding.bit_changes
        total, flips, swept = np.zeros(wide, np.int64), np.zeros(wide, np.int32), 0
        sweep_s = wide * n * (rows * 5e-11 + bits * 1e-9)
        for part in timed_blocks(sweeps, sweep_s, watch, chains=len(lanes)):
            _anneal.anneal_shared_inputs(
                self.blocks,
                weights,
                grams,
                ridges,
                half_range,
                delta,
                _anneal.MOVES[move],
                betas[part],
                part.start,
                keys,
                residuals,
                levels,
                flips,
            )
            total += flips
            flips[:] = 0
            swept = part.stop
        return [ChainResult(levels[:, k].copy(), int(total[k]), swept) for k in range(len(lanes))]
