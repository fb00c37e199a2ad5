"""The triangle of J and what rounds by it, against formulas written out and every state counted."""

import itertools

import numpy as np
import pytest

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.hamiltonian.triangle import Triangle, triangle
from annealtrain.runtime.random_streams import stream
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.annealing.temperatures import HOTTEST, beta_range_of_start
from annealtrain.solvers.coordinate_descent import CoordinateDescent
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.lattice.babai import Babai, Klein
from annealtrain.solvers.lattice.beam import Beam, beam, grow
from annealtrain.solvers.lattice.blocks import blocks, search_blocks
from annealtrain.solvers.lattice.enumeration import enumerate_levels, reaches
from annealtrain.solvers.lattice.good_start import good_start
from annealtrain.solvers.lattice.nearest_plane import gradients, nearest_plane, randomised, scattered
from annealtrain.testing.solvers import random_problem


def ill(M: int = 6, N: int = 40, bits: int = 2, power: float = 1.5, seed: int = 0, **grid) -> LayerProblem:
    """Return the rounding of random weights under second moments of spectrum k^-power."""
    generator = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(generator.normal(size=(N, N)))
    H = (directions * np.arange(1, N + 1.0) ** -power) @ directions.T
    W = generator.normal(size=(M, N))
    scale = np.abs(W).max(axis=1) * (0.4 if bits == 1 else 0.7)
    return LayerProblem.of_rounding((H + H.T) / 2, W, scale, None if grid else bits, **grid)


def forms(problem: LayerProblem, half_range: float = 1.5) -> list:
    """Return the units on grids of one range."""
    own = LayerProblem.from_moments(problem.unit(0).J, problem.h, problem.E0, problem.S0, half_range, problem.bits)
    return [own.unit(i) for i in range(own.num_units)]


def test_the_triangle_is_J_in_an_order_and_energies_follow():
    units = forms(ill())
    found, J = units[0].couplings.triangle, units[0].J
    ordered = J[np.ix_(found.order, found.order)]
    np.testing.assert_allclose((found.R.T * found.d) @ found.R, ordered, atol=1e-9 * J.max())
    assert np.all(np.diff(J.diagonal()[found.order]) >= 0)  # the last, which is fixed first, costs most
    targets = found.targets(gradients(units))
    offsets = np.random.default_rng(1).normal(size=(40, 6))
    excess = found.excess(targets, offsets)
    least = (found.d[:, None] * targets**2).sum(axis=0)
    for i, form in enumerate(units):
        weights = form.S0.copy()
        weights[found.order] += offsets[:, i]
        energy = form.energy(form.S0) - least[i] + excess[i]
        assert energy == pytest.approx(form.energy(weights), rel=1e-6)


def test_dead_directions_have_a_triangle_and_an_indefinite_J_has_none():
    rows = np.random.default_rng(0).normal(size=(5, 12))
    found = triangle(rows.T @ rows)
    assert np.all(found.d > 0)
    assert triangle(np.zeros((3, 3))).d == pytest.approx(np.ones(3), rel=1e-6, abs=1)
    with pytest.raises(InputError, match=r"not positive semidefinite.*take solver=sa, start=random"):
        triangle(np.diag([1.0, -1.0]))
    problem = LayerProblem.from_moments(
        np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones((1, 2)), [0.0], [[0.0, 0.0]], 1.0, 1
    )
    for solver in (Babai(), Klein(), Beam(), SimulatedAnnealing(start="beam"), CoordinateDescent(start="babai")):
        with pytest.raises(InputError, match="not positive semidefinite"):
            solver.solve(problem)


@pytest.mark.parametrize("bits", [1, 3])
def test_babai_rounds_what_the_weights_fixed_before_leave(bits):
    """The textbook form: the minimum over those not yet fixed, and the first of them rounded."""
    units = forms(ill(N=37, bits=bits))
    levels = nearest_plane(units)
    for form, found in zip(units, levels, strict=True):
        order, weights = list(form.couplings.triangle.order[::-1]), np.full(37, np.nan)
        for k, j in enumerate(order):
            done, left = order[:k], order[k:]
            pull = form.h[left] + 2 * form.J[np.ix_(left, done)] @ weights[done]
            best = np.linalg.solve(form.J[np.ix_(left, left)], -pull / 2)[0]
            level = np.clip(np.rint((best - form.S0[j] + form.half_range) / form.encoding.step), 0, 2**bits - 1)
            assert found[j] == level
            weights[j] = form.S0[j] + form.encoding.offsets(level)


