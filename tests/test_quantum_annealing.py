"""The whole path to a quantum annealer on emulated chips: embeddings, chains, scaling, jobs that fail, its clock."""

import re
import signal
import threading
from functools import cache
from typing import ClassVar

import dimod
import networkx
import numpy as np
import pytest

from annealtrain.commands.sweep import figure_words
from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.solvers.dwave import embedding
from annealtrain.solvers.statistics import merge_by_layer
from annealtrain.testing import SolverContract, check_result, random_problem

pytest.importorskip("dwave.system", reason="the dwave extra is not installed")
from dwave.cloud import exceptions
from dwave.cloud.testing.mocks import qpu_problem_timing_data
from dwave.samplers import SimulatedAnnealingSampler
from dwave.system.testing import MockDWaveSampler

from annealtrain.solvers.dwave import qpu, quantum_annealing
from annealtrain.solvers.dwave.quantum_annealing import QuantumAnnealing

CHIPS = {"pegasus": [4], "zephyr": [4]}  # cliques of up to 36 and 56 spins


def chip(topology="pegasus", *, sweeps=100, substitute=None, **settings):
    return MockDWaveSampler(
        topology_type=topology,
        topology_shape=CHIPS[topology],
        parameter_warnings=False,
        substitute_sampler=substitute or SimulatedAnnealingSampler(),
        substitute_kwargs={} if substitute else {"num_sweeps": sweeps},
        **settings,
    )


@pytest.fixture
def annealer(tmp_path):
    """A function that makes a solver on a small emulated chip, its embeddings kept in the test's own folder."""

    def make(topology="pegasus", *, sampler=None, **settings):
        settings = {"num_reads": 60, "cache": tmp_path / "embeddings", **settings}
        return QuantumAnnealing(sampler=sampler or chip(topology), **settings)

    return make


@pytest.fixture
def jobs(monkeypatch):
    """The models sent to the emulated chips, with their keywords."""
    sent = []
    sample = MockDWaveSampler.sample

    def recorded(self, bqm, **keywords):
        sent.append((bqm.copy(), keywords))
        return sample(self, bqm, **keywords)

    monkeypatch.setattr(MockDWaveSampler, "sample", recorded)
    return sent


@cache
def lasting_chip(topology):
    """One chip for many tests that leave it as it is: its graph takes a while."""
    return chip(topology)


class QuantumContract(SolverContract):
    """All units of a layer are one problem on the chip."""

    topology = "pegasus"
    settings: ClassVar = {"num_reads": 300}
    reaches_ground_state = True
    has_separate_units = False

    @pytest.fixture(autouse=True)
    def in_its_own_folder(self, tmp_path_factory):
        self.cache = tmp_path_factory.getbasetemp() / "embeddings of contracts"

    def make(self):
        return QuantumAnnealing(sampler=lasting_chip(self.topology), cache=self.cache, **self.settings)


class TestPegasus(QuantumContract):
    pass


class TestZephyr(QuantumContract):
    topology = "zephyr"


class TestSignPatternsAndSeveralChainStrengths(QuantumContract):
    settings: ClassVar = {"num_reads": 100, "spin_reversals": 2, "chain_strength": [1.0, 2.0]}


@pytest.mark.parametrize("alpha", [None, 0.1])
def test_all_units_are_one_submission_side_by_side(annealer, jobs, alpha):
    problem = random_problem(M=10, N=4, bits=2, alpha=alpha)
    result = annealer("zephyr").solve(problem)
    check_result(problem, result)
    assert len(jobs) == 1
    assert result.stats["submissions"] == 1
    tiles = annealer("zephyr").tiles(8, 10)
    qubits = [q for tile in tiles for chain in tile for q in chain]
    assert sorted(jobs[0][0].variables) == sorted(qubits)
    assert len(set(qubits)) == len(qubits)
    assert result.stats["qubits"] == len(qubits)
    # No coupler joins two units.
    unit_of = {q: i for i, tile in enumerate(tiles) for chain in tile for q in chain}
    assert all(unit_of[u] == unit_of[v] for u, v in jobs[0][0].quadratic)


