"""`from annealtrain import anneal`: other people's problems, good and bad."""

import itertools
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dimod
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.sparse import csr_array
from threadpoolctl import threadpool_info
from ticks import ticking

from annealtrain import LayerProblem, anneal
from annealtrain.runtime import memory
from annealtrain.solvers.annealing.api import Annealed


def glass(N=12, seed=0):
    J = np.random.default_rng(seed).normal(size=(N, N))
    J += J.T
    np.fill_diagonal(J, 0)
    return J


def least_squares(N=6, seed=0):
    A = np.random.default_rng(seed).normal(size=(20, N))
    return A.T @ A / 20


def test_spins_of_a_spin_glass():
    J, h = glass(), np.linspace(-1, 1, 12)
    found = anneal(J, h, num_sweeps=200, num_reads=20)
    every = np.array(list(itertools.product([-1, 1], repeat=12)))
    energies = ((every @ J) * every).sum(axis=1) + every @ h
    assert found.energies.shape == (1, 20)
    assert found.energies[0, 0] == pytest.approx(energies.min())
    np.testing.assert_array_equal(np.abs(found.weights), 1)
    assert np.all(np.diff(found.energies[0]) >= 0)


@pytest.mark.parametrize("move", ["bit", "slice", "greedy"])
def test_weights_of_several_problems_at_once(move):
    J, generator = least_squares(), np.random.default_rng(1)
    h, S0 = generator.normal(size=(5, 6)), generator.normal(size=(5, 6))
    shared = anneal(J, h, S0, L=0.5, bits=4, move=move, num_sweeps=50, num_reads=3, seed=2)
    own = anneal(np.array([J] * 5), h, S0, L=0.5, bits=4, move=move, num_sweeps=50, num_reads=3, seed=2)
    for found in (shared, own):
        np.testing.assert_allclose(found.weights, S0[:, None] + 0.5 * (2 * found.levels / 15 - 1), atol=1e-12)
        expected = ((found.weights @ J) * found.weights).sum(axis=2) + (found.weights * h[:, None]).sum(axis=2)
        np.testing.assert_allclose(found.energies, expected, rtol=1e-9)
    np.testing.assert_array_equal(shared.levels, own.levels)
    one = anneal(J, h[3], S0[3], L=0.5, bits=4, move=move, num_sweeps=50, num_reads=3, seed=2)
    assert one.levels.shape == (1, 3, 6)


def test_the_same_seed_the_same_result_on_any_number_of_threads():
    J = glass(40)
    results = [anneal(J, num_reads=40, num_sweeps=20, seed=3, threads=threads) for threads in (1, 2, 5, None)]
    for result in results[1:]:
        np.testing.assert_array_equal(result.levels, results[0].levels)
    assert not np.array_equal(anneal(J, num_reads=40, num_sweeps=20, seed=4).levels, results[0].levels)


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_a_binary_quadratic_model(vartype):
    generator = np.random.default_rng(5)
    labels = ["a", ("b", 1), 7, "d", "e", "f"]
    model = dimod.BinaryQuadraticModel(vartype)
    for label in labels:
        model.add_linear(label, generator.normal())
    for u, v in itertools.combinations(labels, 2):
        if generator.random() < 0.7:
            model.add_quadratic(u, v, generator.normal())
    model.offset = 1.5
    found = anneal(model, num_sweeps=100, num_reads=10)
    assert found.variables == labels
    for values, energy in zip(found.weights[0], found.energies[0], strict=True):
        assert energy == pytest.approx(model.energy(dict(zip(labels, values, strict=True))))
    assert found.energies[0, 0] == pytest.approx(dimod.ExactSolver().sample(model).first.energy)


