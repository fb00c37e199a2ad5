"""Every solver under the contract, and what is particular to each."""

import itertools
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ticks import ticking

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.runtime.random_streams import stream
from annealtrain.schedule import GeometricSchedule, StepSchedule
from annealtrain.solvers.annealing.cost_model import Executor
from annealtrain.solvers.annealing.markov_chains import to_float32
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.reference import ReferenceAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.annealing.temperatures import automatic_beta_range
from annealtrain.solvers.coordinate_descent import CoordinateDescent, RoundedLeastSquares
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.gate_model.imaginary_time import ImaginaryTimeCircuit
from annealtrain.solvers.lattice.babai import Babai, Klein
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.solvers.solver import Solver
from annealtrain.testing import SolverContract, check_result, random_problem


class Enumeration(Exact):
    """The tree for units whose states could be counted, too."""

    max_counted = 0


class TestSimulatedAnnealing(SolverContract):
    reaches_ground_state = True

    def make(self):
        return SimulatedAnnealing(100, num_reads=20)


class TestSimulatedAnnealingInRandomOrder(SolverContract):
    reaches_ground_state = True

    def make(self):
        return SimulatedAnnealing(100, num_reads=20, order="random")


class TestSimulatedAnnealingOfAGivenRange(SolverContract):
    def make(self):
        return SimulatedAnnealing(30, beta_range=[0.1, 100.0])


class TestSimulatedAnnealingBySliceMoves(SolverContract):
    reaches_ground_state = True

    def make(self):
        return SimulatedAnnealing(100, num_reads=20, move="slice")


class TestSimulatedAnnealingByGreedyMoves(SolverContract):
    def make(self):
        return SimulatedAnnealing(30, num_reads=5, move="greedy")


class TestReferenceAnnealing(SolverContract):
    def make(self):
        return ReferenceAnnealing(num_sweeps=20)


class TestSimulatedQuantumAnnealing(SolverContract):
    reaches_ground_state = True

    def make(self):
        return SimulatedQuantumAnnealing(100, num_reads=4)


class TestSimulatedQuantumAnnealingFromRoundings(SolverContract):
    def make(self):
        return SimulatedQuantumAnnealing(100, num_reads=2, start="babai")


class TestExact(SolverContract):
    reaches_ground_state = True
    is_random = False

    def make(self):
        return Exact()


class TestCoordinateDescent(SolverContract):
    reaches_ground_state = True

    def make(self):
        return CoordinateDescent(num_starts=40)


class TestCoordinateDescentFromAGoodPoint(SolverContract):
    def make(self):
        return CoordinateDescent(num_starts=3, start="babai")


class TestAnnealingFromRoundings(SolverContract):
    reaches_ground_state = True

    def make(self):
        return SimulatedAnnealing(200, num_reads=10, start="babai")


class TestAnnealingFromABeam(SolverContract):
    is_random = False  # the beam holds the ground state of ten spins, and of two that are as low always one

    def make(self):
        return SimulatedAnnealing(start="beam")


class TestBabai(SolverContract):
    is_random = False

    def make(self):
        return Babai()


class TestBabaiAndDescent(SolverContract):
    is_random = False

    def make(self):
        return Babai(descent=True)


class TestKlein(SolverContract):
    def make(self):
        return Klein()


class TestBeam(SolverContract):
    reaches_ground_state = True
    is_random = False

    def make(self):
        return Beam(width=64, children=4)


class TestEnumeration(SolverContract):
    reaches_ground_state = True
    is_random = False

    def make(self):
        return Enumeration()


class TestRoundedLeastSquares(SolverContract):
    is_random = False

    def make(self):
        return RoundedLeastSquares()


class TestImaginaryTimeCircuit(SolverContract):
    reaches_ground_state = True

    def make(self):
        return ImaginaryTimeCircuit(300)


class TestImaginaryTimeCircuitInBlocks(SolverContract):
    def make(self):
        return ImaginaryTimeCircuit(300, backend="block")


@pytest.mark.parametrize("alpha", [None, 0.1])
def test_exact_is_the_minimum_over_all_configurations(alpha):
    problem = random_problem(N=4, bits=2, alpha=alpha)
    result = Exact().solve(problem)
    check_result(problem, result)
    for i in range(3):
        form = problem.unit(i)
        every = np.array(list(itertools.product(range(4), repeat=4)))
        assert result.energies[i, 0] == pytest.approx(form.energy(form.weights(every)).min(), rel=1e-12)


def test_exact_refuses_more_spins_than_it_can_count():
    said = r"layer 0 needs 25 spins \(5 weights of 5 bits\).*at most 24 spins or 60 weights: lower bits"
    with pytest.raises(InputError, match=said):
        Exact(max_nodes=0).solve(random_problem(N=5, bits=5))
    with pytest.raises(InputError, match="layer 1 needs 61 spins"):
        Exact().check(bits=1, weights=[60, 61])
    Exact(max_nodes=0).check(bits=3, weights=[8])


