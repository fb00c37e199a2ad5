"""From arrays of a user's own to a set: what is an image, what is a row, which classes there are, which rows test."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from annealtrain.data.dataset import CLASSIFICATION, REGRESSION, Dataset
from annealtrain.errors import InputError
from annealtrain.runtime import memory
from annealtrain.runtime.array_types import plain

SHARE = 0.2  # of the samples, for test, where nothing else is said
CHANNELS = (1, 3, 4)  # of an image: grey, colours, colours and opacity
BEYOND = "whole numbers beyond 2^53, some of which are the same for float64"
PARTS = ("X", "y", "X_test", "y_test")


def set_of(made: Any, name: str, task: str | None) -> Dataset:
    """Return a set from what a user's function returned: a Dataset, (X, y), (X, y, X_test, y_test), or a mapping."""
    if isinstance(made, Dataset):
        if task not in (None, made.task):
            raise InputError(f"task={task}: dataset {name} is one of {made.task}")
        return made
    parts: dict[str, Any] | None = {part: made.get(part) for part in PARTS} if isinstance(made, Mapping) else None
    if isinstance(made, Sequence) and not isinstance(made, str) and len(made) in (2, 4):
        parts = dict(zip(PARTS, made, strict=False))
    if parts is None or parts["X"] is None or parts["y"] is None:
        kind = f"{len(made)} values" if isinstance(made, tuple | list) else f"a {type(made).__name__}"
        raise InputError(f"dataset {name} gave {kind}: return a Dataset, (X, y), or (X, y, X_test, y_test)")
    return from_arrays(name, **parts, task=task)


def from_arrays(
    name: str,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    task: str | None = None,
    test_share: float = SHARE,
    feature_names: Sequence[str] = (),
    class_names: Sequence[str] = (),
) -> Dataset:
    """Return arrays as a set, checked.

    X: rows (n, d), grey images (n, H, W), or images (n, C, H, W) or (n, H, W, C), see `_channels_come_last`; bytes
    have scale 255, other images in [0, 1] scale 1, everything else none. y: (n,) classes of any kind, or real targets
    (n,) or (n, T) of task="regression". X_test, y_test: the test set; without it, `test_share` of the rows, always the
    same. feature_names: of columns; else a data frame's. class_names: of classes 0, 1, ...; else they are what y holds.
    """
    if (X_test is None) != (y_test is None):
        raise InputError(f"dataset {name}: X_test and y_test belong together: give both or none")
    require_own_share(name, test_share, has_test=X_test is not None)
    parts = [_samples(name, X), *([] if X_test is None else [_samples(name, X_test)])]
    if len({_is_share(part) for part in parts if part.ndim == 4}) > 1 and any(part.max() > 1 for part in parts):
        raise InputError(f"dataset {name}: of X and X_test one is bytes, one lies in [0, 1]: give both alike")
    given = {"y": y} if y_test is None else {"y": y, "y_test": y_test}
    labels = [plain(f"dataset {name}: {part}", held) for part, held in given.items()]
    for samples, held in zip(parts, labels, strict=True):
        if held.ndim not in (1, 2) or len(held) != len(samples):
            raise InputError(f"dataset {name}: {len(samples)} samples and labels {held.shape}: give one label a sample")
    names: tuple[str, ...] = ()
    if task == REGRESSION:
        labels = [_targets(name, held) for held in labels]
    else:
        labels, names = _classes(name, labels, class_names)
    if len(parts) == 1:
        is_test = test_rows(name, labels[0], test_share, names)
        parts, labels = [parts[0][~is_test], parts[0][is_test]], [labels[0][~is_test], labels[0][is_test]]
    return Dataset(
        name,
        labels[0].shape[1] if task == REGRESSION else len(names),
        parts[0],
        labels[0],
        parts[1],
        labels[1],
        scale=_scale(parts),
        task=task or CLASSIFICATION,
        class_names=names,
        feature_names=tuple(feature_names) or tuple(map(str, getattr(X, "columns", ()))),
    )


