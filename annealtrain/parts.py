"""The objects of a run, built from its composed configuration and checked before any work."""

from dataclasses import dataclass
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from annealtrain import datasets
from annealtrain.errors import InputError
from annealtrain.network import Network
from annealtrain.pictures import Augment, Pictures
from annealtrain.problem import MAX_BITS
from annealtrain.schedule import Schedule
from annealtrain.solvers.base import Solver
from annealtrain.targets import Targets
from annealtrain.trainer import Samples, Trainer
from annealtrain.update import Update

Config = dict[str, Any]

IMAGE_SIZE = (32, 32)
PLAIN = (
    "bits",
    "epochs",
    "alpha",
    "seed",
    "samples",
    "validation",
    "batch_size",
    "augment",
    "averaging",
    "bias",
    "conv_inverse",
    "threads",
    "progress",
    "resume",
)


@dataclass
class Parts:
    """A run's objects, all built and checked before any work."""

    network: Network
    targets: Targets | Update
    solver: Solver
    half_range: Schedule
    splits: datasets.Splits
    augment: Augment


def build(config: Config) -> Parts:
    """Return all objects of a run; InputError for the first that cannot be built."""
    check_values(config)
    solver = create(config["solver"], "solver", Solver | Update)
    if isinstance(solver, Update):  # it trains by itself: nothing has targets, nothing is left to solve
        targets, solver = solver, Solver()
    else:
        targets = create(config["targets"], "targets", Targets | Update)
    half_range = create(config["schedule"], "schedule", Schedule)
    dataset = create(config["dataset"], "dataset", datasets.Dataset)
    network = network_of(config, dataset.train_images.shape[1], dataset.classes)
    targets.check(network)
    half_range.check_layers(len(network.trainable))
    solver.check(bits=config["bits"], weights=[layer.weight_shape[1] for layer in network.trainable])
    splits = datasets.split(
        dataset,
        samples=config["samples"],
        validation=config["validation"],
        seed=config["seed"],
        size=IMAGE_SIZE,
    )
    return Parts(network, targets, solver, half_range, splits, Augment(**config["augment"]))


def solver_of(config: Config) -> Solver:
    """Return the solver that a configuration describes; InputError for one that trains by itself."""
    solver = create(config["solver"], "solver", Solver | Update)
    if not isinstance(solver, Solver):
        raise InputError("it trains by itself: there is no Hamiltonian for it to solve")
    return solver


def check_values(config: Config) -> None:
    """Raise InputError for a missing setting, or a plain value outside its limits."""
    for name in ("model", "dataset", "solver", "targets", "schedule", *PLAIN):
        if name not in config:
            raise InputError(f"the configuration has no {name!r}: annealtrain train --help lists what a run needs")
    for name, low, high in (
        ("bits", 1, MAX_BITS),
        ("epochs", 1, 100_000),
        ("seed", 0, 2**63 - 1),
        ("samples", 1, 2**31),
        ("threads", 1, 1024),
        ("validation", 0, 2**31),
        ("batch_size", 1, 2**31),
    ):
        value = config[name]
        if value is None and name in ("threads", "validation", "batch_size"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{name}={value!r} is not a whole number from {low} to {high}")
    alpha = config["alpha"]
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise InputError(f"alpha={alpha!r} is not a number from 0 (ReLU) to 1 (linear)")
    averaging = config["averaging"]
    if isinstance(averaging, bool) or not isinstance(averaging, int | float) or not 0 <= averaging < 1:
        raise InputError(f"averaging={averaging!r} is not a number from 0 (none) to below 1")
    if not isinstance(config["augment"], dict) or config["augment"].keys() - {"shift", "flip"}:
        raise InputError(f"augment={config['augment']!r} is not shift and flip: augment.shift=2 augment.flip=true")
    for name, choices in (
        ("bias", (True, False)),
        ("resume", (True, False)),
        ("progress", (True, False, "auto")),
        ("conv_inverse", ("fourier", "exact")),
    ):
        if not any(config[name] == choice and type(config[name]) is type(choice) for choice in choices):  # 1 == True
            listed = ", ".join(str(choice).lower() for choice in choices)
            raise InputError(f"{name}={config[name]!r} is not one of {listed}")


def create(node: Any, what: str, kind: Any) -> Any:
    """Return the object that a configuration node describes; InputError in one line where it cannot be made."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise InputError(f"{what} has no _target_: choose one of the group, such as annealtrain train {what}=...")
    made = _instantiate(node, what)
    if not isinstance(made, kind):
        raise InputError(f"{what}._target_={node['_target_']} makes a {type(made).__name__}, not a {what.capitalize()}")
    return made


def _instantiate(node: Any, what: str) -> Any:
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause: BaseException = error
        while cause.__cause__ is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        if isinstance(cause, InputError):
            raise cause from None
        text = " ".join(str(cause).split())
        raise InputError(f"{what} cannot be built: {text.removesuffix('.')}: see annealtrain train --help") from error


def network_of(config: Config, channels: int, classes: int) -> Network:
    """Return the network that a configuration describes, with its first weights."""
    layers = config["model"].get("layers") if isinstance(config["model"], dict) else None
    if not isinstance(layers, list):
        raise InputError(f"model.layers={layers!r} is not a list of layers, each with a _target_")
    return Network(
        _instantiate(layers, "model"),
        (channels, *IMAGE_SIZE),
        classes,
        alpha=config["alpha"],
        bias=config["bias"],
        conv_inverse=config["conv_inverse"],
        seed=config["seed"],
    )


def trainer_of(parts: Parts, config: Config) -> Trainer:
    """Return the trainer of a run's objects."""
    splits, network = parts.splits, parts.network
    named = {"train": splits.train, "val": splits.validation, "test": splits.test}
    sets = {name: _samples(network, held, config) for name, held in named.items() if held is not None}
    if parts.augment != Augment():
        sets["train"] = Samples(Pictures(splits.train, network.stem_of, parts.augment), splits.train.labels)
    return Trainer(
        network,
        sets,
        parts.targets,
        parts.solver,
        parts.half_range,
        bits=config["bits"],
        epochs=config["epochs"],
        seed=config["seed"],
        batch_size=config["batch_size"],
        averaging=config["averaging"],
    )


def _samples(network: Network, images: datasets.Images, config: Config) -> Samples:
    """Return images as a network's inputs: all at once, or, in a run of mini-batches, made when they are asked for."""
    if config["batch_size"]:
        return Samples(Pictures(images, network.stem_of), images.labels)
    return Samples(network.stem(images.images), images.labels)
