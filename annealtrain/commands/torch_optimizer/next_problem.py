"""The Hamiltonians that an optimizer solves next, for whoever wants to solve them otherwise."""

from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.nn.torch_layers import TorchLayer
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed
from annealtrain.solvers.solver import Solver, SolveResult


class NextProblem(LayerProblem):
    """The M Hamiltonians, one a unit, of the change of a layer's weights in the next step; see LayerProblem.

    name: of the layer in the module. The change of a weight has the levels 0 .. 2^bits - 1 in [-L, L].
    """

    name: str
    _layer: TorchLayer
    _solver: Solver
    _seed: Seed
    _weights: Array

    @classmethod
    def of(cls, problem: LayerProblem, layer: TorchLayer, solver: Solver, seed: Seed) -> "NextProblem":
        """Return a problem of a layer at its present weights."""
        made = cls.__new__(cls)
        made.__dict__ |= problem.__dict__ | {"name": layer.name, "_layer": layer, "_solver": solver, "_seed": seed}
        made._weights = layer.weights
        return made

    def solve(self, solver: Solver | None = None) -> SolveResult:
        """Return what a solver finds, the optimizer's own by default; with it and its seed what a step would find."""
        return (solver or self._solver).solve(self, seed=self._seed)

    def apply(self, levels: Any) -> None:
        """Give the layer the weights it had when this problem was made, changed by levels (M, N)."""
        levels = np.asarray(levels)
        if levels.shape != self.S0.shape:
            raise InputError(f"levels {levels.shape} of layer {self.name}: give {self.S0.shape}, one a weight")
        top = self.encoding.top_level
        if not np.issubdtype(levels.dtype, np.integer) or levels.min() < 0 or levels.max() > top:
            raise InputError(f"levels of layer {self.name} are not whole numbers from 0 to {top}")
        change = np.array([self.unit(i).weights(own) for i, own in enumerate(levels)])
        self._layer.weights = self._weights + change
