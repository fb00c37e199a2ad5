"""Penalties on weights: the Hamiltonians with them against sums over all states, and where they are refused."""

from itertools import product

import numpy as np
import pytest
from small_network import network

from annealtrain.errors import InputError
from annealtrain.hamiltonian.penalty import Penalty
from annealtrain.nn.layers import Flatten, Linear
from annealtrain.nn.network import Network
from annealtrain.optimizers.gauss_newton import GaussNewton
from annealtrain.optimizers.kronecker import Kronecker
from annealtrain.optimizers.layerwise import difference
from annealtrain.optimizers.optimizer import Batch, Step
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.schedule import ConstantSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.exact import Exact
from annealtrain.testing import random_problem

STEP = Step(0, 1, 0, 1)


def all_weights(form):
    """Every state of a unit, as weights that also move where the form leaves them dead."""
    levels = np.array(list(product(range(form.encoding.top_level + 1), repeat=form.S0.size)))
    return form.S0 + form.encoding.offsets(levels)


def stands_for(W, S, L, bits):
    """What stands for |S|: see the head of annealtrain/hamiltonian/penalty.py."""
    return np.where((np.abs(W) < L) & (bits > 1), S**2 / (2 * L) + L / 2, np.abs(S))


@pytest.mark.parametrize("alpha", [None, 0.1])
@pytest.mark.parametrize(("bits", "L"), [(1, 0.5), (2, 0.5), (3, 0.01)])
def test_every_state_has_the_loss_and_the_penalty(alpha, bits, L):
    penalty, (l1, l2) = Penalty([9.0, 0.3], [9.0, 0.2]), (0.3, 0.2)
    plain = random_problem(M=2, N=4, bits=bits, alpha=alpha, half_range=L, dead=[2])
    found = penalty.added(1, plain)
    for i in range(2):
        form = found.unit(i)
        states = all_weights(form)
        added = l2 * states**2 + l1 * stands_for(form.S0, states, L, bits)
        expected = plain.unit(i).energy(states) + added.sum(axis=1)
        np.testing.assert_allclose(form.energy(states), expected, rtol=1e-10)
    small = np.abs(plain.S0).min()
    if bits == 1 or small > L:  # nothing stands for |S| but itself: the ground state is that of the penalised loss
        assert (small > L) == (bits == 3)
        best = Exact().solve(found).best_weights
        for i in range(2):
            form, states = plain.unit(i), all_weights(plain.unit(i))
            energies = form.energy(states) + l2 * (states**2).sum(axis=1) + l1 * np.abs(states).sum(axis=1)
            np.testing.assert_allclose(best[i], states[np.argmin(energies)], rtol=1e-12)


def test_what_stands_for_a_size_is_above_it_and_close():
    W, L = np.linspace(-0.99, 0.99, 7)[:, None], 1.0
    S = W + np.linspace(-L, L, 101)
    over = stands_for(W, S, L, 2) - np.abs(S)
    assert over.min() >= 0
    assert over[np.abs(S) < L].max() <= L / 2


def test_a_ridge_and_a_penalty_add_up():
    plain = random_problem(M=2, N=3)
    rows = plain.least_squares
    ridged = type(plain).from_rows(rows.inputs, rows.targets, plain.S0, 0.5, 2, ridge=0.1)
    found = Penalty(0, 0.5).added(0, ridged)
    assert found.is_shared
    for i in range(2):
        states = all_weights(plain.unit(i))
        expected = ridged.unit(i).energy(states) + 0.5 * (states**2).sum(axis=1)
        np.testing.assert_allclose(found.unit(i).energy(states), expected, rtol=1e-10)
    assert Penalty().added(0, ridged) is ridged


def one_layer(bits, **settings):
    """Gauss-Newton on a network whose loss is the model itself, at weights on both sides of the range."""
    random = np.random.default_rng(0)
    made = Network([Flatten(), Linear(2)], (1, 1, 4), 2, output_activation="linear", seed=0)
    made.trainable[0].weights = np.array([[0.3, -0.2, 0.05, 0.0], [-0.01, 0.4, 0.02, -0.3]])
    given = Batch(
        random.normal(size=(30, 4)).astype(np.float32), np.eye(2, dtype=np.float32)[random.integers(0, 2, 30)]
    )
    grid = {"solver": Exact(), "half_range": ConstantSchedule(0.1), "bits": bits}
    optimizer = GaussNewton(0.02, l1=0.05, **grid, **settings)
    optimizer.start(made, seed=0, timer=StageTimer())
    return optimizer, made, given


