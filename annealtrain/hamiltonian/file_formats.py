"""A unit's Hamiltonian in files that other tools read, and how exports are written."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import memory

if TYPE_CHECKING:
    import dimod

TEXT_BYTES = 60  # a pair of spins in a text format, with what building it holds


def hamiltonian(form: QuadraticForm, kind: str, title: str) -> bytes:
    """Return unit's Hamiltonian as the content of a file: `bqm`, `coo`, `qubo` or `lp`.

    Energies are the loss, constants included where the format has a place for them, else in a comment. Spin j n + a is
    bit a of weight j (Eq. 7); a binary variable is x = (1 + spin) / 2. title: said in a comment where there are any.
    Raises InputError for an unknown format, or where the Hamiltonian does not fit in memory.
    """
    if kind not in FORMATS:
        raise InputError(f"--format {kind} is not one of {', '.join(FORMATS)}")
    spins = form.S0.size * form.bits
    if kind != "bqm":
        size = TEXT_BYTES * spins * (spins - 1) // 2
        memory.require(size, f"{kind} text of {spins} spins", "take --format bqm, lower bits or take a smaller layer")
    return FORMATS[kind](form.to_bqm(), title)


def _bqm(model: "dimod.BinaryQuadraticModel", title: str) -> bytes:
    """dimod's own file: dimod.BinaryQuadraticModel.from_file reads it."""
    with model.to_file() as file:
        content: bytes = file.read()
    return content


def _coo(model: "dimod.BinaryQuadraticModel", title: str) -> bytes:
    """Lines `i j bias` of spins, every digit of a bias, without exponents: dimod.serialization.coo reads it."""
    head = ["# vartype=SPIN", f"# {title}", f"# add to an energy: {float(model.offset)!r}"]
    return _text([*head, *(f"{i} {j} {_positional(bias)}" for i, j, bias in _entries(model))])


def _positional(value: float) -> str:
    return np.format_float_positional(value, unique=True, trim="0")


def _qubo(model: "dimod.BinaryQuadraticModel", title: str) -> bytes:
    """qbsolv's file: `p qubo 0 nodes nodes couplers`, the nodes `i i bias`, then the couplers `i j bias`, i < j."""
    import dimod

    binary = model.change_vartype(dimod.BINARY, inplace=False)
    nodes, couplers = binary.num_variables, binary.num_interactions
    head = [f"c {title}; x = (1 + spin) / 2", f"c add to an energy: {float(binary.offset)!r}"]
    head.append(f"p qubo 0 {nodes} {nodes} {couplers}")
    return _text([*head, *(f"{i} {j} {bias!r}" for i, j, bias in _entries(binary))])


def _lp(model: "dimod.BinaryQuadraticModel", title: str) -> bytes:
    """CPLEX's LP file, binary variables x0, x1, ...: dimod.lp and the solvers of that format read it."""
    import dimod

    binary = model.change_vartype(dimod.BINARY, inplace=False)
    binary.relabel_variables({spin: f"x{spin}" for spin in range(binary.num_variables)})
    whole = dimod.ConstrainedQuadraticModel.from_bqm(binary)
    return _text([f"\\ {title}; x = (1 + spin) / 2", dimod.lp.dumps(whole)])


FORMATS: dict[str, Callable[["dimod.BinaryQuadraticModel", str], bytes]] = {
    "bqm": _bqm,
    "coo": _coo,
    "qubo": _qubo,
    "lp": _lp,
}


def _entries(model: "dimod.BinaryQuadraticModel") -> Iterable[tuple[int, int, float]]:
    """Yield the linear biases of all variables, then those of the pairs, i < j, in order."""
    vectors = model.to_numpy_vectors(range(model.num_variables), sort_indices=True)
    linear, (row, column, bias) = vectors[0], vectors[1]
    yield from ((i, i, value) for i, value in enumerate(linear.tolist()))
    yield from zip(row.tolist(), column.tolist(), bias.tolist(), strict=True)


def _text(lines: Iterable[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
