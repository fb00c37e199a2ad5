"""The layers that a model's YAML names: Conv2d and SpectralPool2d from their own files, and the small ones."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.conv2d import Conv2d
from annealtrain.nn.layer import PINV_CUTOFF, SIZE, Layer, Shape, TrainableLayer, shape_text
from annealtrain.nn.spectral_pool import SpectralPool2d
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import checked, optional, whole

__all__ = ["Conv2d", "Flatten", "Layer", "Linear", "MaxPool2d", "Shape", "SpectralPool2d", "TrainableLayer"]


class Linear(TrainableLayer):
    """s = w q - theta, Eq. (1). out_features: None: the number of classes, in a network's last layer."""

    @checked("Linear: ", out_features=optional(whole()))
    def __init__(self, out_features: int | None) -> None:
        self.out_features = out_features or 0
        self.is_open = out_features is None

    def take_outputs(self, count: int) -> None:
        self.out_features = count

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 1:
            raise InputError(f"Linear takes a vector, its input is {shape_text(in_shape)}: put a Flatten before it")
        self.in_shape, self.out_shape = in_shape, (self.out_features,)
        self.fan = (in_shape[0], self.out_features)
        return self.out_shape

    @property
    def weight_shape(self) -> tuple[int, int]:
        return self.out_features, self.in_shape[0] + self.has_bias

    def forward(self, x: Array) -> Array:
        y: Array = x @ self.kernel(x.dtype).T
        return y + self.offset(x.dtype) if self.has_bias else y

    def adjoint(self, y: Array) -> Array:
        x: Array = y @ self.kernel(y.dtype)
        return x

    def inverse(self) -> Callable[[Array], Array]:
        inverse = np.linalg.pinv(self.kernel(np.float64), rcond=PINV_CUTOFF)
        return lambda y: y @ inverse.T.astype(y.dtype)

    def unfold(self, x: Array) -> Array:
        return self._with_bias_column(x)

    def flatten_outputs(self, y: Array) -> Array:
        return y

    def gradient(self, x: Array, dz: Array) -> Array:
        return self._with_bias_gradient(dz.T @ x, dz)

    def sample_gradients(self, x: Array, dz: Array) -> Array:
        return dz[:, :, None] * self.unfold(x)[:, None, :]


class MaxPool2d(Layer):
    """The largest value of each kernel_size window, (C, A, B) to (C, A/k, B/l). Not linear: only before any weights."""

    @checked("MaxPool2d: ", kernel_size=SIZE)
    def __init__(self, kernel_size: Sequence[int]) -> None:
        self.kernel_size = (kernel_size[0], kernel_size[1])

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3 or in_shape[1] % self.kernel_size[0] or in_shape[2] % self.kernel_size[1]:
            raise InputError(
                f"MaxPool2d with kernel_size={list(self.kernel_size)} does not divide its input "
                f"{shape_text(in_shape)}: take divisors of its height and width"
            )
        (k, m), (C, A, B) = self.kernel_size, in_shape
        self.in_shape, self.out_shape = in_shape, (C, A // k, B // m)
        return self.out_shape

    def forward(self, x: Array) -> Array:
        (k, m), (C, a, b) = self.kernel_size, self.out_shape
        maxima: Array = x.reshape(-1, C, a, k, b, m).max(axis=(3, 5))
        return maxima


class Flatten(Layer):
    """(C, A, B) to a vector."""

    def connect(self, in_shape: Shape) -> Shape:
        self.in_shape, self.out_shape = in_shape, (prod(in_shape),)
        return self.out_shape

    def forward(self, x: Array) -> Array:
        return x.reshape(-1, *self.out_shape)

    def adjoint(self, y: Array) -> Array:
        return y.reshape(-1, *self.in_shape)

    def inverse(self) -> Callable[[Array], Array]:
        return self.adjoint
