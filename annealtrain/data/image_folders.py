"""`dataset=folder`: pictures in folders, one a class, with or without folders train and test above them."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annealtrain.data.array_sets import SHARE, require_own_share, test_rows
from annealtrain.data.dataset import Dataset
from annealtrain.data.file_readers import one_line
from annealtrain.errors import DataMissing, InputError
from annealtrain.runtime import memory
from annealtrain.runtime.validation import checked, number, one_of, optional

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # of others Pillow calls programs such as Ghostscript
GREY = ("1", "L", "LA", "La")  # Pillow's modes without colours, beside those of `_is_deep`
# Folders of parts, whatever their case: the first of each that is there. One of these names may be a class's, too.
TRAIN, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
ORIENTATION, SIDEWAYS = 0x0112, 5  # how a camera was held: from 5 on its pictures lie on their side


@checked("dataset.", colours=optional(one_of("grey", "rgb")), test_share=number(above=0, below=1))
def folder(
    data_dir: str | None = None,
    image_size: Sequence[int] | None = None,
    colours: str | None = None,
    test_share: float = SHARE,
) -> Dataset:
    """Return the pictures of data_dir/CLASS/*, or of data_dir/train/CLASS/* and data_dir/test/CLASS/*, as bytes.

    They are turned as their cameras say. Where all have more than 8 bits a pixel, their values are kept, as float32.
    image_size: (h, w) that all are resized to as they are read; None: as they are, all of one size. colours: grey or
    rgb; None: grey where all pictures are. Without a folder test, `test_share` of each class is kept for it.
    Raises InputError naming the folder or the picture that is not as it must be.
    """
    if not data_dir:
        raise InputError("dataset=folder needs a folder of class folders: data_dir=DIR")
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise DataMissing(root, f"data_dir={data_dir}: there is no such folder")
    train, test = _parts(root)
    names, paths, labels = _pictures(train, None)
    count = len(paths)
    require_own_share(root.name, test_share, has_test=test is not None)
    if test:
        _, more, more_labels = _pictures(test, names)
        paths, labels = paths + more, labels + more_labels
    with warnings.catch_warnings(action="ignore"):  # Pillow's, of pictures that are large or that it mends
        grey, deep, sizes = _looked_at(paths, image_size)
        size = (int(image_size[0]), int(image_size[1])) if image_size else sizes[0]
        images = _read(paths, size, grey if colours is None else colours == "grey", deep)
    numbers = np.array(labels, np.int64)
    is_test = np.arange(len(paths)) >= count if test else test_rows(root.name, numbers, test_share, names)
    return Dataset(
        root.resolve().name,
        len(names),
        images[~is_test],
        numbers[~is_test],
        images[is_test],
        numbers[is_test],
        scale=None if deep else 255.0,
        class_names=tuple(names),
        resized_from=_resized(sizes, size),
    )


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _parts(root: Path) -> tuple[Path, Path | None]:
    """Return the folders of training and of test; without any of them the root, and None."""
    own = {path.name.lower(): path for path in _folders(root)}
    train = next((own[name] for name in TRAIN if name in own), None)
    if train is None or not (_folders(train) or set(own) <= {*TRAIN, *TEST}):  # then train is a class among others
        return root, None
    return train, next((own[name] for name in TEST if name in own), None)


def _pictures(root: Path, known: Sequence[str] | None) -> tuple[list[str], list[Path], list[int]]:
    """Return the classes below a folder, its pictures and their classes' numbers; known: the classes it may have."""
    folders = _folders(root)
    names = list(known) if known else [path.name for path in folders]
    if unknown := [path.name for path in folders if path.name not in names]:
        raise InputError(
            f"{root} has a class {unknown[0]}, which the training folder has not: the same classes in both"
        )
    if not folders:
        raise InputError(f"{root} has no folders of pictures: make one a class, such as {root / 'cat' / '1.png'}")
    if known is None and len(folders) == 1:
        raise InputError(f"{root} has one class, {names[0]}: a classifier needs at least 2")
    paths: list[Path] = []
    labels: list[int] = []
    for path in folders:
        found = sorted(file for file in path.rglob("*") if _is_held(file, path))
        if not found:
            raise InputError(f"{path} has no pictures ({' '.join(SUFFIXES)}): fill it, or take it away")
        paths += found
        labels += [names.index(path.name)] * len(found)
    return names, paths, labels


def _is_held(path: Path, above: Path) -> bool:
    """Whether a path is that of a picture, by its name; InputError for one that would be missed.

    What is hidden is none, such as what macOS writes beside a file.
    """
    if any(part.startswith(".") for part in path.relative_to(above).parts):
        return False
    if path.is_dir():
        if path.is_symlink():
            raise InputError(f"{path} is a link to a folder, which is not entered: put its pictures there")
        return False
    if path.suffix.lower() not in SUFFIXES:
        return False
    if not path.is_file():
        raise InputError(f"{path} leads to no file: mend it, or take it away")
    return True


def _looked_at(paths: Sequence[Path], image_size: Sequence[int] | None) -> tuple[bool, bool, list[tuple[int, int]]]:
    """Return whether all pictures are grey, and all deep, and each one's (height, width), by their heads alone."""
    from PIL import Image

    sizes, grey, deep, cut, whole = [], True, True, [], False
    for path in paths:
        try:
            with Image.open(path, formats=FORMATS) as picture:
                size = (picture.height, picture.width)
                sizes.append(size[::-1] if _orientation(picture) >= SIDEWAYS else size)
                grey = grey and (picture.mode in GREY or _is_deep(picture))
                deep = deep and _is_deep(picture)
                if _is_cut(picture):
                    cut.append(path)
                else:
                    whole = whole or not _is_deep(picture)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise _unreadable(path, error) from error
        if image_size is None and sizes[-1] != sizes[0]:
            one, other = (
                f"{path} is {height}x{width}" for path, (height, width) in ((paths[0], sizes[0]), (path, sizes[-1]))
            )
            raise InputError(f"{one}, {other}: set image_size=[H,W] to resize all")
    if cut and not whole:
        told = f"{cut[0]} has 16 bits a colour, as all pictures here have 16 a pixel, of which 8 would be read"
        raise InputError(f"{told}: save all with 8, or their numbers in a .npy (dataset=arrays)")
    return grey, deep, sizes


def _orientation(picture: "Picture") -> int:
    """Return how a camera was held, 1 to 8; 1: upright, or not told. TIFF files are turned by Pillow."""
    if picture.format == "TIFF" or "exif" not in picture.info:
        return 1
    told = picture.getexif().get(ORIENTATION)
    return told if isinstance(told, int) and 1 <= told <= 8 else 1


def _is_deep(picture: "Picture") -> bool:
    """Whether a pixel has more than 8 bits; such pictures are grey."""
    return picture.mode == "F" or picture.mode.startswith("I")


def _is_cut(picture: "Picture") -> bool:
    """Whether Pillow reads the upper 8 bits alone of what has 16: of colours, and of grey with transparency."""
    raw = picture.tile[0].args if picture.tile else ""  # type: ignore[attr-defined]
    return not _is_deep(picture) and (";16" in str(raw) or (isinstance(raw, tuple) and 65535 in raw))


def _read(paths: Sequence[Path], size: tuple[int, int], grey: bool, deep: bool) -> np.ndarray:
    from PIL import Image, ImageOps

    shape, dtype = (len(paths), 1 if grey else 3, *size), np.dtype(np.float32 if deep else np.uint8)
    needed = 2 * dtype.itemsize * int(np.prod(shape))  # twice: its two parts are taken out of it
    memory.require(needed, f"{len(paths)} pictures of {size[0]}x{size[1]}", "set a smaller image_size")
    images = np.empty(shape, dtype)
    for image, path in zip(images, paths, strict=True):
        try:
            with Image.open(path, formats=FORMATS) as picture:
                turned = picture if _orientation(picture) == 1 else ImageOps.exif_transpose(picture)
                held = _deep(turned) if deep else _eight_bits(turned, path).convert("L" if grey else "RGB")
                if (held.height, held.width) != size:
                    held = held.resize(size[::-1], Image.Resampling.BILINEAR)
                image[:] = np.asarray(held).reshape(*size, -1).transpose(2, 0, 1)
        except InputError:
            raise
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise _unreadable(path, error) from error
    return images


def _deep(picture: "Picture") -> "Picture":
    """Return a deep picture as one of floats, of the same values."""
    from PIL import Image

    return Image.fromarray(np.asarray(picture).astype(np.float32))


def _eight_bits(picture: "Picture", path: Path) -> "Picture":
    """Return a picture of 16 bits a pixel, beside others of 8, as one of 8, which Pillow would cut off at 255."""
    from PIL import Image

    if not _is_deep(picture):
        return picture
    pixels = np.asarray(picture)
    if picture.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
        raise InputError(f"{path} has pixels of {pixels.dtype}, others are bytes: save all as one kind")
    return Image.fromarray((pixels.astype(np.int64) >> 8).astype(np.uint8))


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    return InputError(f"{path} is not a picture that can be read ({one_line(error)}): replace it, or take it away")


def _resized(sizes: Sequence[tuple[int, int]], size: tuple[int, int]) -> str:
    found = sorted(set(sizes) - {size})
    if not found:
        return ""
    low, high = (f"{height}x{width}" for height, width in (found[0], found[-1]))
    return low if low == high else f"{low} to {high}"
