"""Which of the kernel's four ways to anneal a layer is fastest, from estimated seconds fitted on one core.

The results are the same chains whatever the way, but rounded otherwise where J is not formed: so the choice between
those must not depend on the machine.
"""

from enum import Enum

from annealtrain import _anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem

COUNTED_LANES = _anneal.MAX_LANES  # lanes that the choice counts on, whatever this machine has


class Executor(Enum):
    """A way to anneal a layer, each in a file of its own."""

    SHARED_COUPLINGS = "all units of one J from their present weights, without a bound"  # shared_couplings.py
    SHARED_INPUTS = "units that differ in J side by side on their shared inputs"  # shared_inputs.py
    LANES = "chains of one J side by side"  # lanes.py
    CHAINS = "chain after chain"  # markov_chains.py


def plan(
    problem: LayerProblem,
    *,
    num_sweeps: int,
    num_reads: int,
    is_random_order: bool,
    is_from_present: bool,
    is_timed: bool,
) -> Executor:
    """Return how a layer is annealed: num_reads chains a unit of num_sweeps sweeps each."""
    if is_random_order or not problem.encoding.is_binary:
        return Executor.CHAINS
    units = problem.num_units
    is_plain = num_reads == 1 and is_from_present and not is_timed
    if problem.is_shared and not problem.convex and is_plain:
        return Executor.SHARED_COUPLINGS  # one of the many solves of mini-batches
    if not problem.is_shared and problem.least_squares is not None:
        formed, by_inputs = estimate_cost(problem, units * num_reads, num_sweeps)
        if by_inputs < formed:
            return Executor.SHARED_INPUTS
    return plan_chains(num_reads * (units if problem.is_shared else 1))


def plan_chains(chains: int) -> Executor:
    """Return how so many chains of one J are run: a few are faster one by one than in lanes that stay empty."""
    return Executor.CHAINS if chains <= min(2, _anneal.lanes() // 4) else Executor.LANES


def chain_sweep_s(spins: int, live: int) -> float:
    """Return the estimated seconds of one sweep of a chain by itself. live: weights that move the energy."""
    return spins * (5e-9 + live * 4e-11)


def lanes_sweep_s(live: int, bits: int) -> float:
    """Return the estimated seconds of one sweep of full lanes."""
    return _anneal.lanes() * live * (live * 3e-11 + bits * 1e-9)


def estimate_cost(problem: LayerProblem, chains: int, sweeps: int) -> tuple[float, float]:
    """Return estimated core seconds of solving an activated layer with J formed, and on its shared inputs."""
    assert problem.least_squares is not None
    (R, N), M, bits = problem.least_squares.inputs.shape, problem.num_units, problem.bits
    formed = M * R * N * N * 1e-11 + chains * sweeps * N * (bits * 5e-9 + N * 6e-11) + M * 50 * N * N * 1.2e-10
    padded = -(-chains // COUNTED_LANES) * COUNTED_LANES
    by_inputs = padded * N * (16 * R * 2.5e-11 + sweeps * (2 * R * 2.5e-11 + bits * 1e-9) + 25 * 2 * R * 2.5e-11)
    return formed, by_inputs
