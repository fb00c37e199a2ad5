"""Arrays of an .npz file that may be of others: nothing in it is run, and no more memory is taken than it may have."""

import io
import math
import zipfile
from collections.abc import Iterable
from typing import IO, BinaryIO

import numpy as np

from annealtrain.errors import in_words
from annealtrain.runtime.array_types import Array

BLOCK = 2**20  # bytes that are read at once
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def arrays(content: bytes | BinaryIO, most: int, names: Iterable[str] | None = None) -> dict[str, Array]:
    """Return the arrays of an .npz file by name, of `names` alone where they are given; most: bytes of all unpacked.

    Raises ValueError, in words, for whatever else it is or holds.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content) if isinstance(content, bytes) else content) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > most:
                raise ValueError(f"its arrays take more than {most / 1e6:.3g} MB")
            if len({part.filename for part in parts}) < len(parts):
                raise ValueError("two of its parts have one name")
            held = {part.filename.removesuffix(".npy"): part for part in parts if part.filename.endswith(".npy")}
            if names is None and len(held) < len(parts):
                raise ValueError("it holds something beside its arrays")
            wanted = held if names is None else names
            if lacking := [name for name in wanted if name not in held]:
                raise ValueError(f"it has no {lacking[0]}")
            found = {}
            for name in wanted:
                with archive.open(held[name]) as file:
                    found[name] = array(file, held[name].file_size)
            return found
    except Exception as error:  # a damaged zip may raise anything
        raise ValueError("it is no .npz file" if isinstance(error, zipfile.BadZipFile) else in_words(error)) from error


def array(file: IO[bytes], size: int) -> Array:
    """Return the array of an .npy file of `size` bytes; ValueError for objects, or a header that promises others."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"its version {version[0]}.{version[1]} is none that arrays of numbers have")
    shape, is_fortran, dtype = HEADERS[version](file)
    left = size - file.tell()
    if dtype.hasobject:
        raise ValueError("it does not hold arrays of numbers alone")
    if not dtype.itemsize:  # any number of them takes no bytes in a file, and NumPy makes room for one each
        raise ValueError(f"its type {dtype} has no bytes")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"it promises an array {shape} of {dtype}, and holds {left} bytes")
    found: Array = np.empty(shape, dtype, order="F" if is_fortran else "C")
    flat, at = found.ravel(order="K").view(np.uint8) if left else np.empty(0, np.uint8), 0
    while part := file.read(BLOCK):  # to the end, where a zip's checksum is looked at
        flat[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    if at != left:
        raise ValueError("it ends too early")
    return found
