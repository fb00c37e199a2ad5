"""A layer whose weights stay as they are, among those that a network trains."""

from collections.abc import Callable

from annealtrain.errors import InputError
from annealtrain.nn.layer import Layer, Shape, TrainableLayer
from annealtrain.runtime.array_types import Array


class Frozen(Layer):
    """A trainable layer, connected, and its activation as one fixed layer."""

    def __init__(self, layer: TrainableLayer) -> None:
        self.layer, self.is_linear = layer, layer.slope == 1
        self.in_shape, self.out_shape = layer.in_shape, layer.out_shape

    def connect(self, in_shape: Shape) -> Shape:
        return self.out_shape

    def forward(self, x: Array) -> Array:
        return self.layer.activate(self.layer.forward(x))

    def adjoint(self, y: Array) -> Array:
        return self.layer.adjoint(y)

    def backward_at(self, x: Array) -> Callable[[Array], Array]:
        derivative = self.layer.activation_derivative(self.layer.forward(x))
        return self.adjoint if derivative is None else lambda dy: self.adjoint(dy * derivative)

    def check_inverse(self) -> None:
        kind = type(self.layer).__name__
        raise InputError(f"a frozen {kind} lies behind the first layer that is trained")
