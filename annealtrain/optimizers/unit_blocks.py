"""Units that are solved side by side: how far each may go with what it found, as the others go too."""

import numpy as np

from annealtrain.hamiltonian.penalty import PenaltyModel
from annealtrain.nn.jacobian import Jacobian
from annealtrain.runtime.array_types import Array

SWEEPS = 50  # of coordinate descent in the lengths of a block's units
DAMPING = 2.0  # what J of a unit in a block is multiplied by: it is to mend a part, for the others mend the same


def shortened(jacobian: Jacobian, found: dict[int, Array], penalty: PenaltyModel) -> dict[int, Array]:
    """Return t_i d_i of the changes d_i (N,) that units found, the t_i in [0, 1] being the best for all of them.

    Each unit was solved as if it were alone, its curvature DAMPING times what it is. In the lengths the loss is

        E(t) = |r + sum_i t_i A_i d_i|^2 / Q + sum_i penalty(w_i + t_i d_i)
    """
    units = list(found)
    effects = [jacobian.effect(unit, found[unit]) for unit in units]
    rows = np.array([jacobian.model.weighted(effect).ravel() for effect in effects], np.float64)
    count = len(jacobian.model.pull)
    own = [penalty.along(unit, found[unit]) for unit in units]
    H = rows @ rows.T / count + np.diag([curvature for _, curvature in own])
    pull = jacobian.model.pull
    slopes = [2 * float((effect * pull).sum()) / count for effect in effects]
    g = np.array(slopes) + np.array([slope for slope, _ in own])
    t = np.ones(len(units))
    for _ in range(SWEEPS):
        for i in range(len(t)):
            slope = 2 * (H[i] @ t - H[i, i] * t[i]) + g[i]
            t[i] = np.clip(-slope / (2 * H[i, i]), 0.0, 1.0) if H[i, i] > 0 else 0.0
    return {unit: length * found[unit] for unit, length in zip(units, t, strict=True)}
