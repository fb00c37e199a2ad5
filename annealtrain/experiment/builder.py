"""The objects of a run, built from its composed configuration and checked before any work."""

from dataclasses import dataclass
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from annealtrain.data import datasets, images
from annealtrain.data.augmentation import Augment
from annealtrain.data.loader import Pictures, Samples
from annealtrain.errors import InputError
from annealtrain.experiment.config import Config, check_values
from annealtrain.nn.network import Network
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.optimizers.targets import Targets
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver
from annealtrain.training.trainer import Trainer

IMAGE_SIZE = (32, 32)


@dataclass
class Experiment:
    """A run's objects, all built and checked before any work."""

    network: Network
    targets: Targets | Optimizer
    solver: Solver
    half_range: Schedule
    splits: images.Splits
    augment: Augment


def build(config: Config) -> Experiment:
    """Return all objects of a run; InputError for the first that cannot be built."""
    check_values(config)
    solver = create(config["solver"], "solver", Solver | Optimizer)
    if isinstance(solver, Optimizer):  # it trains by itself: nothing has targets, nothing is left to solve
        targets, solver = solver, Solver()
    else:
        targets = create(config["targets"], "targets", Targets | Optimizer)
    half_range = create(config["schedule"], "schedule", Schedule)
    dataset = create(config["dataset"], "dataset", datasets.Dataset)
    network = network_of(config, dataset.train_images.shape[1], dataset.classes)
    targets.check(network)
    half_range.check_layers(len(network.trainable))
    solver.check(bits=config["bits"], weights=[layer.weight_shape[1] for layer in network.trainable])
    splits = images.split(
        dataset,
        samples=config["samples"],
        validation=config["validation"],
        seed=config["seed"],
        size=IMAGE_SIZE,
    )
    return Experiment(network, targets, solver, half_range, splits, Augment(**config["augment"]))


def solver_of(config: Config) -> Solver:
    """Return the solver that a configuration describes; InputError for one that trains by itself."""
    solver = create(config["solver"], "solver", Solver | Optimizer)
    if not isinstance(solver, Solver):
        raise InputError("it trains by itself: there is no Hamiltonian for it to solve")
    return solver


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


def trainer_of(parts: Experiment, config: Config) -> Trainer:
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


def _samples(network: Network, images: images.Images, config: Config) -> Samples:
    """Return images as a network's inputs: all at once, or, in a run of mini-batches, made when they are asked for."""
    if config["batch_size"]:
        return Samples(Pictures(images, network.stem_of), images.labels)
    return Samples(network.stem(images.images), images.labels)
