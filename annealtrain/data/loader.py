"""From a set of images to the inputs of a network: all at once in memory, or batch by batch when they are asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np

from annealtrain.data.augmentation import Augment
from annealtrain.data.images import Images
from annealtrain.runtime.array_types import Array


class Loader:
    """Labelled inputs of a network's first trainable layer: loader[index] is (q, ...), `labels` (Q,) int64.

    inputs: (Q, ...) in memory; or see `lazily`.
    """

    def __init__(self, inputs: Array, labels: Array) -> None:
        self._source: Array | Images = inputs
        self._preprocess: Callable[[Array], Array] = _unchanged
        self.labels, self.augment, self.is_lazy = labels, Augment(), False

    @classmethod
    def lazily(cls, images: Images, preprocess: Callable[[Array], Array], augment: Augment | None = None) -> "Loader":
        """Return a loader that makes the inputs `preprocess(images)` of an index when they are asked for.

        Nothing is kept, so that memory follows the batch. augment: changes training images at random, see `batch`.
        """
        loader = cls(np.empty(0), images.labels)
        loader._source, loader._preprocess, loader.is_lazy = images, preprocess, True
        loader.augment = augment or Augment()
        return loader

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Array:
        """Return the inputs at `index`, a slice or whole numbers (q,)."""
        return self._preprocess(self._source[index])

    def batch(self, index: Array, seed: np.random.SeedSequence) -> Array:
        """Return the inputs at `index` (q,) of images that are augmented at random."""
        if not self.is_lazy:
            is_all = len(index) == len(self) and np.array_equal(index, np.arange(len(self)))
            return self._source[slice(None) if is_all else index]  # all of them without a copy
        images = self._source[index]
        return self._preprocess(self.augment(images, seed) if self.augment.changes else images)

    def take(self, count: int) -> "Loader":
        """Return a loader of the first `count` samples."""
        if isinstance(self._source, Images):
            return Loader.lazily(self._source.take(count), self._preprocess, self.augment)
        return Loader(self._source[:count], self.labels[:count])


def _unchanged(inputs: Array) -> Array:
    return inputs
