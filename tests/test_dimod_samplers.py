"""dimod's samplers under the contract; their keywords, schedules, seeds and memory; worker processes."""

import re
import signal
import threading
import time

import dimod
import numpy as np
import pytest
from conftest import LIMIT_S, SMALL
from test_path_integral import thermal_probabilities, three_spins

from annealtrain.errors import InputError, MachineLost
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import memory, thread_pool
from annealtrain.schedule import GeometricSchedule, StepSchedule
from annealtrain.solvers import dimod_costs, dimod_samplers, remote
from annealtrain.solvers.annealing.temperatures import automatic_beta_range
from annealtrain.solvers.dimod_samplers import DimodSolver, known_keywords, neal, path_integral, steepest, tabu
from annealtrain.solvers.exact import Exact
from annealtrain.testing import SolverContract, check_result, random_problem

IN_PROCESSES = neal(num_reads=5, processes=True)


class TestNeal(SolverContract):
    reaches_ground_state = True

    def make(self):
        return neal(num_reads=20)


class TestNealInRandomOrder(SolverContract):
    reaches_ground_state = True

    def make(self):
        return neal(num_reads=20, order="random")


class TestNealInProcesses(SolverContract):
    def make(self):
        return IN_PROCESSES


class TestPathIntegral(SolverContract):
    reaches_ground_state = True

    def make(self):
        return path_integral(num_reads=20)


class TestTabu(SolverContract):
    reaches_ground_state = True

    def make(self):
        return tabu(num_reads=20)


class TestSteepest(SolverContract):
    def make(self):
        return steepest(num_reads=50)


class TestDimodsExactSolver(SolverContract):
    reaches_ground_state = True
    is_random = False

    def make(self):
        return DimodSolver(dimod.ExactSolver())


class TestOpenJij(SolverContract):
    """All reads of a seed are the same, so that it need not reach the ground state."""

    def make(self):
        openjij = pytest.importorskip("openjij", reason="the bench extra is not installed")
        return DimodSolver(openjij.SASampler(), {"num_sweeps": 100, "num_reads": 20})

    def test_its_betas_and_its_keywords_are_known(self):
        solver = self.make()
        assert solver.pass_betas({}, 1.0, 2.0) == {"beta_min": 1.0, "beta_max": 2.0}
        with pytest.raises(
            InputError, match=r"num_swepes is not a keyword of SASampler\.sample; did you mean 'num_sweeps'"
        ):
            DimodSolver(solver.sampler, {"num_swepes": 3})


class Recording(dimod.Sampler):
    """Keeps the keywords of each call and answers with all spins up."""

    properties = None
    parameters = None

    def __init__(self):
        self.seen, self.parameters = [], {}

    def sample(self, bqm, *, beta_range=None, seed=None, num_sweeps=10, quality=None, **kwargs):
        self.seen.append({"beta_range": beta_range, "seed": seed, "num_sweeps": num_sweeps, **kwargs})
        return dimod.SampleSet.from_samples_bqm(dict.fromkeys(bqm.variables, 1), bqm)


def test_unknown_keywords_are_refused_though_the_sampler_would_swallow_them():
    from dwave.samplers import PathIntegralAnnealingSampler

    with pytest.raises(
        InputError, match=r"solver\.options\.gamma_range is not a keyword of PathIntegralAnnealingSampler"
    ):
        DimodSolver(PathIntegralAnnealingSampler(), {"gamma_range": [3, 0.1]})
    with pytest.raises(InputError, match=r"did you mean 'quality'.*known are beta_range, num_sweeps, quality"):
        DimodSolver(Recording(), {"qualty": 1})
    with pytest.raises(InputError, match="set seed="):
        DimodSolver(Recording(), {"seed": 1})
    assert known_keywords(Recording()) == {"beta_range", "seed", "num_sweeps", "quality"}


def test_keywords_of_a_sampler_that_samples_qubos_only():
    class Qubo(dimod.Sampler):
        properties = None
        parameters = None

        def __init__(self):
            self.parameters = {"depth": []}

        def sample_qubo(self, Q, *, width=3, **kwargs):
            return dimod.ExactSolver().sample_qubo(Q)

    assert known_keywords(Qubo()) == {"depth", "width"}
    problem = random_problem()
    result = DimodSolver(Qubo(), {"depth": 1}).solve(problem)
    check_result(problem, result)
    np.testing.assert_allclose(result.energies[:, 0], Exact().solve(problem).energies[:, 0])


