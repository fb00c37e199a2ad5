"""Every YAML composes and builds; the networks and the settings are the paper's."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import composed, write_mnist
from hydra.utils import instantiate

from annealtrain.commands.estimate import estimate
from annealtrain.data import datasets
from annealtrain.errors import InputError
from annealtrain.experiment.builder import Experiment, build
from annealtrain.experiment.config import saved_config
from annealtrain.nn import layers
from annealtrain.nn.layers import Flatten, MaxPool2d, SpectralPool2d
from annealtrain.optimizers.backprop import Backpropagation
from annealtrain.optimizers.gauss_newton import GaussNewton
from annealtrain.optimizers.kronecker import Kronecker
from annealtrain.optimizers.layerwise import Layerwise
from annealtrain.optimizers.targets import DifferenceTargets, PseudoInverseTargets, WeightedPseudoInverseTargets
from annealtrain.runs import checkpoint, tables
from annealtrain.schedule import ConstantSchedule, GeometricSchedule, LinearSchedule, StepSchedule
from annealtrain.solvers import coordinate_descent, dimod_samplers, exact
from annealtrain.solvers.annealing import reference, simulated_annealing
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.dwave import quantum_annealing

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
GROUPS = {folder.name: sorted(path.stem for path in folder.glob("*.yaml")) for folder in CONFIGS.iterdir()}
MODULES = ("resnet8", "vgg_airbench", "vgg_small", "vit_tiny")
HERE = ("dataset=digits", "samples=20", "validation=10")  # stands in for the large sets


def test_the_groups_are_there() -> None:
    assert GROUPS["model"] == sorted([*NETWORKS, "mlp", "random_filters", "two_linear", *MODULES, "torch"])
    assert GROUPS["rest"] == ["adamw", "frozen", "sgd"]
    assert GROUPS["experiment"] == sorted(EXPERIMENTS)
    assert GROUPS["dataset"] == [
        "arrays",
        "cifar10",
        "cifar100",
        "digits",
        "fashion_mnist",
        "folder",
        "mnist",
        "own",
        "sklearn",
    ]
    assert GROUPS["solver"] == [
        "babai",
        "beam",
        "decompose",
        "descent",
        "dimod",
        "dwave",
        "exact",
        "itemc",
        "klein",
        "neal",
        "pathintegral",
        "reference",
        "rounded",
        "sa",
        "sa_beam",
        "sparse",
        "sqa",
        "steepest",
        "tabu",
    ]
    assert GROUPS["optimizer"] == [
        "backprop",
        "backprop_sgd",
        "backprop_tuned",
        "difference",
        "gauss_newton",
        "kronecker",
        "pinv",
        "pinv_weighted",
    ]
    assert GROUPS["schedule"] == ["constant", "geometric", "linear"]
    assert GROUPS["method"] == [
        "backprop",
        "difference",
        "dwave",
        "dwave_emulated",
        "gauss_newton",
        "itemc",
        "kronecker",
        "pinv",
        "sqa",
    ]
    assert GROUPS["sweep"] == ["figure", "search"]


def test_every_yaml_tells_first_what_it_is() -> None:
    for path in CONFIGS.rglob("*.yaml"):
        lines = path.read_text().splitlines()
        is_module = path.parent.name == "model" and path.stem in (*MODULES, "torch")
        if is_module or path.parent.name in ("experiment", "best", "method", "optimizer", "sweep", "launcher"):
            assert lines.pop(0) == "# @package _global_", path
            if path.parent.name in ("experiment", "method", "optimizer"):
                assert "hydra" not in path.read_text(), path  # a swept experiment drops it silently
        assert lines[0].startswith("# "), path


def test_a_run_is_made_of_its_defaults() -> None:
    config = composed()
    plain = {name: value for name, value in config.items() if not isinstance(value, dict)}
    assert plain == {
        "bits": 8,
        "grid": "step",
        "levels": None,
        "epochs": 10,
        "output_activation": "leaky_relu",
        "alpha": 0.001,
        "seed": 0,
        "task": None,
        "samples": 1000,
        "validation": None,
        "image_size": None,
        "scale": None,
        "standardise": None,
        "batch_size": None,
        "averaging": 0,
        "init": None,
        "trainable": None,
        "precision": "float32",
        "device": "cpu",
        "bias": False,
        "conv_inverse": "fourier",
        "pool_crop": "centred",
        "data_dir": None,
        "threads": None,
        "weight_histograms": 0,
        "progress": "auto",
        "resume": False,
    }
    parts = build(config)
    assert config["model"]["name"] == "lenet"
    optimizer = parts.optimizer
    assert type(optimizer) is GaussNewton
    assert type(optimizer.solver) is simulated_annealing.SimulatedAnnealing
    assert type(optimizer.half_range) is GeometricSchedule
    assert optimizer.bits == 8
    assert len(parts.splits.train.labels) == 1000


# Models, as networks.md draws them


class Net(NamedTuple):
    """The output of each layer on one 32 x 32 channel; units and inputs a unit of each trainable layer."""

    shapes: list[tuple[int, ...]]
    weights: list[tuple[int, int]]


NETWORKS = {
    "linear": Net([(1024,), (10,)], [(10, 1024)]),
    "linear_small": Net([(1, 4, 2), (8,), (10,)], [(10, 8)]),
    "three_linear": Net([(1, 8, 8), (64,), (128,), (64,), (10,)], [(128, 64), (64, 128), (10, 64)]),
    "two_linear_small": Net([(1, 4, 2), (8,), (8,), (10,)], [(8, 8), (10, 8)]),
    "conv": Net([(1, 8, 8), (10, 1, 1), (10,)], [(10, 64)]),
    "three_conv": Net(
        [(10, 28, 28), (10, 14, 14), (30, 10, 10), (30, 5, 5), (10, 1, 1), (10,)], [(10, 25), (30, 250), (10, 750)]
    ),
    "conv_small": Net([(1, 4, 4), (10, 1, 1), (10,)], [(10, 16)]),
    "two_conv_small": Net([(1, 4, 4), (4, 2, 2), (10, 1, 1), (10,)], [(4, 9), (10, 16)]),
    "lenet": Net(
        [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (120,), (84,), (10,)],
        [(6, 25), (16, 150), (120, 400), (84, 120), (10, 84)],
    ),
    "lenet_small": Net(
        [(6, 28, 28), (6, 14, 14), (12, 10, 10), (12, 5, 5), (24, 1, 1), (24,), (18,), (10,)],
        [(6, 25), (12, 150), (24, 300), (18, 24), (10, 18)],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_models_are_those_of_the_paper(name: str) -> None:
    config = composed(f"model={name}", *HERE)
    assert config["model"]["name"] == name
    network = build(config).network
    assert [layer.out_shape for layer in network.layers] == NETWORKS[name].shapes
    assert [layer.weight_shape for layer in network.trainable] == NETWORKS[name].weights
    pools = [layer for layer in network.layers if not isinstance(layer, layers.TrainableLayer | Flatten)]
    assert all(type(pool) is (MaxPool2d if name == "two_linear_small" else SpectralPool2d) for pool in pools)
    assert all(pool.crop == "centred" for pool in pools if isinstance(pool, SpectralPool2d))


@pytest.mark.parametrize("name", NETWORKS)
def test_models_take_colour_images_without_their_files(name: str) -> None:
    (units, inputs), *others = NETWORKS[name].weights
    first = (units, 3 * inputs)
    rows = [line.split() for line in estimate(composed(f"model={name}", "dataset=cifar10", "bits=4")).splitlines()]
    found = [(int(row[2]), int(row[3]), int(row[4])) for row in rows if row and row[0].isdigit()]
    assert found == [(units, inputs, 4 * inputs) for units, inputs in [first, *others]]


# Experiments: the settings table of networks.md


class Settings(NamedTuple):
    """One annealing curve. gain: of layer 0, 1, ...; amplitude: of the one-hot output targets."""

    model: str
    bits: int
    sweeps: int
    half_range: tuple[float, float]
    beta: tuple[float, float]
    gain: tuple[float, ...]
    alpha: float
    amplitude: float = 10
    samples: int = 1000
    dataset: str = "mnist"


def lenet(alpha: float) -> Settings:
    return Settings("lenet", 8, 2, (0.15, 1e-4), (5e4, 5e12), (100, 100), alpha)


def lenet_2024(dataset: str = "mnist", samples: int = 1000) -> Settings:
    return Settings("lenet", 4, 4, (0.1, 1e-3), (5e4, 5e12), (20, 20), 0.001, samples=samples, dataset=dataset)


LINEAR = Settings("linear", 8, 1, (0.1, 1e-4), (5e3, 5e6), (), 1)
THREE_LINEAR = Settings("three_linear", 4, 4, (0.2, 1e-4), (5e3, 5e12), (2, 1), 1)
CONV = Settings("conv", 8, 1, (1, 1e-3), (5e6, 5e12), (), 1)
THREE_CONV = Settings("three_conv", 8, 4, (0.2, 1e-3), (5e4, 5e12), (10, 10), 1)
EXPERIMENTS = {
    "fig1a": LINEAR,
    "fig1b": Settings("linear_small", 4, 10, (1, 0.01), (5e5, 5e12), (), 1, amplitude=2, samples=10_000),
    "fig2a": THREE_LINEAR,
    "fig2b": Settings("two_linear_small", 4, 10, (0.2, 0.005), (5e3, 5e8), (), 1, amplitude=1),
    "fig3a": CONV,
    "fig3b": THREE_CONV,
    "fig4a": Settings("conv_small", 4, 1, (1, 1e-3), (5e6, 5e12), (), 1, samples=10_000),
    "fig4b": Settings("two_conv_small", 4, 1, (1, 0.01), (5e5, 5e12), (10,), 1, samples=10_000),
    "fig5a": LINEAR._replace(alpha=0.001),
    "fig5b": THREE_LINEAR._replace(alpha=0.001),
    "fig5c": CONV._replace(alpha=0.001),
    "fig5d": THREE_CONV._replace(alpha=0.001),
    "fig6a": lenet(0),
    "fig6b": lenet(0.0001),
    "fig6c": lenet(0.1),
    "fig6d": lenet(1),
    "fig6a_2024": lenet_2024(),
    "fig6b_2024": lenet_2024("fashion_mnist"),
    "fig6c_2024": lenet_2024("cifar10"),
    "fig6d_2024": lenet_2024(samples=100),
    "fig7": Settings("lenet_small", 4, 10, (0.3, 1e-3), (5e4, 5e12), (10, 10), 0.1),
    "fig8": Settings("linear_small", 2, 2, (0.5, 0.01), (5e5, 5e12), (), 0.1, amplitude=2),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_have_the_settings_of_the_paper(name: str) -> None:
    expected = EXPERIMENTS[name]
    config = composed(f"experiment={name}")
    assert config["dataset"]["_target_"] == f"annealtrain.data.datasets.{expected.dataset}"
    assert (config["model"]["name"], config["bits"]) == (expected.model, expected.bits)
    assert (config["alpha"], config["samples"], config["epochs"]) == (expected.alpha, expected.samples, 20)
    assert (config["bias"], config["conv_inverse"], config["validation"]) == (False, "fourier", None)

    weights = NETWORKS[expected.model].weights
    rows = [line.split() for line in estimate(config).splitlines()]  # needs no files
    channels = datasets.SHAPES[expected.dataset][0][0]
    inputs = [inputs * (channels if k == 0 else 1) for k, (_, inputs) in enumerate(weights)]
    assert [int(row[4]) for row in rows if row and row[0].isdigit()] == [expected.bits * count for count in inputs]

    parts = build(
        config | {"dataset": {"_target_": "annealtrain.data.datasets.digits"}, "samples": 20, "validation": 10}
    )
    odd = [pool.crop for pool in parts.network.layers if isinstance(pool, SpectralPool2d) and pool.size == (5, 5)]
    assert odd == ["author"] * (expected.model in ("lenet", "lenet_small", "three_conv"))
    optimizer = parts.optimizer
    assert type(optimizer) is Layerwise
    assert optimizer.bits == expected.bits
    modes = optimizer.targets
    assert type(modes) is PseudoInverseTargets
    assert (modes.amplitude, modes.inverse_activation, modes.ridge) == (expected.amplitude, False, 0)
    gains = [modes._gain(k, parts.network) for k in range(len(weights) - 1)]
    assert gains == [*expected.gain, *[1] * (len(gains) - len(expected.gain))]
    assert type(optimizer.solver) is simulated_annealing.SimulatedAnnealing
    for epoch in range(20):
        solver = optimizer.solver.resolve_schedules(epoch, 20)
        t = epoch / 20  # the last values are never reached
        for (first, last), value in (
            (expected.half_range, optimizer.half_range.value(epoch, 20)),
            (expected.beta, solver.beta),
        ):
            assert math.isclose(value, first * (last / first) ** t, rel_tol=1e-9)
        assert solver.num_sweeps == (1 if expected.alpha != 1 and epoch >= 10 else expected.sweeps)
        assert (solver.num_reads, solver.order) == (1, "random")


BEST = sorted(path.stem for path in (CONFIGS / "experiment" / "best").glob("*.yaml"))


@pytest.mark.parametrize("name", BEST)
def test_the_best_settings_can_be_built(name: str) -> None:
    config = composed(f"experiment=best/{name}")
    whole = {"all_mnist": 60_000, "all_fashion": 60_000, "all_cifar10": 50_000}
    expected = next((count for start, count in whole.items() if start in name), None)
    if config["samples"] is None:
        assert config["validation"] == 0
    elif expected:
        assert (config["samples"], config["validation"]) == (expected, 0)
    else:
        assert (config["samples"], config["validation"]) == (100 if "100" in name else 1000, None)
    digits = {"_target_": "annealtrain.data.datasets.digits"}
    size = {"image_size": [16, 16]} if "airbench" in name else {}  # which has no place left of 8 x 8
    parts = build(config | {"dataset": digits, "samples": 20, "validation": 10} | size)
    assert type(getattr(parts.optimizer, "float_optimizer", parts.optimizer)) in (GaussNewton, Kronecker)
    assert type(parts.optimizer.solver) is simulated_annealing.SimulatedAnnealing


@pytest.mark.parametrize("name", ["head_mnist", "head_fashion_mnist"])
def test_a_published_head_stands_on_filters_that_stay(name: str) -> None:
    config = composed(f"experiment=published/{name}", "image_size=[28,28]", "threads=1")
    assert (config["samples"], config["validation"]) == (60_000, 0)
    parts = build(config | {"dataset": {"_target_": "annealtrain.data.datasets.digits"}, "samples": 80})
    filters, seen = parts.network.frozen["conv2d0"], parts.network.preprocess(np.ones((1, 1, 28, 28)))
    assert (filters.weight_shape, seen.shape) == ((8, 26), (1, 288))
    assert [layer.weight_shape for layer in parts.network.trainable] == [(10, 289)]


def test_the_published_network_of_an_ising_machine_has_its_sizes() -> None:
    config = composed("experiment=published/mnist_100", "image_size=[28,28]")
    assert (config["samples"], config["validation"]) == (1000, None)
    digits = {"_target_": "annealtrain.data.datasets.digits"}
    parts = build(config | {"dataset": digits, "samples": 80, "validation": 9})
    assert [layer.weight_shape for layer in parts.network.trainable] == [(120, 785), (10, 121)]


# Optimizers and methods: whose values hold


class Own(NamedTuple):
    """What an optimizer named alone brings: its class or its targets' class, and its annealing and range."""

    kind: type
    half_range: tuple[float, float]
    num_sweeps: int
    batch_size: int | None = None
    move: str = "bit"
    start: str = "random"
    schedule: type = GeometricSchedule


