"""What a shell completes after `annealtrain`: commands, and, by Hydra, the settings of `train` and `estimate`."""

import os
from collections.abc import Iterable

TYPED = "COMP_LINE"  # bash's variable


def typed() -> str | None:
    """Return the line that is being typed, None where no shell asks."""
    return os.environ.get(TYPED)


def is_for_settings(line: str) -> bool:
    """Whether the line has come to the settings of a command; Hydra, which knows no commands, then reads it without."""
    words = line.split()
    if _is_at_command(line) or words[1] not in ("train", "estimate"):
        return False
    os.environ[TYPED] = line.replace(words[1] + " ", "", 1)
    return True


def print_commands(line: str, commands: Iterable[str]) -> int:
    """Print the commands, where one is being typed; return the exit code."""
    if _is_at_command(line):
        print(" ".join(commands))
    return 0


def _is_at_command(line: str) -> bool:
    words = line.split()
    return len(words) < 2 or (len(words) == 2 and not line.endswith(" "))
