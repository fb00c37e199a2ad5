"""Parsers of command lines whose errors are one line, as all others are."""

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from annealtrain.errors import InputError, nearest

# Of the commands that build what a run folder describes: it may come from others, and from another machine.
TRUST: dict[str, Any] = {
    "action": "append",
    "default": [],
    "metavar": "MODULE",
    "help": "a module of your own, such as my_solver, whose objects a run folder may name (repeatable)",
}
# What epochs or weight_histograms are in such words makes no difference: those of a run serve without a change.
WORDS = "key=value ..., all that a run of annealtrain train would be given"
RUN = f"a run folder, or {WORDS}"
DATA_DIR: dict[str, Any] = {
    "metavar": "DIR",
    "help": "where the run's data are on this machine, if not where they were",
}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises InputError in place of printing its usage, for words that are empty too."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._refuse_empty(args)
        return super().parse_known_args(args, namespace)

    def parse_known_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._refuse_empty(args)
        return super().parse_known_intermixed_args(args, namespace)

    def _refuse_empty(self, words: Sequence[str]) -> None:
        """Raise InputError for a word without a letter: as a path it would be the working directory, silently."""
        for before, word in zip(["", *words], words, strict=False):
            if word == "":
                self.error(f"{before if before.startswith('--') else 'a word'} is empty: give a value, or leave it out")
            if re.fullmatch(r"--[\w-]+=", word):
                self.error(f"{word[:-1]} is empty: give a value, or leave it out")

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


def run_folder(command: str, description: str, *, builds: bool = False) -> Parser:
    """Return the parser of a command on a run folder. builds: whether it builds what the folder describes."""
    parser = parser_of(command, description)
    parser.add_argument("folder", type=Path, help="a run folder, as annealtrain train prints it at its end")
    if builds:
        parser.add_argument("--data-dir", **DATA_DIR)
        parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:1 in the place of the run's own")
        parser.add_argument("--trust", **TRUST)
    return parser


def of_unit(command: str, description: str) -> Parser:
    """Return the parser of a command on a unit of a run, or of settings alone."""
    parser = parser_of(command, description)
    parser.add_argument("run", nargs="+", metavar="RUN", help=RUN)
    parser.add_argument("--layer", type=int, default=0, metavar="K", help="trainable layer, from 0")
    parser.add_argument("--unit", type=int, default=0, metavar="I", help="output unit of the layer, from 0")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    parser.add_argument("--config-dir", metavar="DIR", help="a folder with YAML of your own")
    parser.add_argument("--data-dir", **DATA_DIR)
    parser.add_argument("--trust", **TRUST)
    return parser


@contextmanager
def named_run(words: Sequence[str]) -> Iterator[Path | None]:
    """Yield the run folder that words name, None where they are settings, for a body that reads either.

    Raises InputError for a folder that is none of a run, and says of a single unknown setting that it is no folder.
    """
    from annealtrain.commands.sweep_folder import CLAIM  # here, as --help needs none of it

    folders = [word for word in words if "=" not in word or Path(word).is_dir()]  # seed=0 is one in a sweep's
    if folders and len(words) > 1:
        raise InputError(f"{folders[0]} is a run folder: it stands alone, without other folders or settings")
    if not folders and Path(CLAIM).is_dir():  # among a sweep's runs key=value is the name of one
        raise InputError(f"{','.join(words)} is no run of this sweep: give one of its folders, or call from elsewhere")
    folder = Path(folders[0]) if folders else None
    if folder:
        check_folder(folder)
    try:
        yield folder
    except InputError as error:
        if folder or len(words) > 1 or not str(error).startswith("no setting"):
            raise
        raise InputError(f"{error}; nor is there a run folder {words[0]}") from error


def epochs_of(words: Sequence[str]) -> int | None:
    """Return the number in epochs=N, None without; InputError for anything else."""
    other = next((word for word in words if not re.fullmatch(r"epochs=\d{1,9}", word)), None)
    if other or len(words) > 1:
        raise InputError(f"{other or words[1]}: a run goes on as it was begun, beside its folder stands epochs=N alone")
    return int(words[0].partition("=")[2]) if words else None


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
