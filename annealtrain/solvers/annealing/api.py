"""Annealing for other people's problems: dense quadratic forms of n-bit weights, and dimod's Ising models."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.layer_problem import MAX_BITS, LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import generator
from annealtrain.runtime.validation import READS, SEED, Rule, checked, number, one_of, optional, reworded, whole
from annealtrain.solvers.annealing.guided import Guide, guide_of, solver_of, trajectories
from annealtrain.solvers.annealing.rescaling import Quadratic, from_arrays, from_bqm
from annealtrain.solvers.annealing.simulated_annealing import ORDERS
from annealtrain.solvers.solver import SolveResult

if TYPE_CHECKING:
    import dimod

ISOLATED = 2**32 - 1  # in a problem's stream of random numbers, where reads are counted from 0


@dataclass(frozen=True)
class Annealed:
    """The reads of each of M problems, lowest energy first.

    levels: (M, reads, N), 0..2^bits - 1. weights: (M, reads, N), S0 + L (2 levels / (2^bits - 1) - 1). energies:
    (M, reads). stats: numbers on the run, summed or averaged over the problems. variables: the labels of a
    BinaryQuadraticModel in the order of the weights, which are then its spins or binary values. trajectories: with
    record_every, energies (M, reads, points) after the sweeps (points,) in `recorded`. bits: of a weight.
    """

    levels: Array
    weights: Array
    energies: Array
    stats: dict[str, float]
    variables: list[Hashable] | None = None
    bits: int = 1
    vartype: str = "SPIN"
    trajectories: Array | None = None
    recorded: Array | None = None

    def sampleset(self, problem: int = 0) -> "dimod.SampleSet":
        """Return the reads of one of the problems as dimod has them, lowest energy first.

        Of a BinaryQuadraticModel its own variables; else spins j n + a, bit a of weight j, n bits a weight.
        """
        import dimod

        if not 0 <= problem < len(self.levels):
            raise ValueError(f"problem {problem}: there are {len(self.levels)}, 0 to {len(self.levels) - 1}")
        levels, energies = self.levels[problem], self.energies[problem]
        spins = Encoding(1.0, self.bits).spins(levels)
        samples = (spins + 1) // 2 if self.vartype == "BINARY" else spins
        labelled = samples if self.variables is None else (samples, self.variables)
        found: dimod.SampleSet = dimod.SampleSet.from_samples(
            labelled, self.vartype, energy=energies, sort_labels=False
        )
        return found


@checked(
    "",
    L=number(above=0),
    bits=whole(1, MAX_BITS),
    num_sweeps=optional(whole()),
    num_reads=READS,
    move=one_of(*_anneal.MOVES),
    order=one_of(*ORDERS),
    time_limit_s=optional(number(above=0)),
    seed=SEED,
    threads=optional(thread_pool.COUNT),
    record_every=optional(whole()),
    progress=optional(Rule("a function of one number", callable)),
)
@reworded({"solver.": ""})
def anneal(
    J: "Array | dimod.BinaryQuadraticModel",
    h: Array | None = None,
    S0: Array | None = None,
    L: float = 1.0,
    bits: int = 1,
    *,
    num_sweeps: int | None = None,
    num_reads: int = 1,
    beta_range: Sequence[float] | None = None,
    beta_schedule: Sequence[float] | Array | None = None,
    initial_levels: Sequence[int] | Array | None = None,
    record_every: int | None = None,
    move: str = "bit",
    order: str = "sequential",
    time_limit_s: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Annealed:
    """Return low-energy n-bit weights of E_i(S) = S'J_i S + h_i'S, S_j in [S0_j - L, S0_j + L], Eqs. (5)-(9).

    J: symmetric, (N, N) for all problems, or (M, N, N). h, S0: (M, N) or (N,); 0 where None. With bits=1, L=1 and
    S0=0 the weights are Ising spins. num_sweeps, num_reads, beta_range, move, order, time_limit_s: see
    SimulatedAnnealing, 100 sweeps where none are given; betas are in 1 / energy. The same seed gives the same result
    for any number of threads. beta_schedule, initial_levels, record_every: see Guide.
    J may also be a dimod.BinaryQuadraticModel: h, S0, L and bits are then its own, the energies those of dimod.
    A weight that moves no energy (its row of J and its h are zero) gets any level, by the seed. A J that is symmetric
    but for rounding, 1e-8 of its largest number, is taken as (J + J') / 2.
    progress(share): told between sweeps which share of the work is done, 1 at the end; from any thread. What it raises
    ends this call, and is raised here. Calls from several threads at once know nothing of each other.
    Raises ValueError for shapes that disagree, numbers that are not finite, a J that is not symmetric, settings
    out of their limits or of a wrong type, and work beyond the memory at hand or beyond days.
    """
    quadratic, variables, is_binary = _given(J, h, S0, L, bits)
    problem, unit = quadratic.problem(bits)
    guide = guide_of(problem, unit.energy, beta_schedule, initial_levels, record_every)
    settings = {"num_reads": num_reads, "move": move, "order": order, "time_limit_s": time_limit_s}
    solver = solver_of(guide, num_sweeps=num_sweeps, beta_range=beta_range, **settings)
    told = (lambda units: progress(units / problem.num_units)) if progress else None
    with thread_pool.threads(threads or thread_pool.available_threads()):
        result = solver.solve(problem, seed=seed, progress=told)
    paths = None if guide.every is None else trajectories(guide, result.levels, result.energies) * unit.energy
    _free_isolated(problem, result, seed, guide)
    weights, energies = result.weights, result.energies
    weights *= unit.weight
    energies *= unit.energy
    stats = result.stats | {name: result.stats[name] / unit.energy for name in ("beta_first", "beta_last")}
    weights, vartype = ((weights + 1) / 2, "BINARY") if is_binary else (weights, "SPIN")
    return Annealed(result.levels, weights, energies, stats, variables, bits, vartype, paths, guide.recorded)


def _given(
    J: Any, h: Array | None, S0: Array | None, L: float, bits: int
) -> tuple[Quadratic, list[Hashable] | None, bool]:
    """Return the problem of arrays or of a model, the model's variables, and whether they are binary."""
    if not hasattr(J, "vartype"):
        return from_arrays(J, h, S0, float(L)), None, False
    if h is not None or S0 is not None or L != 1.0 or bits != 1:
        raise ValueError("a BinaryQuadraticModel has its own h and values: leave h, S0, L and bits out")
    return from_bqm(J), list(J.variables), J.vartype.name == "BINARY"


def _free_isolated(problem: LayerProblem, result: SolveResult, seed: int, guide: Guide) -> None:
    """Give the weights that move no energy, which a solver leaves at S0, first or drawn levels, in place."""
    for i, (levels, weights) in enumerate(zip(result.levels, result.weights, strict=True)):
        form, first = problem.unit(i), guide.first(i)
        if form.couplings.indices.size == form.S0.size:
            continue
        isolated = np.flatnonzero(~form.live)
        if first is None:
            size = (len(levels), isolated.size)
            own = generator(seed, i, ISOLATED).integers(0, 2**problem.bits, size, dtype=np.int32)
        else:
            own = first[isolated]
        levels[:, isolated] = own
        weights[:, isolated] = form.S0[isolated] + form.encoding.offsets(own)
