"""Images that become a network's inputs batch by batch: resized, shifted and flipped when they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from annealtrain.data.augmentation import Augment
from annealtrain.data.images import Images
from annealtrain.runtime.array_types import Array


class Pictures:
    """Images as inputs of a network's first trainable layer, `stem(images)`, made for each index into them."""

    def __init__(self, images: Images, stem: Callable[[Array], Array], augment: Augment | None = None) -> None:
        self.images, self.stem, self.augment = images, stem, augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Array:
        """Return the inputs (Q, ...) of the images at `index`, a slice or whole numbers."""
        return self.stem(self.images[index])

    def first(self, count: int) -> "Pictures":
        """Return the first `count` of them."""
        return Pictures(self.images.first(count), self.stem, self.augment)

    def augmented(self, index: Array, seed: np.random.SeedSequence) -> Array:
        """Return the inputs of the images at `index`, changed at random."""
        images = self.images[index]
        return self.stem(self.augment(images, seed) if self.augment else images)


@dataclass(frozen=True, eq=False)
class Samples:
    """inputs: (Q, ...) as Network.stem gives them, an array, or Pictures that are read batch by batch. labels: (Q,)."""

    inputs: Array | Pictures
    labels: Array

    def first(self, count: int) -> "Samples":
        """Return the first `count` samples."""
        inputs = self.inputs.first(count) if isinstance(self.inputs, Pictures) else self.inputs[:count]
        return Samples(inputs, self.labels[:count])