def test_each_unit_gets_its_own_range_and_seed():
    problem = random_problem(M=4, alpha=0.1)
    sampler = Recording()
    DimodSolver(sampler, {"num_sweeps": 7}).solve(problem, seed=3)
    assert [call["num_sweeps"] for call in sampler.seen] == [7] * 4
    for i, call in enumerate(sampler.seen):
        assert call["beta_range"] == list(automatic_beta_range(problem.unit(i)))
    seeds = [call["seed"] for call in sampler.seen]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)
    DimodSolver(sampler, {"num_sweeps": 7}).solve(problem, seed=3)
    assert [call["seed"] for call in sampler.seen[4:]] == seeds


def test_given_betas_count_a_loss_per_output_site():
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(60, 4)), generator.normal(size=(60, 2))
    problem = LayerProblem.from_rows(inputs, targets, np.zeros((2, 4)), 0.5, 3, samples=10)
    for settings, expected in (({"beta": 6.0}, [1, 1]), ({"beta_range": [6.0, 60.0]}, [1, 10])):
        sampler = Recording()
        stats = DimodSolver(sampler, **settings).solve(problem).stats
        np.testing.assert_allclose(sampler.seen[0]["beta_range"], expected)
        np.testing.assert_allclose([stats["beta_first"], stats["beta_last"]], expected)


def test_settings_follow_the_epochs():
    solver = neal(StepSchedule(4, 1, at=10), beta=GeometricSchedule(5e3, 5e12))
    early, late = solver.resolve_schedules(0, 20), solver.resolve_schedules(10, 20)
    assert (early.options["num_sweeps"], early.beta) == (4, 5e3)
    assert (late.options["num_sweeps"], late.beta) == (1, pytest.approx(5e3 * 1e9**0.5))
    assert late.solve(random_problem()).stats["sweeps"] == 1
    with pytest.raises(InputError, match=r"call resolve_schedules\(epoch, epochs\) first"):
        solver.solve(random_problem())


def test_the_path_integral_is_given_a_transverse_field():
    """Its own default is none, which is a classical heat bath; with ours it is quantum mechanics."""
    fields = path_integral(3, field_range=[4.0, 0.04]).pass_betas({"num_sweeps": 3}, 1.0, 100.0)
    np.testing.assert_allclose(fields["Hp_field"], [1, 10, 100])
    np.testing.assert_allclose(fields["Hd_field"], [4, 0.4, 0.04])
    form, beta, gamma, reads = three_spins(), 1.5, 2.0, 2000
    solver = path_integral(20, reads, [beta, beta], [beta * gamma, beta * gamma])
    levels, _ = solver.sample(form, np.random.SeedSequence(0))
    shares = np.bincount((levels * [4, 2, 1]).sum(axis=1), minlength=8) / reads
    exact = thermal_probabilities(form, beta, gamma)
    assert np.all(np.abs(shares - exact) < 4.5 * np.sqrt(exact / reads))
    assert np.abs(thermal_probabilities(form, beta, 0.0) - exact).max() > 0.1  # what it must not be


def test_reads_that_occur_twice_count_twice_and_dead_units_have_as_many():
    class Twice(Recording):
        def sample(self, bqm, *, beta_range=None, **kwargs):
            found = dict.fromkeys(bqm.variables, 1)
            return dimod.SampleSet.from_samples_bqm(found, bqm, num_occurrences=[3])

    problem = random_problem(M=2)
    assert DimodSolver(Twice()).solve(problem).energies.shape == (2, 3)
    J = np.array([np.eye(3), np.zeros((3, 3))])
    half_dead = LayerProblem.from_moments(J, np.array([[1.0, 0, 0], [0, 0, 0]]), np.zeros(2), np.ones((2, 3)), 1.0, 2)
    result = DimodSolver(Twice()).solve(half_dead)
    check_result(half_dead, result)
    np.testing.assert_array_equal(result.weights[1], np.ones((3, 3)))


