"""`annealtrain collect`: all runs under a folder as one table."""

from collections.abc import Sequence
from pathlib import Path

from annealtrain.errors import InputError, nearest
from annealtrain.runs import checksums, collection, paper_tables, summary, tables
from annealtrain.runs.contents import RESULT
from annealtrain.runs.foreign import is_run
from annealtrain.runtime import files

ENDINGS = {"csv": "csv", "latex": "tex", "markdown": "md"}
OTHER = "give another folder or --output"
OF_A_RUN = (*checksums.TEXTS, *checksums.WEIGHTS, RESULT)


def collect(
    folder: Path, output: Path | None = None, kind: str = "csv", columns: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """Write the runs under a folder to a file; return a summary and what is left out.

    kind: csv, a row an epoch of each run; latex or markdown, a row a group of runs that differ in their seed alone.
    columns: of those, by their heads; none: all. output: None: FOLDER/runs.csv, .tex or .md.
    """
    if kind not in ENDINGS:
        raise InputError(f"--format {kind} is not one of {', '.join(ENDINGS)}{nearest(kind, ENDINGS)}")
    if columns and kind == "csv":
        raise InputError("--columns is for --format latex and markdown: the CSV has all")
    path = output or folder / f"runs.{ENDINGS[kind]}"
    if path.is_dir():
        raise InputError(f"--output {path} is a folder: name a file in it, such as {path / f'runs.{ENDINGS[kind]}'}")
    if is_run(path.parent) and path.name in OF_A_RUN:
        raise InputError(f"--output {path} is a file of the run in {path.parent}: give it another name")
    files.require_writable(path, OTHER)
    found, foreign = collection.find(folder)
    grouped = summary.summary(found)
    if kind == "csv":
        rows = summary.tidy(found)
        tables.write_csv(path, rows)
        note = f"+-: {paper_tables.SPREAD_IS}\n" if paper_tables.has_spread(grouped) else ""
        return f"{tables.as_text(*grouped)}\n{note}{len(found)} runs, {len(rows)} rows: {path}", foreign
    write = paper_tables.latex if kind == "latex" else paper_tables.markdown
    text = write(paper_tables.chosen(grouped, columns))
    files.write_text(path, text, OTHER)
    return f"{text}{len(found)} runs: {path}", foreign
