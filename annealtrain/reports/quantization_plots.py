"""Draw a quantised network: the error of each layer, and how often each level is taken."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annealtrain.reports.style import drawable, plain, save, styled
from annealtrain.runtime.array_types import Array, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, MOST = 4, 23  # of panels; of layers whose histogram is drawn
CALIBRATION, HELD_OUT = "#9aa0a6", "#0b6e99"


def plot_quantization(folder: Path, rows: Sequence[Row], histograms: Mapping[str, Array]) -> list[Path]:
    """Write quantization.png and .pdf into a folder, return their paths.

    rows: of the layers, as layers.csv has them. histograms: counts of each level, by layer.
    """
    paths = [folder / f"quantization.{kind}" for kind in ("png", "pdf")]
    with styled():
        figure = drawn(rows, histograms)
        for path in paths:
            save(figure, path)
    return paths


def drawn(rows: Sequence[Row], histograms: Mapping[str, Array]) -> "Figure":
    """Return the figure; to be called and saved inside `styled`."""
    from matplotlib.figure import Figure

    shown = list(histograms.items())[:MOST]
    lines = ceil((1 + len(shown)) / COLUMNS)
    figure = Figure(figsize=(10.2, 2.2 * lines + 0.4), layout="constrained")
    axes = list(figure.subplots(lines, COLUMNS, squeeze=False).flat)
    _errors(axes[0], rows)
    for axis, (name, counts) in zip(axes[1:], shown, strict=False):
        _histogram(axis, name, counts)
    for axis in axes[1 + len(shown) :]:
        axis.set_visible(False)
    return figure


def _errors(axis: "Axes", rows: Sequence[Row]) -> None:
    for name, label, colour in (("error", "calibration", CALIBRATION), ("held_out_error", "held out", HELD_OUT)):
        points = [(k, row.get(name)) for k, row in enumerate(rows) if drawable(row.get(name)) and row.get(name)]
        if points:
            axis.plot(*zip(*points, strict=True), color=colour, marker="o", label=label)
    if axis.lines:
        axis.set_yscale("log")
        axis.legend(fontsize=8)
    axis.set_xticks(
        range(len(rows)), [plain(str(row["name"]), 12) for row in rows], rotation=60, ha="right", fontsize=7
    )
    axis.set_title("relative error of a layer's outputs")


def _histogram(axis: "Axes", name: str, counts: Array) -> None:
    axis.bar(np.arange(len(counts)), counts / max(counts.sum(), 1), color=HELD_OUT, width=0.85)
    axis.set_ylim(0, None)
    axis.set_title(f"{plain(name, 24)}: share of levels")