# The range and the sweeps of README's table; kronecker: greedy sweeps from the present weights, in batches.
OWN = {
    "pinv": Own(PseudoInverseTargets, (0.05, 1e-5), 20),
    "pinv_weighted": Own(WeightedPseudoInverseTargets, (0.2, 1e-4), 20),
    "difference": Own(DifferenceTargets, (0.1, 0.001), 100),
    "gauss_newton": Own(GaussNewton, (0.05, 0.001), 5),
    "kronecker": Own(Kronecker, (0.002, 0.0005), 2, 64, "greedy", "present", LinearSchedule),
}


def assert_is(experiment: Experiment, own: Own, *, beta: bool = False, order: str = "sequential") -> None:
    """Assert that an experiment has these values; beta: it has the inverse temperatures of the paper's figures."""
    optimizer = experiment.optimizer
    assert type(getattr(optimizer, "targets", optimizer)) is own.kind
    assert type(optimizer.half_range) is own.schedule
    first, last = own.half_range
    middle = math.sqrt(first * last) if own.schedule is GeometricSchedule else (first + last) / 2
    assert math.isclose(optimizer.half_range.value(0, 20), first)
    assert math.isclose(optimizer.half_range.value(10, 20), middle)
    solver = optimizer.solver
    assert isinstance(solver, simulated_annealing.SimulatedAnnealing)
    assert (solver.move, solver.start, solver.order) == (own.move, own.start, order)
    now = solver.resolve_schedules(0, 20)
    assert (now.num_sweeps, now.beta is not None) == (own.num_sweeps, beta)
    assert experiment.config["batch_size"] == own.batch_size


