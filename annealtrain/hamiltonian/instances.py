"""Hamiltonians of real layers in whole numbers, with what is known of their ground states: a set to compare solvers on.

    E(u) = u'A u + b'u + c,   u_j = 0 .. num_levels - 1

u_j is the level of weight j, and A, b and c are whole numbers, so that an energy is one too: the same on every machine.
`names`, `load` and `catalogue` are public as `annealtrain.instances`.
"""

import hashlib
import io
import json
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files as package_files
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError, in_words, nearest
from annealtrain.hamiltonian.grid import MAX_BITS, spins_and_levels
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import archives, files, memory
from annealtrain.runtime.array_types import Array, Row, real
from annealtrain.runtime.validation import YES_OR_NO, Rule, check_all, shown, whole

MOST_BYTES, MOST_UNPACKED = 256_000_000, 2_000_000_000  # of an instance's file, and of what is packed in it
MOST_ENERGY = 2**62  # energies are counted in 64 bits
LISTS, WRITES = "annealtrain instances lists them", "annealtrain instances writes such files"
ZIP = b"PK"  # what an .npz begins with
PARTS = ("A", "b", "start", "plain")
RULES = {
    "name": Rule(
        "a name of at most 200 characters",
        lambda value: isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable(),
    ),
    "c": whole(-MOST_ENERGY, MOST_ENERGY, "as energies are counted in 64 bits"),
    "num_levels": whole(2, 2**MAX_BITS),
    "convex": YES_OR_NO,
    "about": Rule("a mapping", lambda value: isinstance(value, dict)),
}


@dataclass(frozen=True, eq=False)
class Instance:
    """One unit's Hamiltonian. A: (N, N) int64, symmetric. b: (N,) int64. c: int.

    start: levels (N,) closest to the weights before the solve. convex: whether A is positive semidefinite.
    about: where it comes from, in words and numbers.
    """

    name: str
    A: Array
    b: Array
    c: int
    num_levels: int
    start: Array
    convex: bool
    about: Row = field(default_factory=dict)

    def __post_init__(self) -> None:
        N = len(self.b) if self.b.ndim == 1 else 0
        if self.A.shape != (N, N) or self.start.shape != (N,) or not N or not np.array_equal(self.A, self.A.T):
            raise ValueError(
                f"A {self.A.shape}, b {self.b.shape} and start {self.start.shape} are not (N, N), (N,), (N,)"
            )
        if any(part.dtype.kind not in "iu" for part in (self.A, self.b, self.start)):
            raise ValueError("A, b and start are not whole numbers")
        check_all({name: getattr(self, name) for name in RULES}, RULES)
        if ((self.start < 0) | (self.start >= self.num_levels)).any():
            raise ValueError(f"start has values that are not whole numbers from 0 to {self.num_levels - 1}")
        top = float(self.num_levels - 1)
        most = (np.abs(self.A.astype(float)).sum() * top + np.abs(self.b.astype(float)).sum()) * top
        if most + abs(float(self.c)) >= MOST_ENERGY:
            raise ValueError("its energies are beyond 64 bits")

    @property
    def bits(self) -> int:
        """Spins of a weight."""
        return spins_and_levels(None, self.num_levels)[0]

    @property
    def num_weights(self) -> int:
        return len(self.b)

    @property
    def num_spins(self) -> int:
        return self.num_weights * self.bits

    @cached_property
    def hash(self) -> str:
        """A checksum of the numbers of the Hamiltonian, 16 hexadecimal digits: equal where it is the same problem."""
        digest = hashlib.sha256(f"{self.num_weights} {self.num_levels} {self.c}".encode())
        for part in (self.A, self.b, self.start):
            digest.update(np.ascontiguousarray(part, "<i8").data)
        return digest.hexdigest()[:16]

    def energy(self, levels: Array) -> Any:
        """Return the energies, int64, of levels (..., N); InputError for what is no level of this instance."""
        found, top = real("levels", levels), self.num_levels - 1
        if found.shape[-1:] != (self.num_weights,):
            raise InputError(
                f"levels of shape {found.shape}: give {self.num_weights} of them, (..., {self.num_weights})"
            )
        is_level = (found >= 0) & (found <= top) & (found == np.floor(found))
        if not is_level.all():
            raise InputError(f"level {found[~is_level][0]:g} is not a whole number from 0 to {top}")
        u = found.astype(np.int64)
        return ((u @ self.A + self.b) * u).sum(axis=-1) + self.c

    @cached_property
    def start_energy(self) -> int:
        """The energy of `start`: what is had without a solver."""
        return int(self.energy(self.start))

    def problem(self) -> LayerProblem:
        """Return it for this project's solvers: one unit, whose weights are the levels where these move anything.

        `annealtrain.LayerProblem.of(instance.problem())` has `solve`, as it knows the solvers by their names.
        """
        half, (_, num_levels) = (self.num_levels - 1) / 2, spins_and_levels(None, self.num_levels)
        bits = self.bits if num_levels is None else None
        centre, E0 = np.full((1, self.num_weights), half), np.array([float(self.c)])
        given = (self.A.astype(np.float64), self.b.astype(np.float64)[None], E0, centre, half, bits)
        return LayerProblem.of_symmetric(*given, num_levels=num_levels, convex=self.convex)

    def form(self) -> QuadraticForm:
        """Return it as a quadratic form: `to_bqm()` of it is dimod's model."""
        return self.problem().unit(0)

    def to_bytes(self) -> bytes:
        """Return the content of a file that `load` reads."""
        triangle = self.A[np.triu_indices(self.num_weights)]
        plain = {name: getattr(self, name) for name in ("name", "num_levels", "convex", "about")} | {"c": str(self.c)}
        buffer = io.BytesIO()
        A, b, start = _small(triangle), _small(self.b), _small(self.start)
        np.savez_compressed(buffer, A=A, b=b, start=start, plain=np.array(json.dumps(plain)))
        return buffer.getvalue()


