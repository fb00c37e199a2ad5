"""Draw the histograms of a run's weights: how they spread over the epochs, and the first and the last of them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from annealtrain.reports.style import whole_numbers
from annealtrain.runtime.array_types import Array, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_EPOCHS, MOST_LAYERS = 60, 24  # that are drawn: every second one of 61 epochs, the first of 25 layers
FIRST, LAST = "#9aa0a6", "#0b6e99"
LEAST = 1e-3  # of the highest density of a layer: lower ones have the lightest colour
Histogram = tuple[Array, Array]  # edges (bins + 1,) and densities (bins,), whose integral is 1


def drawn(rows: Sequence[Row]) -> "Figure":
    """Return the figure of the rows of histograms.csv; to be called and saved inside `styled`."""
    from matplotlib.figure import Figure

    layers = sorted({row["layer"] for row in rows})[:MOST_LAYERS]
    figure = Figure(figsize=(10.2, 1.9 * len(layers) + 0.6), layout="constrained")
    axes = figure.subplots(len(layers), 2, squeeze=False, width_ratios=(1.5, 1))
    for k, (over, ends) in zip(layers, axes, strict=True):
        held = _of_layer([row for row in rows if row["layer"] == k])
        _epochs(over, held)
        _ends(ends, held)
        over.set_title(f"layer {k}: density of its {sum(row['weights'] for row in _last(rows, k))} weights over epochs")
        ends.set_title("first (grey) and last epoch")
    axes[-1][0].set_xlabel("epoch")
    axes[-1][1].set_xlabel("weight")
    return figure


def _last(rows: Sequence[Row], k: int) -> list[Row]:
    own = [row for row in rows if row["layer"] == k]
    return [row for row in own if row["epoch"] == own[-1]["epoch"]]


def _of_layer(rows: Sequence[Row]) -> dict[int, Histogram]:
    """Return the histogram of each epoch that is drawn, the last one among them."""
    epochs = sorted({row["epoch"] for row in rows})
    step = -(-len(epochs) // MOST_EPOCHS)
    found = {}
    for epoch in reversed(epochs[::-1][::step]):
        own = [row for row in rows if row["epoch"] == epoch]
        edges = np.array([row["low"] for row in own] + [own[-1]["high"]], np.float64)
        counts = np.array([row["weights"] for row in own], np.float64)
        found[epoch] = edges, counts / max(counts.sum(), 1) / np.diff(edges)
    return found


def _epochs(axis: "Axes", held: dict[int, Histogram]) -> None:
    from matplotlib.colors import LogNorm

    epochs = list(held)
    highest = max(float(density.max()) for _, density in held.values()) or 1.0
    borders = [epochs[0] - 0.5, *((a + b) / 2 for a, b in pairwise(epochs)), epochs[-1] + 0.5]
    for place, (edges, density) in enumerate(held.values()):
        shown = np.ma.masked_equal(density, 0)[:, None]
        axis.pcolormesh(
            borders[place : place + 2],
            edges,
            shown,
            norm=LogNorm(LEAST * highest, highest),
            cmap="viridis_r",
            rasterized=True,
        )
    axis.set_xlim(borders[0], borders[-1])
    axis.grid(False)
    whole_numbers(axis)


def _ends(axis: "Axes", held: dict[int, Histogram]) -> None:
    histograms = list(held.values())
    for (edges, density), colour in ((histograms[0], FIRST), (histograms[-1], LAST)):
        axis.stairs(np.where(density > 0, density, np.nan), edges, color=colour)
    axis.set_yscale("log")
