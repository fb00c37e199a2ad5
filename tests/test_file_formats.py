"""Hamiltonians in other tools' files, read back and compared; whole files only, and none lost."""

import io
import re
from pathlib import Path

import dimod
import numpy as np
import pytest
from dimod.serialization import coo

from annealtrain.commands import export
from annealtrain.errors import InputError
from annealtrain.hamiltonian import file_formats
from annealtrain.hamiltonian.file_formats import hamiltonian
from annealtrain.runtime import memory
from annealtrain.testing import random_problem


@pytest.fixture(params=[None, 0.1])
def form(request):
    """Unit 1 of a layer with a dead weight; 2 bits, so 12 spins."""
    return random_problem(M=2, N=6, bits=2, alpha=request.param, dead=(2,)).unit(1)


def some_levels(form, count=50):
    return np.random.default_rng(0).integers(0, 2**form.bits, (count, form.S0.size))


def assert_same_energies(form, model, offset=0.0):
    """Assert that a model on spins or binary variables 0..11 has the layer's loss."""
    assert set(model.variables) == set(range(12))
    levels = some_levels(form)
    spins = form.encoding.spins(levels)
    states = spins if model.vartype is dimod.SPIN else (spins + 1) // 2
    found = model.energies((states, range(12))) + offset
    np.testing.assert_allclose(found, form.energy(form.weights(levels)), rtol=1e-12)


def test_bqm_is_read_by_dimod(form):
    model = dimod.BinaryQuadraticModel.from_file(io.BytesIO(hamiltonian(form, "bqm", "")))
    assert model.vartype is dimod.SPIN
    assert_same_energies(form, model)


def offset(text):
    return float(re.search(r"add to an energy: (\S+)$", text, re.MULTILINE)[1])


def test_coo_is_read_by_dimod(form):
    text = hamiltonian(form, "coo", "a title").decode()
    model = coo.loads(text)
    assert model.vartype is dimod.SPIN
    assert "# a title\n" in text
    assert_same_energies(form, model, offset(text))


def test_coo_holds_tiny_biases_to_the_last_digit():
    """The format knows no exponents, and dimod's own writer keeps six decimals."""
    model = dimod.BinaryQuadraticModel.from_ising({0: 1.23456789012345e-17, 1: 3e20}, {(0, 1): -7e-9})
    assert coo.loads(file_formats._coo(model, "").decode()) == model


def read_qubo(text):
    """Read qbsolv's format: comments, one program line, nodes, then couplers."""
    lines = [line.split() for line in text.splitlines() if not line.startswith("c")]
    _p, _qubo, target, most, nodes, couplers = lines[0]
    biases = [(int(i), int(j), float(bias)) for i, j, bias in lines[1:]]
    linear = {i: bias for i, j, bias in biases if i == j}
    quadratic = {(i, j): bias for i, j, bias in biases if i != j}
    assert (lines[0][:2], target) == (["p", "qubo"], "0")
    assert all(i == j for i, j, _ in biases[: int(nodes)])
    assert all(i < j for i, j, _ in biases[int(nodes) :])
    assert (len(linear), len(quadratic), max(linear) + 1) == (int(nodes), int(couplers), int(most))
    return dimod.BinaryQuadraticModel(linear, quadratic, 0.0, "BINARY")


def test_qubo_has_the_form_that_qbsolv_reads(form):
    text = hamiltonian(form, "qubo", "a title").decode()
    assert text.startswith("c a title; x = (1 + spin) / 2\n")
    assert_same_energies(form, read_qubo(text), offset(text))


def test_lp_is_read_by_dimod(form):
    content = hamiltonian(form, "lp", "a title")
    assert content.startswith(b"\\ a title; x = (1 + spin) / 2\nMinimize")
    model = dimod.lp.load(io.BytesIO(content))
    assert not model.constraints
    read = model.objective
    objective = dimod.BinaryQuadraticModel(dict(read.linear), dict(read.quadratic), read.offset, "BINARY")
    for spin in (4, 5):  # of the dead weight: an LP file has no place for a variable without a bias
        objective.add_variable(f"x{spin}")
    objective.relabel_variables({f"x{spin}": spin for spin in range(12)})
    assert_same_energies(form, objective)


def test_an_unknown_format_and_a_text_too_large(form, monkeypatch):
    with pytest.raises(InputError, match="--format mps is not one of bqm, coo, qubo, lp"):
        hamiltonian(form, "mps", "")
    monkeypatch.setattr(memory, "available_bytes", lambda: 3000)
    with pytest.raises(InputError, match=r"coo text of 12 spins needs 4 kB; 3 kB are available: take --format bqm"):
        hamiltonian(form, "coo", "")


def test_files_are_whole_and_not_overwritten_silently(tmp_path: Path, monkeypatch):
    path = tmp_path / "x.coo"
    export.check_free(path, force=False)
    export.write(path, b"old")
    with pytest.raises(InputError, match="exists: give --output another name, or add --force"):
        export.check_free(path, force=False)
    export.check_free(path, force=True)
    with pytest.raises(InputError, match=r"exists: give --output another name$"):
        export.check_free(tmp_path, force=True)
    with pytest.raises(InputError, match="there is no folder"):
        export.check_free(tmp_path / "no" / "x", force=False)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(InputError, match=r"cannot write .* \(No space left on device\)"):
        export.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [path]
