"""Machines of others: what they are asked, what they may answer, how their calls are counted and made again."""

import sys
from collections.abc import Iterator
from http.client import IncompleteRead
from typing import ClassVar

import numpy as np
import pytest
from conftest import table
from http_examples import EXAMPLES, example, served

import annealtrain
from annealtrain.errors import InputError, MachineLost
from annealtrain.solvers import remote
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.ising_solver import IsingSolver
from annealtrain.testing import SolverContract, check_result, random_problem


class Descent(IsingSolver):
    """Single flips from random spins until none falls."""

    def __init__(self, reads=40):
        self.reads, self.asked = reads, []

    def ising(self, J, h, seed):
        self.asked.append((J, h))
        spins = np.random.default_rng(seed).choice([-1, 1], (self.reads, len(h)))
        for read in spins:
            while (falls := read * (2 * J @ read + h)).max() > 1e-12:
                read[np.argmax(falls)] *= -1
        return spins


class Batched(Descent):
    max_problems = 2

    def ising_batch(self, problems, seeds):
        self.sizes = [*getattr(self, "sizes", []), len(problems)]
        return [self.ising(J, h, seed) for (J, h), seed in zip(problems, seeds, strict=True)]


@pytest.fixture(scope="module")
def service() -> Iterator:
    with served() as running:
        yield running


class TestAFunction(SolverContract):
    reaches_ground_state = True

    def make(self):
        return Descent()


class TestABatch(SolverContract):
    reaches_ground_state = True

    def make(self):
        return Batched()


class TestHttp(SolverContract):
    @pytest.fixture(autouse=True)
    def _of(self, service):
        self.service = service

    def make(self):
        return example("http_machine").HttpMachine(self.service.url, poll_s=0.002)


@pytest.mark.parametrize("largest", [None, 1.0, 127.0])
@pytest.mark.parametrize("alpha", [None, 0.1])
def test_a_machine_is_asked_for_the_loss_of_the_spins_that_matter(largest, alpha):
    problem, solver = random_problem(M=2, N=4, bits=2, dead=[1], alpha=alpha), Descent()
    solver.largest = largest
    solver.solve(problem)
    for i, (J, h) in enumerate(solver.asked):
        assert (J.shape, h.shape) == ((6, 6), (6,))
        np.testing.assert_array_equal(J, J.T)
        assert not J.diagonal().any()
        form = problem.unit(i).live_part()
        spins = np.random.default_rng(0).choice([-1, 1], (20, 6))
        energies = np.einsum("ri,ij,rj->r", spins, J, spins) + spins @ h
        losses = form.energy(form.weights(form.encoding.levels(spins)))
        factor = 1.0 if largest is None else np.ptp(energies) / np.ptp(losses)
        np.testing.assert_allclose(np.diff(energies), factor * np.diff(losses), rtol=1e-6, atol=1e-9)
        if largest:
            assert max(2 * np.abs(J).max(), np.abs(h).max()) == pytest.approx(largest)


def test_problems_are_sent_together_where_there_is_a_batch_form():
    problem, solver = random_problem(M=5), Batched()
    result = solver.solve(problem)
    check_result(problem, result)
    assert solver.sizes == [2, 2, 1]
    assert result.stats["submissions"] == solver.calls(units=5, weights=5, bits=2) == 3
    assert Descent().solve(problem).stats["submissions"] == Descent().calls(units=5, weights=5, bits=2) == 5
    solver.max_problems = None
    assert solver.calls(units=5, weights=5, bits=2) == 1
    assert solver.solve(problem).stats["submissions"] == 1
    nothing = random_problem(dead=range(5))
    assert solver.solve(nothing).stats["submissions"] == 0


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda size: np.ones((2, size + 1)), r"shape \(2, 11\) for 10 spins: give \(reads, 10\)"),
        (lambda size: np.ones((0, size)), r"shape \(0, 10\) for 10 spins"),
        (lambda size: np.ones((2, 2, size)), r"shape \(2, 2, 10\) for 10 spins"),
        (lambda size: np.zeros((3, size)), r"not all -1 or 1: of bits b, give 2 b - 1"),
        (lambda size: np.full((3, size), np.nan), r"not all -1 or 1"),
        (lambda size: 1, r"shape \(\) for 10 spins"),
    ],
)
def test_an_answer_that_is_none_is_refused(answer, told):
    class Wrong(IsingSolver):
        def ising(self, J, h, seed):
            return answer(len(h))

    with pytest.raises(InputError, match=f"Wrong gave spins .*{told}"):
        Wrong().solve(random_problem())