def test_a_time_limit_ends_early(monkeypatch):
    J, clock = least_squares(200), ticking(monkeypatch)
    found = anneal(J, np.ones(200), bits=8, num_sweeps=2_000_000, time_limit_s=20)
    assert isinstance(found, Annealed)
    assert clock.now == 1 + 21  # as the solve begins, and after each block of sweeps until the limit has passed
    # What is told is what was done.
    whole = anneal(J, np.ones(200), bits=8, num_sweeps=20)
    done = found.stats["sweeps"]
    assert 1 <= done < 2_000_000
    assert found.stats["visits"] == done * 200 * 8
    assert found.stats["acceptance"] == found.stats["flips"] / found.stats["visits"]
    assert whole.stats["beta_first"] < found.stats["beta_last"] < 0.5 * whole.stats["beta_last"]


def test_progress_is_told_between_sweeps():
    J, told = least_squares(100), []
    anneal(J, np.ones(100), bits=8, num_sweeps=3000, num_reads=20, progress=told.append, threads=2)
    assert told == sorted(told)
    assert told[-1] == 1
    assert len([share for share in told if 0.1 < share < 0.9]) > 5


def test_numpy_numbers_are_numbers():
    given = {"L": np.float32(0.5), "bits": np.int64(3), "num_sweeps": np.int16(5), "num_reads": np.uint8(2)}
    found = anneal(np.eye(2), **given, beta_range=np.array([1.0, 2.0]), seed=np.int64(1), threads=np.int32(1))
    plain = anneal(np.eye(2), L=0.5, bits=3, num_sweeps=5, num_reads=2, beta_range=[1.0, 2.0], seed=1, threads=1)
    np.testing.assert_array_equal(found.levels, plain.levels)


@pytest.mark.parametrize("L", [0.75, 1.0, 4.0])
def test_what_is_given_stays_as_it_is(L):
    given = glass(5), np.ones((1, 5)), np.full((1, 5), 0.5)
    before = [each.copy() for each in given]
    first = anneal(*given, L=L, bits=2, num_reads=3)
    energies = [anneal(*given, L=L, bits=2, num_reads=3).energies, first.energies]
    for each, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(each, copy)
    np.testing.assert_array_equal(*energies)
    S = first.weights[0]
    np.testing.assert_allclose(first.energies[0], ((S @ given[0] + 1) * S).sum(axis=1))


def test_a_range_beyond_what_a_float_holds_is_cut_without_a_warning():
    given = {"h": np.full(2, 1e300), "num_reads": 4, "num_sweeps": 3}
    found = anneal(np.eye(2) * 1e300, beta_range=(1e-300, 1e300), **given)
    assert found.levels.tolist() == [[[0, 0]] * 4]
    assert 0 < found.stats["beta_first"] < found.stats["beta_last"] < np.inf


@pytest.mark.parametrize("move", ["bit", "slice", "greedy"])
@pytest.mark.parametrize("size", [-800, -130, 0, 130, 800])
@pytest.mark.parametrize("wide", [-60, 0, 60])
def test_the_size_of_the_numbers_does_not_matter(move, size, wide):
    """Powers of two change no digit, however far outside of float32."""
    J, h, S0 = least_squares(), np.linspace(-1, 1, 6), np.linspace(0, 1, 6)
    settings = {"bits": 4, "move": move, "num_sweeps": 30, "num_reads": 3}
    plain = anneal(J, h, S0, L=0.7, beta_range=[0.5, 100.0], **settings)
    energy = size + 2 * wide
    betas = np.ldexp([0.5, 100.0], -energy)
    scaled = anneal(
        np.ldexp(J, size),
        np.ldexp(h, size + wide),
        np.ldexp(S0, wide),
        np.ldexp(0.7, wide),
        beta_range=betas,
        **settings,
    )
    np.testing.assert_array_equal(scaled.levels, plain.levels)
    np.testing.assert_array_equal(np.ldexp(scaled.weights, -wide), plain.weights)
    np.testing.assert_allclose(np.ldexp(scaled.energies, -energy), plain.energies, rtol=1e-12)
    assert np.ldexp(scaled.stats["beta_last"], energy) == pytest.approx(100)
    # With betas of its own it finds the lowest energy at any size.
    tiny = anneal(
        np.ldexp(np.eye(3), size), np.ldexp(np.ones(3), size), bits=4, move=move, num_sweeps=200, num_reads=16
    )
    levels = np.linspace(-1, 1, 16)
    assert np.ldexp(tiny.energies[0, 0], -size) == pytest.approx(3 * (levels**2 + levels).min())


