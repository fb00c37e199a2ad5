"""The circuits of Eqs. (41)-(47): their angles, and their states, against dense linear algebra."""

import numpy as np
import pytest
from scipy.linalg import expm

from annealtrain.solvers.gate_model.circuit import (
    amplitudes,
    best_pair_angles,
    block_polarisations,
    coefficients,
    measure,
    mimicking_circuit,
    pair_gate,
    single_angles,
)

I2, X, Y, Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])
PLUS = np.ones(2) / np.sqrt(2)


def on(operators: dict[int, np.ndarray], n: int) -> np.ndarray:
    """Return the (2^n, 2^n) product of one-spin operators, spin 0 first."""
    product = np.ones((1, 1))
    for spin in range(n):
        product = np.kron(product, operators.get(spin, I2))
    return product


def model(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    J = generator.normal(size=(n, n))
    return generator.normal(size=n), J + J.T


def energies(h: np.ndarray, J: np.ndarray) -> np.ndarray:
    """Return the energy of each of the 2^n states, in the order of amplitudes."""
    n = len(h)
    spins = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1)
    return np.einsum("si,ij,sj->s", spins, J - np.diag(J.diagonal()), spins) + spins @ h


@pytest.mark.parametrize("n", [1, 2, 5])
def test_amplitudes_are_those_of_dense_gates(n):
    circuit = mimicking_circuit(*model(n), tau=1.0)
    state = np.ones(2**n) / 2 ** (n / 2)
    for spin, angle in enumerate(circuit.angles):
        state = expm(-0.5j * angle * on({spin: Y}, n)) @ state
    for (mu, nu), (theta1, theta0) in zip(circuit.pairs, circuit.pair_angles, strict=True):
        generator = theta1 * on({mu: Z, nu: Y}, n) + theta0 * on({mu: Y, nu: Z}, n)
        state = expm(-0.5j * generator) @ state
    np.testing.assert_allclose(amplitudes(circuit), state, atol=1e-13)


def test_twenty_spins_in_blocks_are_the_product_of_their_blocks():
    """Five blocks of four spins that do not meet, their spins mixed: the states of test_amplitudes, side by side."""
    spins = np.random.default_rng(2).permutation(20).reshape(5, 4)
    spins.sort(axis=1)
    h, J, wanted = np.zeros(20), np.zeros((20, 20)), np.ones(1)
    for seed, block in enumerate(spins):
        fields, couplings = model(4, seed)
        np.fill_diagonal(couplings, 0)
        couplings *= 0.5 / np.abs(couplings).max()  # one scale for all: their largest is 1
        h[block], J[np.ix_(block, block)] = fields / np.abs(fields).max(), couplings
        wanted = np.kron(wanted, amplitudes(mimicking_circuit(h[block], couplings, tau=1.3)))
    state = amplitudes(mimicking_circuit(h, J, tau=1.3)).reshape((2,) * 20)
    np.testing.assert_allclose(state.transpose(spins.ravel()).ravel(), wanted, rtol=0, atol=1e-14)


def test_a_pair_gate_is_eq_43():
    wanted = expm(-0.5j * (0.7 * np.kron(Z, Y) - 1.3 * np.kron(Y, Z)))
    np.testing.assert_allclose(pair_gate(0.7, -1.3), wanted, atol=1e-14)


def f(a, b, c, d, theta1, theta0):
    """Eq. (46), as printed."""
    near = np.cos(theta0 / 2) * (a * np.cos(theta1 / 2) + c * np.sin(theta1 / 2))
    return near + np.sin(theta0 / 2) * (b * np.cos(theta1 / 2) - d * np.sin(theta1 / 2))