@pytest.mark.parametrize("name", OWN)
def test_an_optimizer_named_alone_brings_its_own_range_schedule_moves_and_batch(name: str) -> None:
    assert_is(build(composed(f"optimizer={name}", "model=three_linear", *HERE)), OWN[name])


@pytest.mark.parametrize("name", OWN)
def test_an_experiment_of_the_paper_changes_the_values_of_the_papers_optimizers_alone(name: str) -> None:
    experiment = build(composed("experiment=fig5b", f"optimizer={name}", *HERE))
    assert (experiment.config["bits"], experiment.config["model"]["name"]) == (4, "three_linear")
    if name.startswith("pinv"):
        paper = OWN[name]._replace(half_range=EXPERIMENTS["fig5b"].half_range, num_sweeps=4)
        assert_is(experiment, paper, beta=True, order="random")
        assert experiment.optimizer.targets.ridge == 0
        assert [experiment.optimizer.targets._gain(k, experiment.network) for k in (0, 1)] == [2, 1]
    else:
        assert_is(experiment, OWN[name])


def test_an_experiment_holds_over_an_optimizers_own_values_and_the_command_line_over_both() -> None:
    settings = ["experiment=best/conv", *HERE]
    assert_is(build(composed(*settings)), OWN["kronecker"]._replace(half_range=(0.005, 0.0005), batch_size=50))
    own = ["half_range.first=0.3", "half_range.last=0.1", "annealing.num_sweeps=7", "batch_size=16"]
    moves = ["annealing.move=slice", "annealing.start=random", "schedule=geometric"]
    mine = Own(Kronecker, (0.3, 0.1), 7, 16, "slice", "random", GeometricSchedule)
    assert_is(build(composed(*settings, *own, *moves)), mine)
    assert_is(build(composed(*own, *moves, *settings)), mine)  # wherever they stand


