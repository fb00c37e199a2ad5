"""Files that are whole at any moment."""

import os
from contextlib import suppress
from pathlib import Path

from annealtrain.errors import InputError


def write_atomically(path: Path, content: bytes, remedy: str) -> None:
    """Write a file atomically, through a part file beside it; InputError, with the remedy, where it cannot be."""
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path} ({error.strerror}): {remedy}") from error
