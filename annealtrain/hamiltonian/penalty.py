"""Penalties on the weights of layers, as parts of their units' energies: l2 |W|^2 + l1 |W|_1.

Around the present weights W (N,) of a unit, d = S - W being their change in the box |d_j| <= L_j, the first is a
quadratic form as it stands:

    l2 |W + d|^2 = l2 |W|^2 + 2 l2 W.d + l2 |d|^2

The second is none. A weight that cannot change its sign in the box has |S_j| = |W_j| + sign(W_j) d_j. For the others,
|W_j| < L_j, stands the parabola that Huber's function has there:

    |S_j| <= S_j^2 / (2 L_j) + L_j / 2 = (W_j^2 + L_j^2) / (2 L_j) + W_j d_j / L_j + d_j^2 / (2 L_j)

It is above |S_j| by at most L_j / 2 within L_j of 0, so that both come to the same as the range falls, and it has its
minimum where |S_j| has. A weight of one bit has the two ends of its box alone, where |S_j| = L_j + W_j d_j / L_j.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import each_of, either, number

STRENGTH = either(number(0), each_of(number(0)))


@dataclass(frozen=True)
class Penalty:
    """l2 |W|^2 + l1 |W|_1 of all weights, biases included, as a part of the loss.

    l1, l2: from 0, a number for all layers, or one for layer 0, 1, ...
    """

    l1: float | Sequence[float] = 0.0
    l2: float | Sequence[float] = 0.0

    def check_layers(self, count: int) -> None:
        """Raise InputError where there are not as many values as trainable layers."""
        for name in ("l1", "l2"):
            given = getattr(self, name)
            if isinstance(given, Sequence) and len(given) != count:
                raise InputError(
                    f"optimizer.{name} has {len(given)} values, the model {count} trainable layers: give one a layer, "
                    "or one number for all"
                )

    @property
    def is_none(self) -> bool:
        """Whether it is 0 whatever the weights are."""
        return not (np.any(self.l1) or np.any(self.l2))

    def of_layer(self, k: int) -> tuple[float, float]:
        """Return l1 and l2 of a layer."""
        l1, l2 = (float(given[k] if isinstance(given, Sequence) else given) for given in (self.l1, self.l2))
        return l1, l2

    def value(self, k: int, weights: Array) -> float:
        """Return the penalty of a layer's weights, of any shape."""
        l1, l2 = self.of_layer(k)
        squares = l2 * float((weights**2).sum()) if l2 else 0.0
        return squares + l1 * float(np.abs(weights).sum()) if l1 else squares

    def around(self, k: int, weights: Array, half_range: Any, bits: int) -> "PenaltyModel":
        """Return the penalty of changes of at most half_range of weights (M, N) of a layer."""
        return PenaltyModel(*self.of_layer(k), weights, half_range, bits)

    def added(self, k: int, problem: LayerProblem) -> LayerProblem:
        """Return a problem of a layer's weights themselves with the penalty in its energies.

        Weights that the problem leaves dead are moved by the penalty alone. J is formed, and each unit has one of its
        own where l1 is not 0, which bends the energies of its small weights.
        """
        (l1, l2), S0, bits = self.of_layer(k), problem.S0, problem.bits
        if not (l1 or l2):
            return problem
        model = self.around(k, S0, problem.encoding.half_range, bits)
        # In S = S0 + d: at_S0 + gradient.(S - S0) + curvature (S - S0)^2.
        at_S0 = model.excess + l1 * np.abs(S0).sum(axis=1) + l2 * (S0**2).sum(axis=1)
        h = problem.h + model.gradient - 2 * model.curvature * S0
        E0 = problem.E0 + at_S0 - ((model.gradient - model.curvature * S0) * S0).sum(axis=1)
        if problem.least_squares:
            problem.least_squares.prepare()

        def couplings(unit: int) -> Couplings:
            given = problem.unit(unit).couplings
            ridge = given.ridge * given.live if np.any(given.ridge) else 0.0
            return Couplings(
                given.J + np.diag(model.bend(unit)), np.ones(len(given.J), bool), ridge, convex=given.convex
            )

        made: Couplings | Callable[[int], Couplings] = couplings(0) if problem.is_shared and not l1 else couplings
        grid: tuple[Any, ...] = (S0, problem.half_range, bits if problem.num_levels is None else None)
        kept: dict[str, Any] = {"num_levels": problem.num_levels, "sites": problem.sites, "present": problem.present}
        return LayerProblem(made, h, E0, *grid, **kept, convex=problem.convex)


NO_PENALTY = Penalty()


@dataclass(frozen=True, eq=False)
class PenaltyModel:
    """A layer's penalty in changes d of at most half_range of its weights (M, N), of so many bits. Of unit i it is

    l1 |W_i|_1 + l2 |W_i|^2 + excess_i + gradient_i.d + sum_j curvature_ij d_j^2
    """

    l1: float
    l2: float
    weights: Array
    half_range: Any
    bits: int

    @cached_property
    def gradient(self) -> Array:
        """(M, N)."""
        slope: Array = 2 * self.l2 * self.weights
        return slope + self.l1 * self._pull if self.l1 else slope

    @property
    def curvature(self) -> Any:
        """l2, or (M, N) where l1 is not 0."""
        return self.l2 + self.l1 * self._bent if self.l1 else self.l2

    @property
    def excess(self) -> Array:
        """By how much the parabolas are above l1 |W| at d = 0, (M,)."""
        sizes, L = np.abs(self.weights), self.half_range
        inside = L if self.bits == 1 else (sizes**2 + L**2) / (2 * L)
        found: Array = self.l1 * np.where(sizes < L, inside - sizes, 0.0).sum(axis=1)
        return found

    def bend(self, unit: int) -> Array:
        """Return what the penalty adds to the diagonal of a unit's J, (N,)."""
        bend: Array = np.full(self.weights.shape[1], float(self.l2))
        return bend + self.l1 * self._bent[unit] if self.l1 else bend

    def along(self, unit: int, change: Array) -> tuple[Any, Any]:
        """Return slope and curvature of a unit's penalty in t, of changes t d with d (N,)."""
        slope, curvature = 2 * self.l2 * (self.weights[unit] @ change), self.l2 * (change @ change)
        if self.l1:
            slope += self.l1 * (self._pull[unit] @ change)
            curvature += self.l1 * (self._bent[unit] @ change**2)
        return slope, curvature

    @cached_property
    def _pull(self) -> Array:
        """The slope of |S| at the weights: (M, N)."""
        pull: Array = np.clip(self.weights / self.half_range, -1, 1)
        return pull

    @cached_property
    def _bent(self) -> Array:
        """Half the second derivative of what stands for |S|: (M, N)."""
        bends = (np.abs(self.weights) < self.half_range) & (self.bits > 1)
        found: Array = np.where(bends, 1 / (2 * self.half_range), 0.0)
        return found
