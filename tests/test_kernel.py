"""The compiled kernel: its random numbers, its chain against NumPy's, and against Boltzmann."""

import numpy as np
import pytest
from scipy import stats

from annealtrain import _anneal
from annealtrain.problem import LayerProblem
from annealtrain.solvers.anneal import compiled_chain
from annealtrain.solvers.base import descend
from annealtrain.solvers.reference import numpy_chain


def state(seed=0):
    return np.random.SeedSequence(seed).generate_state(64)


def draw(words, count):
    out = np.empty(count, np.float32)
    _anneal.exponentials(words, out)
    return out


def problem(N=6, bits=3, seed=0, half_range=0.5, rows=30, M=1):
    generator = np.random.default_rng(seed)
    inputs, targets = generator.normal(size=(rows, N)), generator.normal(size=(rows, M))
    return LayerProblem.from_rows(inputs, targets, generator.normal(size=(M, N)) * 0.2, half_range, bits)


def test_exponentials_are_exponential():
    numbers = draw(state(), 400_000)
    assert numbers.min() > 0
    assert stats.kstest(numbers, "expon").pvalue > 0.01
    # Neighbours, and neighbours of one of the sixteen streams, are independent.
    for lag in (1, 16):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 0.01


def test_the_logarithm_is_accurate():
    """xoshiro128++ and -ln(u), once more in NumPy."""
    words = state(3)
    a, b, c, d = (words[16 * k : 16 * (k + 1)].astype(np.uint64) for k in range(4))
    mask = np.uint64(0xFFFFFFFF)

    def rotl(x, k):
        return ((x << np.uint64(k)) | (x >> np.uint64(32 - k))) & mask

    expected = []
    for _ in range(200):
        word = (rotl((a + d) & mask, 7) + a) & mask
        shifted = (b << np.uint64(9)) & mask
        c, d = c ^ a, d ^ b
        b, a = b ^ c, a ^ d
        c, d = c ^ shifted, rotl(d, 11)
        expected.append(-np.log(((word >> np.uint64(9)).astype(np.float64) + 0.5) / 2**23))
    np.testing.assert_allclose(draw(state(3), 3200), np.concatenate(expected), rtol=4e-7)


def test_a_stream_goes_on_and_drops_the_rest_of_sixteen():
    whole = draw(state(1), 64)
    words = state(1)
    np.testing.assert_array_equal(draw(words, 16), whole[:16])
    np.testing.assert_array_equal(draw(words, 5), whole[16:21])
    np.testing.assert_array_equal(draw(words, 16), whole[32:48])


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("order", ["sequential", "random"])
@pytest.mark.parametrize("beta", [0.5, 5.0, 1e9])
def test_same_chain_as_the_reference(bits, order, beta):
    form = problem(N=9, bits=bits, seed=bits).unit(0)
    generator = np.random.default_rng(1)
    levels = generator.integers(0, 2**bits, 9).astype(np.int32)
    betas = np.full(30, beta)
    sweeps = 30 if order == "random" else 0
    orders = np.array([generator.permutation(9 * bits) for _ in range(sweeps)], np.int32).reshape(sweeps, 9 * bits)
    fast, fast_flips = compiled_chain(form, levels, betas, orders, state(7))
    slow, slow_flips = numpy_chain(form, levels, betas, orders, state(7))
    np.testing.assert_array_equal(fast, slow)
    assert fast_flips == slow_flips > 0


def test_blocks_of_sweeps_are_one_chain(monkeypatch):
    form = problem(N=9, bits=4).unit(0)
    levels, none = np.zeros(9, np.int32), np.empty((0, 36), np.int32)
    whole = compiled_chain(form, levels, np.full(40, 2.0), none, state(2))
    monkeypatch.setattr("annealtrain.solvers.anneal.BLOCK_SPINS", 100)
    parts = compiled_chain(form, levels, np.full(40, 2.0), none, state(2))
    np.testing.assert_array_equal(whole[0], parts[0])
    assert whole[1] == parts[1]


