"""What is done to samples before a network sees them: resize, division by a scale, standardisation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from annealtrain.data.dataset import Dataset
from annealtrain.errors import InputError
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array

BLOCK = 4096  # samples that are held as floats at once
# A deviation of at most so many means is rounding: of sums, and of pixels that are resized in float32.
OF_SUMS, OF_RESIZE = 1e-12, 1e-6


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """The way from a set's own samples to a network's: x = (resize(samples / scale) - mean) / std.

    size: (h, w) of images, None as they are. scale: None: 1. is_bounded: whether what is divided lies in [0, 1].
    mean, std: (d,) of a table's columns, (C, 1, 1) of an image's channels, None where nothing is standardised.
    target_mean, target_std: (T,) of real targets, which a network is trained on standardised; None for classes.
    """

    size: tuple[int, ...] | None = None
    scale: float | None = None
    is_bounded: bool = False
    mean: Array | None = None
    std: Array | None = None
    target_mean: Array | None = None
    target_std: Array | None = None

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return the inputs (q, ...) float32 of a few samples (q, ...)."""
        values: np.ndarray = self.scaled(samples)
        if self.mean is not None:
            values = (values - self.mean) / self.std
        return values.astype(np.float32, copy=False)

    def scaled(self, samples: np.ndarray) -> np.ndarray:
        """Return a few samples resized and divided, not standardised; of a table of float64 in that precision."""
        values: np.ndarray = samples.astype(
            np.float64 if samples.dtype == np.float64 and samples.ndim == 2 else np.float32
        )
        if self.scale is not None:
            values /= np.float32(self.scale)
        if self.size is None or values.shape[2:] == self.size:
            return values
        resized = resize(values, self.size)
        # The weights sum to 1 only up to rounding.
        return np.clip(resized, 0, 1) if self.is_bounded else resized

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Return classes as int64, or real targets standardised, float32."""
        if self.target_mean is None or self.target_std is None:
            return labels.astype(np.int64)
        standardised: np.ndarray = ((labels - self.target_mean) / self.target_std).astype(np.float32)
        return standardised

    def record(self) -> dict[str, Any]:
        """Return what is done, as JSON has it; what is not done is left out."""
        told: dict[str, Any] = {"resize": self.size and list(self.size), "divide_by": self.scale}
        for name in ("mean", "std", "target_mean", "target_std"):
            value = getattr(self, name)
            told[name] = None if value is None else value.ravel().tolist()
        return {name: value for name, value in told.items() if value is not None}


def fitted(
    dataset: Dataset, rows: np.ndarray, size: Sequence[int] | None, scale: float | None, standardise: bool | None
) -> Preprocessing:
    """Return the preprocessing of a set, its means and deviations those of the training samples at `rows` alone.

    size: (h, w) pixels, None: the set's own. scale: None: the set's own. standardise: None: where a set has no scale.
    Raises InputError for a size of what is no image.
    """
    if size is not None and dataset.is_table:
        raise InputError(f"image_size={list(size)}: the samples of {dataset.name} are rows of numbers, no images")
    limit = dataset.scale if scale is None else scale
    bounded = limit is not None and all(
        part.min() >= 0 and part.max() <= limit for part in (dataset.train_images, dataset.test_images)
    )
    made = Preprocessing(tuple(size) if size is not None else None, limit, bounded)
    mean, std, target_mean, target_std = None, None, None, None
    if limit is None if standardise is None else standardise:
        with thread_pool.threads(1):  # whatever the number of cores, the same bits
            mean, std = _moments(made, dataset.train_images, rows)
    if dataset.is_regression:
        targets = dataset.train_labels[rows].astype(np.float64)
        target_mean = targets.mean(axis=0)
        target_std = above_rounding(targets.std(axis=0), target_mean)
    return Preprocessing(made.size, limit, bounded, mean, std, target_mean, target_std)


def _moments(made: Preprocessing, samples: np.ndarray, rows: np.ndarray) -> tuple[Array, Array]:
    """Return mean and standard deviation of each column or channel, in the precision of the samples.

    A constant one has deviation 1.
    """

    def blocks() -> Iterator[Array]:
        for start in range(0, len(rows), BLOCK):
            yield made.scaled(samples[rows[start : start + BLOCK]]).astype(np.float64)

    axes = (0, 2, 3) if samples.ndim == 4 else (0,)
    count = len(rows) * (np.prod(made.size or samples.shape[2:]) if samples.ndim == 4 else 1)
    mean = sum(block.sum(axis=axes, keepdims=True) for block in blocks()) / count
    square = sum(((block - mean) ** 2).sum(axis=axes, keepdims=True) for block in blocks()) / count
    dtype = made.scaled(samples[:1]).dtype
    std = above_rounding(np.sqrt(square)[0], mean[0], OF_SUMS if made.size is None else OF_RESIZE)
    return mean[0].astype(dtype), std.astype(dtype)


def above_rounding(std: Array, mean: Array, rounding: float = OF_SUMS) -> Array:
    """Return deviations, 1 for those of constants, whose mean is rounded."""
    return np.where(std > rounding * np.abs(mean), std, 1.0)


def resize(images: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return (n, C, h, w) float32: `images` (n, C, H, W) at size (h, w), as Pillow's BILINEAR on mode F.

    Pixel centres lie at half integers; where an axis shrinks, the triangle widens by H / h (antialiasing)."""

    images = images.astype(np.float32, copy=False)
    if images.shape[2:] == tuple(size):
        return images
    rows, columns = _bilinear(images.shape[2], size[0]), _bilinear(images.shape[3], size[1])
    resized: np.ndarray = rows @ (images @ columns.T)
    return resized


@lru_cache
def _bilinear(source: int, target: int) -> np.ndarray:
    """Return the weights of `resize` along one axis, (target, source); rows sum to 1."""
    step = source / target
    centre = (np.arange(target)[:, None] + 0.5) * step
    weight = np.maximum(0, 1 - np.abs(np.arange(source) + 0.5 - centre) / max(step, 1))
    shares: np.ndarray = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
