"""A network on its grids, layer after layer: each sees what the quantised layers before it give."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.optimizers.quantization.full_objective import curvature, on_grid_together
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.layer import Target, on_grid, target_of
from annealtrain.optimizers.quantization.moments import measure, output_errors
from annealtrain.optimizers.quantization.rounding import problem_of
from annealtrain.optimizers.quantization.source import Source
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import stream
from annealtrain.runtime.validation import LARGEST, SEED, YES_OR_NO, checked, number, one_of, optional, shown, whole
from annealtrain.solvers.bounds import lower_bound
from annealtrain.solvers.solver import Solver, relative_gap

OBJECTIVES = ("layerwise", "full")
DAMPING = {"layerwise": 0.01, "full": 0.1}  # on 1,024 images more of the latter's gain is of those images alone
BOUNDED = 1e11  # operations that the bounds of a layer may take


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer on its grid. levels: (M, N) int32. scales: (M, G). bias_change: (M,) or None. row: what is told of it."""

    name: str
    grid: Grid
    levels: Array
    scales: Array
    bias_change: Array | None
    row: Row

    @property
    def weights(self) -> Array:
        """(M, N) float32, as codes times steps give them."""
        return self.grid.kept(self.levels, self.scales)

    @property
    def codes(self) -> tuple[Array, Array]:
        """Whole numbers (M, N) and steps (M, G) float32."""
        return self.grid.codes(self.levels, self.scales)


class Method:
    """How layers are quantised.

    rounds: of levels given scales and scales given levels. damping: see `target_of`; None: by the objective.
    compensate: whether a layer makes up for the errors of those before it. refit_bias: whether a float bias, where
    there is one, meets the mean error.
    objective: `layerwise`, the error of each layer's own outputs; or `full`, that of the network's.
    """

    @checked(
        "",
        rounds=whole(1, 100, "as scales have settled long before"),
        damping=optional(number(0, 1e6)),
        compensate=YES_OR_NO,
        refit_bias=YES_OR_NO,
        objective=one_of(*OBJECTIVES),
        seed=SEED,
    )
    def __init__(
        self,
        solver: Solver,
        *,
        rounds: int = 4,
        damping: float | None = None,
        compensate: bool = True,
        refit_bias: bool = True,
        objective: str = "layerwise",
        seed: int = 0,
    ) -> None:
        self.solver, self.rounds = solver, rounds
        self.damping = DAMPING[objective] if damping is None else damping
        self.compensate, self.refit_bias, self.objective, self.seed = compensate, refit_bias, objective, seed


Told = Callable[[int, float], None]


def quantized(
    source: Source,
    calibration: Any,
    held_out: Any,
    grids: Sequence[Grid | None],
    method: Method,
    *,
    done: Mapping[int, QuantizedLayer] | None = None,
    progress: Told | None = None,
) -> Iterator[QuantizedLayer]:
    """Quantise a source in place; yield each layer as it is there. A layer without a grid stays as it is.

    calibration, held_out: samples as the source takes them; held_out may be None. done: layers of an earlier call.
    progress(k, share): of layer k.
    """
    check(source, grids, method)
    for k, grid in enumerate(grids):
        if grid is None:
            continue
        if done is None or k not in done:
            found = _quantized_layer(source, k, grid, calibration, held_out, method, progress)
        else:
            found = done[k]
        source.take(k, found.weights, found.bias_change)
        yield found


def check(source: Source, grids: Sequence[Grid | None], method: Method) -> None:
    """Raise InputError where grids do not fit the layers, or the method does not fit them or the network."""
    if method.objective == "full" and not source.has_gradients:
        raise InputError("objective=full needs gradients, which an ONNX model has not: take objective=layerwise")
    names = source.names
    if len(grids) != len(names):
        raise InputError(f"bits or levels for {len(grids)} layers, the network has {len(names)}: {', '.join(names)}")
    if all(grid is None for grid in grids):
        raise InputError("no layer is to be quantised: give bits or levels of at least one")
    for k, grid in enumerate(grids):
        if grid is not None:
            W = source.weights(k)
            if not (W.size and (np.abs(W) <= LARGEST).all()):  # not of NaN either
                told = f"weights that are not numbers of at most {LARGEST:g} in size" if W.size else "no weights"
                raise InputError(f"layer {shown(names[k])} has {told}: train the network anew, or leave the layer out")
            try:
                method.solver.check(bits=grid.stored_bits, weights=[source.weights(k).shape[1]])
            except InputError as error:
                raise InputError(str(error).replace("layer 0", f"layer {names[k]}", 1)) from None


def _quantized_layer(
    source: Source, k: int, grid: Grid, calibration: Any, held_out: Any, method: Method, progress: Told | None
) -> QuantizedLayer:
    began = time.perf_counter()
    W, moments = source.weights(k), measure(source, k, calibration)
    refits = method.refit_bias and source.bias(k) is not None
    target = target_of(moments.centred() if refits else moments, W, method.damping, corrects=method.compensate)
    seed = stream(method.seed, k)
    told = (lambda share: progress(k, share)) if progress else None
    found = on_grid(target, grid, method.solver, rounds=method.rounds, seed=seed, progress=told)
    if method.objective == "full":
        gamma = curvature(source, k, calibration, method.seed)
        found = on_grid_together(target, gamma, grid, method.solver, found, seed=seed)
    S = grid.kept(found.levels, found.scales).astype(np.float64)
    change = moments.means[1] @ W.T - moments.means[0] @ S.T if refits else None
    row = {
        "layer": k,
        "name": source.names[k],
        "units": len(W),
        "inputs": W.shape[1],
        "levels": grid.levels,
        "bits": grid.bits,
        "group_size": grid.group_size,
        "solver": type(method.solver).__name__,
        "error": _relative(output_errors(source, k, calibration, S, change)),
        "held_out_error": None if held_out is None else _relative(output_errors(source, k, held_out, S, change)),
        "gap": _gap(target, grid, S, found.scales),
        "scale": float(found.scales.mean()),
        "distinct_levels": len(np.unique(found.levels)),
        "seconds": time.perf_counter() - began,
    }
    return QuantizedLayer(source.names[k], grid, found.levels, found.scales, change, row)


def _relative(sums: tuple[float, float]) -> float | None:
    return sums[0] / sums[1] if sums[1] > 0 else None


def _gap(target: Target, grid: Grid, S: Array, scales: Array) -> float | None:
    """Return the certified gap of the units together, 1 at weights of 0; None where bounds would take long.

    A bound is of the box: 0 where all weights lie in it, so that the gap is then the error itself.
    """
    M, N = S.shape
    if scales.shape[1] > 1 or 100.0 * M * N**2 > BOUNDED:
        return None
    problem = problem_of(Couplings(target.H), target.W, scales, grid)
    forms = [problem.unit(i) for i in range(M)]
    D = S - target.W
    bounds = [max(lower_bound(form, d), 0.0) for form, d in zip(forms, D, strict=True)]
    energy, start = (float(((x @ target.H) * x).sum()) for x in (D, target.W))
    return relative_gap(energy, start, float(sum(bounds)))
