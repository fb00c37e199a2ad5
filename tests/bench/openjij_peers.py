"""OpenJij: simulated annealing of spins, and of integers (weight levels), by its compiled core or its Python API."""

from typing import Any

import numpy as np
import scipy.sparse

from bench.peers import Found, Settings, build_model, ising, levels_of
from bench.problems import Problem


def build_ising(problem: Problem, settings: Settings) -> Any:
    """Return the core's graph, or the dimod model that the Python API takes."""
    import openjij.cxxjij as core

    if not settings.core:
        return build_model(problem, settings)
    h, row, column, bias, offset = ising(problem)
    size = h.size + 1  # the last row and column are a spin fixed at 1 that carries the fields
    everyone, last = np.arange(h.size, dtype=np.int32), np.full(h.size, h.size, np.int32)
    entries = (np.append(np.r_[bias, h], 1.0), (np.r_[row, everyone, last[:1]], np.r_[column, last, last[:1]]))
    upper = scipy.sparse.coo_matrix(entries, (size, size))
    if not settings.dense:
        return core.graph.CSRSparse(upper.tocsr()), offset
    graph = core.graph.Dense(h.size)
    graph.set_interaction_matrix(upper.toarray())
    return graph, offset


def solve_ising(model: Any, problem: Problem, settings: Settings, seed: int) -> Found:
    import openjij
    import openjij.cxxjij as core

    first, last = problem.beta_range if settings.has_beta_range else (None, None)
    if not settings.core:
        found = openjij.SASampler().sample(
            model, beta_min=first, beta_max=last, num_sweeps=settings.sweeps, num_reads=settings.reads, seed=seed
        )
        order = np.argsort(np.asarray(found.variables))
        return Found(levels_of(problem, found.record.sample[:, order]), np.array(found.record.energy))
    graph, offset = model
    schedule = core.utility.make_classical_schedule_list(first, last, 1, settings.sweeps)
    spins, energies = [], []
    for read in range(settings.reads):
        system = core.system.make_classical_ising(graph.gen_spin(seed + read), graph)
        core.algorithm.Algorithm_SingleSpinFlip_run(system, seed + read, schedule)
        spins.append(core.result.get_solution(system))
        energies.append(graph.calc_energy(spins[-1]) + offset)
    return Found(levels_of(problem, np.array(spins)), np.array(energies))


def integer_terms(problem: Problem) -> tuple[list[tuple[int, ...]], list[float]]:
    """Return the energy's terms in the levels u of live weights, S = S0 - L + step u; each pair once."""
    form = problem.form
    live = form.couplings.indices
    J, lowest = form.couplings.live_J, (form.S0 - form.half_range)
    everywhere = np.where(form.live, lowest, form.S0)
    linear = form.encoding.step * form.gradient(everywhere)[live]
    row, column = np.nonzero(np.triu(J, 1))
    pairs = 2 * form.encoding.step**2 * J[row, column]
    keys: list[tuple[int, ...]] = [(), *((i,) for i in range(live.size)), *((i, i) for i in range(live.size))]
    keys += zip(row.tolist(), column.tolist(), strict=True)
    values = [float(form.energy(everywhere)), *linear.tolist()]
    return keys, [*values, *(form.encoding.step**2 * J.diagonal()).tolist(), *pairs.tolist()]


def build_integer(problem: Problem, settings: Settings) -> Any:
    """Return the core's model, or the dictionary that the Python API takes."""
    import openjij.cxxjij as core

    keys, values = integer_terms(problem)
    bounds = [(0, problem.form.encoding.top_level)] * problem.form.couplings.indices.size
    if settings.core:
        return core.graph.IntegerQuadraticModel([list(key) for key in keys], values, bounds)
    return dict(zip(keys, values, strict=True)), dict(enumerate(bounds))


def solve_integer(model: Any, problem: Problem, settings: Settings, seed: int) -> Found:
    import openjij
    import openjij.cxxjij as core

    first, last = problem.beta_range
    levels = np.zeros((settings.reads, problem.form.S0.size), dtype=np.int32)
    live = problem.form.couplings.indices
    if settings.core:
        results = core.sampler.sample_by_integer_sa_quadratic(
            model,
            settings.sweeps,
            core.algorithm.UpdateMethod.OPT_METROPOLIS,
            core.algorithm.RandomNumberEngine.XORSHIFT,
            core.utility.TemperatureSchedule.GEOMETRIC,
            settings.reads,
            seed,
            1,
            1 / last,
            1 / first,
            False,
        )
        levels[:, live] = [result.solution for result in results]
        return Found(levels, np.array([result.energy for result in results]))
    given = {"beta_min": first, "beta_max": last} if settings.has_beta_range else {}
    found = openjij.SASampler().sample_quio(
        *model, num_sweeps=settings.sweeps, num_reads=settings.reads, seed=seed, **given
    )
    order = np.argsort(np.asarray(found.variables))
    levels[:, live] = found.record.sample[:, order]
    return Found(levels, np.array(found.record.energy))
