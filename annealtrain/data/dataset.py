"""A set of labelled samples: images, or the rows of a table."""

import hashlib
from dataclasses import dataclass

import numpy as np

from annealtrain.errors import InputError

CLASSIFICATION, REGRESSION = "classification", "regression"
MOST = 1e100  # of a number: its square, and sums of squares, are still finite


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled samples, checked on construction: images (n, C, H, W) or the rows of a table (n, d).

    train_images, test_images: uint8 or float; divided by `scale` they lie in [0, 1]; None: no range is known.
    train_labels, test_labels: (n,) int64 in 0..`classes` - 1. Of task="regression" they are real targets (n, T),
    and `classes` is T. default_validation: samples held out where a run does not say; None: a tenth.
    class_names, feature_names: of the classes and of a table's columns, where they are known.
    resized_from: the sizes that pictures had in their files, where reading has changed them.
    Raises InputError if a part is empty, of the wrong shape, not finite or out of range."""

    name: str
    classes: int
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    scale: float | None = 255.0
    default_validation: int | None = None
    task: str = CLASSIFICATION
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    resized_from: str = ""

    def __post_init__(self) -> None:
        if self.task not in (CLASSIFICATION, REGRESSION):
            raise InputError(f"dataset {self.name}: task={self.task!r} is not one of classification, regression")
        self._check("training", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)
        if not self.is_regression and self.classes < 2:
            named = f", {self.class_names[0]}" if self.class_names else ""
            raise InputError(f"dataset {self.name} has one class{named}: a classifier needs at least 2")

    @property
    def is_regression(self) -> bool:
        """Whether labels are real numbers."""
        return self.task == REGRESSION

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of an image, or (d,) of a row."""
        return self.train_images.shape[1:]

    @property
    def is_table(self) -> bool:
        """Whether samples are rows of numbers and no images."""
        return len(self.shape) == 1

    def fingerprint(self) -> str:
        """Return a checksum of all samples and labels: another set of the same name and shape has another."""
        digest = hashlib.sha256()
        for part in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()[:16]

    @property
    def held_out(self) -> int:
        """How many training samples a run holds out for validation where it does not say."""
        return len(self.train_images) // 10 if self.default_validation is None else self.default_validation

    def _check(self, part: str, images: np.ndarray, labels: np.ndarray) -> None:
        where = f"dataset {self.name}, {part} set"
        is_number = images.dtype == np.uint8 or images.dtype.kind == "f"
        if images.size == 0 or images.ndim not in (2, 4) or not is_number:
            need = "make them (n, C, H, W) uint8 or float, n > 0, or rows (n, d)"
            raise InputError(f"{where}: samples are {images.shape} {images.dtype}: {need}")
        if images.shape[1:] != self.test_images.shape[1:]:
            one, other = ("x".join(map(str, part.shape[1:])) for part in (images, self.test_images))
            raise InputError(f"{where}: samples are {one}, those of the test set {other}: make both alike")
        low, high = images.min(), images.max()
        if not (np.isfinite(low) and np.isfinite(high)):  # min and max of NaN are NaN
            raise InputError(f"{where}: {self._not_finite(images)}: replace them with numbers")
        if max(-float(low), float(high)) > MOST:
            raise InputError(f"{where}: samples span {low:g}..{high:g}: divide them, to at most {MOST:g}")
        if self.scale is not None and (low < 0 or high > self.scale):
            raise InputError(f"{where}: pixels span {low:g}..{high:g}, not 0..{self.scale:g}: set scale")
        self._check_targets(where, images, labels) if self.is_regression else self._check_labels(where, images, labels)

    def _not_finite(self, images: np.ndarray) -> str:
        if images.ndim == 4:
            return "images contain NaN or inf"
        wrong = ~np.isfinite(images)
        column = int(wrong.any(axis=0).argmax())
        name = repr(self.feature_names[column]) if self.feature_names else column
        return f"column {name} contains NaN or inf in {int(wrong[:, column].sum())} of {len(images)} rows"

    def _check_labels(self, where: str, images: np.ndarray, labels: np.ndarray) -> None:
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            need = f"make them ({len(images)},) integers"
            raise InputError(f"{where}: labels are {labels.shape} {labels.dtype}: {need}")
        if wrong := labels[(labels < 0) | (labels >= self.classes)][:1].tolist():
            limit = f"outside 0..{self.classes - 1}"
            raise InputError(f"{where}: label {wrong[0]} is {limit}: correct the labels")

    def _check_targets(self, where: str, images: np.ndarray, labels: np.ndarray) -> None:
        if labels.shape != (len(images), self.classes) or labels.dtype.kind != "f":
            need = f"make them ({len(images)}, {self.classes}) floats"
            raise InputError(f"{where}: targets are {labels.shape} {labels.dtype}: {need}")
        if not np.isfinite(labels).all():
            raise InputError(f"{where}: targets contain NaN or inf: leave those rows out")
        if float(np.abs(labels).max()) > MOST:
            span = f"{labels.min():g}..{labels.max():g}"
            raise InputError(f"{where}: targets span {span}: divide them, to at most {MOST:g}")