def test_a_model_beyond_memory_is_refused_before_it_is_built(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**9)
    solver = neal()
    with pytest.raises(InputError, match=r"layer 1 with 1024 weights of 8 bits: .* needs 4 GB; 1 GB are avail"):
        solver.check(bits=8, weights=[8, 1024])
    solver.check(bits=3, weights=[8, 1024])
    # As many units at once as there are threads, unless they come one by one.
    run = {"bits": 3, "weights": [8, 1024], "solves": [1, 1]}
    solver.prepare(**run, units=[10, 10])
    with thread_pool.threads(2):
        with pytest.raises(
            InputError, match=r"layer 1 with 1024 weights of 3 bits: .* on 2 dense models of 3072 spins needs"
        ):
            solver.prepare(**run, units=[10, 10])
        solver.prepare(**run, units=[1, 1])
    # Two threads hold two models; dead weights are in none.
    problem = random_problem(M=2, N=450, bits=6)
    sampler = Recording()
    with thread_pool.threads(2), pytest.raises(InputError, match="Recording on 2 dense models of 2700 spins needs"):
        DimodSolver(sampler).solve(problem)
    assert not sampler.seen
    DimodSolver(sampler, processes=False).solve(random_problem(M=1, N=450, bits=6, dead=range(300)))
    assert len(sampler.seen) == 1


def test_a_run_beyond_memory_is_refused_before_any_work(cli, refused, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**9)
    room = 0.7e9 / 24**2, 1e-9  # for one unit's model
    monkeypatch.setitem(dimod_costs.COSTS, "SimulatedAnnealingSampler", room)
    run = ["train", *SMALL, "solver=neal", "optimizer=pinv", "epochs=1"]
    assert "layer 0 with 8 weights of 3 bits: SimulatedAnnealingSampler on 2 dense" in refused(*run, "threads=2")
    assert cli(*run, "threads=1").code == 0


def test_processes_give_the_same_results():
    problem = random_problem(M=6, N=8, bits=3, alpha=0.1)
    with thread_pool.threads(2):
        there = IN_PROCESSES.solve(problem, seed=4)
    assert IN_PROCESSES.workers._idle
    here = neal(num_reads=5, processes=False).solve(problem, seed=4)
    np.testing.assert_array_equal(there.levels, here.levels)


def test_large_units_go_to_processes(monkeypatch):
    sent = []
    solver = steepest(num_reads=1)
    monkeypatch.setattr(solver.workers, "run", lambda job, *arguments: sent.append(job) or job(*arguments))
    solver.solve(random_problem(M=1, N=64, bits=8))
    assert not sent
    solver.solve(random_problem(M=1, N=65, bits=8))
    assert sent == [dimod_samplers.sampled_spins]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: neal(num_sweeps=100 * n),
        lambda n: neal(num_sweeps=100, num_reads=n),
        lambda n: tabu(num_sweeps=100 * n),
        lambda n: tabu(num_sweeps=100, num_restarts=4 * n),
        lambda n: path_integral(num_sweeps=100, num_reads=n),
    ],
)
def test_long_calls_go_to_processes(monkeypatch, make):
    """Some hold the interpreter's lock, and some hear Ctrl-C between two reads only."""
    for count, goes in [(1, False), (200_000, True)]:
        solver, sent = make(count), []
        monkeypatch.setattr(solver.workers, "run", lambda job, sampler, form, _, sent=sent: sent.append(job) or ONES)
        monkeypatch.setattr(dimod_samplers, "sampled_spins", lambda sampler, form, _: ONES)
        solver.solve(random_problem(M=1, N=8, bits=2))
        assert bool(sent) is goes


ONES = np.ones((1, 16), dtype=np.int8)


