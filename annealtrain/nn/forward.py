"""A network's forward pass: cached between layer updates, or taped for one backward pass."""

from typing import Any

from annealtrain.nn.layer import forward_through
from annealtrain.nn.layout import map_samples
from annealtrain.nn.network import Network
from annealtrain.runtime.array_types import Array


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
            network, leading = self.network, self.network.leading[k]
            self._inputs[k] = map_samples(
                lambda z: forward_through(leading, network.activate(z, k - 1)), self.preactivation(k - 1)
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
        return self.network.activate(self.preactivation(k), k)

    def activation_derivative(self, k: int) -> Array | None:
        """Return gamma of trainable layer k, (Q, *out_shape), None where it is 1 everywhere."""
        if self.network.slope(k) == 1:
            return None
        derivative: Any = self.network.activation_derivative
        return map_samples(lambda z: derivative(z, k), self.preactivation(k))

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
        x = inputs
        for k in range(first, len(network.trainable)):
            x = forward_through(network.leading[k], x) if k > first else x
            z = network.trainable[k].forward(x)
            self.inputs.append(x)
            self.derivatives.append(network.activation_derivative(z, k))
            x = network.activate(z, k)
        self.outputs = forward_through(network.tail, x)

    def backward(self, outputs: Array, first: int = 0) -> list[Array]:
        """Return the gradient of sum(outputs * self.outputs) with respect to z_k for k = first, first + 1, ...

        outputs: (Q, classes). Each gradient is (Q, *out_shape).
        """
        network, d = self.network, outputs
        for layer in reversed(network.tail):
            d = layer.adjoint(d)
        found: list[Array] = []
        for k in reversed(range(first, len(network.trainable))):
            found.append(d if self.derivatives[k] is None else d * self.derivatives[k])
            if k > first:
                for layer in (network.trainable[k], *reversed(network.leading[k])):
                    d = layer.adjoint(found[-1] if layer is network.trainable[k] else d)
        return found[::-1]
