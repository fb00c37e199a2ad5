"""Images that become a network's inputs batch by batch: resized, shifted and flipped when they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from annealtrain.datasets import Images
from annealtrain.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Augment:
    """Random changes of training images. shift: up to so many pixels each way, zeros move in. flip: left-right."""

    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.shift, bool) or not isinstance(self.shift, int) or not 0 <= self.shift <= 16:
            raise InputError(f"augment.shift={self.shift!r} is not a whole number from 0 to 16")
        if not isinstance(self.flip, bool):
            raise InputError(f"augment.flip={self.flip!r} is not one of true, false")

    def __call__(self, images: Array, seed: np.random.SeedSequence) -> Array:
        """Return changed images (Q, C, H, W), each in its own way."""
        generator, s = np.random.default_rng(seed), self.shift
        if s:
            (height, width), padded = images.shape[2:], np.pad(images, ((0, 0), (0, 0), (s, s), (s, s)))
            corners = generator.integers(0, 2 * s + 1, (len(images), 2))
            images = np.empty_like(images)
            for image, source, (top, left) in zip(images, padded, corners, strict=True):
                image[:] = source[:, top : top + height, left : left + width]
        if self.flip:
            images = np.where(generator.random(len(images))[:, None, None, None] < 0.5, images[..., ::-1], images)
        return images


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
