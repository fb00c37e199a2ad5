"""The shared Hamiltonian of a layer: its curvature, its gradient, its energies, and what training does with it."""

from itertools import product

import numpy as np
import pytest
from dwave.samplers import SimulatedAnnealingSampler, SteepestDescentSolver
from scipy.linalg import fractional_matrix_power
from small_network import varied

from annealtrain.data.loader import Loader
from annealtrain.errors import InputError
from annealtrain.nn.forward import Tape
from annealtrain.nn.layers import Conv2d, Flatten, Linear, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.optimizers.kronecker import Kronecker, kronecker_factors
from annealtrain.optimizers.optimizer import Batch, Step
from annealtrain.runtime import thread_pool
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.schedule import ConstantSchedule, LinearSchedule
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.reference import ReferenceAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.coordinate_descent import CoordinateDescent
from annealtrain.solvers.dimod_samplers import DimodSolver
from annealtrain.solvers.exact import Exact
from annealtrain.testing import OptimizerContract
from annealtrain.training.trainer import Trainer


class TestKronecker(OptimizerContract):
    def make(self, **annealing):
        return Kronecker(**annealing)


GREEDY = SimulatedAnnealing(2, move="greedy", start="present")


def network(alpha=0.1, bias=False, seed=0):
    layers = [Conv2d(3, 3), SpectralPool2d([3, 3]), Conv2d(5, 3), Flatten(), Linear(4), Linear(3)]
    return Network(layers, (2, 7, 7), 3, alpha=alpha, bias=bias, seed=seed)


def batch(count=40, seed=0):
    generator = np.random.default_rng(seed)
    return Batch(generator.random((count, 2, 7, 7)), np.eye(3)[generator.integers(0, 3, count)])


def jacobians(made, shown):
    """Return d out_c / dW of each sample, (q, C, M, N) a layer."""
    forward, found = Tape(made, shown.inputs), [[] for _ in made.trainable]
    for c in range(3):
        back = forward.backward(np.repeat(np.eye(3)[[c]], len(shown.inputs), axis=0))
        for k, layer in enumerate(made.trainable):
            found[k].append(layer.sample_gradients(forward.inputs[k], back[k]))
    return [np.stack(each, axis=1) for each in found]


def of(make, count, **settings):
    """Return a network, and a batch as its first layer with weights sees it."""
    made, shown = make(**settings), batch(count)
    return made, Batch(made.preprocess(shown.inputs), shown.outputs)


