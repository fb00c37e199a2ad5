"""A network's forward pass: cached between layer updates, or taped for one backward pass."""

from collections.abc import Callable
from typing import Any

from annealtrain.nn.layer import forward_through
from annealtrain.nn.layout import map_samples
from annealtrain.nn.network import Network
from annealtrain.runtime.array_types import Array

Back = Callable[[Array], Array]  # from the gradients at a layer's outputs to those at its inputs


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


class Tape:
    """A few samples through the network and back, on one thread.

    inputs[k]: (Q, *in_shape) of trainable layer k. derivatives[k]: gamma there, None where it is 1.
    outputs: (Q, classes). `inputs` may begin at a later layer `first`: those before it are then left out, as None.
    """

    def __init__(self, network: Network, inputs: Array, first: int = 0) -> None:
        self.network = network
        self.inputs: list[Any] = [None] * first
        self.derivatives: list[Any] = [None] * first
        self._back: list[list[Back]] = []  # of the fixed layers after trainable layer first, first + 1, ...
        x = inputs
        for layer, following in zip(network.trainable[first:], network.following[first:], strict=True):
            z = layer.forward(x)
            self.inputs.append(x)
            self.derivatives.append(layer.activation_derivative(z))
            x = layer.activate(z)
            self._back.append([])
            for fixed in following:
                self._back[-1].append(fixed.backward_at(x))
                x = fixed.forward(x)
        self.outputs = x

    def backward(self, outputs: Array, first: int = 0) -> list[Array]:
        """Return the gradient of sum(outputs * self.outputs) with respect to z_k for k = first, first + 1, ...

        outputs: (Q, classes). Each gradient is (Q, *out_shape).
        """
        layers, d = self.network.trainable, outputs
        found: list[Array] = []
        for k in reversed(range(first, len(layers))):
            for back in reversed(self._back[k - len(layers)]):
                d = back(d)
            found.append(d if self.derivatives[k] is None else d * self.derivatives[k])
            if k > first:
                d = layers[k].adjoint(found[-1])
        return found[::-1]