def test_the_first_of_randomised_reads_is_babais_and_the_others_spread_with_the_setting():
    units = forms(ill())
    generators = lambda: [np.random.default_rng(i) for i in range(6)]  # noqa: E731
    levels, excess = randomised(units, generators(), 30, 0.03)
    np.testing.assert_array_equal(levels[:, 0], nearest_plane(units))
    least = [(form.energy(form.weights(read)) - e).mean() for form, read, e in zip(units, levels, excess, strict=True)]
    for form, read, e, base in zip(units, levels, excess, least, strict=True):
        np.testing.assert_allclose(form.energy(form.weights(read)) - base, e, rtol=1e-5)
    wide, _ = randomised(units, generators(), 30, 1.0)
    moved = [(each[:, 1:] != each[:, :1]).mean() for each in (levels, wide)]
    assert 0 < moved[0] < moved[1]


def test_a_draw_has_the_share_that_its_two_levels_have():
    problem = LayerProblem.from_moments(np.eye(1), np.array([[-2 * 0.2]]), np.zeros(1), np.zeros((1, 1)), 1.0, 2)
    form, reads = problem.unit(0), 20_000
    levels, _ = randomised([form], [np.random.default_rng(0)], reads, 0.5)
    step = 2 / 3
    away = np.abs(form.encoding.offsets(np.arange(4)) - 0.2) / step  # levels 1 and 2 are the closest two
    share = np.exp(-(away[1] ** 2) / 0.5) / np.exp(-(away[1:3] ** 2) / 0.5).sum()
    assert set(np.unique(levels)) == {1, 2}
    assert (levels == 1).mean() == pytest.approx(share, abs=0.01)


def test_a_beam_of_one_is_babais_and_one_of_all_states_the_ground_state():
    units = forms(ill(N=33))
    levels, costs = beam(units, 1, 1)
    np.testing.assert_array_equal(levels[:, 0], nearest_plane(units))
    assert costs.shape == (6, 1)
    small = ill(N=5, bits=2)
    found = Beam(width=4**5, children=4, descent=False).solve(small)
    assert found.energies.shape == (6, 4**5)
    np.testing.assert_allclose(found.energies[:, 0], Exact().solve(small).energies[:, 0])
    assert np.all(np.diff(found.energies, axis=1) >= 0)


def test_a_wider_beam_is_seldom_worse():
    problem = ill(M=20, N=80)
    sums = [Beam(width, descent=False).solve(problem).energies[:, 0].sum() for width in (1, 8, 64)]
    assert sums[0] > sums[1] > sums[2]


def grown_plainly(factor: Triangle, target: np.ndarray, encoding: Encoding, width: int, children: int) -> set:
    """The states of a beam search of one unit, written as it is said: (cost, levels) of each."""
    grid, states = encoding.offsets(np.arange(encoding.top_level + 1)), [(0.0, ())]
    for j in range(len(target) - 1, -1, -1):
        more = []
        for cost, levels in states:
            centre = target[j] - factor.R[j, j + 1 :] @ encoding.offsets(np.array(levels, np.int32))
            for level in np.argsort(np.abs(grid - centre))[:children]:
                more.append((cost + factor.d[j] * (grid[level] - centre) ** 2, (int(level), *levels)))
        states = sorted(more)[:width]
    return {levels for _, levels in states}


@pytest.mark.parametrize("kernel", _anneal.kernels())
@pytest.mark.parametrize(("bits", "num_levels"), [(1, None), (3, None), (None, 3)])
@pytest.mark.parametrize(("N", "width", "children"), [(1, 1, 1), (5, 7, 2), (33, 4, 3), (70, 16, 2), (6, 5000, 4)])
def test_a_beam_has_the_states_of_its_plain_form(kernel, bits, num_levels, N, width, children):
    encoding = Encoding(0.7, bits or 2, num_levels)
    generator = np.random.default_rng(N)
    rows = generator.normal(size=(2 * N, N))
    factor, targets = triangle(rows.T @ rows), generator.normal(size=(3, N))
    _anneal.use_kernel(kernel)
    try:
        levels, costs = grow(factor, targets, encoding, width, children)
    finally:
        _anneal.use_kernel(_anneal.kernels()[0])
    for own, cost, target in zip(levels, costs, targets, strict=True):
        wanted = grown_plainly(factor, target, encoding, width, min(children, encoding.top_level + 1))
        assert {tuple(state) for state in own} == wanted
        assert len(own) == len(wanted)
        away = factor.R @ encoding.offsets(own).T - target[:, None]
        np.testing.assert_allclose(cost, (factor.d[:, None] * away**2).sum(axis=0), rtol=1e-9)


def test_of_equal_states_a_beam_keeps_the_first():
    """A weight halfway between its two levels, of each unit alike: what is kept does not depend on the machine."""
    factor = Triangle(np.eye(6), np.ones(6), np.arange(6))
    levels, costs = grow(factor, np.zeros((1, 6)), Encoding(1.0, 1), 3, 2)
    np.testing.assert_array_equal(costs, [[6.0, 6.0, 6.0]])
    np.testing.assert_array_equal(levels[0], [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]])


