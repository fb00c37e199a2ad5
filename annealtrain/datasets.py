"""Image sets from files or packages, their seeded splits, and the resize to the network's input."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from numbers import Integral
from pathlib import Path

import numpy as np

from annealtrain import image_files
from annealtrain.errors import InputError, nearest

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

    def first(self, count: int) -> "Images":
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


@dataclass(frozen=True)
class Availability:
    """One row of `annealtrain data`: where a set is looked for, and its size or how to get it."""

    name: str
    folder: str
    present: bool
    detail: str


def split(
    dataset: Dataset, *, samples: int, validation: int | None, seed: int, size: Sequence[int] = (32, 32)
) -> Splits:
    """Return `samples` training and `validation` held-out images drawn by `seed`, and the whole test set.

    validation: None means the dataset's default. size: (h, w) pixels. The held-out images come first in the
    permutation, so they stay the same whatever `samples` is. Raises InputError for counts beyond the set."""
    held = dataset.default_validation if validation is None else validation
    for name, value, least in (("samples", samples, 1), ("validation", held, 0), ("seed", seed, 0)):
        if not _is_count(value, least):
            raise InputError(f"{name}={value!r} is not a whole number >= {least}: set {name}={least} or more")
    if not isinstance(size, Sequence) or len(size) != 2 or not all(_is_count(side, 1) for side in size):
        raise InputError(f"size={size!r} is not two whole numbers >= 1: set size=[32,32]")
    total = len(dataset.train_images)
    if samples + held > total:
        need = f"samples={samples} and validation={held} need {samples + held} images"
        ways = [f"samples={total - held}"] if held < total else []
        ways += [f"validation={total - samples}"] if held and samples <= total else []
        most = ", or ".join(ways) or f"{total} together"
        raise InputError(f"{need}; {dataset.name} has {total} for training: at most {most}")
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))).permutation(total)

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


def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits, 1 x 8 x 8: 1,397 for training and always the same 400 for test."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))  # neighbours share a writer
    images, labels = pixels[order].reshape(-1, 1, 8, 8).astype(np.uint8), labels[order].astype(np.int64)
    train, test = (images[:-400], labels[:-400]), (images[-400:], labels[-400:])
    return Dataset("digits", 10, *train, *test, scale=16.0, default_validation=140)


def mnist(data_dir: StrPath | None = None) -> Dataset:
    """Return MNIST (60,000 + 10,000, 1 x 28 x 28) from data_dir/MNIST/raw; InputError if absent or bad."""
    return Dataset("mnist", 10, *image_files.idx_arrays(_files("mnist", data_dir)))


def fashion_mnist(data_dir: StrPath | None = None) -> Dataset:
    """Return Fashion-MNIST from data_dir/FashionMNIST/raw, like `mnist`."""
    return Dataset("fashion_mnist", 10, *image_files.idx_arrays(_files("fashion_mnist", data_dir)))


def cifar10(data_dir: StrPath | None = None) -> Dataset:
    """Return CIFAR-10 (50,000 + 10,000 of 3 x 32 x 32) from data_dir/cifar-10-batches-py, like `mnist`."""
    *train, test = [image_files.cifar_batch(path) for path in _files("cifar10", data_dir)]
    images, labels = (np.concatenate(part) for part in zip(*train, strict=True))
    return Dataset("cifar10", 10, images, labels, *test)


def default_data_dir() -> Path:
    """Return $ANNEALTRAIN_DATA, else ~/.cache/annealtrain: where the file sets are looked for."""
    return Path(os.path.expanduser(os.environ.get("ANNEALTRAIN_DATA") or "~/.cache/annealtrain"))


def available(data_dir: StrPath | None = None) -> list[Availability]:
    """Return one row for each dataset; file sets are judged by their headers and sizes, not read."""
    rows = [Availability("digits", "(inside scikit-learn)", True, "1397 training and 400 test images")]
    for name in _SETS:
        count = image_files.cifar_counts if name == "cifar10" else image_files.idx_counts
        try:
            train, test = count(_files(name, data_dir))
            present, detail = True, f"{train} training and {test} test images"
        except InputError as error:
            present, detail = False, str(error)
        rows.append(Availability(name, str(_root(data_dir) / _SETS[name][1]), present, detail))
    return rows


def download(name: str, data_dir: StrPath | None = None) -> Path:
    """Fetch a file set through torchvision and return its folder; InputError with a remedy if that fails."""
    if name == "digits":
        raise InputError("dataset digits needs no download: it is inside scikit-learn, use dataset=digits")
    if name not in _SETS:
        raise InputError(f"no dataset {name!r} to download{nearest(name, _SETS)}: choose {', '.join(_SETS)}")
    folder = _root(data_dir) / _SETS[name][1]
    try:
        from torchvision import datasets
    # Built for another torch, it fails at its own operators, and in another way when imported again.
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        pip = "pip install torchvision"
        if not isinstance(error, ImportError):
            pip += " in the build made for your torch"
        why = f"downloading {name} needs torchvision ({image_files.one_line(error)})"
        raise InputError(f"{why}: {pip}, or copy the files to {folder}") from error
    try:
        getattr(datasets, _SETS[name][0])(root=str(_root(data_dir)), train=True, download=True)
    except (OSError, RuntimeError, HTTPException, ValueError, AssertionError) as error:
        why = f"downloading {name} failed ({image_files.one_line(error)})"
        raise InputError(f"{why}: empty {folder} and try again, or copy the files there") from error
    return folder


_SETS = {  # torchvision's class and folder
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
}
_IDX_FILES = [f"{p}-{kind}-ubyte" for p in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
_CIFAR_FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def _root(data_dir: StrPath | None) -> Path:
    if data_dir is None or data_dir == "":
        return default_data_dir()
    if not isinstance(data_dir, str | os.PathLike):
        raise InputError(f"data_dir={data_dir!r} is not a path: set data_dir=FOLDER")
    return Path(os.path.expanduser(data_dir))


def _files(name: str, data_dir: StrPath | None) -> list[Path]:
    """Return the set's files in reading order, each plain or (IDX) .gz; InputError names the missing ones."""
    folder, paths, missing = _root(data_dir) / _SETS[name][1], [], []
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


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
