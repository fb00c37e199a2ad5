"""The paper's figures drawn from runs: mean and spread over seeds of each method, beside the paper's own level."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.reports import style
from annealtrain.reports.paper import METHODS, PAPER, Look, Paper, check_name, look
from annealtrain.reports.style import plain
from annealtrain.runs import collection, summary, tables
from annealtrain.runs.collection import Run
from annealtrain.runtime.array_types import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCORES = {"val": "validation", "test": "test", "train": "training"}  # the first that there is, is drawn
COLUMNS = ("method", "seed", "epoch", "train_accuracy", "val_accuracy", "test_accuracy")


def make_figure(name: str, folder: Path, reference: Path, seeds: int) -> list[Path]:
    """Draw figure `name` from the runs in folder/runs with the first `seeds` seeds; return the files written.

    They are folder/NAME.png, .pdf and .csv (the tidy table of the runs), and reference/NAME.csv, see `curves`.
    """
    check_name(name)
    found, foreign = collection.find(folder / "runs")
    if foreign:
        raise InputError(f"{foreign[0]}: remove it, or run the figure again")
    found = [run for run in found if run.settings.get("seed", 0) < seeds]
    if not found:
        raise InputError(f"no run in {folder / 'runs'} has a seed below {seeds}: raise --seeds")
    tidy, small = folder / f"{name}.csv", reference / f"{name}.csv"
    reference.mkdir(parents=True, exist_ok=True)
    tables.write_csv(tidy, summary.tidy(found))
    tables.write_csv(small, curves(found))
    return [*draw(name, read_curves(small), folder), tidy, small]


def curves(found: Sequence[Run]) -> list[Row]:
    """Return what a figure is drawn from: method, seed, epoch and accuracies, a row an epoch of each run."""
    known = [*METHODS]

    def order(run: Run) -> tuple[int, str, int]:
        method = str(run.settings.get("method"))
        return (known.index(method) if method in known else len(known), method, run.settings.get("seed", 0))

    return [
        {"method": run.settings.get("method"), "seed": run.settings.get("seed", 0)}
        | {key: row.get(key) for key in COLUMNS[2:]}
        for run in sorted(found, key=order)
        for row in run.metrics
    ]


def by_method(rows: Sequence[Row]) -> dict[str, np.ndarray[Any, Any]]:
    """Return for each method accuracies of `score` (seeds, epochs + 1); NaN for the epochs that a run lacks."""
    column = f"{score(rows)}_accuracy"
    rows = [row for row in rows if row.get(column) is not None]
    epochs = 1 + max((row["epoch"] for row in rows), default=0)
    found: dict[str, Any] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        seeds = sorted({row["seed"] for row in rows if row["method"] == method})
        values = np.full((len(seeds), epochs), np.nan)
        for row in rows:
            if row["method"] == method:
                values[seeds.index(row["seed"]), row["epoch"]] = row[column]
        found[method] = values
    return found


def score(rows: Sequence[Row]) -> str:
    """Return whose accuracy a figure shows: that of validation images, of test images where none are held out."""
    return next((name for name in SCORES if any(row.get(f"{name}_accuracy") is not None for row in rows)), "val")


def read_curves(path: Path) -> list[Row]:
    """Return the rows that `curves` gave, from the file they were written to; InputError for those of another file."""
    rows = tables.read_rows(path)
    for row in rows:
        numbers = [row.get(name) for name in COLUMNS[3:]]
        whole = all(type(row.get(name)) is int and 0 <= row[name] < 10**6 for name in COLUMNS[1:3])
        if not whole or not all(value is None or isinstance(value, int | float) for value in numbers):
            raise InputError(f"{path} is not what a figure writes: remove it, and run the figure again")
    return rows


def draw(name: str, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write NAME.png and NAME.pdf of the rows that `curves` gives."""
    paper, held = PAPER[name], by_method(rows)
    if not held:
        raise InputError(f"no run of {name} has an accuracy: run the figure again")
    seeds = max(len(values) for values in held.values())
    with style.styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axis = figure.subplots()
        for method, values in held.items():
            _curve(axis, look(method), values)
        _limits(axis, paper, held)
        _levels(axis, paper)
        axis.plot([], [], color="#555555", linestyle="--", linewidth=0.9, label="best epoch, mean over seeds")
        axis.set_title(f"Fig. {name.removeprefix('fig').replace('_', ', ')}:  {paper.title}", fontsize=11, pad=10)
        axis.set_xlabel("epoch")
        what = f"{SCORES[score(rows)]} accuracy"
        axis.set_ylabel(f"{what}, mean and std of {seeds} seeds" if seeds > 1 else what)
        style.whole_numbers(axis)
        figure.legend(loc="outside lower center", ncols=2, fontsize=8.5)
        paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
        for path in paths:
            style.save(figure, path)
    return paths


def _curve(axis: "Axes", style: Look, values: np.ndarray[Any, Any]) -> None:
    epochs = np.arange(values.shape[1])
    middle = values.mean(axis=0)
    axis.plot(epochs, middle, color=style.colour, label=plain(style.label), marker="o")
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
        rows = by_method(read_curves(path))
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
