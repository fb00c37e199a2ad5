"""Pools over windows of an image: their largest value, and their mean."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.layer import PINV_CUTOFF, Layer, Shape, shape_text
from annealtrain.nn.layout import samples_first, samples_last, with_margin
from annealtrain.nn.windows import EXTENT, MARGIN, Extent, Pair, Windows, pair
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import checked, optional

_CHECKS = {"kernel_size": EXTENT, "stride": optional(EXTENT), "padding": MARGIN}


def _windows(name: str, kernel_size: Extent, stride: Extent | None, padding: Extent) -> Windows:
    windows = Windows(pair(kernel_size), pair(kernel_size if stride is None else stride), pair(padding))
    if any(2 * margin > size for margin, size in zip(windows.padding, windows.size, strict=True)):
        raise InputError(f"{name}: padding={padding!r} is more than half of kernel_size={kernel_size!r}: lower it")
    return windows


def _out_shape(name: str, windows: Windows, in_shape: Shape, is_tiled: bool) -> Shape:
    """Return the shape of a pool's outputs; InputError where windows without a stride do not tile the image."""
    counts = windows.counts(in_shape, name)
    sides = [in_shape[1 + axis] + 2 * windows.padding[axis] for axis in (0, 1)]
    if is_tiled and any(side % size for side, size in zip(sides, windows.size, strict=True)):
        raise InputError(
            f"{name} with kernel_size={list(windows.size)} does not divide its input {shape_text(in_shape)}: take "
            "divisors of its height and width, or give a stride: what no window reaches is then left out"
        )
    return (in_shape[0], *counts)


class MaxPool2d(Layer):
    """The largest value of each window, (C, H, W) to (C, windows down, windows across).

    stride: None for kernel_size, and the windows must then tile the image. padding: with pixels that never win.
    Not linear, without an inverse: its gradient goes to the pixel that won, the first of several.
    """

    is_linear = False

    @checked("MaxPool2d: ", **_CHECKS)
    def __init__(self, kernel_size: Extent, stride: Extent | None = None, padding: Extent = 0) -> None:
        self.windows, self._is_tiled = _windows("MaxPool2d", kernel_size, stride, padding), stride is None

    def connect(self, in_shape: Shape) -> Shape:
        self.out_shape = _out_shape("MaxPool2d", self.windows, in_shape, self._is_tiled)
        self.in_shape = in_shape
        return self.out_shape

    def forward(self, x: Array) -> Array:
        first, *others = self._seen(x)
        maxima = first.copy()
        for seen in others:
            np.maximum(maxima, seen, out=maxima)
        return maxima

    def backward_at(self, x: Array) -> Callable[[Array], Array]:
        winners = cache(lambda: self._winners(x))  # once for all gradients, and not where none is asked for
        (down, across), (_, height, width) = self.windows.padding, self.in_shape

        def back(dy: Array) -> Array:
            dx = samples_first(np.zeros((height + 2 * down, len(dy[0]), width + 2 * across, len(dy)), dy.dtype))
            for (rows, columns), won in zip(self.windows.places(self._counts), winners(), strict=True):
                dx[:, :, rows, columns] += dy * won
            return dx[:, :, down : down + height, across : across + width]

        return back

    @property
    def _counts(self) -> Pair:
        return self.out_shape[1], self.out_shape[2]

    def _seen(self, x: Array) -> list[Array]:
        """Return views (Q, *out_shape), one for each place of a window."""
        (down, across) = self.windows.padding
        padded = with_margin(x, (down, down, across, across), -np.inf) if down or across else x
        return [padded[:, :, rows, columns] for rows, columns in self.windows.places(self._counts)]

    def _winners(self, x: Array) -> list[Array]:
        """Return for each place of a window where it holds the largest value, (Q, *out_shape) bool, once a window."""
        largest, found = self.forward(x), []
        is_free = np.ones_like(largest, bool)
        for seen in self._seen(x):
            won = (seen == largest) & is_free
            is_free &= ~won
            found.append(won)
        return found


class AvgPool2d(Layer):
    """The mean of each window, (C, H, W) to (C, windows down, windows across), a product with a matrix on each side.

    stride: None for kernel_size, and the windows must then tile the image. padding: zeros, which count.
    The pseudo-inverse is exact: that of a product of two directions is the product of theirs.
    """

    @checked("AvgPool2d: ", **_CHECKS)
    def __init__(self, kernel_size: Extent, stride: Extent | None = None, padding: Extent = 0) -> None:
        self.windows, self._is_tiled = _windows("AvgPool2d", kernel_size, stride, padding), stride is None

    def connect(self, in_shape: Shape) -> Shape:
        self.out_shape = _out_shape("AvgPool2d", self.windows, in_shape, self._is_tiled)
        self.in_shape = in_shape
        self._down, self._across = (self._means(axis) for axis in (0, 1))
        self._inverses = [np.linalg.pinv(means, rcond=PINV_CUTOFF) for means in (self._down, self._across)]
        return self.out_shape

    def _means(self, axis: int) -> Array:
        """Return the pool along one direction, (windows, pixels) float64."""
        means = np.zeros((self.out_shape[1 + axis], self.in_shape[1 + axis]))
        size, stride, padding = self.windows.size[axis], self.windows.stride[axis], self.windows.padding[axis]
        for window, row in enumerate(means):
            start = window * stride - padding
            row[max(start, 0) : start + size] = 1 / size
        return means

    def forward(self, x: Array) -> Array:
        return _separated(x, self._down, self._across)

    def adjoint(self, y: Array) -> Array:
        return _separated(y, self._down.T, self._across.T)

    def inverse(self) -> Callable[[Array], Array]:
        down, across = self._inverses
        return lambda y: _separated(y, down, across)


def _separated(x: Array, down: Array, across: Array) -> Array:
    """Return down . image . across' of each channel of images x (Q, C, H, W)."""
    left: Any = down.astype(x.dtype)
    narrow = np.matmul(across.astype(x.dtype), samples_last(x))  # (H, C, width, Q)
    return samples_first((left @ narrow.reshape(len(narrow), -1)).reshape(-1, *narrow.shape[1:]))
