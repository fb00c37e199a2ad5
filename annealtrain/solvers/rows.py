"""Annealing units of an activated layer side by side: they share inputs X, but not J = X' diag(gamma^2) X / Q.

No J is formed. What is kept between two weights is the residual gamma (gamma X S - targets) of each unit, and J only
in its diagonal blocks of 32 weights: memory is O(inputs), and a lane of the kernel holds one unit (or read).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from annealtrain import _anneal, parallel
from annealtrain.memory import aligned
from annealtrain.problem import LayerProblem
from annealtrain.solvers.base import UNWATCHED, Array, Watch
from annealtrain.solvers.chains import End, single, timed_blocks

# The choice of the form must not depend on the machine: the two round differently. So it counts on full lanes.
LANES = _anneal.MAX_LANES
BOUND_BITS, BOUND_SWEEPS = 16, 25  # a grid so fine that descent on it finds the box's minimum


@dataclass(frozen=True)
class Lane:
    """One chain: unit, the seed's words, first levels (live,), inverse temperatures (sweeps,) in 1 / loss."""

    unit: int
    key: Array
    start: Array
    betas: Array


class SharedRows:
    """The least-squares view of a layer problem with factors, in the forms that annealing by rows reads."""

    def __init__(self, problem: LayerProblem) -> None:
        assert problem.rows is not None
        assert problem.rows.factors is not None
        self.problem, self.rows = problem, problem.rows
        self.inputs = problem.rows.inputs.astype(np.float64)
        self.gamma = problem.rows.factors.astype(np.float64)
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
        return (self.residuals(weights) ** 2).sum(axis=0) / self.rows.samples + self.ridge * away

    def gradients(self, weights: Array) -> Array:
        """Return each unit's dE/dS at weights (M, N): (M, N)."""
        slope = (self.inputs.T @ (self.gamma * self.residuals(weights))).T * (2 / self.rows.samples)
        return slope + 2 * self.ridge[:, None] * (weights - self.problem.S0) * self.live

    def weights(self, levels: Array, bits: int) -> Array:
        """Return weights (M, N) of levels (M, live) on a grid of `bits` bits; dead weights keep S0."""
        top = 2**bits - 1
        found = self.problem.S0.copy()
        offset = self.problem.half_range / top * (2.0 * levels - top)
        found[:, self.columns] += np.where(self.live[:, self.columns], offset, 0.0)
        return found

    def lower_bounds(self, weights: Array) -> Array:
        """Return certified lower bounds (M,): the dual bound after descent in the box from weights (M, N)."""
        S0, L, top = self.problem.S0, self.problem.half_range, 2**BOUND_BITS - 1
        start = np.clip(np.rint((weights - S0 + L)[:, self.columns] * (top / (2 * L))), 0, top).astype(np.int32)
        still = np.ones(BOUND_SWEEPS)
        lanes = [Lane(i, np.zeros(2, np.uint32), start[i], still) for i in range(len(S0))]
        ends = self.run_all(lanes, BOUND_BITS, "greedy")
        box = np.clip(self.weights(np.array([end.levels for end in ends]), BOUND_BITS), S0 - L, S0 + L)
        g = np.where(self.live, self.gradients(box), 0.0)
        gain = np.minimum(g * (S0 - L - box), g * (S0 + L - box)).sum(axis=1)
        return np.maximum(self.energies(box) + gain, self.problem.floor)

    def run_all(self, lanes: Sequence[Lane], bits: int, move: str, watch: Watch = UNWATCHED) -> list[End]:
        """Return the ends of any number of chains, in groups on the pool's threads."""
        wide = _anneal.lanes()
        groups = [lanes[start : start + wide] for start in range(0, len(lanes), wide)]
        found = parallel.each(lambda group: self.run(group, bits, move, watch), groups)
        return [end for group in found for end in group]

    def run(self, lanes: Sequence[Lane], bits: int, move: str, watch: Watch = UNWATCHED) -> list[End]:
        """Return the ends of at most _anneal.lanes() chains of as many sweeps of one move."""
        wide, (R, n), rows = _anneal.lanes(), self.live_inputs.shape, self.blocks.shape[1]
        units, sweeps = [lane.unit for lane in lanes], len(lanes[0].betas)
        levels, grams = aligned((n, wide), np.int32), aligned((len(self.blocks) * _anneal.BLOCK**2, wide), np.float32)
        keys, betas, ridges = (
            np.zeros((2, wide), np.uint32),
            np.ones((sweeps, wide), np.float32),
            np.zeros(wide, np.float32),
        )
        half_range, top = self.problem.half_range, 2**bits - 1
        for k, lane in enumerate(lanes):
            levels[:, k], keys[:, k], betas[:, k] = lane.start, lane.key, single(lane.betas)
            ridges[k] = self.ridge[lane.unit]
        S = self.problem.S0[units][:, self.columns] + half_range / top * (2.0 * levels[:, : len(lanes)].T - top)
        products = np.empty((R, len(lanes)))
        _anneal.input_products(self.live_inputs, np.ascontiguousarray(S.T), products)
        gamma = self.gamma[:, units]
        weights, residuals = (aligned((rows, wide), np.float32) for _ in range(2))
        weights[:R, : len(lanes)] = gamma**2 / self.rows.samples
        residuals[:R, : len(lanes)] = gamma * (gamma * products - self.rows.targets[:, units]) * (2 / self.rows.samples)
        grams = grams.reshape(-1, _anneal.BLOCK, wide)
        _anneal.block_grams(n, self.blocks, weights, grams)
        delta = (2 * half_range / top * 2.0 ** np.arange(bits)).astype(np.float32)
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
        return [End(levels[:, k].copy(), int(total[k]), swept) for k in range(len(lanes))]


def seconds(problem: LayerProblem, chains: int, sweeps: int) -> tuple[float, float]:
    """Return estimated core seconds of solving an activated layer with J formed, and by rows (fitted on one core)."""
    assert problem.rows is not None
    (R, N), M, bits = problem.rows.inputs.shape, problem.num_units, problem.bits
    formed = M * R * N * N * 1e-11 + chains * sweeps * N * (bits * 5e-9 + N * 6e-11) + M * 50 * N * N * 1.2e-10
    padded = -(-chains // LANES) * LANES
    by_rows = padded * N * (16 * R * 2.5e-11 + sweeps * (2 * R * 2.5e-11 + bits * 1e-9) + 25 * 2 * R * 2.5e-11)
    return formed, by_rows
