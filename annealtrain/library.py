"""Annealing for other people's problems: dense quadratic forms of n-bit weights, and dimod's Ising models."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain import memory, parallel
from annealtrain.problem import LayerProblem
from annealtrain.solvers.anneal import SimulatedAnnealing

if TYPE_CHECKING:
    import dimod

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Annealed:
    """The reads of each of M problems, lowest energy first.

    levels: (M, reads, N), 0..2^bits - 1. weights: (M, reads, N), S0 + L (2 levels / (2^bits - 1) - 1). energies:
    (M, reads). stats: numbers on the run, summed or averaged over the problems. variables: the labels of a
    BinaryQuadraticModel in the order of the weights, which are then its spins or binary values.
    """

    levels: Array
    weights: Array
    energies: Array
    stats: dict[str, float]
    variables: list[Hashable] | None = None


def anneal(
    J: "Array | dimod.BinaryQuadraticModel",
    h: Array | None = None,
    S0: Array | None = None,
    L: float = 1.0,
    bits: int = 1,
    *,
    num_sweeps: int = 100,
    num_reads: int = 1,
    beta_range: Sequence[float] | None = None,
    move: str = "bit",
    order: str = "sequential",
    time_limit_s: float | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Annealed:
    """Return low-energy n-bit weights of E_i(S) = S'J_i S + h_i'S, S_j in [S0_j - L, S0_j + L], Eqs. (5)-(9).

    J: symmetric, (N, N) for all problems, or (M, N, N). h, S0: (M, N) or (N,); 0 where None. With bits=1, L=1 and
    S0=0 the weights are Ising spins. num_sweeps, num_reads, beta_range, move, order, time_limit_s: see
    SimulatedAnnealing; the betas are in 1 / energy. The same seed gives the same result for any number of threads.
    J may also be a dimod.BinaryQuadraticModel: h, S0, L and bits are then its own, the energies those of dimod.
    Raises ValueError for shapes that disagree, numbers that are not finite, a J that is not symmetric, and settings
    out of their limits.
    """
    solver = SimulatedAnnealing(num_sweeps, num_reads, beta_range, move=move, order=order, time_limit_s=time_limit_s)
    if not hasattr(J, "vartype"):
        problem, variables, is_binary = _from_arrays(np.asarray(J, dtype=np.float64), h, S0, L, bits), None, False
    elif h is not None or S0 is not None or L != 1.0 or bits != 1:
        raise ValueError("a BinaryQuadraticModel has its own h and values: leave h, S0, L and bits out")
    else:
        problem, variables = _from_bqm(J), list(J.variables)  # type: ignore[union-attr]
        is_binary = J.vartype.name == "BINARY"
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads} is not a whole number of at least 1")
    with parallel.threads(threads or parallel.available_threads()):
        result = solver.solve(problem, seed=seed)
    weights = (result.weights + 1) / 2 if is_binary else result.weights
    return Annealed(result.levels, weights, result.energies, result.stats, variables)


def _from_arrays(J: Array, h: Array | None, S0: Array | None, L: float, bits: int) -> LayerProblem:
    N = J.shape[-1] if J.ndim else 0
    if J.ndim not in (2, 3) or not N:
        raise ValueError(f"J {J.shape} is neither (N, N) nor (M, N, N) with N > 0")
    given = [np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (h, S0) if x is not None]
    M = J.shape[0] if J.ndim == 3 else max((len(x) for x in given), default=1)
    for name, x in (("h", h), ("S0", S0)):
        if x is not None and np.shape(np.atleast_2d(x)) not in ((M, N), (1, N)):
            raise ValueError(f"{name} {np.shape(x)} is neither {(N,)} nor {(M, N)}")
    fields, centre = (np.zeros((M, N)) if x is None else np.broadcast_to(np.atleast_2d(x), (M, N)) for x in (h, S0))
    return LayerProblem.from_moments(J, fields, np.zeros(M), centre, L, bits, convex=False)


def _from_bqm(model: Any) -> LayerProblem:
    spins = model.change_vartype("SPIN", inplace=False)
    N = spins.num_variables
    if not N:
        raise ValueError("the BinaryQuadraticModel has no variables")
    memory.require(4 * 8 * N * N, f"a dense Ising problem of {N} spins", "take a sparse sampler")
    linear, (row, column, bias), offset = spins.to_numpy_vectors(variable_order=list(model.variables))
    J = np.zeros((N, N))
    np.add.at(J, (row, column), bias / 2)
    J += J.T
    return LayerProblem.from_moments(J, linear[None], np.array([offset]), np.zeros((1, N)), 1.0, 1, convex=False)
