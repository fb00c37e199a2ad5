"""Units in blocks of spins, and the blocks themselves."""

import numpy as np
import pytest
from conftest import table

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.runtime.random_streams import generator
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.decompose import Decompose, block_problem, by_couplings
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.ising_solver import IsingSolver
from annealtrain.testing import SolverContract, check_result, random_problem


class TestDecompose(SolverContract):
    def make(self):
        return Decompose(Exact(), max_spins=6)


class TestDecomposeInOneBlock(SolverContract):
    reaches_ground_state = True

    def make(self):
        return Decompose(SimulatedAnnealing(100, num_reads=20))


class Together(IsingSolver):
    """Takes problems of up to 4 spins together, and counts all states."""

    max_spins = 4

    def __init__(self):
        self.sizes = []

    def ising_batch(self, problems, seeds):
        self.sizes.append([h.size for _, h in problems])
        found = []
        for J, h in problems:
            states = 1 - 2 * (np.arange(2**h.size)[:, None] >> np.arange(h.size) & 1)
            found.append(states[np.argmin(((states @ J + h) * states).sum(axis=1))])
        return found


class TestDecomposeOfAMachine(SolverContract):
    def make(self):
        return Decompose(Together(), max_spins=4)


def test_a_block_has_the_energies_of_the_whole():
    for alpha in (None, 0.1):
        problem = random_problem(M=2, N=6, bits=3, alpha=alpha, dead=[4])
        forms = [problem.unit(i) for i in range(2)]
        levels, places = np.random.default_rng(0).integers(0, 8, (2, 6)), [np.array([5, 1, 4])] * 2
        part = block_problem(forms, places, levels)
        assert part.is_shared == (alpha is None)
        for i, form in enumerate(forms):
            inside = np.random.default_rng(1).integers(0, 8, (9, 3))
            whole = np.repeat(levels[i][None], 9, axis=0)
            whole[:, places[i]] = inside
            own = part.unit(i)
            np.testing.assert_allclose(own.energy(own.weights(inside)), form.energy(form.weights(whole)), rtol=1e-12)
            np.testing.assert_array_equal(own.present_levels, levels[i, places[i]])


def test_weights_that_hang_together_share_a_block():
    J = np.kron(np.eye(3), np.full((4, 4), 0.9) + 0.1 * np.eye(4))  # three groups of four
    mixed = np.random.default_rng(0).permutation(12)
    J = J[np.ix_(mixed, mixed)]
    blocks = by_couplings(Couplings(J), 3, generator(0))
    assert [len(set(mixed[block] // 4)) for block in blocks] == [1, 1, 1]
    J[:, 7] = J[7] = 0
    blocks = by_couplings(Couplings(J), 4, generator(0))
    assert sorted(map(int, np.concatenate(blocks))) == list(range(12))
    assert blocks[-1][-1] == 7
    assert {len(block) for block in by_couplings(Couplings(J), 5, generator(1))} == {2, 3}


def test_blocks_come_close_to_what_a_whole_unit_finds():
    problem = random_problem(M=4, N=30, bits=4, half_range=1.0)
    whole, found = SimulatedAnnealing(100).solve(problem), Decompose(SimulatedAnnealing(100), 32).solve(problem)
    check_result(problem, found)
    assert found.gap < 1.1 * whole.gap + 1e-3
    assert 4 < found.stats["blocks"] <= 40
    once = Decompose(SimulatedAnnealing(100), 32, rounds=1).solve(problem)
    assert once.stats["blocks"] == 4
    assert found.energies.sum() < once.energies.sum() < once.start_energies.sum()


def test_other_numbers_of_levels_are_kept():
    generator_ = np.random.default_rng(0)
    X, W = generator_.normal(size=(60, 9)), generator_.normal(size=(3, 9))
    problem = LayerProblem.of_rounding(X.T @ X / 60, W, np.ones(3), bits=None, num_levels=3)
    found = Decompose(Exact(), 8).solve(problem)
    check_result(problem, found)
    assert set(np.round(W + found.best_weights, 9).ravel()) <= {-1, 0, 1}


def test_all_units_of_a_machine_go_through_a_block_in_one_call():
    machine = Together()
    solver = Decompose(machine, 4, rounds=2)
    problem = random_problem(M=3, N=5, bits=2, alpha=0.1)
    result = solver.solve(problem)
    check_result(problem, result)
    assert len(machine.sizes) == result.stats["submissions"] == result.stats["blocks"]
    assert machine.sizes[:3] == [[4] * 3, [4] * 3, [2] * 3]
    assert solver.calls(units=3, weights=5, bits=2) == 6
    assert len(machine.sizes) <= 6


def test_what_blocks_cannot_hold_is_refused():
    with pytest.raises(InputError, match=r"max_spins=3 hold no weight of 4 bits: raise it, or lower bits"):
        Decompose(SimulatedAnnealing(), 3).check(bits=4, weights=[9])
    with pytest.raises(InputError, match=r"^solver.max_spins=8 is more than Together takes: lower it to 4$"):
        Decompose(Together(), 8).check(bits=4, weights=[9])
    for most in (3, 8):
        with pytest.raises(
            InputError, match=r"^Together takes at most 4 spins, so no weight of 5 bits: lower bits to 4$"
        ):
            Decompose(Together(), most).check(bits=5, weights=[9])
    with pytest.raises(InputError, match=r"solver.inner=3 is not a solver"):
        Decompose(3)


def test_schedules_and_preparations_are_those_of_the_inner_solver(cli, tmp_path):
    words = [
        "solver=decompose",
        "solver.inner=sa",
        "solver.inner.num_sweeps=2",
        "solver.max_spins=8",
        "solver.rounds=2",
    ]
    small = ["model=linear_small", "samples=30", "validation=20", "epochs=1", "bits=4", "threads=1"]
    assert cli("train", *small, *words, "hydra.run.dir=run").code == 0
    (row,) = table(tmp_path / "run" / "solves.csv")
    assert (float(row["blocks"]), float(row["sweeps"])) == (80.0, 2.0)
    told = cli("estimate", *small, *words, "--queue=20", "--probe=0").out
    assert "80 calls of the solver and 80 problems of up to 8 spins. With 20 s of queue a call: 26.7 min." in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["solver.inner=saa"], "solver.inner=saa is not known; did you mean 'sa'?"),
        (["solver.inner.num_sweeps=-1"], "solver.inner.num_sweeps=-1 is not a whole number"),
        (["solver.inner=dwave", "solver.inner.mock=pegasus", "solver.inner.qpu=a"], "solver.inner.mock=pegasus and "),
        (["solver.inner=decompose", "solver.inner.inner.num_sweeps=0"], "solver.inner.inner.num_sweeps=0 is not"),
    ],
)
def test_what_is_said_of_the_inner_solver_names_it(refused, words, says):
    assert refused("estimate", "model=linear_small", "samples=30", "bits=4", "solver=decompose", *words).startswith(
        says
    )