@pytest.mark.parametrize("make", [network, varied])
@pytest.mark.parametrize("bias", [False, True])
def test_the_sampled_blocks_average_to_the_exact_ones(bias, make):
    made, shown = of(make, 6, bias=bias)
    exact = jacobians(made, shown)
    forward = Tape(made, shown.inputs)
    signs = np.array(list(product((-1.0, 1.0), repeat=3)))
    inner, outer, traces = [0.0] * 4, [0.0] * 4, [0.0] * 4
    for s in signs:  # the same signs for all samples: each sample's own average over the eight is what counts
        back = forward.backward(np.repeat(s[None], 6, axis=0))
        for k, layer in enumerate(made.trainable):
            R, Gamma = kronecker_factors(layer, forward.inputs[k], back[k])
            # A convolution's Gamma has trace 1: weighed by the trace of R, that of S S', it is S S' again.
            weight = np.trace(R) if k < 2 else 1.0
            assert k > 1 or np.trace(Gamma) == pytest.approx(1.0)
            inner[k] = inner[k] + R / 8
            outer[k] = outer[k] + weight * Gamma / 8
            traces[k] = traces[k] + weight / 8
    # Convolutions: the mean over samples of sum_c J_c' J_c and, of trace 1, sum_c J_c J_c', J_c (M, N).
    for k in (0, 1):
        np.testing.assert_allclose(inner[k], np.einsum("acmi,acmj->ij", exact[k], exact[k]) / 6, rtol=1e-10)
        Gamma = np.einsum("acmi,acni->mn", exact[k], exact[k]) / 6
        np.testing.assert_allclose(outer[k], Gamma, rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(traces[k], np.trace(Gamma), rtol=1e-10)
    for k in (2, 3):
        rows = made.trainable[k].unfold(forward.inputs[k])
        np.testing.assert_allclose(inner[k], rows.T @ rows / 6, rtol=1e-10)
        b = np.array([forward.backward(np.repeat(np.eye(3)[[c]], 6, axis=0))[k].reshape(6, -1) for c in range(3)])
        np.testing.assert_allclose(outer[k], np.einsum("cam,can->mn", b, b) / 6, rtol=1e-10, atol=1e-15)


def kronecker(solver=GREEDY, half_range=None, bits=8, **settings):
    return Kronecker(solver=solver, half_range=half_range or ConstantSchedule(0.05), bits=bits, **settings)


def started(made, solver=GREEDY, **settings):
    optimizer = kronecker(solver, **settings)
    optimizer.start(made, seed=0, timer=StageTimer())
    return optimizer


def test_random_signs_measure_the_curvature_up_to_their_scatter():
    made, shown = network(bias=True), batch(20)
    exact, forward = jacobians(made, shown), Tape(made, shown.inputs)
    newest, held = started(made, memory=0.0), started(made, memory=0.98)
    inner, outer = [[], [], [], []], [[], [], [], []]
    for number in range(400):
        for optimizer in (newest, held):
            optimizer._measure_curvature(shown, Step(0, 1, number, 400))
        for k in range(4):
            inner[k].append(newest._model.input_factor.sums[k].copy())
            outer[k].append(newest._model.output_factor.sums[k].copy())
    decay = 0.02 * 0.98 ** np.arange(400)[::-1, None, None]
    for k in range(4):
        R, Gamma = np.array(inner[k]), np.array(outer[k])
        np.testing.assert_allclose(held._model.input_factor.sums[k], (decay * R).sum(axis=0), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(
            held._model.output_factor.sums[k], (decay * Gamma).sum(axis=0), rtol=1e-9, atol=1e-12
        )
        if k < 2:
            assert_scattered_around(R, np.einsum("acmi,acmj->ij", exact[k], exact[k]) / 20)
            whole = np.trace(R, axis1=1, axis2=2)[:, None, None] * Gamma  # not of trace 1: the mean is then exact
            assert_scattered_around(whole, np.einsum("acmi,acni->mn", exact[k], exact[k]) / 20)
        else:
            rows = made.trainable[k].unfold(forward.inputs[k])
            np.testing.assert_allclose(R, np.broadcast_to(rows.T @ rows / 20, R.shape), rtol=1e-10)
            b = np.array([forward.backward(np.repeat(np.eye(3)[[c]], 20, axis=0))[k] for c in range(3)])
            assert_scattered_around(Gamma, np.einsum("cam,can->mn", b, b) / 20)


def assert_scattered_around(drawn, exact):
    """Assert that the mean of independent matrices is `exact` within four and a half standard errors."""
    error = drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    away = np.abs(drawn.mean(axis=0) - exact)
    assert (error < 0.2 * np.abs(exact).max()).all()
    assert (away <= 4.5 * error + 1e-10 * np.abs(exact).max()).all()


@pytest.mark.parametrize("make", [network, varied])
def test_the_gradient_is_that_of_the_loss(make):
    made, shown = of(make, 100)
    loss, gradients = started(made)._loss_and_gradients(shown)
    assert loss == pytest.approx(((made.predict(shown.inputs) - shown.outputs) ** 2).sum() / 100)
    generator = np.random.default_rng(0)
    for layer, gradient in zip(made.trainable, gradients, strict=True):
        weights, way = layer.weights, generator.normal(size=layer.weights.shape)
        sides = []
        for sign in (1, -1):
            layer.weights = weights + sign * 1e-6 * way
            sides.append(((made.predict(shown.inputs) - shown.outputs) ** 2).sum() / 100)
        layer.weights = weights
        assert (gradient * way).sum() == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5)


class Spy(SimulatedAnnealing):
    """Keeps the problems that it solves, and their results."""

    def __init__(self):
        super().__init__(2, move="greedy", start="present")
        self.kept = []

    def solve(self, problem, *, seed=0, progress=None):
        result = super().solve(problem, seed=seed, progress=progress)
        self.kept.append((problem, result))
        return result


@pytest.mark.parametrize(("power", "weight_decay"), [(1, 0.0), (1, 0.2), (0.5, 0.0), (0.5, 0.2), (0.3, 0.2)])
def test_energies_are_those_of_the_model(power, weight_decay):
    made, shown, spy = network(), batch(50), Spy()
    optimizer = started(made, spy, eta=0.5, damping=0.1, power=power, weight_decay=weight_decay)
    before = [layer.weights for layer in made.trainable]
    loss_gradients = optimizer._loss_and_gradients(shown)[1]
    optimizer.step(shown, Step(0, 1, 0, 4), lambda layer, share: None)
    kept = {problem.S0.shape: (problem, result) for problem, result in spy.kept}  # in any order
    for k, layer in enumerate(made.trainable):
        problem, result = kept[layer.weights.shape]
        R, Gamma = optimizer._model.input_factor.mean(k), optimizer._model.output_factor.mean(k)  # one probe's own
        r, g = np.diag(R).mean(), np.diag(Gamma).mean()
        J = fractional_matrix_power(R / r + 0.1 * np.eye(len(R)), power)
        back = fractional_matrix_power(Gamma + 0.1 * g * np.eye(len(Gamma)), -power)
        H = 0.5 * back @ loss_gradients[k] / r**power
        H += 0.5 * weight_decay * 2 * before[k] @ J
        d = made.trainable[k].weights - before[k]
        for m in range(len(d)):
            by_hand = sum(d[m, i] * J[i, j] * d[m, j] for i in range(d.shape[1]) for j in range(d.shape[1])) + sum(
                H[m, i] * d[m, i] for i in range(d.shape[1])
            )
            assert result.energies[m, 0] == pytest.approx(by_hand, rel=1e-4, abs=1e-7)
            assert problem.unit(m).energy(d[m]) == pytest.approx(by_hand, rel=1e-9, abs=1e-12)
            # Not above the smallest step against the gradient: the solver does look for low energies.
            assert result.energies[m, 0] < 0


class Log:
    def __init__(self):
        self.rows, self.solves, self.checkpoints = [], [], []

    def epoch_done(self, row, solves, checkpoint):
        self.rows.append(row)
        self.solves.extend(solves)
        self.checkpoints.append(checkpoint)

    def solving(self, epoch, layer, done):
        pass


def trainer(solver=GREEDY, epochs=3, bits=8, made=None, **more):
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 120)
    inputs = (0.5 * generator.random((120, 2, 7, 7)) + np.eye(3)[labels][:, :2, None, None]).astype(np.float32)
    sets = {"train": Loader(inputs, labels), "test": Loader(inputs[:40], labels[:40])}
    optimizer = kronecker(solver, LinearSchedule(0.02, 0.0005), bits)
    settings = {"epochs": epochs, "seed": 0, "batch_size": 20, **more}
    return Trainer(made or network(), sets, optimizer, **settings)