ROOT = Path(__file__).parent.parent
PAGES = "".join((ROOT / name).read_text() for name in ("README.md", "docs/anneal.md"))
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGES, flags=re.DOTALL)


@pytest.mark.parametrize(("number", "numbers_printed"), [(0, 3), (1, 50)])
def test_the_examples_of_the_pages_run(number, numbers_printed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) == 2
    exec(compile(EXAMPLES[number], "pages", "exec"), {})
    printed = re.findall(r"\d+\.\d+", capsys.readouterr().out)
    assert len(printed) >= numbers_printed


def test_trivial_problems():
    one = anneal(np.array([[2.0]]), np.array([1.0]), bits=3, num_sweeps=50)
    assert one.energies[0, 0] == pytest.approx(min(2 * s * s + s for s in np.linspace(-1, 1, 8)))
    nothing = anneal(np.zeros((4, 4)), S0=np.arange(4.0))
    np.testing.assert_array_equal(np.abs(nothing.weights[0, 0] - np.arange(4.0)), 1)
    assert nothing.energies[0, 0] == 0


@pytest.mark.parametrize("reads", [1, 3, 40])
@pytest.mark.parametrize("form", ["one_J", "a_J_each"])
def test_a_variable_without_couplings_has_a_valid_state_by_the_seed(form, reads):
    J, N = np.zeros((2, 5, 5)), 5
    J[:, 0, 3] = J[:, 3, 0] = [1.0, -1.0] if form == "a_J_each" else 1.0
    J = J if form == "a_J_each" else J[0]
    h = np.array([[0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0.0]])
    found, again, other = (anneal(J, h, num_reads=reads, num_sweeps=3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(np.abs(found.weights), np.ones((2, reads, N)))
    np.testing.assert_array_equal(found.weights, 2.0 * found.levels - 1)
    np.testing.assert_array_equal(found.weights, again.weights)
    if reads == 40:
        assert not np.array_equal(found.weights[:, :, 1:3], other.weights[:, :, 1:3])
        assert set(found.weights[:, :, 1].ravel()) == {-1, 1}
    own = J if form == "a_J_each" else np.array([J, J])
    energies = np.einsum("mri,mij,mrj->mr", found.weights, own, found.weights) + (found.weights * h[:, None]).sum(2)
    np.testing.assert_allclose(found.energies, energies)


def test_a_weight_without_couplings_is_on_the_grid_of_its_range():
    found = anneal(np.diag([1.0, 0.0]), S0=[0.3, 7.0], L=0.7, bits=3, num_reads=30)
    np.testing.assert_allclose(found.weights[0, :, 1], 7 + 0.7 * (2 * found.levels[0, :, 1] / 7 - 1))
    assert len(set(found.levels[0, :, 1])) > 4


@pytest.mark.parametrize(("vartype", "values"), [("SPIN", {-1, 1}), ("BINARY", {0, 1})])
def test_a_variable_of_a_model_without_couplings_has_a_valid_value(vartype, values):
    model = dimod.BinaryQuadraticModel({"a": 0, "b": 1.0, "c": 0, "alone": 0}, {("a", "b"): -1}, 0.25, vartype)
    found = anneal(model, num_reads=20)
    assert set(found.weights.ravel()) <= values
    assert set(found.weights[0, :, 3]) == values
    for row, energy in zip(found.weights[0], found.energies[0], strict=True):
        assert energy == pytest.approx(model.energy(dict(zip(found.variables, row, strict=True))))


def test_rounding_does_not_make_a_matrix_asymmetric():
    random = np.random.default_rng(0)
    X, D = random.normal(size=(30, 8)), np.diag(random.uniform(size=30))
    J = X.T @ D @ X
    J[0, 1] = np.nextafter(J[1, 0], np.inf)  # whatever this machine's products are
    given = anneal(J, bits=3, num_reads=4)
    np.testing.assert_array_equal(given.levels, anneal((J + J.T) / 2, bits=3, num_reads=4).levels)
    C = np.corrcoef(X.T)
    C[0, 1] += 1e-15
    C[2, 3] += 0.9e-8
    assert anneal(np.array([C, C]), num_reads=2).levels.shape == (2, 2, 8)
    assert LayerProblem.from_moments(C, np.ones(8), np.zeros(1), np.zeros((1, 8)), 1.0, 2).solve().gap >= 0
    C[2, 3] += 4e-8
    with pytest.raises(ValueError, match=r"J of problem 1 is not symmetric \(J\[2, 3\]=.*\): pass \(J \+ J.T\) / 2"):
        anneal(np.array([np.eye(8), C]))
    with pytest.raises(ValueError, match="J is not symmetric"):
        LayerProblem.from_moments(C, np.ones(8), np.zeros(1), np.zeros((1, 8)), 1.0, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"J": np.ones((3000, 3000)), "num_reads": 10**6},
            "annealing 1000000 reads of 100 sweeps for 1 unit needs .* available: lower",
        ),
        (
            {"num_sweeps": 2**31 - 1},
            "of 2147483647 sweeps for 1 unit needs .* GB; .*: lower num_sweeps or num_reads, or set time_limit_s$",
        ),
        ({"num_sweeps": 10**400}, "num_sweeps=1e400 is not .* at most 2147483647"),
        ({"num_reads": 10**7}, "num_reads=10000000 is not .* at most 1000000, as all reads are held at once"),
        (
            {"J": np.ones((400, 400)), "bits": 16, "num_sweeps": 10**7, "num_reads": 10**6},
            "takes about .* (days|years) on",
        ),
        ({"threads": 10**9}, "threads=1000000000 is not a whole number from 1 to 1024"),
    ],
)
def test_work_beyond_memory_or_days_is_refused_before_it_begins(given, message, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2 * 10**10)
    with pytest.raises(ValueError, match=message) as refused:
        anneal(**{"J": np.array([[0.0, 1.0], [1.0, 0.0]])} | given)
    assert "solver" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_a_solver_refuses_is_said_in_the_callers_words():
    problem = LayerProblem.from_moments(np.ones((40, 40)), np.ones(40), np.zeros(1), np.zeros((1, 40)), 1.0, 2)
    for solver, chosen, message in [
        ("sa", {"beta_range": [10, 0.1]}, r"beta_range=\[10, 0.1\] falls: annealing cools, give first <= last"),
        ("sa", {"num_sweeps": 0}, "num_sweeps=0 is not"),
        ("exact", {"max_nodes": 0}, "this problem needs 80 spins"),
        ("tabu", {"num_reads": 10**6, "num_sweeps": 10**6}, "lower num_reads or num_sweeps"),
        ("steepest", {"num_reads": 10**13}, "num_reads=10000000000000 is not"),
        ("descent", {"num_starts": 10**13}, "num_starts=10000000000000 is not"),
        ("sqa", {"num_sweeps": 10**9, "num_reads": 10**4}, "lower num_sweeps, num_reads or num_slices"),
    ]:
        with pytest.raises(ValueError, match=f"^[^\n]*{message}") as refused:
            problem.solve(solver, **chosen)
        assert not re.search(r"solver\.|layer 0", str(refused.value))
    for wrong, message in [({"threads": "2"}, "threads='2' is not"), ({"seed": -1}, "seed=-1 is not")]:
        with pytest.raises(ValueError, match=message):
            problem.solve(**wrong)


