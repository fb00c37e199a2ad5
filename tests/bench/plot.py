"""The figure of a kernel benchmark: seconds of every sampler on every problem, and the gap that they buy."""

from collections.abc import Sequence
from pathlib import Path

from bench.rows import Row

# Ours in one family of colours, the others in the order of the legend.
STYLES = {
    ("annealtrain", "bit", 1): ("annealtrain, bit moves", "#0b6e4f", "o"),
    ("annealtrain", "slice", 1): ("annealtrain, slice moves", "#2fbf71", "D"),
    ("annealtrain", "slice", 16): ("annealtrain, slice moves, 16 lanes", "#a1e3b8", "D"),
    ("openjij integer SA", "core", 1): ("OpenJij integer SA, core", "#3d5a98", "s"),
    ("openjij integer SA", "Python API", 1): ("OpenJij integer SA, API", "#8fa6d6", "s"),
    ("openjij SA", "core, CSR", 1): ("OpenJij SA, core", "#6a4c93", "^"),
    ("dwave SA (neal)", "", 1): ("dwave SA (neal)", "#d1495b", "v"),
    ("dwave SA (neal)", "default betas", 1): ("dwave SA (neal), default betas", "#eda2ac", "v"),
    ("dwave path integral", "default betas", 1): ("dwave path integral", "#edae49", "P"),
    ("dwave steepest descent", "", 1): ("dwave steepest descent", "#8c8c8c", "X"),
}


def draw(rows: Sequence[Row], path: Path, focus: str) -> None:
    """Write a PNG: left, solve seconds a read by problem; right, gap by those seconds on the problem `focus`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    done = [row for row in rows if row["status"] == "ok" and row["sweeps"] in (100, None)]
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    groups = {key: _of(done, key) for key in STYLES}
    shown = [key for key, own in groups.items() if own]
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6.2), width_ratios=(1.7, 1), layout="constrained")
        for place, key in enumerate(shown):
            label, colour, marker = STYLES[key]
            own = groups[key]
            style = {"color": colour, "marker": marker, "linestyle": "none", "markeredgecolor": "white"}
            style["markeredgewidth"] = 0.4
            x = [i for i, problem in enumerate(problems) if problem in own]
            aside = (place / max(len(shown) - 1, 1) - 0.5) * 0.6  # side by side, so that none hides another
            seconds = [own[problems[i]]["solve_s"] / own[problems[i]]["reads"] for i in x]
            left.plot([i + aside for i in x], seconds, label=label, markersize=6, **style)
            if focus in own:
                row = own[focus]
                right.plot(row["solve_s"] / row["reads"], max(row["gap"], 1e-9), markersize=9, **style)
        left.set(yscale="log", ylabel="seconds a read, 100 sweeps", title="Solving on one thread, model building apart")
        left.set_xticks(range(len(problems)), problems, rotation=35, ha="right")
        left.set_xlim(-0.5, len(problems) - 0.5)
        left.set_xticks([i + 0.5 for i in range(len(problems) - 1)], minor=True)
        left.tick_params(axis="x", which="both", length=0)
        left.grid(axis="y", which="major", color="#e6e6e6")
        left.grid(axis="x", which="minor", color="#e6e6e6")
        right.set(xscale="log", yscale="log", title=f"Time and quality: {focus}")
        right.set(xlabel="seconds a read, 100 sweeps", ylabel="gap of the best read to the box's minimum")
        right.grid(which="major", color="#e6e6e6")
        right.set_visible(any(focus in own for own in groups.values()))
        for axes in (left, right):
            axes.set_axisbelow(True)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
        figure.savefig(path, dpi=150)
        plt.close(figure)


def _of(rows: Sequence[Row], key: tuple[str, str, int]) -> dict[str, Row]:
    """Return the rows of one sampler, by problem."""
    return {row["problem"]: row for row in rows if (row["sampler"], row["settings"], row["reads"]) == key}
