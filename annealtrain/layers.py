"""The maps a network is made of: forward, adjoint and pseudo-inverse of each, in NumPy.

Arrays have the samples first: x (Q, *in_shape), y (Q, *out_shape). A layer is given its input shape by `connect`;
until then it is a description, such as a model's YAML holds.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import scipy.fft

from annealtrain.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]

PINV_CUTOFF = 1e-6  # singular values below this fraction of the largest are taken as 0, as float32 code does
MAX_EXACT = 4096  # rows or columns of a convolution's dense matrix that conv_inverse=exact will factorise
MAX_POOL_ENTRIES = 2**26  # entries of a SpectralPool2d matrix: half a gigabyte in float64


class Layer:
    """A linear map between samples of two shapes. A subclass gives `connect`, `forward`, `adjoint`, `inverse`."""

    in_shape: Shape
    out_shape: Shape

    def connect(self, in_shape: Shape) -> Shape:
        """Take the input shape, return the output shape; raise InputError where it does not fit."""
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        """Return y (Q, *out_shape) of x (Q, *in_shape), in x's dtype."""
        raise NotImplementedError

    def adjoint(self, y: Array) -> Array:
        """Return A'y (Q, *in_shape) for the layer's linear part A: <Ax, y> = <x, A'y>."""
        raise NotImplementedError

    def inverse(self) -> Callable[[Array], Array]:
        """Return the map y -> A^+ y (Q, *in_shape) at the present weights."""
        raise NotImplementedError


class TrainableLayer(Layer):
    """A layer with weights (M, N): row i holds the weights S_i of output unit i.

    With a bias N is one more, its input is -1: s = w.q - theta, Eq. (1).
    """

    weights: Array
    has_bias: bool = False
    fan: tuple[int, int]  # inputs and outputs of one weight matrix, for the initial spread

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw Xavier-uniform weights, zero biases."""
        limit = np.sqrt(6 / sum(self.fan))
        self.weights = generator.uniform(-limit, limit, self.weight_shape)
        if self.has_bias:
            self.weights[:, -1] = 0

    @property
    def weight_shape(self) -> tuple[int, int]:
        """(M, N) of `weights`, the bias included."""
        raise NotImplementedError

    def rows(self, x: Array) -> Array:
        """Return what one unit's weights see, (R, N), sample by sample and site by site."""
        raise NotImplementedError

    def unit_rows(self, y: Array) -> Array:
        """Return y (Q, *out_shape) as (R, M), in the order of `rows`."""
        raise NotImplementedError

    def kernel(self, dtype: Any) -> Array:
        """Return the weights without the bias, (M, N), in `dtype`."""
        return self.weights[:, : self.weights.shape[1] - self.has_bias].astype(dtype)

    def offset(self, dtype: Any) -> Array:
        """Return what is added to A x, broadcastable to (Q, *out_shape): -theta, or 0."""
        theta = self.weights[:, -1] if self.has_bias else np.zeros(1)
        return -theta.astype(dtype).reshape((-1,) + (1,) * (len(self.out_shape) - 1))

    def _with_bias_column(self, rows: Array) -> Array:
        return np.hstack([rows, np.full((len(rows), 1), -1, rows.dtype)]) if self.has_bias else rows


class Linear(TrainableLayer):
    """s = w q - theta, Eq. (1)."""

    def __init__(self, out_features: int) -> None:
        self.out_features = _count("Linear", "out_features", out_features)

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 1:
            raise InputError(f"Linear takes a vector, its input is {_text(in_shape)}: put a Flatten before it")
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

    def rows(self, x: Array) -> Array:
        return self._with_bias_column(x)

    def unit_rows(self, y: Array) -> Array:
        return y


