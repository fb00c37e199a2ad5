"""Whether J is convex where nobody has said so, by a few products with it."""

import numpy as np

from annealtrain.runtime.array_types import Array

STEPS = 12  # of Lanczos' method: those of a spin glass find its lowest eigenvalue to a few percent
SLACK = 1e-5  # of the largest eigenvalue found: float32 tells no sign of smaller ones


def looks_convex(J: Array) -> bool:
    """Return whether no direction is found in which E falls to both sides; J: (n, n), symmetric, float32.

    The eigenvalues of J in the space of x, Jx, ... J^11 x from one random x (Lanczos): never below J's lowest, so that
    a convex J is always found to be, and close to it at this end of the spectrum.
    """
    n = len(J)
    q: Array = np.random.default_rng(0).standard_normal(n, dtype=np.float32)
    q /= np.linalg.norm(q)
    before: Array = np.zeros_like(q)
    coupling = np.float32(0)
    diagonal, beside = [], []
    for _ in range(min(STEPS, n)):
        product: Array = J @ q - coupling * before
        diagonal.append(float(product @ q))
        product -= np.float32(diagonal[-1]) * q
        coupling = np.float32(np.linalg.norm(product))
        beside.append(float(coupling))
        if coupling <= SLACK * max(map(abs, [*diagonal, *beside[:-1]])):  # the space has ended
            break
        before, q = q, product / coupling
    inner = np.diag(beside[: len(diagonal) - 1], 1)
    found = np.linalg.eigvalsh(np.diag(diagonal) + inner + inner.T)
    return bool(found[0] >= -SLACK * np.abs(found).max())
