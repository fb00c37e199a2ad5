"""Which values of a composed configuration its run reads, those that interpolations refer to among them."""

import re
from collections.abc import Iterator
from typing import Any

from annealtrain.experiment.config import INDIFFERENT, RULES, Config

Path = tuple[str, ...]

OF_MODEL = ("name", "image_size", "layers")
# Read by the program itself, each with all that is below it.
PARTLY = ("augment", "fixed_grid", "levels")
OF_GRID: tuple[Path, ...] = (("levels",), *(("fixed_grid", name) for name in ("moves", "shadow")))
ROOTS: tuple[Path, ...] = (
    *((name,) for name in (*RULES, *INDIFFERENT, "dataset", "optimizer", "solver", "schedule") if name not in PARTLY),
    *(("augment", name) for name in ("shift", "flip")),
    *(("model", name) for name in OF_MODEL),
)
INNERMOST = re.compile(r"\$\{([^${}]*)\}")
PART = re.compile(r"[^.\[\]]+")
ABSENT = object()


def paths_read(config: Config) -> set[Path]:
    """Return the paths of all that a run of a configuration reads.

    config: plain dictionaries and lists, its interpolations as text.
    """
    reading, roots = _Reading(config), list(ROOTS)
    if config.get("grid") == "fixed":
        roots += OF_GRID
        if config.get("levels") is not None:  # which stand in the place of 2^bits
            roots.remove(("bits",))
    for root in roots:
        reading.follow(root)
    if child(config.get("model"), "_target_") is not ABSENT:  # arguments of a torch module
        reading.follow(("model",))
        if config.get("solver") is not None:  # an optimizer that anneals nothing trains all of them
            reading.follow(("rest",))
    if isinstance(config.get("method"), str):  # a run's label; the settings of a YAML without its header are none
        reading.follow(("method",))
    return reading.read


class _Reading:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.read: set[Path] = set()
        self.followed: set[Path] = set()  # interpolations may refer to each other in a circle

    def follow(self, path: Path) -> None:
        """Read all that is at a path, and what the interpolations on the way to it refer to."""
        if path in self.followed:
            return
        self.followed.add(path)
        node: Any = self.config
        for at, name in enumerate(path):
            if isinstance(node, str):  # the rest of the path lies below what this refers to
                self.read.add(path[:at])
                self._refer(path[:at], node, path[at:])
                return
            if (node := child(node, name)) is ABSENT:
                return
        self._read_all(path, node)

    def _read_all(self, path: Path, node: Any) -> None:
        self.read.add(path)
        if isinstance(node, str):
            self._refer(path, node)
        for name, below in children(node):
            self._read_all((*path, name), below)

    def _refer(self, path: Path, text: str, rest: Path = ()) -> None:
        """Read what a text at a path refers to, the innermost first, and the rest of a path below that."""
        while found := INNERMOST.search(text):
            name, value = _source(found[1]), ""
            if name:
                source = _absolute(name, path)
                self.follow((*source, *rest))
                value = str(value_at(self.config, source))
                value = "" if INNERMOST.search(value) else value
            text = text[: found.start()] + value + text[found.end() :]


def _source(inner: str) -> str:
    """Return the path in the brackets of an interpolation, or what a resolver of OmegaConf's own takes for one."""
    kind, colon, given = inner.partition(":")
    if not colon:
        return kind.strip()
    return given.split(",")[0].strip() if kind.startswith("oc.") and kind != "oc.env" else ""


def _absolute(name: str, path: Path) -> Path:
    """Return the path that an interpolation's name means: its first leading dot is the mapping that it stands in."""
    dots = len(name) - len(name.lstrip("."))
    return (*(path[: max(len(path) - dots, 0)] if dots else ()), *PART.findall(name[dots:]))


def value_at(node: Any, path: Path) -> Any:
    """Return what is at a path, ABSENT where nothing is."""
    for name in path:
        node = child(node, name)
    return node


def child(node: Any, name: str) -> Any:
    """Return what a mapping or a list holds under a name, ABSENT where that is nothing."""
    return dict(children(node)).get(name, ABSENT)


def children(node: Any) -> list[tuple[str, Any]]:
    """Return what a mapping or a list holds, by names: a list's are its indices."""
    items = enumerate(node) if isinstance(node, list) else node.items() if isinstance(node, dict) else ()
    return [(str(name), below) for name, below in items]


def leaves(node: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of all values, empty mappings and lists among them."""
    for name, below in children(node):
        if children(below):
            yield from leaves(below, (*path, name))
        else:
            yield (*path, name)


def meet(one: Path, other: Path) -> bool:
    """Whether one of two paths leads to the other."""
    return one[: len(other)] == other[: len(one)]
