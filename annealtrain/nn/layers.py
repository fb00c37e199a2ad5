"""The layers that a model's YAML names: convolution and pools from their own files, and the small ones."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.conv2d import Conv2d
from annealtrain.nn.layer import PINV_CUTOFF, SLOPE, UNITS, Layer, Shape, TrainableLayer, shape_text
from annealtrain.nn.layout import with_margin
from annealtrain.nn.pooling import AvgPool2d, MaxPool2d
from annealtrain.nn.spectral_pool import SpectralPool2d
from annealtrain.nn.windows import MARGIN, Extent, pair
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import checked, each_of, either, optional, whole

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Pad",
    "Shape",
    "SpectralPool2d",
    "TrainableLayer",
]


class Linear(TrainableLayer):
    """s = w q - theta, Eq. (1). alpha: slope of its activation, see TrainableLayer.

    out_features: None: the number of classes, in a network's last layer.
    """

    @checked("Linear: ", out_features=optional(UNITS), alpha=SLOPE)
    def __init__(self, out_features: int | None, alpha: float | None = None) -> None:
        self.out_features, self.alpha = out_features or 0, alpha
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


class Pad(Layer):
    """Zeros around an image, (C, H, W) to (C, above + H + below, before + W + behind).

    margin: one number for all sides, [rows, columns], or [above, below, before, behind].
    """

    @checked("Pad: ", margin=either(MARGIN, each_of(whole(0), 4, "four, [above, below, before, behind]")))
    def __init__(self, margin: Extent) -> None:
        if isinstance(margin, Sequence) and len(margin) == 4:
            self.margin = tuple(margin)
        else:
            rows, columns = pair(margin)
            self.margin = (rows, rows, columns, columns)

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise InputError(
                f"Pad takes (channels, height, width), its input is {shape_text(in_shape)}: put it before a Flatten"
            )
        above, below, before, behind = self.margin
        self.in_shape = in_shape
        self.out_shape = (in_shape[0], above + in_shape[1] + below, before + in_shape[2] + behind)
        return self.out_shape

    def forward(self, x: Array) -> Array:
        return with_margin(x, self.margin)

    def adjoint(self, y: Array) -> Array:
        (above, _, before, _), (_, height, width) = self.margin, self.in_shape
        return y[:, :, above : above + height, before : before + width]

    def inverse(self) -> Callable[[Array], Array]:
        return self.adjoint
