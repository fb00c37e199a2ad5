"""The compiled kernel: its random numbers, its chains against NumPy's and against Boltzmann, on every path."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from annealtrain import _anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.runtime import thread_pool
from annealtrain.runtime.memory import aligned
from annealtrain.runtime.random_streams import stream
from annealtrain.solvers.annealing.lanes import Chains, Lanes, run_lanes
from annealtrain.solvers.annealing.markov_chains import (
    Chain,
    ChainResult,
    fields,
    run_chain,
    scatter_live,
    to_float32,
)
from annealtrain.solvers.annealing.reference import numpy_chain
from annealtrain.solvers.annealing.starts import seeded_chains
from annealtrain.solvers.bounds import descend

MOVES = ("bit", "slice", "greedy")


@pytest.fixture(params=_anneal.kernels())
def kernel(request):
    """Every kernel that this machine runs, one after the other."""
    _anneal.use_kernel(request.param)
    yield request.param
    _anneal.use_kernel(_anneal.kernels()[0])


def draw(key, sweep, count, is_slice=False):
    out = np.empty(count, np.float32)
    _anneal.random_numbers(np.array(key, np.uint32), sweep, out, is_slice)
    return out


def problem(N=6, bits=3, seed=0, half_range=0.5, rows=30, M=1):
    generator = np.random.default_rng(seed)
    inputs, targets = generator.normal(size=(rows, N)), generator.normal(size=(rows, M))
    return LayerProblem.from_rows(inputs, targets, generator.normal(size=(M, N)) * 0.2, half_range, bits)


def chain(form, sweeps=30, beta=2.0, seed=0, **settings):
    return Chain(form, np.full(sweeps, beta), np.random.SeedSequence(seed), **settings)


def side_by_side(chains):
    """The ends of chains of any seeds, each in a lane of its own."""
    form, levels = chains[0].form, np.array([each.start() for each in chains])
    fields_32 = aligned((len(chains), form.couplings.packed.shape[1]), np.float32)
    fields_32[:, : form.couplings.indices.size] = fields(chains, levels)
    betas, keys = to_float32(np.array([each.betas for each in chains])), np.array([each.key for each in chains])
    ends = Lanes.of(form.couplings, chains[0].delta, betas, keys, fields_32, levels).run(chains[0].move)
    return [ChainResult(*end) for end in zip(*ends, strict=True)]


def draw_uniforms(key, sweep, count):
    out = np.empty(count)
    _anneal.random_uniforms(np.array(key, np.uint32), sweep, out)
    return out


def threefry(key, counter):
    """Threefry-4x32-12 once more, in Python's integers (Salmon et al. 2011)."""
    mask = 0xFFFFFFFF
    turns = [(10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20)]
    keys = [*key, 0, 0, 0x1BD11BDA ^ key[0] ^ key[1]]
    x = [(c + k) & mask for c, k in zip(counter, keys, strict=False)]
    for r in range(12):
        for (a, b), turn in zip([(0, 1), (2, 3)] if r % 2 == 0 else [(0, 3), (2, 1)], turns[r % 8], strict=True):
            x[a] = (x[a] + x[b]) & mask
            x[b] = (((x[b] << turn) | (x[b] >> (32 - turn))) & mask) ^ x[a]
        if r % 4 == 3:
            s = r // 4 + 1
            x = [(x[i] + keys[(s + i) % 5] + (s if i == 3 else 0)) & mask for i in range(4)]
    return x


