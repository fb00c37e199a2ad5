"""Simulated quantum annealing: its statistics against exact quantum mechanics, its path on every kernel."""

import itertools

import numpy as np
import pytest
from scipy.linalg import expm

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.schedule import LinearSchedule
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.testing import random_problem


def three_spins():
    J = np.array([[0.0, 0.4, -0.3], [0.4, 0.0, 0.5], [-0.3, 0.5, 0.0]])
    h = np.array([[0.3, -0.2, 0.5]])
    return LayerProblem.from_moments(J, h, np.zeros(1), np.zeros((1, 3)), 1.0, 1).unit(0)


def thermal_probabilities(form, beta, gamma):
    """The diagonal of exp(-beta H) / Z, H = E(sigma^z) - gamma sum sigma^x, over the 8 states."""
    states = np.array(list(itertools.product([-1, 1], repeat=3)))
    hamiltonian = np.diag(form.energy(states).astype(float))
    for j in range(3):
        for a, state in enumerate(states):
            flipped = state.copy()
            flipped[j] *= -1
            hamiltonian[a, np.flatnonzero((states == flipped).all(axis=1))[0]] -= gamma
    weights = np.diag(expm(-beta * hamiltonian))
    return weights / weights.sum()


@pytest.mark.parametrize(("beta", "gamma"), [(1.0, 1.0), (3.0, 0.5), (1.5, 2.0)])
def test_many_slices_are_quantum_mechanics(beta, gamma):
    form = three_spins()
    solver = SimulatedQuantumAnnealing(60, num_slices=64, beta=beta, gamma_range=[gamma, gamma])
    runs = []
    for seed in range(500):
        levels = solver.slices(form, np.random.SeedSequence(seed)).levels
        runs.append(np.bincount((levels.T * [4, 2, 1]).sum(axis=1), minlength=8) / 64)
    mean, error = np.mean(runs, axis=0), np.std(runs, axis=0) / np.sqrt(len(runs))
    exact = thermal_probabilities(form, beta, gamma)
    assert np.all(np.abs(mean - exact) < 4 * error + 2e-3)  # the second term is the Trotter error's
    classical = thermal_probabilities(form, beta, 0.0)
    assert np.abs(mean - classical).max() > 10 * error.max()  # the field is felt


def test_schedules():
    form = three_spins()
    betas, ring = SimulatedQuantumAnnealing(3, beta=8.0, gamma_range=[4.0, 0.04]).schedules(form)
    np.testing.assert_allclose(betas, 0.5)
    np.testing.assert_allclose(ring, -0.5 * np.log(np.tanh(0.5 * np.array([4.0, 0.4, 0.04]))))
    betas, ring = SimulatedQuantumAnnealing(50).schedules(random_problem().unit(0))
    assert np.all(np.diff(betas) > 0)
    assert np.all(np.diff(ring) > 0)
    early = SimulatedQuantumAnnealing(LinearSchedule(10, 2)).resolve_schedules(0, 4)
    assert early.num_sweeps == 10
    assert SimulatedQuantumAnnealing(LinearSchedule(10, 2)).resolve_schedules(3, 4).num_sweeps == 4
    with pytest.raises(InputError, match=r"call resolve_schedules\(epoch, epochs\) first"):
        SimulatedQuantumAnnealing(LinearSchedule(10, 2)).solve(random_problem())


def test_every_kernel_gives_the_same_bits():
    problem = random_problem(M=3, N=33, bits=5, alpha=0.1)
    results = []
    try:
        for name in _anneal.kernels():
            _anneal.use_kernel(name)
            results.append(SimulatedQuantumAnnealing(20, num_slices=32, num_reads=2).solve(problem))
    finally:
        _anneal.use_kernel(_anneal.kernels()[0])
    for result in results[1:]:
        np.testing.assert_array_equal(result.levels, results[0].levels)
        assert result.stats["flips"] == results[0].stats["flips"]


def test_blocks_of_sweeps_are_one_path(monkeypatch):
    problem = random_problem(M=2, N=10, bits=3)
    whole = SimulatedQuantumAnnealing(40).solve(problem)
    monkeypatch.setattr("annealtrain.solvers.annealing.markov_chains.BLOCK_S", 1e-7)
    np.testing.assert_array_equal(whole.levels, SimulatedQuantumAnnealing(40).solve(problem).levels)


def test_it_finds_lower_energies_than_as_many_classical_sweeps():
    problem = random_problem(M=6, N=40, bits=2, half_range=1.0)
    quantum = SimulatedQuantumAnnealing(50).solve(problem).energies[:, 0].mean()
    classical = SimulatedAnnealing(50).solve(problem).energies[:, 0].mean()
    assert quantum < classical


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_slices": 24}, "solver.num_slices=24 is not a multiple of 16"),
        ({"num_slices": 0}, "solver.num_slices=0"),
        ({"num_sweeps": 0}, "solver.num_sweeps=0"),
        ({"beta": 1.0}, "belong together"),
        ({"gamma_range": [1.0, 0.1]}, "belong together"),
        ({"beta": 1.0, "gamma_range": [1.0]}, r"solver.gamma_range=\[1.0\] is not \[first, last\]"),
        (
            {"beta": 1.0, "gamma_range": [1.0, 0.0]},
            r"solver.gamma_range=\[1.0, 0.0\] is not \[first, last\], each a number above 0",
        ),
        ({"time_limit_s": -1.0}, "solver.time_limit_s=-1.0"),
    ],
)
def test_refused_settings(settings, message):
    with pytest.raises(InputError, match=message):
        SimulatedQuantumAnnealing(**settings)
