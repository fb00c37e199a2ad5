"""Faults of a user's own YAML, each in one line with its file: what does not parse, and what a built-in hides."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from traceback import walk_tb
from typing import Any

import yaml

from annealtrain.errors import InputError
from annealtrain.experiment.known_settings import CONFIGS, groups

MOST_VALUES = 100_000  # of a YAML: far above what a person writes


def fault(error: BaseException) -> str | None:
    """Return one line, with file and line number, for a YAML that cannot be read; None for an error of another kind."""
    path = _file_read(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        where = f"{path or error.problem_mark.name}, line {error.problem_mark.line + 1}"
        return f"{where}: {_one_line(error.problem)}: mend the YAML there"
    if path is None:
        return None
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        return f"{path}, line {line}: is not UTF-8 (byte 0x{error.object[error.start]:02x}): save the file as UTF-8"
    if isinstance(error, yaml.reader.ReaderError):
        line = path.read_text(encoding="utf-8")[: error.position].count("\n") + 1
        return f"{path}, line {line}: the character U+{int(error.character):04X} is not allowed in YAML: take it out"
    if isinstance(error, RecursionError):
        return f"{path}: is nested too deeply"
    if isinstance(error, yaml.YAMLError | ValueError | OSError):
        return f"{path}: {_one_line(error)}"
    return None


def check_own(settings: Any) -> None:
    """Raise InputError for a user's own YAML that a different built-in hides, or whose first line is not seen.

    settings: of Hydra, for a composed configuration.
    """
    folders = [Path(source.path) for source in settings.runtime.config_sources if source.schema == "file"]
    for name, shipped in _shipped(files(CONFIGS)) if folders else ():
        for path in (folder / name for folder in folders):
            if path.is_file() and path.read_bytes() != shipped.read_bytes():
                raise InputError(
                    f"{path} would not be read, a built-in {name.removesuffix('.yaml')} hides it: rename it"
                )
    for path in (path for folder in folders for group in groups() for path in sorted((folder / group).glob("*.yml"))):
        raise InputError(f"{path} would not be read: name it {path.stem}.yaml")
    for group, option in settings.runtime.choices.items():
        for path in (folder / str(group) / f"{option}.yaml" for folder in folders):
            if path.is_file() and path.read_bytes().startswith(BOM_UTF8):
                raise InputError(f"{path} begins with a byte order mark, which hides its header: save it without one")


def refuse_bombs(config_dir: str) -> None:
    """Raise InputError for a user's own YAML whose aliases stand for more values than could be composed.

    Asked before Hydra reads a file, which writes every alias out.
    """
    for path in (path for group in groups() for path in sorted(Path(config_dir, group).rglob("*.yaml"))):
        try:
            text = path.read_bytes()
            root = yaml.compose(text, Loader=yaml.SafeLoader) if b"&" in text and b"*" in text else None
        except (OSError, yaml.YAMLError, RecursionError):
            continue  # told where it is read
        if root is not None and _values(root, {}) > MOST_VALUES:
            raise InputError(f"{path}: its aliases stand for more than {MOST_VALUES} values: write fewer")


def _values(node: Any, known: dict[int, int]) -> int:
    """Return how many values a node of YAML is with each of its aliases written out."""
    if id(node) not in known:
        known[id(node)] = 1  # of one that holds itself
        below = node.value if isinstance(node, yaml.CollectionNode) else []
        known[id(node)] += sum(
            _values(one, known) for each in below for one in (each if type(each) is tuple else [each])
        )
    return known[id(node)]


def _shipped(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _shipped(entry, f"{above}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield above + entry.name, entry


def _file_read(error: BaseException) -> Path | None:
    """Return the file that Hydra was reading when an error arose: most errors do not name it."""
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_name == "load_config" and "full_path" in frame.f_locals:
            return Path(str(frame.f_locals["full_path"]))
    return None


def _one_line(error: Any) -> str:
    return " ".join(str(error).split()).removesuffix(".")
