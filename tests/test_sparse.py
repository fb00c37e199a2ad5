"""Units of which a solver sees only some couplings: which stay, what is certain of them, where they are refused."""

import numpy as np
import pytest
from conftest import table

from annealtrain.errors import InputError
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.solver import Solver
from annealtrain.solvers.sparse import Sparse, qubits, strongest
from annealtrain.testing import SolverContract, random_problem


class TestSparse(SolverContract):
    def make(self):
        return Sparse(SimulatedAnnealing(20, num_reads=3), keep=2)


class TestSparseThatKeepsAll(SolverContract):
    reaches_ground_state = True
    is_random = False

    def make(self):
        return Sparse(Exact(), keep=100, compensate=1.0)


class Seen(Solver):
    """Keeps the problem that it is given."""

    def solve(self, problem, **given):
        self.problem = problem
        return Exact().solve(problem, **given)


def matrix(n, seed=0):
    A = np.random.default_rng(seed).random((2 * n, n))
    return A.T @ A


def test_the_strongest_stay_as_long_as_there_is_room():
    J = matrix(9)
    kept = strongest(J, 3)
    assert np.array_equal(kept, kept.T)
    assert not kept.diagonal().any()
    assert kept.sum(axis=1).max() == 3
    for i, j in np.argwhere(~kept & ~np.eye(9, dtype=bool)):  # one end is full of couplings as strong
        assert any(kept[e].sum() == 3 and J[e][kept[e]].min() >= J[i, j] for e in (i, j))
    pairs = np.triu_indices(9, 1)
    some = strongest(J, 0.25)[pairs]
    assert some.sum() == 9
    assert J[pairs][some].min() > J[pairs][~some].max()


@pytest.mark.parametrize(("family", "degree"), [("chimera", 6), ("pegasus", 15), ("zephyr", 20)])
def test_those_of_a_graph(family, degree):
    pytest.importorskip("dwave.system")
    neighbours, kept = qubits(family, 60), strongest(matrix(60), family)
    assert kept.sum() == sum(map(len, neighbours))
    assert np.array_equal(kept, kept.T)
    assert sorted(kept.sum(axis=1)) == sorted(map(len, neighbours))
    assert max(map(len, neighbours)) <= degree
    chance = np.random.default_rng(0).permutation(60)
    by_chance = matrix(60)[np.ix_(chance, chance)]
    assert np.abs(matrix(60))[kept].sum() > np.abs(by_chance)[kept].sum()


@pytest.mark.parametrize("alpha", [None, 0.1])
@pytest.mark.parametrize("compensate", [0.0, 1.0])
def test_the_gradient_stays_and_full_compensation_is_never_too_low(alpha, compensate):
    problem, seen = random_problem(M=2, N=5, bits=2, alpha=alpha, dead=[3]), Seen()
    found = Sparse(seen, keep=1, compensate=compensate).solve(problem)
    states = np.random.default_rng(1).normal(size=(50, 5))
    for i in range(2):
        true, sparse = problem.unit(i), seen.problem.unit(0 if seen.problem.num_units == 1 else i)
        if not np.allclose(sparse.S0, true.S0):  # units that differ in J come one by one, this is the last
            continue
        assert sparse.energy(true.S0) == pytest.approx(true.energy(true.S0))
        np.testing.assert_allclose(sparse.gradient(true.S0), true.gradient(true.S0), atol=1e-12)
        assert (np.abs(sparse.J - np.diag(sparse.J.diagonal())) > 0).sum(axis=1).max() <= 1
        if compensate:
            assert (sparse.energy(states) >= true.energy(states) - 1e-9).all()
        else:
            np.testing.assert_array_equal(sparse.J.diagonal(), true.J.diagonal())
    assert found.stats["kept_share"] == pytest.approx(4 / 12)


@pytest.mark.parametrize("keep", [0, 1.0, True, "torus", -0.5, None, [3]])
def test_what_is_no_measure_of_couplings(keep):
    with pytest.raises(InputError, match=r"solver\.keep=.* is not a whole number of couplings a weight"):
        Sparse(Exact(), keep=keep)


def test_a_graph_is_for_weights_of_one_bit(refused):
    assert "bits=1, not 4" in refused("train", "hydra.run.dir=run", "solver=sparse", "solver.keep=chimera", "bits=4")


def test_a_run(cli, tmp_path):
    small = ("model=two_linear_small", "samples=40", "validation=20", "epochs=1", "threads=1")
    words = ("solver=sparse", "solver.keep=2", "solver.inner=descent", "hydra.run.dir=run")
    assert cli("train", *small, *words).code == 0
    assert 0 < float(table(tmp_path / "run" / "solves.csv")[0]["kept_share"]) < 0.5
