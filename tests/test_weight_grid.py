"""Weights on a grid: their levels, the Hamiltonians that move them, and what a run on a grid leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import dimod
import numpy as np
import pandas as pd
import pytest
from conftest import composed

from annealtrain.errors import InputError
from annealtrain.experiment.builder import build
from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn.layers import Flatten, Linear
from annealtrain.nn.network import Network
from annealtrain.optimizers.gauss_newton import GaussNewton
from annealtrain.optimizers.kronecker import Kronecker
from annealtrain.optimizers.optimizer import Step
from annealtrain.optimizers.weight_grid import GridLayer, WeightGrid, codes, distinct_levels
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.coordinate_descent import CoordinateDescent
from annealtrain.solvers.exact import Exact
from annealtrain.testing import OptimizerContract
from annealtrain.training.callback import Checkpoint

LEVELS = (2, 3, 4, 5, 16)
QUICK = ("model=two_linear_small", "samples=60", "validation=20", "epochs=4", "threads=1", "grid=fixed")


def grid_layer(num_levels: int, moves: int | None = None, units: int = 3, weights: int = 7) -> GridLayer:
    drawn = np.random.default_rng(num_levels).normal(size=(units, weights))
    return GridLayer.nearest(drawn, WeightGrid(num_levels, moves))


def form_of(layer: GridLayer, unit: int = 0):
    """Return a convex Hamiltonian of one unit, h drawn, and its problem."""
    rng = np.random.default_rng(unit)
    half, h = rng.normal(size=(9, layer.levels.shape[1])), rng.normal(size=layer.levels.shape[1])
    couplings = Couplings(half.T @ half / 9, np.ones(len(h), bool))
    return couplings, h, layer.problem([unit], couplings, h[None])


@pytest.mark.parametrize("num_levels", LEVELS)
def test_the_nearest_grid_is_the_best_of_its_levels_and_of_its_scale(num_levels: int) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 50))
    found = GridLayer.nearest(weights, WeightGrid(num_levels))
    top = num_levels - 1
    assert found.levels.min() >= 0
    assert found.levels.max() <= top
    least = ((found.weights - weights) ** 2).sum(axis=1)
    for scale in (0.9, 1.1):
        other = GridLayer(found.levels, found.scales * scale, found.grid)
        assert (((other.weights - weights) ** 2).sum(axis=1) > least).all()
    assert np.abs(found.weights - weights).mean() < 2 / top


@pytest.mark.parametrize("num_levels", LEVELS)
def test_codes_give_the_weights_back_whatever_levels_a_unit_leaves_out(num_levels: int) -> None:
    layer = grid_layer(num_levels, units=4, weights=30)
    middle = num_levels // 2
    layer.levels[1] = np.clip(layer.levels[1], middle - 1, middle)  # the two inner levels alone
    layer.levels[2] = num_levels - 1
    weights = layer.weights
    levels, scales = codes(weights, num_levels)
    np.testing.assert_allclose(scales[:, None] * (2 * levels / (num_levels - 1) - 1), weights, rtol=1e-12, atol=1e-12)
    assert codes(np.random.default_rng(1).normal(size=(2, 9)), num_levels) is None
    assert distinct_levels(weights) <= num_levels


@pytest.mark.parametrize("num_levels", LEVELS)
def test_a_units_hamiltonian_has_its_levels_and_begins_at_the_present_ones(num_levels: int) -> None:
    layer = grid_layer(num_levels)
    couplings, h, problem = form_of(layer)
    form = problem.unit(0)
    np.testing.assert_allclose(form.weights(problem.present[0]), layer.weights[0], atol=1e-12)
    assert problem.encoding.top_level == num_levels - 1
    if num_levels <= 4:
        best = Exact().solve(problem)
        taken = grid_layer(num_levels)
        taken.take([0], best.levels[:, 0])
        S = taken.weights[0]
        assert S @ couplings.J @ S + h @ S == pytest.approx(best.energies[0, 0])
    for solver in (
        SimulatedAnnealing(1, move="greedy", start="present"),
        SimulatedAnnealing(3),
        CoordinateDescent(max_sweeps=1),
    ):
        assert solver.solve(problem).energies[0, 0] <= form.energy(layer.weights[0]) + 1e-12


def test_a_local_minimum_stays_where_it_is() -> None:
    """Which it would not from random spins, or from the level in the middle."""
    layer = grid_layer(4, weights=12)
    _, _, problem = form_of(layer)
    layer.take([0], CoordinateDescent().solve(problem).levels[:, 0])
    _, _, again = form_of(layer)
    for solver in (CoordinateDescent(), SimulatedAnnealing(4, move="greedy", start="present")):
        np.testing.assert_array_equal(solver.solve(again).levels[0, 0], layer.levels[0])


@pytest.mark.parametrize("num_levels", [3, 4, 5, 16])
def test_moves_are_held_to_a_window_that_a_wall_pushes_inwards(num_levels: int) -> None:
    layer = grid_layer(num_levels, moves=1)
    layer.levels[0, :3] = 0, num_levels - 1, 1
    _, _, problem = form_of(layer)
    assert problem.encoding.top_level == 2
    np.testing.assert_allclose(problem.unit(0).weights(problem.present[0]), layer.weights[0], atol=1e-12)
    before = layer.levels.copy()
    for corner in (0, 2):
        moved = layer.copy()
        moved.take([0], np.full((1, 7), corner, np.int32))
        change = moved.levels - before
        assert moved.levels.min() >= 0
        assert moved.levels.max() <= num_levels - 1
        assert np.abs(change).max() <= 2
        assert np.abs(change[0, 2]) == 1
        assert not change[1:].any()


class OnGrid(OptimizerContract):
    """What of the contract holds on a grid: steps are of levels, and their range is the grid."""

    lowers_to = 0.9

    def test_a_step_moves_every_layer_and_no_weight_beyond_its_range(self) -> None:
        optimizer = self.started()
        for number in range(6):
            (rows,) = self.run(optimizer, number, number + 1)
            assert sorted(row["layer"] for row in rows) == [0, 1]
            assert [distinct_levels(weights) for weights in self.weights(optimizer)] == [2, 2]

    def network(self) -> Network:
        return Network([Flatten(), Linear(9), Linear(3)], (1, 2, 4), 3, alpha=0.1)


class TestGaussNewton(OnGrid):
    def make(self, **annealing):
        return GaussNewton(**annealing).on_grid(WeightGrid(2))

    def test_the_next_problem_is_what_is_solved_next(self) -> None:
        optimizer = self.started()
        self.run(optimizer, 0, 3)
        optimizer.solver.problems.clear()
        promised = optimizer.next_problem(1, self.batch(optimizer), Step(3, 6, 3, 6))
        self.run(optimizer, 3, 4)
        solved = optimizer.solver.problems[0].unit(0)  # the last layer is the first
        forms = [promised.unit(i) for i in range(promised.num_units)]
        assert any(np.allclose(form.J, solved.J, rtol=1e-6) and np.allclose(form.h, solved.h) for form in forms)

    def test_units_are_solved_in_groups_and_a_step_that_raises_the_loss_is_undone(self) -> None:
        optimizer = self.started()
        self.run(optimizer, 0, 3)
        before = self.loss(optimizer)
        for number in (3, 4, 5):
            self.run(optimizer, number, number + 1)
            assert self.loss(optimizer) <= before + 1e-6
            before = self.loss(optimizer)


class TestKronecker(OnGrid):
    half_range = 0.02

    def make(self, **annealing):
        return Kronecker(**annealing).on_grid(WeightGrid(2))

    def test_the_next_problem_is_what_is_solved_next(self) -> None:
        with pytest.raises(InputError, match=r"grid=fixed of optimizer=kronecker"):
            self.started().next_problem(0, self.batch(self.started()), None)


class Kept:
    """Keeps the checkpoint of every epoch."""

    def __init__(self) -> None:
        self.checkpoints: list[Checkpoint] = []

    def epoch_done(self, row, solves, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)

    def solving(self, epoch: int, layer: int, done: float) -> None:
        pass


def assert_goes_on(config: dict) -> None:
    """Assert that a run goes on from each of its epochs to the same bits, built anew as `resume` does."""
    whole = Kept()
    build(config).trainer().run(whole)
    for epoch in range(1, config["epochs"]):
        experiment, rest = build(config), Kept()
        begun = whole.checkpoints[epoch]
        for layer, weights in zip(experiment.network.trainable, begun.weights, strict=True):
            layer.weights = weights
        trainer = experiment.trainer()
        trainer.restore(begun.state)
        trainer.run(rest, epoch)
        for one, other in zip(whole.checkpoints[-1].weights, rest.checkpoints[-1].weights, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("words", "levels"),
    [
        (("bits=1", "optimizer=gauss_newton", "annealing.num_sweeps=2"), 2),
        (("levels=3", "optimizer=gauss_newton", "annealing.num_sweeps=2", "fixed_grid.moves=1", "bias=true"), 3),
        (("bits=1", "optimizer=gauss_newton", "annealing.num_sweeps=2", "optimizer.loss=cross_entropy"), 2),
        (("bits=2", "optimizer=kronecker", "batch_size=15", "trainable=[1]"), 4),
        (("bits=1", "optimizer=backprop", "~solver", "~schedule", "optimizer.batch_size=10"), 2),
    ],
)
def test_a_run_ends_on_the_grid_goes_on_to_the_bit_and_exports_its_codes(
    tmp_path: Path, cli: Callable, words: tuple[str, ...], levels: int
) -> None:
    pytest.importorskip("torch")
    assert_goes_on(composed(*QUICK, *words))
    assert cli("train", *QUICK, *words, "hydra.run.dir=run").code == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert max(result["levels"]) == levels
    assert cli("eval", "run").code == 0
    assert cli("export", "run", "--format=codes").code == 0
    with np.load(tmp_path / "run" / "codes.npz") as codes, np.load(tmp_path / "run" / "last.npz") as last:
        assert codes["num_levels"] == levels
        for k in range(len(result["levels"])):
            assert codes[f"levels_{k}"].dtype == np.uint8
            given = codes[f"scales_{k}"][:, None] * (2 * codes[f"levels_{k}"] / (levels - 1.0) - 1)
            np.testing.assert_allclose(given, last[f"weights_{k}"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("optimizer=pinv",), "this optimizer cannot: take optimizer=gauss_newton or kronecker"),
        (("optimizer=difference", "levels=3"), "this optimizer cannot"),
        (("averaging=0.9",), "averaged weights leave their grid: set averaging=0"),
        (("optimizer.adaptive=false",), "set optimizer.adaptive=true"),
        (("levels=1",), "levels=1 is not a whole number of at least 2"),
        (("fixed_grid.shadow=1",), "fixed_grid.shadow=1 is not a number"),
        (("fixed_grid.moves=0",), "fixed_grid.moves=0 is not a whole number of at least 1"),
        (("optimizer=backprop", "~solver", "~schedule", "fixed_grid.moves=1"), "backprop takes null"),
        (("grid=step", "levels=3"), "nothing in this run reads levels"),
        (("grid=step", "fixed_grid.moves=1"), "nothing in this run reads fixed_grid.moves"),
    ],
)
def test_what_no_grid_can_have_is_refused(refused: Callable, words: tuple[str, ...], said: str) -> None:
    assert said in refused("train", *QUICK, *words)


@pytest.mark.parametrize(("words", "levels"), [((), 3), (("fixed_grid.moves=1", "levels=5"), 3)])
def test_an_exported_hamiltonian_gives_levels_and_the_loss_as_the_docs_say(
    tmp_path: Path, cli: Callable, words: tuple[str, ...], levels: int
) -> None:
    given = ("optimizer=gauss_newton", "epochs=4", *(words or ("levels=3",)))
    assert cli("train", *QUICK, *given, "hydra.run.dir=run").code == 0
    outcome = cli("export", "run", "--layer=1", "--unit=2", "--format=bqm")
    assert outcome.out.endswith(f"weights of {levels} levels\n")
    assert cli("export", "run", "--format=codes").code == 0
    with np.load(tmp_path / "run" / "codes.npz") as codes:
        found, scale, top = codes["levels_1"][2].astype(int), codes["scales_1"][2], int(codes["num_levels"]) - 1
    first = np.clip(found - levels // 2, 0, top + 1 - levels)  # of the levels within reach
    encoding = Encoding(float(scale) * (levels - 1) / top, 2, levels)
    with open(tmp_path / "run" / "layer1_unit2.bqm", "rb") as file:
        model = dimod.BinaryQuadraticModel.from_file(file)
    spins = encoding.spins(found - first)
    loss = float(pd.read_csv(tmp_path / "run" / "metrics.csv")["train_loss"].iloc[-1])
    assert model.energy(dict(enumerate(spins.ravel()))) == pytest.approx(loss, rel=1e-5)


def test_codes_are_of_a_grid(tmp_path: Path, cli: Callable, refused: Callable) -> None:
    words = ("samples=30", "validation=20", "epochs=1", "threads=1", "annealing.num_sweeps=1")
    assert cli("train", "model=linear_small", *words, "hydra.run.dir=run").code == 0
    assert "which a run with grid=fixed has" in refused("export", "run", "--format=codes")


@pytest.mark.parametrize("words", [("optimizer=gauss_newton",), ("optimizer=kronecker", "batch_size=15")])
def test_a_unit_whose_weights_are_all_in_the_middle_keeps_its_scale(words: tuple[str, ...]) -> None:
    """An odd number of levels has 0 among them: no scale fits such a unit better than another."""
    config = composed(*QUICK, *words, "levels=3", "fixed_grid.shadow=0")
    trainer = build(config).trainer()
    optimizer = trainer.optimizer
    for shadow, held in zip(optimizer.held.shadow, optimizer.held.on_grid, strict=True):
        shadow[0], held.levels[0] = 1e-12, 1
    optimizer.held.put()
    told = Kept()
    trainer.run(told)
    assert all(np.isfinite(weights).all() for weights in told.checkpoints[-1].weights)


def test_untrained_float_weights_go_to_the_grid_without_a_rise_of_the_loss_beyond_rounding() -> None:
    config = composed(
        "grid=fixed", "bits=1", "model=lenet_small", "samples=30", "validation=20", "epochs=1", "threads=1"
    )
    trainer = build(config).trainer()
    before = trainer.scores()["train_loss"]
    trainer.run(Kept())
    assert trainer.scores()["train_loss"] < 3 * before
