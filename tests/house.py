"""Print the rooms, arrows and floors of the package's import graph; exit code 1 where the house has grown crooked.

    python tests/house.py

A room is a folder of annealtrain/ or a module beside the folders; an arrow, that one room imports another, anywhere in
it; a room stands one floor above the highest that it imports.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "annealtrain"
MOST = {"rooms": 18, "arrows": 69, "floors": 10, "lines of a module": 300, "lines of a function": 50}


def modules() -> dict[str, Path]:
    """Return the modules by their dotted names below the package; "" is the package itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "_version.py":  # made by the build
            continue
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports of the package, by dotted names below it: modules, or names in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            below = (node.module or "").removeprefix(PACKAGE.name).lstrip(".")
            yield from (f"{below}.{alias.name}".lstrip(".") for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE.name]
            yield from (name.removeprefix(PACKAGE.name).lstrip(".") for name in names)


def module_of(name: str, known: dict[str, Path]) -> str | None:
    """Return the module that an imported name is or lies in; None for the package itself, which has names only."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def graph(known: dict[str, Path]) -> dict[str, set[str]]:
    """Return which modules each module imports."""
    edges = {}
    for module, path in known.items():
        names = imported(ast.parse(path.read_text(encoding="utf-8")))
        edges[module] = {found for name in names if (found := module_of(name, known)) not in (None, module)}
    return edges


def room(module: str) -> str:
    return module.split(".")[0]


def rooms_of(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return which rooms each room imports."""
    rooms: dict[str, set[str]] = {room(module): set() for module in edges if module}
    for module, targets in edges.items():
        if module:
            rooms[room(module)] |= {room(target) for target in targets} - {room(module)}
    return rooms


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Return the nodes of one circle, [] where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        found = next((found for other in sorted(edges[node]) if (found := walk(other, [*path, node]))), [])
        done.add(node)
        return found

    return next((found for node in sorted(edges) if (found := walk(node, []))), [])


def floors(rooms: dict[str, set[str]]) -> dict[str, int]:
    """Return the floor of each room, from 1; the rooms must have no circle."""
    found: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in found:
            found[name] = 1 + max((floor(other) for other in rooms[name]), default=0)
        return found[name]

    for name in rooms:
        floor(name)
    return found


def long_parts(known: dict[str, Path]) -> Iterator[str]:
    """Yield what has too many lines."""
    for path in known.values():
        text = path.read_text(encoding="utf-8")
        if (count := len(text.splitlines())) > MOST["lines of a module"]:
            yield f"{path.relative_to(PACKAGE)} has {count} lines"
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.FunctionDef)
                and (node.end_lineno or 0) - node.lineno + 1 > MOST["lines of a function"]
            ):
                yield f"{path.relative_to(PACKAGE)}: {node.name} has {(node.end_lineno or 0) - node.lineno + 1} lines"


def main() -> int:
    known = modules()
    edges = graph(known)
    rooms = rooms_of(edges)
    faults = list(long_parts(known))
    faults += [f"imports go round: {' > '.join(found)}" for found in (circle(edges), circle(rooms)) if found]
    counts = {"rooms": len(rooms), "arrows": sum(map(len, rooms.values()))}
    if not circle(rooms):
        stand = floors(rooms)
        counts["floors"] = max(stand.values())
        for name in sorted(stand, key=lambda name: (-stand[name], name)):
            print(f"floor {stand[name]:2}  {name:12} > {', '.join(sorted(rooms[name]))}".rstrip(" >"))
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in known.values())
    print(
        ", ".join(f"{count} {what} (at most {MOST[what]})" for what, count in counts.items()),
        f"{lines} lines",
        sep=", ",
    )
    faults += [f"{count} {what}, at most {MOST[what]}" for what, count in counts.items() if count > MOST[what]]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
