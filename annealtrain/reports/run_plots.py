"""Draw one run: its accuracies and loss, and layer by layer what its solves report."""

from collections.abc import Sequence
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from annealtrain.reports import weight_plots
from annealtrain.reports.style import class_name, drawable, plain, save, scale, styled, whole_numbers
from annealtrain.runs import contents, scores
from annealtrain.runs.collection import Run, read_run
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPLITS = {"train": "#9aa0a6", "val": "#0b6e99", "test": "#d1495b"}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
COLUMNS = 3


class Panel(NamedTuple):
    """A column of solves.csv as a panel. scale: linear, log, symlog, share (from 0 to 1), or count."""

    column: str
    title: str
    scale: str


PANELS = (
    Panel("L", "range L", "log"),
    Panel("beta_last", r"inverse temperature $\beta$ (last)", "log"),
    Panel("gap", "gap to the certified bound", "log"),
    Panel("energy", "energy (the layer's own loss)", "log"),
    Panel("predicted_change", "change that the Hamiltonian predicts", "symlog"),
    Panel("actual_change", "actual change of the network's loss", "symlog"),
    Panel("raised_share", "share of updates that raised the loss", "share"),
    Panel("saturated_share", "share of weights on the wall of their box", "share"),
    Panel("target_cosine", "cosine of targets and activations", "linear"),
    Panel("condition", "condition number of J", "log"),
    Panel("backtracks", "halved steps", "count"),
    Panel("learning_rate", "learning rate", "log"),
    Panel("gradient_norm", "norm of the gradient", "log"),
)


def plot_run(folder: Path) -> list[Path]:
    """Write run.png and .pdf into a run folder, weights.png and .pdf where it has histograms; return their paths.

    Raises InputError where there is no run to draw.
    """
    run, paths = read_run(folder), list[Path]()
    files.require_writable(folder / "run.png", "make room there, or copy the run elsewhere")
    histograms = contents.read_histograms(folder / contents.HISTOGRAMS)
    with styled():
        figures = {"run": drawn(run)} | ({"weights": weight_plots.drawn(histograms)} if histograms else {})
        for name, figure in figures.items():
            for kind in ("png", "pdf"):
                paths.append(folder / f"{name}.{kind}")
                save(figure, paths[-1])
    return paths


def drawn(run: Run) -> "Figure":
    """Return the figure of one run; to be called and saved inside `styled`."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    solves = contents.read_solves(run.folder / contents.SOLVES)
    layers = sorted({row["layer"] for row in solves})
    panels = [panel for panel in PANELS if any(isinstance(row.get(panel.column), int | float) for row in solves)]
    rows = ceil((2 + len(panels)) / COLUMNS)
    figure = Figure(figsize=(10.2, 2.35 * rows + 0.8), layout="constrained")
    axes = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    _accuracy(axes[0], run)
    _loss(axes[1], run)
    for axis, panel in zip(axes[2:], panels, strict=False):
        _panel(axis, panel, solves, layers)
    for axis in axes[2 + len(panels) :]:
        axis.set_visible(False)
    for axis in axes[: 2 + len(panels)]:
        whole_numbers(axis)
    for column in range(COLUMNS):
        lowest = max((k for k in range(column, 2 + len(panels), COLUMNS)), default=None)
        if lowest is not None:
            axes[lowest].set_xlabel("epoch")
    if len(layers) > 1:
        handles = [Line2D([], [], color=_colour(k, layers), marker="o", label=f"layer {k}") for k in layers]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(layers), 8))
    figure.suptitle(plain(headline(run)), x=0.01, ha="left", fontsize=11)
    return figure


def headline(run: Run) -> str:
    """Return what a run is, in one line: model, data, optimizer, solver, bits or levels, alpha, seed."""
    settings = run.settings
    is_annealed = settings.get("solver") is not None  # else it has no solver and no bits
    words = [str(settings.get("model")), *(class_name(settings.get(key)) for key in ("dataset", "optimizer", "solver"))]
    is_fixed = settings.get("grid") == "fixed"
    width = "bits" if settings.get("levels") is None else "levels"
    numbers = [width] * (is_annealed or is_fixed) + ["alpha", "samples", "seed"]
    words += ["fixed grid"] * is_fixed + [f"{key} {settings[key]}" for key in numbers if key in settings]
    words += ["linear output"] * (settings.get("output_activation") == "linear")
    return ", ".join(word for word in words if word) + ("" if run.result else f" ({run.state})")


def _accuracy(axis: "Axes", run: Run) -> None:
    for split, colour in SPLITS.items():
        points = [(row["epoch"], value) for row in run.metrics if (value := scores.score(row, split)) is not None]
        if points:
            label = f"{SPLIT_NAMES[split]} {points[-1][1]:.3f}"
            axis.plot(*zip(*points, strict=True), color=colour, marker="o", label=label)
    axis.set_title(f"{scores.NAMES[scores.kind(run.last)]} (last epoch in the legend)")
    held = [scores.score(row, split) for row in run.metrics[1:] for split in SPLITS]
    trained = [value for value in held if value is not None]
    axis.set_ylim(floor(10 * min(trained, default=0.0)) / 10 - 0.01, 1.01)  # random weights lie below
    if axis.lines:
        axis.legend(loc="best", fontsize=8)


def _loss(axis: "Axes", run: Run) -> None:
    held = [(row["epoch"], row.get("train_loss")) for row in run.metrics]
    points = [(epoch, value) for epoch, value in held if drawable(value)]
    axis.plot(*zip(*points, strict=True), color="#333333", marker="o")
    axis.set_title("training loss of the network")
    scale(axis, "log", [value for _, value in points])


def _panel(axis: "Axes", panel: Panel, solves: Sequence[Row], layers: Sequence[int]) -> None:
    curves, shown = _curves(panel.column, solves), list[float]()
    for k in layers:
        if points := curves.get(k):
            axis.plot(*zip(*points, strict=True), color=_colour(k, layers), marker="o")
            shown += [value for _, value in points]
    axis.set_title(panel.title)
    scale(axis, panel.scale, shown)


def _curves(column: str, solves: Sequence[Row]) -> dict[int, list[tuple[int, float]]]:
    """Return a column's mean over each epoch's solves of a layer, layer by layer, in one pass: a run may be long."""
    held: dict[int, dict[int, list[float]]] = {}
    for row in solves:
        if drawable(value := row.get(column)):
            held.setdefault(row["layer"], {}).setdefault(row["epoch"], []).append(value)
    return {
        k: [(epoch, float(np.mean(values))) for epoch, values in sorted(epochs.items())] for k, epochs in held.items()
    }


def _colour(k: int, layers: Sequence[int]) -> Any:
    import matplotlib

    place = layers.index(k) / max(len(layers) - 1, 1)
    return matplotlib.colormaps["viridis"](0.88 * place)
