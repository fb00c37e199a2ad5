"""Inverse temperatures of an annealing solve: given, or chosen from the Hamiltonian; constant or geometric."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array

# Inverse temperature to begin with, times the typical |dE| of a top bit's flip. Slice moves have no cliffs to climb.
FIRST_BETA = {"bit": 10.0, "slice": 100.0, "greedy": 10.0}
HOTTEST = 4.0  # a start's excess energy counts up to so many times what rounding costs
COOLED = 5.0  # last inverse temperature from a start, times the first: level steps have frozen by then
COLDEST = 1e15  # times the first: float32 fields tell nothing finer apart
SMALLEST_STEP = 1e-60  # of a grid: the fourth power of a smaller one vanishes


@dataclass(frozen=True)
class Cooling:
    """The inverse temperatures of a solve's sweeps, in 1 / loss.

    beta: one for all sweeps, or beta_range: [first, last], geometric, both in 1 / (loss of one output site); or both
    None: chosen for each unit by its move.
    """

    num_sweeps: int
    move: str
    beta: float | None = None
    beta_range: Sequence[float] | None = None

    def of_unit(self, form: QuadraticForm) -> Array:
        """Return the inverse temperatures of one unit, (num_sweeps,)."""
        return self._over(lambda: automatic_beta_range(form, self.move), form.sites)

    def of_moments(self, diagonal: Array, field: Array, step: float, bits: int, sites: float) -> Array:
        """Return the same from J_jj > 0 and dE/dS at S0 of the live weights, both (live,); there may be none."""
        if not diagonal.size:
            return self._over(lambda: (1.0, 1.0), sites)
        return self._over(lambda: convex_beta_range(diagonal, field, step, bits, self.move), sites)

    def of_all_units(self, problem: LayerProblem, diagonal: Array, gradients: Array) -> Array:
        """Return the inverse temperatures of all units of one J, (num_sweeps, M).

        diagonal: J_jj of the live weights (live,). gradients: dE/dS at S0, (M, live).
        """
        M = problem.num_units
        if self.move == "greedy":
            return np.ones((self.num_sweeps, M))  # it reads none
        if self.beta is not None or self.beta_range is not None:
            if np.ndim(problem.sites):
                return np.stack([self._over(lambda: (1.0, 1.0), sites) for sites in problem.sites], axis=1)
            return np.repeat(self._over(lambda: (1.0, 1.0), problem.sites)[:, None], M, axis=1)
        if (diagonal > 0).all() and problem.unit(0).couplings.is_convex:
            step = problem.encoding.step
            return cooling(*convex_beta_range(diagonal, gradients, step, problem.bits, self.move), self.num_sweeps)
        first, last = np.transpose([automatic_beta_range(problem.unit(i), self.move) for i in range(M)])
        return cooling(first, last, self.num_sweeps)

    def of_start(self, form: QuadraticForm, excess: float) -> Array:
        """Return the same from a good point, `excess` above the least energy without a grid, (num_sweeps,)."""
        return self._over(lambda: beta_range_of_start(form, excess), form.sites)

    def _over(self, automatic: Callable[[], tuple[float, float]], sites: float) -> Array:
        if self.beta is not None:
            return np.full(self.num_sweeps, self.beta / sites)
        if self.beta_range is not None:
            return cooling(self.beta_range[0] / sites, self.beta_range[1] / sites, self.num_sweeps)
        return cooling(*automatic(), self.num_sweeps)


def automatic_beta_range(form: QuadraticForm, move: str = "bit") -> tuple[float, float]:
    """Return (beta0, beta1) of one unit, in 1 / loss: hot enough to move the top bit, cold enough for the lowest.

    For a general Ising problem (J not positive definite) it comes from the typical |dE| of one flip.
    """
    live = form.couplings.indices
    diagonal = form.couplings.diagonal[live]
    field = form.gradient(form.S0)[live]
    if np.all(diagonal > 0) and form.couplings.is_convex:
        return convex_beta_range(diagonal, field, form.encoding.step, form.bits, move)
    # The size of dE at random levels. The median: one strong coupling would keep all others hot, one weak one take
    # sweeps that nothing else needs.
    size = form.encoding.step * np.sqrt(field**2 + ((2 * form.half_range * form.couplings.live_J) ** 2).sum(axis=1))
    size = size[size > 0]
    if not size.size:
        return 1.0, 1.0
    typical = float(np.median(size))
    first = 0.5 / (typical * 2 ** (form.bits - 1))
    return first, 30 / typical


def beta_range_of_start(form: QuadraticForm, excess: float) -> tuple[float, float]:
    """Return the automatic range of a solve that begins at a good point, in 1 / loss: no hotter than the point is.

    Without a grid n weights at a temperature T have n T / 2 above the least energy: at T = 2 excess / n the chain
    neither cools nor heats what it starts with. A hotter one forgets it, and where J is ill-conditioned does not find
    its like again. A point that is far away because its box is has more than the grid costs: n T / 2 is then held to
    HOTTEST times what nearest-plane rounding costs where no box is near, step^2 / 12 sum_j d_j (see Triangle).
    """
    n, step = form.couplings.indices.size, form.encoding.step
    rounding = step**2 / 12 * float(form.couplings.triangle.d.sum())
    first = n / (2 * min(max(excess, rounding / COLDEST), HOTTEST * rounding))
    return first, COOLED * first


def convex_beta_range(diagonal: Array, field: Array, step: float, bits: int, move: str) -> tuple[Any, Any]:
    """Return the automatic range of live weights with J_jj > 0 (live,) and dE/dS at S0 (..., live)."""
    step = np.maximum(step, SMALLEST_STEP)
    top = step * 2 ** (bits - 1)
    # One of many thousand small solves of a run: sums and minima are several times faster than np.mean and np.clip.
    square = ((top * field) ** 2 + (top**2 * diagonal) ** 2).sum(axis=-1) / len(diagonal)
    first = FIRST_BETA[move] / np.sqrt(square)
    return first, np.minimum(np.maximum(100 / (step**2 * (diagonal.sum() / len(diagonal))), first), COLDEST * first)


def cooling(first: Any, last: Any, num_sweeps: int) -> Array:
    """Return geometric inverse temperatures (num_sweeps, ...), from first to last, each a number or (...)."""
    if num_sweeps == 1:
        return np.array([last])
    whole = np.log(last / first)
    logs = np.multiply.outer(np.arange(num_sweeps), whole / (num_sweeps - 1))
    logs[-1] = whole
    betas: Array = first * np.exp(logs)
    return betas
