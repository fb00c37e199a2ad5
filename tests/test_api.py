"""annealtrain from Python: runs, their tables and plots, layers as problems, weights put back, errors in one line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import LIMIT_S, assert_same_run

import annealtrain
from annealtrain.errors import InputError
from annealtrain.solvers.coordinate_descent import CoordinateDescent

SMALL = ("model=three_linear", "dataset=digits", "samples=150", "validation=50", "bits=3")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run by gauss_newton, one by difference and one by kronecker, each of two epochs."""
    folder = tmp_path_factory.mktemp("python") / "made"
    for optimizer in ("gauss_newton", "difference", "kronecker"):
        annealtrain.train(*SMALL, f"optimizer={optimizer}", epochs=2, folder=folder / optimizer)
    return folder


def test_the_public_names_are_all_that_is_shown() -> None:
    classes = ["AnnealClassifier", "AnnealRegressor", "IsingSolver", "LayerProblem", "Run"]
    names = [*classes, "__version__", "anneal", "load", "quantize", "quantize_layer", "train", "tts"]
    assert sorted(dir(annealtrain)) == names
    assert all(getattr(annealtrain, name) is not None for name in names)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = annealtrain.trian


def test_a_run_by_keywords_is_that_of_the_words(runs: Path, tmp_path: Path) -> None:
    words = [word.split("=") for word in SMALL]
    values = {name: int(value) if value.isdecimal() else value for name, value in words}
    annealtrain.train(**values, epochs=2, folder=tmp_path / "a" / "b")  # with the folders above it
    assert_same_run(runs / "gauss_newton", tmp_path / "a" / "b")


def test_a_run_tells_its_tables(runs: Path) -> None:
    run = annealtrain.load(str(runs / "gauss_newton"))
    assert list(run.metrics.epoch) == [0, 1, 2]
    assert run.metrics.test_accuracy.iloc[-1] == run.result["last"]["test_accuracy"]
    assert sorted(set(run.solves.layer)) == [0, 1, 2]
    assert repr(run).startswith(f"Run({str(runs / 'gauss_newton')!r}: three_linear, digits, GaussNewton, Simulated")
    assert "finished" in repr(run)
    assert run.config["epochs"] == 2


@pytest.mark.parametrize("optimizer", ["gauss_newton", "difference", "kronecker"])
def test_a_layers_problem_is_about_its_own_weights(runs: Path, optimizer: str) -> None:
    run = annealtrain.load(runs / optimizer)
    problem = run.problem(layer=1)
    np.testing.assert_array_equal(problem.S0, run.weights(1))
    found = problem.solve("descent")
    assert np.abs(found.weights - problem.S0[:, None]).max() <= problem.half_range * (1 + 1e-12)
    # J is a product in float32, which BLAS rounds in its own way for each number of its threads
    np.testing.assert_allclose(found.energies[:, 0], problem.energies(found.best_weights), rtol=1e-9)


def test_the_energy_of_a_gauss_newton_problem_is_the_loss(runs: Path) -> None:
    """At the present weights it is the training loss and its ridge, 3e-4 |W|^2 of the layer, to float32's rounding."""
    run = annealtrain.load(runs / "gauss_newton")
    penalty = 3e-4 * (run.weights(1) ** 2).sum()
    problem = run.problem(layer=1)
    np.testing.assert_allclose(problem.energies(problem.S0), run.evaluate()["train_loss"] + penalty, rtol=1e-5)


def test_the_repr_says_units_weights_bits_spins_and_range(runs: Path) -> None:
    problem = annealtrain.load(runs / "difference").problem(layer=2)
    assert repr(problem) == "LayerProblem(10 units of 64 weights, a J each; 3 bits, 192 spins a unit; L = 0.01)"


def test_a_solution_put_back_is_scored_and_the_folder_is_left_alone(runs: Path) -> None:
    before = {path.name: path.read_bytes() for path in (runs / "gauss_newton").iterdir()}
    run = annealtrain.load(runs / "gauss_newton")
    scores = run.evaluate()
    assert scores == {name: run.result["last"][name] for name in scores}
    problem = run.problem(layer=2)
    found = problem.solve("sa", num_sweeps=50)
    lowest = int((found.energies[:, 0] - found.start_energies).argmin())
    assert found.energies[lowest, 0] < found.start_energies[lowest]
    run.set_unit(2, lowest, found.weights[lowest, 0])
    assert run.evaluate()["train_loss"] < scores["train_loss"]
    run.set_weights(2, problem.S0)
    assert run.evaluate() == scores
    assert {path.name: path.read_bytes() for path in (runs / "gauss_newton").iterdir()} == before


