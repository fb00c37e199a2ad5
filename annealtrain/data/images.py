"""The samples of a run: seeded splits of a set, preprocessed when they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annealtrain.data.dataset import Dataset
from annealtrain.data.preprocessing import BLOCK, Preprocessing, fitted
from annealtrain.errors import InputError
from annealtrain.runtime.random_streams import Stream, generator
from annealtrain.runtime.validation import SEED, check_all, each_of, number, optional, whole

SIZE = optional(each_of(whole(), 2, "two whole numbers of at least 1, such as [32, 32]"))
RULES = {
    "samples": whole(),
    "validation": whole(0),
    "seed": SEED,
    "image_size": SIZE,
    "scale": optional(number(above=0)),
}


class Images:
    """Some samples of a set, as a network takes them when they are asked for: images[index] is (q, ...) float32.

    labels: (n,) int64, or real targets (n, T) float32. The set's own samples are kept, not the preprocessed ones.
    """

    def __init__(self, samples: np.ndarray, labels: np.ndarray, index: np.ndarray, preprocessing: Preprocessing):
        self._samples, self._index, self._preprocessing = samples, index, preprocessing
        self._all_labels = labels
        self.labels = preprocessing.labels(labels[index])

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Return the samples at `index`, preprocessed."""
        return self._preprocessing(self._samples[self._index[index]])

    @property
    def set_bytes(self) -> int:
        """What all samples of the set take, of which these are some."""
        return self._samples.nbytes

    def take(self, count: int) -> "Images":
        """Return the first `count` of them."""
        return Images(self._samples, self._all_labels, self._index[:count], self._preprocessing)

    @property
    def images(self) -> np.ndarray:
        """All of them, (n, ...) float32."""
        out = np.empty((len(self), *self[:1].shape[1:]), np.float32)
        for start in range(0, len(self), BLOCK):  # a block at a time: the float copies stay small
            out[start : start + BLOCK] = self[start : start + BLOCK]
        return out


@dataclass(frozen=True, eq=False)
class Splits:
    """The samples of one run; `validation` is None where none are held out."""

    train: Images
    validation: Images | None
    test: Images
    preprocessing: Preprocessing

    @property
    def set_bytes(self) -> int:
        """What the set's own samples take in memory."""
        return self.train.set_bytes + self.test.set_bytes


def split(
    dataset: Dataset,
    *,
    samples: int | None,
    validation: int | None,
    seed: int,
    size: Sequence[int] | None = None,
    scale: float | None = None,
    standardise: bool | None = None,
) -> Splits:
    """Return `samples` training and `validation` held-out samples drawn by `seed`, and the whole test set.

    samples: None: all that are not held out. validation: None: the dataset's default. size, scale, standardise: see
    `fitted`. The held-out samples come first in the permutation, so they stay the same whatever `samples` is.
    Raises InputError for counts beyond the set."""
    held = dataset.held_out if validation is None else validation
    total = len(dataset.train_images)
    count = max(total - held, 1) if samples is None else samples
    check_all({"samples": count, "validation": held, "seed": seed, "image_size": size, "scale": scale}, RULES)
    if count + held > total:
        need = f"samples={count} and validation={held} need {count + held} images"
        ways = [f"samples={total - held}"] if held < total else []
        ways += [f"validation={total - count}"] if held and count <= total else []
        most = ", or ".join(ways) or f"{total} together"
        raise InputError(f"{need}; {dataset.name} has {total} for training: at most {most}")
    order = generator(seed, Stream.SPLIT).permutation(total)
    preprocessing = fitted(dataset, order[held : held + count], size, scale, standardise)

    def part(index: np.ndarray, name: str = "train") -> Images:
        return Images(getattr(dataset, f"{name}_images"), getattr(dataset, f"{name}_labels"), index, preprocessing)

    test = part(np.arange(len(dataset.test_images)), "test")
    return Splits(part(order[held : held + count]), part(order[:held]) if held else None, test, preprocessing)
