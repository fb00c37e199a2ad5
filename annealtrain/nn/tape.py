"""A few samples through a network and back."""

from collections.abc import Callable
from typing import Any, Protocol

from annealtrain.nn.layer import Layer, TrainableLayer
from annealtrain.nn.matrices import NUMPY, Matrices
from annealtrain.runtime.array_types import Array

Back = Callable[[Array], Array]  # from the gradients at a layer's outputs to those at its inputs


class Chain(Protocol):
    """What a pass needs of a network, see `Network`."""

    trainable: list[TrainableLayer]
    following: list[list[Layer]]


class Tape:
    """A few samples through the network and back, on one thread.

    inputs[k]: (Q, *in_shape) of trainable layer k. derivatives[k]: gamma there, None where it is 1.
    outputs: (Q, classes). `inputs` may begin at a later layer `first`: those before it are then left out, as None.
    """

    def __init__(self, network: Chain, inputs: Array, first: int = 0) -> None:
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

    def pairs(self, outputs: Array, matrices: Matrices = NUMPY) -> list[tuple[Any, Any]]:
        """Return the inputs of each layer and the gradient of sum(outputs * self.outputs) with respect to its z.

        matrices: where they are wanted, which for this network is with NumPy.
        """
        return list(zip(self.inputs, self.backward(outputs), strict=True))

    def gradients(self, outputs: Array) -> list[Array]:
        """Return the gradient of sum(outputs * self.outputs) by each layer's weights, (M, N)."""
        both = zip(self.network.trainable, self.inputs, self.backward(outputs), strict=True)
        return [layer.gradient(x, dz) for layer, x, dz in both]