def test_one_read_needs_no_second_dimension_and_answers_are_counted():
    class One(IsingSolver):
        def ising(self, J, h, seed):
            return [1] * len(h)

    result = One().solve(random_problem())
    assert result.levels.shape == (3, 1, 5)
    assert (result.levels == 3).all()

    class Few(One):
        def ising_batch(self, problems, seeds):
            return [[1] * len(h) for _, h in problems[1:]]

    with pytest.raises(InputError, match=r"Few.ising_batch gave 2 answers to 3 problems"):
        Few().solve(random_problem())


def test_limits_are_declared():
    solver = Descent()
    solver.max_spins, solver.max_bits = 64, 4
    solver.check(bits=4, weights=[16])
    blocks = "or solver=decompose solver.inner=NAME solver.max_spins=64 for blocks, NAME being what solver= names now"
    with pytest.raises(InputError, match=rf"layer 1 needs 68 spins .*at most 64: lower bits to 3, {blocks}"):
        solver.check(bits=4, weights=[16, 17])
    with pytest.raises(InputError, match=r"layer 1 needs 600 spins .*: take a smaller model, or solver=decompose"):
        solver.check(bits=4, weights=[25, 150])  # 2 bits would do for the first, and not for the second
    solver.max_spins, solver.max_bits = 4, None
    with pytest.raises(InputError, match=r"Descent takes at most 4 spins, so no weight of 5 bits: lower bits to 4$"):
        solver.check(bits=5, weights=[9])  # for which blocks are no remedy
    solver.max_spins, solver.max_bits = 64, 4
    with pytest.raises(InputError, match=r"Descent takes at most 4 bits a weight, not 5: lower bits"):
        solver.check(bits=5, weights=[1])
    with pytest.raises(InputError, match="a unit needs 80 spins"):
        solver.solve(random_problem(N=20, bits=4))
    problem = random_problem(N=20, bits=4, dead=range(4))  # 16 that matter
    check_result(problem, solver.solve(problem))


class Unreliable(Descent):
    retry_wait_s = 0.0

    def __init__(self, lost):
        super().__init__()
        self.lost = lost

    def ising(self, J, h, seed):
        if self.lost:
            raise self.lost.pop()
        return super().ising(J, h, seed)


def test_a_call_that_fails_is_made_again_to_the_same_bits(caplog):
    problem = random_problem()
    again = Unreliable([ConnectionError("gone"), TimeoutError()]).solve(problem)
    np.testing.assert_array_equal(again.levels, Descent().solve(problem).levels)
    assert (again.stats["retries"], again.stats["submissions"]) == (2, 5)
    assert "a call of Unreliable failed (TimeoutError); it is sent again" in caplog.text
    assert Unreliable([IncompleteRead(b"", 9)]).solve(problem).stats["retries"] == 1
    with pytest.raises(MachineLost, match=r"a call of Unreliable failed 3 times \(OSError: off\)$"):
        Unreliable([OSError("off")] * 3).solve(problem)
    line = r"a call of Unreliable failed \(KeyError: 'x'; test_ising_solver.py, line \d+\)$"
    with pytest.raises(MachineLost, match=line) as told:  # a fault of the subclass: no call helps
        Unreliable([KeyError("x")]).solve(problem)
    assert isinstance(told.value.__cause__, KeyError)


DECLARED = [
    ("max_spins", -1),
    ("max_spins", 3.5),
    ("max_spins", "a"),
    ("max_bits", 0),
    ("max_problems", -1),
    ("max_problems", 1.5),
    ("largest", 0),
    ("largest", "a"),
    ("largest", float("nan")),
    ("failures", OSError),
    ("failures", ("OSError",)),
    ("max_retries", -1),
    ("max_retries", "a"),
    ("retry_wait_s", -1),
    ("is_metered", "no"),
    ("is_metered", 1),
]


