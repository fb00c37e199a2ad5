"""A form's live weights as other samplers take them: spins with fields and pairs, matrices, or levels."""

from typing import Any, NamedTuple

import numpy as np

from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array


class Pairs(NamedTuple):
    """h' (spins,), each pair i < j once with 2 J'_ij (not 0), and the offset: spins of live weights only, Eq. (9)."""

    h: Array
    row: Array
    column: Array
    bias: Array
    offset: float


def pairs(form: QuadraticForm) -> Pairs:
    """Return a form as spins in pairs.

    Row by row of J, so that a sampler's peak memory is its own and not that of a dense J'.
    """
    live, n = form.couplings.indices, form.bits
    J, scale = form.couplings.live_J, form.encoding.spin_scale
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
    return Pairs(np.kron(form.gradient(form.S0)[live], scale), row, column, bias, offset)


def matrices(form: QuadraticForm) -> tuple[Array, Array]:
    """Return J' (spins, spins), symmetric, zero on its diagonal, and h', both over the largest number of the two.

    E = sigma'J'sigma + h'sigma, but for a factor and a constant.
    """
    live, scale = form.couplings.indices, form.encoding.spin_scale
    J, h = np.kron(form.couplings.live_J, np.outer(scale, scale)), np.kron(form.gradient(form.S0)[live], scale)
    np.fill_diagonal(J, 0.0)
    size = max(np.abs(J).max(initial=0.0), np.abs(h).max(initial=0.0)) or 1.0
    return J / size, h / size


def model(form: QuadraticForm) -> Any:
    """Return the dimod model of the live weights' spins."""
    import dimod

    h, row, column, bias, offset = pairs(form)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(h, (row, column, bias), offset, dimod.SPIN)


def in_order(found: Any) -> Array:
    """Return the samples of a dimod.SampleSet whose variables are 0, 1, ..., in their order."""
    samples: Array = found.record.sample[:, np.argsort(np.asarray(found.variables))]
    return samples


def levels_of(form: QuadraticForm, spins: Array) -> Array:
    """Return levels (reads, N) of spins (reads, live * bits) of the live weights."""
    return scattered(form, form.encoding.levels(np.asarray(spins)))


def scattered(form: QuadraticForm, live_levels: Array) -> Array:
    """Return levels (reads, N) of those of the live weights (reads, live)."""
    levels = np.zeros((len(live_levels), form.S0.size), dtype=np.int32)
    levels[:, form.couplings.indices] = live_levels
    return levels


def integer_terms(form: QuadraticForm) -> tuple[list[tuple[int, ...]], list[float]]:
    """Return the energy's terms in the levels u of live weights, S = S0 - L + step u; each pair once."""
    live, step = form.couplings.indices, form.encoding.step
    J, lowest = form.couplings.live_J, (form.S0 - form.half_range)
    everywhere = np.where(form.live, lowest, form.S0)
    linear = step * form.gradient(everywhere)[live]
    row, column = np.nonzero(np.triu(J, 1))
    keys: list[tuple[int, ...]] = [(), *((i,) for i in range(live.size)), *((i, i) for i in range(live.size))]
    keys += zip(row.tolist(), column.tolist(), strict=True)
    values = [float(form.energy(everywhere)), *linear.tolist(), *(step**2 * J.diagonal()).tolist()]
    return keys, [*values, *(2 * step**2 * J[row, column]).tolist()]