def test_a_beam_that_no_memory_holds_is_refused_and_a_small_unit_needs_no_more_than_it_has():
    factor = triangle(np.eye(3) + 0.1)
    with pytest.raises(InputError, match="65536 states with 65536 children each are too many at once"):
        grow(factor, np.zeros((1, 3)), Encoding(1.0, 16), 65536, 65536)
    levels, _ = grow(factor, np.zeros((1, 3)), Encoding(1.0, 1), 65536, 65536)
    assert levels.shape == (1, 8, 3)
    wide = [np.zeros((1, 65536, 1)), np.zeros((1, 65536, 1), np.int32), np.zeros((1, 65536), np.int32)]
    with pytest.raises(ValueError, match="more than 2"):
        _anneal.beam_rows(np.eye(1), np.ones(1), 1.0, 1e-5, 65535, 1, 65536, *wide, np.zeros((1, 65536)))


def test_a_beam_that_cannot_be_is_refused():
    real, whole = np.zeros((1, 2, 3)), np.zeros((1, 2, 3), np.int32)
    rest = (whole, np.zeros((1, 2), np.int32), np.zeros((1, 2)))
    for columns, states, children in ((np.eye(2), 1, 1), (np.eye(3), 3, 1), (np.eye(3), 1, 3), (np.eye(3), 0, 1)):
        with pytest.raises(ValueError, match=r"must agree|there must be some"):
            _anneal.beam_rows(columns, np.ones(3), 1.0, 2.0, 1, states, children, real, *rest)


@pytest.mark.parametrize(("bits", "N"), [(1, 14), (2, 7), (3, 5)])
def test_the_tree_finds_what_counting_finds_from_any_start(bits, N):
    for half_range in (0.3, 1.5):  # a box that most weights want to leave, and one that few do
        for form in forms(ill(M=4, N=N, bits=bits), half_range):
            factor = form.couplings.triangle
            every = np.array(list(itertools.product(range(2**bits), repeat=N)))
            lowest = form.energy(form.weights(every)).min()
            for start in (np.zeros(N, np.int32), nearest_plane([form])[0][factor.order]):
                targets = factor.targets(gradients([form]))[:, 0]
                found = enumerate_levels(factor, targets, form.encoding, start, 10**6)
                assert found.is_certified
                levels = scattered(form, found.levels)
                assert form.energy(form.weights(levels)) == pytest.approx(lowest, rel=1e-9)


def test_what_a_row_can_reach_is_its_part_of_the_box():
    form = forms(ill(N=6))[0]
    factor = form.couplings.triangle
    reach = reaches(factor, form.encoding)
    for i, j in ((0, 1), (0, 6), (2, 5), (3, 3)):
        assert reach[i, j - 1 if j == 6 else j] <= form.half_range * np.abs(factor.R[i, i:j]).sum() * (1 + 1e-12)
    assert reach[1, 4] == pytest.approx(form.half_range * np.abs(factor.R[1, 1:4]).sum())
    assert reach[3, 3] == 0


def test_larger_units_are_certified_or_said_not_to_be(caplog):
    problem = ill(M=2, N=30)
    result = Exact().solve(problem)
    assert result.stats["certified"] == 1
    assert result.stats["nodes"] > 30
    for solver in (Beam(), SimulatedAnnealing(start="beam"), Klein()):
        assert np.all(solver.solve(problem).energies[:, 0] >= result.energies[:, 0] * (1 - 1e-9))
    stopped = Exact(max_nodes=20).solve(problem)
    assert stopped.stats["certified"] < 1
    assert np.all(stopped.energies[:, 0] >= result.energies[:, 0] * (1 - 1e-9))
    assert "20 nodes" not in caplog.text
    assert "nodes are not enough for a unit of 30 weights" in caplog.text


def test_a_start_is_never_lost_and_annealing_goes_below_it():
    problem = ill(M=8, N=96)
    for kind in ("babai", "beam"):
        start = CoordinateDescent(start=kind).solve(problem, seed=3).energies[:, 0]
        for settings in ({"beta": 1e-6}, {"move": "bit", "num_reads": 3}, {}):  # the first forgets everything
            found = SimulatedAnnealing(200, start=kind, **settings).solve(problem, seed=3)
            assert np.all(found.energies <= start[:, None] * (1 + 1e-12))
        if kind == "babai":
            assert found.energies[:, 0].sum() < 0.99 * start.sum()


