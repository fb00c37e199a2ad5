"""`annealtrain figure`, and the sweep behind it: run what a figure of the paper needs, gather it and draw it."""

from collections.abc import Sequence
from pathlib import Path

from annealtrain.commands import streams
from annealtrain.commands.hydra_app import run_hydra
from annealtrain.commands.job_folder import INDIFFERENT
from annealtrain.errors import InputError
from annealtrain.reports import paper_figures
from annealtrain.reports.paper import check_name
from annealtrain.runtime import files

OTHER = "give another --output"
# What a figure sets itself, and what is written in its place.
OWN = {
    "figure": "annealtrain figure NAME draws one",
    "seeds": "write --seeds N",
    "sweep": "annealtrain train sweep=... begins another sweep",
    "experiment": "annealtrain train --multirun experiment=... compares others",
    "hydra.sweep.dir": "write --output DIR",
    "hydra.run.dir": "write --output DIR",
}


def figure(name: str, overrides: Sequence[str], seeds: int, output: Path) -> int:
    """Run figure `name` with so many seeds a method, draw it into output/figures/NAME; return the exit code.

    Finished runs are kept. overrides: as for annealtrain train. Raises InputError for a name that the paper has not.
    """
    check_name(name)
    keys = [word.lstrip("+").partition("=")[0] for word in overrides]
    if taken := {"optimizer", "solver"} & set(keys):
        raise InputError(
            f"{min(taken)}=: a figure compares methods, each an optimizer and a solver: narrow it by method="
        )
    for key, instead in OWN.items():
        if key in keys:
            raise InputError(f"{key}= is the figure's own: {instead}")
    folder = output / "figures" / name
    is_papers = all(key in INDIFFERENT or key.startswith(("hydra.", "hydra/")) for key in keys)
    # The figure of other settings is not the paper's: its curves stay beside it.
    reference = (output if is_papers else folder) / "reference"
    for path in (folder / f"{name}.png", reference / f"{name}.csv", reference / "table.md"):  # before all runs
        files.require_place(path, OTHER)
    words = ["sweep=figure", f"figure={name}", f"seeds={seeds}", *overrides, f"hydra.sweep.dir={folder}/runs"]
    if code := run_hydra(words):
        return code
    for path in paper_figures.make_figure(name, folder, reference, seeds):
        streams.say(path)
    files.write_text(reference / "table.md", paper_figures.table(reference) + "\n", OTHER)
    return 0
