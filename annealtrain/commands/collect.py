"""`annealtrain collect`: all runs under a folder as one table."""

from pathlib import Path

from annealtrain.runs import collection, summary, tables


def collect(folder: Path, output: Path) -> tuple[str, list[str]]:
    """Write the runs under a folder to a CSV, a row an epoch; return a summary and what is left out."""
    found, foreign = collection.find(folder)
    rows = summary.tidy(found)
    tables.write_csv(output, rows)
    return f"{tables.as_text(*summary.summary(found))}\n{len(found)} runs, {len(rows)} rows: {output}", foreign
