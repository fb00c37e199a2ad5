"""The full-model objective: errors of units weigh, and make up for each other, as the network's outputs feel them.

    E(D) = tr(Gamma D H D'),   D = S - w

Gamma (M, M) is the curvature of the network's loss in a layer's outputs, H that of its inputs. Unit m sees Gamma_mm H
and the weights w_m - 1/Gamma_mm sum_(m' != m) Gamma_mm' D_m', so that units are solved in turn, each given the others.
"""

import copy
from typing import Any

import numpy as np

from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.layer import OnGrid, Target, errors
from annealtrain.optimizers.quantization.moments import blocks
from annealtrain.optimizers.quantization.rounding import solved
from annealtrain.optimizers.quantization.scales import best_scales
from annealtrain.optimizers.quantization.source import Source
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, Stream, generator, stream
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.solver import Solver

PASSES = 2  # over all units
FEW_CLASSES = 32  # that are all looked at
GAMMA_DAMPING = 0.1  # of mean Gamma_mm: a unit that no output feels keeps an error of its own
TEMPERATURE = 4.0  # of the outputs' probabilities: where they are 0 and 1 a small change does nothing, a large one harm


def curvature(source: Source, k: int, samples: Any, seed: int) -> Array:
    """Return Gamma (M, M) of layer k's outputs for the Kullback-Leibler divergence from the float network's outputs.

    It is the mean over classes y, by the float network's own probabilities p, of b b' of gradients b of log p(y), both
    of outputs divided by TEMPERATURE. Of many classes one is drawn for each sample.
    """
    M = len(source.weights(k))
    total, random = np.zeros((M, M)), generator(seed, Stream.SIGNS, k)
    for part in blocks(source, k, samples):
        x = source.block(samples, part)
        outputs = source.outputs(x, is_float=True).astype(np.float64) / TEMPERATURE
        p = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        each = np.eye(p.shape[1])
        if len(each) <= FEW_CLASSES:
            probes = [np.sqrt(p[:, y, None]) * (each[y] - p) for y in range(len(each))]
        else:
            probes = [each[(p.cumsum(axis=1) > random.random((len(p), 1))).argmax(axis=1)] - p]
        for probe in probes:
            b = source.curvature(k, x, probe).astype(np.float64)
            total += b.T @ b
    mean = float(total.diagonal().mean()) or 1.0
    return total / mean + GAMMA_DAMPING * np.eye(M)


def of_one_unit(solver: Solver) -> Solver:
    """Return the solver without its search of blocks, which pays where many units share them."""
    if not isinstance(solver, SimulatedAnnealing):
        return solver
    found = copy.copy(solver)
    found.num_blocks, found.goes_on = 0, False
    return found


def full_error(target: Target, gamma: Array, D: Array) -> float:
    """Return tr(Gamma D H D')."""
    return float(((gamma @ D @ target.H) * D).sum())


def on_grid_together(
    target: Target, gamma: Array, grid: Grid, solver: Solver, start: OnGrid, *, seed: Seed = 0
) -> OnGrid:
    """Return levels and scales of a low full-model error, from those of the layer-wise one; scales follow the levels.

    A unit's new levels are kept where they lower the error of all.
    """
    couplings, solver = Couplings(target.H), of_one_unit(solver)
    levels, scales = start.levels.copy(), start.scales.copy()
    D = grid.weights(levels, scales) - target.W
    order = np.argsort(-gamma.diagonal() * start.errors, kind="stable")
    for number in range(PASSES):
        for m in order:
            pull = (gamma[m] @ D) / gamma[m, m] - D[m]
            w = (target.W[m] - pull)[None]
            own = scales[m : m + 1]
            found = solved(couplings, w, own, grid, solver, stream(seed, number, int(m)))
            refit = best_scales(target.H, w, found, grid, own)
            there = Target(target.H, w)
            kept = errors(there, grid, levels[m : m + 1], own)
            if errors(there, grid, found, refit)[0] < kept[0]:
                levels[m], scales[m] = found[0], refit[0]
                D[m] = grid.weights(found, refit)[0] - target.W[m]
    return OnGrid(levels, scales, errors(target, grid, levels, scales))
