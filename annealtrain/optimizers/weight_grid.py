"""Networks of n bits: weights that lie on a grid of their own, not on one of each step.

Unit m has the weights S_mj = s_m (2 u_mj / Nb - 1), u_mj in 0 .. Nb: one scale s_m, and levels u that are the same
evenly spaced numbers for all units. Two levels are signs, three are ternary. A bias is one more weight of its unit.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.grid import MAX_BITS, spins_and_levels
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.nn.model import ModelLayer
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import checked, number, optional, whole

FITS = 4  # alternations of levels and scale: the fourth moves a scale by less than a percent
SMALLEST = 1e-9  # scale of a unit whose weights are all 0
ON_GRID, IN_SINGLE = 1e-6, 2e-7  # of a step, and of the levels: what weights of a grid may be off it by rounding
HELD_BYTES = 40  # of a weight on a grid: float weights, levels, the network's own, and a checkpoint's copies
OF_SHADOW = "fixed_grid.shadow"  # as `Optimizer.scheduled` names it


class WeightGrid:
    """What `grid=fixed` asks of an optimizer.

    num_levels: of every weight. moves: how many levels a step may move a weight: the Hamiltonian's variables are the
    2 moves + 1 levels around the present one, at the end of the grid all on its inner side; None: any level.
    shadow: the share of the steps in which float weights are trained behind the grid's; None: the optimizer's own.
    """

    @checked(
        "fixed_grid.",
        num_levels=whole(2, 2**MAX_BITS, "as a weight has at most 16 spins"),
        moves=optional(whole()),
        shadow=optional(number(0, below=1)),
    )
    def __init__(self, num_levels: int, moves: int | None = None, shadow: float | None = None) -> None:
        self.num_levels, self.moves, self.shadow = num_levels, moves, shadow

    @property
    def window(self) -> int:
        """How many levels a Hamiltonian's weights have."""
        return self.num_levels if self.moves is None else min(self.num_levels, 2 * self.moves + 1)

    @property
    def bits(self) -> int:
        """Spins of a weight in a Hamiltonian."""
        return spins_and_levels(None, self.window)[0]