def test_reference_and_compiled_annealing_agree_read_by_read():
    problem = random_problem(M=4, N=7, bits=4, alpha=0.1)
    for order in ("sequential", "random"):
        settings = {"num_sweeps": 25, "num_reads": 3, "order": order}
        fast, slow = SimulatedAnnealing(**settings).solve(problem), ReferenceAnnealing(**settings).solve(problem)
        np.testing.assert_array_equal(fast.levels, slow.levels)
        assert fast.stats["flips"] == slow.stats["flips"]


def test_more_sweeps_find_lower_energies():
    problem = random_problem(M=20, N=30, bits=4, half_range=0.3)
    means = [SimulatedAnnealing(sweeps).solve(problem).energies.mean() for sweeps in (1, 10, 300)]
    assert means[0] > means[1] > means[2]
    gap = SimulatedAnnealing(300).solve(problem).gap
    assert 0 <= gap < 0.05


def test_reads_are_independent_and_the_first_does_not_depend_on_their_number():
    problem = random_problem(M=3, N=20, bits=3)
    one, five = (SimulatedAnnealing(3, num_reads=reads).solve(problem, seed=4) for reads in (1, 5))
    for i in range(3):
        reads = {tuple(levels) for levels in five.levels[i]}
        assert tuple(one.levels[i, 0]) in reads
        assert len(reads) == 5


def test_settings_over_the_epochs():
    solver = SimulatedAnnealing(StepSchedule(4, 1, at=10), beta=GeometricSchedule(5e3, 5e12), order="random")
    early, late = solver.resolve_schedules(0, 20), solver.resolve_schedules(10, 20)
    assert (early.num_sweeps, early.beta, early.order) == (4, 5e3, "random")
    assert (late.num_sweeps, late.beta) == (1, pytest.approx(5e3 * 1e9**0.5))
    with pytest.raises(InputError, match=r"call resolve_schedules\(epoch, epochs\) first"):
        solver.solve(random_problem())


def test_a_general_ising_problem():
    """J with a zero diagonal: a Sherrington-Kirkpatrick instance of one-bit weights."""
    generator = np.random.default_rng(2)
    J = generator.normal(size=(12, 12))
    J = J + J.T
    np.fill_diagonal(J, 0)
    problem = LayerProblem.from_moments(J, np.zeros((1, 12)), np.zeros(1), np.zeros((1, 12)), 1.0, 1)
    assert not problem.convex
    first, last = automatic_beta_range(problem.unit(0))
    assert 0 < first < last
    found = SimulatedAnnealing(200, num_reads=10).solve(problem)
    assert found.energies[0, 0] == pytest.approx(Exact().solve(problem).energies[0, 0])
    assert found.lower_bounds[0] == -np.inf
    assert np.isnan(found.gap)


@pytest.mark.parametrize(
    ("solver", "units", "executor"),
    [
        pytest.param(SimulatedAnnealing(5), 1, Executor.CHAINS, id="chains"),
        pytest.param(SimulatedAnnealing(5), 20, Executor.LANES, id="lanes"),
        pytest.param(SimulatedAnnealing(5), 20, Executor.SHARED_INPUTS, id="shared inputs"),
        pytest.param(SimulatedAnnealing(5, start="present"), 20, Executor.SHARED_COUPLINGS, id="shared couplings"),
        pytest.param(SimulatedQuantumAnnealing(5), 2, None, id="sqa"),
    ],
)
def test_betas_beyond_float32_raise_no_warning(monkeypatch, solver, units, executor):
    alpha = 0.1 if executor is Executor.SHARED_INPUTS else None
    problem = random_problem(M=units, alpha=alpha, half_range=1e-60)  # as where L falls to zero
    problem.convex = executor is not Executor.SHARED_COUPLINGS
    if alpha is not None:
        monkeypatch.setattr(solver, "executor", lambda problem: executor)
    assert executor is None or solver.executor(problem) is executor
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = solver.solve(problem)
    assert result.stats["beta_last"] > float(np.finfo(np.float32).max)
    np.testing.assert_allclose(result.best_weights, problem.S0, rtol=1e-12)


def test_the_kernel_reads_betas_in_float32_and_its_largest_beyond():
    betas = np.array([0.1, 3e38, 1e39, np.inf])
    found = to_float32(betas)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:2], betas[:2].astype(np.float32))
    np.testing.assert_array_equal(found[2:], np.finfo(np.float32).max)


