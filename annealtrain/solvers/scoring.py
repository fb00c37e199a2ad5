"""Energies of many units that share J as products of matrices, where unit after unit would read J anew each time."""

from collections.abc import Sequence

import numpy as np

from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array

LARGE = 2**31  # products of a read with J, of all reads together, from which matrices are worth it
ROWS = 256  # of a block: its copies stay small beside J


def energies_together(
    is_shared: bool, forms: Sequence[QuadraticForm], levels: Sequence[Array]
) -> list[tuple[Array, float]] | None:
    """Return the energies of each unit's reads (R,), and that at S0; None where units are few, small or share no J.

    levels: (R, N) of each unit. They differ from those of `QuadraticForm.energy` by rounding.
    """
    reads = sum(map(len, levels)) + len(forms)
    if not is_shared or reads * forms[0].S0.size ** 2 < LARGE:
        return None
    found, J = [], forms[0].J
    per_block = max(1, ROWS * len(forms) // reads)
    for first in range(0, len(forms), per_block):
        own, of_own = forms[first : first + per_block], levels[first : first + per_block]
        points = [np.vstack([form.weights(one), form.S0[None]]) for form, one in zip(own, of_own, strict=True)]
        counts = [len(one) for one in points]
        S = np.concatenate(points)
        fields = np.repeat([form.h for form in own], counts, axis=0)
        energies = ((S @ J + fields) * S).sum(axis=1) + np.repeat([form.E0 for form in own], counts)
        ends = np.cumsum(counts)
        found += [
            (energies[end - count : end - 1], float(energies[end - 1])) for count, end in zip(counts, ends, strict=True)
        ]
    return found
