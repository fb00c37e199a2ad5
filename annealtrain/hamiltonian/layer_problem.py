"""A layer's loss as a batch of quadratic forms, and its bits: paper Eqs. (3)-(12), (14)-(19), (21).

Shapes: M units (outputs), N weights a unit, n bits, R rows. A row is what one unit's weights see at once: a
sample's inputs (linear layer), or the patch under the kernel at one output site of one sample (convolution).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.grid import MAX_BITS, half_ranges, in_words, numbers, per_weight, spins_and_levels
from annealtrain.hamiltonian.least_squares import LeastSquares
from annealtrain.hamiltonian.quadratic import Couplings, QuadraticForm, coupled
from annealtrain.runtime.array_types import Array, real
from annealtrain.runtime.validation import is_whole, number, shown

if TYPE_CHECKING:
    import dimod

__all__ = ["MAX_BITS", "LayerProblem"]
TILE = 128  # rows and columns of J that are compared with their transpose at once: they fit the cache
ROUNDING = 1e-8  # of J's largest number: what products of matrices differ by from their transpose


class LayerProblem:
    """The M quadratic forms of one layer step, behind both of their views.

    S0: (M, N) current weights, the centres of the grids. half_range: L > 0, in weight units: a number, or one for each
    unit (M,), each of G groups of N / G neighbouring weights (M, G), or each weight (M, N). bits: n in 1..16.
    num_levels: another number of levels than 2^bits; bits is then None, and becomes the spins that a weight takes.
    present: levels (M, N) that the weights have before a solve, where S0 is only the centre of their grid; None: those
    closest to S0.
    Energies are the loss in the paper's unit. Build it with `from_rows` (least squares), `from_moments` (J, h, E0) or
    `of_rounding` (weights to be put on a grid).
    """

    def __init__(
        self,
        couplings: Couplings | Callable[[int], Couplings],
        h: Array,
        E0: Array,
        S0: Array,
        half_range: Any,
        bits: int | None,
        *,
        num_levels: int | None = None,
        sites: Any = 1.0,
        least_squares: LeastSquares | None = None,
        ridge: float = 0.0,
        convex: bool = True,
        present: Array | None = None,
    ) -> None:
        self.bits, self.num_levels = spins_and_levels(bits, num_levels)
        self.half_range = half_ranges(half_range, np.shape(S0))
        if np.shape(h) != np.shape(S0) or np.shape(E0) != np.shape(S0)[:1]:
            raise ValueError(f"h {np.shape(h)} and S0 {np.shape(S0)} must be (M, N), E0 {np.shape(E0)} (M,)")
        self.h, self.E0, self.S0 = (numbers(name, values) for name, values in (("h", h), ("E0", E0), ("S0", S0)))
        for name in ("h", "E0", "S0"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} has values that are not finite")
        self._couplings = couplings
        self.sites, self.least_squares, self.ridge, self.convex = sites, least_squares, ridge, convex
        self.present = present

    @classmethod
    def from_rows(
        cls,
        inputs: Array,
        targets: Array,
        S0: Array,
        half_range: Any,
        bits: int | None,
        *,
        num_levels: int | None = None,
        factors: Array | None = None,
        samples: int | None = None,
        ridge: float = 0.0,
    ) -> "LayerProblem":
        """Return the problem of a layer's rows (see LeastSquares), Eqs. (4), (8), (15), (18), (21).

        inputs: (rows, N). targets: (rows, M). S0: (M, N). factors: gamma, (rows, M). Arrays or lists of numbers.
        samples: Q, how many samples the rows come from; None: one row each.
        ridge: lambda_i = ridge mean(diag J_i) adds lambda_i |S - S0|^2 to unit i's energy.
        Raises ValueError if the shapes disagree or a number is not finite.
        """
        inputs, targets, S0 = real("inputs", inputs), real("targets", targets), real("S0", S0)
        factors = None if factors is None else real("factors", factors)
        samples = len(inputs) if samples is None else samples
        if np.ndim(S0) != 2 or inputs.ndim != 2 or targets.ndim != 2:
            raise ValueError(
                f"inputs {inputs.shape}, targets {targets.shape} and S0 {np.shape(S0)} are not all two-dimensional: "
                "they are (rows, N), (rows, M), (M, N)"
            )
        M, N = np.shape(S0)
        wanted = (len(inputs), M)
        if inputs.shape[1] != N or targets.shape != wanted or (factors is not None and factors.shape != wanted):
            raise ValueError(
                f"inputs {inputs.shape}, targets {targets.shape} and factors do not fit S0 {(M, N)}: "
                "they are (rows, N), (rows, M), (rows, M)"
            )
        if not is_whole(samples) or not 1 <= samples <= len(inputs):
            raise ValueError(f"samples={shown(samples)} is not in 1..{len(inputs)}, the number of rows")
        number().check("ridge", ridge)
        least_squares = LeastSquares(inputs, targets, factors, samples)
        h, E0 = least_squares.fields()
        couplings: Couplings | Callable[[int], Couplings]
        if factors is None:
            couplings = Couplings(least_squares.gram).with_ridge(ridge)
        else:

            def couplings(unit: int) -> Couplings:
                return Couplings(least_squares.unit_gram(unit)).with_ridge(ridge)

        of_rows: dict[str, Any] = {"sites": len(inputs) / samples, "least_squares": least_squares, "ridge": ridge}
        return cls(couplings, h, E0, S0, half_range, bits, num_levels=num_levels, **of_rows)

    @classmethod
    def from_moments(
        cls,
        J: Array,
        h: Array,
        E0: Array,
        S0: Array,
        half_range: Any,
        bits: int | None,
        *,
        num_levels: int | None = None,
        convex: bool | None = None,
    ) -> "LayerProblem":
        """Return the problem E_i(S) = S'J_i S + h_i'S + E0_i; J: (N, N) shared, or (M, N, N); h, S0: (M, N).

        J may be any symmetric matrix; a lower bound is certified only where it is positive semidefinite, which
        `convex` says, or its eigenvalues do. Raises ValueError for a J that is not finite, or not symmetric but for
        rounding (see `symmetric`).
        """
        J, h = numbers("J", J), np.atleast_2d(numbers("h", h))
        M, N = h.shape
        if J.shape not in ((N, N), (M, N, N)):
            raise ValueError(f"J {J.shape} is neither {(N, N)} nor {(M, N, N)}")
        if not np.isfinite(J).all():
            raise ValueError("J has values that are not finite")
        J = symmetric(J)
        if convex is not None and not isinstance(convex, bool | np.bool_):
            raise ValueError(f"convex={shown(convex)} is not true, false or null")
        if convex is None:
            spectrum = np.linalg.eigvalsh(J)
            convex = bool(np.all(spectrum[..., 0] >= -1e-12 * np.abs(spectrum).max(axis=-1)))
        return cls.of_symmetric(J, h, E0, S0, half_range, bits, num_levels=num_levels, convex=convex)

    @classmethod
    def of_symmetric(
        cls,
        J: Array,
        h: Array,
        E0: Array,
        S0: Array,
        half_range: Any,
        bits: int | None,
        *,
        num_levels: int | None = None,
        convex: bool | None,
    ) -> "LayerProblem":
        """Return `from_moments` of finite float64 arrays, J symmetric. convex: None, as not known, means no bounds."""

        def couplings(i: int) -> Couplings:  # that not all are convex says nothing of one
            return Couplings(J[i], coupled(J[i]) | (h[i] != 0), convex=convex or None)

        made = Couplings(J, coupled(J) | h.any(axis=0), convex=convex) if J.ndim == 2 else couplings
        return cls(made, h, E0, S0, half_range, bits, num_levels=num_levels, convex=bool(convex))

    @classmethod
    def of_rounding(
        cls,
        H: Array,
        W: Array,
        half_range: Any,
        bits: int | None,
        *,
        num_levels: int | None = None,
        centre: Any = 0.0,
    ) -> "LayerProblem":
        """Return the problem of putting weights W (M, N) on a grid: E_i(D) = D'HD of the change D_i = S_i - W_i.

        H: (N, N), the inputs' second moments, positive semidefinite. centre: of the grids of S, shaped as half_range
        may be; 0: symmetric. It is written in D, for the energies of a good S are small beside those of its parts:
        the weights of a result are D, and S = W + D.
        """
        W = numbers("W", W)
        zeros = np.zeros(W.shape)
        grid = (per_weight(centre, W.shape, "centre") - W, half_range, bits)
        return cls.from_moments(H, zeros, np.zeros(len(W)), *grid, num_levels=num_levels, convex=True)

    def __repr__(self) -> str:
        couplings = "one J" if self.is_shared else "a J each"
        levels = in_words(self.bits, self.num_levels)
        return (
            f"{type(self).__name__}({self.num_units} units of {self.num_weights} weights, {couplings}; "
            f"{levels}, {self.num_spins} spins a unit; L = {np.mean(self.half_range):.4g})"
        )

    def around(self, centre: Array) -> "LayerProblem":
        """Return this problem of changes d from `centre` (M, N) as one of the weights S = centre + d: equal energies.

        E(d) = d'Jd + h'd + E0 is E(S) = S'JS + (h - 2 J centre)'S + E0 + centre'J centre - h'centre. A ridge holds the
        changes near S0, and so the weights near S0 + centre.
        """
        pulls = np.empty_like(self.h)
        for i, own in enumerate(centre):
            couplings = self.unit(i).couplings
            pulls[i] = couplings.J @ own - couplings.ridge * couplings.live * own  # J without the ridge, see `unit`
        h, E0 = self.h - 2 * pulls, self.E0 + ((pulls - self.h) * centre).sum(axis=1)
        bits = self.bits if self.num_levels is None else None
        grid = (self.S0 + centre, self.half_range, bits)
        kept: dict[str, Any] = {"num_levels": self.num_levels, "sites": self.sites}
        return LayerProblem(self._couplings, h, E0, *grid, **kept, ridge=self.ridge, convex=self.convex)

    @property
    def num_units(self) -> int:
        """M."""
        return len(self.S0)

    @property
    def num_weights(self) -> int:
        """N."""
        return int(self.S0.shape[1])

    @property
    def num_spins(self) -> int:
        """N n, the spins of one unit's Hamiltonian."""
        return self.num_weights * self.bits

    @property
    def encoding(self) -> Encoding:
        """How levels (M, N), spins and weights stand for each other."""
        half_range = self.half_range if np.ndim(self.half_range) != 1 else self.half_range[:, None]
        return Encoding(half_range, self.bits, self.num_levels)

    @property
    def has_one_range(self) -> bool:
        """Whether L is one number for all weights."""
        return not isinstance(self.half_range, np.ndarray)

    @property
    def floor(self) -> float:
        """A bound that needs no search: a sum of squares is not negative."""
        return 0.0 if self.least_squares else -np.inf

    @property
    def is_shared(self) -> bool:
        """Whether all units have the same J."""
        return isinstance(self._couplings, Couplings)

    def unit(self, i: int) -> QuadraticForm:
        """Return unit i's quadratic form; where J differs between units it is built here, at each call."""
        if not 0 <= i < self.num_units:
            raise ValueError(f"unit {i}: there are {self.num_units} units, 0 to {self.num_units - 1}")
        couplings = self._couplings if isinstance(self._couplings, Couplings) else self._couplings(i)
        h, E0, S0 = self.h[i], float(self.E0[i]), self.S0[i]
        if couplings.ridge.any() if isinstance(couplings.ridge, np.ndarray) else couplings.ridge:
            # lambda |S - S0|^2 = lambda S'S - 2 lambda S0'S + lambda |S0|^2, on the live weights.
            pull = np.where(couplings.live, couplings.ridge * S0, 0.0)
            h, E0 = h - 2 * pull, E0 + float(pull @ S0)
        half_range = self.half_range if self.has_one_range else self.half_range[i]
        sites = float(self.sites[i]) if isinstance(self.sites, np.ndarray) else self.sites
        present = None if self.present is None else self.present[i]
        return QuadraticForm(couplings, h, E0, S0, half_range, self.bits, sites, self.num_levels, present)

    def energies(self, weights: Array) -> Array:
        """Return the M units' losses (M,) at weights (M, N)."""
        return np.array([self.unit(i).energy(weights[i]) for i in range(self.num_units)])

    def to_bqm(self, i: int) -> "dimod.BinaryQuadraticModel":
        """Return unit i's Hamiltonian for dimod (see QuadraticForm.to_bqm)."""
        return self.unit(i).to_bqm()


