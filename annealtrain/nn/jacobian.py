"""The network's loss as a quadratic in the weights of one unit, inside an activation region.

Shapes: Q samples, C classes, M units of the layer, N weights a unit. A unit's rows are A[(a, c), :] = d out_c(a) / d w;
where the layer has one site they are kept as the product b[a, c] q[a, :] of two smaller arrays.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn import footprint
from annealtrain.nn.losses import SQUARED_ERROR, Loss
from annealtrain.nn.model import Model, ModelLayer, ModelTape
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.blas import ONE_THREAD

BLOCK_ROWS = 4096  # rows of A that are squared in the inputs' precision before they are added up in float64


class Jacobian:
    """The derivatives of a network's outputs with respect to layer k's weights, at its present weights.

    inputs: (Q, ...) as Network.preprocess gives them. targets: (Q, C). model: the loss to second order in the outputs,
    as they move: `move` brings it up to date after a unit has changed.
    units: those of the layer that are asked for, counted from 0 in this order; None: all. first: the trainable layer
    whose inputs are given, None: the network's own; see `starts`.
    """

    def __init__(
        self,
        network: Model,
        k: int,
        inputs: Array,
        targets: Array,
        objective: Loss = SQUARED_ERROR,
        *,
        units: Sequence[int] | None = None,
        first: int | None = None,
    ) -> None:
        self.network, self.k, self.targets, self.objective = network, k, targets, objective
        layer = network.trainable[k]
        count, C, (M, N) = len(inputs), network.classes, layer.weight_shape
        sites = footprint.sites(layer)
        dtype = inputs.dtype if inputs.dtype.kind == "f" else np.dtype(np.float32)  # words are whole numbers
        self.inputs = np.empty((count, *layer.in_shape), dtype)
        outputs = np.empty((count, C), dtype)
        # One site: the derivatives b (M, Q, C) and the rows q (Q, N). More: the rows of A, (M, Q, C, N).
        self._is_product = _is_product(layer)
        chosen: Any = slice(None) if units is None else list(units)
        count_chosen = M if units is None else len(units)
        shape = (count_chosen, count, C) if self._is_product else (count_chosen, count, C, N)
        what = f"the Jacobian of layer {k} for {count} samples"
        needed = self.bytes_of(network, k, count, count_chosen)
        memory.require(needed, what, "take fewer samples, or optimizer=kronecker")
        self._derivatives = np.empty(shape, dtype)

        def fill(block: slice) -> None:
            forward = network.tape(inputs[block], first)
            self.inputs[block] = _by_sample(layer, forward, k)
            outputs[block] = forward.outputs
            size = len(forward.outputs)
            back = np.empty((size, C, M, sites), dtype)
            for c in range(C):
                unit = np.zeros_like(forward.outputs)
                unit[:, c] = 1
                back[:, c] = forward.backward(unit, first=k)[0].reshape(size, M, sites)
            if self._is_product:
                self._derivatives[:, block] = back[:, :, chosen, 0].transpose(2, 0, 1)
            else:
                rows = _by_weights(layer, forward.inputs[k], back, units)
                self._derivatives[:, block] = rows.transpose(2, 0, 1, 3)

        network.in_parts(fill, count)
        self._rows = layer.unfold(self.inputs) if self._is_product else None
        begins = network.begins_at(k, dtype)
        self._starts: Any = self.inputs if begins else inputs
        self._first = k if begins else first
        self.model = objective.model(outputs, targets)

    @staticmethod
    def bytes_of(network: Model, k: int, count: int, units: int | None = None) -> int:
        """Return what the derivatives for `count` samples take, in float32, of so many units; None: of all."""
        layer = network.trainable[k]
        M, N = layer.weight_shape
        return 4 * count * network.classes * (M if units is None else units) * (1 if _is_product(layer) else N)

    @property
    def starts(self) -> tuple[Array, int | None]:
        """The inputs, and their layer, from which another Jacobian of the layer may begin: `inputs` and `first`."""
        return self._starts, self._first

    def loss(self) -> float:
        """Return the loss that the model has at the present outputs; squared error: |r|^2 / Q."""
        return self.model.value()

    def true_loss(self) -> float:
        """Return the loss of the network as it now is; layers before this one must be unchanged."""

        def part(block: slice) -> float:
            outputs = self.network.outputs(self._starts[block], self._first)
            return self.objective.value(outputs, self.targets[block])

        return sum(self.network.in_parts(part, len(self.inputs))) / len(self.inputs)

    def gram(self, unit: int) -> Array:
        """Return A'A / Q of a unit, (N, N) float64; A'FA / Q where the loss has other curvatures F than 1."""
        derivatives = self.model.weighted(self._derivatives[unit])
        if self._rows is not None:
            rows = self._rows * np.sqrt((derivatives**2).sum(axis=1))[:, None]
        else:
            rows = derivatives.reshape(-1, derivatives.shape[2])
        total = np.zeros((rows.shape[1],) * 2)
        with ONE_THREAD.held():  # a problem is asked for J in and out of solves: the same sums of float32 in both
            for block in thread_pool.chunks(len(rows), BLOCK_ROWS):
                total += rows[block].T @ rows[block]
        total /= len(self.inputs)
        return total

    def gradient(self, unit: int) -> Array:
        """Return 2 A'r / Q of a unit, (N,) float64, r the residual, or half the derivatives by the outputs."""
        derivatives, r = self._derivatives[unit], self.model.pull
        if self._rows is not None:
            found = (derivatives * r).sum(axis=1) @ self._rows
        else:
            found = r.ravel() @ derivatives.reshape(-1, derivatives.shape[2])
        return np.asarray(found * (2 / len(r)), np.float64)

    def effect(self, unit: int, change: Array) -> Array:
        """Return A change, (Q, C): by how much the outputs move where a unit's weights change by `change` (N,)."""
        derivatives: Any = self._derivatives[unit]
        moved: Array = derivatives @ change if self._rows is None else derivatives * (self._rows @ change)[:, None]
        return moved

    def move(self, unit: int, change: Array) -> None:
        """Move the outputs by A change: the unit's weights have changed by `change` (N,)."""
        self.model.move(self.effect(unit, change))


