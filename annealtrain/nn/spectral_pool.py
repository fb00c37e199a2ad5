"""Pooling by the lowest frequencies of the Hartley transform, as a few pairs of small matrices."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.layer import SIZE, Layer, Shape, shape_text
from annealtrain.nn.layout import samples_first, samples_last
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import checked, one_of


class SpectralPool2d(Layer):
    """Keeps the lowest a x b frequencies of the real Hartley transform of each channel: (C, A, B) to (C, a, b).

    H = Re F - Im F with F = fftshift(fft2(x, norm="forward")), cropped, and the same transform back.
    crop: `centred`, from A//2 - a//2 and B//2 - b//2 on, which keeps the zero frequency where it is, and so constants;
    or `author`, from (A - a)//2 and (B - b)//2 on, as the author's code does. They differ from an even number to an odd
    one: 10 -> 5 keeps frequencies -2 to 2, or -3 to 1, and takes each of those for the next higher one.
    pool^+ = (AB / ab) pool', exactly: padding the spectrum with zeros.
    """

    @checked("SpectralPool2d: ", size=SIZE, crop=one_of("centred", "author"))
    def __init__(self, size: Sequence[int], crop: str = "centred") -> None:
        self.size, self.crop = (size[0], size[1]), crop

    def connect(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise InputError(
                f"SpectralPool2d takes (channels, height, width), its input is {shape_text(in_shape)}: "
                "put it before a Flatten"
            )
        if self.size[0] > in_shape[1] or self.size[1] > in_shape[2]:
            raise InputError(
                f"SpectralPool2d to {shape_text(self.size)} is larger than its input {shape_text(in_shape)}: "
                f"at most {shape_text(in_shape[1:])}"
            )
        self.in_shape, self.out_shape = in_shape, (in_shape[0], *self.size)
        self._factors = self._separated()
        self._stacks: dict[Any, tuple[Array, Array]] = {}
        return self.out_shape

    def _separated(self) -> list[tuple[Array, Array]]:
        """Return the fewest pairs of (a, A) and (b, B) matrices with y = sum of rows . x . columns'.

        cas(u + v) = cos u cas v + sin u cas(-v) takes the two directions apart, into four terms at first.
        """

        def waves(full: int, kept: int) -> tuple[Array, Array]:
            first = -(kept // 2)
            taken = first if self.crop == "centred" else (full - kept) // 2 - full // 2
            sizes = ((full, taken), (kept, first))
            return tuple(2 * np.pi * np.outer(np.arange(n), lowest + np.arange(kept)) / n for n, lowest in sizes)  # type: ignore

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
        if dtype not in self._stacks:
            across, along = zip(*self._factors, strict=True)
            self._stacks[dtype] = np.hstack(across).astype(dtype), np.array(along, dtype)[:, None, None]
        return self._stacks[dtype]

    def sides(self) -> tuple[Array, Array]:
        """Return the factors as (a terms, A) and (b, terms B), float64: a product on each side of each image."""
        across, along = zip(*self._factors, strict=True)
        return np.concatenate([*np.stack(across, axis=1)]), np.hstack(along)

    def matrix(self) -> Array:
        """Return the whole map as a matrix, (A B, a b) float64: flat images are pooled by x @ matrix."""
        whole: Array = np.sum([np.kron(across, along) for across, along in self._factors], axis=0).T
        return whole

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


def _cas(angle: Array) -> Array:
    return np.cos(angle) + np.sin(angle)
