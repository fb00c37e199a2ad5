"""OpenJij: simulated annealing of spins, and of integers (weight levels), by its compiled core or its Python API."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse

from annealtrain.commands.field.ising import in_order, integer_terms, levels_of, pairs, scattered
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array

Found = tuple[Array, Array]  # levels (reads, N), and energies (reads,) as OpenJij reports them
Betas = Sequence[float]


def core_graph(form: QuadraticForm, *, is_dense: bool = False) -> tuple[Any, float]:
    """Return the core's graph of a form's spins, and the offset of its energies."""
    import openjij.cxxjij as core

    h, row, column, bias, offset = pairs(form)
    size = h.size + 1  # the last row and column are a spin fixed at 1 that carries the fields
    everyone, last = np.arange(h.size, dtype=np.int32), np.full(h.size, h.size, np.int32)
    entries = (np.append(np.r_[bias, h], 1.0), (np.r_[row, everyone, last[:1]], np.r_[column, last, last[:1]]))
    upper = scipy.sparse.coo_matrix(entries, (size, size))
    if not is_dense:
        return core.graph.CSRSparse(upper.tocsr()), offset
    graph = core.graph.Dense(h.size)
    graph.set_interaction_matrix(upper.toarray())
    return graph, offset


def anneal_core(
    graph: tuple[Any, float], form: QuadraticForm, betas: Betas, *, sweeps: int, reads: int, seed: int
) -> Found:
    import openjij.cxxjij as core

    held, offset = graph
    schedule = core.utility.make_classical_schedule_list(*betas, 1, sweeps)
    spins, energies = [], []
    for read in range(reads):
        system = core.system.make_classical_ising(held.gen_spin(seed + read), held)
        core.algorithm.Algorithm_SingleSpinFlip_run(system, seed + read, schedule)
        spins.append(core.result.get_solution(system))
        energies.append(held.calc_energy(spins[-1]) + offset)
    return levels_of(form, np.array(spins)), np.array(energies)


def anneal_api(model: Any, form: QuadraticForm, betas: Betas | None, *, sweeps: int, reads: int, seed: int) -> Found:
    import openjij

    first, last = betas or (None, None)
    given = {"beta_min": first, "beta_max": last, "num_sweeps": sweeps, "num_reads": reads, "seed": seed}
    found = openjij.SASampler().sample(model, **given)
    return levels_of(form, in_order(found)), np.array(found.record.energy)


def core_integers(form: QuadraticForm) -> Any:
    """Return the core's model of a form's levels."""
    import openjij.cxxjij as core

    keys, values = integer_terms(form)
    bounds = [(0, form.encoding.top_level)] * form.couplings.indices.size
    return core.graph.IntegerQuadraticModel([list(key) for key in keys], values, bounds)


def api_integers(form: QuadraticForm) -> tuple[Any, Any]:
    """Return what the Python API takes of a form's levels."""
    keys, values = integer_terms(form)
    count = form.couplings.indices.size
    return dict(zip(keys, values, strict=True)), dict.fromkeys(range(count), (0, form.encoding.top_level))


def anneal_core_integers(model: Any, form: QuadraticForm, betas: Betas, *, sweeps: int, reads: int, seed: int) -> Found:
    import openjij.cxxjij as core

    results = core.sampler.sample_by_integer_sa_quadratic(
        model,
        sweeps,
        core.algorithm.UpdateMethod.OPT_METROPOLIS,
        core.algorithm.RandomNumberEngine.XORSHIFT,
        core.utility.TemperatureSchedule.GEOMETRIC,
        reads,
        seed,
        1,
        1 / betas[1],
        1 / betas[0],
        False,
    )
    return scattered(form, np.array([result.solution for result in results])), np.array([r.energy for r in results])


def anneal_api_integers(
    model: tuple[Any, Any], form: QuadraticForm, betas: Betas | None, *, sweeps: int, reads: int, seed: int
) -> Found:
    import openjij

    given = {"beta_min": betas[0], "beta_max": betas[1]} if betas else {}
    found = openjij.SASampler().sample_quio(*model, num_sweeps=sweeps, num_reads=reads, seed=seed, **given)
    return scattered(form, in_order(found)), np.array(found.record.energy)