def test_numbers_are_threefry(kernel):
    key, sweep = (123456789, 4000000000), 7
    words = {c: threefry(key, (c, sweep, 0, 0)) for c in range(48)}
    uniform = [((words[16 * (i // 64) + i % 16][i % 64 // 16] >> 9) + 0.5) / 2**23 for i in range(192)]
    expected = -np.log(uniform)
    np.testing.assert_allclose(draw(key, sweep, 192), expected, rtol=5e-7)
    np.testing.assert_array_equal(draw(key, sweep, 70), draw(key, sweep, 192)[:70])
    pairs = draw(key, sweep, 192, is_slice=True)
    np.testing.assert_array_equal(pairs[0::2], draw(key, sweep, 192)[0::2])
    np.testing.assert_allclose(pairs[1::2], uniform[1::2], rtol=1e-7)


def test_uniforms_are_threefry(kernel):
    """16 bits of a word, eight to a counter, and 23 more from a counter of the number's own."""
    key, sweep = (123456789, 4000000000), 7
    expected = []
    for i in range(40):
        half = threefry(key, (i // 8, sweep, 1, 0))[i % 8 // 2] >> 16 * (i % 2) & 0xFFFF
        fraction = ((threefry(key, (i, sweep, 2, 0))[0] >> 9) + 0.5) / 2**23
        expected.append((half + fraction) / 2**16)
    np.testing.assert_allclose(draw_uniforms(key, sweep, 40), expected, rtol=1e-12)


@pytest.mark.parametrize(("draws", "law"), [(draw, "expon"), (draw_uniforms, "uniform")])
def test_numbers_have_their_law(draws, law):
    numbers = np.array([draws((3, 4), sweep, 1000) for sweep in range(400)])
    assert numbers.min() > 0
    assert stats.kstest(numbers.ravel(), law).pvalue > 0.01
    # Neighbours in a sweep, the same place in two sweeps, and two keys are independent.
    other = np.array([draws((4, 3), sweep, 1000) for sweep in range(400)])
    for a, b in ((numbers[:, 1:], numbers[:, :-1]), (numbers[1:], numbers[:-1]), (numbers, other)):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


def test_visits_are_blocks_in_an_order_of_the_sweep(kernel):
    """Fisher and Yates' shuffle of the blocks of 32 weights, by words that are no chain's own."""
    for n, sweep in ((70, 3), (1000, 4), (32, 5), (5, 6)):
        blocks = list(range(-(-n // 32)))
        for i in range(len(blocks) - 1):
            other = i + threefry((0, 0), (i, sweep, 3, 0))[0] % (len(blocks) - i)
            blocks[i], blocks[other] = blocks[other], blocks[i]
        expected = [j for b in blocks for j in range(32 * b, min(32 * b + 32, n))]
        assert _anneal.visit_order(n, sweep).tolist() == expected
    assert _anneal.visit_order(0, 0).size == 0
    assert len({tuple(_anneal.visit_order(96, sweep)) for sweep in range(100)}) == 6


@pytest.mark.parametrize("N", [9, 70])
@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("beta", [0.5, 5.0, 1e9])
def test_same_chain_as_the_reference(kernel, N, bits, move, beta):
    form = problem(N=N, bits=bits, seed=bits, rows=N + 21).unit(0)
    # Where float32 rounds to another level than float64, chains of mirrored levels part for good.
    sweeps = 8 if move == "slice" and N == 70 else 30
    own = chain(form, sweeps, beta, move=move)
    fast, slow = run_chain(own), numpy_chain(chain(form, sweeps, beta, move=move))
    np.testing.assert_array_equal(fast[0], slow[0])
    assert fast[1] == slow[1] > 0


def test_every_decision_is_metropolis(kernel):
    """A flip is accepted iff u < exp(-x), also where the first 16 bits of u leave it open, once in 65,536."""
    N, sweeps, ties = 1500, 300, 0
    h = np.linspace(0.01, 12, N)
    problem = LayerProblem.from_moments(np.zeros((N, N)), h[None], np.zeros(1), np.zeros((1, N)), 0.5, 1, convex=True)
    form = problem.unit(0)
    levels = chain(form).start()
    key, x = chain(form).key, h.astype(np.float32).astype(float)  # beta 1: a flip up costs h, one down is free
    for sweep in range(sweeps):
        u = np.empty(N)
        u[_anneal.visit_order(N, sweep)] = draw_uniforms(key, sweep, N)
        ties += np.count_nonzero((np.floor(u * 2**16) == np.floor(np.exp(-x) * 2**16)) & (levels == 0))
        levels = np.where(levels == 1, 0, u < np.exp(-x))
    assert ties > 0
    for ends in (
        run_chain(chain(form, sweeps=sweeps, beta=1.0)),
        side_by_side([chain(form, sweeps=sweeps, beta=1.0)])[0],
    ):
        np.testing.assert_array_equal(ends[0], levels)


@pytest.mark.parametrize("beta", [0.5, 1e9])
def test_same_chain_in_random_order(kernel, beta):
    form = problem(N=9, bits=4).unit(0)
    fast, slow = (run(chain(form, beta=beta, is_random_order=True)) for run in (run_chain, numpy_chain))
    np.testing.assert_array_equal(fast[0], slow[0])
    assert fast[1] == slow[1] > 0
    assert not np.array_equal(run_chain(chain(form, beta=beta))[0], fast[0])


@pytest.mark.parametrize("N", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_every_path_gives_the_same_bits(N, move, bits):
    """One chain or many, 16 lanes or 4: the same levels and flips, to the last bit."""
    forms = [problem(N=N, bits=bits, M=3, rows=N + 20).unit(i) for i in range(3)]

    def make():
        return [Chain(f, np.geomspace(1, 1e4, 12), np.random.SeedSequence(i), move) for i, f in enumerate(forms)]

    results = []
    try:
        for name in _anneal.kernels():
            _anneal.use_kernel(name)
            results.append([run_chain(each) for each in make()])
            # In company, in another lane, alone in its register.
            results.append(side_by_side(make()))
            results.append(side_by_side(make()[::-1])[::-1])
            results.append([side_by_side([each])[0] for each in make()])
    finally:
        _anneal.use_kernel(_anneal.kernels()[0])
    for result in results[1:]:
        for end, first in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(end.levels, first.levels)
            assert (end.flips, end.sweeps) == (first.flips, first.sweeps)


def test_fields_of_what_does_not_fit_are_refused():
    good = [np.eye(3), np.zeros((2, 3)), np.zeros((2, 3)), np.array([0, 2]), 1.0, 1, 2, 0]
    levels, fields = np.zeros((4, 2), np.int32), np.zeros((4, 16), np.float32)
    _anneal.start_fields(*good, levels, fields)
    for at, wrong in ((1, np.zeros((2, 2))), (2, np.zeros((1, 3))), (3, np.array([0, 3])), (6, 1), (7, 1)):
        with pytest.raises(ValueError, match=r"agree|weights from 0 to 2|units of"):
            _anneal.start_fields(*good[:at], wrong, *good[at + 1 :], levels, fields)
    for pools, hashed, reads, first in (
        (np.zeros((1, 3)), 4, 1, 0),
        (np.zeros((1, 4)), 3, 1, 0),
        (np.zeros((1, 4)), 4, 1, 1),
    ):
        with pytest.raises(ValueError, match=r"agree|units of"):
            _anneal.chain_seeds(
                pools.astype(np.uint32), hashed, reads, first, 1, np.zeros((1, 2), np.uint32), levels[:1]
            )


@pytest.mark.parametrize("seed", [0, 7, 2**40, 2**200 + 5, [3, 2**70]])
@pytest.mark.parametrize("bits", [1, 3, 16])
def test_thousands_of_chains_are_seeded_as_one_is(seed, bits):
    root = np.random.SeedSequence(seed)
    units = [stream(root, 4, unit, 2**33) for unit in range(3)]
    for seeds in ([root], units):
        for reads, part in ((1, slice(0, len(seeds))), (5, slice(0, 5 * len(seeds))), (7, slice(3, 7 * len(seeds)))):
            keys, levels = seeded_chains(seeds, reads, part, live=9, bits=bits)
            for key, own, c in zip(keys, levels, range(part.start, part.stop), strict=True):
                seed_of_read = stream(seeds[c // reads], c % reads)
                np.testing.assert_array_equal(key, seed_of_read.generate_state(2))
                drawn = np.random.Generator(np.random.PCG64(stream(seed_of_read, 0)))
                np.testing.assert_array_equal(own, drawn.integers(0, 2**bits, 9, dtype=np.int32))


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("settings", [{}, {"is_from_present": True}, {"firsts": np.arange(27).reshape(3, 9) % 8}])
def test_many_reads_are_each_a_chain(monkeypatch, move, settings):
    """Chains of three units, more than there are lanes, in jobs that begin within a unit: each as it is alone."""
    layer = problem(N=9, bits=3, M=3)
    forms, seeds = [layer.unit(i) for i in range(3)], [stream(5, i) for i in range(3)]
    betas = np.geomspace([1, 2, 3], 1e3, 11).T
    chains = Chains(forms, seeds, betas, 15, move, **settings)
    expected = [run_chain(chains[c]) for c in range(len(chains))]
    for block_s in (10.0, 1e-9):  # all in one job; a group and a sweep at a time
        monkeypatch.setattr("annealtrain.solvers.annealing.markov_chains.BLOCK_S", block_s)
        monkeypatch.setattr("annealtrain.solvers.annealing.lanes.BLOCK_S", block_s)
        for is_in_job in (True, False):
            with thread_pool.threads(2):
                ends = run_lanes(chains, is_in_job=is_in_job)
            for end, one in zip(zip(*ends, strict=True), expected, strict=True):
                np.testing.assert_array_equal(end[0], one.levels)
                assert (end[1], end[2]) == (one.flips, one.sweeps)


@pytest.mark.parametrize("move", MOVES)
def test_blocks_of_sweeps_are_one_chain(monkeypatch, kernel, move):
    form = problem(N=9, bits=4).unit(0)
    whole = run_chain(chain(form, sweeps=40, move=move)), side_by_side([chain(form, sweeps=40, move=move)])[0]
    order = run_chain(chain(form, sweeps=40, is_random_order=True))
    monkeypatch.setattr("annealtrain.solvers.annealing.markov_chains.BLOCK_S", 1e-6)
    parts = run_chain(chain(form, sweeps=40, move=move)), side_by_side([chain(form, sweeps=40, move=move)])[0]
    for end, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(end.levels, other.levels)
        assert (end.flips, end.sweeps) == (other.flips, other.sweeps)
    np.testing.assert_array_equal(order.levels, run_chain(chain(form, sweeps=40, is_random_order=True)).levels)


@pytest.mark.parametrize(("N", "bits"), [(2, 3), (6, 1), (3, 2)])
@pytest.mark.parametrize("temperature", [0.3, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("move", ["bit", "slice"])
def test_frequencies_are_boltzmann(N, bits, temperature, move):
    """Six spins, all 64 states: chi-square over the ends of independent chains, sixteen side by side."""
    form = problem(N=N, bits=bits, seed=4).unit(0)
    every = (np.arange(64)[:, None] >> (bits * np.arange(N))) & (2**bits - 1)
    energies = form.energy(form.weights(every))
    beta = 1 / (temperature * energies.std())

    def boltzmann(beta):
        weights = np.exp(-beta * (energies - energies.min()))
        return weights / weights.sum()

    # Samples are the ends of chains long enough to forget their start, 16 lanes at a time.
    counts, samples, wide = np.zeros(64), 9600, _anneal.lanes()
    for group in range(samples // wide):
        chains = [chain(form, sweeps=40, beta=beta, seed=group * wide + k, move=move) for k in range(wide)]
        for end in side_by_side(chains):
            counts[(end.levels << (bits * np.arange(N))).sum()] += 1

    def pvalue(expected):
        common = expected * samples > 5
        observed = np.append(counts[common], counts[~common].sum())
        wanted = np.append(expected[common], expected[~common].sum()) * samples
        used = wanted > 0
        return stats.chisquare(observed[used], wanted[used] * observed[used].sum() / wanted[used].sum()).pvalue

    assert pvalue(boltzmann(beta)) > 1e-3
    assert pvalue(boltzmann(1.5 * beta)) < 1e-6  # the test can tell temperatures apart


def test_slice_moves_have_no_hamming_cliffs():
    """At 8 bits, cold: slice sampling ends close to the best levels, single bits do not."""
    form = problem(N=40, bits=8, rows=60).unit(0)
    best = form.energy(descend(form, form.S0, form.encoding.step, 5000))
    excess = {}
    for move in ("bit", "slice"):
        own = Chain(form, np.geomspace(1, 1e8, 200), np.random.SeedSequence(1), move)
        full = np.zeros(40, int)
        full[:] = run_chain(own)[0]
        excess[move] = form.energy(form.weights(full)) - best
    assert excess["slice"] < 1e-4 < 10 * excess["bit"]
    assert excess["slice"] < 0.1 * excess["bit"]


def test_float32_fields_do_not_drift():
    """After many sweeps the fields are still those of the levels, to float32."""
    form = problem(N=200, bits=8, rows=300, half_range=0.1).unit(0)
    own = Chain(form, np.geomspace(1, 1e6, 500), np.random.SeedSequence(0))
    levels = own.start()
    drifting = fields([own], [levels])[0].astype(np.float32)
    scale, packed = np.abs(drifting).max(), form.couplings.packed
    none = np.empty((0, 1600), np.int32)
    _anneal.anneal_chain(
        packed,
        form.couplings.packed_diagonal,
        own.delta,
        0,
        own.betas.astype(np.float32),
        none,
        0,
        own.key,
        drifting,
        levels,
    )
    np.testing.assert_allclose(drifting, fields([own], [levels])[0], atol=5e-5 * scale)


def test_fields_do_not_depend_on_the_company():
    forms = [problem(N=70, bits=5, M=5, rows=90).unit(i) for i in range(5)]
    chains = [Chain(form, np.ones(1), np.random.SeedSequence(i)) for i, form in enumerate(forms)]
    levels = [each.start() for each in chains]
    together = fields(chains, levels)
    for i, each in enumerate(chains):
        np.testing.assert_array_equal(together[i], fields([each], [levels[i]])[0])
        np.testing.assert_allclose(together[i], forms[i].gradient(forms[i].weights(levels[i])), rtol=1e-11)


@pytest.mark.parametrize("live", [[True] * 3, [True, False, True]])
def test_levels_lie_in_rows_whatever_they_come_from(live):
    """The sums of an energy are rounded by the order of the weights in memory."""
    form = replace(problem(N=3).unit(0), couplings=Couplings(np.eye(3), np.array(live)))
    columns = np.arange(4 * sum(live), dtype=np.int32).reshape(-1, 4).T
    found = scatter_live(form, columns)
    assert found.flags.c_contiguous
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found[:, live], columns)
    assert not found[:, ~np.array(live)].any()


def test_descent_stops_where_no_level_helps():
    form = problem(N=8, bits=3, seed=2).unit(0)
    weights = descend(form, form.weights(np.zeros(8, int)), form.encoding.step, 1000)
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


def test_kernels_are_chosen_by_name():
    assert _anneal.kernels()[-1] == "plain"
    with pytest.raises(ValueError, match=r"no kernel 'sse9' runs on this machine: choose one of .*plain"):
        _anneal.use_kernel("sse9")


def test_wrong_shapes_are_refused():
    good = {
        "couplings": np.zeros((3, 3), np.float32),
        "diagonal": np.zeros(3, np.float32),
        "delta": np.zeros(2, np.float32),
        "move": 0,
        "betas": np.zeros(4, np.float32),
        "orders": np.empty((0, 6), np.int32),
        "first": 0,
        "key": np.zeros(2, np.uint32),
        "fields": np.zeros(3, np.float32),
        "levels": np.zeros(3, np.int32),
    }
    _anneal.anneal_chain(**good)
    for change in (
        {"couplings": np.zeros((3, 2), np.float32)},
        {"couplings": np.zeros((4, 3), np.float32)},
        {"diagonal": np.zeros(2, np.float32)},
        {"orders": np.zeros((3, 6), np.int32)},
        {"orders": np.zeros((4, 3), np.int32)},
        {"orders": np.full((4, 6), 6, np.int32)},
        {"orders": np.full((4, 6), -1, np.int32)},
        {"orders": np.zeros((4, 6), np.int32), "move": 1},
        {"key": np.zeros(3, np.uint32)},
        {"fields": np.zeros(4, np.float32)},
        {"levels": np.zeros(4, np.int32)},
    ):
        with pytest.raises(ValueError, match=r"agree|words|permutation|spins from 0 to 5|weight after weight"):
            _anneal.anneal_chain(**good | change)
    wide = _anneal.lanes()
    good = {
        "couplings": aligned((3, 16), np.float32),
        "diagonal": np.zeros(3, np.float32),
        "delta": np.zeros(2, np.float32),
        "move": 0,
        "betas": np.zeros((1, 4, wide), np.float32),
        "first": 0,
        "last": 4,
        "keys": np.zeros((1, 2, wide), np.uint32),
        "fields": aligned((2, 16), np.float32),
        "levels": aligned((1, 4, wide), np.int32),
        "flips": np.zeros((1, wide), np.int64),
    }
    _anneal.anneal_lanes(**good)
    for change in (
        {"couplings": aligned((3, 17), np.float32)},
        {"couplings": aligned((4, 16), np.float32)},
        {"couplings": np.zeros(49, np.float32)[1:].reshape(3, 16)},
        {"fields": aligned((2, 32), np.float32)},
        {"fields": aligned((wide + 1, 16), np.float32)},
        {"betas": np.zeros((1, 4, wide + 1), np.float32)},
        {"betas": np.zeros((2, 4, wide), np.float32)},
        {"keys": np.zeros((1, 3, wide), np.uint32)},
        {"keys": np.zeros((2, 2, wide), np.uint32)},
        {"flips": np.zeros((1, wide + 1), np.int64)},
        {"levels": aligned((1, 2, wide), np.int32)},
        {"levels": aligned((2, 4, wide), np.int32)},
        {"fields": np.zeros(33, np.float32)[1:].reshape(2, 16)},
        {"first": 3, "last": 2},
        {"first": -1},
        {"last": 5},
    ):
        with pytest.raises(ValueError, match=r"agree|lanes wide|64-byte|betas has 4"):
            _anneal.anneal_lanes(**good | change)
    with pytest.raises(ValueError, match="2 words"):
        _anneal.random_uniforms(np.zeros(3, np.uint32), 0, np.zeros(4))
    with pytest.raises(ValueError, match="2 words"):
        _anneal.random_numbers(np.zeros(3, np.uint32), 0, np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="agree"):
        _anneal.add_products(np.eye(3), np.zeros((2, 3)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="agree"):
        _anneal.coordinate_descent(np.eye(3), np.zeros(3), 1.0, 0.0, 0.0, 5, np.zeros(2), np.zeros(3))


def test_every_kernel_gives_the_same_products_and_descent():
    generator = np.random.default_rng(0)
    inputs, S = generator.normal(size=(50, 37)).astype(np.float32), generator.uniform(-1, 1, (3, 37))
    J = inputs.T.astype(float) @ inputs
    results = []
    try:
        for name in _anneal.kernels():
            _anneal.use_kernel(name)
            fields, products, weights = np.ones_like(S), np.empty((50, 3)), S[0].copy()
            _anneal.add_products(J, S, fields)
            _anneal.input_products(inputs, np.ascontiguousarray(S.T), products)
            descending = fields[0].copy()
            sweeps = _anneal.coordinate_descent(J, np.zeros(37), 1.0, 0.25, 0.0, 100, descending, weights)
            results.append((fields, products, descending, weights, sweeps))
    finally:
        _anneal.use_kernel(_anneal.kernels()[0])
    np.testing.assert_allclose(results[0][0], 1 + 2 * S @ J)
    np.testing.assert_allclose(results[0][1], inputs @ S.T)
    for result in results[1:]:
        for found, first in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(found, first)