@pytest.mark.parametrize(("name", "value"), DECLARED)
def test_declarations_are_checked_before_anything_is_asked(name, value):
    solver = Descent()
    setattr(solver, name, value)
    for ask in (
        lambda: solver.solve(random_problem()),
        lambda: solver.check(bits=2, weights=[3]),
        lambda: solver.calls(units=3, weights=5, bits=2),
    ):
        with pytest.raises(InputError, match=rf"Descent\.{name}="):
            ask()


class Nothing(IsingSolver):
    pass


class NoSeed(IsingSolver):
    def ising(self, J, h):
        return h


class NoSeeds(IsingSolver):
    def ising_batch(self, problems, seeds, more):
        return problems


class Waits(IsingSolver):
    async def ising(self, J, h, seed):
        return h


class Yields(IsingSolver):
    def ising_batch(self, problems, seeds):
        yield problems


class Given(IsingSolver):
    ising = 3


class NoLimit(Descent):
    max_spin = 3


class NoWait(Descent):
    def __init__(self):
        super().__init__()
        self.retry_wait = 3


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        (Nothing, "Nothing gives neither ising nor ising_batch: a machine has one of them"),
        (NoSeed, r"NoSeed\.ising takes \(J, h\): it is given \(J, h, seed\)"),
        (NoSeeds, r"NoSeeds\.ising_batch takes \(problems, seeds, more\): it is given \(problems, seeds\)"),
        (Waits, r"Waits\.ising does not return spins when it is called: asyncio\.run"),
        (Yields, r"Yields\.ising_batch does not return spins when it is called: `return` in place of `yield`"),
        (Given, r"Given\.ising is no function: it takes \(J, h, seed\)"),
        (NoLimit, r"NoLimit\.max_spin is not read; did you mean 'max_spins'\?"),
        (NoWait, r"NoWait\.retry_wait is not read; did you mean 'retry_wait_s'\?"),
    ],
)
def test_a_class_that_cannot_be_asked_is_refused_before_a_run(machine, told):
    with pytest.raises(InputError, match=told):
        machine().check(bits=2, weights=[3])


@pytest.mark.parametrize(
    "answer", [None, 3, iter(()), ([1, 1], 2.0), [[1], [1, -1]], [{0: 1}], ["1", "-1"]], ids=list("abcdefg")
)
def test_what_is_no_array_of_spins_is_told(answer):
    class Odd(IsingSolver):
        def ising(self, J, h, seed):
            return answer

    class OddBatch(IsingSolver):
        def ising_batch(self, problems, seeds):
            return answer

    for solver in (Odd(), OddBatch()):
        with pytest.raises(InputError, match=rf"{type(solver).__name__}.* gave .*: give "):
            solver.solve(random_problem())


def test_a_call_that_is_made_again_has_the_problem_as_it_was():
    class InPlace(Descent):
        retry_wait_s = 0.0
        fails = True

        def ising(self, J, h, seed):
            self.asked.append((J.copy(), h.copy()))
            J *= 2
            h[:] = 0
            if self.fails:
                self.fails = False
                raise OSError
            return np.ones(len(h))

    machine = InPlace()
    machine.solve(random_problem(M=1))
    (J, h), (J_again, h_again) = machine.asked
    np.testing.assert_array_equal(J_again, J)
    np.testing.assert_array_equal(h_again, h)


def test_waits_grow(monkeypatch):
    waits = []
    monkeypatch.setattr(remote, "_wait", waits.append)
    solver = Unreliable([OSError()] * 9)
    solver.max_retries, solver.retry_wait_s = 8, 1.0
    with pytest.raises(MachineLost):
        solver.solve(random_problem())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_machine_finds_what_enumeration_does():
    problem = random_problem(M=2, N=3, bits=3)
    np.testing.assert_allclose(Descent(200).solve(problem).energies[:, 0], Exact().solve(problem).energies[:, 0])
    assert annealtrain.IsingSolver is IsingSolver


# Over HTTP

SMALL = ["model=linear_small", "bits=2", "samples=30", "validation=20", "epochs=3", "threads=1"]


@pytest.fixture
def machine(service, tmp_path, monkeypatch):
    """Words of the command line for the machine behind the service."""
    example("http_machine")
    folder = tmp_path / "mine" / "solver"
    folder.mkdir(parents=True)
    lines = ["_target_: http_machine.HttpMachine", f"url: {service.url}", "poll_s: 0.002", "retry_wait_s: 0.01"]
    (folder / "http.yaml").write_text("\n".join([*lines, "max_spins: 64", ""]))
    monkeypatch.setattr(service, "works_until", 0)
    return ["--config-dir", "mine", "solver=http"]