@pytest.mark.parametrize("is_first", [True, False])
def test_an_experiments_values_for_one_optimizer_are_not_anothers(is_first: bool) -> None:
    words = ["experiment=best/linear", *HERE]
    named = [*words, "optimizer=kronecker"] if is_first else ["optimizer=kronecker", *words]
    assert_is(build(composed(*named)), OWN["kronecker"])
    own = build(composed(*words))
    assert_is(own, OWN["gauss_newton"]._replace(half_range=(0.02, 0.001)))
    assert own.optimizer.ridge == 0.03


@pytest.mark.parametrize("name", ["backprop", "backprop_tuned"])
def test_backpropagation_has_no_solver_and_no_schedule(name: str) -> None:
    pytest.importorskip("torch")
    config = composed("experiment=fig5b", f"optimizer={name}", *HERE)
    assert (config.get("solver"), config.get("schedule")) == (None, None)
    assert config["batch_size"] == (64 if name == "backprop_tuned" else None)
    optimizer = build(config).optimizer
    assert type(optimizer) is Backpropagation
    assert (optimizer.batch_size, optimizer.loss) == (None if name == "backprop_tuned" else 1, "mse")
    rates = [optimizer.learning_rate.value(epoch, 20) for epoch in (0, 10, 15)]
    expected = {"backprop": [1e-3, 1e-4, 1e-5], "backprop_tuned": [5e-3, 2.505e-3, 1.2575e-3]}
    assert np.allclose(rates, expected[name])


