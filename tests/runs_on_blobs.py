"""Runs of the trainer on three Gaussian classes, for its tests and those of optimizers."""

import numpy as np

from annealtrain.data.loader import Loader
from annealtrain.nn.layers import Flatten, Linear
from annealtrain.nn.network import Network
from annealtrain.optimizers.layerwise import difference
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.schedule import GeometricSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.solver import Solver
from annealtrain.training.trainer import Trainer


class Log:
    def __init__(self):
        self.rows, self.solves, self.told, self.checkpoints = [], [], [], []

    def epoch_done(self, row, solves, checkpoint):
        self.rows.append(row)
        self.checkpoints.append(checkpoint)
        self.solves.extend(solves)

    def solving(self, epoch, layer, done):
        self.told.append((epoch, layer, done))


def blobs(count, seed):
    """Three Gaussian classes in 8 dimensions."""
    centres = np.random.default_rng(99).normal(size=(3, 8)) * 2
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    return Loader((centres[labels] + generator.normal(size=(count, 8))).astype(np.float32), labels)


def trainer(make=difference, solver=None, schedule=None, alpha=0.1, epochs=6, seed=0, validation=True, **more):
    """A run on the blobs. make: of an optimizer, from solver=, half_range= and bits=; or the optimizer itself."""
    network = Network([Flatten(), Linear(6), Linear(3)], (1, 2, 4), 3, alpha=alpha, seed=seed)
    sets = {"train": blobs(90, 1), "val": blobs(30, 2), "test": blobs(60, 3)}
    if not validation:
        del sets["val"]
    if not isinstance(make, Optimizer):
        schedule = schedule or GeometricSchedule(0.5, 0.01)
        make = make(solver=solver or SimulatedAnnealing(60), half_range=schedule, bits=6)
    return Trainer(network, sets, make, epochs=epochs, seed=seed, **more)


def untimed(rows):
    return [{key: value for key, value in row.items() if not key.endswith(("_s", "_ns"))} for row in rows]


class Spy(Solver):
    """Keeps the problems it is given; moves every live weight to its upper end."""

    def __init__(self):
        self.problems, self.epochs = [], []

    def resolve_schedules(self, epoch, epochs):
        self.epochs.append((epoch, epochs))
        return self

    def solve(self, problem, *, seed=0, progress=None):
        self.problems.append((problem, seed))
        return super().solve(problem, seed=seed, progress=progress)

    def sample(self, form, seed):
        return np.full((1, form.S0.size), 2**form.bits - 1), {}