@pytest.mark.parametrize(
    ("solver", "bits"),
    [
        (GREEDY, 8),
        (SimulatedAnnealing(4), 1),
        (SimulatedAnnealing(10, start="present"), 4),
        (SimulatedAnnealing(4, move="slice"), 8),
        (ReferenceAnnealing(2), 2),
        (SimulatedQuantumAnnealing(4, num_slices=16), 2),
        (CoordinateDescent(), 8),
        (DimodSolver(SimulatedAnnealingSampler()), 2),
        (DimodSolver(SteepestDescentSolver()), 2),
    ],
)
def test_any_solver_lowers_the_loss(solver, bits):
    log = Log()
    trainer(solver=solver, bits=bits, epochs=2).run(log)
    assert log.rows[-1]["train_loss"] < 0.8 * log.rows[0]["train_loss"]
    assert {solve["layer"] for solve in log.solves} == {0, 1, 2, 3}
    assert log.solves[0]["lower_bound"] is None


def test_exact_solutions_of_small_layers_lower_the_loss():
    log, made = Log(), Network([SpectralPool2d([2, 2]), Flatten(), Linear(3)], (2, 7, 7), 3, alpha=0.1)
    run = trainer(solver=Exact(), bits=2, made=made)
    for name, samples in run.sets.items():
        run.sets[name] = Loader(made.preprocess(samples[:]), samples.labels)
    run.run(log)
    assert log.rows[-1]["train_loss"] < 0.8 * log.rows[0]["train_loss"]


