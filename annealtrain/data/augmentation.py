"""Random changes of training images."""

from dataclasses import dataclass

import numpy as np

from annealtrain.errors import InputError
from annealtrain.runtime.array_types import Array


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