def test_a_run_goes_on_where_its_machine_was_lost(service, machine, cli, tmp_path):
    assert cli("train", *SMALL, *machine, "hydra.run.dir=whole").code == 0
    rows = table(tmp_path / "whole" / "solves.csv")
    assert [row["submissions"] for row in rows] == ["10.0"] * 3  # unit by unit
    service.fails, service.works_until = 4, service.calls + 12
    lost = cli("train", *SMALL, *machine, "hydra.run.dir=run")
    assert lost.code == 1
    assert lost.err.splitlines()[-1] == (
        "annealtrain train: a call of HttpMachine failed 3 times (HTTPError: HTTP Error 503: Service Unavailable): "
        f"1 of 3 epochs are kept; to go on: annealtrain resume {tmp_path / 'run'} --trust http_machine"
    )
    assert service.fails == 1  # its next call is made again
    service.works_until = 0
    assert cli("resume", "run", "--trust", "http_machine").code == 0
    assert [row["retries"] for row in table(tmp_path / "run" / "solves.csv")] == ["0.0", "1.0", "0.0"]
    service.fails = 0
    found, whole = (np.load(tmp_path / name / "last.npz") for name in ("run", "whole"))
    np.testing.assert_array_equal(found["weights_0"], whole["weights_0"])


def test_a_run_that_its_machine_cannot_hold_is_refused_before_it_starts(machine, refused, tmp_path):
    (tmp_path / "mine/solver/lacking.yaml").write_text("_target_: http_machine.HttpMachine\nurl: ???\n")
    words = ["train", *SMALL, *machine]
    assert refused(*words, "solver=lacking") == "solver.url has no value: add solver.url=..."
    told = "solver.inner.url has no value: add solver.inner.url=..."
    assert refused(*words, "solver=decompose", "solver.inner=lacking") == told
    assert "layer 0 needs 72 spins" in refused("train", *SMALL, *machine, "bits=9")


class Quits(Descent):
    """Answers ten times, and then what is no answer, or not at all."""

    calls_made, last = 0, 2

    def ising(self, J, h, seed):
        Quits.calls_made += 1
        if Quits.calls_made <= 10:
            return super().ising(J, h, seed)
        return [Quits.last] * len(h) if Quits.last else sys.exit("no seconds left")


