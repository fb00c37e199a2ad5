"""Other people's problems, checked, and brought to the size that the kernel's float32 numbers like."""

from dataclasses import dataclass
from math import frexp, inf, isfinite, ldexp
from typing import Any

import numpy as np

from annealtrain.hamiltonian.grid import numbers
from annealtrain.hamiltonian.layer_problem import LayerProblem, symmetric
from annealtrain.runtime import memory
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import shown

FARTHEST = 1e12  # of dE/dS at S0, in units of the largest coupling and L
BETA_LIMIT = 1e15  # beta in 1 / (the problem's unit of energy): nothing float32 resolves is accepted beyond it


@dataclass(frozen=True)
class Unit:
    """What 1 stands for in a problem brought to the size of 1: powers of two, so that no digit changes."""

    weight: float
    energy: float


@dataclass(frozen=True)
class Quadratic:
    """J (N, N) or (M, N, N), h and S0 (M, N), offset of the energies, and the range L."""

    J: Array
    h: Array
    S0: Array
    offset: float
    L: float

    def problem(self, bits: int) -> tuple[LayerProblem, Unit]:
        """Return the problem with L and its largest energies near 1: the kernel's numbers are float32."""
        if not 0 < self.L < inf:
            raise ValueError(f"L={self.L} is not a finite number above 0")
        largest = {name: float(np.abs(getattr(self, name)).max()) for name in ("J", "h", "S0")}
        for name, value in largest.items():
            if not isfinite(value):
                raise ValueError(f"{name} has values that are not finite")
        if not isfinite(self.offset):
            raise ValueError(f"the model's offset, {self.offset}, is not finite")
        given, weight = symmetric(self.J), _exponent(self.L)
        sizes = [(largest["J"], 2 * weight), (largest["h"], weight)]
        energy = max((_exponent(value) + size for value, size in sizes if value), default=0)
        with np.errstate(over="ignore", invalid="ignore"):
            J, h = _scaled(given, 2 * weight - energy), _scaled(self.h, weight - energy)
            S0, L, offset = _scaled(self.S0, -weight), ldexp(self.L, -weight), np.ldexp(self.offset, -energy)
            if largest["S0"]:
                fields = 2 * (J @ S0[..., None])[..., 0] if J.ndim == 3 else 2 * S0 @ J
                if not np.all(np.abs(fields) < FARTHEST):
                    raise ValueError(f"S0 is too far from 0 for a range of L={self.L}: write the problem in S - S0")
        unit = Unit(_power(weight), _power(energy))
        if not (0 < unit.weight < inf and 0 < unit.energy < inf):
            told = ", ".join(f"{name} up to {largest[name]:.3g}" for name in ("J", "h"))
            raise ValueError(
                f"energies J L^2 and h L are beyond what a float holds ({told}, L={self.L!r}): scale J, h or L"
            )
        problem = LayerProblem.of_symmetric(J, h, np.full(len(h), offset), S0, L, bits, convex=None)
        return problem, unit


def _scaled(values: Array, exponent: int) -> Array:
    """Return values x 2^exponent, a new array."""
    if -1000 < exponent < 1000:  # 2^exponent is a normal number: a product is the same, and faster
        return values * 2.0**exponent
    found: Array = np.ldexp(values, exponent)
    return found


def _power(exponent: int) -> float:
    """Return 2^exponent, infinity where a float ends."""
    return ldexp(1.0, exponent) if exponent < 1024 else inf


def _exponent(value: float) -> int:
    return frexp(value)[1] if value else 0


def from_arrays(J: Any, h: Any, S0: Any, L: float) -> Quadratic:
    """Return the problem of arrays; ValueError where their shapes disagree."""
    J = numbers("J", J)
    N = J.shape[-1] if J.ndim else 0
    if J.ndim not in (2, 3) or not J.size or J.shape[-2] != N:
        raise ValueError(f"J {J.shape} is neither (N, N) nor (M, N, N) with N > 0 and M > 0")
    given = {name: np.atleast_2d(numbers(name, x)) for name, x in (("h", h), ("S0", S0)) if x is not None}
    M = J.shape[0] if J.ndim == 3 else max((len(x) for x in given.values()), default=1)
    for name, x in given.items():
        if x.shape not in ((M, N), (1, N)) or not x.size:
            raise ValueError(f"{name} {np.shape(h if name == 'h' else S0)} is neither {(N,)} nor {(M, N)}")
    fields, centre = (_of_each(given.get(name), (M, N)) for name in ("h", "S0"))
    return Quadratic(J, fields, centre, 0.0, L)


def _of_each(given: Array | None, shape: tuple[int, int]) -> Array:
    """Return numbers (M, N) of those of each problem or of all, (M, N) or (1, N); zeros for None."""
    if given is None:
        return np.zeros(shape)
    return given if given.shape == shape else np.broadcast_to(given, shape)


def betas(beta_range: Any, energy: float) -> list[float]:
    """Return the range in 1 / (the problem's unit of energy), as far as float32 goes."""
    given = numbers("beta_range", beta_range)
    if given.shape != (2,) or not all(0 < beta < inf for beta in given.tolist()):
        raise ValueError(f"beta_range={shown(beta_range)} is not [first, last], both a number above 0")
    first, last = given.tolist()
    if first > last:
        raise ValueError(f"beta_range={shown(beta_range)} falls: annealing cools, give first <= last")
    return [min(max(beta * energy, 1 / BETA_LIMIT), BETA_LIMIT) for beta in (first, last)]


def from_bqm(model: Any) -> Quadratic:
    """Return the problem of a dimod.BinaryQuadraticModel, of any vartype, in spins."""
    is_quadratic = all(hasattr(model, name) for name in ("change_vartype", "num_variables", "to_numpy_vectors"))
    if not is_quadratic or getattr(model.vartype, "name", None) not in ("SPIN", "BINARY"):
        raise ValueError(f"J is a {type(model).__name__}: take a BinaryQuadraticModel, or arrays")
    spins = model.change_vartype("SPIN", inplace=False)
    N = spins.num_variables
    if not N:
        raise ValueError("the BinaryQuadraticModel has no variables")
    memory.require(4 * 8 * N * N, f"a dense Ising problem of {N} spins", "take a sparse sampler")
    linear, (row, column, bias), offset = spins.to_numpy_vectors(variable_order=list(model.variables))
    J = np.zeros((N, N))
    np.add.at(J, (row, column), bias / 2)
    J += J.T
    return Quadratic(J, linear[None], np.zeros((1, N)), float(offset), 1.0)
