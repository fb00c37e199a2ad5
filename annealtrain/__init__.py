"""Train neural networks layer by layer with annealing instead of backpropagation.

Each room (folder) says in its docstring what it holds and what it may import. docs/house.md has the plan and where to
add things, docs/glossary.md the words.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["LayerProblem", "anneal"]

_HOMES = {"LayerProblem": "annealtrain.hamiltonian.layer_problem", "anneal": "annealtrain.solvers.annealing.api"}


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for: the command line answers before NumPy is loaded."""
    if name not in _HOMES:
        raise AttributeError(f"module 'annealtrain' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