@pytest.mark.parametrize("bits", [1, 2])
def test_gauss_newton_models_the_penalised_loss_of_the_network(bits):
    optimizer, made, given = one_layer(bits)
    problem, W = optimizer.next_problem(0, given, STEP), made.trainable[0].weights
    for i in range(2):
        changes = all_weights(problem.unit(i))
        for d, energy in zip(changes[::5], problem.unit(i).energy(changes)[::5], strict=True):
            S = W.copy()
            S[i] += d
            loss = ((given.inputs @ S.T - given.outputs) ** 2).sum() / 30
            others = 0.05 * np.abs(np.delete(S, i, axis=0)).sum()
            own = 0.05 * stands_for(W[i], S[i], 0.1, bits).sum()
            assert energy == pytest.approx(loss + 0.02 * (S**2).sum() + own + others, rel=1e-5)


@pytest.mark.parametrize("block", [1, 2])
def test_gauss_newton_lowers_the_penalised_loss(block):
    optimizer, made, given = one_layer(2, block=block)

    def value():
        S = made.trainable[0].weights
        loss = ((given.inputs @ S.T - given.outputs) ** 2).sum() / 30
        return loss + 0.02 * (S**2).sum() + 0.05 * np.abs(S).sum()

    before = value()
    (row,) = optimizer.step(given, STEP, lambda *_: None)
    assert row["start_energy"] == pytest.approx(before, rel=1e-5)
    assert row["actual_change"] == pytest.approx(value() - before, abs=1e-6)
    assert row["actual_change"] < 0


def test_kronecker_has_the_slope_of_the_penalised_loss():
    made, random = network(), np.random.default_rng(3)
    labels = random.integers(0, 3, 20)
    given = Batch(made.preprocess(random.random((20, 2, 7, 7), np.float32)), np.eye(3, dtype=np.float32)[labels])
    grid = {"solver": SimulatedAnnealing(2), "half_range": ConstantSchedule(0.02), "bits": 4}
    problems = []
    for l1, l2 in ((0, 0), ([0, 0, 0, 0.01], 0.02)):
        optimizer = Kronecker(l1=l1, l2=l2, damping=0.1, **grid)
        optimizer.start(made, seed=0, timer=StageTimer())
        problems.append(optimizer.next_problem(3, given, STEP))
    optimizer._measure_curvature(given, STEP)  # as for the problem, which leaves nothing behind
    W, model = made.trainable[3].weights, optimizer._model
    R, Gamma = model.input_factor.mean(3), model.output_factor.mean(3)
    r, g = R.diagonal().mean(), Gamma.diagonal().mean()
    slope = 2 * 0.02 * W + 0.01 * np.clip(W / 0.02, -1, 1)
    fields = 0.3 * np.linalg.inv(Gamma + 0.1 * g * np.eye(3)) @ slope / r
    plain, penalised = problems
    np.testing.assert_allclose(penalised.h - plain.h, fields, rtol=1e-8, atol=1e-12)
    curved = 0.02 + 0.01 * np.where(np.abs(W) < 0.02, 1 / 0.04, 0).mean(axis=0)
    np.testing.assert_allclose(penalised.unit(0).J - plain.unit(0).J, np.diag(curved / (r * g)), atol=1e-12)


def test_one_value_a_layer_or_one_for_all():
    grid = {"solver": SimulatedAnnealing(2), "half_range": ConstantSchedule(0.02), "bits": 4}
    with pytest.raises(InputError, match=r"optimizer\.l2 has 2 values, the model 4 trainable layers"):
        difference(l2=[0.1, 0.2], **grid).check(network())
    with pytest.raises(InputError, match=r"optimizer\.l1=-1 is not a number of at least 0"):
        Kronecker(l1=-1, **grid)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer=gauss_newton", "grid=fixed", "optimizer.l1=0.1"], "set optimizer.l1=0"),
        (["optimizer=kronecker", "grid=fixed", "optimizer.l2=0.1"], "optimizer.l2=0"),
        (["optimizer=backprop", "+optimizer.l2=0.1"], "no setting 'optimizer.l2'"),
        (["optimizer=gauss_newton", "optimizer.l2=0.1"], "did you mean gauss_newton.ridge"),
    ],
)
def test_where_they_mean_nothing_they_are_refused(refused, words, said):
    assert said in refused("train", "hydra.run.dir=run", *words)