@pytest.mark.parametrize(
    ("last", "code", "told"),
    [(2, 2, "that are not all -1 or 1: of bits b, give 2 b - 1"), (0, 1, "(SystemExit: no seconds left; ")],
)
def test_whatever_a_machine_gives_the_epochs_that_are_done_stay(last, code, told, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(Quits, "calls_made", 0)
    monkeypatch.setattr(Quits, "last", last)
    (tmp_path / "mine/solver").mkdir(parents=True)
    (tmp_path / "mine/solver/quits.yaml").write_text(f"_target_: {__name__}.Quits\n")
    outcome = cli("train", *SMALL, "--config-dir=mine", "solver=quits", "hydra.run.dir=run")
    assert outcome.code == code
    line = outcome.err.splitlines()[-1]
    assert told in line
    assert line.endswith(
        f": 1 of 3 epochs are kept; to go on: annealtrain resume {tmp_path / 'run'} --trust {__name__}"
    )


def test_blocks_of_units_are_one_call(service, machine, cli, tmp_path):
    before = service.calls
    words = [*SMALL, *machine, "optimizer.block=4", "hydra.run.dir=run"]
    assert cli("train", *words).code == 0
    assert service.calls - before == 9
    told = cli("estimate", *SMALL, *machine, "optimizer.block=4", "--queue=20", "--probe=0").out
    assert "9 calls of the solver and 30 problems of up to 16 spins. With 20 s of queue a call: 3.0 min." in told


class Limited(Descent):
    def __init__(self, max_spins=None, max_bits=None):
        super().__init__()
        self.max_spins, self.max_bits = max_spins, max_bits


class Counted(IsingSolver):
    """Notes the problems and the spins of each call."""

    sizes: ClassVar[list] = []

    def ising_batch(self, problems, seeds):
        self.sizes.append((len(problems), max(len(h) for _, h in problems)))
        sizes = [len(h) for _, h in problems]
        return [np.random.default_rng(seed).choice([-1, 1], (2, N)) for N, seed in zip(sizes, seeds, strict=True)]


@pytest.mark.parametrize(
    ("words", "calls", "problems", "spins"),
    [  # of 10 units of 8 weights; grid=fixed has steps of 8 bits behind the grid's 2
        (["epochs=4", "optimizer.block=4"], 4 * 3, 4 * 10, 16),
        (["epochs=4", "grid=fixed"], 10 + 2 * 10, 3 * 10, 64),  # one of float weights, one that the grid takes over in
        (["epochs=4", "grid=fixed", "fixed_grid.shadow=0"], 3 * 10, 3 * 10, 16),
        (["epochs=2", "grid=fixed", "optimizer=kronecker", "batch_size=15"], 4 + 3, 7 * 10, 64),
    ],
)
def test_an_estimate_counts_what_a_run_asks(words, calls, problems, spins, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(Counted, "sizes", [])
    (tmp_path / "mine/solver").mkdir(parents=True)
    (tmp_path / "mine/solver/counted.yaml").write_text(f"_target_: {__name__}.Counted\n")
    words = ["model=linear_small", "samples=30", "validation=20", "bits=2", "threads=1", *words]
    words += ["--config-dir=mine", "solver=counted"]
    told = cli("estimate", *words, "--probe=0").out
    assert f"{calls} calls of the solver and {problems} problems of up to {spins} spins" in told
    assert cli("train", *words, "hydra.run.dir=run").code == 0
    assert len(Counted.sizes) == calls
    assert sum(count for count, _ in Counted.sizes) == problems
    assert max(size for _, size in Counted.sizes) == spins
    assert sum(float(row["submissions"] or 0) for row in table(tmp_path / "run/solves.csv")) == calls


@pytest.mark.parametrize("limit", ["max_spins: 63", "max_bits: 2"])
@pytest.mark.parametrize("words", [[], ["optimizer=kronecker"]])
def test_limits_hold_for_the_float_weights_behind_a_grid(limit, words, refused, tmp_path):
    most = limit.partition(": ")[2]
    (tmp_path / "mine/solver").mkdir(parents=True)
    (tmp_path / "mine/solver/counted.yaml").write_text(f"_target_: {__name__}.Limited\n{limit}\n")
    words = ["model=linear_small", "bits=2", "grid=fixed", "--config-dir=mine", "solver=counted", *words]
    line = refused("train", *words, "hydra.run.dir=run")
    assert f"Limited takes at most {most}" in line
    assert "by steps of 8 bits, whatever bits= is: optimizer=gauss_newton fixed_grid.shadow=0 has none" in line


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_call_that_the_service_puts_off_is_made_again(status, service, monkeypatch):
    monkeypatch.setattr(service, "status", status)
    monkeypatch.setattr(service, "fails", 2)
    machine = example("http_machine").HttpMachine(service.url, poll_s=0.01, retry_wait_s=0.01)
    found = machine.solve(random_problem(N=4, bits=2, alpha=0.1), seed=1)
    assert found.stats["retries"] == 2
    assert found.stats["submissions"] == 3


def test_a_call_that_the_service_refuses_is_not_made_again(service, machine, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "status", 401)
    service.fails, service.works_until = 9, service.calls + 10
    refused = cli("train", *SMALL, *machine, "hydra.run.dir=run")
    service.fails = 0
    assert refused.code == 1
    line = refused.err.splitlines()[-1]
    assert line.startswith(
        "annealtrain train: a call of HttpMachine failed (RuntimeError: /jobs: 401 Unauthorized; http"
    )
    assert line.endswith(
        f"): 1 of 3 epochs are kept; to go on: annealtrain resume {tmp_path / 'run'} --trust http_machine"
    )
    assert service.calls == service.works_until + 1


def test_the_page_has_the_examples():
    page = (EXAMPLES.parent / "docs" / "machines.md").read_text()
    for name in ("http_service.py", "http_machine.py"):
        assert f"```python\n{(EXAMPLES / name).read_text()}```" in page
