"""The network's loss as a quadratic in the weights of one unit, inside an activation region.

Shapes: Q samples, C classes, M units of the layer, N weights a unit. A unit's rows are A[(a, c), :] = d out_c(a) / d w;
where the layer has one site they are kept as the product b[a, c] q[a, :] of two smaller arrays.
"""

from typing import Any

import numpy as np

from annealtrain.nn import footprint
from annealtrain.nn.losses import SQUARED_ERROR, Loss
from annealtrain.nn.model import Model, ModelLayer
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Array

BLOCK_ROWS = 4096  # rows of A that are squared in the inputs' precision before they are added up in float64


class Jacobian:
    """The derivatives of a network's outputs with respect to layer k's weights, at its present weights.

    inputs: (Q, ...) as Network.preprocess gives them. targets: (Q, C). model: the loss to second order in the outputs,
    as they move: `move` brings it up to date after a unit has changed.
    """

    def __init__(self, network: Model, k: int, inputs: Array, targets: Array, objective: Loss = SQUARED_ERROR) -> None:
        self.network, self.k, self.targets, self.objective = network, k, targets, objective
        layer = network.trainable[k]
        count, C, (M, N) = len(inputs), network.classes, layer.weight_shape
        sites = footprint.sites(layer)
        dtype = inputs.dtype if inputs.dtype.kind == "f" else np.dtype(np.float32)  # words are whole numbers
        self.inputs = np.empty((count, *layer.in_shape), dtype)
        outputs = np.empty((count, C), dtype)
        # One site: the derivatives b (M, Q, C) and the rows q (Q, N). More: the rows of A, (M, Q, C, N).
        self._is_product = _is_product(layer)
        shape = (M, count, C) if self._is_product else (M, count, C, N)
        what = f"the Jacobian of layer {k} for {count} samples"
        memory.require(self.bytes_of(network, k, count), what, "take fewer samples, or optimizer=kronecker")
        self._derivatives = np.empty(shape, dtype)

        def fill(block: slice) -> None:
            forward = network.tape(inputs[block])
            self.inputs[block] = forward.inputs[k]
            outputs[block] = forward.outputs
            size = len(forward.outputs)
            back = np.empty((size, C, M, sites), dtype)
            for c in range(C):
                unit = np.zeros_like(forward.outputs)
                unit[:, c] = 1
                back[:, c] = forward.backward(unit, first=k)[0].reshape(size, M, sites)
            if self._is_product:
                self._derivatives[:, block] = back[..., 0].transpose(2, 0, 1)
            else:
                self._derivatives[:, block] = _by_weights(layer, forward.inputs[k], back).transpose(2, 0, 1, 3)

        network.in_parts(fill, count)
        self._rows = layer.unfold(self.inputs) if self._is_product else None
        self._starts: Any = self.inputs if network.is_chain else inputs
        self._first = k if network.is_chain else 0
        self.model = objective.model(outputs, targets)

    @staticmethod
    def bytes_of(network: Model, k: int, count: int) -> int:
        """Return what the derivatives for `count` samples take, in float32."""
        layer = network.trainable[k]
        M, N = layer.weight_shape
        return 4 * count * network.classes * M * (1 if _is_product(layer) else N)

    def loss(self) -> float:
        """Return the loss that the model has at the present outputs; squared error: |r|^2 / Q."""
        return self.model.value()

    def true_loss(self) -> float:
        """Return the loss of the network as it now is; layers before this one must be unchanged."""

        def part(block: slice) -> float:
            outputs = self.network.tape(self._starts[block], first=self._first).outputs
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

    def move(self, unit: int, change: Array) -> None:
        """Move the outputs by A change: the unit's weights have changed by `change` (N,)."""
        derivatives: Any = self._derivatives[unit]
        if self._rows is not None:
            self.model.move(derivatives * (self._rows @ change)[:, None])
        else:
            self.model.move(derivatives @ change)


def _is_product(layer: ModelLayer) -> bool:
    """Return whether a unit's rows of A are its derivatives times rows that all units share."""
    return footprint.sites(layer) == 1 and layer.has_shared_rows


def _by_weights(layer: ModelLayer, x: Array, back: Array) -> Array:
    """Return the rows of A, (q, C, M, N), of derivatives `back` (q, C, M, sites) by a layer's pre-activations."""
    count, C, M, sites = back.shape
    if layer.has_shared_rows:
        rows = layer.unfold(x).reshape(count, sites, -1)
        return np.matmul(back.reshape(count, C * M, sites), rows).reshape(count, C, M, -1)
    return np.stack([layer.sample_gradients(x, np.ascontiguousarray(back[:, c])) for c in range(C)], axis=1)
