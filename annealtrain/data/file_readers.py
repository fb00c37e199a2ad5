"""Readers of IDX files and CIFAR batches that trust nothing in them."""

import gzip
import io
import math
import pickle
import pickletools
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.runtime import files

MOST = 200_000_000  # bytes of an IDX file of 47 MB, or of a CIFAR batch of 31 MB or 155 MB
MOST_KEPT = 1_000_000  # objects of a pickled batch


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} {why}: restore it or download it again")


def _read(path: Path, size: int) -> bytes:
    """Return a file's content, at most `size` bytes of it; of a .gz what is packed in it."""
    try:
        with files.opened(path, follow=True) as plain:
            return (gzip.open(plain) if path.suffix == ".gz" else plain).read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"cannot be read ({one_line(error)})") from error


def _idx_shape(path: Path, head: bytes, length: int | None) -> list[int]:
    """Return the shape in an IDX header; length: bytes of the whole file, None where unknown."""
    dims = 3 if "idx3" in path.name else 1
    start = 4 + 4 * dims
    if len(head) < start:
        raise _damaged(path, f"holds {len(head)} bytes, its header alone needs {start}")
    shape: list[int]
    magic, *shape = np.frombuffer(head[:start], ">u4").tolist()
    if magic != 2048 + dims:
        raise _damaged(path, f"has magic number {magic}, expected {2048 + dims}")
    expected = start + math.prod(shape)
    if expected > MOST:
        raise _damaged(path, f"has a header {shape} that promises {expected} bytes, more than the {MOST} of any set")
    if length not in (None, expected):
        raise _damaged(path, f"holds {length} bytes, its header {shape} promises {expected}")
    return shape


def idx_counts(paths: list[Path]) -> tuple[int, int]:
    """Return the number of training and of test images, by the headers; labels and file sizes must agree."""
    n = [_idx_shape(p, _read(p, 16), None if p.suffix == ".gz" else p.stat().st_size)[0] for p in paths]
    for images, labels in ((0, 1), (2, 3)):
        if n[images] != n[labels]:
            raise _damaged(paths[labels], f"holds {n[labels]} labels for {n[images]} images")
    return n[0], n[2]


def idx_arrays(paths: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images (n, 1, H, W) uint8 and labels (n,) int64, then those of the test set."""
    arrays = []
    for path in paths:
        head = _read(path, 16)
        promised = len(head) + math.prod(_idx_shape(path, head, None))  # a packed file of no size may hold any
        blob = _read(path, promised + 1)
        shape = _idx_shape(path, blob, len(blob))
        arrays.append(np.frombuffer(blob, np.uint8, offset=4 + 4 * len(shape)).reshape(shape))
    idx_counts(paths)
    train, train_labels, test, test_labels = arrays
    return train[:, None], train_labels.astype(np.int64), test[:, None], test_labels.astype(np.int64)


class _Inert:
    """Stands in for each NumPy name of a batch and keeps its arguments: nothing of the pickle runs."""

    args: tuple[Any, ...]

    def __new__(cls, *args: Any) -> Any:
        if args[1:] == ("latin1",):  # _codecs.encode: Python 3 writes bytes so to protocol 2
            return args[0].encode("latin1")
        self = super().__new__(cls)
        self.args = args
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Inert]:
        module = module.replace("numpy._core", "numpy.core")  # NumPy 2 renamed it
        arrays = ("numpy.core.multiarray._reconstruct", "numpy.core.numeric._frombuffer")
        if f"{module}.{name}" not in (*arrays, "numpy.ndarray", "numpy.dtype", "_codecs.encode"):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no CIFAR batch needs")
        return _Inert


def _check_memo(file: io.BytesIO) -> None:
    """Raise ValueError for a pickle that keeps its objects under huge numbers: a table of them takes any memory."""
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > MOST_KEPT:
            raise ValueError(f"it keeps an object as number {argument}")
    file.seek(0)


def _cifar_content(path: Path) -> dict[bytes, Any]:
    file = io.BytesIO(files.read_bytes(path, MOST, follow=True))
    _check_memo(file)
    content = _InertUnpickler(file, encoding="bytes").load()
    if file.read(1):
        raise ValueError("bytes follow the pickle's end")
    return {key if isinstance(key, bytes) else key.encode(): part for key, part in content.items()}


def cifar_names(path: Path) -> tuple[str, ...]:
    """Return the class names in CIFAR-100's file `meta`."""
    try:
        names = _cifar_content(path)[b"fine_label_names"]
        return tuple(name.decode() if isinstance(name, bytes) else "".join(name) for name in names)
    except Exception as error:  # as of a batch, below
        raise _damaged(path, f"has no names of CIFAR-100's classes ({one_line(error)})") from error


def cifar_batch(path: Path, named: str = "labels") -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 3, 32, 32) uint8 and labels (n,) int64 of one batch file; named: what it calls the labels."""
    try:
        content = _cifar_content(path)
        pixels, labels = content[b"data"], content[named.encode()]
        if len(pixels.args) == 4:  # protocol 5: _frombuffer(raw, dtype, shape, order)
            raw, dtype, shape, order = pixels.args
        else:
            _, shape, dtype, is_fortran, raw = pixels.state
            order = "F" if is_fortran else "C"
        if dtype.args[0] not in ("u1", b"u1"):
            raise ValueError(f"pixels are {dtype.args[0]!r}, expected 'u1'")
        if shape != (len(labels), 3072) or not all(type(label) is int for label in labels):
            raise ValueError(f"{len(labels)} labels and pixels {shape}, expected n integers and (n, 3072)")
        images = np.frombuffer(raw, np.uint8).reshape(shape, order=order)
        return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)
    except Exception as error:  # a damaged pickle may raise anything, and its parts may be of any type
        kind = "CIFAR-10" if named == "labels" else "CIFAR-100"
        raise _damaged(path, f"is not a {kind} batch ({one_line(error)})") from error


def cifar_counts(paths: list[Path]) -> tuple[int, int]:
    """Return the number of training and of test images, by the sizes of CIFAR-10's six files or CIFAR-100's three."""
    counts = [10_000] * 6 if len(paths) == 6 else [50_000, 10_000, 0]  # the last file has names alone
    for path, images in zip(paths, counts, strict=True):
        if (length := path.stat().st_size) < images * 3072:
            raise _damaged(path, f"holds {length} bytes, too few for {images} images of 3072")
    return 50_000, 10_000
