"""`annealtrain report`: a run or a sweep as one page."""

import sys
from pathlib import Path

from annealtrain.reports import html


def report(folder: Path) -> Path:
    """Write report.html into the folder of a run or of a sweep, return its path."""
    return html.write_report(folder, _tell)


def _tell(line: str) -> None:
    """Show how far the work is, where there is someone to see it."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)
