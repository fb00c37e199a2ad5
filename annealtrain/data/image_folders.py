"""`dataset=folder`: pictures in folders, one a class, with or without folders train and test above them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annealtrain.data.array_sets import test_rows
from annealtrain.data.dataset import Dataset
from annealtrain.data.file_readers import one_line
from annealtrain.errors import DataMissing, InputError
from annealtrain.runtime import memory
from annealtrain.runtime.validation import checked, number, one_of, optional

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
GREY = ("1", "L", "LA", "I", "I;16", "F")  # Pillow's modes without colours
TEST = ("test", "val", "validation")  # which folder beside train is the test set: the first that is there


@checked("dataset.", colours=optional(one_of("grey", "rgb")), test_share=number(above=0, below=1))
def folder(
    data_dir: str | None = None,
    image_size: Sequence[int] | None = None,
    colours: str | None = None,
    test_share: float = 0.2,
) -> Dataset:
    """Return the pictures of data_dir/CLASS/*, or of data_dir/train/CLASS/* and data_dir/test/CLASS/*, as bytes.

    image_size: (h, w) that all are resized to as they are read; None: as they are, all of one size. colours: grey or
    rgb; None: grey where all pictures are. Without a folder test, `test_share` of each class is kept for it.
    Raises InputError naming the folder or the picture that is not as it must be.
    """
    if not data_dir:
        raise InputError("dataset=folder needs a folder of class folders: data_dir=DIR")
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise DataMissing(root, f"data_dir={data_dir}: there is no such folder")
    train = root / "train" if (root / "train").is_dir() else root
    test = next((root / name for name in TEST if (root / name).is_dir()), None) if train != root else None
    names, paths, labels = _pictures(train, None)
    count = len(paths)
    if test:
        _, more, more_labels = _pictures(test, names)
        paths, labels = paths + more, labels + more_labels
    grey, sizes = _looked_at(paths, image_size)
    size = (int(image_size[0]), int(image_size[1])) if image_size else sizes[0]
    images = _read(paths, size, grey if colours is None else colours == "grey")
    numbers = np.array(labels, np.int64)
    is_test = np.arange(len(paths)) >= count if test else test_rows(root.name, numbers, test_share, stratified=True)
    return Dataset(
        root.resolve().name,
        len(names),
        images[~is_test],
        numbers[~is_test],
        images[is_test],
        numbers[is_test],
        class_names=tuple(names),
        resized_from=_resized(sizes, size),
    )


def _pictures(root: Path, known: Sequence[str] | None) -> tuple[list[str], list[Path], list[int]]:
    """Return the classes below a folder, its pictures and their classes' numbers; known: the classes it may have."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
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
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise InputError(f"{path} has no pictures ({' '.join(SUFFIXES)}): fill it, or take it away")
        paths += found
        labels += [names.index(path.name)] * len(found)
    return names, paths, labels


def _looked_at(paths: Sequence[Path], image_size: Sequence[int] | None) -> tuple[bool, list[tuple[int, int]]]:
    """Return whether all pictures are grey, and each one's (height, width), by their heads alone."""
    from PIL import Image

    sizes, grey = [], True
    for path in paths:
        try:
            with Image.open(path) as picture:
                sizes.append((picture.height, picture.width))
                grey = grey and picture.mode in GREY
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise _unreadable(path, error) from error
        if image_size is None and sizes[-1] != sizes[0]:
            one, other = (
                f"{path} is {height}x{width}" for path, (height, width) in ((paths[0], sizes[0]), (path, sizes[-1]))
            )
            raise InputError(f"{one}, {other}: set image_size=[H,W] to resize all")
    return grey, sizes


def _read(paths: Sequence[Path], size: tuple[int, int], grey: bool) -> np.ndarray:
    from PIL import Image

    shape = (len(paths), 1 if grey else 3, *size)
    # Twice: its two parts are taken out of it.
    memory.require(2 * int(np.prod(shape)), f"{len(paths)} pictures of {size[0]}x{size[1]}", "set a smaller image_size")
    images = np.empty(shape, np.uint8)
    for image, path in zip(images, paths, strict=True):
        try:
            with Image.open(path) as picture:
                held = _eight_bits(picture).convert("L" if grey else "RGB")
                if (held.height, held.width) != size:
                    held = held.resize(size[::-1], Image.Resampling.BILINEAR)
                image[:] = np.asarray(held).reshape(*size, -1).transpose(2, 0, 1)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise _unreadable(path, error) from error
    return images


def _eight_bits(picture: "Picture") -> "Picture":
    """Return a picture of 16 bits a pixel as one of 8, which Pillow would cut off at 255; others as they are."""
    from PIL import Image

    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a picture that can be read ({one_line(error)}): replace it, or take it away")


def _resized(sizes: Sequence[tuple[int, int]], size: tuple[int, int]) -> str:
    found = sorted(set(sizes) - {size})
    if not found:
        return ""
    low, high = (f"{height}x{width}" for height, width in (found[0], found[-1]))
    return low if low == high else f"{low} to {high}"
