"""The YAML files of run folders, which may come from others: plain values alone, of bounded size and depth."""

import re
from pathlib import Path
from typing import Any

import yaml

from annealtrain.runs.tables import unreadable
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Row

# Far above what a run writes: a configuration of 1,000 layers has some 100 kB.
MOST_BYTES, MOST_DEPTH, MOST_TEXT, MOST_INTEGER = 2**18, 40, 2**14, 2**63
FLOAT = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$")  # 1e-5, which YAML 1.1 takes for a text


def read_mapping(path: Path) -> Row:
    """Return the mapping in a YAML file; InputError, in one line, for anything else or more than a run writes.

    Its values are texts, numbers, true, false, null, lists and mappings by text. Nothing in the file is run.
    """
    try:
        text = files.read_bytes(path, MOST_BYTES).decode("utf-8-sig")
        _check_events(text)
        held = yaml.load(text, Loader=_Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise unreadable(path, error) from error
    if not isinstance(held, dict):
        raise unreadable(path, ValueError("it is not a mapping"))
    return held


def _check_events(text: str) -> None:
    """Raise ValueError for an alias, a tag, a long text or a deep nesting, before anything is made of the file."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        where = f"in line {event.start_mark.line + 1}"
        if getattr(event, "anchor", None) is not None:
            raise ValueError(f"it holds an anchor or an alias {where}")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"it holds a tag {where}")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MOST_TEXT:
            raise ValueError(f"it holds a text of more than {MOST_TEXT} characters {where}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels {where}")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values as the program writes them: no dates, each key a text that stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen: set[str] = set()
        for name, _ in node.value:
            key, line = self.construct_object(name, deep=True), name.start_mark.line + 1
            if not isinstance(key, str):
                raise ValueError(f"a key in line {line} is not a text")
            if key in seen:
                raise ValueError(f"the key {key[:80]!r} in line {line} stands there twice")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        value: int = self.construct_yaml_int(node)
        if abs(value) >= MOST_INTEGER:
            raise ValueError(f"a number in line {node.start_mark.line + 1} is beyond 2^63")
        return value


# Copies, since a loader shares its tables with those that it is derived from.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in held if not tag.endswith((":timestamp", ":merge", ":value"))]
    for first, held in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)
