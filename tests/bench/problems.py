"""The problems that are timed: real layers of this project's networks, and Sherrington-Kirkpatrick spin glasses."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.data import datasets
from annealtrain.data.images import Images, split
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings, QuadraticForm
from annealtrain.nn.forward import ActivationCache
from annealtrain.nn.layers import Conv2d, Flatten, Linear, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.optimizers.targets import PseudoInverseTargets, Targets
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.annealing.temperatures import automatic_beta_range
from annealtrain.solvers.bounds import descend

Array = np.ndarray[Any, np.dtype[Any]]

IMAGES = 1000
AMPLITUDE = 10.0  # of the output targets, as in the paper's experiments
FIRST_RANGE, LAST_OF_FIRST, EPOCHS = 0.1, 0.01, 20  # of L, as schedule=geometric has it
BOX_SWEEPS = 20_000


@dataclass(frozen=True)
class Problem:
    """One J for M units: E_i(S) = S'JS + h_i'S + E0_i on n-bit weights in [S0_i - L, S0_i + L].

    J: (N, N). h, S0: (M, N). E0: (M,). beta_range: what every sampler is given, in 1 / energy. box: (M,), a certified
    lower bound of the energy in the box, NaN where there is none.
    """

    name: str
    J: Array
    h: Array
    E0: Array
    S0: Array
    half_range: float
    bits: int
    beta_range: tuple[float, float]
    box: Array

    @property
    def spins(self) -> int:
        """Spins of one unit, dead weights included."""
        return self.J.shape[0] * self.bits

    @cached_property
    def form(self) -> QuadraticForm:
        """Unit 0, the one that samplers of one model solve."""
        return QuadraticForm(Couplings(self.J), self.h[0], float(self.E0[0]), self.S0[0], self.half_range, self.bits)

    def layer(self, units: int) -> LayerProblem:
        """Return the first `units` units, as this project's solvers take them."""
        parts = (self.h[:units], self.E0[:units], self.S0[:units])
        return LayerProblem.from_moments(self.J, *parts, self.half_range, self.bits, convex=False)

    def gap(self, energy: float) -> float:
        """Return (E - E_box) / (E(S0) - E_box) of unit 0; NaN without a bound."""
        start = float(self.form.energy(self.form.S0))
        return (energy - self.box[0]) / (start - self.box[0])


def mnist_folder() -> Path | None:
    """Return where MNIST lies: in $ANNEALTRAIN_DATA, else in ../shared/data."""
    for folder in (os.environ.get("ANNEALTRAIN_DATA"), "../shared/data"):
        if folder and (Path(folder) / "MNIST").is_dir():
            return Path(folder)
    return None


def images() -> tuple[Images, str]:
    """Return the training images and a line that says which: MNIST, or the embedded digits where it is not found."""
    folder = mnist_folder()
    if folder:
        dataset, told = datasets.mnist(data_dir=folder), f"{IMAGES} images of MNIST"
    else:
        dataset, told = datasets.digits(), f"{IMAGES} images of the embedded digits: no MNIST in $ANNEALTRAIN_DATA"
    return split(dataset, samples=IMAGES, validation=0, seed=0, size=(32, 32)).train, told


def linear(name: str, shown: Images, bits: int, epochs: int = 0) -> Problem:
    """Return the network `linear`, ten outputs that share one J, after `epochs` of training.

    In the first epoch nine tenths of the best weights lie on the range's border; later the range is small, the
    optimum inside.
    """
    network = Network([Flatten(), Linear(10)], shown.images.shape[1:], 10, alpha=1.0)
    return _first_units(name, _layers(network, shown, bits, epochs)[0])


def lenet(shown: Images) -> list[Problem]:
    """Return unit 0 of each of LeNet's five activated layers, in the first epoch."""
    return [_first_units(name, problem) for name, problem in lenet_layers(shown)]


def lenet_layers(shown: Images, bits: int = 8, alpha: float = 0.001) -> list[tuple[str, LayerProblem]]:
    """Return the names and problems, all units, of LeNet's five activated layers in the first epoch."""
    layers = [
        *(Conv2d(6, 5), SpectralPool2d([14, 14]), Conv2d(16, 5), SpectralPool2d([5, 5]), Conv2d(120, 5)),
        *(Flatten(), Linear(84), Linear(10)),
    ]
    network = Network(layers, shown.images.shape[1:], 10, alpha=alpha)
    return [(f"lenet layer {k + 1}", problem) for k, problem in enumerate(_layers(network, shown, bits, epochs=0))]


def sherrington_kirkpatrick(spins: int, seed: int = 0) -> Problem:
    """Return E = sum_i<j J_ij s_i s_j with J_ij Gaussian of variance 1 / spins: the glass freezes at beta = 1."""
    half = np.triu(np.random.default_rng(seed).normal(scale=spins**-0.5, size=(spins, spins)), 1) / 2
    nothing = np.zeros((1, spins))
    return Problem(f"SK {spins}", half + half.T, nothing, np.zeros(1), nothing, 1.0, 1, (0.1, 10.0), np.full(1, np.nan))


def _layers(network: Network, shown: Images, bits: int, epochs: int) -> list[LayerProblem]:
    """Return the problem of each trainable layer after `epochs` of training."""
    targets: Targets = PseudoInverseTargets(amplitude=AMPLITUDE)
    wanted = np.zeros((len(shown.labels), 10), np.float32)
    wanted[np.arange(len(shown.labels)), shown.labels] = AMPLITUDE
    inputs, solver = network.preprocess(shown.images), SimulatedAnnealing(100, move="slice")
    found: list[LayerProblem] = []
    for epoch in range(epochs + 1):
        state = ActivationCache(network, inputs)
        targets.start_epoch(state, wanted)
        for k, layer in enumerate(network.trainable):
            seen, factors = targets.of_layer(k, state)
            problem = LayerProblem.from_rows(
                state.unfolded(k),
                layer.flatten_outputs(seen),
                layer.weights,
                FIRST_RANGE * LAST_OF_FIRST ** (epoch / EPOCHS),
                bits,
                factors=None if factors is None else layer.flatten_outputs(factors),
                samples=len(seen),
            )
            if epoch == epochs:
                found.append(problem)
            # Training goes on below the next layer, as it would in a run; the last layer's update is seen by none.
            if epoch < epochs or k < len(network.trainable) - 1:
                layer.weights = solver.solve(problem, seed=k).best_weights
                state.weights_changed(k)
    return found


def _first_units(name: str, problem: LayerProblem) -> Problem:
    """Return unit 0 as a problem, or all units where they share J."""
    units = problem.num_units if problem.is_shared else 1
    forms = [problem.unit(i) for i in range(units)]
    form = forms[0]
    return Problem(
        name,
        form.J,
        np.array([f.h for f in forms]),
        np.array([f.E0 for f in forms]),
        np.array([f.S0 for f in forms]),
        form.half_range,
        form.bits,
        automatic_beta_range(form),
        np.array([_box_bound(form), *([np.nan] * (units - 1))]),
    )


def _box_bound(form: QuadraticForm) -> float:
    """Return the certified bound after box descent has converged."""
    return form.dual_bound(descend(form, form.S0, 0.0, BOX_SWEEPS, 0.0))