@pytest.mark.parametrize("seed", range(20))
def test_the_pair_angles_maximise_f(seed):
    tau_K, *angles = np.random.default_rng(seed).normal(size=3)
    abcd = coefficients(tau_K, *angles)
    best = f(*abcd, *best_pair_angles(*abcd))
    grid = np.linspace(-np.pi, np.pi, 201)
    assert best >= f(*abcd, grid[:, None], grid).max()
    a, b, c, d = abcd
    assert best == pytest.approx((np.hypot(a + d, b + c) + np.hypot(a - d, b - c)) / 2, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_f_is_the_overlap_with_imaginary_time(seed):
    """Eqs. (46), (47) with K of a pair: <psi| U' exp(-K ZZ) |psi> after the single rotations."""
    generator = np.random.default_rng(seed)
    K, *angles = generator.normal(size=3)
    theta1, theta0 = generator.normal(size=2)
    psi = np.kron(*(expm(-0.5j * angle * Y) @ PLUS for angle in angles))
    overlap = psi.conj() @ pair_gate(theta1, theta0).T @ np.diag(np.exp(-K * np.array([1, -1, -1, 1]))) @ psi
    assert overlap.real == pytest.approx(f(*coefficients(K, *angles), theta1, theta0), rel=1e-12)
    assert overlap.imag == pytest.approx(0, abs=1e-14)


def test_pairs_without_fields_are_left_undetermined_by_rounding():
    """h = 0 and an angle that f does not depend on: both angles are equal."""
    circuit = mimicking_circuit(np.zeros(2), np.array([[0, 0.3], [0.3, 0]]), tau=1.0)
    theta1, theta0 = circuit.pair_angles[0]
    assert theta1 == theta0 != 0


@pytest.mark.parametrize("h", [2.0, -0.3])
def test_one_spin_is_exact(h):
    """exp(-tau h Z)|+>, normalised; tau is in units of 1 / |h|."""
    exact = np.exp(-0.7 * np.sign(h) * np.array([1, -1]))
    state = amplitudes(mimicking_circuit(np.array([h]), np.zeros((1, 1)), tau=0.7))
    np.testing.assert_allclose(state, exact / np.linalg.norm(exact), atol=1e-15)
    assert np.sign(state[0] ** 2 - state[1] ** 2) == -np.sign(h)


def test_fields_and_couplings_have_one_scale():
    h, J = model(4)
    state = amplitudes(mimicking_circuit(h, J, tau=1.0))
    np.testing.assert_allclose(amplitudes(mimicking_circuit(1e6 * h, 1e6 * J, tau=1.0)), state, atol=1e-12)
    K = np.abs(2 * J[np.triu_indices(4, 1)])
    scale = 1 / max(np.abs(h).max(), K.max())
    np.testing.assert_allclose(mimicking_circuit(h, J, tau=1.0).angles, single_angles(scale * h))
    assert not np.allclose(amplitudes(mimicking_circuit(h, 2 * J, tau=1.0)), state)


def test_the_strongest_pair_comes_first_and_absent_ones_not_at_all():
    J = np.zeros((4, 4))
    for mu, nu, value in ((0, 1, 0.1), (1, 3, -3.0), (0, 2, 0.5)):
        J[mu, nu] = J[nu, mu] = value
    np.fill_diagonal(J, 100.0)  # a constant of H
    circuit = mimicking_circuit(np.zeros(4), J, tau=1.0)
    assert circuit.pairs.tolist() == [[1, 3], [0, 2], [0, 1]]


def test_nothing_to_do_leaves_a_uniform_superposition():
    np.testing.assert_allclose(amplitudes(mimicking_circuit(np.zeros(3), np.zeros((3, 3)), 1.0)), 8**-0.5)


def test_the_circuit_lowers_the_energy():
    """Its expectation lies below that of random spins and of the single rotations alone."""
    for seed in range(5):
        h, J = model(8, seed)
        levels = energies(h, J)
        full = amplitudes(mimicking_circuit(h, J, tau=1.0)) ** 2 @ levels
        apart = amplitudes(mimicking_circuit(h, np.zeros_like(J), tau=1.0)) ** 2 @ levels
        assert full < min(apart, levels.mean()), seed


def test_shots_follow_the_state():
    state = np.sqrt(np.array([0.1, 0.2, 0.3, 0.4]))
    spins = measure(state, 20_000, np.random.default_rng(0))
    found = [(spins == pair).all(axis=1).mean() for pair in ([1, 1], [1, -1], [-1, 1], [-1, -1])]
    np.testing.assert_allclose(found, state**2, atol=0.015)


def test_no_shot_finds_a_state_of_amplitude_zero():
    assert np.all(measure(np.array([0.0, 1.0, 0.0, 0.0]), 1000, np.random.default_rng(0)) == [1, -1])


@pytest.mark.parametrize("n", [1, 2, 6])
def test_block_mode_is_its_partial_traces(n):
    h, J = model(n, seed=3)
    J[0, n - 1] = J[n - 1, 0] = 0 if n == 6 else J[0, n - 1]  # a pair without a gate
    K = 2 * (J - np.diag(J.diagonal()))
    scale = 0.8 / max(np.abs(h).max(), np.abs(K).max())
    angles = single_angles(scale * h)
    psi = [(expm(-0.5j * angle * Y) @ PLUS).real for angle in angles]
    wanted = []
    for i in range(n):
        rho = np.outer(psi[i], psi[i])
        for j in sorted(range(n), key=lambda j, i=i: -abs(K[i, j])):
            if K[i, j]:
                U = pair_gate(*best_pair_angles(*coefficients(scale * K[i, j], angles[i], angles[j])))
                both = U @ np.kron(rho, np.outer(psi[j], psi[j])) @ U.T
                rho = np.trace(both.reshape(2, 2, 2, 2), axis1=1, axis2=3)
        wanted.append(np.trace(rho @ Z))
    np.testing.assert_allclose(block_polarisations(h, J, tau=0.8), wanted, atol=1e-13)


def test_block_mode_is_the_whole_circuit_for_a_pair():
    h, J = model(2, seed=1)
    state = amplitudes(mimicking_circuit(h, J, tau=1.0)) ** 2
    exact = [state @ [1, 1, -1, -1], state @ [1, -1, 1, -1]]
    np.testing.assert_allclose(block_polarisations(h, J, tau=1.0), exact, atol=1e-13)
