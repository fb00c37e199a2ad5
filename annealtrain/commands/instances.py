"""`annealtrain instances`: forty Hamiltonians of real layers, as files that other tools and `bench field` read."""

from collections.abc import Sequence
from pathlib import Path

from annealtrain.commands.export import OTHER, check_free, write
from annealtrain.commands.field.making import make
from annealtrain.commands.field.specs import SPECS
from annealtrain.errors import DataMissing, InputError, nearest
from annealtrain.hamiltonian import file_formats
from annealtrain.hamiltonian.instances import Instance, Known, catalogue, unknown
from annealtrain.runs.tables import as_text
from annealtrain.runtime import files

OWN = "npz"
MOST_TEXT_SPINS = 2000  # of a text format, unless an instance is asked for by its name: beyond are files of gigabytes


def listed(names: Sequence[str] = ()) -> str:
    """Return a table of instances, all where none are named: size, kind, what is known; InputError for another name."""
    for name in names:
        if name not in catalogue():
            raise unknown(name)
    head = ["instance", "weights", "levels", "spins", "J", "lowest energy", "gap of the bound", "hash"]
    rows = []
    for name in dict.fromkeys(names or catalogue()):
        known = catalogue()[name]
        about = known.about
        bound = "optimum" if known.is_certified else f"{-known.gap(known.bound):.2g}"
        words = [str(about[key]) for key in ("weights", "levels", "spins")]
        rows.append([name, *words, about["couplings"], str(known.energy), bound, known.hash])
    return as_text(head, rows)


def write_instances(names: Sequence[str], kind: str, folder: Path, data_dir: str | None, *, force: bool) -> list[str]:
    """Make instances and write a file for each; return a line for each file, and for each that could not be made.

    names: none for all. kind: npz, which annealtrain.instances.load reads, or a format of `export`.
    Raises InputError for unknown names and formats, where a file is there already, unless `force`, and where one has
    not the hash of the catalogue; DataMissing where an instance that is named needs images that are not at hand.
    """
    kinds = [OWN, *file_formats.FORMATS]
    if kind not in kinds:
        raise InputError(f"--format {kind} is not one of {', '.join(kinds)}{nearest(kind, kinds)}")
    known = {spec.name: spec for spec in SPECS}
    for name in names:
        if name not in known:
            raise unknown(name)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give --output another name")
    paths = {name: folder / f"{name}.{kind}" for name in names or known}
    for path in paths.values():
        if folder.exists():
            check_free(path, force=force)
        else:
            files.require_place(path, OTHER)
    lines = []
    for name, path in paths.items():
        try:
            instance = make(known[name], data_dir)
        except DataMissing as error:
            if names:
                raise
            lines.append(f"left out: {name}: {error}")
            continue
        if not names and kind not in (OWN, "bqm") and instance.num_spins > MOST_TEXT_SPINS:
            lines.append(f"left out: {name}: {kind} text of {instance.num_spins} spins: name it, and it is written")
            continue
        check_hash(instance, catalogue()[name])
        folder.mkdir(parents=True, exist_ok=True)
        write(path, content(instance, kind))
        lines.append(f"{path}: {instance.num_spins} spins, hash {instance.hash}")
    return lines


def check_hash(instance: Instance, known: Known) -> None:
    """Raise InputError where an instance is not the one of the catalogue."""
    if instance.hash != known.hash:
        raise InputError(
            f"instance {instance.name} has hash {instance.hash}, the catalogue {known.hash}: the images are others, or "
            "this version makes it otherwise; what is known of it does not hold"
        )


def content(instance: Instance, kind: str) -> bytes:
    """Return the content of an instance's file."""
    if kind == OWN:
        return instance.to_bytes()
    title = f"annealtrain instance {instance.name}, hash {instance.hash}"
    return file_formats.hamiltonian(instance.form(), kind, title)
