"""The flags of `annealtrain train`, which may stand anywhere in its line, and the settings between them."""

from collections.abc import Sequence

from annealtrain.errors import InputError, nearest

RERUN = "--experimental-rerun"
# Hydra's flags, long and short.
WITH_VALUE = {
    "--cfg": "-c",
    "--package": "-p",
    "--config-path": "-cp",
    "--config-name": "-cn",
    "--config-dir": "-cd",
    RERUN: "",
}
ALONE = {
    "--help": "-h",
    "--hydra-help": "",
    "--version": "",
    "--resolve": "",
    "--run": "-r",
    "--multirun": "-m",
    "--shell-completion": "-sc",
}
CFG = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # what may follow --info
LONG = [*WITH_VALUE, *ALONE, "--info"]
SHORT = {short: flag for flag, short in {**WITH_VALUE, **ALONE, "--info": "-i"}.items() if short}


def parted(arguments: Sequence[str]) -> tuple[dict[str, str | None], list[str]]:
    """Return the flags of a line by their long names, with their values, and its settings.

    Raises InputError for a flag that there is not, that lacks its value, or that stands there with two values.
    """
    flags: dict[str, str | None] = {}
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            words.append(word)
            continue
        given, equals, value = word.partition("=")
        flag = _flag(given, value if equals else rest[0] if rest else "")
        taken: str | None = value if equals else None
        if flag in ALONE and equals:
            raise InputError(f"{flag} takes no value: write {flag}")
        if flag in WITH_VALUE and not equals:
            if not rest:
                raise InputError(f"{flag} needs a value: {flag}=...")
            taken = rest.pop(0)
        if flag == "--info" and rest and rest[0] in INFO and not equals:
            taken = rest.pop(0)
        known = {"--cfg": CFG, "--info": INFO}.get(flag, ())
        if known and taken is not None and taken not in known:
            raise InputError(f"{flag}={taken} is not known{nearest(taken, known)}: choose one of {', '.join(known)}")
        if flag in flags and flags[flag] != taken:
            raise InputError(f"{flag} is given twice, as {flags[flag]} and as {taken}: keep one")
        flags[flag] = taken
    return flags, words


def line_of(flags: dict[str, str | None]) -> list[str]:
    """Return flags as words."""
    whole = {**flags, "--info": flags["--info"] or "all"} if "--info" in flags else flags  # it would take the next word
    return [flag if value is None else f"{flag}={value}" for flag, value in whole.items()]


def _flag(given: str, value: str) -> str:
    """Return the long name of a flag, which may be short or the beginning of one; InputError where there is none."""
    if given in SHORT:
        return SHORT[given]
    begun = [flag for flag in LONG if flag == given or _begins(given, flag)]
    if len(begun) == 1 or given in begun:
        return given if given in begun else begun[0]
    name = given.lstrip("-").replace("-", "_")
    close = nearest(given, [flag for flag in LONG if flag != RERUN])
    raise InputError(f"no option {given}{close}: settings are written without dashes, {name}={value or '...'}")


def _begins(given: str, flag: str) -> bool:
    """Whether a word is the beginning of a flag, and not the name of a group."""
    return given.startswith("--") and flag.startswith(given) and given != "--experiment"