def test_any_solver_by_name_or_as_an_object(runs: Path) -> None:
    problem = annealtrain.load(runs / "difference").problem(layer=2)
    by_name = problem.solve("descent", num_starts=3, seed=1)
    by_object = problem.solve(CoordinateDescent(num_starts=3), seed=1)
    np.testing.assert_array_equal(by_name.levels, by_object.levels)
    assert problem.solve("neal", num_sweeps=2).energies.shape == (10, 1)


def test_plots_leave_matplotlib_as_it_is(runs: Path) -> None:
    """In a process of its own, with a backend that is not the one for files."""
    code = (
        "import matplotlib; matplotlib.use('svg'); import annealtrain, matplotlib.pyplot as plt, sys;"
        "before = dict(matplotlib.rcParams); figure = annealtrain.load(sys.argv[1]).plot();"
        "assert dict(matplotlib.rcParams) == before; assert matplotlib.get_backend() == 'svg';"
        "assert not plt.get_fignums(); print(figure._repr_png_()[1:4].decode())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, runs / "gauss_newton"], capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    assert told.stdout == "PNG\n"


def test_a_problem_of_lists_has_solve_too() -> None:
    problem = annealtrain.LayerProblem.from_rows([[1, 0], [0, 1], [1, 1]], [[1], [2], [3]], [[0.0, 0.0]], 4.0, 4)
    found = problem.solve("exact")
    assert found.energies[0, 0] == pytest.approx(problem.energies(found.best_weights)[0])
    np.testing.assert_allclose(found.best_weights, [[1.0, 2.0]], atol=4 / 15)  # half a step of 8 / 15


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda run: annealtrain.train(epohs=3), "no setting 'epohs'; did you mean 'epochs'?"),
        (lambda run: annealtrain.train("targets=pinv"), "this is called optimizer=pinv now"),
        (lambda run: annealtrain.train("hydra.run.dir=x"), "is for the command line: write folder="),
        (lambda run: annealtrain.train(hydra={"run": {"dir": "x"}}), "is for the command line: write folder="),
        (lambda run: annealtrain.train(sweep="search"), "is for the command line: write folder="),
        (lambda run: annealtrain.train(config_dir="nowhere"), "there is no folder"),
        (lambda run: run.weights("a"), "layer a: trainable layers are counted"),
        (lambda run: run.set_unit(0, 0, "abc"), "weights is not an array of numbers"),
        (lambda run: annealtrain.load("nowhere"), "nowhere is not a run folder"),
        (lambda run: run.problem(layer=3), "layer 3: trainable layers are counted from 0 to 2"),
        (lambda run: run.set_unit(0, 128, np.zeros(64)), "unit 128: layer 0 has 128 units, 0 to 127"),
        (lambda run: run.set_unit(0, 0, [1.0]), r"weights of shape \(1,\): give \(64,\)$"),
        (lambda run: run.set_unit(0, 0, [np.nan] * 64), "^weights hold nan: all must be finite numbers$"),
        (lambda run: run.set_weights(2, np.full((10, 64), np.inf)), "^weights hold inf: "),
        (lambda run: run.problem(2).solve("nael"), "solver=nael is not known; did you mean 'neal'?"),
        (lambda run: run.problem(2).solve("sa", sweeps=3), "no setting 'sweeps'"),
        (lambda run: run.problem(2).solve("exact"), "solver=exact enumerates at most 24"),
        (lambda run: run.problem(2).solve(CoordinateDescent(), num_starts=2), "num_starts"),
    ],
)
def test_what_cannot_be_is_one_line(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call, said) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said.replace("?", r"\?")) as caught:
        call(annealtrain.load(runs / "gauss_newton"))
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_arguments_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trust=1 is not a module's name, or a list of such names"):
        annealtrain.load(tmp_path, trust=1)  # type: ignore[arg-type]
    problem = annealtrain.LayerProblem.from_moments(np.eye(2), np.ones((1, 2)), np.zeros(1), np.zeros((1, 2)), 1.0, 2)
    with pytest.raises(InputError, match="num_reads="):
        problem.solve("sa", num_reads={})