def test_blocks_are_of_coupled_weights_and_lower_every_unit_they_change():
    problem = ill(M=6, N=80, bits=2)
    units, J = forms(problem), problem.unit(0).couplings.live_J
    found = list(blocks(J, 0, 20))
    assert all(32 <= len(set(block)) == len(block) <= 64 for block in found)
    assert len({tuple(block) for block in found}) == 20
    before = Beam(descent=True).solve(problem).levels[:, 0]
    after = search_blocks(units, before, 0, 12)
    old, new = (
        np.array([form.energy(form.weights(x)) for form, x in zip(units, each, strict=True)])
        for each in (before, after)
    )
    assert np.all(new <= old * (1 + 1e-9))
    assert new.sum() < 0.99 * old.sum()
    np.testing.assert_array_equal(search_blocks(units, before, 0, 0), before)


def test_blocks_leave_weights_alone_that_nothing_moves():
    problem = random_problem(N=9, bits=2, dead=(2, 5))
    levels = np.ones((3, 9), np.int32)
    found = search_blocks(forms(problem), levels, 1, 5)
    assert np.all(found[:, [2, 5]] == 1)
    assert not np.array_equal(found, levels)


@pytest.mark.parametrize("start", ["random", "babai"])
def test_annealing_from_any_start_ends_with_blocks_where_asked(start):
    problem = ill(M=4, N=60, bits=2)
    plain, more = (SimulatedAnnealing(50, 2, start=start, num_blocks=n).solve(problem).energies for n in (0, 16))
    assert more[:, 0].sum() < 0.99 * plain[:, 0].sum()
    np.testing.assert_allclose(np.sort(plain)[:, 1:], np.sort(more)[:, 1:])  # the other read stays


def test_a_good_start_of_units_that_have_levels_is_those():
    problem = ill(M=4, N=40, bits=2)
    low = SimulatedAnnealing(start="beam").solve(problem)
    problem.present = low.levels[:, 0]
    again = SimulatedAnnealing(1, beta=1e-9, start="babai").solve(problem)
    assert np.all(again.energies[:, 0] <= low.energies[:, 0] * (1 + 1e-12))


def test_quantum_annealing_from_a_start_never_loses_it():
    problem = ill(M=4, N=64, bits=1)
    start = CoordinateDescent(start="babai").solve(problem, seed=3).energies[:, 0]
    found = SimulatedQuantumAnnealing(200, start="babai").solve(problem, seed=3).energies[:, 0]
    assert np.all(found <= start * (1 + 1e-12))
    assert found.sum() < 0.97 * start.sum()


def test_from_random_spins_annealing_of_an_ill_conditioned_layer_loses_to_babai():
    problem = ill(M=8, N=96, bits=3)
    babai, far, near = (
        solver.solve(problem).energies[:, 0].sum()
        for solver in (
            Babai(descent=True),
            SimulatedAnnealing(200, move="slice"),
            SimulatedAnnealing(200, start="beam"),
        )
    )
    assert near < 0.95 * babai < babai < far


def test_the_first_temperature_is_that_of_the_start():
    units = forms(ill(M=3), half_range=1.5)
    start = good_start("babai", units, [stream(0, i) for i in range(3)])
    for form, excess, levels in zip(units, start.excess, start.levels, strict=True):
        first, last = beta_range_of_start(form, excess)
        assert last > first
        assert first >= 40 / (2 * excess) * (1 - 1e-12)
        least = form.E0 - form.h @ np.linalg.solve(form.J, form.h) / 4
        assert excess == pytest.approx(form.energy(form.weights(levels)) - least, rel=1e-4)
    rounding = form.encoding.step**2 / 12 * form.couplings.triangle.d.sum()
    assert beta_range_of_start(form, 1e9)[0] == pytest.approx(40 / (2 * HOTTEST * rounding))
    assert np.isfinite(beta_range_of_start(form, 0.0)).all()


def test_a_group_of_units_is_grown_as_each_by_itself():
    units = forms(ill(N=33))
    factor, targets = units[0].couplings.triangle, units[0].couplings.triangle.targets(gradients(units)).T
    whole, costs = grow(factor, targets, units[0].encoding, 8, 2)
    for i in range(6):
        own, cost = grow(factor, targets[i : i + 1], units[0].encoding, 8, 2)
        np.testing.assert_allclose(np.sort(cost[0]), np.sort(costs[i]), rtol=1e-9)
        assert {tuple(row) for row in own[0]} == {tuple(row) for row in whole[i]}


def test_forms_of_spins_share_one_J():
    couplings = Couplings(np.diag([1.0, 2.0]))
    problem = LayerProblem(couplings, np.zeros((2, 2)), np.zeros(2), np.zeros((2, 2)), 1.0, None, num_levels=3)
    first, second = (problem.unit(i).spin_form() for i in range(2))
    assert first.couplings is second.couplings
    np.testing.assert_allclose(first.J.diagonal(), [0.25, 0.25, 0.5, 0.5])