@pytest.mark.parametrize("reads", [1, 40])
def test_ctrl_c_stops_a_solve_between_two_blocks_of_sweeps(reads):
    """The first that is told of progress interrupts: no other block is begun, of two million sweeps."""
    told = []

    def interrupt(done):
        told.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SimulatedAnnealing(2_000_000, reads, beta=1.0).solve(random_problem(M=2, N=60, bits=8), progress=interrupt)
    assert len(told) == 1
    assert 0 < told[0] < 0.01


@pytest.mark.parametrize(
    ("make", "reads"),
    [
        (SimulatedAnnealing, 1),
        (lambda n, **limit: SimulatedAnnealing(n, 40, **limit), 40),
        (SimulatedQuantumAnnealing, 1),
    ],
)
def test_a_time_limit_is_for_all_units(make, reads, monkeypatch):
    """Units that form J one by one share it: once it has passed, each gets one block of sweeps, not as much again."""
    problem, clock = random_problem(M=12, N=40, bits=8, alpha=0.1), ticking(monkeypatch)
    monkeypatch.setattr(SimulatedAnnealing, "executor", lambda self, problem: Executor.LANES)  # not on shared inputs
    found = make(200_000, time_limit_s=8).solve(problem)
    groups = 12 * -(-reads // _anneal.lanes())  # of chains that look at the clock together
    assert clock.now == 1 + 8 + groups  # as the solve begins, until the limit has passed, and once for each group
    check_result(problem, found)
    # What is told is what was done, not what was asked for.
    assert 1 <= found.stats["sweeps"] < 200_000
    whole = make(2).solve(problem)
    assert found.stats["beta_last"] < whole.stats["beta_last"]
    a_sweep = whole.stats["visits"] / whole.stats["sweeps"]
    assert found.stats["visits"] == pytest.approx(found.stats["sweeps"] * a_sweep)
    assert found.stats["acceptance"] == found.stats["flips"] / found.stats["visits"]
    assert found.stats["visit_ns"] == pytest.approx(1e9 * found.stats["anneal_s"] / found.stats["visits"])


@pytest.mark.parametrize(("sweeps", "reads", "is_large"), [(2, 64, False), (5000, 64, True), (5000, 1, False)])
def test_small_work_stays_on_one_thread(monkeypatch, sweeps, reads, is_large):
    """Below some milliseconds, or with lanes for one group only."""
    submitted = []
    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *given: submitted.append(given) or submit(*given))
    problem = LayerProblem.from_moments(np.eye(30), np.ones((4, 30)), np.zeros(4), np.zeros((4, 30)), 1.0, 8)
    sampler = SimulatedAnnealing(sweeps, reads)
    with thread_pool.threads(2):
        forms = [problem.unit(i) for i in range(4)]
        sampler.sample_batch(forms, [stream(0, i) for i in range(4)])
    assert bool(submitted) == is_large


def test_the_contract_is_abstract():
    with pytest.raises(NotImplementedError):
        Solver().solve(random_problem())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SimulatedAnnealing(0),
            "solver.num_sweeps=0 is not a whole number of at least 1 or a schedule of one value",
        ),
        (lambda: SimulatedAnnealing(2.5), "solver.num_sweeps=2.5"),
        (
            lambda: SimulatedAnnealing(beta=GeometricSchedule([1, 2], 3)),
            r"solver.beta=GeometricSchedule\(first=\[1.0, 2.0\], last=\[3.0\]\) is not a number .* one value for all",
        ),
        (
            lambda: SimulatedAnnealing(StepSchedule(1, [2, 3], at=1)),
            r"solver.num_sweeps=StepSchedule\(.*\) is not .* or a schedule of one value for all layers, or null$",
        ),
        (lambda: SimulatedAnnealing(num_reads=0), "solver.num_reads=0"),
        (lambda: SimulatedAnnealing(order="up"), "solver.order='up' is not one of sequential, random"),
        (lambda: SimulatedAnnealing(beta=-1.0), "solver.beta=-1.0 is not a number above 0"),
        (lambda: SimulatedAnnealing(beta_range=[1.0]), r"solver.beta_range=\[1.0\] is not \[first, last\]"),
        (lambda: SimulatedAnnealing(beta_range=[2.0, 1.0]), "falls: annealing cools"),
        (
            lambda: SimulatedAnnealing(beta_range=[0, 1.0]),
            r"solver.beta_range=\[0, 1.0\] is not \[first, last\], each a number above 0, or null$",
        ),
        (lambda: SimulatedAnnealing(beta_range=[1, 2], beta=1.0), "both set"),
        (lambda: CoordinateDescent(num_starts=0), "solver.num_starts=0"),
        (lambda: CoordinateDescent(max_sweeps=True), "solver.max_sweeps=true is not a whole number of at least 1"),
        (lambda: RoundedLeastSquares(max_sweeps=0), "solver.max_sweeps=0"),
    ],
)
def test_refused_settings(make, message):
    with pytest.raises(InputError, match=message):
        make()
