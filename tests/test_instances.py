"""The instances of real layers: their numbers, what is known of them, their files, and the command that writes them."""

import json
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import pytest
from conftest import finished, started

import annealtrain
from annealtrain.commands import instances as command
from annealtrain.commands.field import making
from annealtrain.commands.field.making import chimera, make
from annealtrain.commands.field.specs import SPECS
from annealtrain.errors import InputError
from annealtrain.hamiltonian import instances
from annealtrain.hamiltonian.instances import Instance, best_levels, catalogue, load, names

SMALL = "digits-linear_small-step-2"
CHEAP = [spec for spec in SPECS if spec.data == "digits" and spec.name != "digits-linear2-grid-ternary"]
FOLDER = Path(instances.__file__).parent / "field"


def test_forty_are_known_and_the_small_ones_are_shipped() -> None:
    assert [spec.name for spec in SPECS] == list(catalogue())
    assert len(SPECS) == 40
    assert names() == [spec.name for spec in SPECS if spec.is_shipped]
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 300_000
    spins = [known.about["spins"] for known in catalogue().values()]
    assert (min(spins), max(spins)) == (16, 8192)
    assert {known.about["couplings"] for known in catalogue().values()} == {"shared", "own"}
    assert annealtrain.instances is instances


@pytest.mark.parametrize("name", names())
def test_what_is_known_of_an_instance_holds(name: str) -> None:
    instance, known = load(name), catalogue()[name]
    assert instance.hash == known.hash
    assert instance.energy(best_levels(name)) == known.energy
    assert instance.start_energy == known.start_energy > known.energy >= known.bound
    assert known.is_certified == (known.bound == known.energy)
    assert (known.gap(known.energy), known.gap(known.start_energy)) == (0, 1)
    form = instance.form()
    levels = np.random.default_rng(0).integers(0, instance.num_levels, (5, instance.num_weights))
    exact = instance.energy(levels)
    np.testing.assert_allclose(form.energy(form.weights(levels)), exact, rtol=1e-9)
    assert np.linalg.eigvalsh(form.J)[0] > -1e-6 * np.abs(form.J).max() or not instance.convex


def test_the_certified_optimum_of_the_smallest_is_the_least_of_all() -> None:
    instance = load(SMALL)
    every = np.array(list(product(range(4), repeat=8)))
    assert instance.energy(every).min() == catalogue()[SMALL].energy
    assert catalogue()[SMALL].is_certified


@pytest.mark.parametrize("spec", CHEAP, ids=lambda spec: spec.name)
def test_an_instance_is_made_again_to_the_same_hash(spec) -> None:  # type: ignore[no-untyped-def]
    assert make(spec, None).hash == catalogue()[spec.name].hash


def test_the_order_of_sums_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As other kernels of a BLAS library add: here samples in another order."""
    samples, order = making._samples, np.random.default_rng(0).permutation(512)
    monkeypatch.setattr(making, "_samples", lambda *given: tuple(part[order] for part in samples(*given)))
    making._network.cache_clear()
    for name in ("digits-linear-step-4", "digits-conv1-step-4", "digits-linear1-step-2"):
        spec = next(spec for spec in SPECS if spec.name == name)
        assert make(spec, None).hash == catalogue()[name].hash
    making._network.cache_clear()


KERNELS = """
import sys
import numpy as np, threadpoolctl
np.ones((9, 9)) @ np.ones((9, 9))
print(*{part.get("architecture") for part in threadpoolctl.threadpool_info()})
from annealtrain.commands.field.making import make
from annealtrain.commands.field.specs import SPECS
for spec in SPECS:
    if spec.name in sys.argv[1:]:
        print(spec.name, make(spec, None).hash)