def test_ctrl_c_is_not_swallowed_by_a_sampler(monkeypatch):
    """D-Wave's takes an error of the function that it asks for an end, and goes on without a word."""
    given = []

    def sample(sampler, form, keywords):
        given.append(keywords)
        return sampled(sampler, form, keywords)

    def solve_on():
        limit = time.monotonic() + LIMIT_S
        while time.monotonic() < limit:
            neal(num_sweeps=10_000, num_reads=20, processes=False).solve(problem)

    problem, sampled = random_problem(M=1, N=8, bits=2), dimod_samplers.sampled_spins
    monkeypatch.setattr(dimod_samplers, "sampled_spins", sample)
    threading.Timer(0.3, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        solve_on()
    assert "interrupt_function" not in given[0]
    given.clear()
    with thread_pool.threads(2):
        neal(processes=False).solve(random_problem(M=2, N=8, bits=2, alpha=0.1))
    assert all(keywords["interrupt_function"] is thread_pool.is_cancelled for keywords in given)


def test_a_run_beyond_a_day_is_refused_before_any_work(refused):
    run = ["train", *SMALL, "optimizer=pinv", "epochs=1", f"annealing.num_sweeps={10**6}"]
    for solver, setting in [("neal", "num_reads"), ("sqa", "num_reads")]:
        said = refused(*run, f"solver={solver}", f"solver.{setting}={10**6}")
        assert "layer 0: " in said
        assert re.search(rf"lower solver\..*{setting}", said)


def test_samplers_that_keep_settings_are_not_called_by_two_threads_at_once():
    class Forgetful(Recording):
        def sample(self, bqm, *, beta_range=None, **kwargs):
            self.current = beta_range
            time.sleep(0.01)
            assert self.current is beta_range
            return super().sample(bqm)

    with thread_pool.threads(4):
        DimodSolver(Forgetful()).solve(random_problem(M=8, alpha=0.1))


def test_a_sampler_without_seeds_is_told_of(caplog):
    DimodSolver(dimod.ExactSolver())
    assert "ExactSolver takes no seed" in caplog.text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: neal(0), "solver.num_sweeps=0 is not a whole number of at least 1"),
        (lambda: neal(num_reads=0), "solver.num_reads=0"),
        (lambda: neal(order="up"), "solver.order='up' is not one of sequential, random"),
        (lambda: neal(beta=1.0, beta_range=[1, 2]), "both set"),
        (lambda: neal(beta_range=[2.0, 1.0]), "falls"),
        (
            lambda: neal(beta=GeometricSchedule([1, 2], 3)),
            r"solver.beta=GeometricSchedule\(.*\) is not a number above 0 or a schedule of one value for all layers",
        ),
        (
            lambda: DimodSolver(Recording(), {"num_sweeps": GeometricSchedule([1, 2], 3)}),
            r"solver.options.num_sweeps=GeometricSchedule\(.*\) is not of one value for all layers, as a solver's",
        ),
        (lambda: neal(processes="yes"), "solver.processes='yes' is not one of true, false, or null"),
        (lambda: path_integral(field_range=[1.0]), r"solver.field_range=\[1.0\] is not \[first, last\]"),
        (lambda: tabu(0), "solver.num_sweeps=0"),
        (lambda: tabu(num_restarts=-1), "solver.num_restarts=-1 is not a whole number of at least 0"),
        (lambda: steepest(0), "solver.num_reads=0"),
        (lambda: DimodSolver(dimod.ExactSolver(), beta=1.0), "not for this ExactSolver, it takes no inverse temp"),
        (lambda: DimodSolver(Recording(), {"beta_range": [1, 2]}, beta=1.0), "solver.options hold its schedule"),
    ],
)
def test_refused_settings(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_call_that_the_network_fails_is_made_again(monkeypatch):
    lost, waits = [ConnectionError("gone")], []
    monkeypatch.setattr(remote, "_wait", waits.append)

    class Remote(dimod.ExactSolver):
        def sample(self, bqm, **keywords):
            if lost:
                raise lost.pop()
            return super().sample(bqm)

    problem = random_problem(M=1, N=3, bits=1)
    found = DimodSolver(Remote()).solve(problem)
    np.testing.assert_array_equal(found.levels, DimodSolver(dimod.ExactSolver()).solve(problem).levels)
    assert waits == [2.0]
    lost += [ConnectionError("gone")] * 3
    with pytest.raises(MachineLost, match=r"a call of Remote failed 3 times \(ConnectionError: gone\)"):
        DimodSolver(Remote()).solve(problem)
