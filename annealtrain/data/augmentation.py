"""Random changes of training images."""

from dataclasses import dataclass

import numpy as np

from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import YES_OR_NO, check_all, whole

RULES = {"augment.shift": whole(0, 16), "augment.flip": YES_OR_NO}


@dataclass(frozen=True)
class Augment:
    """Random changes of training images. shift: up to so many pixels each way, zeros move in. flip: left-right."""

    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        check_all({"augment.shift": self.shift, "augment.flip": self.flip}, RULES)

    @property
    def changes(self) -> bool:
        """Whether images are changed at all."""
        return self.shift > 0 or self.flip

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
