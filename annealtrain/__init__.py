"""Train neural networks by annealing Ising Hamiltonians instead of backpropagation.

From Python: train, load, Run, LayerProblem, anneal, AnnealClassifier, AnnealRegressor (docs/python.md), quantize and
quantize_layer (docs/nbit.md), IsingSolver (docs/machines.md), instances and tts (docs/field.md). Each room (folder)
says in its docstring what it holds and what it may import; docs/house.md has the plan and where to add things,
docs/glossary.md the words: spin, level, unit, site, read, sweep, range L, Hamiltonian, coupling, field.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # `python -m annealtrain` would take a typing.py of the working directory: see __main__.py
    from typing import Any

try:
    from annealtrain._version import __version__ as __version__
except ImportError:  # nothing has been built or installed from this folder
    __version__ = "0.2.0.dev0"

_HOMES = {
    "train": "annealtrain.commands.api",
    "load": "annealtrain.commands.api",
    "Run": "annealtrain.commands.api",
    "LayerProblem": "annealtrain.commands.api",
    "anneal": "annealtrain.solvers.annealing.api",
    "IsingSolver": "annealtrain.solvers.ising_solver",
    "tts": "annealtrain.solvers.time_to_solution",
    "quantize": "annealtrain.optimizers.quantization.api",
    "quantize_layer": "annealtrain.optimizers.quantization.rounding",
    "AnnealClassifier": "annealtrain.commands.estimators",
    "AnnealRegressor": "annealtrain.commands.estimators",
}
__all__ = [
    *("AnnealClassifier", "AnnealRegressor", "IsingSolver", "LayerProblem", "Run"),
    *("anneal", "load", "quantize", "quantize_layer", "train", "tts"),
]


def __getattr__(name: str) -> "Any":
    """Import the public names when they are asked for: the command line answers before NumPy is loaded."""
    if name == "torch":
        return import_module("annealtrain.torch")
    if name == "instances":
        return import_module("annealtrain.hamiltonian.instances")
    if name not in _HOMES:
        raise AttributeError(f"module 'annealtrain' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
