"""Of test_compare.py, until it imports this from annealtrain.testing."""

from annealtrain.testing import random_problem

__all__ = ["random_problem"]
