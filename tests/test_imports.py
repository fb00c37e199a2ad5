"""The import rules of the architecture, read from the sources; and what `import annealtrain.cli` loads."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "annealtrain"
NAME = PACKAGE.name

# Each module sees only what lies below it, in another group; a group's modules do not see each other, but for SIBLINGS.
HOUSE = [
    {"__main__"},
    {"cli"},
    {"exporting", "compare"},
    {"hydra_app"},
    {"sweeps"},
    {"train"},
    {"parts"},
    {"trainer", "backprop", "estimate", "display", "report", "export", "export_network", "library"},
    {"figures"},
    {"library_input"},
    {"plots"},
    {"runs"},
    {"targets", "gauss_newton", "kronecker"},
    {"jacobian"},
    {"update", "averages"},
    {"network"},
    {"layers"},
    {"convolution", "spectral_pool"},
    {"layer"},
    {
        "solvers",
        "solvers.reference",
        "solvers.anneal",
        "solvers.classical",
        "solvers.ocean",
        "solvers.dwave",
        "solvers.embedding",
        "solvers.qpu",
        "solvers.itemc",
        "solvers.circuit",
        "solvers.qiskit_device",
        "solvers.chains",
        "solvers.quantum",
        "solvers.rows",
        "solvers.together",
        "solvers.settings",
        "solvers.base",
    },
    {"problem"},
    {"quadratic", "grams"},
    {"pictures"},
    {"datasets"},
    {"processes"},
    {"schedule", "recorder", "memory", "parallel", "image_files", "_anneal"},
    {"errors"},
    {""},  # annealtrain/__init__.py: the version
]
SIBLINGS = {
    "compare": {"exporting"},
    "solvers.reference": {"solvers.anneal", "solvers.chains", "solvers.base"},
    "solvers.anneal": {"solvers.rows", "solvers.together", "solvers.chains", "solvers.settings", "solvers.base"},
    "solvers.rows": {"solvers.chains", "solvers.base"},
    "solvers.together": {"solvers.chains", "solvers.base"},
    "solvers.quantum": {"solvers.anneal", "solvers.chains", "solvers.settings", "solvers.base"},
    "solvers.settings": {"solvers.base"},
    "solvers.chains": {"solvers.base"},
    "solvers.classical": {"solvers.settings", "solvers.base"},
    "solvers.ocean": {"solvers.anneal", "solvers.settings", "solvers.base"},
    "solvers.dwave": {"solvers.embedding", "solvers.qpu", "solvers.settings", "solvers.base"},
    "solvers.qiskit_device": {"solvers.circuit"},
    "solvers.itemc": {"solvers.qiskit_device", "solvers.circuit", "solvers.settings", "solvers.base"},
}
# Not upwards, and not these either. Runs and figures read files only.
MATHS = {"trainer", "targets", "network", "layers", "solvers", "problem"}
NEVER = {
    "runs": MATHS,
    "figures": MATHS,
    "plots": MATHS,
    "targets": {"problem", "solvers", "datasets", "recorder"},
    "network": {"problem", "solvers", "datasets", "recorder"},
    "layers": {"problem", "solvers", "datasets", "recorder"},
    "solvers": {"datasets", "recorder"},
    "problem": {"datasets", "recorder", "schedule"},
    "trainer": {"datasets", "recorder"},
}
ONLY_ERRORS = {"schedule", "recorder"}
LATE = {
    "torch",
    "torchvision",
    "dwave",
    "dimod",
    "minorminer",
    "networkx",
    "matplotlib",
    "sklearn",
    "rich",
    "pandas",
    "qiskit",
    "qiskit_aer",
    "qiskit_ibm_runtime",
}
HYDRA = {"hydra", "omegaconf"}

SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Compiled modules have a stub in place of a source.
STUBS = {path.stem for path in PACKAGE.glob("*.pyi")}


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports_in(node: ast.AST, *, late: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements that run with the module, and with late=True those inside its functions too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif is_for_types_only(child):
            for alternative in child.orelse:
                yield from imports_in(ast.Module([alternative], []), late=late)
        elif late or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_in(child, late=late)


def imported(source: str, module: str, *, late: bool) -> set[str]:
    """The full names of what `source` imports: modules, and names taken from modules."""
    is_package = module == "" or any(other.startswith(module + ".") for other in SOURCES)
    here = [NAME, *filter(None, module.split("."))]
    found = set()
    for statement in imports_in(ast.parse(source), late=late):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        else:
            above = here[: len(here) - statement.level + is_package] if statement.level else []
            base = ".".join([*above, *filter(None, [statement.module])])
            found |= {base} | {f"{base}.{alias.name}" for alias in statement.names}
    return found


def outside(source: str, module: str, *, late: bool) -> set[str]:
    return {name.split(".")[0] for name in imported(source, module, late=late)} - {NAME}


def inside(source: str, module: str) -> set[str]:
    """Which of our modules `source` imports, anywhere in it."""
    names = {name.removeprefix(NAME).removeprefix(".") for name in ours(source, module)}
    return {name for name in names if name in SOURCES or name in STUBS} - ({module} if module else set())


def ours(source: str, module: str) -> set[str]:
    return {name for name in imported(source, module, late=True) if name == NAME or name.startswith(NAME + ".")}


def floor(module: str) -> int:
    return next(number for number, group in enumerate(HOUSE) if module in group)


def is_in(module: str, groups: set[str]) -> bool:
    return module in groups or module.split(".")[0] in groups


def read(module: str) -> str:
    return SOURCES[module].read_text()


def test_every_module_has_its_place():
    known = set().union(*HOUSE)
    missing = [module for module in [*SOURCES, *STUBS] if module not in known]
    assert not missing, f"give {missing} a place in HOUSE, as the architecture draws it"


@pytest.mark.parametrize("module", SOURCES)
def test_imports_run_one_way(module):
    for other in inside(read(module), module):
        allowed = floor(other) > floor(module) or other in SIBLINGS.get(module, ()) or other == "solvers"
        assert allowed, f"{module} imports {other}, which is not below it"
        for group, forbidden in NEVER.items():
            assert not (is_in(module, {group}) and is_in(other, forbidden)), f"{module} imports {other}"


@pytest.mark.parametrize("module", sorted(ONLY_ERRORS))
def test_schedule_and_recorder_import_nothing_of_ours(module):
    assert inside(read(module), module) <= {"", "errors"}


@pytest.mark.parametrize("module", SOURCES)
def test_heavy_packages_are_imported_where_they_are_used(module):
    assert not outside(read(module), module, late=False) & LATE


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"train", "parts", "hydra_app", "sweeps"}))
def test_hydra_is_known_in_four_modules_only(module):
    assert not outside(read(module), module, late=True) & HYDRA


@pytest.mark.parametrize(
    ("module", "source", "late", "expected"),
    [
        ("targets", "import torch.nn as nn", False, {"torch.nn"}),
        ("targets", "def f():\n    import torch", False, set()),
        ("targets", "def f():\n    import torch", True, {"torch"}),
        ("targets", "try:\n    import torch\nexcept ImportError:\n    torch = None", False, {"torch"}),
        ("targets", "class A:\n    from torch import nn", False, {"torch", "torch.nn"}),
        ("targets", "if TYPE_CHECKING:\n    import dimod\nelse:\n    import rich", True, {"rich"}),
        ("targets", "from annealtrain import train", True, {"annealtrain", "annealtrain.commands.train"}),
        ("targets", "from . import train", True, {"annealtrain", "annealtrain.commands.train"}),
        ("solvers.anneal", "from .base import stream", True, {f"{NAME}.solvers.base", f"{NAME}.solvers.base.stream"}),
        ("solvers.anneal", "from ..train import x", True, {f"{NAME}.train", f"{NAME}.train.x"}),
        ("solvers", "from .base import stream", True, {f"{NAME}.solvers.base", f"{NAME}.solvers.base.stream"}),
    ],
)
def test_this_reader_of_imports(module, source, late, expected):
    assert imported(source, module, late=late) == expected


def test_this_reader_finds_the_known_imports():
    assert inside(read("trainer"), "trainer") >= {"network", "problem", "solvers.base", "targets"}
    assert inside(read("cli"), "cli") >= {"hydra_app", "train", "datasets", "errors"}
    assert outside(read("hydra_app"), "hydra_app", late=False) >= HYDRA
    assert "sklearn" in outside(read("datasets"), "datasets", late=True)


@pytest.mark.parametrize("module", ["annealtrain", "annealtrain.cli"])
def test_the_command_line_starts_with_the_standard_library_alone(module):
    heavy = sorted({"numpy", "scipy", "threadpoolctl"} | HYDRA | LATE)
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "[]"


def test_a_network_needs_neither_hydra_nor_torch():
    heavy = sorted(HYDRA | LATE)
    modules = ", ".join(f"{NAME}.{module}" for module in ("trainer", "estimate", "solvers.anneal", "recorder"))
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "[]"
