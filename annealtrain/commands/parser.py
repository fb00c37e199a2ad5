"""Parsers of command lines whose errors are one line, as all others are."""

import argparse
import re
from typing import NoReturn

from annealtrain.errors import InputError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises InputError in place of printing its usage."""

    def error(self, message: str) -> NoReturn:
        named = re.match(r"unrecognized arguments: --([\w.-]+)", message)
        if named and any(action.dest in ("overrides", "run") for action in self._actions):
            message += f": settings are written without dashes, {named[1].replace('-', '_')}=..."
        raise InputError(f"{message}: see {self.prog} --help")


def parser_of(command: str, description: str) -> Parser:
    """Return the parser of a command."""
    return Parser(prog=f"annealtrain {command}", description=description)