def _samples(name: str, X: Any) -> np.ndarray:
    """Return samples as rows (n, d) or images (n, C, H, W), bytes as they are, other numbers as float32.

    A table stays float64 where float32 would not tell a column's values apart, such as seconds since 1970.
    """
    array = plain(f"dataset {name}: X", X)
    if array.dtype.kind not in "biuf":
        raise InputError(f"dataset {name}: samples are of type {array.dtype}, not numbers: encode them as numbers")
    if array.ndim not in (2, 3, 4):
        raise InputError(f"dataset {name}: samples are {array.shape}: make them rows (n, d) or images (n, C, H, W)")
    if not len(array):
        raise InputError(f"dataset {name} has no samples: give at least 2 of each class")
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and _channels_come_last(array.shape[1:]):
        array = array.transpose(0, 3, 1, 2)
    if array.dtype == np.uint8 and array.ndim == 4:
        return np.ascontiguousarray(array)
    if not float64_tells_apart(array):
        raise InputError(f"dataset {name}: samples hold {BEYOND}: take a constant off them")
    memory.require(4 * array.size, f"dataset {name}", "give fewer samples, or images as bytes (uint8)")
    with np.errstate(over="ignore"):  # numbers beyond float32 are then told from their infinities
        single = np.ascontiguousarray(array, np.float32)
    return single if array.ndim == 4 or _tells_apart(single, array) else np.ascontiguousarray(array, np.float64)


def _channels_come_last(shape: Sequence[int]) -> bool:
    """Whether the last axis of three is the channels': by their number, else since the others are of a size."""
    first, second, last = shape
    if first in CHANNELS or last in CHANNELS:
        return first not in CHANNELS
    return 2 * last <= min(first, second) or first == second != last


def _tells_apart(single: np.ndarray, array: np.ndarray) -> bool:
    """Whether float32 moves no value of a table's column by more than a thousandth of the column's span."""
    if array.dtype.itemsize < 4 or array.dtype == np.float32 or not array.size:
        return True
    for rounded, column in zip(single.T, array.T, strict=True):
        column = column.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            if np.abs(rounded - column).max() > 1e-3 * (column.max() - column.min()):
                return False
    return True


