"""Whether J is found to be convex, against its eigenvalues."""

import numpy as np
import pytest

from annealtrain.hamiltonian.curvature import looks_convex
from annealtrain.hamiltonian.quadratic import Couplings


def glass(n: int, seed: int = 0) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).normal(size=(n, n)), 1)
    return upper + upper.T


@pytest.mark.parametrize("n", [2, 5, 40, 300])
@pytest.mark.parametrize("seed", range(3))
def test_a_convex_J_is_found_to_be_and_a_glass_is_not(n, seed):
    rows = np.random.default_rng(seed).normal(size=(2 * n, n))
    for J in (rows.T @ rows, rows[: n // 2 + 1].T @ rows[: n // 2 + 1], np.eye(n), np.ones((n, n)), np.zeros((n, n))):
        assert looks_convex(J.astype(np.float32))
    J = glass(n, seed)
    lowest = np.linalg.eigvalsh(J)[0]
    for share in (0.0, 0.5, 0.9):  # of what makes it convex, on the diagonal
        assert not looks_convex((J - share * lowest * np.eye(n)).astype(np.float32))
    assert looks_convex((J - 1.001 * lowest * np.eye(n)).astype(np.float32))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_one_direction_that_falls_is_found_at_any_size(scale):
    J = np.eye(50)
    J[:2, :2] = [[1, 2], [2, 1]]
    assert not looks_convex((scale * J).astype(np.float32))
    assert not looks_convex(np.float32([[-scale]]))


def test_couplings_are_what_they_are_said_to_be():
    J = glass(6)
    assert Couplings(J).is_convex
    assert not Couplings(J, convex=None).is_convex
    assert Couplings(np.eye(6), convex=None).is_convex
    assert not Couplings(J, convex=None).with_ridge(0.0).is_convex
    dead = np.zeros((7, 7))
    dead[:6, :6] = np.eye(6)
    assert Couplings(dead, convex=None).is_convex
