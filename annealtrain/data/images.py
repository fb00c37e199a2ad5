"""The images of a run: seeded splits of a set, and the resize to a network's input."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from annealtrain.data.datasets import Dataset
from annealtrain.errors import InputError
from annealtrain.runtime.random_streams import Stream, generator
from annealtrain.runtime.validation import SEED, check_all, each_of, whole

RULES = {
    "samples": whole(),
    "validation": whole(0),
    "seed": SEED,
    "size": each_of(whole(), 2, "two whole numbers of at least 1, such as [32, 32]"),
}


class Images:
    """Some images of a set, as a network takes them when they are asked for: images[index] is (q, C, h, w) float32.

    labels: (n,) int64. The set's own pixels are kept, not the resized ones.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, index: np.ndarray, scale: float, size: Sequence[int]):
        self._pixels, self._index, self._scale, self._size = pixels, index, np.float32(scale), tuple(size)
        self._all_labels = labels
        self.labels = labels[index].astype(np.int64)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Return the images at `index`, resized, pixels in [0, 1]."""
        resized = resize(self._pixels[self._index[index]].astype(np.float32) / self._scale, self._size)
        clipped: np.ndarray = np.clip(resized, 0, 1)  # the weights sum to 1 only up to rounding
        return clipped

    def take(self, count: int) -> "Images":
        """Return the first `count` of them."""
        return Images(self._pixels, self._all_labels, self._index[:count], float(self._scale), self._size)

    @property
    def images(self) -> np.ndarray:
        """All of them, (n, C, h, w) float32."""
        out = np.empty((len(self), self._pixels.shape[1], *self._size), np.float32)
        for start in range(0, len(self), 4096):  # a block at a time: the float copies stay small
            out[start : start + 4096] = self[start : start + 4096]
        return out


@dataclass(frozen=True, eq=False)
class Splits:
    """The images of one run; `validation` is None where none are held out."""

    train: Images
    validation: Images | None
    test: Images


def split(
    dataset: Dataset, *, samples: int, validation: int | None, seed: int, size: Sequence[int] = (32, 32)
) -> Splits:
    """Return `samples` training and `validation` held-out images drawn by `seed`, and the whole test set.

    validation: None means the dataset's default. size: (h, w) pixels. The held-out images come first in the
    permutation, so they stay the same whatever `samples` is. Raises InputError for counts beyond the set."""
    held = dataset.default_validation if validation is None else validation
    check_all({"samples": samples, "validation": held, "seed": seed, "size": size}, RULES)
    total = len(dataset.train_images)
    if samples + held > total:
        need = f"samples={samples} and validation={held} need {samples + held} images"
        ways = [f"samples={total - held}"] if held < total else []
        ways += [f"validation={total - samples}"] if held and samples <= total else []
        most = ", or ".join(ways) or f"{total} together"
        raise InputError(f"{need}; {dataset.name} has {total} for training: at most {most}")
    order = generator(seed, Stream.SPLIT).permutation(total)

    train = (dataset.train_images, dataset.train_labels)
    test = (dataset.test_images, dataset.test_labels)
    return Splits(
        Images(*train, order[held : held + samples], dataset.scale, size),
        Images(*train, order[:held], dataset.scale, size) if held else None,
        Images(*test, np.arange(len(test[0])), dataset.scale, size),
    )


def resize(images: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return (n, C, h, w) float32: `images` (n, C, H, W) at size (h, w), as Pillow's BILINEAR on mode F.

    Pixel centres lie at half integers; where an axis shrinks, the triangle widens by H / h (antialiasing)."""

    images = images.astype(np.float32, copy=False)
    if images.shape[2:] == tuple(size):
        return images
    rows, columns = _bilinear(images.shape[2], size[0]), _bilinear(images.shape[3], size[1])
    return rows @ (images @ columns.T)


@lru_cache
def _bilinear(source: int, target: int) -> np.ndarray:
    """Return the weights of `resize` along one axis, (target, source); rows sum to 1."""
    step = source / target
    centre = (np.arange(target)[:, None] + 0.5) * step
    weight = np.maximum(0, 1 - np.abs(np.arange(source) + 0.5 - centre) / max(step, 1))
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