class GridLayer:
    """A layer's weights on a grid: levels (M, N) int32 and scales (M,)."""

    def __init__(self, levels: Array, scales: Array, grid: WeightGrid) -> None:
        self.levels, self.scales, self.grid = levels, scales, grid

    @classmethod
    def nearest(cls, weights: Array, grid: WeightGrid) -> "GridLayer":
        """Return the grid closest to weights (M, N): each unit's levels and scale are fitted in turn."""
        top = grid.num_levels - 1
        scales = np.abs(weights).mean(axis=1) * np.log2(grid.num_levels)
        for _ in range(FITS if top > 1 else 1):  # two levels: signs whatever the scale, which is then the mean size
            levels = nearest_levels(weights, scales, top)
            units = 2 * levels / top - 1
            scales = (weights * units).sum(axis=1) / np.maximum((units**2).sum(axis=1), SMALLEST)
            scales = np.maximum(scales, SMALLEST)
        return cls(levels, scales, grid)

    @classmethod
    def of_weights(cls, weights: Array, grid: WeightGrid) -> "GridLayer":
        """Return the grid that weights (M, N) lie on, the narrowest of each unit; where on none, the nearest."""
        found = codes(weights, grid.num_levels)
        return cls.nearest(weights, grid) if found is None else cls(*found, grid)

    def is_grid_of(self, weights: Array) -> bool:
        """Whether weights (M, N) are those of the grid, but for rounding."""
        steps = np.maximum(self.scales, SMALLEST)[:, None] * (2 / (self.grid.num_levels - 1))
        return bool(np.all(np.abs(self.weights - weights) <= steps * off_by_rounding(self.grid.num_levels)))

    @property
    def weights(self) -> Array:
        """The weights (M, N)."""
        return self.scales[:, None] * self.directions

    @property
    def directions(self) -> Array:
        """The weights over their scales, (M, N) in [-1, 1]."""
        return 2 * self.levels / (self.grid.num_levels - 1) - 1

    @property
    def units(self) -> int:
        """M."""
        return len(self.levels)

    def directions_of(self, unit: int) -> Array:
        """Return one unit's weights over its scale, (N,)."""
        directions: Array = 2 * self.levels[unit] / (self.grid.num_levels - 1) - 1
        return directions

    def problem(self, units: Sequence[int], couplings: Any, h: Array) -> LayerProblem:
        """Return E(S) = S'JS + h'S of some units' weights, in the levels that a step lets them have.

        h: (units, N). All weights are taken as live: a grid need not hold the value that a dead one has.
        """
        top, window = self.grid.num_levels - 1, self.grid.window - 1
        levels, scales = self.levels[units], self.scales[units]
        lowest = self._lowest(levels)
        centres = scales[:, None] * ((2 * lowest + window) / top - 1)
        ranges: Any = scales * (window / top)
        zeros, is_one = np.zeros(len(units)), len(units) == 1
        # J is convex, but a bound for each of thousands of solves would take longer than the solve.
        return LayerProblem(
            couplings,
            h,
            zeros,
            centres,
            float(ranges[0]) if is_one else ranges,
            None,
            num_levels=window + 1,
            convex=False,
            present=(levels - lowest).astype(np.int32),
        )

    def take(self, units: Sequence[int], found: Array) -> None:
        """Take the levels (units, N) that a solver gave for `problem` of the same units."""
        self.levels[units] = self._lowest(self.levels[units]) + found

    def _lowest(self, levels: Array) -> Array:
        """Return the first level that each weight's Hamiltonian has."""
        lowest: Array = np.clip(levels - self.grid.window // 2, 0, self.grid.num_levels - self.grid.window)
        return lowest

    def copy(self) -> "GridLayer":
        return GridLayer(self.levels.copy(), self.scales.copy(), self.grid)


class GridWeights:
    """All layers of a network on their grids, and the float weights behind them, its shadow.

    share: of the steps, the first, that train float weights alone.
    """

    def __init__(self, layers: Sequence[ModelLayer], grid: WeightGrid, *, share: float) -> None:
        self._layers, self.grid, self.share, self.has_taken_over = layers, grid, share, False
        self.shadow = [layer.weights.copy() for layer in layers]
        self.on_grid = [GridLayer.of_weights(weights, grid) for weights in self.shadow]
        for layer, held, weights in zip(layers, self.on_grid, self.shadow, strict=True):
            if not held.is_grid_of(weights):  # those that are on it keep their last bits
                layer.weights = held.weights

    def trains_float(self, number: int, total: int) -> bool:
        """Whether step `number` of `total` trains float weights alone; once one has not, none does.

        A run that is given more epochs, of which more steps are the first share, stays on its grid for that.
        """
        self.has_taken_over = self.has_taken_over or number >= int(self.share * total)
        return not self.has_taken_over

    def put(self) -> None:
        """Let the network have the weights on the grid."""
        for layer, held in zip(self._layers, self.on_grid, strict=True):
            layer.weights = held.weights

    def put_shadow(self) -> None:
        """Let the network have the float weights."""
        for layer, weights in zip(self._layers, self.shadow, strict=True):
            layer.weights = weights.copy()

    def round_shadow(self) -> None:
        """Take the network's weights as the float ones, and let it have their nearest on the grid."""
        self.shadow = [layer.weights.copy() for layer in self._layers]
        self.on_grid = [GridLayer.nearest(weights, self.grid) for weights in self.shadow]
        self.put()

    def state(self) -> dict[str, Array]:
        found = {f"shadow_{k}": weights.copy() for k, weights in enumerate(self.shadow)}
        found["has_taken_over"] = np.array(float(self.has_taken_over))
        for k, held in enumerate(self.on_grid):
            found |= {f"grid_levels_{k}": held.levels.copy(), f"grid_scales_{k}": held.scales.copy()}
        return found

    def restore(self, state: dict[str, Array]) -> None:
        for k, held in enumerate(self.on_grid):
            self.shadow[k] = state[f"shadow_{k}"].copy()
            held.levels, held.scales = state[f"grid_levels_{k}"].copy(), state[f"grid_scales_{k}"].copy()
        self.has_taken_over = bool(state["has_taken_over"])
        self.put()


def nearest_levels(weights: Array, scales: Array, top: int) -> Array:
    """Return the levels (M, N) int32 of 0 .. top closest to weights (M, N) on grids of these scales (M,)."""
    places = weights / np.maximum(scales, SMALLEST)[:, None]
    return np.clip(np.rint((places + 1) * (top / 2)), 0, top).astype(np.int32)


def off_by_rounding(num_levels: int) -> float:
    """Return what weights of a grid, in single precision too, may be off it, in steps."""
    return max(ON_GRID, IN_SINGLE * num_levels)


def codes(weights: Array, num_levels: int) -> tuple[Array, Array] | None:
    """Return levels (M, N) int32 and scales (M,) with which weights (M, N) are those of a grid; None if they are not.

    Of the scales that a unit may have, the one whose levels reach farthest out.
    """
    top = num_levels - 1
    close = off_by_rounding(num_levels)
    levels, scales = np.zeros(weights.shape, np.int32), np.zeros(len(weights))
    for unit, own in enumerate(weights):
        largest = max(float(np.abs(own).max()), SMALLEST)
        for out in range(top, 0, -2):  # the outermost weight is s out / top
            scale = largest * top / out
            places = (own / scale + 1) * (top / 2)
            if np.abs(places - np.rint(places)).max() < close:
                levels[unit], scales[unit] = np.rint(places), scale
                break
        else:
            return None
    return levels, scales


def codes_file(weights: Sequence[Array], num_levels: int) -> bytes:
    """Return an .npz of whole layers: `levels_k` (M, N), the smallest unsigned type, and `scales_k` (M,) float64.

    The weights are scales_k (2 levels_k / (num_levels - 1) - 1). Raises InputError for weights that lie on no grid.
    """
    arrays = {"num_levels": np.array(num_levels)}
    for k, own in enumerate(weights):
        if (found := codes(own, num_levels)) is None:
            raise InputError(f"the weights of layer {k} lie on no grid of {num_levels} levels")
        arrays |= {f"levels_{k}": found[0].astype(np.min_scalar_type(num_levels - 1)), f"scales_{k}": found[1]}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def distinct_levels(weights: Array) -> int:
    """Return how many different values the weights of a layer's units have, of the unit that has most: (M, N)."""
    return max(len(np.unique(own)) for own in weights)
