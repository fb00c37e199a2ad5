"""Image sets from files or packages, their seeded splits, and the resize to the network's input."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from annealtrain.data import file_readers
from annealtrain.errors import InputError

StrPath = str | os.PathLike[str]
CHANNELS = {"digits": 1, "mnist": 1, "fashion_mnist": 1, "cifar10": 3}  # known without reading a file


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, checked on construction: images / `scale` lie in [0, 1], labels in 0..`classes` - 1.

    images: (n, C, H, W) uint8 or float. labels: (n,) int64. default_validation: images held out where a run
    does not say. Raises InputError if a part is empty, of the wrong shape, not finite or out of range."""

    name: str
    classes: int
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    scale: float = 255.0
    default_validation: int = 6000

    def __post_init__(self) -> None:
        self._check("training", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)

    def _check(self, part: str, images: np.ndarray, labels: np.ndarray) -> None:
        where = f"dataset {self.name}, {part} set"
        same_shape = images.ndim == 4 and images.shape[1:] == self.test_images.shape[1:]
        if images.size == 0 or not same_shape or not (images.dtype == np.uint8 or images.dtype.kind == "f"):
            need = "make them (n, C, H, W) uint8 or float, n > 0, C, H, W as in the test set"
            raise InputError(f"{where}: images are {images.shape} {images.dtype}: {need}")
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            need = f"make them ({len(images)},) integers"
            raise InputError(f"{where}: labels are {labels.shape} {labels.dtype}: {need}")
        low, high = images.min(), images.max()
        if not (np.isfinite(low) and np.isfinite(high)):  # min and max of NaN are NaN
            raise InputError(f"{where}: images contain NaN or inf: replace them with numbers")
        if low < 0 or high > self.scale:
            raise InputError(f"{where}: pixels span {low:g}..{high:g}, not 0..{self.scale:g}: set scale")
        if wrong := labels[(labels < 0) | (labels >= self.classes)][:1].tolist():
            limit = f"outside 0..{self.classes - 1}"
            raise InputError(f"{where}: label {wrong[0]} is {limit}: correct the labels")


def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits, 1 x 8 x 8: 1,397 for training and always the same 400 for test."""
    table = _digits_table()
    table = table[np.random.default_rng(0).permutation(len(table))]  # neighbours share a writer
    images, labels = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    train, test = (images[:-400], labels[:-400]), (images[-400:], labels[-400:])
    return Dataset("digits", 10, *train, *test, scale=16.0, default_validation=140)


def _digits_table() -> np.ndarray:
    """Return pixels and label of each digit (1797, 65) uint8, from scikit-learn's file: importing it takes a second."""
    package = find_spec("sklearn")
    folders = package.submodule_search_locations if package else None
    path = Path(*folders or (), "datasets", "data", "digits.csv.gz")
    if path.is_file():
        return np.loadtxt(path, delimiter=",", dtype=np.uint8)
    from sklearn.datasets import load_digits  # where a version keeps it elsewhere

    return np.column_stack(load_digits(return_X_y=True)).astype(np.uint8)


def mnist(data_dir: StrPath | None = None) -> Dataset:
    """Return MNIST (60,000 + 10,000, 1 x 28 x 28) from data_dir/MNIST/raw; InputError if absent or bad."""
    return Dataset("mnist", 10, *file_readers.idx_arrays(set_files("mnist", data_dir)))


def fashion_mnist(data_dir: StrPath | None = None) -> Dataset:
    """Return Fashion-MNIST from data_dir/FashionMNIST/raw, like `mnist`."""
    return Dataset("fashion_mnist", 10, *file_readers.idx_arrays(set_files("fashion_mnist", data_dir)))


def cifar10(data_dir: StrPath | None = None) -> Dataset:
    """Return CIFAR-10 (50,000 + 10,000 of 3 x 32 x 32) from data_dir/cifar-10-batches-py, like `mnist`."""
    *train, test = [file_readers.cifar_batch(path) for path in set_files("cifar10", data_dir)]
    images, labels = (np.concatenate(part) for part in zip(*train, strict=True))
    return Dataset("cifar10", 10, images, labels, *test)


def default_data_dir() -> Path:
    """Return $ANNEALTRAIN_DATA, else ~/.cache/annealtrain: where the file sets are looked for."""
    return Path(os.path.expanduser(os.environ.get("ANNEALTRAIN_DATA") or "~/.cache/annealtrain"))


SETS = {  # torchvision's class and folder
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
}
_IDX_FILES = [f"{p}-{kind}-ubyte" for p in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
_CIFAR_FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def data_root(data_dir: StrPath | None) -> Path:
    if data_dir is None or data_dir == "":
        return default_data_dir()
    if not isinstance(data_dir, str | os.PathLike):
        raise InputError(f"data_dir={data_dir!r} is not a path: set data_dir=FOLDER")
    return Path(os.path.expanduser(data_dir))


def set_files(name: str, data_dir: StrPath | None) -> list[Path]:
    """Return the set's files in reading order, each plain or (IDX) .gz; InputError names the missing ones."""
    folder, paths, missing = data_root(data_dir) / SETS[name][1], [], []
    stems, suffixes = (_CIFAR_FILES, [""]) if name == "cifar10" else (_IDX_FILES, ["", ".gz"])
    for stem in stems:
        found = [path for suffix in suffixes if (path := folder / (stem + suffix)).is_file()]
        paths += found[:1]
        missing += [] if found else [stem]
    if missing:
        lost = missing[0] + (f" and {len(missing) - 1} more" if missing[1:] else "")
        ways = f'set data_dir=... or $ANNEALTRAIN_DATA, or run "annealtrain data --download {name}"'
        raise InputError(f"dataset {name} is not at {folder} (missing {lost}): {ways} (needs torchvision)")
    return paths
