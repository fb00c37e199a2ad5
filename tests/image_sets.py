"""Small image sets for the tests, in the files of the real ones and in memory."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from annealtrain.data.datasets import Dataset
from annealtrain.data.images import Images
from annealtrain.errors import InputError

IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 2048 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, *, suffix: str = "", folder: str = "MNIST", seed: int = 0) -> Path:
    """Write 30 training and 12 test images of 28 x 28; return their folder."""
    random = np.random.default_rng(seed)
    raw = root / folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for stem, shape in zip(IDX, ((30, 28, 28), (30,), (12, 28, 28), (12,)), strict=True):
        content = idx_bytes(random.integers(0, 10 if len(shape) == 1 else 256, shape, dtype=np.uint8))
        (raw / (stem + suffix)).write_bytes(gzip.compress(content) if suffix else content)
    return raw


def cifar_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """Return a batch as the original release has it: protocol 2, Python 2 strings, numpy.core's old name."""

    def string(text: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(text)) + text

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R(K\x03" + string(b"|")
    dtype += b"NNN" + number(-1) + number(-1) + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R("
    array += b"K\x01" + number(pixels.shape[0]) + number(pixels.shape[1]) + b"\x86" + dtype + b"\x89"
    array += string(pixels.tobytes()) + b"tb"
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + listed + b"u."


def write_cifar(root: Path, *, seed: int = 0) -> tuple[Path, np.ndarray, list[int]]:
    """Write six batches of 4 images; return their folder, all pixels (24, 3072) and all labels."""
    random = np.random.default_rng(seed)
    pixels, labels = random.integers(0, 256, (24, 3072), dtype=np.uint8), random.integers(0, 10, 24).tolist()
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number, name in enumerate(BATCHES):
        part = slice(4 * number, 4 * number + 4)
        (folder / name).write_bytes(cifar_pickle(pixels[part], labels[part]))
    return folder, pixels, labels


def numbered(count: int = 40, **changes: object) -> Dataset:
    """Return a set whose image i has the value i everywhere, so that a split tells which images it took."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
    labels = np.arange(count) % 10
    fields = {
        "name": "numbered",
        "classes": 10,
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:5],
        "test_labels": labels[:5],
        "default_validation": 4,
    }
    return Dataset(**(fields | changes))


def taken(images: Images) -> list[int]:
    return np.rint(images.images[:, 0, 0, 0] * 255).astype(int).tolist()


def error_of(function, *arguments, **keywords) -> str:
    """Return the one line of the InputError that the call must raise."""
    with pytest.raises(InputError) as caught:
        function(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)
