"""Draw the energies of a unit's Hamiltonian: their density, the lowest of them, and the eigenvalues of J."""

from typing import TYPE_CHECKING

import numpy as np

from annealtrain.reports.style import plain, whole_numbers
from annealtrain.runtime.array_types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 40  # of the lowest energies
PLAIN, FOUND, PRESENT = "#9aa0a6", "#0b6e99", "#d1495b"


def drawn(
    what: str,
    *,
    energies: Array,
    states: Array,
    edges: Array,
    density: Array,
    reads: Array | None,
    present: float,
    eigenvalues: Array | None,
    condition: float,
) -> "Figure":
    """Return the figure; to be called and saved inside `styled`. The arrays are those of a Spectrum."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.2, 3.4), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    _density(first, edges - energies[0], density, reads, present - float(energies[0]))
    figure.legend(loc="outside lower left", ncols=3, fontsize=8)
    _lowest(second, energies[:SHOWN], states[:SHOWN], "states" if reads is None else "reads")
    _eigenvalues(third, eigenvalues, condition)
    figure.suptitle(plain(what), x=0.01, ha="left", fontsize=11)
    return figure


def _density(axis: "Axes", edges: Array, density: Array, reads: Array | None, present: float) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.stairs(density, edges, color=PLAIN, fill=True, label="all states" if reads is None else "states by chance")
    if reads is not None:
        axis.stairs(reads, edges, color=FOUND, fill=True, alpha=0.8, label="reads")
    axis.axvline(present, color=PRESENT, linewidth=1.2, label="present weights")
    axis.set_yscale("log")
    axis.set_ylim(0.7, None)
    axis.set_title("density of states" if reads is None else "energies by chance, and found")
    axis.set_xlabel("energy above the lowest")
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5))


def _lowest(axis: "Axes", energies: Array, states: Array, words: str) -> None:
    above = energies - energies[0]
    axis.hlines(above, 0, states, color=FOUND, linewidth=1.4)
    axis.plot(states, above, color=FOUND, marker="o", linestyle="none")
    axis.set_xlim(0, max(2.0, 1.08 * float(states.max())))
    axis.set_title(f"the lowest {len(above)} energies")
    axis.set_xlabel(f"{words} that have it")
    axis.set_ylabel("energy above the lowest")
    whole_numbers(axis)


def _eigenvalues(axis: "Axes", eigenvalues: Array | None, condition: float) -> None:
    if eigenvalues is None:
        axis.set_visible(False)
        return
    shown = np.where(eigenvalues > 0, eigenvalues, np.nan)[::-1]
    axis.plot(np.arange(1, len(shown) + 1), shown, color=FOUND, marker="o", markersize=2.5)
    if np.isfinite(shown).any():
        axis.set_yscale("log")
    axis.set_title(f"eigenvalues of J, condition {condition:.3g}")
    axis.set_xlabel("number")
    whole_numbers(axis)
