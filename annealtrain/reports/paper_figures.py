"""The paper's figures drawn from runs: mean and spread over seeds of each method, beside the paper's own level."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.reports import style
from annealtrain.reports.paper import METHODS, PAPER, Look, Paper, check_name, look
from annealtrain.runs import collection, summary, tables
from annealtrain.runs.collection import Run
from annealtrain.runtime.array_types import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("method", "seed", "epoch", "train_accuracy", "val_accuracy", "test_accuracy")


def make_figure(name: str, folder: Path, reference: Path, seeds: int) -> list[Path]:
    """Draw figure `name` from the runs in folder/runs with the first `seeds` seeds; return the files written.

    They are folder/NAME.png, .pdf and .csv (the tidy table of the runs), and reference/NAME.csv, see `curves`.
    """
    check_name(name)
    found, foreign = collection.find(folder / "runs")
    if foreign:
        raise InputError(f"{foreign[0]}: remove it, or run the figure again")
    found = [run for run in found if run.settings["seed"] < seeds]
    if not found:
        raise InputError(f"no run in {folder / 'runs'} has a seed below {seeds}: raise --seeds")
    tidy, small = folder / f"{name}.csv", reference / f"{name}.csv"
    reference.mkdir(parents=True, exist_ok=True)
    tables.write_csv(tidy, summary.tidy(found))
    tables.write_csv(small, curves(found))
    return [*draw(name, tables.read_rows(small), folder), tidy, small]


def curves(found: Sequence[Run]) -> list[Row]:
    """Return what a figure is drawn from: method, seed, epoch and accuracies, a row an epoch of each run."""
    known = [*METHODS]

    def order(run: Run) -> tuple[int, str, int]:
        method = str(run.settings.get("method"))
        return (known.index(method) if method in known else len(known), method, run.settings["seed"])

    return [
        {"method": run.settings.get("method"), "seed": run.settings["seed"]}
        | {key: row.get(key) for key in COLUMNS[2:]}
        for run in sorted(found, key=order)
        for row in run.metrics
    ]


def by_method(rows: Sequence[Row]) -> dict[str, np.ndarray[Any, Any]]:
    """Return for each method validation accuracies (seeds, epochs + 1); NaN for the epochs that a run lacks."""
    epochs = 1 + max(row["epoch"] for row in rows)
    found: dict[str, Any] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        seeds = sorted({row["seed"] for row in rows if row["method"] == method})
        values = np.full((len(seeds), epochs), np.nan)
        for row in rows:
            if row["method"] == method and row["val_accuracy"] is not None:
                values[seeds.index(row["seed"]), row["epoch"]] = row["val_accuracy"]
        found[method] = values
    return found


def draw(name: str, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write NAME.png and NAME.pdf of the rows that `curves` gives."""
    from matplotlib.figure import Figure

    paper, held = PAPER[name], by_method(rows)
    seeds = max(len(values) for values in held.values())
    with style.styled():
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axis = figure.subplots()
        for method, values in held.items():
            _curve(axis, look(method), values)
        _limits(axis, paper, held)
        _levels(axis, paper)
        axis.plot([], [], color="#555555", linestyle="--", linewidth=0.9, label="best epoch, mean over seeds")
        axis.set_title(f"Fig. {name.removeprefix('fig').replace('_', ', ')}:  {paper.title}", fontsize=11, pad=10)
        axis.set_xlabel("epoch")
        axis.set_ylabel(f"validation accuracy, mean and std of {seeds} seeds" if seeds > 1 else "validation accuracy")
        style.whole_numbers(axis)
        figure.legend(loc="outside lower center", ncols=2, fontsize=8.5)
        paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
        for path in paths:
            style.save(figure, path)
    return paths


def _curve(axis: "Axes", style: Look, values: np.ndarray[Any, Any]) -> None:
    epochs = np.arange(values.shape[1])
    middle = values.mean(axis=0)
    axis.plot(epochs, middle, color=style.colour, label=style.label, marker="o")
    if len(values) > 1:
        std = values.std(axis=0, ddof=1)
        axis.fill_between(epochs, middle - std, middle + std, color=style.colour, alpha=0.15, linewidth=0)
    best = float(np.nanmax(values, axis=1).mean())
    axis.axhline(best, color=style.colour, linestyle="--", linewidth=0.9, alpha=0.8)


def _levels(axis: "Axes", paper: Paper) -> None:
    """The paper's own levels as grey lines, named at the right margin; inside limits already set."""
    levels = {"annealing": paper.best, "backprop.": paper.backprop, **paper.others}
    held = sorted((value, text) for text, value in levels.items() if value is not None)
    low, high = axis.get_ylim()
    for (value, text), height in zip(held, apart([(value - low) / (high - low) for value, _ in held]), strict=True):
        axis.axhline(value, color="#777777", linewidth=1.0, linestyle=(0, (1, 1.5)), zorder=1.5)
        axis.annotate(
            f"paper: {text} {value:.3f}".replace(" 0.", " ."),
            (1.01, height),
            xycoords="axes fraction",
            va="center",
            fontsize=7.5,
            color="#555555",
        )


def apart(heights: Sequence[float], gap: float = 0.045) -> list[float]:
    """Return rising heights moved apart to at least `gap`, each as little as that takes from below."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    return placed


def _limits(axis: "Axes", paper: Paper, held: dict[str, np.ndarray[Any, Any]]) -> None:
    """Show what is reached and what follows; random weights and the first epochs may lie below."""
    settled = np.concatenate([values[:, 1 + values.shape[1] // 8 :].ravel() for values in held.values()])
    levels = [paper.best, *paper.others.values(), *([paper.backprop] if paper.backprop else [])]
    low, high = min(np.nanmin(settled), *levels), max(np.nanmax(settled), *levels)
    axis.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))


def table(reference: Path) -> str:
    """Return, as Markdown, paper / ours / backpropagation of each figure whose CSV lies in `reference`, a row each.

    Validation accuracies: the best and the last epoch, mean over seeds, in brackets the last one's standard deviation.
    """
    named = ("pinv", "difference", "gauss_newton", "backprop")
    lines = [
        "| figure | seeds | paper: annealing | `pinv` | others, `pinv` | `difference` | `gauss_newton` "
        "| paper: backpropagation | `backprop` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, paper in PAPER.items():
        path = reference / f"{name}.csv"
        if not path.is_file():
            continue
        rows = by_method(tables.read_rows(path))
        pinv, difference, gauss_newton, backprop = (_cell(rows[key]) if key in rows else "" for key in named)
        others = ", ".join(f"`{key}` {_cell(values)}" for key, values in rows.items() if key not in named)
        counts = sorted(len(values) for values in rows.values())
        seeds = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
        annealing = f"{_short(paper.best)} / {_short(paper.last)}"
        cells = [pinv, others, difference, gauss_newton, _short(paper.backprop) if paper.backprop else "", backprop]
        lines.append(f"| {' | '.join([name, seeds, annealing, *cells])} |")
    return "\n".join(lines)


def _cell(values: np.ndarray[Any, Any]) -> str:
    """Return "best / last (deviation of last)" of accuracies (seeds, epochs + 1)."""
    last = values[:, -1]
    spread = f" ({_short(float(last.std(ddof=1)))})" if len(last) > 1 else ""
    return f"{_short(float(np.nanmax(values, axis=1).mean()))} / {_short(float(last.mean()))}{spread}"


def _short(accuracy: float) -> str:
    return f"{accuracy:.3f}".removeprefix("0")