def test_the_range_falls_from_step_to_step():
    spy, log = Spy(), Log()
    run = trainer(solver=spy, epochs=2)
    run.run(log)
    ranges = [problem.half_range for problem, _ in spy.kept]
    assert len(ranges) == 4 * 12  # four layers, six steps an epoch
    assert ranges[::4] == pytest.approx([0.02 + (0.0005 - 0.02) * n / 12 for n in range(12)])
    assert all(ranges[4 * n : 4 * n + 4] == [ranges[4 * n]] * 4 for n in range(12))
    assert [solve["L"] for solve in log.solves[:4]] == pytest.approx([np.mean(ranges[:24])] * 4)


DIAGNOSIS = ("predicted_change", "actual_change", "raised_share", "condition", "saturated_share")


def test_every_epoch_is_looked_at():
    log = Log()
    trainer(epochs=4).run(log)
    assert len(log.solves) == 16
    assert all(solve[name] is not None for solve in log.solves for name in DIAGNOSIS)


def test_looking_closely_changes_nothing(monkeypatch):
    logs = {}
    for every in (1, 2, 64):
        monkeypatch.setattr("annealtrain.optimizers.kronecker.DIAGNOSED", every)
        logs[every] = Log()
        trainer(epochs=3, averaging=0.9).run(logs[every])
    for other in (1, 2):
        assert [row["train_loss"] for row in logs[other].rows] == [row["train_loss"] for row in logs[64].rows]
        last, same = logs[other].checkpoints[-1], logs[64].checkpoints[-1]
        for one, two in zip([*last.weights, *last.state.values()], [*same.weights, *same.state.values()], strict=True):
            np.testing.assert_array_equal(one, two)
    assert logs[1].solves[0]["actual_change"] != logs[64].solves[0]["actual_change"]  # the mean of six steps, of one


def test_it_goes_on_to_the_same_bits():
    whole, rest, again = Log(), Log(), trainer(averaging=0.9)
    trainer(averaging=0.9).run(whole)
    held = whole.checkpoints[1]
    for layer, weights in zip(again.network.trainable, held.weights, strict=True):
        layer.weights = weights
    again.restore(held.state)
    again.run(rest, done=1)
    for a, b in zip(whole.checkpoints[-1].weights, rest.checkpoints[-1].weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_number_of_threads_changes_nothing():
    logs = []
    for threads in (1, 3):
        logs.append(Log())
        with thread_pool.threads(threads):
            trainer(epochs=1, batch_size=100).run(logs[-1])
    for a, b in zip(logs[0].checkpoints[-1].weights, logs[1].checkpoints[-1].weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_layer_that_nothing_reaches_stays():
    made = network(alpha=0.0)
    made.trainable[3].weights = -np.ones_like(made.trainable[3].weights)  # every output below zero: no gradient
    log = Log()
    trainer(made=made, epochs=1).run(log)
    assert np.isfinite(log.rows[-1]["train_loss"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"eta": -1}, "optimizer.eta=-1 is not a number above 0 and at most 10"),
        ({"eta": 0}, "optimizer.eta=0 is not a number above 0"),
        ({"power": 1.5}, "optimizer.power=1.5 is not a number from 0 to 1"),
        ({"power": 0.5, "l1": 0.1}, "optimizer.l1 and optimizer.l2 are told in curvature: set kronecker.power=1"),
        ({"damping": 0}, "optimizer.damping=0 is not a number above 0"),
        ({"momentum": 1}, "optimizer.momentum=1 is not a number of at least 0 and below 1"),
        ({"memory": -0.1}, "optimizer.memory=-0.1 is not a number of at least 0 and below 1"),
        ({"weight_decay": -0.1}, "optimizer.weight_decay=-0.1 is not a number from 0 to 1"),
        ({"every": 0}, "optimizer.every=0 is not a whole number of at least 1"),
    ],
)
def test_wrong_settings_are_named(wrong, told):
    with pytest.raises(InputError, match=told):
        kronecker(**wrong)


def test_a_problem_is_that_of_the_present_weights_whatever_was_asked_before():
    step = Step(0, 1, 0, 4)
    asked, new = (started(network()) for _ in range(2))
    asked.next_problem(0, batch(), step)
    for optimizer in (asked, new):
        optimizer.network.trainable[0].weights = 3 * optimizer.network.trainable[0].weights
    found, wanted = (optimizer.next_problem(1, batch(), step) for optimizer in (asked, new))
    np.testing.assert_array_equal(found.unit(0).J, wanted.unit(0).J)
    np.testing.assert_array_equal(found.h, wanted.h)
