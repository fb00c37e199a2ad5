"""What importing loads, and the shape of the house; which room may import which is the import linter's to hold."""

import ast
import subprocess
import sys

import house
import pytest
from conftest import LIMIT_S

import annealtrain

LATE = {
    *("torch", "torchvision", "dwave", "dimod", "minorminer", "networkx", "matplotlib", "sklearn", "rich", "pandas"),
    *("qiskit", "qiskit_aer", "qiskit_ibm_runtime", "onnx", "onnxruntime", "pytest"),
}
HYDRA = {"hydra", "omegaconf"}
MODULES = house.modules()
IS_SKLEARNS = {"commands.estimators"}  # made of scikit-learn's base classes, imported when it is asked for
IS_TORCHS = {  # about its modules, imported where there is one
    *(
        "nn.torch_layers",
        "nn.torch_module",
        "nn.torch_buffers",
        "nn.torch_device",
        "nn.torch_matrices",
        "nn.torch_parts",
        "nn.torch_rest",
        "nn.torch_tape",
        "nn.torch_models",
        "nn.run_module",
    ),
    "nn.module_export",
    *(f"optimizers.quantization.{name}" for name in ("batch_norm", "of_torch", "torch_exports")),
    *(name for name in MODULES if name == "torch" or name.startswith("commands.torch_optimizer.")),
}


def at_once(source: str) -> set[str]:
    """The packages whose import runs with a module: outside functions and `if TYPE_CHECKING`."""
    found, waiting = set(), list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("module", sorted(set(MODULES) - IS_SKLEARNS - IS_TORCHS))
def test_heavy_packages_are_imported_where_they_are_used(module: str) -> None:
    assert not at_once(MODULES[module].read_text()) & LATE


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch.nn as nn", {"torch"}),
        ("def f():\n    import torch", set()),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", {"torch"}),
        ("class A:\n    from torch import nn", {"torch"}),
        ("if TYPE_CHECKING:\n    import dimod\nelse:\n    import rich", {"rich"}),
    ],
)
def test_this_reader_of_imports(source: str, expected: set[str]) -> None:
    assert at_once(source) == expected


def loaded(modules: str, heavy: set[str]) -> str:
    code = f"import sys, {modules}; print([name for name in {sorted(heavy)} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    return told.stdout.strip()


@pytest.mark.parametrize("module", ["annealtrain", "annealtrain.cli"])
def test_the_command_line_starts_with_the_standard_library_alone(module: str) -> None:
    assert loaded(module, {"numpy", "scipy", "threadpoolctl"} | HYDRA | LATE) == "[]"


def test_training_needs_neither_hydra_nor_torch() -> None:
    names = ("training.trainer", "optimizers.gauss_newton", "optimizers.kronecker", "optimizers.backprop")
    names += ("solvers.annealing.simulated_annealing", "runs.recorder", "reports.run_plots")
    assert loaded(", ".join(f"annealtrain.{name}" for name in names), HYDRA | LATE) == "[]"


def test_the_types_of_the_public_names_are_where_they_come_from() -> None:
    stub = ast.parse(house.PACKAGE.joinpath("__init__.pyi").read_text())
    told = {
        (node.module, one.name, one.asname)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for one in node.names
    }
    modules = {("annealtrain", "torch", "torch"), ("annealtrain.hamiltonian", "instances", "instances")}
    assert told == modules | {(home, name, name) for name, home in annealtrain._HOMES.items()}
    assert sorted(annealtrain._HOMES) == sorted(annealtrain.__all__)


# The house


def test_the_house_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert house.main() == 0, capsys.readouterr().out
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("floor 10  __main__")
    assert " rooms (at most 18), " in told[-1]


def test_a_circle_is_found_and_floors_are_counted() -> None:
    assert house.circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
    assert house.circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert house.floors({"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": set()}) == {"a": 3, "b": 2, "c": 1, "d": 1}


def test_imports_are_read_as_modules_of_the_house() -> None:
    edges = house.graph(MODULES)
    assert edges["optimizers.kronecker"] >= {"optimizers.kronecker_model", "solvers.solver", "nn.losses"}
    assert "experiment.builder" in edges["commands.train"]
    assert edges["errors"] == set()


def test_long_parts_are_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "PACKAGE", tmp_path)
    path = tmp_path / "long.py"
    path.write_text("def f():\n" + "    x = 1\n" * 50 + "x = 1\n" * 250)
    assert list(house.long_parts({"long": path})) == ["long.py has 301 lines", "long.py: f has 51 lines"]