@pytest.mark.parametrize("words", [["solver=sa"], ["schedule=linear"], ["solver=sa", "schedule=linear"]])
def test_backpropagation_refuses_a_solver_and_a_schedule(words: list[str]) -> None:
    nodes = [word.partition("=")[0] for word in words]
    remedy = [f"'~{node}'" for node in nodes]
    said = f"anneals nothing and reads no {' and no '.join(nodes)}: leave {' and '.join(nodes)} out, or add "
    with pytest.raises(InputError) as caught:
        build(composed("optimizer=backprop", *words, *HERE))
    assert str(caught.value).endswith(f"{said}{' '.join(remedy)} where an experiment has set it")


def test_a_users_experiment_with_a_solver_can_be_trained_by_backpropagation(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    own = "# @package _global_\ndefaults:\n  - override /solver: sa\n"
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(own)
    words = ["--config-dir=mine", "experiment=own", "optimizer=backprop", "model=two_linear_small", *HERE, "epochs=1"]
    refusal = cli("train", *words).err
    assert "reads no solver: leave solver out, or add '~solver' where an experiment has set it" in refusal
    assert cli("train", *words, "~solver").code == 0


METHODS = {
    "pinv": ("pinv", simulated_annealing.SimulatedAnnealing),
    "sqa": ("pinv", SimulatedQuantumAnnealing),
    "difference": ("difference", simulated_annealing.SimulatedAnnealing),
    "gauss_newton": ("gauss_newton", simulated_annealing.SimulatedAnnealing),
    "kronecker": ("kronecker", simulated_annealing.SimulatedAnnealing),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_overrides_an_experiment_and_yields_to_the_command_line(method: str) -> None:
    name, kind = METHODS[method]
    config = composed("experiment=fig5b", f"method={method}", *HERE)
    optimizer = build(config).optimizer
    assert (config["method"], config["bits"], config["model"]["name"]) == (method, 4, "three_linear")
    assert type(getattr(optimizer, "targets", optimizer)) is OWN[name].kind
    assert type(optimizer.solver) is kind
    first, last = EXPERIMENTS["fig5b"].half_range if name == "pinv" else OWN[name].half_range
    assert math.isclose(optimizer.half_range.value(0, 20), first)
    middle = (first + last) / 2 if name == "kronecker" else math.sqrt(first * last)
    assert math.isclose(optimizer.half_range.value(10, 20), middle)
    solver = optimizer.solver.resolve_schedules(0, 20)
    assert solver.num_sweeps == (4 if name == "pinv" else OWN[name].num_sweeps)  # type: ignore[attr-defined]
    for beside in ("solver=descent", "optimizer=pinv"):
        with pytest.raises(InputError, match=f"leave {beside.partition('=')[0]} out, or method"):
            composed("experiment=fig5b", f"method={method}", beside, *HERE)
    other = build(composed("experiment=fig5b", f"method={method}", "half_range.first=0.4", "bits=2", *HERE)).optimizer
    assert (other.bits, other.half_range.value(0, 20)) == (2, 0.4)


def test_a_method_of_backpropagation_stands_over_an_experiments_solver() -> None:
    config = composed("experiment=fig5b", "method=backprop", *HERE)
    assert (config["method"], config.get("solver"), config.get("schedule")) == ("backprop", None, None)
    assert config["optimizer"] == composed("optimizer=backprop")["optimizer"]


@pytest.mark.parametrize(("method", "mock", "num_reads"), [("dwave", None, 500), ("dwave_emulated", "pegasus", 100)])
def test_methods_of_quantum_annealers_send_the_papers_hamiltonians(
    method: str, mock: str | None, num_reads: int
) -> None:
    experiment = build(composed("experiment=fig2b", f"method={method}", *HERE))
    assert type(experiment.optimizer.targets) is PseudoInverseTargets
    solver = experiment.optimizer.solver
    assert type(solver) is quantum_annealing.QuantumAnnealing
    assert (solver.mock, solver.num_reads) == (mock, num_reads)


def test_circuits_serve_a_small_layer() -> None:
    optimizer = build(composed("experiment=fig8", "method=itemc", *HERE)).optimizer
    assert type(optimizer.solver).__name__ == "ImaginaryTimeCircuit"
    assert type(optimizer.targets) is PseudoInverseTargets


@pytest.mark.parametrize(
    ("word", "now"),
    [
        ("targets=pinv", "optimizer=pinv"),
        ("targets.gain=2", "optimizer.gain=2"),
        ("+targets.gain=2", "optimizer.gain=2"),
        ("targets=pinv,difference", "optimizer=pinv,difference"),
        ("solver=backprop", "optimizer=backprop"),
        ("solver=backprop_tuned", "optimizer=backprop_tuned"),
        ("solver.learning_rate=0.01", "optimizer.learning_rate=0.01"),
        ("solver.learning_rate.first=0.01", "optimizer.learning_rate.first=0.01"),
        ("solver.loss=mse", "optimizer.loss=mse"),
        ("solver.weight_decay=0", "optimizer.weight_decay=0"),
        ("solver.batch_size=2", "optimizer.batch_size=2"),
        ("solver.threads=2", "optimizer.threads=2"),
        ("solver=sa,backprop", "optimizer=backprop"),
        ("sweep=fig5b", "sweep=figure figure=fig5b"),
        ("sweep=fig6a_2024", "sweep=figure figure=fig6a_2024"),
    ],
)
@pytest.mark.parametrize("command", ["train", "estimate"])
def test_an_old_word_is_refused_with_the_new_one(refused: Callable, command: str, word: str, now: str) -> None:
    said = f"{word}: this is called {now} now"
    if command == "estimate" and word.startswith("sweep="):  # nor would the new one do
        said = f"{word} is for annealtrain train: no run is made here: leave it out"
    assert refused(command, "model=lenet", word, "bits=2") == said


def test_a_yaml_of_the_users_own_with_an_old_group_is_refused_with_the_new_one(
    refused: Callable, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    own = "# @package _global_\ndefaults:\n  - override /targets: pinv\n"
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(own)
    line = refused("train", "--config-dir=mine", "experiment=own", *HERE)
    assert line.endswith("own.yaml, line 3: the group targets is called optimizer now: override /optimizer")


def test_spins_a_hamiltonian_of_the_paper() -> None:
    """networks.md: linear 8192 and conv 512 at 8 bits, linear_small 32 and conv_small 64 at 4."""
    spins = {(e.model, e.bits): NETWORKS[e.model].weights[0][1] * e.bits for e in EXPERIMENTS.values()}
    assert [spins["linear", 8], spins["conv", 8], spins["linear_small", 4], spins["conv_small", 4]] == [
        8192,
        512,
        32,
        64,
    ]
    assert spins["two_conv_small", 4] == 36


# The other groups


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        (
            "sa",
            simulated_annealing.SimulatedAnnealing,
            {"num_sweeps": 20, "beta": None, "order": "sequential", "move": "bit"},
        ),
        ("reference", reference.ReferenceAnnealing, {"num_sweeps": 20, "num_reads": 1, "beta": None}),
        ("exact", exact.Exact, {}),
        ("descent", coordinate_descent.CoordinateDescent, {"num_starts": 1, "max_sweeps": 1000}),
        ("rounded", coordinate_descent.RoundedLeastSquares, {"max_sweeps": 1000}),
        ("neal", dimod_samplers.DimodSolver, {"beta": None, "beta_range": None, "processes": None}),
        ("pathintegral", dimod_samplers.DimodSolver, {"beta": None, "beta_range": None, "processes": None}),
        ("tabu", dimod_samplers.DimodSolver, {"processes": None, "pass_betas": None}),
        ("steepest", dimod_samplers.DimodSolver, {"options": {"num_reads": 10}, "pass_betas": None}),
        (
            "dwave",
            quantum_annealing.QuantumAnnealing,
            {"num_reads": 500, "annealing_time_us": 2.0, "mock": None, "qpu": None},
        ),
        ("dimod", dimod_samplers.DimodSolver, {"options": {}, "beta": None, "beta_range": None}),
    ],
)
def test_solvers(name: str, kind: type, settings: dict[str, Any]) -> None:
    config = composed("model=linear_small", f"solver={name}", "optimizer=pinv", "bits=3", *HERE)
    solver = build(config).optimizer.solver
    assert type(solver) is kind
    assert {key: getattr(solver, key) for key in settings} == settings


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("pinv", {"amplitude": 10, "gain": None, "inverse_activation": False, "ridge": 1}),
        ("pinv_weighted", {"amplitude": 10, "gain": None, "ridge": 1}),
        ("difference", {"amplitude": 1, "eta": 1, "ridge": 0}),
        ("gauss_newton", {"ridge": 3e-4, "adaptive": True}),
        ("kronecker", {"eta": 0.3, "damping": 0.1, "momentum": 0.9, "memory": 0.95, "every": 16}),
    ],
)
def test_optimizers(name: str, settings: dict[str, Any]) -> None:
    optimizer = build(composed("model=two_linear_small", f"optimizer={name}", *HERE)).optimizer
    made = getattr(optimizer, "targets", optimizer)
    assert {key: getattr(made, key) for key in settings} == settings