def float64_tells_apart(values: np.ndarray) -> bool:
    """Whether float64 keeps different whole numbers different; False for some beyond 2^53, such as identifiers."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
        return True
    if int(values.min()) >= -(2**53) and int(values.max()) <= 2**53:
        return True
    whole = np.unique(values)
    return bool(np.unique(whole.astype(np.float64)).size == whole.size)


def _is_share(part: np.ndarray) -> bool:
    """Whether all values lie in [0, 1], and are no bytes."""
    return bool(part.dtype != np.uint8 and part.size and part.min() >= 0 and part.max() <= 1)


def _scale(parts: Sequence[np.ndarray]) -> float | None:
    if parts[0].ndim == 2:
        return None
    if parts[0].dtype == np.uint8:
        return 255.0
    return 1.0 if all(part.size and part.min() >= 0 and part.max() <= 1 for part in parts) else None


def _targets(name: str, y: np.ndarray) -> np.ndarray:
    if not y.size:
        raise InputError(f"dataset {name}: targets are {y.shape}: give at least one a sample")
    if y.dtype.kind not in "biuf":
        raise InputError(f"dataset {name}: targets are of type {y.dtype}, not numbers: leave task=regression out")
    if not float64_tells_apart(y):
        raise InputError(f"dataset {name}: targets hold {BEYOND}: take a constant off them")
    return y.reshape(len(y), -1).astype(np.float64)


def _classes(
    name: str, labels: Sequence[np.ndarray], class_names: Sequence[str]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return labels as numbers of classes, (n,) int64, and the classes' names; all must occur in the training set."""
    flat = [held[:, 0] if held.ndim == 2 and held.shape[1] == 1 else held for held in labels]
    flat = [np.char.decode(held, "utf-8", "replace") if held.dtype.kind == "S" else held for held in flat]
    for held in flat:
        if held.ndim != 1:
            raise InputError(f"dataset {name}: labels are {held.shape}: make them (n,), or set task=regression")
        if held.dtype.kind not in "biufOSU":
            raise InputError(f"dataset {name}: labels are of type {held.dtype}: give whole numbers or names")
        if missing := [value for value in (held if held.dtype.kind == "O" else ()) if _is_missing(value)]:
            raise InputError(f"dataset {name}: labels contain {missing[0]}: leave samples without a class out")
        if held.dtype.kind == "f" and not (np.isfinite(held) & (held == np.floor(held))).all():
            wrong = held[~np.isfinite(held)]
            what = f"contain {wrong[0]}" if wrong.size else "are real numbers"
            raise InputError(f"dataset {name}: labels {what}: give classes, or set task=regression")
    if len({held.dtype.kind in "OSU" for held in flat}) > 1 or any(held.dtype.kind == "O" for held in flat):
        flat = [np.array([_class_name(name, value) for value in held.tolist()], str) for held in flat]
    values, of_rows = np.unique(flat[0], return_inverse=True)
    if unknown := sorted({str(value) for held in flat[1:] for value in np.setdiff1d(held, values)}):
        raise InputError(f"dataset {name}, test set: class {unknown[0]} does not occur in the training set")
    names = tuple(map(str, class_names)) or tuple(_class_name(name, value) for value in values.tolist())
    _require_different(name, names)
    if len(names) != len(values):
        raise InputError(f"dataset {name}: {len(names)} class_names for {len(values)} classes: name each once")
    if len(values) > max(2, len(flat[0]) // 2):
        few = f"{len(values)} classes in {len(flat[0])} samples"
        raise InputError(f"dataset {name}: {few}: set task=regression, or give classes with more samples each")
    return [of_rows.astype(np.int64), *(np.searchsorted(values, held).astype(np.int64) for held in flat[1:])], names


def _class_name(name: str, value: Any) -> str:
    """Return the name of a class; whole numbers are the same class in whatever type they are."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return str(value)
    if not np.isfinite(value) or value != math.floor(value):
        raise InputError(f"dataset {name}: labels contain {value}: give classes, or set task=regression")
    return str(math.floor(value))


def _require_different(name: str, names: Sequence[str]) -> None:
    """Raise InputError for two classes whose names differ in nothing that one sees."""
    seen: dict[str, str] = {}
    for one in names:
        other = seen.setdefault(unicodedata.normalize("NFC", one.strip()), one)
        if other != one:
            told = f"classes {other!a} and {one!a} differ by spaces, or by how a letter is written, alone"
            raise InputError(f"dataset {name}: {told}: write them alike")


def _is_missing(value: Any) -> bool:
    """Whether a label is None, NaN, or what pandas takes for it, which equals nothing."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def require_own_share(name: str, share: float, *, has_test: bool) -> None:
    """Raise InputError for a share of the samples that is set beside a test set."""
    if has_test and share != SHARE:
        raise InputError(f"dataset {name} has a test set of its own: leave dataset.test_share={share:g} out")


def test_rows(name: str, labels: np.ndarray, share: float, class_names: Sequence[str]) -> np.ndarray:
    """Return which rows are for test (n,) bool: `share` of them, always the same.

    class_names: of the numbers in labels; each class has its share, and at least one sample in both; none of targets.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    chosen = np.zeros(len(labels), bool)
    for c in range(len(class_names) or 1):
        group = order[labels[order] == c] if class_names else order
        if len(group) < 2:
            few = f"class {class_names[c]} has one sample" if class_names else f"there are {len(group)} samples"
            raise InputError(f"dataset {name}: {few}, too few to keep some for test: give more, or a test set")
        chosen[group[: min(max(round(share * len(group)), 1), len(group) - 1)]] = True
    return chosen