"""


@pytest.mark.parametrize("kernel", ["Haswell", "Sandybridge"])
def test_hashes_are_the_same_with_another_kernel_of_blas(kernel: str, tmp_path: Path) -> None:
    asked = [spec.name for spec in CHEAP if spec.network in ("linear", "two_conv", "three_linear")]
    (tmp_path / "hashes.py").write_text(KERNELS)
    known = {"OPENBLAS_CORETYPE": kernel, "NPY_DISABLE_CPU_FEATURES": "AVX512F" if kernel == "Sandybridge" else ""}
    outcome = finished(started([sys.executable, "hashes.py", *asked], tmp_path, **known))
    assert outcome.code == 0, outcome.err
    used, *lines = outcome.out.splitlines()
    if kernel not in used:
        pytest.skip(f"NumPy's BLAS does not change its kernel here: {used}")
    assert dict(line.split() for line in lines) == {name: catalogue()[name].hash for name in asked}


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_chimera_graphs(cells: int) -> None:
    coupled = chimera(cells)
    assert np.array_equal(coupled, coupled.T)
    assert coupled.sum() == 2 * (16 * cells**2 + 8 * cells * (cells - 1))
    assert coupled.sum(axis=0).max() <= 6


def test_sparse_instances_have_the_couplings_of_their_graph_alone() -> None:
    for name, cells in (("digits-chimera-2", 2), ("digits-chimera-4", 4)):
        model = load(name).form().to_bqm()
        assert model.num_variables == 8 * cells**2
        assert all(chimera(cells)[i, j] for i, j in model.quadratic)


def test_an_instance_is_kept_by_its_file(tmp_path: Path) -> None:
    instance = load(SMALL)
    (tmp_path / "mine.npz").write_bytes(instance.to_bytes())
    again = load(tmp_path / "mine.npz")
    assert (again.hash, again.name, again.about) == (instance.hash, instance.name, instance.about)


def test_what_is_no_instance_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_text("no file of NumPy's")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "odd.npz", A=np.ones(2), b=np.ones(3), start=np.ones(3), plain=np.array("{}"))
    (tmp_path / "half.npz").write_bytes(load(SMALL).to_bytes()[:900])
    np.savez(tmp_path / "objects.npz", A=np.array([None]), b=np.ones(1), start=np.ones(1), plain=np.array("{}"))
    with pytest.raises(InputError, match=r"objects.npz is no instance \(it does not hold arrays of numbers alone\): "):
        load(tmp_path / "objects.npz")
    for name in ("other", "odd", "half"):
        with pytest.raises(InputError, match=r"is no instance .*: annealtrain instances writes such files"):
            load(tmp_path / f"{name}.npz")
    with pytest.raises(InputError, match="did you mean 'digits-linear-step-1'"):
        load("digits-linear-step1")
    with pytest.raises(InputError, match="is not shipped: annealtrain instances mnist-linear-step-8 --output DIR"):
        load("mnist-linear-step-8")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.npz")


PLAIN = {"name": "mine", "num_levels": 2, "convex": False, "about": {}, "c": "0"}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"A": np.array([0.5, 1, 2])}, "whole numbers"),
        ({"A": np.array([1j, 1, 2])}, "whole numbers"),
        ({"b": np.array(["1", "2"])}, "whole numbers"),
        ({"A": np.arange(4).reshape(2, 2)}, "whole numbers"),
        ({"A": np.arange(2)}, "whole numbers"),
        ({"A": np.array([2**62, 0, 0])}, "beyond 64 bits"),
        ({"start": np.array([5, -7])}, "start has values that are not whole numbers from 0 to 1"),
        ({"plain": PLAIN | {"num_levels": 1}}, "num_levels=1 is not a whole number from 2 to 65536"),
        ({"plain": PLAIN | {"num_levels": 2.5}}, "num_levels=2.5 is not"),
        ({"plain": PLAIN | {"num_levels": "2"}}, "num_levels='2' is not"),
        ({"plain": PLAIN | {"name": ["a"]}}, r"name=\['a'\] is not a name"),
        ({"plain": PLAIN | {"name": "x\x1b[31m"}}, "is not a name"),
        ({"plain": PLAIN | {"convex": "no"}}, "convex='no' is not one of true, false"),
        ({"plain": PLAIN | {"about": [1]}}, "is not a mapping"),
        ({"plain": PLAIN | {"c": "9" * 30}}, "c=9999"),
        ({"plain": PLAIN | {"A": 1}}, "says nothing of its levels"),
        ({"plain": [1]}, "says nothing of its levels"),
    ],
)
def test_numbers_that_no_instance_has_are_refused(parts: dict[str, object], said: str, tmp_path: Path) -> None:
    held = {"A": np.arange(3), "b": np.zeros(2, int), "start": np.zeros(2, int), "plain": PLAIN} | parts
    np.savez(tmp_path / "x.npz", **held | {"plain": np.array(json.dumps(held["plain"]))})
    with pytest.raises(InputError, match=said):
        load(tmp_path / "x.npz")


@pytest.mark.parametrize("name", [None, 3, ["a"], b"x.npz", "x" * 5000, "a\0.npz"])
def test_what_is_no_name_is_one_line(name: Any) -> None:
    with pytest.raises(InputError):
        load(name)


@pytest.mark.parametrize("kind", ["bqm", "coo", "qubo", "lp", "npy", "empty"])
def test_another_format_is_told_the_one_that_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "npy":
        np.save(path, np.ones(3))
    else:
        path.write_bytes(b"" if kind == "empty" else command.content(load(SMALL), kind))
    with pytest.raises(InputError) as told:
        load(path)
    assert str(told.value) == f"{path} is no instance: write it with annealtrain instances --format npz"


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([9] * 8, "level 9 is not a whole number from 0 to 3"),
        ([0] * 7 + [-1], "level -1 is not a whole number from 0 to 3"),
        ([0.5] * 8, "level 0.5 is not a whole number from 0 to 3"),
        ([np.nan] * 8, "level nan is not a whole number from 0 to 3"),
        ([1] * 3, "levels of shape (3,): give 8 of them, (..., 8)"),
        (2, "levels of shape (): give 8 of them, (..., 8)"),
        (["a"] * 8, "levels is not an array of numbers"),
    ],
)
def test_what_is_no_level_has_no_energy(levels: object, said: str) -> None:
    with pytest.raises(InputError) as told:
        load(SMALL).energy(levels)
    assert str(told.value) == said


def test_levels_are_counted_whatever_their_shape_and_type() -> None:
    one = load(SMALL)
    assert one.energy(np.zeros((0, 8), np.int64)).shape == (0,)
    assert one.energy(np.full((2, 3, 8), 3, np.uint8)).tolist() == [[one.energy([3.0] * 8)] * 3] * 2


def test_best_levels_are_of_the_catalogue() -> None:
    with pytest.raises(InputError, match="there is no instance x: annealtrain instances lists them"):
        best_levels("x")
    with pytest.raises(InputError, match="there is no instance digits-chimera2; did you mean 'digits-chimera-2'"):
        best_levels("digits-chimera2")


def test_the_public_problem_of_an_instance_solves_it() -> None:
    problem = annealtrain.LayerProblem.of(load(SMALL).problem())
    found = problem.solve("exact")
    assert found.energies[0, 0] == pytest.approx(catalogue()[SMALL].energy, rel=1e-9)
    assert load(SMALL).energy(found.levels[0, 0]) == catalogue()[SMALL].energy


def test_energies_beyond_64_bits_are_refused() -> None:
    A = np.full((4, 4), 2**55, np.int64)
    with pytest.raises(ValueError, match="beyond 64 bits"):
        Instance("large", A, np.zeros(4, np.int64), 0, 256, np.zeros(4, np.int64), True)


def test_the_command_lists_all(cli: Callable) -> None:
    outcome = cli("instances")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert len(lines) == 41
    assert lines[1].split()[:4] == [SMALL, "8", "4", "16"]
    assert "optimum" in lines[1]


def test_the_command_lists_those_that_are_named(cli: Callable) -> None:
    outcome = cli("instances", "digits-chimera-2", SMALL, SMALL)
    assert outcome.code == 0, outcome.err
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["instance", "digits-chimera-2", SMALL]


def test_the_command_writes_files_that_others_read(cli: Callable, tmp_path: Path) -> None:
    for kind in ("npz", "bqm", "coo", "qubo", "lp"):
        outcome = cli("instances", SMALL, "--format", kind, "--output", "files")
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith(f"files/{SMALL}.{kind}: 16 spins, hash {catalogue()[SMALL].hash}")
    assert load(tmp_path / "files" / f"{SMALL}.npz").hash == catalogue()[SMALL].hash
    with open(tmp_path / "files" / f"{SMALL}.bqm", "rb") as file:
        model = dimod.BinaryQuadraticModel.from_file(file)
    form = load(SMALL).form()
    spins = form.encoding.spins(best_levels(SMALL))
    assert model.energy(spins) == pytest.approx(catalogue()[SMALL].energy, rel=1e-9)


def test_without_images_the_others_are_written(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [spec for spec in SPECS if spec.name in (SMALL, "mnist-linear-step-1")]
    monkeypatch.setattr(command, "SPECS", few)
    outcome = cli("instances", "--output", "files")
    assert outcome.code == 0
    assert "left out: mnist-linear-step-1: dataset mnist is not at" in outcome.out
    assert [path.name for path in (tmp_path / "files").iterdir()] == [f"{SMALL}.npz"]
    assert "exists: give --output another name, or add --force" in cli("instances", SMALL, "--output", "files").err
    assert cli("instances", SMALL, "--output", "files", "--force").code == 0
    assert "dataset mnist is not at" in cli("instances", "mnist-linear-step-1", "--output", "files").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([SMALL, "--format", "coo"], "--output is missing: a folder for the files"),
        ([SMALL, "--force"], "--output is missing: a folder for the files"),
        (
            [SMALL, "digits-linear-step1"],
            "there is no instance digits-linear-step1; did you mean 'digits-linear-step-1'",
        ),
        (["nothing", "--output", "x"], "there is no instance nothing"),
        (
            [SMALL, "--output", "x", "--format", "bqn"],
            "--format bqn is not one of npz, bqm, coo, qubo, lp; did you mean",
        ),
    ],
)
def test_bad_words_are_one_line(refused: Callable, words: list[str], said: str) -> None:
    assert said in refused("instances", *words)


def test_another_hash_than_the_catalogues_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = load(SMALL)
    other = Instance(SMALL, instance.A, instance.b, instance.c + 1, 4, instance.start, True)
    with pytest.raises(InputError, match="the images are others, or this version makes it otherwise"):
        command.check_hash(other, catalogue()[SMALL])
