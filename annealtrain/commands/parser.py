"""Parsers of command lines whose errors are one line, as all others are."""

import argparse
import os
import re
from pathlib import Path
from typing import NoReturn

from annealtrain.errors import InputError, nearest


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises InputError in place of printing its usage."""

    def error(self, message: str) -> NoReturn:
        named = re.match(r"unrecognized arguments: --([\w.-]+)", message)
        if named and any(action.dest in ("overrides", "run") for action in self._actions):
            message += f": settings are written without dashes, {named[1].replace('-', '_')}=..."
        elif re.match(r"unrecognized arguments: .*\w=", message):
            message += ": it takes no settings, a run has its own"
        if message.startswith("the following arguments are required: "):  # it names those that may be left out too
            for action in self._actions:
                message = message.replace(f", {action.metavar}", "") if action.nargs == "*" else message
        raise InputError(f"{message}: see {self.prog} --help")


def parser_of(command: str, description: str) -> Parser:
    """Return the parser of a command."""
    return Parser(prog=f"annealtrain {command}", description=description)


def check_folder(folder: Path, *, is_run: bool = True) -> None:
    """Raise InputError for what is no folder, with the nearest that there is. is_run: it is to be a run's."""
    from annealtrain.runs.contents import META  # here, as --help needs no NumPy

    if os.path.isfile(folder):
        raise InputError(f"{folder} is a file: give the folder that it lies in, {folder.parent}")
    if not os.path.isdir(folder):
        above = folder.parent
        names = [path.name for path in above.iterdir() if path.is_dir()] if os.path.isdir(above) else []
        raise InputError(f"there is no folder {folder}{nearest(folder.name, names)}: train prints a run's at its end")
    if is_run and not os.path.lexists(folder / META):
        runs = sorted(path.parent.name for path in folder.glob(f"*/{META}"))
        within = f", but runs such as {folder / runs[0]}: give one of them" if runs else ""
        raise InputError(f"{folder} is not a run folder: it has no {META}{within}")
