"""One self-contained HTML page for a run or a sweep: plots inline, tables, settings, versions, commands."""

import base64
import io
import shlex
from collections.abc import Callable, Iterable, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from annealtrain.reports import run_plots, style, weight_plots
from annealtrain.runs import collection, contents, scores, summary, tables, yaml_files
from annealtrain.runs.collection import Run
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CURVES = 12  # groups drawn in one figure; more are in the table only
ROOM = "make room there, or copy the runs elsewhere"
METRICS = {
    f"{split}_{kind}": f"{run_plots.SPLIT_NAMES[split]} {name}"
    for kind, name in scores.NAMES.items()
    for split in ("val", "test", "train")
} | {"train_loss": "training loss"}
VERSIONS = ("annealtrain", "git_revision", "python", "machine", "cores")  # of meta.json, beside its packages
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-size: .86rem; margin: .8rem 0; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #eee; white-space: nowrap; }
td { font-variant-numeric: tabular-nums; } th { color: #555; font-weight: 600; }
pre { background: #f6f6f4; padding: .7rem 1rem; overflow-x: auto; font-size: .84rem; }
img { max-width: 100%; height: auto; } summary { cursor: pointer; padding: .15rem 0; }
footer, .note { color: #666; font-size: .85rem; }
"""


def write_report(folder: Path, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Write report.html into the folder of a run or of a sweep, return its path; InputError where there is no run.

    tell: takes a line of progress for each part of the work.
    """
    tell(f"reading the runs in {folder}")
    found, foreign = collection.find(folder)
    path = folder / "report.html"
    files.require_writable(path, ROOM)
    is_run = len(found) == 1 and found[0].folder == folder
    title = run_plots.headline(found[0]) if is_run else f"{len(found)} runs in {'/'.join(folder.resolve().parts[-2:])}"
    body = run_sections(found[0]) if is_run else sweep_sections(found, foreign, sweep_command(folder), tell)
    files.write_text(path, page(title, body), ROOM)
    return path


def page(title: str, sections: Iterable[str]) -> str:
    """Return a whole HTML page that needs nothing beside itself."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f"<h1>{escape(title)}</h1>\n" + "\n".join(sections) + "\n</body>\n</html>\n"
    )


def run_sections(run: Run) -> list[str]:
    """Return a run's page: scores, plots, how to make it again, settings, versions, every epoch."""
    with style.styled():
        pictures = [image(run_plots.drawn(run), "accuracy, loss, and each layer's solves over the epochs")]
        if histograms := contents.read_histograms(run.folder / contents.HISTOGRAMS):
            pictures.append(image(weight_plots.drawn(histograms), "weights of each layer over the epochs"))
    return [
        _scores(run),
        *pictures,
        "<h2>To make it again</h2>",
        _command(run),
        "<h2>Settings</h2>",
        _settings(run.settings),
        "<h2>Made with</h2>",
        _versions([run], [*VERSIONS, "seed", "config_hash", "started_at"]),
        "<h2>Epochs</h2>",
        _epochs(run),
    ]


def sweep_sections(
    found: Sequence[Run],
    foreign: Sequence[str],
    command: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Return a sweep's page: the groups as a table, a figure a metric, then each run with its commands folded away.

    command: of the sweep itself, where it is known. tell: takes a line of progress for each figure.
    """
    head, rows = summary.summary(found)
    same = {key: value for key, value in found[0].settings.items() if _is_same(key, value, found)}
    sections = [
        '<p class="note">Accuracies as mean +- standard deviation over the runs that differ in their seed alone.</p>',
        table(head, rows),
        *_figures(found, tell),
        *(["<h2>To make it again</h2>", _pre(command)] if command else []),
        "<h2>Runs</h2>",
    ]
    for run in found:
        told = f"{_score(run.last, 'val')} validation, {_score(run.last, 'test')} test"
        line = escape(f"{run.name}: {run.state}, {told}")
        more = _pre(shlex.join(["annealtrain", "report", str(run.folder)]))
        sections.append(f"<details><summary>{line}</summary>\n{_command(run)}\nIts own page: {more}</details>")
    if foreign:
        lines = "".join(f"<li>{escape(line)}</li>" for line in foreign)
        sections.append(f"<h2>Left out</h2><ul>{lines}</ul>")
    return [
        *sections,
        "<h2>Settings that all runs share</h2>",
        _settings(same),
        "<h2>Made with</h2>",
        _versions(found, VERSIONS),
    ]


def sweep_command(folder: Path) -> str | None:
    """Return the command of the latest sweep into a folder, from what Hydra's sweeper left there; None if not known.

    That of a figure is spelled out already, methods and seeds.
    """
    try:
        hydra = yaml_files.read_mapping(folder / "multirun.yaml")["hydra"]
        given = hydra["overrides"]
        words, own = [str(word) for word in given["task"]], [str(word) for word in given["hydra"]]
        sources = hydra["runtime"]["config_sources"]
        own += [f"--config-dir={source['path']}" for source in sources if source["provider"] == "command-line"]
    except (ValueError, TypeError, KeyError):  # there is none, or not as Hydra writes it
        return None
    words = [word for word in words if word != "sweep=figure"]
    own = [word for word in own if not word.startswith(("hydra.mode=", "hydra.job.config.override_dirname."))]
    return shlex.join(["annealtrain", "train", "--multirun", *words, *own])


def image(figure: "Figure", words: str, dpi: int = 130) -> str:
    """Return a figure as an <img> whose pixels are in the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(words, quote=True)}" src="data:image/png;base64,{data}">'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table of text cells."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "\n".join(["<table>", line(head, "th"), *(line(row, "td") for row in rows), "</table>"])


def _scores(run: Run) -> str:
    kinds = [("accuracy", "")] if scores.kind(run.last) == "accuracy" else [("r2", " R2"), ("rmse", " RMSE")]
    names = [*(f"{split}_{kind}" for kind, _ in kinds for split in scores.SPLITS), "train_loss"]
    head = [run_plots.SPLIT_NAMES[split] + word for _, word in kinds for split in scores.SPLITS]
    rows = []
    for label, row in (("last epoch", run.last), ("best validation", run.best)):
        cells = ["" if row.get(name) is None else f"{row[name]:.4f}" for name in names]
        rows.append([f"{label} ({row['epoch']})", *cells])
    spent = sum(row.get("total_s") or 0.0 for row in run.metrics)
    seconds = (run.result or {}).get("seconds") or spent
    note = f'<p class="note">{escape(run.state)}, {seconds:.1f} s on {escape(str(run.meta.get("machine", "")))}</p>'
    return table(["", *head, "training loss"], rows) + note


def _figures(found: Sequence[Run], tell: Callable[[str], None]) -> list[str]:
    """Return a figure for each metric that a run has, validation accuracy first."""
    present = [name for name in METRICS if any(_line(run, name) for run in found)]
    pictures = []
    for number, name in enumerate(present, 1):
        tell(f"drawing {METRICS[name]} of {len(found)} runs ({number} of {len(present)})")
        pictures.append(_curves(found, name))
    if not pictures:
        pictures = ['<p class="note">No run has scores.</p>']
    more = len(summary.groups(found)) - MOST_CURVES
    return pictures + ([f'<p class="note">{more} more groups are in the table only.</p>'] if more > 0 else [])


def _line(run: Run, name: str) -> list[tuple[int, float]]:
    """Return a metric of a run, epoch by epoch, where it is there."""
    return [(row["epoch"], row[name]) for row in run.metrics if isinstance(row.get(name), int | float)]


def _curves(found: Sequence[Run], name: str) -> str:
    """Return a metric of each run as a thin curve, and each group's mean as a thick one."""
    keys, held = summary.varying(found), list(summary.groups(found).items())[:MOST_CURVES]
    with style.styled():
        import matplotlib
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        axis, trained = figure.subplots(), list[float]()
        colours = matplotlib.colormaps["tab10" if len(held) <= 10 else "tab20"]
        for number, (values, members) in enumerate(held):
            lines = [line for run in members if (line := _line(run, name))]
            if not lines:
                continue
            for line in lines if len(lines) > 1 else []:
                axis.plot(*zip(*line, strict=True), color=colours(number), linewidth=0.5, alpha=0.4)
            epochs = min(map(len, lines))
            middle = [mean(line[k][1] for line in lines) for k in range(epochs)]
            label = ", ".join(f"{key} {tables.shown(v)}" for key, v in zip(keys, values, strict=True)) or "all"
            axis.plot(
                [epoch for epoch, _ in lines[0][:epochs]],
                middle,
                color=colours(number),
                marker="o",
                label=style.plain(label),
            )
            trained += [value for line in lines for epoch, value in line if epoch and isfinite(value)]
        if trained:  # random weights lie outside
            room = 0.08 * (max(trained) - min(trained) + 0.01)
            axis.set_ylim(min(trained) - room, max(trained) + room)
        axis.set_xlabel("epoch")
        axis.set_ylabel(METRICS[name])
        style.whole_numbers(axis)
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)
        return image(figure, f"{METRICS[name]} of each run and group over the epochs")


def _command(run: Run) -> str:
    return _pre(str(run.meta.get("command", "")))


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _settings(settings: Row) -> str:
    return table(["setting", "value"], [[key, tables.shown(value)] for key, value in settings.items()])


def _versions(found: Sequence[Run], names: Sequence[str]) -> str:
    """Return what the runs were made with, and where they differ all that there is."""
    held = [{name: run.meta.get(name) for name in names} | (run.meta.get("packages") or {}) for run in found]
    told = {
        name: dict.fromkeys(str(each[name]) for each in held if each.get(name) is not None)
        for name in dict.fromkeys(name for each in held for name in each)
    }
    return table(["", ""], [[name, ", ".join(values)] for name, values in told.items() if values])


def _epochs(run: Run) -> str:
    columns = [name for name in run.metrics[-1] if name == "total_s" or not name.endswith("_s")]
    rows = [[_number(row.get(name)) for name in columns] for row in run.metrics]
    return table(columns, rows)


def _is_same(key: str, value: Any, found: Sequence[Run]) -> bool:
    return key not in summary.INDIFFERENT and all(run.settings.get(key) == value for run in found)


def _score(row: Row, split: str) -> str:
    value = scores.score(row, split)
    return "no" if value is None else f"{value:.4f}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else tables.shown(value)
