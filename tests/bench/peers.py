"""Every sampler behind one contract: build a model of a problem's unit 0, then solve it for a seed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

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
    import dimod

    h, row, column, bias, offset = ising(problem)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(h, (row, column, bias), offset, dimod.SPIN)


def ising(problem: Problem) -> tuple[Array, Array, Array, Array, float]:
    """Return h', each pair i < j once with 2 J'_ij (not 0), and the offset: spins of live weights only, Eq. (9).

    Row by row of J, so that a sampler's peak memory is its own and not that of a dense J'.
    """
    form = problem.form
    live, n = form.couplings.indices, form.bits
    J, scale = form.couplings.live_J, form.half_range / form.encoding.top_level * 2.0 ** np.arange(n)
    products, lower, upper = np.outer(scale, scale), *np.triu_indices(n, 1)
    others = [i + 1 + np.flatnonzero(J[i, i + 1 :]) for i in range(live.size)]
    inside = np.flatnonzero(J.diagonal())
    size = inside.size * lower.size + sum(each.size for each in others) * n * n
    row, column, bias = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size)
    at = inside.size * lower.size
    row[:at], column[:at] = (inside[:, None] * n + lower).ravel(), (inside[:, None] * n + upper).ravel()
    bias[:at] = np.outer(2 * J.diagonal()[inside], products[lower, upper]).ravel()
    for i, js in enumerate(others):
        part = slice(at, at + js.size * n * n)
        row[part] = np.repeat(i * n + np.arange(n), js.size * n)
        column[part] = np.tile((js[:, None] * n + np.arange(n)).ravel(), n)
        bias[part] = np.kron(2 * J[i, js], products).ravel()
        at = part.stop
    offset = float(form.energy(form.S0)) + float(J.diagonal().sum() * (scale**2).sum())
    return np.kron(form.gradient(form.S0)[live], scale), row, column, bias, offset


def levels_of(problem: Problem, spins: Array) -> Array:
    """Return the levels (reads, N) of the live weights' spins (reads, live * bits)."""
    form = problem.form
    live = form.couplings.indices
    up = np.asarray(spins).reshape(len(spins), live.size, form.bits) > 0
    levels = np.zeros((len(spins), form.S0.size), dtype=np.int32)
    levels[:, live] = (up << np.arange(form.bits)).sum(axis=-1)
    return levels


def _dwave(name: str) -> Solve:
    def solve(model: Any, problem: Problem, settings: Settings, seed: int) -> Found:
        import dwave.samplers

        asked: dict[str, Any] = {"num_reads": settings.reads, "seed": seed}
        if name in ("SimulatedAnnealingSampler", "PathIntegralAnnealingSampler"):
            asked["num_sweeps"] = settings.sweeps
            if settings.has_beta_range:
                asked["beta_range"] = list(problem.beta_range)
        if name == "TabuSampler":
            asked["timeout"] = max(20, len(model.variables) // 4)  # ms; its default is 20 for any size
        found = getattr(dwave.samplers, name)().sample(model, **asked)
        order = np.argsort(np.asarray(found.variables))
        return Found(levels_of(problem, found.record.sample[:, order]), np.array(found.record.energy))

    return solve


def single_thread(job: Callable[[], Any]) -> Any:
    """Return job() with this project's pool and NumPy's BLAS on one thread."""
    with thread_pool.threads(1):
        return job()


def registry() -> dict[str, tuple[Build, Solve]]:
    """Return build and solve of each sampler."""
    from bench import openjij_peers

    return {
        "annealtrain": (build_ours, solve_ours),
        "dwave SA (neal)": (build_model, _dwave("SimulatedAnnealingSampler")),
        "dwave path integral": (build_model, _dwave("PathIntegralAnnealingSampler")),
        "dwave steepest descent": (build_model, _dwave("SteepestDescentSampler")),
        "dwave tabu": (build_model, _dwave("TabuSampler")),
        "openjij SA": (openjij_peers.build_ising, openjij_peers.solve_ising),
        "openjij integer SA": (openjij_peers.build_integer, openjij_peers.solve_integer),
    }
