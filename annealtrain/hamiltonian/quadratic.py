"""One unit's loss as a quadratic form, and its n-bit weights: paper Eqs. (3)-(9), (16)-(19).

Shapes: N weights, n bits; spin index j n + a for bit a of weight j.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.curvature import looks_convex
from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.triangle import Triangle, triangle
from annealtrain.runtime import memory
from annealtrain.runtime.array_types import Array

if TYPE_CHECKING:
    import dimod


class Couplings:
    """J of one unit, or one J that all units share; `live` weights are those that move its energy.

    ridge: what `with_ridge` has added to the diagonal of the live weights, a number or (N,).
    convex: whether J is positive semidefinite, as those of squared errors are; None: found out where it matters.
    """

    def __init__(self, J: Array, live: Array | None = None, ridge: Any = 0.0, *, convex: bool | None = True) -> None:
        self.J = np.ascontiguousarray(J)
        self.diagonal = J.diagonal()
        self.live = coupled(self.J) if live is None else live
        self.ridge = ridge
        self.convex = convex
        self._of_spins: dict[Encoding, Couplings] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out of a copy what the kernel reads, and is made anew: NumPy keeps no array on its border."""
        return {name: value for name, value in self.__dict__.items() if name != "packed"}

    def with_ridge(self, relative: float) -> "Couplings":
        """Return J + lambda I on the live weights, lambda = relative * mean(diag J)."""
        if relative < 0:
            raise ValueError(f"ridge={relative} is negative")
        if not relative:
            return self
        strength = relative * float(self.diagonal.mean())
        return Couplings(self.J + np.diag(strength * self.live), self.live, strength, convex=self.convex)

    def of_spins(self, encoding: Encoding) -> "Couplings":
        """Return J' of the spins of an encoding with one range, Eqs. (8), (18); it is kept."""
        known = self._of_spins
        if encoding not in known:
            scale, size = encoding.spin_scale, len(self.J) * encoding.bits
            memory.require(2 * 8 * size**2, f"a dense Hamiltonian of {size} spins", "take fewer levels")
            J, live = np.kron(self.J, np.outer(scale, scale)), np.repeat(self.live, encoding.bits)
            known[encoding] = Couplings(J, live, convex=self.convex)
        return known[encoding]

    @cached_property
    def indices(self) -> Array:
        """The live weights: (live,) int."""
        return np.flatnonzero(self.live)

    @cached_property
    def live_J(self) -> Array:
        """J of the live weights: (live, live) float64, contiguous."""
        return np.ascontiguousarray(self.J if self.live.all() else self.J[np.ix_(self.indices, self.indices)])

    @cached_property
    def is_convex(self) -> bool:
        """Whether J is positive semidefinite: as it is said to be, or else as far as `looks_convex` sees."""
        return looks_convex(self.packed[:, : self.indices.size]) if self.convex is None else self.convex

    @cached_property
    def triangle(self) -> Triangle:
        """J of the live weights as a triangle; InputError where it is not positive semidefinite."""
        return triangle(self.live_J)

    @cached_property
    def packed(self) -> Array:
        """J of the live weights in float32 as the compiled kernel reads it: (live, stride), zeros beyond live.

        A stride of an odd number of cache lines keeps neighbouring rows from each other's places in the cache.
        """
        live = self.indices.size
        line = _anneal.MAX_LANES
        packed = memory.aligned((live, line * (-(-live // line) | 1)), np.float32)
        if live == len(self.J):
            packed[:, :live] = self.J
            return packed
        for start in range(0, live, 64):  # a few rows at a time: no copy of all of J in float64
            rows = slice(start, start + 64)
            packed[rows, :live] = self.J[np.ix_(self.indices[rows], self.indices)]
        return packed

    @cached_property
    def packed_diagonal(self) -> Array:
        """Its diagonal: (live,) float32."""
        return self.diagonal[self.indices].astype(np.float32)


def coupled(J: Array) -> Array:
    """Return which weights' row of J (N, N) is not all zero: (N,) bool."""
    found: Array = J.diagonal() != 0
    if not found.any():  # as of Ising spins
        found[:] = J.any(axis=1)
    elif not found.all():
        rest = np.flatnonzero(~found)
        found[rest] = J[rest].any(axis=1)
    return found


@dataclass(frozen=True)
class QuadraticForm:
    """One unit's loss E(S) = S'JS + h'S + E0 (Eqs. 5, 16) on n-bit weights in [S0 - L, S0 + L] (Eqs. 6, 7).

    h, S0: (N,). half_range: L, a number, or (N,). `sites` is the number of rows a sample (1 for a linear layer).
    Levels, spins and weights: see Encoding; num_levels: None for 2^bits.
    A weight that does not move the energy (its row of J and h_j are zero) keeps S0_j exactly.
    present: levels (N,) that the weights have before a solve, None for those closest to S0.
    """

    couplings: Couplings
    h: Array
    E0: float
    S0: Array
    half_range: Any
    bits: int
    sites: float = 1.0
    num_levels: int | None = None
    present: Array | None = None

    @property
    def present_levels(self) -> Array:
        """The levels (N,) that `start=present` begins at."""
        return self.nearest_levels(self.S0) if self.present is None else self.present

    @property
    def J(self) -> Array:
        return self.couplings.J

    @property
    def live(self) -> Array:
        return self.couplings.live

    @cached_property
    def encoding(self) -> Encoding:
        """How levels, spins and weights stand for each other."""
        return Encoding(self.half_range, self.bits, self.num_levels)

    def energy(self, weights: Array) -> Any:
        """Return the loss at weights (..., N), Eq. (5), float64."""
        S = np.asarray(weights, dtype=np.float64)
        found = S @ self.J
        found += self.h
        found *= S
        return found.sum(axis=-1) + self.E0

    def gradient(self, weights: Array) -> Array:
        """Return dE/dS = 2 J S + h at weights (N,)."""
        return 2 * (self.J @ weights) + self.h

    def weights(self, levels: Array) -> Array:
        """Return the weights (..., N) of levels (..., N), Eqs. (6), (7); dead weights keep S0."""
        S: Array = self.encoding.offsets(levels)
        S += self.S0
        return S if self.couplings.indices.size == self.S0.size else np.where(self.live, S, self.S0)

    def nearest_levels(self, weights: Array) -> Array:
        """Return the levels (..., N) of the grid points closest to weights (..., N)."""
        return self.encoding.nearest_levels(weights - self.S0)

    def live_part(self) -> "QuadraticForm":
        """Return the form of the live weights alone: the same energies, nothing to sample that does not matter."""
        live, couplings = self.couplings.indices, self.couplings
        ridge, half_range = (each if np.ndim(each) == 0 else each[live] for each in (couplings.ridge, self.half_range))
        own = Couplings(couplings.live_J, np.ones(live.size, dtype=bool), ridge, convex=couplings.convex)
        present = None if self.present is None else self.present[live]
        grid = (self.S0[live], half_range, self.bits, self.sites, self.num_levels, present)
        return QuadraticForm(own, self.h[live], self.E0, *grid)

    def spin_form(self) -> "QuadraticForm":
        """Return the same Hamiltonian of spins as weights of one bit in [-1, 1]: spin j n + a is spin a of weight j.

        Forms of one J and one number L share the new J too.
        """
        couplings, scale = self.couplings.of_spins(self.encoding), self.encoding.spin_scale
        h = np.kron(np.where(self.live, self.gradient(self.S0), 0.0), scale)
        return QuadraticForm(couplings, h, float(self.energy(self.S0)), np.zeros(h.size), 1.0, 1, self.sites)

    def ising(self) -> tuple[Array, Array, float]:
        """Return (J', h', E0') with E = sigma'J'sigma + h'sigma + E0': Eqs. (8), (9), (18), (19).

        J': (N n, N n), dense, its diagonal included. Raises InputError where it would not fit in memory.
        """
        size = self.S0.size * self.bits
        memory.require(2 * 8 * size**2, f"a dense Hamiltonian of {size} spins", "lower bits or take a smaller layer")
        scale, field = self.encoding.spin_scale, np.where(self.live, self.gradient(self.S0), 0.0)
        if scale.ndim == 1:
            return np.kron(self.J, np.outer(scale, scale)), np.kron(field, scale), float(self.energy(self.S0))
        flat = scale.ravel()
        J = np.repeat(np.repeat(self.J, self.bits, axis=0), self.bits, axis=1) * np.outer(flat, flat)
        return J, np.repeat(field, self.bits) * flat, float(self.energy(self.S0))

    def to_bqm(self) -> "dimod.BinaryQuadraticModel":
        """Return the same Hamiltonian for dimod: spins 0 .. N n - 1, each pair once (2 J'), energies the loss."""
        import dimod

        J, h, E0 = self.ising()
        row, column = np.nonzero(np.triu(J, 1))
        return dimod.BinaryQuadraticModel.from_numpy_vectors(
            h, (row, column, 2 * J[row, column]), E0 + float(np.trace(J)), dimod.SPIN
        )

    def dual_bound(self, weights: Array) -> float:
        """Return a lower bound of the energy anywhere in the box, from any point (N,) in it; J must be convex.

        With g = 2 J S + h: E(S) + sum_j min(g_j (lo_j - S_j), g_j (hi_j - S_j)); tight at the box's minimum.
        """
        g = np.where(self.live, self.gradient(weights), 0.0)
        lo, hi = self.S0 - self.half_range - weights, self.S0 + self.half_range - weights
        return float(self.energy(weights) + np.minimum(g * lo, g * hi).sum())