class Conv2d(TrainableLayer):
    """A valid convolution with stride 1, Eq. (13): (C1, H, W) to (out_channels, H - K + 1, W - K + 1).

    `inverse_kind` is `fourier` (the paper) or `exact`; a network sets it from conv_inverse.
    """

    inverse_kind = "fourier"

    def __init__(self, out_channels: int, kernel_size: int) -> None:
        self.out_channels = _count("Conv2d", "out_channels", out_channels)
        self.kernel_size = _count("Conv2d", "kernel_size", kernel_size)

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise InputError(
                f"Conv2d takes (channels, height, width), its input is {_text(in_shape)}: put it before a Flatten"
            )
        K = self.kernel_size
        if min(in_shape[1:]) < K:
            raise InputError(
                f"Conv2d with kernel_size={K} does not fit its input {_text(in_shape)}: at most {min(in_shape[1:])}"
            )
        self.in_shape = in_shape
        self.out_shape = (self.out_channels, in_shape[1] - K + 1, in_shape[2] - K + 1)
        self.fan = (in_shape[0] * K * K, self.out_channels * K * K)
        return self.out_shape

    @property
    def weight_shape(self) -> tuple[int, int]:
        return self.out_channels, self.fan[0] + self.has_bias

    def forward(self, x: Array) -> Array:
        kernel = self.kernel(x.dtype)
        if self.out_shape[1:] == (1, 1):  # one site: one product for all samples
            y = (x.reshape(len(x), -1) @ kernel.T).reshape(len(x), *self.out_shape)
        else:
            y = np.matmul(kernel, self._patches(x)).reshape(len(x), *self.out_shape)
        return y + self.offset(x.dtype) if self.has_bias else y

    def adjoint(self, y: Array) -> Array:
        K, (_, height, width) = self.kernel_size, self.out_shape
        flat = y.reshape(len(y), self.out_channels, -1)
        patches = np.matmul(self.kernel(y.dtype).T, flat).reshape(len(y), -1, K, K, height, width)
        x = np.zeros((len(y), *self.in_shape), y.dtype)
        for k in range(K):
            for m in range(K):
                x[:, :, k : k + height, m : m + width] += patches[:, :, k, m]
        return x

    def inverse(self) -> Callable[[Array], Array]:
        return self._fourier_inverse() if self.inverse_kind == "fourier" else self._exact_inverse()

    def rows(self, x: Array) -> Array:
        patches = np.swapaxes(self._patches(x), 1, 2).reshape(-1, self.fan[0])
        return self._with_bias_column(patches)

    def unit_rows(self, y: Array) -> Array:
        return np.moveaxis(y, 1, -1).reshape(-1, self.out_channels)

    def _patches(self, x: Array) -> Array:
        """Return (Q, C1 K K, sites), sites last so that copies are of whole rows of the image."""
        K = self.kernel_size
        windows = np.lib.stride_tricks.sliding_window_view(x, (K, K), axis=(2, 3))
        return windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), self.fan[0], -1)

    def _fourier_inverse(self) -> Callable[[Array], Array]:
        """crop . pinv(circular correlation with period P = W + K - 1) . zero-embed, in Fourier space (Sec. 4).

        Not the pseudo-inverse of the valid convolution: its images are several times smaller.
        """
        C, height, width = self.in_shape
        K = self.kernel_size
        period = (height + K - 1, width + K - 1)
        kernels = self.kernel(np.float64).reshape(self.out_channels, C, K, K)
        # A correlation: Y^ = conj(K^) X^ at every frequency, a C2 x C1 matrix.
        spectrum = np.conj(scipy.fft.rfft2(kernels, period)).transpose(2, 3, 0, 1)
        # The whole operator's largest singular value sets the cutoff: a frequency that all kernels lack stays 0.
        u, values, vh = np.linalg.svd(spectrum, full_matrices=False)
        inverted = np.divide(1, values, out=np.zeros_like(values), where=values > PINV_CUTOFF * values.max())
        inverse = np.conj(vh).swapaxes(2, 3) @ (inverted[..., None] * np.conj(u).swapaxes(2, 3))

        def apply(y: Array) -> Array:
            frequencies = scipy.fft.rfft2(y, period).transpose(2, 3, 1, 0)
            found = np.matmul(inverse.astype(frequencies.dtype), frequencies).transpose(3, 2, 0, 1)
            return np.ascontiguousarray(scipy.fft.irfft2(found, period)[:, :, :height, :width])

        return apply

    def _exact_inverse(self) -> Callable[[Array], Array]:
        """The Moore-Penrose inverse of the valid convolution as a dense matrix."""
        size = (prod(self.out_shape), prod(self.in_shape))
        if max(size) > MAX_EXACT:
            raise InputError(
                f"conv_inverse=exact needs the pseudo-inverse of a {size[0]} x {size[1]} matrix, at most "
                f"{MAX_EXACT} x {MAX_EXACT} is done: take conv_inverse=fourier"
            )
        basis = np.eye(size[0]).reshape(-1, *self.out_shape)
        inverse = np.linalg.pinv(self.adjoint(basis).reshape(size), rcond=PINV_CUTOFF)
        return lambda y: (y.reshape(len(y), -1) @ inverse.T.astype(y.dtype)).reshape(-1, *self.in_shape)


