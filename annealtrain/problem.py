"""A layer's loss as a batch of quadratic forms, and its bits: paper Eqs. (3)-(12), (14)-(19), (21).

Shapes: M units (outputs), N weights a unit, n bits, R rows. A row is what one unit's weights see at once: a
sample's inputs (linear layer), or the patch under the kernel at one output site of one sample (convolution).
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain import grams, parallel
from annealtrain.quadratic import Couplings, QuadraticForm

if TYPE_CHECKING:
    import dimod

Array = np.ndarray[Any, np.dtype[Any]]
MAX_BITS = 16
BLOCK_ROWS = 8192


class Rows:
    """The least-squares view: loss_i = 1/Q sum_rows (gamma_i (inputs @ S_i) - targets_i)^2, Eqs. (2), (14), (21).

    inputs: (R, N). targets: (R, M). factors: gamma, (R, M), or None where it is 1. samples: Q, so that R / Q is
    the number of output sites (the paper divides a convolution's loss by Q alone).
    """

    def __init__(self, inputs: Array, targets: Array, factors: Array | None, samples: int) -> None:
        self.inputs, self.targets, self.factors, self.samples = inputs, targets, factors, samples

    @cached_property
    def slopes(self) -> tuple[float, float] | None:
        """The two values that the factors take, the larger one last (LeakyReLU), or None if they take others."""
        if self.factors is None:
            return None
        low, high = sorted((float(self.factors.min()), float(self.factors.max())), key=abs)
        return (low, high) if np.all((self.factors == low) | (self.factors == high)) else None

    @cached_property
    def gram(self) -> Array:
        """1/Q inputs' inputs, (N, N) float64: J without factors, Eqs. (4), (15)."""
        borders = parallel.blocks(len(self.inputs), BLOCK_ROWS)
        return self._sum_of_squares(parallel.each(lambda block: self._square(self.inputs[block]), borders))

    @cached_property
    def grams(self) -> Array | None:
        """All units' J at once, (M, N, N) float64, for factors of two values; None where they outgrow the inputs."""
        (R, N), M = self.inputs.shape, self.targets.shape[1]
        if self.factors is None or self.slopes is None or M * N > R:
            return None
        low, high = self.slopes
        J, whole = grams.of_subsets(self.inputs, self.factors == high)
        J *= (high**2 - low**2) / self.samples
        J += whole * (low**2 / self.samples)
        return J

    def prepare(self) -> None:
        """Form what units have in common here, on all threads: one by one, each unit's thread would do it again."""
        if self.grams is None and self.slopes and self.slopes[0]:
            _ = self.gram

    def unit_gram(self, unit: int) -> Array:
        """Return 1/Q inputs' diag(gamma^2) inputs, (N, N) float64: J of one unit, Eq. (21)."""
        assert self.factors is not None
        gamma = self.factors[:, unit]
        borders = parallel.blocks(len(self.inputs), BLOCK_ROWS)
        if self.slopes is None:
            return self._sum_of_squares(self._square(self.inputs[b], gamma[b, None]) for b in borders)
        if self.grams is not None:
            return self.grams[unit]
        # Two slopes: J = low^2 J_all + (high^2 - low^2) J_high = high^2 J_all - (high^2 - low^2) J_low needs the rows
        # of one slope only: the rarer one, but for ReLU, where the difference would leave rounding in dead weights.
        low, high = self.slopes
        is_high = gamma == high
        rare = high if low == 0 or 2 * np.count_nonzero(is_high) <= len(gamma) else low
        J = self._sum_of_squares(self._square(self.inputs[b][is_high[b] == (rare == high)]) for b in borders)
        J *= (high**2 - low**2) * (1 if rare == high else -1)
        if low:
            J += (low if rare == high else high) ** 2 * self.gram
        return J

    def _sum_of_squares(self, squares: Iterable[Array]) -> Array:
        total = np.zeros((self.inputs.shape[1],) * 2)
        for square in squares:
            total += square
        total /= self.samples
        return total

    @staticmethod
    def _square(rows: Array, factors: Array | None = None) -> Array:
        parallel.check_cancelled()
        rows = rows.astype(np.float64)
        if factors is not None:
            rows *= factors
        return rows.T @ rows

    def fields(self) -> tuple[Array, Array]:
        """Return h (M, N) and E0 (M,), Eqs. (4), (11), (15), (21), in float64."""

        def part(block: slice) -> tuple[Array, Array]:
            targets = self.targets[block].astype(np.float64)
            seen = targets if self.factors is None else targets * self.factors[block]
            return seen.T @ self.inputs[block].astype(np.float64), (targets**2).sum(axis=0)

        parts = parallel.each(part, parallel.blocks(len(self.inputs), BLOCK_ROWS))
        h, E0 = (np.sum([part[k] for part in parts], axis=0) for k in (0, 1))
        return h * (-2 / self.samples), E0 / self.samples


class LayerProblem:
    """The M quadratic forms of one layer step, behind both of their views.

    S0: (M, N) current weights. half_range: L > 0, in weight units. bits: n in 1..16. Energies are the loss in the
    paper's unit. Build it with `from_rows` (least squares) or `from_moments` (J, h, E0).
    """

    def __init__(
        self,
        couplings: Couplings | Callable[[int], Couplings],
        h: Array,
        E0: Array,
        S0: Array,
        half_range: float,
        bits: int,
        *,
        sites: float = 1.0,
        rows: Rows | None = None,
        ridge: float = 0.0,
        convex: bool = True,
    ) -> None:
        if not 1 <= bits <= MAX_BITS or int(bits) != bits:
            raise ValueError(f"bits={bits} is not a whole number from 1 to {MAX_BITS}")
        if not (half_range > 0 and np.isfinite(half_range)):
            raise ValueError(f"half_range={half_range} is not a finite number above 0")
        if np.shape(h) != np.shape(S0) or np.shape(E0) != np.shape(S0)[:1]:
            raise ValueError(f"h {np.shape(h)} and S0 {np.shape(S0)} must be (M, N), E0 {np.shape(E0)} (M,)")
        for name, values in (("h", h), ("E0", E0), ("S0", S0)):
            if not np.isfinite(values).all():
                raise ValueError(f"{name} has values that are not finite")
        self._couplings = couplings
        self.h, self.E0 = np.asarray(h, dtype=np.float64), np.asarray(E0, dtype=np.float64)
        self.S0 = np.asarray(S0, dtype=np.float64)
        self.half_range, self.bits = float(half_range), int(bits)
        self.sites, self.rows, self.ridge, self.convex = sites, rows, ridge, convex

    @classmethod
    def from_rows(
        cls,
        inputs: Array,
        targets: Array,
        S0: Array,
        half_range: float,
        bits: int,
        *,
        factors: Array | None = None,
        samples: int | None = None,
        ridge: float = 0.0,
    ) -> "LayerProblem":
        """Return the problem of a layer's rows (see `Rows`), Eqs. (4), (8), (15), (18), (21).

        ridge: lambda_i = ridge mean(diag J_i) adds lambda_i |S - S0|^2 to unit i's energy.
        Raises ValueError if the shapes disagree or a number is not finite.
        """
        samples = len(inputs) if samples is None else samples
        M, N = np.shape(S0)
        wanted = (len(inputs), M)
        if inputs.shape[1] != N or targets.shape != wanted or (factors is not None and factors.shape != wanted):
            raise ValueError(
                f"inputs {inputs.shape}, targets {targets.shape} and factors do not fit S0 {(M, N)}: "
                "they are (rows, N), (rows, M), (rows, M)"
            )
        if not 1 <= samples <= len(inputs):
            raise ValueError(f"samples={samples} is not in 1..{len(inputs)}, the number of rows")
        rows = Rows(inputs, targets, factors, samples)
        h, E0 = rows.fields()
        couplings: Couplings | Callable[[int], Couplings]
        if factors is None:
            couplings = Couplings(rows.gram).with_ridge(ridge)
        else:

            def couplings(unit: int) -> Couplings:
                return Couplings(rows.unit_gram(unit)).with_ridge(ridge)

        return cls(couplings, h, E0, S0, half_range, bits, sites=len(inputs) / samples, rows=rows, ridge=ridge)

    @classmethod
    def from_moments(
        cls,
        J: Array,
        h: Array,
        E0: Array,
        S0: Array,
        half_range: float,
        bits: int,
        *,
        convex: bool | None = None,
    ) -> "LayerProblem":
        """Return the problem E_i(S) = S'J_i S + h_i'S + E0_i; J: (N, N) shared, or (M, N, N); h, S0: (M, N).

        J may be any symmetric matrix; a lower bound is certified only where it is positive semidefinite, which
        `convex` says, or its eigenvalues do. Raises ValueError for a J that is not symmetric or not finite.
        """
        J, h = np.asarray(J, dtype=np.float64), np.atleast_2d(np.asarray(h, dtype=np.float64))
        M, N = h.shape
        if J.shape not in ((N, N), (M, N, N)):
            raise ValueError(f"J {J.shape} is neither {(N, N)} nor {(M, N, N)}")
        if not np.isfinite(J).all():
            raise ValueError("J has values that are not finite")
        if not np.array_equal(J, np.swapaxes(J, -1, -2)):
            raise ValueError("J is not symmetric: pass (J + J') / 2")
        if convex is None:
            spectrum = np.linalg.eigvalsh(J)
            convex = bool(np.all(spectrum[..., 0] >= -1e-12 * np.abs(spectrum).max(axis=-1)))
        if J.ndim == 2:
            live = Couplings(J).coupled | (h != 0).any(axis=0)
            return cls(Couplings(J, live), h, E0, S0, half_range, bits, convex=convex)

        def couplings(unit: int) -> Couplings:
            return Couplings(J[unit], Couplings(J[unit]).coupled | (h[unit] != 0))

        return cls(couplings, h, E0, S0, half_range, bits, convex=convex)

    @property
    def num_units(self) -> int:
        """M."""
        return self.S0.shape[0]

    @property
    def num_weights(self) -> int:
        """N."""
        return self.S0.shape[1]

    @property
    def num_spins(self) -> int:
        """N n, the spins of one unit's Hamiltonian."""
        return self.num_weights * self.bits

    @property
    def step(self) -> float:
        """The distance of two neighbouring levels, in weight units."""
        return 2 * self.half_range / (2**self.bits - 1)

    @property
    def floor(self) -> float:
        """A bound that needs no search: a sum of squares is not negative."""
        return 0.0 if self.rows else -np.inf

    @property
    def is_shared(self) -> bool:
        """Whether all units have the same J."""
        return isinstance(self._couplings, Couplings)

    def unit(self, i: int) -> QuadraticForm:
        """Return unit i's quadratic form; where J differs between units it is built here, at each call."""
        couplings = self._couplings if isinstance(self._couplings, Couplings) else self._couplings(i)
        h, E0, S0 = self.h[i], float(self.E0[i]), self.S0[i]
        if couplings.ridge:
            # lambda |S - S0|^2 = lambda S'S - 2 lambda S0'S + lambda |S0|^2, on the live weights.
            pull = np.where(couplings.live, couplings.ridge * S0, 0.0)
            h, E0 = h - 2 * pull, E0 + float(pull @ S0)
        return QuadraticForm(couplings, h, E0, S0, self.half_range, self.bits, self.sites)

    def energies(self, weights: Array) -> Array:
        """Return the M units' losses (M,) at weights (M, N)."""
        return np.array([self.unit(i).energy(weights[i]) for i in range(self.num_units)])

    def to_bqm(self, i: int) -> "dimod.BinaryQuadraticModel":
        """Return unit i's Hamiltonian for dimod (see QuadraticForm.to_bqm)."""
        return self.unit(i).to_bqm()
