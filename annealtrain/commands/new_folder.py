"""A folder for what a benchmark finds: taken before its work, so that two of them never write into one."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from annealtrain.commands import streams
from annealtrain.commands.export import OTHER
from annealtrain.errors import InputError
from annealtrain.runs import lock
from annealtrain.runtime import files


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a new folder while the body runs; made here, gone again where nothing is written.

    Where another process is at work in it, its end is waited for. Raises InputError for a folder that holds something,
    or that cannot be written.
    """
    _require_empty(folder)
    files.require_place(folder / "file", OTHER)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock.exclusive(folder, lambda: streams.note(f"another process is at work on {folder}: waiting")):
            _require_empty(folder)
            yield
    finally:
        with suppress(OSError):  # it holds what was found
            for each in made:
                each.rmdir()


def _require_empty(folder: Path) -> None:
    if folder.is_dir() and any(path.name != lock.LOCK for path in folder.iterdir()):
        raise InputError(f"folder {folder} is not empty: give --output another one")