class Stop(Exception):
    """What a caller's progress raises to end its call."""


def one_call(k: int) -> object:
    """Return what the k-th call gives: most a result, some an error of their own, some an end from within."""
    if k % 5 == 3:
        with pytest.raises(ValueError, match="move=slice needs J_jj >= 0"):
            anneal(-np.eye(30), move="slice", num_reads=40, threads=2)
        return None
    if k % 5 == 4:

        def stop(share):
            raise Stop

        with pytest.raises(Stop):
            anneal(least_squares(60), bits=8, num_sweeps=2000, num_reads=40, threads=2, progress=stop)
        return None
    return anneal(glass(30, k), num_sweeps=400, num_reads=40, seed=k, threads=1 + k % 3).levels


def pressed(told: int):
    """Return a progress that presses Ctrl-C, which the main thread hears, when it is told for so many times more."""
    left = itertools.count(told, -1)
    return lambda share: next(left) or signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def check_callers(calls: int) -> None:
    """Assert that the calls of 8 threads at once, some of which fail, give what each gives alone."""
    alone = [one_call(k) for k in range(25)]

    def blas_threads():
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    before = blas_threads()
    with ThreadPoolExecutor(8) as callers:
        found = callers.map(lambda k: one_call(k % 25), range(8 * calls))
        for k in range(calls // 5):  # meanwhile this thread, which hears it, presses Ctrl-C at once or later
            with pytest.raises(KeyboardInterrupt):
                anneal(least_squares(60), bits=8, num_sweeps=2000, num_reads=40, threads=2, progress=pressed(k % 3))
        found = list(found)
    for k, levels in enumerate(found):
        np.testing.assert_array_equal(levels, alone[k % 25])
    assert blas_threads() == before
    np.testing.assert_array_equal(one_call(0), alone[0])


def test_callers_on_several_threads_know_nothing_of_each_other():
    check_callers(25)


def test_ctrl_c_in_one_call_waits_for_no_other():
    has_ended, waited = threading.Event(), []
    with ThreadPoolExecutor(1) as caller:  # its call goes on only when the other has ended
        other = caller.submit(anneal, glass(30), num_reads=40, threads=2, progress=lambda _: has_ended.wait(60))
        with pytest.raises(KeyboardInterrupt):
            anneal(glass(30), num_sweeps=2000, num_reads=40, threads=2, progress=pressed(0))
        waited.append(other.done())
        has_ended.set()
        np.testing.assert_array_equal(other.result().levels, anneal(glass(30), num_reads=40).levels)
    assert waited == [False]


def test_problems_are_solved_by_several_threads_at_once():
    """Hydra, which reads a solver's settings, has one place for the whole process."""
    problem = LayerProblem.from_moments(glass(8), np.ones((3, 8)), np.zeros(3), np.zeros((3, 8)), 1.0, 2)

    def solve(seed):
        return problem.solve("sa", seed=seed, num_sweeps=5).levels

    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(solve, range(8)))
    for seed, levels in enumerate(found):
        np.testing.assert_array_equal(levels, solve(seed))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"J": [[0.0, 1.0], [2.0, 0.0]]}, "J is not symmetric"),
        ({"J": [[np.nan, 0.0], [0.0, 1.0]]}, "J has values that are not finite"),
        ({"J": np.zeros((2, 3))}, r"J \(2, 3\) is neither"),
        ({"J": np.zeros(3)}, r"J \(3,\) is neither"),
        ({"J": np.zeros((0, 0))}, "N > 0"),
        ({"J": np.eye(2), "h": [1.0, np.inf]}, "h has values that are not finite"),
        ({"J": np.eye(2), "h": [1.0, 2.0, 3.0]}, r"h \(3,\) is neither \(2,\) nor"),
        ({"J": np.eye(2), "S0": np.zeros((3, 2)), "h": np.zeros((2, 2))}, r"h \(2, 2\) is neither"),
        ({"J": np.eye(2), "L": 0.0}, "L=0.0 is not a number above 0"),
        ({"J": np.eye(2), "bits": 17}, "bits=17"),
        ({"J": np.eye(2), "beta_range": [2.0, 1.0]}, "falls"),
        ({"J": np.eye(2), "beta_range": [-1.0, 1.0]}, "both a number above 0"),
        ({"J": np.eye(2), "num_reads": 0}, "num_reads=0"),
        ({"J": np.eye(2), "num_sweeps": 0}, "num_sweeps=0"),
        ({"J": np.eye(2), "move": "hop"}, "move='hop' is not one of bit, slice, greedy"),
        ({"J": np.eye(2), "move": "slice", "order": "random"}, "order=random is for move=bit"),
        ({"J": -np.eye(2), "move": "slice"}, "move=slice needs J_jj >= 0"),
        ({"J": np.eye(2), "time_limit_s": 0.0}, "time_limit_s=0.0"),
        ({"J": np.eye(2), "threads": 0}, "threads=0"),
        ({"J": np.zeros((0, 3, 3))}, "M > 0"),
        ({"J": np.eye(3), "h": np.zeros((0, 3))}, r"h \(0, 3\) is neither"),
        ({"J": np.eye(2) * 1j}, "J is complex"),
        ({"J": np.ma.masked_less(glass(3), 0)}, r"^J has masked values: fill them, as \.filled\(0\) does"),
        ({"J": np.eye(2), "h": [np.ma.masked, 1.0]}, "^h has masked values"),
        ({"J": [*np.ma.masked_less(glass(3), 0)]}, "^J has masked values"),  # rows with masks of their own
        ({"J": csr_array(np.eye(3))}, r"^J is a sparse matrix: give its \.toarray\(\)$"),
        ({"J": np.eye(2), "L": 1e-320}, r"what a float holds \(J up to 1, h up to 0, L=1e-320\): scale J, h or L$"),
        ({"J": np.eye(2), "h": [1e308, 0.0]}, r"\(J up to 1, h up to 1e\+308, L=1\.0\)"),
        ({"J": [["a"]]}, "J is not an array of numbers"),
        ({"J": [[1.0, 2.0], [3.0]]}, "J is not an array of numbers"),
        ({"J": np.eye(2), "S0": [1e200, 0.0]}, "S0 is too far from 0"),
        ({"J": np.eye(2), "L": 1e200}, "at most 1e.18"),
        ({"J": np.eye(2), "L": None}, "L=null is not a number"),
        ({"J": np.eye(2), "L": np.ones(3)}, "L=array.* is not a number"),
        ({"J": np.eye(2), "bits": "8"}, "bits='8' is not a whole number"),
        ({"J": np.eye(2), "seed": 1.5}, "seed=1.5 is not a whole number of at least 0"),
        ({"J": np.eye(2), "threads": "2"}, "threads='2' is not a whole number"),
        ({"J": np.eye(2), "threads": 1.5}, "threads=1.5 is not a whole number"),
        ({"J": np.eye(2), "move": ["bit"]}, r"move=\['bit'\]"),
        ({"J": np.eye(2), "beta_range": [1, 10**400]}, "beta_range is not an array of numbers"),
        ({"J": np.eye(2), "beta_range": 3.0}, r"beta_range=3.0 is not \[first, last\]"),
        ({"J": np.eye(2), "beta_range": np.ones((2, 2))}, r"^beta_range=array\(\[\[1., 1.\], \[1., 1.\]\]\) is not"),
        ({"J": np.eye(2), "num_reads": np.ones((2, 2))}, r"^num_reads=array\(\[\[1., 1.\], \[1., 1.\]\]\) is not"),
        ({"J": np.eye(2), "h": ["1", "2"]}, "h is not an array of numbers"),
        ({"J": np.eye(2), "progress": 0}, "progress=0 is not a function of one number, or null"),
        ({"J": np.eye(2), "time_limit_s": "1 s"}, "time_limit_s='1 s' is not a number"),
        ({"J": dimod.QuadraticModel()}, "J is a QuadraticModel: take a BinaryQuadraticModel"),
        ({"J": dimod.BinaryPolynomial({"abc": 1}, "SPIN")}, "J is a BinaryPolynomial: take a BinaryQuadraticModel"),
        ({"J": dimod.SampleSet.from_samples([[1]], "SPIN", 0)}, "J is a SampleSet: take a BinaryQuadraticModel"),
        ({"J": dimod.BinaryQuadraticModel("SPIN")}, "no variables"),
        ({"J": dimod.BinaryQuadraticModel({"a": 1}, {}, np.inf, "SPIN")}, "the model's offset, inf, is not finite"),
        ({"J": dimod.BinaryQuadraticModel({"a": 1}, {}, "SPIN"), "bits": 2}, "leave h, S0, L and bits out"),
    ],
)
def test_bad_input_is_a_clear_value_error(given, message):
    with pytest.raises(ValueError, match=message):
        anneal(**given)


