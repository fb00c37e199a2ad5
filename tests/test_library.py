"""`from annealtrain import anneal`: other people's problems, good and bad."""

import itertools
import re
from pathlib import Path

import dimod
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from annealtrain import anneal
from annealtrain.library import Annealed


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


def test_a_time_limit_ends_early():
    J = least_squares(200)
    found = anneal(J, np.ones(200), bits=8, num_sweeps=2_000_000, time_limit_s=0.2)
    assert isinstance(found, Annealed)
    assert found.stats["anneal_s"] < 2


def test_the_example_of_the_readme_runs(capsys):
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.split()) > 50


def test_trivial_problems():
    one = anneal(np.array([[2.0]]), np.array([1.0]), bits=3, num_sweeps=50)
    assert one.energies[0, 0] == pytest.approx(min(2 * s * s + s for s in np.linspace(-1, 1, 8)))
    nothing = anneal(np.zeros((4, 4)), S0=np.arange(4.0))
    np.testing.assert_array_equal(nothing.weights[0, 0], np.arange(4.0))
    assert nothing.energies[0, 0] == 0


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
        ({"J": np.eye(2), "L": 0.0}, "half_range=0.0"),
        ({"J": np.eye(2), "bits": 17}, "bits=17"),
        ({"J": np.eye(2), "beta_range": [2.0, 1.0]}, "falls"),
        ({"J": np.eye(2), "beta_range": [-1.0, 1.0]}, "not a number above 0"),
        ({"J": np.eye(2), "num_reads": 0}, "num_reads=0"),
        ({"J": np.eye(2), "num_sweeps": 0}, "num_sweeps=0"),
        ({"J": np.eye(2), "move": "hop"}, "move='hop' is not one of bit, slice, greedy"),
        ({"J": np.eye(2), "move": "slice", "order": "random"}, "order=random is for move=bit"),
        ({"J": -np.eye(2), "move": "slice"}, "move=slice needs J_jj >= 0"),
        ({"J": np.eye(2), "time_limit_s": 0.0}, "time_limit_s=0.0"),
        ({"J": np.eye(2), "threads": 0}, "threads=0"),
        ({"J": dimod.BinaryQuadraticModel("SPIN")}, "no variables"),
        ({"J": dimod.BinaryQuadraticModel({"a": 1}, {}, "SPIN"), "bits": 2}, "leave h, S0, L and bits out"),
    ],
)
def test_bad_input_is_a_clear_value_error(given, message):
    with pytest.raises(ValueError, match=message):
        anneal(**given)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    J=arrays(np.float64, array_shapes(min_dims=1, max_dims=3, max_side=5), elements=st.floats(width=32)),
    symmetric=st.booleans(),
    bits=st.integers(-1, 17),
    L=st.floats(-1, 10),
    move=st.sampled_from(["bit", "slice", "greedy"]),
    num_reads=st.integers(0, 40),
)
def test_any_input_ends_in_a_value_error_or_a_right_answer(J, symmetric, bits, L, move, num_reads):
    if symmetric and J.ndim > 1 and J.shape[-1] == J.shape[-2]:
        J = np.maximum(J, np.swapaxes(J, -1, -2))
    try:
        found = anneal(J, L=L, bits=bits, move=move, num_reads=num_reads, num_sweeps=3)
    except ValueError:
        return
    assert found.levels.min() >= 0
    assert found.levels.max() < 2**bits
    assert found.levels.shape[1] in (1, num_reads)
    for i in range(len(found.weights)):
        own = J if J.ndim == 2 else J[i]
        for weights, energy in zip(found.weights[i], found.energies[i], strict=True):
            with np.errstate(all="ignore"):
                expected = weights @ own @ weights
                scale = np.abs(weights) @ np.abs(own) @ np.abs(weights)
            assert abs(energy - expected) <= 1e-9 * scale or not np.isfinite(scale)
