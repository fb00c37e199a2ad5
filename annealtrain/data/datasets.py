"""Image sets from files or packages, by name."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from annealtrain.data import file_readers
from annealtrain.data.dataset import Dataset
from annealtrain.errors import DataMissing, InputError

__all__ = ["Dataset", "cifar10", "cifar100", "digits", "fashion_mnist", "mnist"]

StrPath = str | os.PathLike[str]
# Shape of an image and number of classes, known without reading a file.
SHAPES = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
}
COUNTS = {  # of samples for training and for test
    "digits": (1397, 400),
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
}
TEN = tuple("0123456789")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits, 1 x 8 x 8: 1,397 for training and always the same 400 for test."""
    table = _digits_table()
    table = table[np.random.default_rng(0).permutation(len(table))]  # neighbours share a writer
    images, labels = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    train, test = (images[:-400], labels[:-400]), (images[-400:], labels[-400:])
    return Dataset("digits", 10, *train, *test, scale=16.0, default_validation=140, class_names=TEN)


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
    parts = file_readers.idx_arrays(set_files("mnist", data_dir))
    return Dataset("mnist", 10, *parts, default_validation=6000, class_names=TEN)


def fashion_mnist(data_dir: StrPath | None = None) -> Dataset:
    """Return Fashion-MNIST from data_dir/FashionMNIST/raw, like `mnist`."""
    parts = file_readers.idx_arrays(set_files("fashion_mnist", data_dir))
    return Dataset("fashion_mnist", 10, *parts, default_validation=6000, class_names=CLOTHES)


def cifar10(data_dir: StrPath | None = None) -> Dataset:
    """Return CIFAR-10 (50,000 + 10,000 of 3 x 32 x 32) from data_dir/cifar-10-batches-py, like `mnist`."""
    *train, test = [file_readers.cifar_batch(path) for path in set_files("cifar10", data_dir)]
    images, labels = (np.concatenate(part) for part in zip(*train, strict=True))
    return Dataset("cifar10", 10, images, labels, *test, default_validation=6000, class_names=OBJECTS)


def cifar100(data_dir: StrPath | None = None) -> Dataset:
    """Return CIFAR-100 (50,000 + 10,000 of 3 x 32 x 32) from data_dir/cifar-100-python, like `mnist`."""
    *parts, names = set_files("cifar100", data_dir)
    train, test = (file_readers.cifar_batch(path, "fine_labels") for path in parts)
    return Dataset("cifar100", 100, *train, *test, default_validation=6000, class_names=file_readers.cifar_names(names))


def default_data_dir() -> Path:
    """Return $ANNEALTRAIN_DATA, else ~/.cache/annealtrain: where the file sets are looked for."""
    return Path(os.path.expanduser(os.environ.get("ANNEALTRAIN_DATA") or "~/.cache/annealtrain"))


SETS = {  # torchvision's class and folder
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "cifar100": ("CIFAR100", "cifar-100-python"),
}
_IDX_FILES = [f"{p}-{kind}-ubyte" for p in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
_CIFAR_FILES = {
    "cifar10": [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"],
    "cifar100": ["train", "test", "meta"],
}


def data_root(data_dir: StrPath | None) -> Path:
    if data_dir is None or data_dir == "":
        return default_data_dir()
    if not isinstance(data_dir, str | os.PathLike):
        raise InputError(f"data_dir={data_dir!r} is not a path: set data_dir=FOLDER")
    return Path(os.path.expanduser(data_dir))


def set_files(name: str, data_dir: StrPath | None) -> list[Path]:
    """Return the set's files in reading order, each plain or (IDX) .gz; InputError names the missing ones."""
    folder, paths, missing = data_root(data_dir) / SETS[name][1], [], []
    stems, suffixes = (_CIFAR_FILES[name], [""]) if name in _CIFAR_FILES else (_IDX_FILES, ["", ".gz"])
    for stem in stems:
        found = [path for suffix in suffixes if (path := folder / (stem + suffix)).is_file()]
        paths += found[:1]
        missing += [] if found else [stem]
    if missing:
        lost = missing[0] + (f" and {len(missing) - 1} more" if missing[1:] else "")
        ways = f'set data_dir=... or $ANNEALTRAIN_DATA, or run "annealtrain data --download {name}"'
        raise DataMissing(folder, f"dataset {name} is not at {folder} (missing {lost}): {ways} (needs torchvision)")
    return paths
