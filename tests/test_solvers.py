"""Every solver under the contract, and what is particular to each."""

import itertools
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from solver_contract import check_result, check_solver, random_problem

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.runtime.random_streams import stream
from annealtrain.schedule import GeometricSchedule, StepSchedule
from annealtrain.solvers.annealing.markov_chains import to_float32
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.reference import reference_annealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.annealing.temperatures import automatic_beta_range
from annealtrain.solvers.coordinate_descent import CoordinateDescent, RoundedLeastSquares
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.gate_model.imaginary_time import ImaginaryTimeCircuit
from annealtrain.solvers.solver import Solver


@pytest.mark.parametrize(
    ("make", "reaches_ground_state", "is_random"),
    [
        pytest.param(lambda: SimulatedAnnealing(100, num_reads=20), True, True, id="sa"),
        pytest.param(lambda: SimulatedAnnealing(100, num_reads=20, order="random"), True, True, id="sa-random"),
        pytest.param(lambda: SimulatedAnnealing(30, beta_range=[0.1, 100.0]), False, True, id="sa-range"),
        pytest.param(lambda: reference_annealing(num_sweeps=20), False, True, id="reference"),
        pytest.param(lambda: SimulatedAnnealing(100, num_reads=20, move="slice"), True, True, id="sa-slice"),
        pytest.param(lambda: SimulatedAnnealing(30, num_reads=5, move="greedy"), False, True, id="sa-greedy"),
        pytest.param(lambda: SimulatedQuantumAnnealing(100, num_reads=4), True, True, id="sqa"),
        pytest.param(Exact, True, False, id="exact"),
        pytest.param(lambda: CoordinateDescent(num_starts=40), True, True, id="descent"),
        pytest.param(RoundedLeastSquares, False, False, id="rounded"),
        pytest.param(lambda: ImaginaryTimeCircuit(300), True, True, id="itemc"),
        pytest.param(lambda: ImaginaryTimeCircuit(300, backend="block"), False, True, id="itemc-block"),
    ],
)
def test_contract(make, reaches_ground_state, is_random):
    check_solver(make, reaches_ground_state=reaches_ground_state, is_random=is_random)


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
    with pytest.raises(InputError, match=r"layer 0 needs 25 spins \(5 weights of 5 bits\).*at most 24: lower bits"):
        Exact().solve(random_problem(N=5, bits=5))
    with pytest.raises(InputError, match="layer 1 needs 30 spins"):
        Exact().check(bits=3, weights=[8, 10])
    Exact().check(bits=3, weights=[8])


def test_reference_and_compiled_annealing_agree_read_by_read():
    problem = random_problem(M=4, N=7, bits=4, alpha=0.1)
    for order in ("sequential", "random"):
        settings = {"num_sweeps": 25, "num_reads": 3, "order": order}
        fast, slow = SimulatedAnnealing(**settings).solve(problem), reference_annealing(**settings).solve(problem)
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


def test_beta_regimes():
    form = random_problem(N=6, bits=3).unit(0)
    first, last = automatic_beta_range(form)
    betas = SimulatedAnnealing(50).betas(form)
    np.testing.assert_allclose(betas, np.geomspace(first, last, 50))
    # method.md Sec. 3: 10 / A and 100 / lsb, written out.
    f = form.h + 2 * form.J @ form.S0
    step = 2 * 0.5 / 7
    A = np.sqrt(np.mean((step * 4 * f) ** 2 + ((step * 4) ** 2 * np.diag(form.J)) ** 2))
    assert first == pytest.approx(10 / A)
    assert last == pytest.approx(100 / (step**2 * np.diag(form.J).mean()))
    np.testing.assert_allclose(SimulatedAnnealing(3, beta_range=[1, 100]).betas(form), [1, 10, 100])
    np.testing.assert_allclose(SimulatedAnnealing(3, beta=7.0).betas(form), [7, 7, 7])
    assert SimulatedAnnealing(1, beta_range=[1, 100]).betas(form) == [100]


def test_given_betas_count_a_loss_per_output_site():
    """A convolution's loss is summed over its sites; the paper's runs annealed the mean over them."""
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(60, 4)), generator.normal(size=(60, 2))
    form = LayerProblem.from_rows(inputs, targets, np.zeros((2, 4)), 0.5, 3, samples=10).unit(0)
    np.testing.assert_allclose(SimulatedAnnealing(2, beta=6.0).betas(form), [1, 1])
    np.testing.assert_allclose(SimulatedAnnealing(2, beta_range=[6, 60]).betas(form), [1, 10])


def test_settings_over_the_epochs():
    solver = SimulatedAnnealing(StepSchedule(4, 1, at=10), beta=GeometricSchedule(5e3, 5e12), order="random")
    early, late = solver.resolve_schedules(0, 20), solver.resolve_schedules(10, 20)
    assert (early.num_sweeps, early.beta, early.order) == (4, 5e3, "random")
    assert (late.num_sweeps, late.beta) == (1, pytest.approx(5e3 * 1e9**0.5))
    with pytest.raises(InputError, match="at_epoch"):
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


