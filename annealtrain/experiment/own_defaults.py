"""What a user's own YAML chooses and sets at its top, checked before Hydra composes it: each fault with its line."""

import os
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import yaml

from annealtrain.errors import InputError, nearest
from annealtrain.experiment.known_settings import CONFIGS, HEADER, groups, options
from annealtrain.experiment.versions import RENAMED

PACKAGE = re.compile(r"\s*#\s*@package\s+(\S+)\s*")
OVERRIDE = "'- override /model: lenet'"  # what an item of a defaults list looks like
LABEL = "method"  # a YAML of this group sets it: the name that its runs go by
NO_VALUES = (":set", ":omap", ":pairs")  # tags of YAML for what is neither a list nor a mapping
_NOTHING: tuple[Path, ...] = ()
Choice = tuple[str, str]  # a group, and the name of one of its options


def check_chosen(folder: Path, words: Sequence[str]) -> None:
    """Raise InputError for the first fault of a YAML in a folder that words choose, or that such a YAML chooses."""
    waiting, seen = [(*choice, _NOTHING) for choice in _chosen_by(words)], set[Path]()
    given, lacking = {_set_by(word.lstrip("+").partition("=")[0]) for word in words}, dict[str, str]()
    for group, name, is_swept, chain in waiting:
        path = folder / group / f"{name.removesuffix('.yaml')}.yaml"
        if path in chain:
            others = " and ".join(str(other) for other in chain[chain.index(path) + 1 :])
            raise InputError(f"{path} includes {others}, which includes it again: leave one out of the defaults")
        if name.startswith("/") or path in seen or not os.path.isfile(path):
            continue
        seen.add(path)
        if file := _read(folder, path):
            if is_swept and "hydra" in file.top:
                line = f"{file.at(file.key('hydra'))}: hydra: is not read where a sweep varies {group}="
                raise InputError(f"{line}: put them into the command line, or a YAML of the group sweep")
            waiting += [(*choice, is_swept, (*chain, path)) for choice in file.check()]
            for key, node in file.settings():
                if node.value == "???":
                    lacking.setdefault(key, file.at(node))
                else:
                    given.add(key)
    for key, where in lacking.items():
        if not any(f"{one}.".startswith(f"{key}.") or f"{key}.".startswith(f"{one}.") for one in given):
            raise InputError(f"{where}: {key} is to be given, and ??? alone would leave it as it is: write {key}=...")