def symmetric(J: Array, name: str = "J") -> Array:
    """Return J, (N, N) or (M, N, N) and finite, as (J + J') / 2 where it is not symmetric by rounding alone.

    Raises ValueError, with the name that its caller knows it by, where J and J' are farther apart than ROUNDING times
    the largest number of J.
    """
    transposed = J.swapaxes(-1, -2)
    starts = range(0, J.shape[-1], TILE)
    tiles = [(..., slice(i, i + TILE), slice(j, j + TILE)) for i in starts for j in starts[: i // TILE + 1]]
    if all((J[tile] == transposed[tile]).all() for tile in tiles):
        return J
    apart, largest = np.abs(J / 2 - transposed / 2), np.abs(J / 2).max(axis=(-1, -2), keepdims=True)
    if np.any(apart > ROUNDING * largest):
        *_, i, j = at = np.unravel_index(int(np.argmax(apart / np.where(largest > 0, largest, 1))), J.shape)
        unit = f" of problem {at[0]}" if J.ndim == 3 else ""
        one, other = float(J[at]), float(transposed[at])
        raise ValueError(
            f"{name}{unit} is not symmetric ({name}[{i}, {j}]={one:.9g}, {name}[{j}, {i}]={other:.9g}): "
            f"pass ({name} + {name}.T) / 2"
        )
    mean: Array = J / 2 + transposed / 2
    return mean