def test_slice_moves_start_colder():
    form = random_problem(N=20, bits=8).unit(0)
    bit, slices = (automatic_beta_range(form, move) for move in ("bit", "slice"))
    assert slices == pytest.approx((10 * bit[0], bit[1]))
    assert SimulatedAnnealing(5, move="slice").betas(form)[0] == pytest.approx(slices[0])


def test_the_automatic_range_suits_spin_glasses():
    """On a Sherrington-Kirkpatrick glass it comes within a few percent of a long run of a range set by hand."""
    J = np.triu(np.random.default_rng(0).normal(size=(256, 256)), 1)
    problem = LayerProblem.from_moments(J + J.T, np.zeros((1, 256)), np.zeros(1), np.zeros((1, 256)), 1.0, 1)
    best = SimulatedAnnealing(2000, num_reads=16, beta_range=[0.005, 1.0]).solve(problem).energies[0, 0]
    found = SimulatedAnnealing(100, num_reads=16).solve(problem).energies[0, 0]
    assert found < 0.98 * best


@pytest.mark.parametrize(
    ("solver", "units", "alpha"),
    [
        pytest.param(SimulatedAnnealing(5), 1, None, id="alone"),
        pytest.param(SimulatedAnnealing(5), 20, None, id="side by side"),
        pytest.param(SimulatedAnnealing(5), 20, 0.1, id="rows"),
        pytest.param(SimulatedAnnealing(5, start="present"), 20, None, id="together"),
        pytest.param(SimulatedQuantumAnnealing(5), 2, None, id="sqa"),
    ],
)
def test_betas_beyond_float32_raise_no_warning(monkeypatch, solver, units, alpha):
    monkeypatch.setattr(SimulatedAnnealing, "_goes_by_rows", lambda self, problem: alpha is not None)
    problem = random_problem(M=units, alpha=alpha, half_range=1e-60)  # as where L falls to zero
    problem.convex = solver.__dict__.get("start") != "present"
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


def test_streams_are_children_of_the_seed():
    words = [stream(0, 1, 2).generate_state(4), stream(stream(0, 1), 2).generate_state(4)]
    np.testing.assert_array_equal(*words)
    seen = {tuple(stream(seed, *key).generate_state(4)) for seed in (0, 1) for key in ((), (0,), (1,), (0, 0))}
    assert len(seen) == 8


def test_ctrl_c_stops_a_long_solve():
    class Stops(Exception):
        pass

    def soon() -> None:
        time.sleep(0.2)
        thread_pool._cancelled.set()

    problem = random_problem(M=2, N=60, bits=8)
    threading.Thread(target=soon).start()
    began = time.perf_counter()
    try:
        with pytest.raises(thread_pool.Cancelled):
            SimulatedAnnealing(2_000_000, beta=1.0).solve(problem)
    finally:
        thread_pool._cancelled.clear()
    assert time.perf_counter() - began < 1.2


@pytest.mark.parametrize(
    "make", [SimulatedAnnealing, SimulatedQuantumAnnealing, lambda n, **limit: SimulatedAnnealing(n, 40, **limit)]
)
def test_a_time_limit_is_for_all_units(make):
    """Units that form J one by one share it: twelve units take as long as the limit says, not twelve times that."""
    problem = random_problem(M=12, N=40, bits=8, alpha=0.1)
    began = time.perf_counter()
    found = make(200_000, time_limit_s=0.4).solve(problem)
    assert 0.3 < time.perf_counter() - began < 4
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
        (lambda: SimulatedAnnealing(0), "solver.num_sweeps=0 is not a whole number of at least 1"),
        (lambda: SimulatedAnnealing(2.5), "solver.num_sweeps=2.5"),
        (lambda: SimulatedAnnealing(beta=GeometricSchedule([1, 2], 3)), "solver.beta has 2 values a step"),
        (lambda: SimulatedAnnealing(StepSchedule(1, [2, 3], at=1)), "solver.num_sweeps has 2 values a step"),
        (lambda: SimulatedAnnealing(num_reads=0), "solver.num_reads=0"),
        (lambda: SimulatedAnnealing(order="up"), "solver.order='up' is not one of sequential, random"),
        (lambda: SimulatedAnnealing(beta=-1.0), "solver.beta=-1.0 is not a number above 0"),
        (lambda: SimulatedAnnealing(beta_range=[1.0]), r"solver.beta_range=\[1.0\] is not \[first, last\]"),
        (lambda: SimulatedAnnealing(beta_range=[2.0, 1.0]), "falls: annealing cools"),
        (lambda: SimulatedAnnealing(beta_range=[0, 1.0]), "solver.beta_range=0 is not a number above 0"),
        (lambda: SimulatedAnnealing(beta_range=[1, 2], beta=1.0), "both set"),
        (lambda: CoordinateDescent(num_starts=0), "solver.num_starts=0"),
        (lambda: CoordinateDescent(max_sweeps=True), "solver.max_sweeps=True"),
        (lambda: RoundedLeastSquares(max_sweeps=0), "solver.max_sweeps=0"),
    ],
)
def test_refused_settings(make, message):
    with pytest.raises(InputError, match=message):
        make()
