"""The figures of a race of solvers: who has solved what by when, gaps as a map, and energies over time."""

from collections.abc import Collection, Mapping, Sequence
from math import ceil, inf
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.reports.style import plain, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Trajectory = Sequence[tuple[float, float]]  # (seconds, relative gap) of one lap, falling
Laps = Mapping[tuple[str, str], Sequence[Trajectory]]  # of each (solver, instance), one a seed
COLUMNS, SHOWN = 5, (4, 3)  # of the small panels, and in each so many of ours and of the others
FLOOR = 1e-6  # of a gap on a log axis: what is below stands there


def solved(laps: Laps, target: float, seconds: float) -> "Figure":
    """Return the share of laps that are within the target, over time, a line a solver."""
    with styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.5, 5), layout="constrained")
        axes = figure.add_subplot(title=f"Laps with a gap of at most {target:g}", xlabel="seconds", ylabel="share")
        order, least = [], seconds / 1000
        for solver in dict.fromkeys(solver for solver, _ in laps):
            own = [lap for (name, _), group in laps.items() if name == solver for lap in group]
            reached = sorted(next((at for at, gap in lap if gap <= target), inf) for lap in own)
            done = [min(max(at, least), seconds) for at in reached if at <= seconds]
            order.append((len(done) / len(own), solver, done, len(own)))
        looks = _looks(laps)
        for share, solver, done, count in sorted(order, reverse=True):
            x, y = [least, *done, seconds], [0, *(np.arange(1, len(done) + 1) / count), share]
            axes.step(x, y, where="post", label=f"{plain(solver)} {share:.2f}", **looks[solver])
        axes.set(xscale="log", xlim=(least, seconds), ylim=(0, 1.02))
        figure.legend(loc="outside right upper", fontsize=8)
    return figure


def gap_map(gaps: Mapping[tuple[str, str], float], title: str) -> "Figure":
    """Return mean gaps as colours, a row a solver, a column an instance; grey: none. The best of each is ringed."""
    solvers, instances = (list(dict.fromkeys(key[k] for key in gaps)) for k in (0, 1))
    values = np.array([[gaps.get((solver, name), inf) for name in instances] for solver in solvers])
    shown = np.ma.masked_invalid(np.clip(values, FLOOR, None))
    with styled():
        from matplotlib.colors import LogNorm
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2.4 + 0.34 * len(instances), 2.4 + 0.24 * len(solvers)), layout="constrained")
        axes = figure.add_subplot(title=title)
        axes.grid(False)
        axes.set_facecolor("#d9d9d9")
        image = axes.imshow(shown, norm=LogNorm(FLOOR, 10), cmap="viridis_r", aspect="auto")
        axes.set_xticks(range(len(instances)), [plain(name) for name in instances], rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(solvers)), [plain(name) for name in solvers], fontsize=8)
        least = values.min(axis=0)
        for row, column in zip(
            *np.nonzero((values <= least * (1 + 1e-9) + FLOOR / 10) & np.isfinite(values)), strict=True
        ):
            axes.plot(column, row, "o", markersize=4, markerfacecolor="none", markeredgecolor="#d1495b")
        figure.colorbar(image, ax=axes, label="gap to the best known", extend="both")
    return figure


def trajectories(laps: Laps, seconds: float, ours: Collection[str]) -> "Figure":
    """Return a panel an instance: the mean gap over time of those of ours, and of the others, that end lowest there."""
    instances = list(dict.fromkeys(name for _, name in laps))
    times = np.geomspace(seconds / 1000, seconds, 60)
    means = {key: np.array([_mean_at(group, at) for at in times]) for key, group in laps.items()}
    looks = _looks(laps)
    columns = min(COLUMNS, len(instances))
    rows = ceil(len(instances) / columns)
    with styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2.7 * columns + 0.3, 2.1 * rows + 0.8), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
        labels: dict[str, Any] = {}
        for axes, name in zip(panels.flat, instances, strict=False):
            for solver in _lowest({key[0]: path for key, path in means.items() if key[1] == name}, ours):
                (line,) = axes.plot(times, np.maximum(means[solver, name], FLOOR), **looks[solver])
                labels.setdefault(plain(solver), line)
            axes.set(xscale="log", yscale="log", ylim=(FLOOR / 2, 10))
            axes.set_title(plain(name), fontsize=8)
        for axes in panels.flat[len(instances) :]:
            axes.set_visible(False)
        for axes in panels.flat[max(len(instances) - columns, 0) : len(instances)]:  # with no panel below them
            axes.tick_params(labelbottom=True)
        figure.supxlabel("seconds", fontsize=9)
        figure.supylabel("mean gap to the best known", fontsize=9)
        ncols = min(8, 2 * columns)  # above, as the label of the axis below has no place of its own beside a legend
        figure.legend(labels.values(), labels.keys(), loc="outside upper center", ncols=ncols, fontsize=8)
    return figure


def _lowest(paths: Mapping[str, Any], ours: Collection[str]) -> list[str]:
    """Return the solvers that a panel shows: those whose mean gap ends, and is, lowest; none without an end."""
    ended = [name for name in paths if np.isfinite(paths[name][-1])]
    ended.sort(key=lambda name: (paths[name][-1], np.nanmean(paths[name])))
    groups = [name for name in ended if name in ours], [name for name in ended if name not in ours]
    return [name for group, most in zip(groups, SHOWN, strict=True) for name in group[:most]]


def _mean_at(laps: Sequence[Trajectory], seconds: float) -> float:
    return float(np.mean([min((gap for at, gap in lap if at <= seconds), default=np.nan) for lap in laps]))


def _looks(laps: Laps) -> dict[str, dict[str, Any]]:
    """Return the look of each solver's line, the same in all figures of a race."""
    return {solver: _line(k) for k, solver in enumerate(dict.fromkeys(solver for solver, _ in laps))}


def _line(number: int) -> dict[str, Any]:
    """Return the look of one of many lines: ten colours, each in three styles."""
    return {"color": f"C{number % 10}", "linestyle": ("-", "--", ":")[number // 10 % 3], "linewidth": 1.3}