class SpectralPool2d(Layer):
    """Keeps the lowest a x b frequencies of the real Hartley transform of each channel: (C, A, B) to (C, a, b).

    H = Re F - Im F with F = fftshift(fft2(x, norm="forward")), cropped from A//2 - a//2 and B//2 - b//2 on (which
    keeps the zero frequency, and so constants; the author's 10 -> 5 crop lands one slot off), and the same transform
    back. pool^+ = (AB / ab) pool', exactly: padding the spectrum with zeros.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = _pair("SpectralPool2d", "size", size)

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise InputError(
                f"SpectralPool2d takes (channels, height, width), its input is {_text(in_shape)}: "
                "put it before a Flatten"
            )
        if self.size[0] > in_shape[1] or self.size[1] > in_shape[2]:
            raise InputError(
                f"SpectralPool2d to {_text(self.size)} is larger than its input {_text(in_shape)}: "
                f"at most {_text(in_shape[1:])}"
            )
        if prod(self.size) * prod(in_shape[1:]) > MAX_POOL_ENTRIES:
            raise InputError(
                f"SpectralPool2d from {_text(in_shape[1:])} to {_text(self.size)} needs a matrix of more than "
                f"{MAX_POOL_ENTRIES} entries: pool in two steps, or to a smaller size"
            )
        self.in_shape, self.out_shape = in_shape, (in_shape[0], *self.size)
        pixels = prod(in_shape[1:])
        matrix = np.empty((pixels, prod(self.size)))
        for start in range(0, pixels, 1024):  # one unit image after the other, some at a time
            units = np.eye(min(1024, pixels - start), pixels, k=start).reshape(-1, *in_shape[1:])
            matrix[start : start + 1024] = self._transform(units).reshape(len(units), -1)
        self._matrices: dict[Any, Array] = {matrix.dtype: matrix, np.dtype(np.float32): matrix.astype(np.float32)}
        return self.out_shape

    def _transform(self, x: Array) -> Array:
        """Return the pooled images (n, a, b) of images (n, A, B), by its definition."""
        (A, B), (a, b) = x.shape[1:], self.size
        shifted = scipy.fft.fftshift(scipy.fft.fft2(x, norm="forward"), axes=(-2, -1))
        hartley = shifted.real - shifted.imag
        top, left = A // 2 - a // 2, B // 2 - b // 2
        kept = scipy.fft.ifftshift(hartley[:, top : top + a, left : left + b], axes=(-2, -1))
        back = scipy.fft.fft2(kept)
        return back.real - back.imag

    def forward(self, x: Array) -> Array:
        flat = x.reshape(-1, prod(self.in_shape[1:]))
        return (flat @ self._matrices[x.dtype]).reshape(-1, *self.out_shape)

    def adjoint(self, y: Array) -> Array:
        flat = y.reshape(-1, prod(self.size))
        return (flat @ self._matrices[y.dtype].T).reshape(-1, *self.in_shape)

    def inverse(self) -> Callable[[Array], Array]:
        scale = prod(self.in_shape[1:]) / prod(self.size)
        return lambda y: self.adjoint(y) * y.dtype.type(scale)


class MaxPool2d(Layer):
    """The largest value of each kernel_size window, (C, A, B) to (C, A/k, B/l). Not linear: only before any weights."""

    def __init__(self, kernel_size: Sequence[int]) -> None:
        self.kernel_size = _pair("MaxPool2d", "kernel_size", kernel_size)

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3 or in_shape[1] % self.kernel_size[0] or in_shape[2] % self.kernel_size[1]:
            raise InputError(
                f"MaxPool2d with kernel_size={list(self.kernel_size)} does not divide its input {_text(in_shape)}: "
                "take divisors of its height and width"
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


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _count(layer: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{layer}: {name}={value!r} is not a whole number of at least 1")
    return value


def _pair(layer: str, name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise InputError(f"{layer}: {name}={value!r} is not a pair of whole numbers, such as [8, 8]")
    return _count(layer, name, value[0]), _count(layer, name, value[1])
