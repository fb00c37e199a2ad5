"""Units of `gauss_newton` that are solved side by side: how far each goes, and how often the solver is called."""

import numpy as np
import pytest
from scipy.optimize import minimize
from small_network import network

from annealtrain.errors import InputError
from annealtrain.hamiltonian.penalty import Penalty
from annealtrain.nn.jacobian import Jacobian
from annealtrain.nn.losses import LOSSES
from annealtrain.optimizers.gauss_newton import GaussNewton
from annealtrain.optimizers.optimizer import Batch, Step
from annealtrain.optimizers.unit_blocks import shortened
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.schedule import ConstantSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing


def batch():
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, 60)
    inputs = (random.random((60, 2, 7, 7)) + np.eye(3)[labels][:, :2, None, None]).astype(np.float32)
    return Batch(inputs, np.eye(3, dtype=np.float32)[labels])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("k", [0, 3])
def test_lengths_are_the_best_of_all_together(loss, k):
    net, given, ridge = network(), batch(), 1e-2
    weights = net.trainable[k].weights

    def model():
        return Jacobian(net, k, given.inputs, given.outputs, LOSSES[loss])

    jacobian = model()
    units = [0, 2]
    # As far as each would go alone, and more.
    changes = {
        u: -1.5 * np.linalg.solve(2 * jacobian.gram(u) + np.eye(len(weights[u])), jacobian.gradient(u)) for u in units
    }
    found = shortened(jacobian, changes, Penalty(0, ridge).around(k, weights, 1.0, 2))

    def value(t):
        moved, total = model(), 0.0
        for unit, length in zip(units, t, strict=True):
            moved.move(unit, length * changes[unit])
            total += ridge * ((weights[unit] + length * changes[unit]) ** 2).sum()
        return moved.loss() + total

    best = minimize(value, np.ones(2), bounds=[(0, 1)] * 2, options={"ftol": 1e-15, "gtol": 1e-10})
    lengths = [found[u] @ changes[u] / (changes[u] @ changes[u]) for u in units]
    assert value(lengths) <= best.fun + 1e-9
    for unit in units:
        np.testing.assert_allclose(found[unit], lengths[units.index(unit)] * changes[unit], atol=1e-12)


def test_a_change_of_no_effect_has_no_length():
    net, given = network(), batch()
    jacobian = Jacobian(net, 3, given.inputs, given.outputs)
    zeros = np.zeros(net.trainable[3].weight_shape[1])
    found = shortened(jacobian, {0: zeros, 1: zeros}, Penalty().around(3, net.trainable[3].weights, 1.0, 2))
    assert not np.any(list(found.values()))


class Counting(SimulatedAnnealing):
    def __init__(self):
        super().__init__(5)
        self.sizes = []

    def solve(self, problem, **given):
        self.sizes.append(problem.num_units)
        return super().solve(problem, **given)


def stepped(block, steps=3):
    """Return the optimizer after some steps, the sizes of its calls, and the rows of the last step."""
    solver = Counting()
    optimizer = GaussNewton(1e-3, block=block, solver=solver, half_range=ConstantSchedule(0.2), bits=6)
    optimizer.start(network(), seed=0, timer=StageTimer())
    for number in range(steps):
        rows = optimizer.step(batch(), Step(number, steps, number, steps), lambda layer, share: None)
    return optimizer, solver.sizes, rows


def test_a_block_is_one_call():
    units = [layer.weight_shape[0] for layer in network().trainable]
    _, sizes, _ = stepped(4, steps=1)
    assert sizes == [n for M in units[::-1] for n in [4] * (M // 4) + [M % 4] * (M % 4 > 0)]
    assert stepped(1, steps=1)[1] == [1] * sum(units)
    optimizer, sizes, _ = stepped(1000, steps=1)
    assert sizes == units[::-1]
    assert [optimizer.units_a_solve(M) for M in units] == units


def test_blocks_lower_the_loss_as_they_promise():
    for block in (2, 1000):
        _, _, rows = stepped(block)
        assert all(row["predicted_change"] <= 0 for row in rows)
        assert all(row["actual_change"] <= 0 for row in rows)


def test_a_block_of_no_unit_is_refused(refused):
    assert "optimizer.block=0 is not a whole number of at least 1" in refused("train", "optimizer.block=0")
    assert "set optimizer.block=1, not 16" in refused("train", "grid=fixed", "bits=2", "optimizer.block=16")
    with pytest.raises(InputError, match=r"optimizer.block=1.5"):
        stepped(1.5)
