"""What every solver, layer and optimizer must do: contracts, of which pytest runs each check as a test of its own.

Subclass one under a name that begins with Test, make what is to be checked, and say what may be expected of it:

    from annealtrain.testing import SolverContract

    class TestMySolver(SolverContract):
        reaches_ground_state = True

        def make(self):
            return MySolver(num_sweeps=100)
"""

from annealtrain.testing.layers import LayerContract, TrainableLayerContract
from annealtrain.testing.optimizers import OptimizerContract
from annealtrain.testing.solvers import SolverContract, check_result, random_problem

__all__ = [
    "LayerContract",
    "OptimizerContract",
    "SolverContract",
    "TrainableLayerContract",
    "check_result",
    "random_problem",
]
