"""`annealtrain collect`: all runs under a folder as one table."""

from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.runs import checksums, collection, summary, tables
from annealtrain.runs.foreign import is_run

OF_A_RUN = (*checksums.TEXTS, *checksums.WEIGHTS, checksums.RESULT)


def collect(folder: Path, output: Path) -> tuple[str, list[str]]:
    """Write the runs under a folder to a CSV, a row an epoch; return a summary and what is left out."""
    if output.is_dir():
        raise InputError(f"--output {output} is a folder: name a file in it, such as {output / 'runs.csv'}")
    if is_run(output.parent) and output.name in OF_A_RUN:
        raise InputError(f"--output {output} is a file of the run in {output.parent}: give it another name")
    found, foreign = collection.find(folder)
    rows = summary.tidy(found)
    tables.write_csv(output, rows)
    return f"{tables.as_text(*summary.summary(found))}\n{len(found)} runs, {len(rows)} rows: {output}", foreign
