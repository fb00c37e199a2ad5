"""Training layer by layer: each optimizer under the contract, the order of step 3, and what a step tells of itself."""

from functools import partial

import numpy as np
import pytest
from runs_on_blobs import Log, Spy, trainer

from annealtrain.data.loader import Loader
from annealtrain.errors import InputError
from annealtrain.optimizers.layerwise import difference, pinv, pinv_weighted
from annealtrain.schedule import ConstantSchedule
from annealtrain.testing import OptimizerContract


class TestPinv(OptimizerContract):
    def make(self, **annealing):
        return pinv(**annealing)


class TestPinvWeighted(OptimizerContract):
    def make(self, **annealing):
        return pinv_weighted(**annealing)


class TestDifference(OptimizerContract):
    def make(self, **annealing):
        return difference(eta=0.5, ridge=0.01, **annealing)


def test_each_layer_sees_the_weights_just_updated_below_it():
    spy = Spy()
    run = trainer(pinv, spy, ConstantSchedule([0.25, 0.125]), epochs=1)
    W0, W1 = (layer.weights.copy() for layer in run.network.trainable)
    run.run(Log())
    first, second = (problem for problem, _ in spy.problems)
    x = run.sets["train"][:]
    np.testing.assert_array_equal(first.least_squares.inputs, x)
    np.testing.assert_array_equal(first.S0, W0)
    z = x @ (W0 + 0.25).T
    np.testing.assert_allclose(second.least_squares.inputs, np.maximum(z, 0.1 * z), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.network.trainable[0].weights, W0 + 0.25)
    np.testing.assert_allclose(run.network.trainable[1].weights, W1 + 0.125)
    # The activation's derivatives are those of the weights before the solve.
    np.testing.assert_array_equal(
        first.least_squares.factors, np.where(x @ W0.T.astype(np.float32) >= 0, 1, np.float32(0.1))
    )
    assert (first.half_range, second.half_range) == (0.25, 0.125)
    assert spy.epochs == [(0, 1), (0, 1)]


def test_the_diagnosis_of_an_epoch_is_what_its_layers_did():
    schedule = ConstantSchedule([20.0, 2.0])  # so wide a range that the first layer raises the loss
    run, log = trainer(pinv, schedule=schedule, epochs=1, seed=2), Log()
    old = [layer.weights for layer in run.network.trainable]
    x, outputs = run.sets["train"][:].astype(float), 10 * np.eye(3)[run.sets["train"].labels]
    run.run(log)
    new = log.checkpoints[-1].weights

    def derivative(z):
        return np.where(z >= 0, 1, 0.1)

    def loss(first, last):
        z = x @ first.T
        z = (derivative(z) * z) @ last.T
        return ((derivative(z) * z - outputs) ** 2).sum() / 90

    losses = [loss(*old), loss(new[0], old[1]), loss(*new)]
    hidden = x @ new[0].T
    given = [x, derivative(hidden) * hidden]
    wanted = [outputs @ np.linalg.pinv(old[1]).T, outputs]
    for k, solve in enumerate(log.solves):
        gamma = derivative(given[k] @ old[k].T)
        before, after = (gamma * (given[k] @ weights[k].T) for weights in (old, new))
        predicted = (((after - wanted[k]) ** 2).sum() - ((before - wanted[k]) ** 2).sum()) / 90
        cosine = (before * wanted[k]).sum() / np.linalg.norm(before) / np.linalg.norm(wanted[k])
        assert solve["predicted_change"] == pytest.approx(predicted, rel=1e-4)
        assert solve["actual_change"] == pytest.approx(losses[k + 1] - losses[k], rel=1e-4)
        assert solve["target_cosine"] == pytest.approx(cosine, rel=1e-4)
        assert solve["condition"] == pytest.approx(np.linalg.cond(given[k].T @ given[k]), rel=1e-2)
    assert [solve["raised_share"] for solve in log.solves] == [1.0, 0.0]
    assert losses[1] > losses[0] > losses[2]


def test_a_ridge_reaches_the_problem():
    spy = Spy()
    trainer(partial(difference, ridge=0.5), spy, epochs=1).run(Log())
    problem = spy.problems[0][0]
    plain = problem.least_squares.unit_gram(0)
    np.testing.assert_allclose(problem.unit(0).J, plain + 0.5 * np.trace(plain) / 8 * np.eye(8), rtol=1e-12)


def test_numbers_out_of_range_end_in_one_line():
    run = trainer(pinv, schedule=ConstantSchedule(1e18))
    run.sets["train"] = Loader(1e3 * run.sets["train"][:], run.sets["train"].labels)  # single precision ends at 3e38
    with np.errstate(all="ignore"), pytest.raises(InputError, match=r"in epoch 1: lower half_range.first"):
        run.run(Log())
    run = trainer(pinv)
    run.network.trainable[1].weights = 1e-39 * run.network.trainable[1].weights  # their pseudoinverse overflows
    with np.errstate(all="ignore"), pytest.raises(InputError, match=r"epoch 1, layer 0 \(h has values .* not finite\)"):
        run.run(Log())


@pytest.mark.parametrize("make", [difference, partial(pinv, amplitude=4.0)])
def test_the_next_problem_is_the_one_that_is_solved_next(make):
    """In the first layer; the layers above it see that one's new weights."""
    log, run = Log(), trainer(make)
    problem = run.next_problem(0, epoch=0)
    assert (problem.num_units, problem.num_weights, problem.bits, problem.half_range) == (6, 8, 6, 0.5)
    np.testing.assert_array_equal(problem.S0, run.network.trainable[0].weights)
    start = float(sum(problem.unit(i).energy(problem.S0[i]) for i in range(6)))
    last = run.next_problem(1, epoch=6)
    assert (last.num_units, last.num_weights, last.half_range) == (3, 6, pytest.approx(0.01))
    run.run(log)
    assert log.solves[0]["start_energy"] == pytest.approx(start, rel=1e-12)
