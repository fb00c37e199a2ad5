"""The network's loss as a quadratic in the weights of one unit, inside an activation region.

Shapes: Q samples, C classes, M units of the layer, N weights a unit. A unit's rows are A[(a, c), :] = d out_c(a) / d w;
where the layer has one site they are kept as the product b[a, c] q[a, :] of two smaller arrays.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from annealtrain.nn.forward import Tape
from annealtrain.nn.layout import CHUNK_SAMPLES
from annealtrain.nn.network import Network
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Array

BLOCK_ROWS = 4096  # rows of A that are squared in the inputs' precision before they are added up in float64


class Jacobian:
    """The derivatives of a network's outputs with respect to layer k's weights, at its present weights.

    inputs: (Q, ...) as Network.preprocess gives them. targets: (Q, C). `residual`, (Q, C) float64, is outputs - targets
    as the linear model predicts it: `move` brings it up to date after a unit has changed.
    units: those of the layer that are asked for, counted from 0 in this order; None: all. first: the trainable layer
    whose inputs are given.
    """

    def __init__(
        self,
        network: Network,
        k: int,
        inputs: Array,
        targets: Array,
        *,
        units: Sequence[int] | None = None,
        first: int = 0,
    ) -> None:
        self.network, self.k, self.targets = network, k, targets
        layer = network.trainable[k]
        count, C, (M, N) = len(inputs), network.classes, layer.weight_shape
        sites = int(np.prod(layer.out_shape)) // M
        dtype = inputs.dtype
        self.inputs = np.empty((count, *layer.in_shape), dtype)
        self.residual = np.empty((count, C))
        # One site: the derivatives b (M, Q, C) and the rows q (Q, N). More: the rows of A, (M, Q, C, N).
        self._is_product = sites == 1
        chosen: Any = slice(None) if units is None else list(units)
        M_chosen = M if units is None else len(units)
        shape = (M_chosen, count, C) if self._is_product else (M_chosen, count, C, N)
        memory.require(
            int(np.prod(shape)) * dtype.itemsize,
            f"the Jacobian of layer {k} for {count} samples",
            "lower samples, or train in mini-batches: optimizer.adaptive=false batch_size=1000",
        )
        self._derivatives = np.empty(shape, dtype)

        def fill(block: slice) -> None:
            forward = Tape(network, inputs[block], first)
            self.inputs[block] = forward.inputs[k]
            self.residual[block] = forward.outputs - targets[block]
            size = len(forward.outputs)
            back = np.empty((size, C, M, sites), dtype)
            for c in range(C):
                unit = np.zeros_like(forward.outputs)
                unit[:, c] = 1
                back[:, c] = forward.backward(unit, first=k)[0].reshape(size, M, sites)
            if self._is_product:
                self._derivatives[:, block] = back[:, :, chosen, 0].transpose(2, 0, 1)
            else:
                rows = layer.unfold(forward.inputs[k]).reshape(size, sites, N)
                own = back if units is None else np.ascontiguousarray(back[:, :, chosen])
                found = np.matmul(own.reshape(size, C * M_chosen, sites), rows)
                self._derivatives[:, block] = found.reshape(size, C, M_chosen, N).transpose(2, 0, 1, 3)

        thread_pool.parallel_map(fill, thread_pool.chunks(count, CHUNK_SAMPLES))
        self._rows = layer.unfold(self.inputs) if self._is_product else None

    def loss(self) -> float:
        """Return the loss at the present residual: |r|^2 / Q."""
        return float((self.residual**2).sum() / len(self.residual))

    def true_loss(self) -> float:
        """Return the loss of the network as it now is; layers before this one must be unchanged."""

        def part(block: slice) -> float:
            outputs = Tape(self.network, self.inputs[block], first=self.k).outputs
            return float(((outputs - self.targets[block]).astype(np.float64) ** 2).sum())

        parts = thread_pool.parallel_map(part, thread_pool.chunks(len(self.inputs), CHUNK_SAMPLES))
        return sum(parts) / len(self.inputs)

    def gram(self, unit: int) -> Array:
        """Return A'A / Q of a unit, (N, N) float64."""
        derivatives = self._derivatives[unit]
        if self._rows is not None:
            rows = self._rows * np.sqrt((derivatives**2).sum(axis=1))[:, None]
        else:
            rows = derivatives.reshape(-1, derivatives.shape[2])
        total = np.zeros((rows.shape[1],) * 2)
        for block in thread_pool.chunks(len(rows), BLOCK_ROWS):
            total += rows[block].T @ rows[block]
        total /= len(self.residual)
        return total

    def gradient(self, unit: int) -> Array:
        """Return 2 A'r / Q of a unit, (N,) float64."""
        derivatives, r = self._derivatives[unit], self.residual
        if self._rows is not None:
            found = (derivatives * r).sum(axis=1) @ self._rows
        else:
            found = r.ravel() @ derivatives.reshape(-1, derivatives.shape[2])
        return np.asarray(found * (2 / len(r)), np.float64)

    def move(self, unit: int, change: Array) -> None:
        """Add A change to the residual: the unit's weights have changed by `change` (N,)."""
        derivatives: Any = self._derivatives[unit]
        if self._rows is not None:
            self.residual += derivatives * (self._rows @ change)[:, None]
        else:
            self.residual += derivatives @ change