def _by_sample(layer: ModelLayer, tape: ModelTape, k: int) -> Array:
    """Return a layer's inputs; InputError where they are not one for each sample."""
    found: Array = tape.inputs[k]
    if len(found) != len(tape.outputs):
        name, counts = getattr(layer, "name", "a layer"), f"{len(found)} inputs for {len(tape.outputs)} outputs"
        raise InputError(
            f"layer {name} gets {counts}: gauss_newton needs the samples first in both, each by itself; "
            "take optimizer=kronecker, or leave the layer out by trainable=[...]"
        )
    return found


def _is_product(layer: ModelLayer) -> bool:
    """Return whether a unit's rows of A are its derivatives times rows that all units share."""
    return footprint.sites(layer) == 1 and layer.has_shared_rows


def _by_weights(layer: ModelLayer, x: Array, back: Array, units: Sequence[int] | None) -> Array:
    """Return the rows of A, (q, C, units, N), of derivatives `back` (q, C, M, sites) by a layer's pre-activations."""
    count, C, _, sites = back.shape
    if layer.has_shared_rows:
        own = back if units is None else np.ascontiguousarray(back[:, :, list(units)])
        rows = layer.unfold(x).reshape(count, sites, -1)
        found: Array = np.matmul(own.reshape(count, C * own.shape[2], sites), rows).reshape(count, C, own.shape[2], -1)
        return found
    shape = (count, *layer.out_shape)
    found = np.stack([layer.sample_gradients(x, back[:, c].reshape(shape)) for c in range(C)], axis=1)
    return found if units is None else found[:, :, list(units)]