@pytest.mark.parametrize(
    ("words", "kind", "values"),
    [
        (["schedule=constant"], ConstantSchedule, [0.01, 0.01, 0.01, 0.01]),
        (["schedule=linear", "half_range.first=0.1"], LinearSchedule, [0.1, 0.07525, 0.0505, 0.02575]),
        (["half_range.first=0.1"], GeometricSchedule, [0.1, 0.1 * 10**-0.5, 0.01, 0.01 * 10**-0.5]),
    ],
)
def test_schedules(words: list[str], kind: type, values: list[float]) -> None:
    made = build(composed("model=linear_small", *words, *HERE)).optimizer.half_range
    assert type(made) is kind
    assert np.allclose([made.value(epoch, 4) for epoch in range(4)], values, rtol=1e-12)


def test_schedules_a_layer() -> None:
    made = build(composed("model=two_linear_small", "schedule.first=[.4,.1]", *HERE)).optimizer.half_range
    assert np.allclose([made.value(0, 4, 0), made.value(0, 4, 1), made.value(2, 4, 1)], [0.4, 0.1, 0.01])


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist", "cifar10"])
def test_datasets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path)
    (tmp_path / "FashionMNIST").symlink_to(tmp_path / "MNIST")
    pixels, labels = np.zeros((4, 3, 32, 32), np.uint8), np.arange(4)
    monkeypatch.setattr(datasets.file_readers, "cifar_batch", lambda path: (pixels, labels))
    for batch in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (tmp_path / "cifar-10-batches-py").mkdir(exist_ok=True)
        (tmp_path / "cifar-10-batches-py" / batch).touch()
    config = composed(f"dataset={name}", f"data_dir={tmp_path}", "samples=10", "validation=5", "model=linear_small")
    made = instantiate(config["dataset"])
    assert made.name == name
    assert made.shape == datasets.SHAPES[name][0]
    splits = build(config).splits
    assert splits.train.images.shape == (10, datasets.SHAPES[name][0][0], 32, 32)
    assert splits.validation is not None
    assert len(splits.validation.labels) == 5


