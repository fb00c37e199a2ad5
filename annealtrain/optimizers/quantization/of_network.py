"""A NumPy network as a source of quantisation."""

import copy
from typing import Any

import numpy as np

from annealtrain.nn.conv2d import Conv2d
from annealtrain.nn.forward import Tape
from annealtrain.nn.layer import forward_through
from annealtrain.nn.network import Network
from annealtrain.optimizers.quantization.source import nothing_left
from annealtrain.runtime.array_types import Array


class NetworkSource:
    """See `Source`. network: is changed in place. Samples: inputs of its first trainable layer, array or Loader."""

    has_gradients = True

    def __init__(self, network: Network) -> None:
        self.left = dict.fromkeys(network.frozen, "frozen in the run")
        own = {name for name, layer in network.named.items() if not layer.has_shared_rows}
        self.left |= dict.fromkeys(own - self.left.keys(), "its units see inputs of their own")
        network.train_only(set(network.named) - self.left.keys())
        if not network.trainable:
            raise nothing_left("network", self.left)
        self.network, self.exact = network, copy.deepcopy(network)
        self.names = [f"layer{network.layers.index(layer)}" for layer in network.trainable]
        self.folded: list[str] = []
        self.others = 4 * sum(layer.weights.size for layer in network.frozen.values())

    def block(self, samples: Any, part: slice) -> Array:
        found: Array = samples[part]
        return found

    def weights(self, k: int) -> Array:
        return self.exact.trainable[k].kernel(np.float64)

    def shape(self, k: int) -> tuple[int, ...]:
        layer = self.network.trainable[k]
        M, N = self.weights(k).shape
        return (M, layer.in_shape[0], *layer.windows.size) if isinstance(layer, Conv2d) else (M, N)

    def bias(self, k: int) -> Array | None:
        layer = self.network.trainable[k]
        return -layer.weights[:, -1] if layer.has_bias else None

    def take(self, k: int, weights: Array, bias_change: Array | None = None) -> None:
        layer, held = self.network.trainable[k], self.exact.trainable[k].weights.copy()
        held[:, : weights.shape[1]] = weights
        if bias_change is not None:
            held[:, -1] -= bias_change  # theta is taken off
        layer.weights = held

    def inputs(self, k: int, x: Array, *, is_float: bool = False) -> Array:
        network = self.exact if is_float else self.network
        for i, layer in enumerate(network.trainable[:k]):
            x = layer.activate(layer.forward(forward_through(network.leading[i], x) if i else x))
        layer = network.trainable[k]
        rows = layer.unfold(forward_through(network.leading[k], x) if k else x)
        return rows[:, : rows.shape[1] - layer.has_bias]

    def outputs(self, x: Array, *, is_float: bool = False) -> Array:
        return (self.exact if is_float else self.network).predict(x)

    def curvature(self, k: int, x: Array, signs: Array) -> Array:
        tape = Tape(self.exact, x)
        dz = tape.backward(signs.astype(tape.outputs.dtype), k)[0]
        return self.exact.trainable[k].flatten_outputs(dz)
