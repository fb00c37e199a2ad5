"""Imaginary-time-evolution mimicking circuits, Eqs. (41)-(47), and their own simulation in real numbers.

n spins; |0> is spin +1. Every gate is real, and so is every state.
"""

from dataclasses import dataclass

import numpy as np

from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array


@dataclass(frozen=True)
class Circuit:
    """Ry(angles[mu]) on |+> for each spin, then U(theta1, theta0) on each pair (mu, nu), in their order: Eq. (42).

    angles: (n,). pairs: (P, 2) int, mu < nu. pair_angles: (P, 2), theta1 and theta0 of Eq. (43).
    """

    angles: Array
    pairs: Array
    pair_angles: Array


def mimicking_circuit(h: Array, J: Array, tau: float) -> Circuit:
    """Return the circuit of H = sum_{mu != nu} J_mu,nu s_mu s_nu + h's, its strongest pair first.

    h: (n,). J: (n, n) symmetric; its diagonal is a constant of H and left out. tau: imaginary time in units of the
    largest of |h| and |J_mu,nu + J_nu,mu|: one scale for both, for scaled apart they would evolve another H.
    """
    mu, nu = np.triu_indices(len(h), 1)
    K = 2 * J[mu, nu]
    largest = max(np.abs(h).max(initial=0.0), np.abs(K).max(initial=0.0))
    scale = tau / largest if largest else 0.0
    order = np.argsort(-np.abs(K), kind="stable")
    order = order[K[order] != 0]
    mu, nu, K = mu[order], nu[order], K[order]
    angles = single_angles(scale * h)
    pair_angles = best_pair_angles(*coefficients(scale * K, angles[mu], angles[nu]))
    return Circuit(angles, np.stack([mu, nu], axis=1), np.stack(pair_angles, axis=1))


def single_angles(tau_h: Array) -> Array:
    """Return theta = 2 arctan(tanh(tau h)), Eq. (45): exact imaginary time for a spin by itself."""
    return 2 * np.arctan(np.tanh(tau_h))


def coefficients(tau_K: Array, angle_mu: Array, angle_nu: Array) -> tuple[Array, Array, Array, Array]:
    """Return a, b, c, d of Eq. (47), with K = J_mu,nu + J_nu,mu for a pair in place of the paper's J_mu,nu."""
    sinh, cosh = np.sinh(tau_K), np.cosh(tau_K)
    a = cosh - sinh * np.sin(angle_mu) * np.sin(angle_nu)
    d = cosh * np.cos(angle_mu) * np.cos(angle_nu)
    return a, sinh * np.cos(angle_mu), sinh * np.cos(angle_nu), d


def best_pair_angles(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Return theta1, theta0 at the maximum of f, Eqs. (45), (46), in closed form.

    With S, D = (theta0 +- theta1) / 2: 2 f = (a + d) cos S + (b + c) sin S + (a - d) cos D + (b - c) sin D.
    """
    S, D = np.arctan2(b + c, a + d), np.arctan2(b - c, a - d)
    # Where f does not depend on D, rounding would choose it.
    D = np.where(np.hypot(a - d, b - c) < 1e-12 * np.abs(a + d), 0.0, D)
    return S - D, S + D


def pair_gate(theta1: float, theta0: float) -> Array:
    """Return U = exp(-i/2 (theta1 Z_mu Y_nu + theta0 Y_mu Z_nu)), Eq. (43), as a real (4, 4) matrix on (mu, nu)."""
    Z, minus_iY = np.diag([1.0, -1.0]), np.array([[0.0, -1.0], [1.0, 0.0]])
    # ZY and YZ commute, and the square of either is 1.
    first = np.cos(theta1 / 2) * np.eye(4) + np.sin(theta1 / 2) * np.kron(Z, minus_iY)
    second = np.cos(theta0 / 2) * np.eye(4) + np.sin(theta0 / 2) * np.kron(minus_iY, Z)
    gate: Array = first @ second
    return gate


def amplitudes(circuit: Circuit) -> Array:
    """Return the state after the circuit, (2^n,) float64; spin 0 is the highest bit of the index, a 1 is spin -1."""
    n = len(circuit.angles)
    state = np.ones(1)
    for angle in circuit.angles:
        cos, sin = np.cos(angle / 2), np.sin(angle / 2)
        state = np.multiply.outer(state, np.array([cos - sin, cos + sin]) / np.sqrt(2)).ravel()
    # Each gate brings its two spins to the front, where it is one matrix product; `order` tells which spin is where.
    state, order = state.reshape((2,) * n), list(range(n))
    for (mu, nu), angles in zip(circuit.pairs.tolist(), circuit.pair_angles, strict=True):
        thread_pool.check_cancelled()
        state = np.moveaxis(state, (order.index(mu), order.index(nu)), (0, 1))
        order = [mu, nu, *(spin for spin in order if spin not in (mu, nu))]
        state = (pair_gate(*angles) @ state.reshape(4, -1)).reshape((2,) * n)
    return state.transpose([order.index(spin) for spin in range(n)]).ravel()


def measure(state: Array, shots: int, generator: np.random.Generator) -> Array:
    """Return the spins (shots, n) in {-1, +1} that measurements of a state (2^n,) find."""
    n = len(state).bit_length() - 1
    cumulative = np.cumsum(state**2)
    found = np.searchsorted(cumulative, generator.random(shots) * cumulative[-1], side="right")
    bits = (found[:, None] >> np.arange(n)[::-1]) & 1
    spins: Array = 1 - 2 * bits
    return spins


def block_polarisations(h: Array, J: Array, tau: float) -> Array:
    """Return <Z> of each spin, (n,), where a spin meets each partner in that one's first state: for large layers.

    A spin is a 2x2 density matrix rho = (1 + x X + z Z) / 2; for each partner j, strongest first,
    rho <- Tr_j[U (rho x |psi_j><psi_j|) U'] with |psi_j> = Ry(theta_j)|+>. All n spins take their r-th partner at once.
    """
    n = len(h)
    K = 2 * (J - np.diag(J.diagonal()))
    largest = max(np.abs(h).max(initial=0.0), np.abs(K).max(initial=0.0))
    scale = tau / largest if largest else 0.0
    angles = single_angles(scale * h)
    first_x, first_z = np.cos(angles), -np.sin(angles)
    x, z, own = first_x, first_z, np.arange(n)
    partners = np.argsort(-np.abs(K), axis=1, kind="stable")
    for r in range(n):
        thread_pool.check_cancelled()
        j = partners[:, r]
        theta1, theta0 = best_pair_angles(*coefficients(scale * K[own, j], angles, angles[j]))
        is_pair = K[own, j] != 0
        theta1, theta0 = np.where(is_pair, theta1, 0.0), np.where(is_pair, theta0, 0.0)
        xj, zj = first_x[j], first_z[j]
        cos, sin = np.cos(theta0), np.sin(theta0)
        x, z = np.cos(theta1) * (cos * x + sin * z * zj) - np.sin(theta1) * sin * xj, cos * z - sin * x * zj
    return z
