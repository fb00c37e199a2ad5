"""Every sampler behind one contract: build a model of a problem's unit 0, then solve it for a seed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from annealtrain.commands.field import dwave_rivals, openjij_rivals
from annealtrain.commands.field.ising import model
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from bench.problems import Array, Problem


@dataclass(frozen=True)
class Found:
    """levels: (reads, N) of unit 0. energies: (reads,), as the sampler reports them; None where it does not."""

    levels: Array
    energies: Array | None


@dataclass(frozen=True)
class Settings:
    """What a sampler is asked for. beta_range: the problem's own, or None for the sampler's default.

    move, units: for this project's kernel. core: the compiled part called directly, not through its Python API.
    dense: where a sampler has two forms of its model.
    """

    sweeps: int = 100
    reads: int = 1
    has_beta_range: bool = True
    move: str = "bit"
    units: int = 1
    core: bool = False
    dense: bool = False


Build = Callable[[Problem, Settings], Any]
Solve = Callable[[Any, Problem, Settings, int], Found]


def build_ours(problem: Problem, settings: Settings) -> LayerProblem:
    """Return the layer with its couplings packed, as the kernel reads them."""
    layer = problem.layer(settings.units)
    couplings = layer.unit(0).couplings
    _ = couplings.packed
    return layer


def solve_ours(layer: LayerProblem, problem: Problem, settings: Settings, seed: int) -> Found:
    # The range that all samplers are given is the one for bits: slice moves have their own.
    given = problem.beta_range if settings.has_beta_range and settings.move != "slice" else None
    solver = SimulatedAnnealing(settings.sweeps, settings.reads, given, move=settings.move)
    result = solver.solve(layer, seed=seed)
    return Found(result.levels[0], result.energies[0])


def build_model(problem: Problem, settings: Settings) -> Any:
    """Return a dimod model of the live weights' spins."""
    return model(problem.form)


def _dwave(name: str) -> Solve:
    def solve(held: Any, problem: Problem, settings: Settings, seed: int) -> Found:
        betas = problem.beta_range if settings.has_beta_range else None
        asked = {"sweeps": settings.sweeps, "reads": settings.reads, "seed": seed}
        return Found(*dwave_rivals.sample(name, held, problem.form, betas, **asked))

    return solve


def _build_spins(problem: Problem, settings: Settings) -> Any:
    """Return the core's graph, or the dimod model that OpenJij's Python API takes."""
    if not settings.core:
        return build_model(problem, settings)
    return openjij_rivals.core_graph(problem.form, is_dense=settings.dense)


def _build_integers(problem: Problem, settings: Settings) -> Any:
    """Return the core's model, or the dictionary that OpenJij's Python API takes."""
    return (openjij_rivals.core_integers if settings.core else openjij_rivals.api_integers)(problem.form)


def _openjij(core: Any, api: Any) -> Solve:
    def solve(held: Any, problem: Problem, settings: Settings, seed: int) -> Found:
        betas = problem.beta_range if settings.core or settings.has_beta_range else None
        asked = {"sweeps": settings.sweeps, "reads": settings.reads, "seed": seed}
        return Found(*(core if settings.core else api)(held, problem.form, betas, **asked))

    return solve


def single_thread(job: Callable[[], Any]) -> Any:
    """Return job() with this project's pool and NumPy's BLAS on one thread."""
    with thread_pool.threads(1):
        return job()


def registry() -> dict[str, tuple[Build, Solve]]:
    """Return build and solve of each sampler: their adapters are those of `annealtrain bench field`."""
    spins = _openjij(openjij_rivals.anneal_core, openjij_rivals.anneal_api)
    integers = _openjij(openjij_rivals.anneal_core_integers, openjij_rivals.anneal_api_integers)
    return {
        "annealtrain": (build_ours, solve_ours),
        "dwave SA (neal)": (build_model, _dwave("SimulatedAnnealingSampler")),
        "dwave path integral": (build_model, _dwave("PathIntegralAnnealingSampler")),
        "dwave steepest descent": (build_model, _dwave("SteepestDescentSampler")),
        "dwave tabu": (build_model, _dwave("TabuSampler")),
        "openjij SA": (_build_spins, spins),
        "openjij integer SA": (_build_integers, integers),
    }