@pytest.mark.parametrize(
    "swap",
    [
        ("experiment=fig5a", "solver=descent"),
        ("experiment=fig5d", "solver=rounded"),
        ("experiment=fig1a", "schedule=linear"),
        ("experiment=fig1a", "schedule=constant"),
        ("experiment=fig2a", "optimizer=pinv_weighted"),
        ("experiment=fig5b", "optimizer=difference"),
        ("experiment=fig6c", "solver=reference", "model=three_conv"),
        ("experiment=fig8", "solver=exact"),
        ("experiment=fig1b", "solver=neal"),
        ("experiment=fig4a", "solver=pathintegral"),
        ("experiment=fig4b", "solver=tabu"),
        ("experiment=fig8", "solver=dimod", "+solver.options.num_sweeps=${annealing.num_sweeps}"),
        ("experiment=fig5b", "annealing.num_sweeps=50", "annealing.beta=null", "solver.order=sequential"),
        ("experiment=fig5b", "optimizer.gain=1", "bias=true", "conv_inverse=exact"),
    ],
)
def test_a_part_of_an_experiment_can_be_exchanged(swap: tuple[str, ...]) -> None:
    parts = build(composed(*swap, *HERE))
    optimizer = parts.optimizer
    assert isinstance(parts, Experiment)
    kinds = {
        "solver=descent": coordinate_descent.CoordinateDescent,
        "solver=rounded": coordinate_descent.RoundedLeastSquares,
        "solver=exact": exact.Exact,
        "schedule=linear": LinearSchedule,
        "schedule=constant": ConstantSchedule,
        "optimizer=difference": DifferenceTargets,
        "optimizer=pinv_weighted": WeightedPseudoInverseTargets,
    }
    for word in swap:
        if word in kinds:
            made = (optimizer.solver, optimizer.half_range, optimizer.targets)
            assert kinds[word] in map(type, made)
    if "bias=true" in swap:
        assert [layer.weight_shape for layer in parts.network.trainable] == [(128, 65), (64, 129), (10, 65)]
    if "annealing.num_sweeps=50" in swap:
        assert optimizer.solver.num_sweeps == 50  # type: ignore[attr-defined]


def test_sweeps_and_betas_can_follow_any_schedule() -> None:
    step = "{_target_:annealtrain.schedule.StepSchedule,first:7,last:2,at:3}"
    solver = build(composed("model=linear_small", f"annealing.num_sweeps={step}", *HERE)).optimizer.solver
    assert isinstance(solver.num_sweeps, StepSchedule)  # type: ignore[attr-defined]
    assert [solver.resolve_schedules(e, 5).num_sweeps for e in range(5)] == [7, 7, 7, 2, 2]  # type: ignore[attr-defined]


# A user's own


def test_a_new_architecture_is_yaml_alone(cli: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "my configs" / "model"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# pooled twice\n"
        "layers:\n"
        "  - {_target_: annealtrain.nn.layers.SpectralPool2d, size: [6, 6]}\n"
        "  - {_target_: annealtrain.nn.layers.Conv2d, out_channels: 3, kernel_size: 3}\n"
        "  - {_target_: annealtrain.nn.layers.SpectralPool2d, size: [2, 2]}\n"
        "  - {_target_: annealtrain.nn.layers.Flatten}\n"
        "  - {_target_: annealtrain.nn.layers.Linear, out_features: 10}\n"
    )
    arguments = ["--config-dir", str(folder.parent), "model=mine", *HERE, "epochs=1", "bits=2", "hydra.run.dir=run"]
    outcome = cli("train", *arguments)
    assert outcome.code == 0, outcome
    held, epoch = checkpoint.read_checkpoint(tmp_path / "run" / "last.npz")
    assert epoch == 1
    assert [array.shape for array in held] == [(3, 9), (10, 12)]
    assert cli("eval", "run").code == 0
    assert "mine" in cli("train", "--config-dir", str(folder.parent), "--help").out


MINE = '''
"""A solver and a layer of a user's own, in a file beside where annealtrain is called."""

import numpy as np
from annealtrain.nn.layers import Layer
from annealtrain.solvers.solver import Solver


class Lowest(Solver):
    """The lowest of a few random configurations."""

    def __init__(self, tries):
        self.tries = tries

    def sample(self, form, seed):
        levels = np.random.default_rng(seed).integers(0, 2**form.bits, (self.tries, form.S0.size))
        return levels, {"tries": self.tries}


class Scale(Layer):
    def __init__(self, factor):
        self.factor = factor

    def connect(self, in_shape):
        self.in_shape = self.out_shape = in_shape
        return in_shape

    def forward(self, x):
        return x * x.dtype.type(self.factor)

    adjoint = forward

    def inverse(self):
        return lambda y: y / y.dtype.type(self.factor)
'''


