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


def samples_last(x: Array) -> Array:
    """Return images (Q, C, H, W) as (H, C, W, Q), contiguous: the order in memory that the layers work in."""
    return np.ascontiguousarray(x.transpose(2, 1, 3, 0))


def samples_first(x: Array) -> Array:
    """Return a view of images (H, C, W, Q) as (Q, C, H, W); `samples_last` gives it back without a copy."""
    return x.transpose(3, 1, 0, 2)


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

    def gradient(self, x: Array, dz: Array) -> Array:
        """Return d/dW sum(dz * forward(x)), (M, N): x (Q, *in_shape), dz (Q, *out_shape)."""
        raise NotImplementedError

    def sample_gradients(self, x: Array, dz: Array) -> Array:
        """Return the same for each sample alone, (Q, M, N)."""
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

    def _with_bias_gradient(self, gradient: Array, dz: Array) -> Array:
        if not self.has_bias:
            return gradient
        axes = tuple(axis for axis in range(dz.ndim) if axis != 1)
        return np.hstack([gradient, -dz.sum(axis=axes)[:, None]])


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

    def gradient(self, x: Array, dz: Array) -> Array:
        return self._with_bias_gradient(dz.T @ x, dz)

    def sample_gradients(self, x: Array, dz: Array) -> Array:
        return dz[:, :, None] * self.rows(x)[:, None, :]


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
        if self._is_one_site:  # one product for all samples
            y = (x.reshape(len(x), -1) @ self.kernel(x.dtype).T).reshape(len(x), *self.out_shape)
        else:
            z = np.matmul(self._row_kernel(x.dtype), self._row_patches(x))
            y = samples_first(z.reshape(z.shape[0], self.out_channels, self.out_shape[2], -1))
        return y + self.offset(x.dtype) if self.has_bias else y

    def adjoint(self, y: Array) -> Array:
        if self._is_one_site:
            return (y.reshape(len(y), -1) @ self.kernel(y.dtype)).reshape(len(y), *self.in_shape)
        K, (C, H, W), (_, height, width) = self.kernel_size, self.in_shape, self.out_shape
        flat = samples_last(y).reshape(height, self.out_channels, -1)
        parts = np.matmul(self._row_kernel(y.dtype).T, flat).reshape(height, K, C, K, width, -1)
        rows = np.zeros((H, *parts.shape[2:]), y.dtype)
        for k in range(K):
            rows[k : k + height] += parts[:, k]
        x = np.zeros((H, C, W, len(y)), y.dtype)
        for k in range(K):
            x[:, :, k : k + width] += rows[:, :, k]
        return samples_first(x)

    def gradient(self, x: Array, dz: Array) -> Array:
        if self._is_one_site:
            found = dz.reshape(len(dz), -1).T @ x.reshape(len(x), -1)
        else:
            flat = samples_last(dz).reshape(self.out_shape[1], self.out_channels, -1)
            found = np.matmul(self._row_patches(x), flat.swapaxes(1, 2)).sum(axis=0).T
            found = self._from_row_order(found)
        return self._with_bias_gradient(found, dz)

    def sample_gradients(self, x: Array, dz: Array) -> Array:
        flat = dz.reshape(len(dz), self.out_channels, -1)
        found = np.matmul(flat, np.swapaxes(self._patches(x), 1, 2))
        if not self.has_bias:
            return found
        return np.concatenate([found, -flat.sum(axis=2, keepdims=True)], axis=2)

    @property
    def _is_one_site(self) -> bool:
        return self.out_shape[1:] == (1, 1)

    # Samples last in memory, (H, C, W, Q): the windows of one row of sites are then one matrix for all samples, with
    # rows (k, c, m) a fixed stride apart over inputs that are repeated K times, not K^2.

    def _row_patches(self, x: Array) -> Array:
        """Return (output rows, K C K, width Q): what each site of an output row sees, as a view."""
        K, height, width = self.kernel_size, self.out_shape[1], self.out_shape[2]
        images = samples_last(x)
        shifted = np.empty((*images.shape[:2], K, width, len(x)), x.dtype)
        for m in range(K):
            shifted[:, :, m] = images[:, :, m : m + width]
        flat = shifted.reshape(len(images), -1, width * len(x))
        return np.lib.stride_tricks.as_strided(
            flat, (height, K * flat.shape[1], flat.shape[2]), flat.strides, writeable=False
        )

    def _row_kernel(self, dtype: Any) -> Array:
        """Return the kernels (M, K C K) in the order of `_row_patches`."""
        K, C = self.kernel_size, self.in_shape[0]
        kernels = self.kernel(dtype).reshape(-1, C, K, K).swapaxes(1, 2)
        return np.ascontiguousarray(kernels).reshape(self.out_channels, -1)

    def _from_row_order(self, found: Array) -> Array:
        K, C = self.kernel_size, self.in_shape[0]
        return found.reshape(-1, K, C, K).swapaxes(1, 2).reshape(self.out_channels, -1)

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
        self.in_shape, self.out_shape = in_shape, (in_shape[0], *self.size)
        self._factors = self._separated()
        return self.out_shape

    def _separated(self) -> list[tuple[Array, Array]]:
        """Return the fewest pairs of (a, A) and (b, B) matrices with y = sum of rows . x . columns'.

        cas(u + v) = cos u cas v + sin u cas(-v) takes the two directions apart, into four terms at first.
        """

        def waves(full: int, kept: int) -> tuple[Array, Array]:
            frequency = np.arange(kept) - kept // 2
            return tuple(2 * np.pi * np.outer(np.arange(size), frequency) / size for size in (full, kept))  # type: ignore

        (u, u_kept), (v, v_kept) = (waves(n, m) for n, m in zip(self.in_shape[1:], self.size, strict=True))
        across = [(f(u_kept) @ g(u).T).ravel() for f in (np.cos, np.sin) for g in (np.cos, np.sin)]
        along = [(_cas(s * v_kept) @ _cas(t * v).T).ravel() for s in (1, -1) for t in (1, -1)]
        (q, r), (p, w) = np.linalg.qr(np.transpose(across)), np.linalg.qr(np.transpose(along))
        left, values, right = np.linalg.svd(r @ w.T / prod(self.in_shape[1:]))
        shapes = [(self.size[k], self.in_shape[1 + k]) for k in (0, 1)]
        return [
            ((q @ left[:, i] * values[i]).reshape(shapes[0]), (p @ right[i]).reshape(shapes[1]))
            for i in np.flatnonzero(values > 1e-12 * values[0])
        ]

    def _stacked(self, dtype: Any) -> tuple[Array, Array]:
        """Return the factors as (a, terms A) and (terms, 1, 1, b, B)."""
        across, along = zip(*self._factors, strict=True)
        return np.hstack(across).astype(dtype), np.array(along, dtype)[:, None, None]

    def matrix(self) -> Array:
        """Return the whole map as a matrix, (A B, a b) float64: flat images are pooled by x @ matrix."""
        return np.sum([np.kron(across, along) for across, along in self._factors], axis=0).T

    def forward(self, x: Array) -> Array:
        across, along = self._stacked(x.dtype)
        images = samples_last(x)
        narrow = np.matmul(along, images)  # (terms, A, C, b, Q)
        pooled = across @ narrow.reshape(across.shape[1], -1)
        return samples_first(pooled.reshape(self.size[0], images.shape[1], self.size[1], -1))

    def adjoint(self, y: Array) -> Array:
        across, along = self._stacked(y.dtype)
        images = samples_last(y)
        A = self.in_shape[1]
        tall = (across.T @ images.reshape(len(images), -1)).reshape(-1, A, *images.shape[1:])
        found = np.matmul(along[0].swapaxes(-1, -2), tall[0])
        for factor, part in zip(along[1:], tall[1:], strict=True):
            found += np.matmul(factor.swapaxes(-1, -2), part)
        return samples_first(found)

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


def _cas(angle: Array) -> Array:
    return np.cos(angle) + np.sin(angle)


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