@pytest.mark.parametrize(("N", "bits"), [(2, 3), (6, 1), (3, 2)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_frequencies_are_boltzmann(N, bits, temperature):
    """Six spins, all 64 states: chi-square over thinned samples of one chain."""
    form = problem(N=N, bits=bits, seed=4).unit(0)
    codes = np.arange(64)[:, None]
    every = (codes >> (bits * np.arange(N))) & (2**bits - 1)
    energies = form.energy(form.weights(every))
    beta = 1 / (temperature * energies.std())
    expected = np.exp(-beta * (energies - energies.min()))
    expected /= expected.sum()
    words, levels, samples = state(11), np.zeros(N, np.int32), 12_000
    none, betas = np.empty((0, 6), np.int32), np.full(12, beta)
    counts = np.zeros(64)
    for sample in range(samples + 100):
        levels, _ = compiled_chain(form, levels, betas, none, words)
        if sample >= 100:
            counts[(levels << (bits * np.arange(N))).sum()] += 1
    common = expected * samples > 5
    observed = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum()) * samples
    if wanted[-1] == 0:
        observed, wanted = observed[:-1], wanted[:-1]
    assert stats.chisquare(observed, wanted).pvalue > 1e-3
    # The test can tell temperatures apart.
    other = np.exp(-1.5 * beta * (energies - energies.min()))
    other /= other.sum()
    assert stats.chisquare(counts[common], other[common] / other[common].sum() * counts[common].sum()).pvalue < 1e-6


def test_float32_fields_do_not_drift():
    """After many sweeps the fields are still those of the levels, to float32."""
    form = problem(N=200, bits=8, rows=300, half_range=0.1).unit(0)
    couplings = form.couplings
    levels = np.random.default_rng(0).integers(0, 256, 200).astype(np.int32)
    fields = form.gradient(form.weights(levels)).astype(np.float32)
    start = np.abs(fields).max()
    delta = (form.step * 2.0 ** np.arange(8)).astype(np.float32)
    _anneal.metropolis(
        couplings.packed,
        np.ascontiguousarray(couplings.packed.diagonal()),
        delta,
        np.geomspace(1, 1e6, 500, dtype=np.float32),
        np.empty((0, 1600), np.int32),
        state(),
        np.empty(1600, np.float32),
        fields,
        levels,
    )
    np.testing.assert_allclose(fields, form.gradient(form.weights(levels)), atol=5e-5 * start)


def test_descent_stops_where_no_level_helps():
    form = problem(N=8, bits=3, seed=2).unit(0)
    weights = descend(form, form.weights(np.zeros(8, int)), form.step, 1000)
    levels = form.nearest_levels(weights)
    np.testing.assert_allclose(form.weights(levels), weights, atol=1e-12)
    best = form.energy(weights)
    for j in range(8):
        for level in range(8):
            other = levels.copy()
            other[j] = level
            assert form.energy(form.weights(other)) >= best - 1e-12


def test_descent_of_a_concave_problem_goes_to_a_corner():
    form = LayerProblem.from_moments(-np.eye(2), np.array([[0.5, -0.5]]), np.zeros(1), np.zeros((1, 2)), 1.0, 2).unit(0)
    np.testing.assert_allclose(descend(form, np.zeros(2), 0.0, 10), [-1, 1])


def test_wrong_shapes_are_refused():
    good = {
        "couplings": np.zeros((3, 3), np.float32),
        "diagonal": np.zeros(3, np.float32),
        "delta": np.zeros(2, np.float32),
        "betas": np.zeros(4, np.float32),
        "orders": np.empty((0, 6), np.int32),
        "state": state(),
        "buffer": np.zeros(6, np.float32),
        "fields": np.zeros(3, np.float32),
        "levels": np.zeros(3, np.int32),
    }
    _anneal.metropolis(**good)
    for name, value in (
        ("couplings", np.zeros((3, 4), np.float32)),
        ("diagonal", np.zeros(2, np.float32)),
        ("orders", np.zeros((3, 6), np.int32)),
        ("orders", np.zeros((4, 3), np.int32)),
        ("orders", np.full((4, 6), 6, np.int32)),
        ("orders", np.full((4, 6), -1, np.int32)),
        ("state", state()[:63]),
        ("buffer", np.zeros(5, np.float32)),
        ("fields", np.zeros(4, np.float32)),
        ("levels", np.zeros(4, np.int32)),
    ):
        with pytest.raises(ValueError, match=r"agree|words|permutation|spins from 0 to 5"):
            _anneal.metropolis(**good | {name: value})
    with pytest.raises(ValueError, match="64 words"):
        _anneal.exponentials(state()[:60], np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="agree"):
        _anneal.coordinate_descent(np.eye(3), np.zeros(3), 1.0, 0.0, 0.0, 5, np.zeros(2), np.zeros(3))
