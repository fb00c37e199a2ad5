"""The paper's figures drawn from runs: mean and spread over seeds of each method, beside the paper's own level."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from annealtrain import plots, recorder, runs
from annealtrain.errors import InputError, nearest
from annealtrain.runs import Row, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Paper(NamedTuple):
    """What a figure of the paper shows, read off it to about .003: validation accuracies, best and last epoch."""

    title: str
    best: float
    last: float
    backprop: float | None
    others: Mapping[str, float] = MappingProxyType({})


PAPER = {
    "fig1a": Paper(r"One linear layer, $\alpha$ = 1", 0.827, 0.821, 0.800),
    "fig1b": Paper("Small linear layer, 10,000 images", 0.636, 0.636, 0.628, {"QPU": 0.642}),
    "fig2a": Paper(r"Three linear layers, $\alpha$ = 1", 0.818, 0.816, 0.818),
    "fig2b": Paper("Two small linear layers", 0.431, 0.424, 0.419, {"QPU": 0.423}),
    "fig3a": Paper(r"One convolution, $\alpha$ = 1", 0.815, 0.815, 0.809),
    "fig3b": Paper(r"Three convolutions, $\alpha$ = 1", 0.831, 0.831, 0.824),
    "fig4a": Paper("Small convolution, 10,000 images", 0.659, 0.659, 0.655, {"QPU": 0.657}),
    "fig4b": Paper("Two small convolutions, 10,000 images", 0.661, 0.661, 0.637, {"QPU": 0.674}),
    "fig5a": Paper(r"One linear layer, $\alpha$ = .001", 0.864, 0.864, 0.849),
    "fig5b": Paper(r"Three linear layers, $\alpha$ = .001", 0.883, 0.865, 0.889),
    "fig5c": Paper(r"One convolution, $\alpha$ = .001", 0.841, 0.841, 0.826),
    "fig5d": Paper(r"Three convolutions, $\alpha$ = .001", 0.952, 0.952, 0.958),
    "fig6a": Paper(r"LeNet, $\alpha$ = 0", 0.935, 0.935, 0.725),
    "fig6b": Paper(r"LeNet, $\alpha$ = 1e-4", 0.938, 0.938, 0.952),
    "fig6c": Paper(r"LeNet, $\alpha$ = .1", 0.937, 0.937, 0.950),
    "fig6d": Paper(r"LeNet, $\alpha$ = 1", 0.822, 0.818, 0.815),
    "fig6a_2024": Paper("LeNet, MNIST, 1,000 images", 0.937, 0.69, 0.953),
    "fig6b_2024": Paper("LeNet, Fashion-MNIST, 1,000 images", 0.787, 0.525, 0.804),
    "fig6c_2024": Paper("LeNet, CIFAR-10, 1,000 images", 0.318, 0.14, 0.362),
    "fig6d_2024": Paper("LeNet, MNIST, 100 images", 0.833, 0.535, 0.705),
    "fig7": Paper("Small LeNet, 4 bits", 0.853, 0.83, None, {"simulated QA": 0.853}),
    "fig8": Paper("Small linear layer, 2 bits", 0.525, 0.525, None, {"simulated QA": 0.545, "ITEMC": 0.550}),
}


class Look(NamedTuple):
    """How a method is named and drawn."""

    label: str
    colour: str


METHODS = {
    "pinv": Look("annealing, pinv (the paper's)", "#0b6e99"),
    "sqa": Look("simulated quantum annealing, pinv", "#7b4fa3"),
    "dwave": Look("quantum annealing (D-Wave), pinv", "#7b4fa3"),
    "dwave_emulated": Look("quantum annealing, emulated, pinv", "#7b4fa3"),
    "itemc": Look("ITEMC, pinv", "#b5651d"),
    "difference": Look("annealing, difference", "#2a9d5c"),
    "gauss_newton": Look("annealing, gauss_newton", "#e08a1e"),
    "kronecker": Look("annealing, kronecker", "#8a6d00"),
    "backprop": Look("backpropagation", "#d1495b"),
}
COLUMNS = ("method", "seed", "epoch", "train_accuracy", "val_accuracy", "test_accuracy")


def check_name(name: str) -> None:
    """Raise InputError for a figure that the paper does not have."""
    if name not in PAPER:
        raise InputError(f"no figure {name!r}{nearest(name, PAPER)}: one of {', '.join(PAPER)}")


def make_figure(name: str, folder: Path, reference: Path, seeds: int) -> list[Path]:
    """Draw figure `name` from the runs in folder/runs with the first `seeds` seeds; return the files written.

    They are folder/NAME.png, .pdf and .csv (the tidy table of the runs), and reference/NAME.csv, see `curves`.
    """
    check_name(name)
    found, foreign = runs.find(folder / "runs")
    if foreign:
        raise InputError(f"{foreign[0]}: remove it, or run the figure again")
    found = [run for run in found if run.settings["seed"] < seeds]
    if not found:
        raise InputError(f"no run in {folder / 'runs'} has a seed below {seeds}: raise --seeds")
    tidy, small = folder / f"{name}.csv", reference / f"{name}.csv"
    reference.mkdir(parents=True, exist_ok=True)
    runs.write_csv(tidy, runs.tidy(found))
    runs.write_csv(small, curves(found))
    return [*draw(name, recorder.read_rows(small), folder), tidy, small]


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
    import matplotlib.pyplot as plt

    paper = PAPER[name]
    with plots.styled():
        figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        try:
            held = by_method(rows)
            for method, values in held.items():
                _curve(axis, look(method), values)
            _limits(axis, paper, held)
            _levels(axis, paper)
            axis.plot([], [], color="#555555", linestyle="--", linewidth=0.9, label="best epoch, mean over seeds")
            seeds = max(len(values) for values in held.values())
            axis.set_title(f"Fig. {name.removeprefix('fig').replace('_', ', ')}:  {paper.title}", fontsize=11, pad=10)
            axis.set_xlabel("epoch")
            axis.set_ylabel(
                f"validation accuracy, mean and std of {seeds} seeds" if seeds > 1 else "validation accuracy"
            )
            plots.whole_numbers(axis)
            figure.legend(loc="outside lower center", ncols=2, fontsize=8.5)
            paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
            for path in paths:
                plots.save(figure, path)
        finally:
            plt.close(figure)
    return paths


def look(method: str) -> Look:
    """Return how a method is drawn; one of the user's own in black, under its name."""
    return METHODS.get(method, Look(method, "#222222"))


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
        rows = by_method(recorder.read_rows(path))
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
