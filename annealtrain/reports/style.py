"""The house style of all figures."""

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from annealtrain.errors import InputError, in_words
from annealtrain.runtime import files
from annealtrain.runtime.foreign_text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.0,
    "legend.frameon": False,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "svg.hashsalt": "annealtrain",
}


@contextmanager
def styled() -> Iterator[None]:
    """The house style of all figures. Drawn and saved without pyplot: no backend is chosen, no window opened."""
    load()
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def load() -> None:
    """Import matplotlib, before anything of it is imported; InputError where its surroundings keep it from beginning.

    Of all settings it takes a matplotlibrc of the working directory first, which may be somebody else's run folder.
    """
    time = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not re.fullmatch(r"[0-9]{0,11}", time):  # matplotlib dates PDF files by it
        raise InputError(f"SOURCE_DATE_EPOCH={time} is not a number of seconds: unset it")
    if "matplotlib" in sys.modules:
        return
    elsewhere = chdir(Path(__file__).anchor) if os.path.lexists("matplotlibrc") else nullcontext()
    try:
        with elsewhere:
            import matplotlib  # noqa: F401
    except ValueError as error:
        why = in_words(error).partition(";")[0]
        raise InputError(f"matplotlib cannot begin ({why}): mend MPLBACKEND, or your matplotlibrc") from error


def class_name(target: Any) -> str:
    """Return the last part of a dotted name."""
    return str(target or "").rpartition(".")[2]


def save(figure: "Figure", path: Path) -> None:
    """Write a figure; the same figure gives the same bytes."""
    files.write_atomically(path, rendered(figure, path.suffix[1:]), "make room there, or give another folder")


def png(figure: "Figure") -> bytes:
    """Return a figure as the content of a PNG file."""
    return rendered(figure, "png")


def rendered(figure: "Figure", kind: str) -> bytes:
    """Return a figure as the content of a file of a kind: png, pdf or svg."""
    keys: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=keys[kind])
    return buffer.getvalue()


def plain(text: str, most: int = 200) -> str:
    """Return a text of a run as a figure shows it: on one line, not too long, and never as mathematics."""
    text = printable(text)
    return (text if len(text) <= most else f"{text[:most]}...").replace("$", r"\$")


def drawable(value: Any) -> TypeGuard[float]:
    """Whether a value is a number that axes can show: finite, and neither so large nor so small that they overflow."""
    return isinstance(value, int | float) and (value == 0 or 1e-100 < abs(value) < 1e100)


def whole_numbers(axis: "Axes") -> None:
    """Ticks of the x-axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def scale(axis: "Axes", kind: str, values: Sequence[float]) -> None:
    """Choose the y-axis: a log axis only where all values are positive and span more than a factor of five."""
    if kind == "share":
        axis.set_ylim(-0.03, 1.03)
    elif kind == "count":
        axis.set_ylim(-0.03, max(1.0, *values) * 1.03)
    elif kind == "symlog":
        sizes = [abs(value) for value in values if value]
        if sizes and max(sizes) > 20 * float(np.median(sizes)):
            axis.set_yscale("symlog", linthresh=10 ** floor(log10(float(np.median(sizes)))))
        axis.axhline(0, color="#888888", linewidth=0.8)
    elif kind == "log" and values and min(values) > 0 and max(values) > 5 * min(values):
        axis.set_yscale("log")
