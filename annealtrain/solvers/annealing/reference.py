"""Slow and readable: the Metropolis chain in NumPy, and exact enumeration. The oracles of the tests."""

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.solvers.annealing.cost_model import Executor
from annealtrain.solvers.annealing.lanes import ChainEnds, Chains
from annealtrain.solvers.annealing.markov_chains import Chain, ChainResult, fields
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.deadline import UNWATCHED, Watch


def numpy_chain(chain: Chain, watch: Watch = UNWATCHED) -> ChainResult:
    """Return what `run_chain` does, one move at a time; a reference does not hurry for a deadline."""
    form, J, N = chain.form, chain.form.couplings.live_J, chain.form.couplings.indices.size
    levels, flips = chain.start().astype(np.int64), 0
    field = fields([chain], [levels])[0]
    uniforms, pairs = np.empty(N * form.bits), np.empty(2 * N, dtype=np.float32)
    for sweep, beta in enumerate(chain.betas):
        thread_pool.check_cancelled()
        if chain.move == "bit":
            _anneal.random_uniforms(chain.key, sweep, uniforms)
            natural = [j * form.bits + bit for j in _anneal.visit_order(N, sweep) for bit in reversed(range(form.bits))]
            for k, spin in enumerate(chain.orders(1)[0] if chain.is_random_order else natural):
                flips += _flip(form, J, field, levels, spin, beta, uniforms[k])
        else:
            _anneal.random_numbers(chain.key, sweep, pairs, is_slice=True)
            for k, j in enumerate(_anneal.visit_order(N, sweep)):
                if chain.move == "slice":
                    level = _slice(form, J[j, j], field[j], levels[j], beta, *pairs[2 * k : 2 * k + 2])
                else:
                    level = _best(form, J[j, j], field[j], levels[j])
                field += 2 * (level - levels[j]) * form.encoding.step * J[j]
                flips += level != levels[j]
                levels[j] = level
        watch.worked(1 / len(chain.betas))
    return ChainResult(levels, int(flips), len(chain.betas))


def _flip(form: QuadraticForm, J: Array, field: Array, levels: Array, spin: int, beta: float, uniform: float) -> bool:
    """Flip a spin if dE <= 0 or u < exp(-beta dE), Eqs. (30), (31); tell whether it did."""
    j, bit = divmod(spin, form.bits)
    is_up = (levels[j] >> bit) & 1
    change = (-1 if is_up else 1) * form.encoding.step * 2**bit
    cost = beta * (change * field[j] + change**2 * J[j, j])
    accepted = bool(cost <= 0 or uniform < np.exp(-cost))
    if accepted:
        levels[j] ^= 1 << bit
        field += 2 * change * J[j]
    return accepted


def _slice(
    form: QuadraticForm, own: float, field: float, level: int, beta: float, exponential: float, uniform: float
) -> int:
    """Return one of the levels with dE <= Exp / beta, dE = x (field step + x J_jj step^2): the mirror image or any."""
    slope, curvature, height = field * form.encoding.step, own * form.encoding.step**2, exponential / beta
    # The two roots without cancellation; a straight line (J_jj = 0) has only the near one.
    total = abs(slope) + np.sqrt(slope**2 + 4 * curvature * height) + 1e-30
    far, near = total / (2 * curvature) if curvature else np.inf, 2 * height / total
    low, high = (-far, near) if slope > 0 else (-near, far)
    low, high = max(low, -level), min(high, form.encoding.top_level - level)
    low, high = min(int(np.ceil(low)), 0), max(int(np.floor(high)), 0)
    if uniform < _anneal.MIRRORED:
        return level + low + high
    share = (uniform - _anneal.MIRRORED) / (1 - _anneal.MIRRORED)
    return int(level + min(low + int(share * (high - low + 1)), high))


def _best(form: QuadraticForm, own: float, field: float, level: int) -> int:
    """Return the level of the lowest energy."""
    x = np.clip(
        -field * form.encoding.step / (2 * own * form.encoding.step**2 + 1e-30), -level, form.encoding.top_level - level
    )
    return int(level + np.floor(x + 0.5))


class ReferenceAnnealing(SimulatedAnnealing):
    """`solver=reference`: simulated annealing (same settings, same random numbers) on the NumPy chain."""

    def executor(self, problem: LayerProblem) -> Executor:
        return Executor.CHAINS

    def run(self, chains: Chains, is_in_job: bool) -> ChainEnds:
        return self.run_each(lambda chain: numpy_chain(chain, self.watch), chains, is_in_job)