ANY_NUMBER = st.floats(width=64, allow_nan=False) | st.floats(-3, 3)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    data=st.data(),
    shape=array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    is_symmetric=st.booleans(),
    bits=st.integers(-1, 17) | st.just(2),
    L=st.floats(-1, 10) | ANY_NUMBER,
    move=st.sampled_from(["bit", "slice", "greedy", "hop"]),
    order=st.sampled_from(["sequential", "random"]),
    num_reads=st.integers(0, 20),
    num_sweeps=st.integers(0, 5),
    beta_range=st.none() | st.lists(st.floats(1e-3, 1e3) | ANY_NUMBER, min_size=1, max_size=3),
    seed=st.integers(-1, 2**70),
    threads=st.none() | st.integers(0, 3),
)
def test_any_input_ends_in_a_value_error_or_a_right_answer(data, shape, is_symmetric, bits, L, **given):
    def numbers(shape):
        return data.draw(arrays(np.float64, shape, elements=data.draw(st.sampled_from([ANY_NUMBER, st.floats(-3, 3)]))))

    J = numbers(shape)
    if is_symmetric and J.ndim > 1 and J.shape[-1] == J.shape[-2]:
        J = np.maximum(J, np.swapaxes(J, -1, -2))
    M, N = (J.shape[0] if J.ndim == 3 else 2), J.shape[-1]
    h, S0 = (data.draw(st.none() | st.just(x)) for x in (numbers((M, N)), numbers((N,))))
    try:
        found = anneal(J, h, S0, L=L, bits=bits, **given)
    except ValueError:
        return
    assert found.levels.min() >= 0
    assert found.levels.max() < 2**bits
    assert found.levels.shape[1] == given["num_reads"]
    problems = len(found.weights)
    with np.errstate(all="ignore"):
        for i in range(problems):
            own, field = J if J.ndim == 2 else J[i], np.zeros(N) if h is None else h[i]
            centre = np.zeros(N) if S0 is None else S0
            for weights, energy in zip(found.weights[i], found.energies[i], strict=True):
                assert np.all(np.abs(weights - centre) <= L * (1 + 1e-9) + 1e-9 * np.abs(centre))
                expected = weights @ own @ weights + field @ weights
                scale = np.abs(weights) @ np.abs(own) @ np.abs(weights) + np.abs(field) @ np.abs(weights)
                assert abs(energy - expected) <= 1e-9 * scale + 1e-300 or not np.isfinite(scale)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    J=arrays(np.float64, (3, 3), elements=st.floats(-3, 3)),
    h=arrays(np.float64, 3, elements=st.floats(-3, 3)),
    size=st.integers(-200, 200),
    bits=st.integers(1, 2),
)
def test_small_problems_are_solved(J, h, size, bits):
    """The lowest of 16 long reads is the lowest there is, by enumeration, whatever the unit of energy."""
    J = J + J.T
    found = anneal(np.ldexp(J, size), np.ldexp(h, size), bits=bits, num_sweeps=200, num_reads=16)
    every = np.array(list(itertools.product(np.linspace(-1, 1, 2**bits), repeat=3)))
    lowest = (((every @ J) + h) * every).sum(axis=1).min()
    assert np.ldexp(found.energies.min(), -size) == pytest.approx(lowest, rel=1e-6, abs=1e-6)