@dataclass(frozen=True)
class Known:
    """What is known of an instance: hash, and its lowest energy found, with levels (N,) that have it.

    bound: no state is lower. is_certified: the energy is the optimum. start_energy: of `Instance.start`. how: what
    found or certified it. about: spins, weights and origin.
    """

    hash: str
    energy: int
    bound: float
    is_certified: bool
    start_energy: int
    how: str
    about: Row

    def gap(self, energy: float) -> float:
        """Return (E - E_best) / (E_start - E_best): 0 for the best known, 1 for the start; below 0: better."""
        return (energy - self.energy) / max(self.start_energy - self.energy, 1)


def names() -> list[str]:
    """Return the names of the instances that are shipped, small ones first."""
    return [name for name in catalogue() if _shipped(name).is_file()]


def load(name: str | Path) -> Instance:
    """Return a shipped instance by its name, or one from a file that `annealtrain instances` wrote.

    Raises InputError for an unknown name and for what is no such file.
    """
    if isinstance(name, str) and name in catalogue():
        if not _shipped(name).is_file():
            raise InputError(
                f"instance {name} is not shipped: annealtrain instances {name} --output DIR makes its file"
            )
        return _read(_shipped(name).read_bytes(), name)
    if not isinstance(name, str | PathLike):
        raise InputError(f"instance {shown(name)} is neither a name nor a path: {LISTS}")
    path = Path(name)
    try:
        if path.suffix != ".npz" and not path.exists():
            raise unknown(str(name))
        content = files.read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({in_words(error)}): {WRITES}") from error
    return _read(content, path)


@cache
def catalogue() -> dict[str, Known]:
    """Return what is known of all instances, shipped or not, by name."""
    entries = json.loads((_folder() / "catalogue.json").read_text(encoding="utf-8"))
    return {name: Known(**entry) for name, entry in entries.items()}


def best_levels(name: str) -> Array:
    """Return levels (N,) of the lowest energy known of an instance of the catalogue; InputError for another name."""
    if name not in catalogue():
        raise unknown(name)
    with np.load(io.BytesIO((_folder() / "best.npz").read_bytes())) as held:
        levels: Array = held[name].astype(np.int32)
        return levels


def unknown(name: str) -> InputError:
    """Return the error of a name that the catalogue has not."""
    return InputError(f"there is no instance {name}{nearest(str(name), catalogue())}: annealtrain instances lists them")


def _folder() -> Any:
    return package_files("annealtrain.hamiltonian") / "field"


def _shipped(name: str) -> Any:
    return _folder() / f"{name}.npz"


def _read(content: bytes, where: object) -> Instance:
    if not content.startswith(ZIP):
        raise InputError(f"{where} is no instance: write it with annealtrain instances --format npz")
    try:
        triangle, b, start, text = archives.arrays(content, MOST_UNPACKED, PARTS).values()
        N = len(b) if b.ndim == 1 else 0
        if triangle.shape != (N * (N + 1) // 2,) or not triangle.dtype.kind == b.dtype.kind == start.dtype.kind == "i":
            raise ValueError(f"its A {triangle.shape} and b {b.shape} are no whole numbers of one Hamiltonian")
        plain = json.loads(str(text))
        if not isinstance(plain, dict) or plain.keys() != {"name", "num_levels", "convex", "about", "c"}:
            raise ValueError("it says nothing of its levels")
        memory.require(4 * 8 * N * N, f"instance {where} of {N} weights", "take a smaller one")
        A = np.zeros((N, N), np.int64)
        A[np.triu_indices(N)] = triangle
        A = np.triu(A) + np.triu(A, 1).T
        plain |= {"c": int(plain["c"])}
        return Instance(A=A, b=b.astype(np.int64), start=start.astype(np.int64), **plain)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{where} is no instance ({in_words(error)}): {WRITES}") from error


def _small(values: Array) -> Array:
    """Return whole numbers in the smallest type that holds them."""
    low, high = (int(each) for each in (values.min(), values.max()))
    return values.astype(np.promote_types(np.min_scalar_type(min(low, -1)), np.min_scalar_type(max(high, 0))))
