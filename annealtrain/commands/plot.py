"""`annealtrain plot`: a run as a picture."""

from pathlib import Path

from annealtrain.reports import run_plots


def plot(folder: Path) -> str:
    """Draw the run in a folder, return the paths of the pictures, a line each."""
    return "\n".join(str(path) for path in run_plots.plot_run(folder))