def _chosen_by(words: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield the groups and names that words may choose, and whether a sweep varies them."""
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        names = [name.strip("'\"") for name in re.split(r"[,()\s]+", value) if name]
        yield from ((key.partition("@")[0], name, "," in value) for name in names)


def _set_by(name: str) -> str:
    """Return the setting that a name sets: each job's own where it is one that a sweep varies."""
    return name.removeprefix("hydra.sweeper.params.")


def _read(folder: Path, path: Path) -> "_File | None":
    """Return a YAML, None for one that cannot be read: Hydra says so, where it reads it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None
    if not isinstance(root, yaml.MappingNode):
        but = "" if root is None else ", but a list" if isinstance(root, yaml.SequenceNode) else f", but {root.value!r}"
        raise InputError(f"{path} holds no settings{but}: write key: value")
    header = PACKAGE.match(text)
    return _File(folder, path, path.parent.relative_to(folder).as_posix(), header[1] if header else None, root)


class _File(NamedTuple):
    folder: Path
    path: Path
    group: str
    package: str | None  # that its header names
    root: yaml.MappingNode

    @property
    def top(self) -> dict[str, yaml.Node]:
        """What stands at the top of the file, by its keys."""
        return {str(key.value): value for key, value in self.root.value}

    def key(self, name: str) -> yaml.Node:
        """Return the key of this name at the top of the file."""
        return next(key for key, _ in self.root.value if key.value == name)

    def at(self, node: yaml.Node) -> str:
        """Return where a node stands, as the beginning of a message."""
        return f"{self.path}, line {node.start_mark.line + 1}"

    def settings(self) -> Iterator[tuple[str, yaml.Node]]:
        """Yield what the file sets of a run, by full names: mappings by what is in them; nothing of other packages."""
        waiting = list(self.top.items()) if self.package == "_global_" else []
        seen = set[int]()
        while waiting:
            name, node = waiting.pop()
            if isinstance(node, yaml.MappingNode):
                if id(node) not in seen:  # an alias may lie in what it stands for
                    waiting += [(f"{name}.{key.value}", value) for key, value in node.value]
                seen.add(id(node))
            elif name != "defaults":
                yield _set_by(name), node

    def check(self) -> list[Choice]:
        """Return the options that this file chooses; InputError for its first fault."""
        if self.package and self.package != "_global_" and nearest(self.package, ["_global_"]):
            raise InputError(f"{self.path}: there is no package {self.package}: write '{HEADER}'")
        for key, value in self.root.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":null") or key.value == "":
                raise InputError(f"{self.at(key)}: a key is no name: write key: value")
            self._check_key(str(key.value), key, value)
        self._check_values()
        items = self.top.get("defaults")
        if items is None:
            return []
        if not isinstance(items, yaml.SequenceNode):
            raise InputError(f"{self.at(items)}: defaults must be a list, of items such as {OVERRIDE}")
        if [item.value for item in items.value].count("_self_") > 1:
            raise InputError(f"{self.at(items)}: _self_ stands in the defaults twice: keep one")
        return [choice for item in items.value for choice in self._choices(item)]

    def _check_key(self, name: str, key: yaml.Node, value: yaml.Node) -> None:
        """Raise InputError for a key that is no name, or one of a group that has a name for its value."""
        dot = name.partition(".")
        if dot[1] and dot[0].isidentifier():
            raise InputError(
                f"{self.at(key)}: {name} is no setting: write {dot[0]}: and, indented below, {dot[2]}: ..."
            )
        if name != "defaults" and nearest(name, ["defaults"]):
            raise InputError(f"{self.at(key)}: {name} is no setting; did you mean 'defaults'?")
        is_plain = isinstance(value, yaml.ScalarNode) and not value.tag.endswith(":null") and "${" not in value.value
        if self.package == "_global_" and name in groups() and is_plain and (name, self.group) != (LABEL, LABEL):
            remedy = f"'- override /{name}: {value.value}' in its defaults does"
            raise InputError(f"{self.at(key)}: {name}: {value.value} chooses no {name}: {remedy}")

    def _check_values(self) -> None:
        """Raise InputError for what no configuration can hold, at whatever depth."""
        waiting: list[yaml.Node] = [self.root]
        seen = set[int]()  # an alias may lie in what it stands for
        while waiting:
            node = waiting.pop()
            if id(node) in seen or not isinstance(node, yaml.CollectionNode):
                continue
            seen.add(id(node))
            if node.tag.endswith(NO_VALUES):
                raise InputError(f"{self.at(node)}: !!{node.tag.rpartition(':')[2]} is no value: write a list")
            for item in node.value:
                if isinstance(item, tuple) and item[0].tag.endswith(":null"):
                    raise InputError(f"{self.at(item[0])}: a key is no name: write key: value")
                waiting.append(item[1] if isinstance(item, tuple) else item)

    def _choices(self, item: yaml.Node) -> list[Choice]:
        """Return what an item of the defaults chooses."""
        if isinstance(item, yaml.ScalarNode) and item.tag.endswith(":str"):
            return self._named(item)
        if not isinstance(item, yaml.MappingNode) or len(item.value) != 1:
            raise InputError(f"{self.at(item)}: each item of the defaults is one group, as in {OVERRIDE}")
        (key, value), (*keywords, given) = item.value[0], str(item.value[0][0].value).split() or [""]
        for keyword in keywords:
            if keyword not in ("override", "optional"):
                close = nearest(keyword, ["override", "optional"])
                raise InputError(f"{self.at(key)}: {keyword} is not known in the defaults{close}: as in {OVERRIDE}")
        group = self._group(key, given.partition("@")[0], value, keywords, is_renamed="@" in given)
        names = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not all(isinstance(name, yaml.ScalarNode) and name.tag.endswith((":str", ":null")) for name in names):
            raise InputError(f"{self.at(value)}: {group} is not given the name of one of its options, as in {OVERRIDE}")
        chosen = [(group, str(name.value)) for name in names if name.tag.endswith(":str")]
        for _, name in chosen:
            if not ("optional" in keywords or "${" in name or group.startswith("hydra")):
                self._check_option(value, group, name)
        return chosen

    def _named(self, item: yaml.ScalarNode) -> list[Choice]:
        """Return the YAML that an item of the defaults includes by its name alone."""
        name = item.value.partition("@")[0]
        if name == "_self_" or "${" in name:
            return []
        if len(words := item.value.split()) > 1:
            raise InputError(
                f"{self.at(item)}: {item.value} lacks a colon: write '{' '.join(words[:-1])}: {words[-1]}'"
            )
        if ".." in name.split("/"):
            raise InputError(f"{self.at(item)}: {item.value} is a path: the defaults have names, as in {OVERRIDE}")
        group, _, option = (name if name.startswith("/") else f"{self.group}/{name}").strip("/").rpartition("/")
        if (group, option) == (self.group, self.path.stem):
            raise InputError(f"{self.at(item)}: the YAML includes itself: leave {item.value} out")
        if group and not group.startswith("hydra"):
            self._check_option(item, group, option)
        return [(group, option)]

    def _group(self, key: yaml.Node, given: str, value: yaml.Node, keywords: Sequence[str], *, is_renamed: bool) -> str:
        """Return the group that an item of the defaults means; InputError where that is none."""
        name = given.lstrip("/")
        group = name if given.startswith("/") else f"{self.group}/{name}"
        item = f"'- override /{name}: {value.value if isinstance(value, yaml.ScalarNode) else '...'}'"
        if not self._is_group(group):
            if new := RENAMED.get(name):
                raise InputError(f"{self.at(key)}: the group {name} is called {new} now: override /{new}")
            if self._is_group(name):
                raise InputError(f"{self.at(key)}: {given} would be a group in {self.group}: write {item}")
            raise InputError(
                f"{self.at(key)}: no group {name!r}{nearest(name, groups())}: choose {', '.join(groups())}"
            )
        if group in (*groups(), "sweep/launcher") and "override" not in keywords and not is_renamed:
            raise InputError(f"{self.at(key)}: a run has a {name} already: write {item}")
        return group

    def _is_group(self, group: str) -> bool:
        shipped = bool(group) and files(CONFIGS).joinpath(group).is_dir()
        return shipped or (self.folder / group).is_dir() or group.startswith("hydra/")

    def _check_option(self, node: yaml.Node, group: str, name: str) -> None:
        known = {*options(group), *(path.stem for path in (self.folder / group).glob("*.yaml"))}
        plain = name.removesuffix(".yaml")
        if plain not in known and not (self.folder / group / f"{plain}.yaml").is_file():
            remedy = f"{nearest(plain, known)}: choose one of {', '.join(sorted(known))}"
            raise InputError(f"{self.at(node)}: {group}={plain} is not known{remedy}")
