"""`annealtrain spectrum`: the energies of a unit's Hamiltonian as tables and a figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from annealtrain.commands.export import OTHER, check_free, check_settings, config_of, layer_problem
from annealtrain.experiment.builder import ready
from annealtrain.experiment.config import threads_of
from annealtrain.hamiltonian.grid import in_words
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.reports import spectrum_plots, style
from annealtrain.runs import checksums, tables
from annealtrain.runtime import files, thread_pool
from annealtrain.runtime.validation import READS
from annealtrain.solvers.spectrum import Spectrum, spectrum

PARTS = ("spectrum.png", "spectrum.pdf", "levels.csv", "density.csv", "eigenvalues.csv")


def write_spectrum(
    folder: Path | None,
    overrides: list[str],
    config_dir: str | None,
    *,
    layer: int,
    unit: int,
    output: Path | None,
    force: bool,
    reads: int,
    trusted: Sequence[str] = (),
    data_dir: str | None = None,
) -> str:
    """Write the figure and the tables of a unit's energies; return lines on what they are and where.

    folder: a run, at its last weights; or None: the first weights of a run with these overrides. The others are as of
    `export`; reads: of an annealer, where the states are too many to be counted.
    """
    READS.check("--reads", reads)
    check_settings(has_run=folder is not None, has_output=output is not None, data_dir=data_dir, trusted=trusted)
    place = output or folder
    assert place is not None
    paths = {part: place / f"layer{layer}_unit{unit}_{part}" for part in PARTS}
    if output and not output.exists():
        files.require_place(paths[PARTS[0]], OTHER)
    else:
        for path in paths.values():
            check_free(path, force=force)
    config = config_of(folder, overrides, config_dir, trusted, data_dir)
    if folder:
        checksums.verify_run(folder)
    with thread_pool.threads(threads_of(config)):
        trainer, epoch = ready(config, folder)
        form = layer_problem(trainer, layer, epoch, unit).unit(unit)
        found = spectrum(form, num_reads=reads)
    what = f"layer {layer}, unit {unit} after {epoch} epochs"
    place.mkdir(parents=True, exist_ok=True)
    _write(found, paths, what)
    return "\n".join([what + ":", *_lines(found, form), *map(str, paths.values())])


def _write(found: Spectrum, paths: dict[str, Path], what: str) -> None:
    count = "states" if found.is_counted else "reads"
    levels = zip(found.energies.tolist(), found.states.tolist(), strict=True)
    tables.write_csv(paths["levels.csv"], [{"energy": energy, count: states} for energy, states in levels])
    rows = [{"low": low, "high": high} for low, high in zip(found.edges[:-1], found.edges[1:], strict=True)]
    counts = {"states": found.density} if found.reads is None else {"random": found.density, "reads": found.reads}
    density = [row | {name: int(held[at]) for name, held in counts.items()} for at, row in enumerate(rows)]
    tables.write_csv(paths["density.csv"], density)
    values = [] if found.eigenvalues is None else found.eigenvalues.tolist()
    tables.write_csv(paths["eigenvalues.csv"], [{"eigenvalue": value} for value in values] or [{"eigenvalue": ""}])
    with style.styled():
        figure = spectrum_plots.drawn(
            what,
            energies=found.energies,
            states=found.states,
            edges=found.edges,
            density=found.density,
            reads=found.reads,
            present=found.present,
            eigenvalues=found.eigenvalues,
            condition=found.condition,
        )
        for part in PARTS[:2]:
            style.save(figure, paths[part])


def _lines(found: Spectrum, form: QuadraticForm) -> list[str]:
    live, dead = form.couplings.indices.size, form.S0.size - form.couplings.indices.size
    weights = f"{live} weights of {in_words(form.bits, form.num_levels)}"
    weights += f", {dead} more move no energy" if dead else ""
    lowest = f"lowest energy {found.energies[0]:.6g}"
    if found.is_counted:
        lines = [f"{weights}: {2**found.log2_states:.0f} states", f"{lowest}, of {found.degeneracy} of them"]
    else:
        lines = [
            f"{weights}: 2^{found.log2_states:.4g} states, too many to be counted",
            f"{lowest}, of {found.degeneracy} of {int(found.states.sum())} reads",
        ]
    gap = f"; gap {found.gap:.3g}" if len(found.energies) > 1 else ""
    lines[1] += f"{gap}; at the present weights {found.present:.6g}"
    if found.eigenvalues is not None:
        rank = int(np.sum(found.eigenvalues > found.eigenvalues[-1] * len(found.eigenvalues) * 2.3e-16))
        span = f"{found.eigenvalues[0]:.3g} to {found.eigenvalues[-1]:.3g}"
        lines.append(f"eigenvalues of J {span}, rank {rank}, condition {found.condition:.3g}")
    return [f"  {line}" for line in lines]
