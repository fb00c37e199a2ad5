"""What every optimizer must do."""

from collections.abc import Callable
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.nn.layers import Flatten, Linear
from annealtrain.nn.network import Network
from annealtrain.optimizers.optimizer import Batch, Optimizer, Step
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Seed
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.schedule import ConstantSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.solver import SolveResult

STEPS = 6


class RecordingAnnealing(SimulatedAnnealing):
    """Simulated annealing of few sweeps that keeps the problems it is given."""

    def __init__(self) -> None:
        super().__init__(num_sweeps=20)
        self.problems: list[LayerProblem] = []

    def solve(
        self, problem: LayerProblem, *, seed: Seed = 0, progress: Callable[[float], None] | None = None
    ) -> SolveResult:
        self.problems.append(problem)
        return super().solve(problem, seed=seed, progress=progress)


class OptimizerContract:
    """What every optimizer must do, on three Gaussian classes and a network of two layers.

    make: returns a new optimizer with the solver=, half_range= and bits= that it is given; one that anneals nothing
    passes them over. anneals: it solves Hamiltonians. half_range: how far a weight may go in one step.
    lowers_to: the share of the loss that may be left after six steps.
    """

    anneals = True
    half_range = 0.1
    lowers_to = 0.8

    def make(self, **annealing: Any) -> Optimizer:
        raise NotImplementedError

    def network(self) -> Network:
        """Return a network of two layers, 8 inputs and 3 outputs."""
        return Network([Flatten(), Linear(6), Linear(3)], (1, 2, 4), 3, alpha=0.1)

    def started(self) -> Optimizer:
        """Return a new optimizer that trains a new network by annealing."""
        optimizer, network = self.made(ConstantSchedule(self.half_range)), self.network()
        optimizer.check(network)
        optimizer.start(network, seed=0, timer=StageTimer())
        return optimizer

    def made(self, half_range: ConstantSchedule) -> Optimizer:
        """Return a new optimizer with a recording solver and 6 bits."""
        return self.make(solver=RecordingAnnealing(), half_range=half_range, bits=6)

    def batch(self, optimizer: Optimizer) -> Batch:
        """Return 90 samples of three classes."""
        generator = np.random.default_rng(1)
        labels = generator.integers(0, 3, 90)
        centres = 2 * np.random.default_rng(99).normal(size=(3, 8))
        inputs = (centres[labels] + generator.normal(size=(90, 8))).astype(np.float32)
        return Batch(inputs, (optimizer.amplitude * np.eye(3)[labels]).astype(np.float32))

    def run(self, optimizer: Optimizer, first: int = 0, last: int = STEPS, told: Any = None) -> list[list[Row]]:
        """Take some of the six steps of a run; return the rows of each."""
        batch = self.batch(optimizer)
        steps = [Step(number, STEPS, number, STEPS) for number in range(first, last)]
        return [optimizer.step(batch, step, told or (lambda layer, share: None)) for step in steps]

    def loss(self, optimizer: Optimizer) -> float:
        """Return the network's squared error a sample, Eq. (2)."""
        batch = self.batch(optimizer)
        return float(((optimizer.network.predict(batch.inputs) - batch.outputs) ** 2).sum() / len(batch.outputs))

    def weights(self, optimizer: Optimizer) -> list[Array]:
        """Return copies of the present weights of all layers."""
        return [layer.weights.copy() for layer in optimizer.network.trainable]

    def test_six_steps_lower_the_loss(self) -> None:
        optimizer = self.started()
        before = self.loss(optimizer)
        self.run(optimizer)
        assert self.loss(optimizer) < self.lowers_to * before

    def test_a_step_moves_every_layer_and_no_weight_beyond_its_range(self) -> None:
        optimizer = self.started()
        for number in range(STEPS):
            before = self.weights(optimizer)
            (rows,) = self.run(optimizer, number, number + 1)
            assert sorted(row["layer"] for row in rows) == [0, 1]
            assert all(row["epoch"] == number + 1 for row in rows)
            assert not self.anneals or all(row.keys() >= {"L", "energy", "start_energy"} for row in rows)
            for row in rows:
                change = np.abs(optimizer.network.trainable[row["layer"]].weights - before[row["layer"]])
                if number == 0:  # far from a minimum, where standing still would be the best that the grid has
                    assert change.any()
                    assert not self.anneals or row["energy"] < row["start_energy"]
                if self.anneals:
                    assert change.max() <= row["L"] * (1 + 1e-9)

    def test_the_next_problem_is_what_is_solved_next(self) -> None:
        asked, step = self.started(), Step(0, STEPS, 0, STEPS)
        before = self.weights(asked)
        if not self.anneals:
            with np.testing.assert_raises(InputError):
                asked.next_problem(0, self.batch(asked), step)
            return
        problems = [asked.next_problem(k, self.batch(asked), step) for k in (0, 1)]
        for unchanged, weights in zip(before, self.weights(asked), strict=True):
            np.testing.assert_array_equal(weights, unchanged)
        promised = [problem.unit(i) for problem in problems for i in range(problem.num_units)]
        optimizer = self.started()
        self.run(optimizer, 0, 1)
        solver = optimizer.solver
        assert isinstance(solver, RecordingAnnealing)
        first = solver.problems[0]
        for i in range(first.num_units):
            assert any(_are_alike(first.unit(i), form) for form in promised)
        self.run(asked, 0, 1)  # as if it had not been asked
        for one, other in zip(self.weights(asked), self.weights(optimizer), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_step_leaves_its_samples_alone(self) -> None:
        optimizer = self.started()
        batch, given = self.batch(optimizer), self.batch(optimizer)
        optimizer.step(batch, Step(0, STEPS, 0, STEPS), lambda layer, share: None)
        np.testing.assert_array_equal(batch.inputs, given.inputs)
        np.testing.assert_array_equal(batch.outputs, given.outputs)

    def test_progress_is_a_share_of_a_layer(self) -> None:
        told: list[tuple[int, float]] = []
        self.run(self.started(), 0, 1, lambda layer, share: told.append((layer, share)))
        assert told
        assert all(layer in (0, 1) and 0 <= share <= 1 for layer, share in told)

    def test_it_goes_on_from_its_state_to_the_same_bits(self) -> None:
        whole, again = self.started(), self.started()
        self.run(whole, 0, 3)
        weights, state = self.weights(whole), whole.state()
        held = {name: array.copy() for name, array in state.items()}
        self.run(whole, 3)
        for name, array in held.items():
            np.testing.assert_array_equal(state[name], array)  # later steps leave it as it was
        for layer, array in zip(again.network.trainable, weights, strict=True):
            layer.weights = array
        again.restore(held)
        self.run(again, 3)
        for one, other in zip(self.weights(whole), self.weights(again), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_the_number_of_threads_changes_nothing(self) -> None:
        found = []
        for threads in (1, 3):
            with thread_pool.threads(threads):
                optimizer = self.started()
                self.run(optimizer)
            found.append(self.weights(optimizer))
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_range_for_another_number_of_layers_is_refused(self) -> None:
        if self.anneals:
            with np.testing.assert_raises(InputError):
                self.made(ConstantSchedule([0.1, 0.2, 0.3])).check(self.network())


def _are_alike(one: QuadraticForm, other: QuadraticForm) -> bool:
    """Tell whether two units have the same Hamiltonian, but for a constant."""
    pairs = ((one.J, other.J), (one.h, other.h), (one.S0, other.S0), (one.half_range, other.half_range))
    return one.bits == other.bits and all(
        np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in pairs
    )
