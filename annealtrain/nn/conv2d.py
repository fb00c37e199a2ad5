"""The convolution, Eq. (13): as products of matrices, and its inverse in Fourier space."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import scipy.fft

from annealtrain.errors import InputError
from annealtrain.nn.layer import PINV_CUTOFF, SLOPE, UNITS, Shape, TrainableLayer
from annealtrain.nn.layout import samples_first, samples_last, with_margin
from annealtrain.nn.windows import EXTENT, MARGIN, Extent, Windows, pair
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import checked, optional

MAX_EXACT = 4096  # rows or columns of a convolution's dense matrix that conv_inverse=exact will factorise


class Conv2d(TrainableLayer):
    """A convolution, Eq. (13): (C1, H, W) to (out_channels, sites down, sites across).

    out_channels: None: the number of classes, in a network's last layer.
    kernel_size, stride, padding: a number, or a pair for height and width; the paper has stride 1 and no padding, which
    gives H - K + 1 and W - L + 1 sites. alpha: slope of its activation, see TrainableLayer.
    `inverse_kind` is `fourier` (the paper) or `exact`; a network sets it from conv_inverse.
    """

    inverse_kind = "fourier"

    @checked("Conv2d: ", out_channels=optional(UNITS), kernel_size=EXTENT, stride=EXTENT, padding=MARGIN, alpha=SLOPE)
    def __init__(
        self,
        out_channels: int | None,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: Extent = 0,
        alpha: float | None = None,
    ) -> None:
        self.out_channels, self.alpha = out_channels or 0, alpha
        self.is_open = out_channels is None
        self.windows = Windows(pair(kernel_size), pair(stride), pair(padding))

    def take_outputs(self, count: int) -> None:
        self.out_channels = count

    def connect(self, in_shape: Shape) -> Shape:
        self.out_shape = (self.out_channels, *self.windows.counts(in_shape, "Conv2d"))
        self.in_shape = in_shape
        self.fan = (in_shape[0] * prod(self.windows.size), self.out_channels * prod(self.windows.size))
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
        (K, L), (down, across) = self.windows.size, self.windows.padding
        (C, H, W), (_, height, width) = self.in_shape, self.out_shape
        flat = samples_last(y).reshape(height, self.out_channels, -1)
        parts = np.matmul(self._row_kernel(y.dtype).T, flat).reshape(height, K, C, L, width, -1)
        rows = np.zeros((H + 2 * down, *parts.shape[2:]), y.dtype)
        for k in range(K):
            rows[self.windows.rows(k, height)] += parts[:, k]
        x = np.zeros((len(rows), C, W + 2 * across, len(y)), y.dtype)
        for m in range(L):
            x[:, :, self.windows.columns(m, width)] += rows[:, :, m]
        return samples_first(x[down : down + H, :, across : across + W])

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
        found: Array = np.matmul(flat, np.swapaxes(self._patches(x), 1, 2))
        if not self.has_bias:
            return found
        return np.concatenate([found, -flat.sum(axis=2, keepdims=True)], axis=2)

    @property
    def _is_one_site(self) -> bool:
        """Whether the kernel covers the whole image, so that a product with the flat image is the layer."""
        return self.windows.size == self.in_shape[1:] and not any(self.windows.padding)

    def _padded(self, x: Array) -> Array:
        down, across = self.windows.padding
        return with_margin(x, (down, down, across, across)) if down or across else x

    # Samples last in memory, (H, C, W, Q): the windows of one row of sites are then one matrix for all samples, with
    # rows (k, c, m) a fixed stride apart over inputs that are repeated L times, not K L times.

    def _row_patches(self, x: Array) -> Array:
        """Return (output rows, K C L, width Q): what each site of an output row sees, as a view."""
        (K, L), (_, height, width) = self.windows.size, self.out_shape
        images = samples_last(self._padded(x))
        shifted = np.empty((*images.shape[:2], L, width, len(x)), x.dtype)
        for m in range(L):
            shifted[:, :, m] = images[:, :, self.windows.columns(m, width)]
        flat = shifted.reshape(len(images), -1, width * len(x))
        strides = (self.windows.stride[0] * flat.strides[0], *flat.strides[1:])
        return np.lib.stride_tricks.as_strided(
            flat, (height, K * flat.shape[1], flat.shape[2]), strides, writeable=False
        )

    def _row_kernel(self, dtype: Any) -> Array:
        """Return the kernels (M, K C L) in the order of `_row_patches`."""
        kernels = self.kernel(dtype).reshape(-1, self.in_shape[0], *self.windows.size).swapaxes(1, 2)
        return np.ascontiguousarray(kernels).reshape(self.out_channels, -1)

    def _from_row_order(self, found: Array) -> Array:
        (K, L), C = self.windows.size, self.in_shape[0]
        return found.reshape(-1, K, C, L).swapaxes(1, 2).reshape(self.out_channels, -1)

    def check_inverse(self) -> None:
        rows, columns = prod(self.out_shape), prod(self.in_shape)
        if self.inverse_kind == "fourier" and not self.windows.is_plain:
            raise InputError("Conv2d with a stride or padding has no inverse in Fourier space: take conv_inverse=exact")
        if self.inverse_kind == "exact" and max(rows, columns) > MAX_EXACT:
            remedy = "take conv_inverse=fourier" if self.windows.is_plain else "make it smaller"
            raise InputError(
                f"conv_inverse=exact needs the pseudo-inverse of a {rows} x {columns} matrix, at most "
                f"{MAX_EXACT} x {MAX_EXACT} is done: {remedy}"
            )

    def inverse(self) -> Callable[[Array], Array]:
        self.check_inverse()
        return self._fourier_inverse() if self.inverse_kind == "fourier" else self._exact_inverse()

    def unfold(self, x: Array) -> Array:
        patches = np.swapaxes(self._patches(x), 1, 2).reshape(-1, self.fan[0])
        return self._with_bias_column(patches)

    def flatten_outputs(self, y: Array) -> Array:
        return np.moveaxis(y, 1, -1).reshape(-1, self.out_channels)

    def _patches(self, x: Array) -> Array:
        """Return (Q, C1 K L, sites), sites last so that copies are of whole rows of the image."""
        images, (down, across) = np.ascontiguousarray(self._padded(x)), self.windows.stride
        windows = np.lib.stride_tricks.sliding_window_view(images, self.windows.size, axis=(2, 3))
        seen = windows[:, :, ::down, ::across]
        return seen.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), self.fan[0], -1)

    def _fourier_inverse(self) -> Callable[[Array], Array]:
        """crop . pinv(circular correlation with period P = W + K - 1) . zero-embed, in Fourier space (Sec. 4).

        Not the pseudo-inverse of the valid convolution: its images are several times smaller.
        """
        C, height, width = self.in_shape
        K, L = self.windows.size
        period = (height + K - 1, width + L - 1)
        kernels = self.kernel(np.float64).reshape(self.out_channels, C, K, L)
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
        """The Moore-Penrose inverse of the convolution, its stride and padding included, as a dense matrix."""
        size = (prod(self.out_shape), prod(self.in_shape))
        basis = np.eye(size[0]).reshape(-1, *self.out_shape)
        inverse = np.linalg.pinv(self.adjoint(basis).reshape(size), rcond=PINV_CUTOFF)
        return lambda y: (y.reshape(len(y), -1) @ inverse.T.astype(y.dtype)).reshape(-1, *self.in_shape)
