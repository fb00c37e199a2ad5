"""`annealtrain report`: a run or a sweep as one page."""

from pathlib import Path

from annealtrain.reports import html


def report(folder: Path) -> Path:
    """Write report.html into the folder of a run or of a sweep, return its path."""
    return html.write_report(folder)