def test_more_units_than_fit_take_as_many_submissions_as_needed(annealer, jobs):
    problem = random_problem(M=5, N=10, bits=2)
    solver = annealer()
    room = len(solver.tiles(20, 5))
    assert 1 <= room < 5
    result = solver.solve(problem)
    check_result(problem, result)
    assert len(jobs) == -(-5 // room) == result.stats["submissions"]


def test_what_is_sent_is_the_problem_itself(annealer, jobs):
    """With its chains intact, the model on the chip is the loss times one factor, and within the chip's ranges."""
    problem = random_problem(M=2, N=3, bits=3)
    solver = annealer(spin_reversals=1)
    result = solver.solve(problem, seed=5)
    model, keywords = jobs[0]
    properties = solver.sampler.properties
    assert keywords["auto_scale"] is False
    assert keywords["num_reads"] == 60
    assert keywords["annealing_time"] == 2.0
    low, high = properties["extended_j_range"]
    biases = np.array(list(model.quadratic.values()))
    assert low - 1e-9 <= biases.min()
    assert biases.max() <= high + 1e-9
    assert np.abs(list(model.linear.values())).max() <= properties["h_range"][1] + 1e-9
    # Something is at its limit: nothing of the range is given away.
    used = [biases.min() / low, biases.max() / high, np.abs(list(model.linear.values())).max() / 4]
    assert max(used) == pytest.approx(1)
    # Two configurations of unit 0, chains intact: the same energy difference up to `scale`.
    form, tile = problem.unit(0), solver.tiles(9, 2)[0]
    own = model.copy()
    own.remove_variables_from([v for v in model.variables if v not in {q for chain in tile for q in chain}])
    every = np.array(np.meshgrid(*[[-1, 1]] * 9)).reshape(9, -1).T
    loss = form.energy(form.weights(form.encoding.levels(every)))
    qubits = [(q, spin) for spin, chain in enumerate(tile) for q in chain]
    sent = own.energies((np.array([[row[s] for _, s in qubits] for row in every]), [q for q, _ in qubits]))
    # The signs of the spins were reversed at random: the same energies, in another order.
    spread = (np.sort(sent) - sent.min()) / (np.sort(loss) - loss.min()).max()
    np.testing.assert_allclose(spread, (np.sort(loss) - loss.min()) / np.ptp(loss) * np.ptp(sent) / np.ptp(loss))
    assert result.stats["scale"] > 0


def test_the_scale_is_that_of_the_couplings_sent(annealer, jobs):
    problem = random_problem(M=1, N=2, bits=1)
    solver = annealer()
    result = solver.solve(problem)
    ((a,), (b,)) = solver.tiles(2, 1)[0]
    J, h, _ = problem.unit(0).ising()
    assert jobs[0][0].get_quadratic(a, b) == pytest.approx(2 * J[0, 1] * result.stats["scale"])
    assert jobs[0][0].get_linear(a) == pytest.approx(h[0] * result.stats["scale"])


def test_sums_of_couplings_at_a_qubit_stay_in_range(annealer, jobs):
    sampler = chip(properties={"per_qubit_coupling_range": [-1.5, 1.5]})
    annealer(sampler=sampler).solve(random_problem(M=1, N=8, bits=2))
    model = jobs[0][0]
    totals = [abs(sum(model.adj[q].values())) for q in model.variables]
    assert max(totals) == pytest.approx(1.5)


class Breaking(dimod.Sampler):
    """Reads that are random qubit by qubit: most chains are broken."""

    properties = None
    parameters = None

    def sample(self, bqm, num_reads=1, **keywords):
        values = np.random.default_rng(0).choice([-1, 1], (num_reads, bqm.num_variables))
        return dimod.SampleSet.from_samples_bqm((values, list(bqm.variables)), bqm)


@pytest.mark.parametrize("topology", sorted(CHIPS))
def test_broken_chains_are_counted_and_voted_on(annealer, topology):
    problem = random_problem(M=3, N=6, bits=2)
    solver = annealer(sampler=chip(topology, substitute=Breaking()))
    result = solver.solve(problem)
    check_result(problem, result)
    lengths = [len(chain) for tile in solver.tiles(12, 3) for chain in tile]
    expected = np.mean([1 - 2.0 ** (1 - length) for length in lengths])
    assert result.stats["chain_break_fraction"] == pytest.approx(expected, abs=0.05)
    whole = annealer(topology).solve(problem)
    assert whole.stats["chain_break_fraction"] < 0.2


def test_a_scan_tells_which_chain_strength_was_best(annealer, monkeypatch):
    """Two submissions for each of three prefactors; all but one read at random, another one for the last units."""
    problem, sampler, prefactors = random_problem(M=3, N=10, bits=2), chip(), [3.0, 1.0, 2.0]
    solver = annealer(sampler=sampler, chain_strength=prefactors, spin_reversals=2, num_reads=20)
    assert len(solver.tiles(20, 3)) == 2
    good, sent = {0: 3, 1: 4}, []  # of the six jobs of the first units, of the others
    annealed, random = sampler.substitute_sampler, Breaking()
    sample = MockDWaveSampler.sample

    def in_turn(self, bqm, **keywords):
        part, job = divmod(len(sent), 6)
        sent.append(bqm)
        self.substitute_sampler = annealed if good[part] == job else random
        self.substitute_kwargs = {"num_sweeps": 100} if good[part] == job else {}
        return sample(self, bqm, **keywords)

    monkeypatch.setattr(MockDWaveSampler, "sample", in_turn)
    stats = solver.solve(problem).stats
    assert len(sent) == 12
    assert stats["best_chain_strength"] == pytest.approx((1.0 + 1.0 + 2.0) / 3)
    settings = {name: stats[name] for name in ("num_reads", "annealing_time_us", "spin_reversals")}
    assert settings == {"num_reads": 20, "annealing_time_us": 2, "spin_reversals": 2}


@pytest.mark.parametrize("topology", sorted(CHIPS))
def test_missing_qubits_and_couplers_are_not_used(annealer, jobs, topology):
    perfect = chip(topology)
    random = np.random.default_rng(1)
    nodes = random.choice(perfect.nodelist, len(perfect.nodelist) // 20, replace=False)
    edges = [perfect.edgelist[i] for i in random.choice(len(perfect.edgelist), 30, replace=False)]
    broken = chip(topology, broken_nodes=list(map(int, nodes)), broken_edges=edges)
    problem = random_problem(M=4, N=4, bits=2)
    result = annealer(sampler=broken).solve(problem)
    check_result(problem, result)
    assert result.stats["chain_break_fraction"] < 0.5
    for model, _ in jobs:
        assert not set(model.variables) & set(nodes)
        assert all(tuple(sorted(pair)) not in edges for pair in model.quadratic)


def test_embeddings_are_found_once_and_kept(annealer, monkeypatch, tmp_path, caplog):
    found = []
    search = embedding.find_tiles
    monkeypatch.setattr(embedding, "find_tiles", lambda *given: found.append(given[1:]) or search(*given))
    problem = random_problem(M=3, N=4, bits=2)
    solver = annealer()
    for seed in range(3):
        solver.resolve_schedules(seed, 3).solve(problem, seed=seed)
    assert found == [(8, 3)]
    annealer().solve(problem)  # another run
    assert found == [(8, 3)]
    annealer("zephyr").solve(problem)  # another chip
    annealer(sampler=chip(broken_nodes=[chip().nodelist[0]])).solve(problem)  # a chip that lost a qubit
    assert found == [(8, 3)] * 3
    files = sorted((tmp_path / "embeddings").iterdir())
    assert len(files) == 3
    for path in files:
        path.write_text(path.read_text()[:-9])
    annealer().solve(problem)
    assert "is damaged" in caplog.text
    assert found == [(8, 3)] * 4


@pytest.mark.parametrize("topology", sorted(CHIPS))
def test_cliques_of_every_size(topology):
    graph = chip(topology).to_networkx_graph()
    for size in [*range(1, 13), 20, embedding.clique_limit(graph)]:
        tile = embedding.find_clique(graph, size)
        assert len(tile) == size
        qubits = [qubit for chain in tile for qubit in chain]
        assert len(set(qubits)) == len(qubits)
        for i, chain in enumerate(tile):
            assert networkx.is_connected(graph.subgraph(chain))
            for other in tile[:i]:
                assert any(graph.has_edge(u, v) for u in chain for v in other)
    assert embedding.find_clique(graph, embedding.clique_limit(graph) + 1) == []


def test_embeddings_that_cannot_be_kept_are_told_of(annealer, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    annealer(cache=tmp_path / "file").solve(random_problem(M=1))
    assert "embeddings cannot be kept" in caplog.text


@pytest.mark.parametrize("topology", sorted(CHIPS))
def test_a_job_that_is_lost_is_sent_again(annealer, monkeypatch, caplog, topology):
    monkeypatch.setattr(quantum_annealing, "RETRY_WAIT_S", 0.0)
    lost = [exceptions.SolverFailureError("lost"), exceptions.PollingTimeout("slow"), ConnectionError("gone")]
    sample, left = MockDWaveSampler.sample, []

    def unreliable(self, bqm, **keywords):
        if left:
            raise left.pop()
        return sample(self, bqm, **keywords)

    monkeypatch.setattr(MockDWaveSampler, "sample", unreliable)
    problem, sampler = random_problem(M=5, N=12, bits=2), chip(topology)
    plain = annealer(sampler=sampler).solve(problem, seed=1)
    assert (plain.stats["retries"], plain.stats["submissions"] > 1) == (0, True)
    left += lost[:2]  # of the first submission: all count once, not once a unit
    again = annealer(sampler=sampler).solve(problem, seed=1)
    np.testing.assert_array_equal(again.levels, plain.levels)
    assert again.stats["retries"] == 2
    assert "SolverFailureError: lost" in caplog.text
    left += lost
    with pytest.raises(InputError, match=r"a QPU job failed 3 times \(SolverFailureError: lost\)"):
        annealer(sampler=sampler).solve(problem)


class Machine(dimod.Sampler):
    """A QPU as this project sees it: no mock, answers that come later, its own clock; the first `lost` never come."""

    properties = None
    parameters = None

    def __init__(self, topology, lost=0):
        self.mock, self.lost, self.resolved = chip(topology), lost, 0
        self.properties = {**self.mock.properties, "problem_timing_data": qpu_problem_timing_data()}
        self.adjacency, self.to_networkx_graph = self.mock.adjacency, self.mock.to_networkx_graph
        self.mock.substitute_kwargs["seed"] = 0

    def sample(self, bqm, **keywords):
        def answered(future):
            self.resolved += 1
            if self.resolved <= self.lost:
                raise exceptions.SolverFailureError("lost on the way")
            answer = self.mock.sample(bqm, **keywords)
            answer.info["timing"]["qpu_access_time"] = 1000.0 * self.resolved
            return answer

        return dimod.SampleSet.from_future(None, answered)


@pytest.mark.parametrize("topology", sorted(CHIPS))
def test_a_machine_tells_its_own_time(annealer, topology):
    problem, solver = random_problem(M=5, N=12, bits=2), annealer(sampler=Machine(topology), chain_strength=[1.0, 2.0])
    result = solver.solve(problem)
    check_result(problem, result)
    jobs = int(result.stats["submissions"])
    assert jobs > 2
    assert result.stats["qpu_access_time_s"] == pytest.approx(1e-3 * sum(range(1, jobs + 1)))
    assert solver.qpu_time_s == pytest.approx(result.stats["qpu_access_time_s"])
    assert (result.stats["emulated"], result.stats["retries"]) == (0, 0)
    assert np.all(result.energies[:, 0] < result.start_energies)


def test_an_answer_that_never_comes_is_asked_for_again(annealer, monkeypatch, caplog):
    monkeypatch.setattr(quantum_annealing, "RETRY_WAIT_S", 0.0)
    problem = random_problem(M=2)
    result = annealer(sampler=Machine("pegasus", lost=2)).solve(problem)
    check_result(problem, result)
    assert result.stats["retries"] == 2
    assert result.stats["qpu_access_time_s"] == pytest.approx(3e-3)  # of the answer that came
    assert caplog.text.count("SolverFailureError: lost on the way") == 2
    with pytest.raises(InputError, match=r"a QPU job failed 3 times \(SolverFailureError: lost on the way\)"):
        annealer(sampler=Machine("pegasus", lost=3)).solve(problem)


def test_jobs_add_up_over_the_steps_of_an_epoch():
    steps = [{"layer": 0, "submissions": 2.0, "retries": retries, "qubits": 40.0} for retries in (0.0, 1.0, 1.0)]
    assert merge_by_layer(steps) == [{"layer": 0, "submissions": 6, "retries": 2, "qubits": 40}]


def test_the_clock(annealer):
    sampler = chip()
    one = qpu.access_time_s(sampler, 100, 60, 2.0)
    assert qpu.access_time_s(sampler, 100, 600, 2.0) > one
    assert qpu.access_time_s(sampler, 100, 60, 200.0) == pytest.approx(one + 60 * 198e-6)
    problem = random_problem(M=2)
    solver = annealer(max_qpu_time_s=1.0)
    result = solver.solve(problem)
    needed = qpu.access_time_s(sampler, int(result.stats["qubits"]), 60, 2.0)
    assert result.stats["qpu_access_time_s"] == pytest.approx(needed)
    assert solver.qpu_time_s == pytest.approx(needed)
    solver.max_qpu_time_s = 1.5 * needed
    with pytest.raises(InputError, match=r"s of QPU time are spent and .* more needed, solver.max_qpu_time_s"):
        solver.solve(problem)


def test_a_run_beyond_its_time_is_refused_before_any_work(annealer, jobs):
    solver = annealer(max_qpu_time_s=1.0, chain_strength=[1, 2], spin_reversals=3)
    run = {"bits": 2, "weights": [4, 5], "units": [3, 2]}
    solver.prepare(**run, solves=[1, 1])
    with pytest.raises(
        InputError, match=r"needs about .* s of QPU time in 240 submissions, solver.max_qpu_time_s=1: raise it"
    ):
        solver.prepare(**run, solves=[20, 20])
    assert not jobs
    assert len(solver._tiles) == 2  # embedded already


@pytest.mark.parametrize(
    ("settings", "units", "sent"),
    [
        (["optimizer=gauss_newton"], 1, 2 * 10),
        (["optimizer=gauss_newton", "batch_size=20"], 1, 2 * 3 * 10),
        (["optimizer=pinv"], 10, 2),
        (["optimizer=kronecker", "batch_size=20"], 10, 2 * 3),
    ],
)
def test_what_a_run_sends_is_what_was_planned(cli, jobs, monkeypatch, tmp_path, settings, units, sent):
    """Units one after the other, or all at once; each step of mini-batches solves anew. One embedding is enough."""
    monkeypatch.setitem(qpu.MOCKS, "pegasus", CHIPS["pegasus"])
    found, search = [], embedding.find_tiles
    monkeypatch.setattr(embedding, "find_tiles", lambda *given: found.append(given[1:]) or search(*given))
    small = ["model=linear_small", "samples=50", "validation=10", "epochs=2", "bits=1", "threads=1", *settings]
    qpu_settings = ["solver=dwave", "solver.mock=pegasus", "solver.num_reads=3", "solver.mock_sweeps=1"]
    arguments = ["train", *small, *qpu_settings, f"solver.cache={tmp_path}/embeddings"]
    outcome = cli(*arguments, "solver.max_qpu_time_s=1e-6", "hydra.run.dir=refused")
    planned, submissions = re.search(r"needs about (\S+) s of QPU time in (\d+) submissions", outcome.err).groups()
    assert int(submissions) == sent
    assert not jobs
    outcome = cli(*arguments, "hydra.run.dir=run")
    assert outcome.code == 0, outcome
    assert len(jobs) == sent
    assert found == [(8, units)]
    needed = sum(qpu.access_time_s(chip(), model.num_variables, 3, 2.0) for model, _ in jobs)
    assert float(planned) == pytest.approx(needed, rel=0.01)


def test_a_layer_too_large_is_refused_before_any_work(annealer):
    solver = annealer()
    limit = embedding.clique_limit(solver.sampler.to_networkx_graph())
    solver.prepare(bits=1, weights=[limit], units=[2], solves=[1])
    with pytest.raises(
        InputError,
        match=rf"layer 1 needs 50 spins; MockDWaveSampler embeds at most {limit}: lower bits to {limit // 10}",
    ):
        solver.prepare(bits=5, weights=[2, 10], units=[2, 2], solves=[1, 1])
    with pytest.raises(InputError, match=rf"layer 1 needs {5 * limit} spins; .*: lower bits to 1$"):
        solver.prepare(bits=5, weights=[limit // 2, limit], units=[2, 2], solves=[1, 1])
    with pytest.raises(InputError, match=rf"layer 0 needs {2 * limit} spins; .* at most {limit}: take a smaller model"):
        solver.prepare(bits=1, weights=[2 * limit], units=[2], solves=[1])


def test_reads_and_times_beyond_the_qpu(annealer):
    for settings, message in (
        ({"num_reads": 20000}, "solver.num_reads=20000 is not in 1 to 10000, what this QPU takes"),
        ({"annealing_time_us": 0.1}, "solver.annealing_time_us=0.1 is not in 0.5 to 2000 us"),
    ):
        with pytest.raises(InputError, match=message):
            annealer(**settings).prepare(bits=1, weights=[2], units=[2], solves=[1])


def test_dead_units_and_dead_weights_use_no_qubits(annealer, jobs):
    J = np.array([np.eye(3), np.zeros((3, 3))])
    problem = LayerProblem.from_moments(J, np.array([[1.0, 0, 0], [0, 0, 0]]), np.zeros(2), np.ones((2, 3)), 1.0, 2)
    result = annealer().solve(problem)
    check_result(problem, result)
    np.testing.assert_array_equal(result.weights[1], np.ones((60, 3)))
    assert jobs[0][0].num_variables == result.stats["qubits"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("API token not defined"), "has no API token: set DWAVE_API_TOKEN"),
        (exceptions.SolverAuthenticationError("401"), "the API token is not accepted"),
        (exceptions.SolverNotFoundError("none"), "this account has no QPU 'Advantage9' online"),
        (exceptions.Timeout("10 s"), r"service cannot be reached \(Timeout 10 s\)"),
        (ConnectionError("no route"), r"service cannot be reached \(ConnectionError no route\)"),
    ],
)
def test_a_qpu_out_of_reach_is_one_line(monkeypatch, tmp_path, error, message):
    import dwave.system

    def fails(**settings):
        raise error

    monkeypatch.setattr(dwave.system, "DWaveSampler", fails)
    solver = QuantumAnnealing(qpu="Advantage9", cache=tmp_path)
    with pytest.raises(InputError, match=message) as told:
        solver.prepare(bits=1, weights=[2], units=[2], solves=[1])
    assert "solver.mock=pegasus emulates one offline" in str(told.value)
    assert "\n" not in str(told.value)


def test_without_a_token_the_command_says_so_before_any_work(refused, monkeypatch):
    for name in ("DWAVE_API_TOKEN", "DWAVE_CONFIG_FILE", "DWAVE_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("dwave.cloud.config.loaders.get_configfile_paths", lambda **given: [])
    said = refused("train", "model=linear_small", "solver=dwave", "bits=2", "samples=20", "validation=10")
    assert said.startswith("solver=dwave has no API token: set DWAVE_API_TOKEN")


def test_a_settings_file_that_is_not_there_is_named(refused, monkeypatch):
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    monkeypatch.setenv("DWAVE_CONFIG_FILE", "nowhere.conf")
    said = refused("train", "model=linear_small", "solver=dwave", "bits=2", "samples=20", "validation=10")
    assert "nowhere.conf" in said
    assert "run dwave config create" in said


@pytest.mark.parametrize(
    ("content", "token", "method"),
    [
        ("", None, "dwave_emulated"),
        ("", "DEV-1", "dwave"),
        ("[defaults]\ntoken = DEV-2\n", None, "dwave"),
    ],
)
def test_a_figure_asks_a_qpu_where_there_is_a_token(monkeypatch, tmp_path, content, token, method):
    (tmp_path / "dwave.conf").write_text(content)
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("DWAVE_API_TOKEN", token)
    monkeypatch.setenv("DWAVE_CONFIG_FILE", str(tmp_path / "dwave.conf"))
    assert f"method=pinv,{method},backprop" in figure_words(["sweep=figure", "figure=fig1b", "seeds=1"])


def test_a_figure_names_a_settings_file_that_is_not_there(refused, monkeypatch):
    monkeypatch.setenv("DWAVE_CONFIG_FILE", "nowhere.conf")
    assert "nowhere.conf" in refused("figure", "fig1b")


def test_settings_of_the_working_directory_do_not_say_where_a_token_is_sent(monkeypatch, tmp_path):
    import dwave.system

    def reached(**settings):
        raise AssertionError(settings)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dwave.system, "DWaveSampler", reached)
    monkeypatch.delenv("DWAVE_CONFIG_FILE", raising=False)
    monkeypatch.setenv("DWAVE_API_TOKEN", "DEV-1")
    (tmp_path / "dwave.conf").write_text("[defaults]\nendpoint = https://elsewhere.example/sapi\n")
    for asked in (lambda: qpu.reach(None), qpu.has_token):
        with pytest.raises(InputError, match=r"set DWAVE_CONFIG_FILE=dwave.conf if it is yours"):
            asked()
    monkeypatch.setenv("DWAVE_CONFIG_FILE", "dwave.conf")
    assert qpu.has_token()


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dwave.system", None)
    with pytest.raises(InputError, match=r"pip install 'annealtrain\[dwave\]'"):
        qpu.reach(None)


@pytest.mark.slow
def test_long_answers_of_an_emulated_qpu_come_from_a_process_that_ctrl_c_ends(tmp_path, monkeypatch):
    """The same answers; in this process a call of many seconds would not hear it."""
    problem = LayerProblem.from_moments(np.eye(3), np.ones((2, 3)), np.zeros(2), np.zeros((2, 3)), 1.0, 2)
    settings = {"mock": "pegasus", "num_reads": 20, "mock_sweeps": 20, "cache": tmp_path}
    solver = QuantumAnnealing(**settings)
    here = solver.solve(problem, seed=3)
    monkeypatch.setattr(quantum_annealing, "PROCESS_S", 0.0)
    there = solver.solve(problem, seed=3)
    np.testing.assert_array_equal(there.levels, here.levels)
    assert len(solver._workers._idle) == 1
    process = solver._workers._idle[0][0]
    solver.mock_sweeps = 10**7
    solver.effort = lambda **_: None
    threading.Timer(0.5, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        solver.solve(problem, seed=3)
    assert process.poll() is not None


def test_emulating_beyond_memory_or_days_is_refused_before_it_begins():
    solver = QuantumAnnealing(mock="pegasus", mock_sweeps=10**9)
    with pytest.raises(InputError, match=r"1000000000 sweeps .*: lower solver.mock_sweeps or solver.num_reads"):
        solver.prepare(bits=2, weights=[10], units=[2], solves=[1])


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["pegasus", "zephyr"])
def test_a_run_on_a_whole_chip(cli, tmp_path, monkeypatch, topology):
    """linear_small, 4 bits: one embedding in the run, ten cliques of 32 spins in one submission, marked emulated."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = []
    search = embedding.find_tiles
    monkeypatch.setattr(embedding, "find_tiles", lambda *given: found.append(given[1:]) or search(*given))
    settings = ["model=linear_small", "samples=200", "validation=50", "epochs=2", "bits=4", "alpha=1", "threads=1"]
    outcome = cli(
        "train",
        *settings,
        "optimizer=pinv",
        "solver=dwave",
        f"solver.mock={topology}",
        "solver.num_reads=50",
        "solver.mock_sweeps=20",
        "hydra.run.dir=run",
    )
    assert outcome.code == 0, outcome
    assert found == [(32, 10)]
    assert len(list((tmp_path / "cache" / "annealtrain" / "embeddings").iterdir())) == 1
    from conftest import table

    rows = table(tmp_path / "run" / "solves.csv", times=True)
    assert [float(row["submissions"]) for row in rows] == [1, 1]
    for name, value in {
        "num_reads": 50,
        "annealing_time_us": 2,
        "spin_reversals": 0,
        "best_chain_strength": 1.414,
    }.items():
        assert [float(row[name]) for row in rows] == [value, value]
    assert all(float(row["emulated"]) == 1 for row in rows)
    assert all(0 < float(row["qpu_access_time_s"]) < 1 for row in rows)
    assert all(0 <= float(row["chain_break_fraction"]) < 0.5 for row in rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_reads": 0}, "solver.num_reads=0 is not a whole number of at least 1"),
        ({"annealing_time_us": 0}, "solver.annealing_time_us=0 is not a number above 0"),
        ({"max_qpu_time_s": -1}, "solver.max_qpu_time_s=-1"),
        ({"qpu": 3}, "solver.qpu=3 is not the name of a QPU"),
        ({"cache": ["a"]}, r"solver.cache=\['a'\] is not a folder"),
        ({"chain_strength": -1.0}, "solver.chain_strength=-1.0 is not a number above 0"),
        ({"chain_strength": []}, r"solver.chain_strength=\[\] is not .* or a list of values, each a number above 0"),
        ({"spin_reversals": -1}, "solver.spin_reversals=-1 is not a whole number of at least 0"),
        ({"max_retries": 1.5}, "solver.max_retries=1.5"),
        ({"mock": "chimera"}, "solver.mock='chimera' is not one of pegasus, zephyr, null"),
        ({"mock": "zephyr", "qpu": "x"}, "both set"),
    ],
)
def test_refused_settings(settings, message):
    with pytest.raises(InputError, match=message):
        QuantumAnnealing(**settings)
