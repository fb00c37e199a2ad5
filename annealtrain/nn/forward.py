"""A network's forward pass: cached between layer updates, or taped for one backward pass."""

from typing import Any

from annealtrain.nn.layer import forward_through
from annealtrain.nn.layout import map_samples
from annealtrain.nn.network import Network
from annealtrain.nn.tape import Tape
from annealtrain.runtime.array_types import Array

__all__ = ["ActivationCache", "Tape"]


class ActivationCache:
    """The activations of one set of samples, computed when asked for and kept until weights change.

    inputs: (Q, ...) of the first trainable layer, see Network.preprocess.
    """

    def __init__(self, network: Network, inputs: Array) -> None:
        self.network = network
        self._inputs: dict[int, Array] = {0: inputs}
        self._preactivations: dict[int, Array] = {}

    def input(self, k: int) -> Array:
        """Return the input of trainable layer k, (Q, *in_shape)."""
        if k not in self._inputs:
            below, leading = self.network.trainable[k - 1], self.network.leading[k]
            self._inputs[k] = map_samples(
                lambda z: forward_through(leading, below.activate(z)), self.preactivation(k - 1)
            )
        return self._inputs[k]

    def unfolded(self, k: int) -> Array:
        """Return what one unit's weights of trainable layer k see, (R, N), see TrainableLayer.unfold."""
        return map_samples(self.network.trainable[k].unfold, self.input(k))

    def preactivation(self, k: int) -> Array:
        """Return the output of trainable layer k before the activation, (Q, *out_shape)."""
        if k not in self._preactivations:
            self._preactivations[k] = map_samples(self.network.trainable[k].forward, self.input(k))
        return self._preactivations[k]

    def activation(self, k: int) -> Array:
        """Return the activated output of trainable layer k, (Q, *out_shape)."""
        return self.network.trainable[k].activate(self.preactivation(k))

    def activation_derivative(self, k: int) -> Array | None:
        """Return gamma of trainable layer k, (Q, *out_shape), None where it is 1 everywhere."""
        layer = self.network.trainable[k]
        if layer.slope == 1:
            return None
        derivative: Any = layer.activation_derivative
        return map_samples(derivative, self.preactivation(k))

    def outputs(self) -> Array:
        """Return the network's outputs, (Q, classes)."""
        return forward_through(self.network.tail, self.activation(len(self.network.trainable) - 1))

    def weights_changed(self, k: int) -> None:
        """Forget what depended on the weights of layer k."""
        self._preactivations = {i: z for i, z in self._preactivations.items() if i < k}
        self._inputs = {i: x for i, x in self._inputs.items() if i <= k}