def test_a_solver_and_a_layer_of_the_users_own(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    for group, text in (
        ("solver", "_target_: mine.Lowest\ntries: 5\n"),
        (
            "model",
            "image_size: [32, 32]\nlayers:\n"
            "  - {_target_: annealtrain.nn.layers.MaxPool2d, kernel_size: [8, 16]}\n"
            "  - {_target_: annealtrain.nn.layers.Flatten}\n"
            "  - {_target_: annealtrain.nn.layers.Linear, out_features: 8}\n"
            "  - {_target_: mine.Scale, factor: 2.0}\n"
            "  - {_target_: annealtrain.nn.layers.Linear, out_features: 10}\n",
        ),
    ):
        (tmp_path / "mine" / group).mkdir(parents=True)
        (tmp_path / "mine" / group / "own.yaml").write_text(text)
    arguments = ["--config-dir=mine", "solver=own", "model=own", "optimizer=difference", *HERE, "epochs=2", "bits=3"]
    outcome = cli("train", *arguments, "hydra.run.dir=run")
    assert outcome.code == 0, outcome
    rows = tables.read_rows(tmp_path / "run" / "solves.csv")
    assert [row["tries"] for row in rows] == [5] * 4
    assert all(row["lower_bound"] <= row["energy"] for row in rows)
    assert cli("eval", "run", "--trust", "mine").code == 0
    assert "did you mean 'tries'?" in cli("train", *arguments, "solver.tires=3").err


def test_an_optimizer_of_the_users_own_is_yaml_alone(cli: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "my_configs" / "optimizer"
    folder.mkdir(parents=True)
    node = "_target_: annealtrain.optimizers.layerwise.difference\n{}eta: 0.5\n"
    (folder / "mine.yaml").write_text("# difference, half the way\n" + node.format(""))
    (folder / "whole.yaml").write_text(
        "# @package _global_\n# with a range, moves and a batch of its own\n"
        "defaults:\n  - override /schedule: linear\n\n"
        f"optimizer:\n  {node.format('  ')}\nhalf_range:\n  first: 0.3\n  last: 0.1\n"
        "annealing:\n  num_sweeps: 4\n  move: slice\nbatch_size: 10\n"
    )
    words = ["--config-dir=my_configs", "model=two_linear_small", *HERE, "epochs=1", "bits=2", "threads=1"]
    for name in ("mine", "whole"):
        outcome = cli("train", *words, f"optimizer={name}", f"hydra.run.dir={name}")
        assert outcome.code == 0, outcome
    whole = build(saved_config(tmp_path / "whole"))
    own = Own(DifferenceTargets, (0.3, 0.1), 4, 10, move="slice", schedule=LinearSchedule)
    assert_is(whole, own)
    plain = build(saved_config(tmp_path / "mine"))
    # Without the global header it changes the node alone; range and moves are those of train.yaml.
    assert_is(plain, Own(DifferenceTargets, (0.05, 0.001), 20))
    for experiment in (whole, plain):
        assert experiment.optimizer.targets.eta == 0.5
    line = cli("train", *words, "optimizer=whol").err
    assert "optimizer=whol is not known; did you mean 'whole'?" in line


HANDING = """
from annealtrain.optimizers.layerwise import Layerwise
from annealtrain.optimizers.targets import DifferenceTargets

class Scaled(Layerwise):
    def __init__(self, gain=1.0, **annealing):
        super().__init__(DifferenceTargets(), **annealing)

def scaled(**annealing):
    return Scaled(**annealing)
"""


@pytest.mark.parametrize("name", ["Scaled", "scaled"])
def test_an_optimizer_that_hands_its_annealing_on_anneals(name: str, cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "handing.py").write_text(HANDING)
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    head = "# @package _global_\ndefaults:\n  - override /schedule: geometric\n"
    own = f"{head}optimizer:\n  _target_: handing.{name}\nhalf_range: {{first: 0.1, last: 0.01}}\n"
    (tmp_path / "mine" / "optimizer" / "own.yaml").write_text(own)
    words = ("--config-dir=mine", "optimizer=own", "model=linear_small", *HERE, "epochs=1", "hydra.run.dir=run")
    assert cli("train", *words).code == 0
    assert tables.read_rows(tmp_path / "run" / "solves.csv")[0]["L"] == 0.1
    if name == "Scaled":
        told = "no setting 'optimizer.gian'; did you mean 'gain' in optimizer?: handing.Scaled takes "
        assert told in cli("train", *words[:-1], "+optimizer.gian=2").err


def test_bits_beside_levels_of_a_fixed_grid_are_refused() -> None:
    """Also where an experiment gives the levels; its own bits, which nobody typed, stay unread."""
    for words in (["grid=fixed", "levels=3"], ["experiment=best/ternary_three_linear"]):
        assert composed(*words)["levels"] == 3
        with pytest.raises(InputError, match="bits=2: nothing in this run reads bits"):
            composed(*words, "bits=2")
    assert composed("experiment=best/ternary_three_linear", "levels=null", "bits=2")["bits"] == 2
