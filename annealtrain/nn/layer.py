"""What a layer is: a map between samples of two shapes, nearly always linear, with its adjoint and pseudo-inverse.

Arrays have the samples first: x (Q, *in_shape), y (Q, *out_shape). A layer is given its input shape by `connect`;
until then it is a description, such as a model's YAML holds.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import each_of, number, optional, whole

Shape = tuple[int, ...]
UNITS = whole(1, 65_536, "as more weights than memory holds would follow")
SIZE = each_of(whole(), 2, "a pair of whole numbers of at least 1, such as [8, 8]")  # height and width
SLOPE = optional(number(0, 1, words="a number from 0 (ReLU) to 1 (linear)"))
PINV_CUTOFF = 1e-6  # singular values below this fraction of the largest are taken as 0, as float32 code does


def lacking(layer: "Layer", name: str) -> InputError:
    """Return what is raised where a layer has no such method."""
    return InputError(f"{type(layer).__name__} has no `{name}`: docs/layers.md tells what a layer of one's own needs")


class Layer:
    """A map between samples of two shapes. A subclass gives `connect` and `forward`, and:

    if it is linear `adjoint`, else `backward_at`; and `inverse` if it is linear and has one.
    """

    in_shape: Shape
    out_shape: Shape
    is_linear: bool = True

    def connect(self, in_shape: Shape) -> Shape:
        """Take the input shape, return the output shape; raise InputError where it does not fit."""
        raise lacking(self, "connect")

    def forward(self, x: Array) -> Array:
        """Return y (Q, *out_shape) of x (Q, *in_shape), in x's dtype."""
        raise lacking(self, "forward")

    def adjoint(self, y: Array) -> Array:
        """Return A'y (Q, *in_shape) for the layer's linear part A: <Ax, y> = <x, A'y>."""
        raise lacking(self, "adjoint")

    def backward_at(self, x: Array) -> Callable[[Array], Array]:
        """Return the map from gradients dy (Q, *out_shape) to those at inputs x, dx (Q, *in_shape).

        That of a linear layer is its adjoint, at any inputs.
        """
        return self.adjoint

    def inverse(self) -> Callable[[Array], Array]:
        """Return the map y -> A^+ y (Q, *in_shape) at the present weights; InputError where there is none."""
        raise InputError(f"{type(self).__name__} has no inverse")

    def check_inverse(self) -> None:
        """Raise InputError if the layer, connected, has no inverse at any weights."""
        if type(self).inverse is Layer.inverse:
            Layer.inverse(self)


class TrainableLayer(Layer):
    """A layer with weights (M, N): row i holds the weights S_i of output unit i; units come first in `out_shape`.

    With a bias N is one more, its input is -1: s = w.q - theta, Eq. (1).
    After it comes LeakyReLU, f(z) = gamma(z) z, Eq. (20). alpha: its slope below 0, 1 for none; None: the network's.
    slope: the one of the two that holds; a network sets it.
    """

    weights: Array
    has_bias: bool = False
    is_open: bool = False  # whether its description leaves the number of outputs to the network
    alpha: float | None = None
    slope: float = 1.0
    is_on_tokens: bool = False  # whether it is applied to each token of a sequence by itself
    has_shared_rows: bool = True  # whether all units of a site see the same inputs, those of `unfold`; else it has none
    fan: tuple[int, int]  # inputs and outputs of one weight matrix, for the initial spread

    def take_outputs(self, count: int) -> None:
        """Take the number of outputs of a layer that is open."""
        raise lacking(self, "take_outputs")

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw Xavier-uniform weights, zero biases."""
        limit = np.sqrt(6 / sum(self.fan))
        self.weights = generator.uniform(-limit, limit, self.weight_shape)
        if self.has_bias:
            self.weights[:, -1] = 0

    def activate(self, z: Array) -> Array:
        """Return f(z) of what `forward` gives."""
        if self.slope == 1:
            return z
        scaled = z * z.dtype.type(self.slope)
        found: Array = np.maximum(z, scaled, out=scaled)  # slope <= 1
        return found

    def activation_derivative(self, z: Array) -> Array | None:
        """Return gamma(z) = f'(z), 1 or the slope, in z's shape; None where it is 1 everywhere."""
        return None if self.slope == 1 else np.maximum((z >= 0).astype(z.dtype), z.dtype.type(self.slope))

    @property
    def weight_shape(self) -> tuple[int, int]:
        """(M, N) of `weights`, the bias included."""
        raise lacking(self, "weight_shape")

    def unfold(self, x: Array) -> Array:
        """Return what one unit's weights see, (R, N), sample by sample and site by site."""
        raise lacking(self, "unfold")

    def flatten_outputs(self, y: Array) -> Array:
        """Return y (Q, *out_shape) as (R, M), in the order of `unfold`."""
        raise lacking(self, "flatten_outputs")

    def gradient(self, x: Array, dz: Array) -> Array:
        """Return d/dW sum(dz * forward(x)), (M, N): x (Q, *in_shape), dz (Q, *out_shape)."""
        raise lacking(self, "gradient")

    def sample_gradients(self, x: Array, dz: Array) -> Array:
        """Return the same for each sample alone, (Q, M, N)."""
        raise lacking(self, "sample_gradients")

    def kernel(self, dtype: Any) -> Array:
        """Return the weights without the bias, (M, N), in `dtype`."""
        return self.weights[:, : self.weights.shape[1] - self.has_bias].astype(dtype)

    def offset(self, dtype: Any) -> Array:
        """Return what is added to A x, broadcastable to (Q, *out_shape): -theta, or 0."""
        theta = self.weights[:, -1] if self.has_bias else np.zeros(1)
        return -theta.astype(dtype).reshape((-1,) + (1,) * (len(self.out_shape) - 1))

    def _with_bias_column(self, rows: Array) -> Array:
        return np.hstack([rows, np.full((len(rows), 1), -1, rows.dtype)]) if self.has_bias else rows

    def _with_bias_gradient(self, gradient: Array, dz: Array) -> Array:
        if not self.has_bias:
            return gradient
        axes = tuple(axis for axis in range(dz.ndim) if axis != 1)
        return np.hstack([gradient, -dz.sum(axis=axes)[:, None]])


def shape_text(shape: Shape) -> str:
    """Return a shape as people write it: 6x28x28."""
    return "x".join(map(str, shape))


def forward_through(layers: Sequence[Layer], x: Array) -> Array:
    for layer in layers:
        x = layer.forward(x)
    return x
