"""Data such as users bring: pictures in folders, arrays and tables in files, all made up."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(random: np.random.Generator, label: int, classes: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """Return a noisy picture (H, W, 3) uint8 whose colours tell its class."""
    angle = 2 * np.pi * label / classes
    colour = 128 + 90 * np.array([np.cos(angle), np.sin(angle), np.cos(2 * angle)])
    return (colour + random.normal(0, 10, (*size, 3))).clip(0, 255).astype(np.uint8)


def write_pictures(
    root: Path, classes: int = 3, each: int = 10, size: tuple[int, int] = (64, 64), kind: str = "png"
) -> Path:
    """Write `each` pictures of each class to root/class00, ...; return root."""
    random = np.random.default_rng(0)
    for label in range(classes):
        folder = root / f"class{label:02}"
        folder.mkdir(parents=True)
        for number in range(each):
            Image.fromarray(picture(random, label, classes, size)).save(folder / f"{number}.{kind}")
    return root


def table(rows: int = 90, columns: int = 5, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows (n, d) of very different ranges, their classes (n,), and targets (n,) that are linear in them."""
    random = np.random.default_rng(1)
    labels = np.arange(rows) % classes
    X = random.normal(0, 1, (rows, columns)) + 3 * np.eye(classes, columns)[labels]
    targets = X @ np.arange(1.0, columns + 1) * 10 + 300 + random.normal(0, 5, rows)
    return X * 10.0 ** np.arange(columns) + 50, labels, targets


def write_tables(folder: Path) -> None:
    """Write points.npz (X, y), X.npy and y.npy, points.csv (a to e, kind) and prices.csv (a to e, price)."""
    folder.mkdir(parents=True, exist_ok=True)
    X, labels, targets = table()
    np.savez(folder / "points.npz", X=X, y=labels)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", labels)
    for name, column, values in (
        ("points", "kind", np.array(["ant", "bee", "cat"])[labels]),
        ("prices", "price", targets),
    ):
        lines = [",".join(["a", "b", "c", "d", "e", column])]
        lines += [",".join([*(repr(float(x)) for x in row), str(value)]) for row, value in zip(X, values, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
