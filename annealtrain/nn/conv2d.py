"""The convolution, Eq. (13): as products of matrices, and its inverse in Fourier space."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import scipy.fft

from annealtrain.errors import InputError
from annealtrain.nn.layer import PINV_CUTOFF, Shape, TrainableLayer, shape_text
from annealtrain.nn.layout import samples_first, samples_last
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import checked, optional, whole

MAX_EXACT = 4096  # rows or columns of a convolution's dense matrix that conv_inverse=exact will factorise


class Conv2d(TrainableLayer):
    """A valid convolution with stride 1, Eq. (13): (C1, H, W) to (out_channels, H - K + 1, W - K + 1).

    out_channels: None: the number of classes, in a network's last layer.
    `inverse_kind` is `fourier` (the paper) or `exact`; a network sets it from conv_inverse.
    """

    inverse_kind = "fourier"

    @checked("Conv2d: ", out_channels=optional(whole()), kernel_size=whole())
    def __init__(self, out_channels: int | None, kernel_size: int) -> None:
        self.out_channels, self.kernel_size = out_channels or 0, kernel_size
        self.is_open = out_channels is None

    def take_outputs(self, count: int) -> None:
        self.out_channels = count

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise InputError(
                f"Conv2d takes (channels, height, width), its input is {shape_text(in_shape)}: put it before a Flatten"
            )
        K = self.kernel_size
        if min(in_shape[1:]) < K:
            raise InputError(
                f"Conv2d with kernel_size={K} does not fit its input {shape_text(in_shape)}: "
                f"at most {min(in_shape[1:])}"
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

    def unfold(self, x: Array) -> Array:
        patches = np.swapaxes(self._patches(x), 1, 2).reshape(-1, self.fan[0])
        return self._with_bias_column(patches)

    def flatten_outputs(self, y: Array) -> Array:
        return np.moveaxis(y, 1, -1).reshape(-1, self.out_channels)

    def _patches(self, x: Array) -> Array:
        """Return (Q, C1 K K, sites), sites last so that copies are of whole rows of the image."""
        K = self.kernel_size
        windows = np.lib.stride_tricks.sliding_window_view(np.ascontiguousarray(x), (K, K), axis=(2, 3))
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
