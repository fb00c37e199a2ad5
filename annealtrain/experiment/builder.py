"""The objects of a run, built from its composed configuration and checked before any work."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annealtrain.data.augmentation import Augment
from annealtrain.data.dataset import CLASSIFICATION, REGRESSION, Dataset
from annealtrain.data.images import Images, Splits, split
from annealtrain.data.loader import Loader
from annealtrain.errors import InputError
from annealtrain.experiment import data_of_run, first_weights, model_of_run, moved_data, trust
from annealtrain.experiment.config import TEXTS, Config, check_values, config_hash, config_text, threads_of
from annealtrain.experiment.nodes import create, described, instantiated, of_kind, unbuilt, unknown_argument
from annealtrain.nn.network import Network
from annealtrain.nn.torch_network import import_torch, torch_threads
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.optimizers.weight_grid import WeightGrid
from annealtrain.runs import checkpoint, contents
from annealtrain.runs.provenance import require_same_data
from annealtrain.runtime.validation import taken_by
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver
from annealtrain.training.task import Task
from annealtrain.training.trainer import Trainer


class Experiment:
    """A run as its configuration describes it: checked at once, its objects there once they are built.

    Raises InputError for a configuration that is none.
    """

    network: Any  # a Network, or a RunModule
    optimizer: Optimizer
    splits: Splits
    augment: Augment
    task: Task
    about_data: dict[str, Any]  # what the run folder and an exported network tell of the samples
    note: str | None  # what is done to images that nobody may overlook

    def __init__(self, config: Config) -> None:
        check_values(config)
        self.config, self.fingerprint, self.text = config, config_hash(config), config_text(config)

    def build(self) -> "Experiment":
        """Build all objects of the run; InputError for the first that cannot be built."""
        config = self.config
        self.optimizer = optimizer_of(config)
        dataset = dataset_of(config)
        size = data_of_run.size_for(config, dataset.shape)
        self.network = network_of(config, data_of_run.in_shape(dataset.shape, size), dataset.classes, dataset.task)
        self.optimizer.check(self.network)
        settings = {name: config[name] for name in ("samples", "validation", "seed", "scale", "standardise")}
        self.splits = split(dataset, **settings, size=size)
        self.augment = Augment(**config["augment"])
        self.task = data_of_run.task_of(dataset, self.splits.preprocessing)
        self.about_data = data_of_run.record(dataset, self.splits, self.optimizer.amplitude)
        self.note = data_of_run.resize_note(dataset.shape, size, dataset.resized_from)
        return self

    @property
    def about_weights(self) -> list[str]:
        """Lines on what trains which weights, where that is not one optimizer all of them."""
        return self.network.about() if self.optimizer.solver is not None else []

    @property
    def threads(self) -> int:
        """How many threads the run may use."""
        return threads_of(self.config)

    @property
    def steps(self) -> int:
        """How many batches the run takes."""
        size = len(self.splits.train)
        count: int = self.config["epochs"] * -(-size // (self.config["batch_size"] or size))
        return count

    @property
    def scheduled(self) -> list[str]:
        """Which settings, in words, follow the run's length: the optimizer's, and the rate of a module's rest."""
        moves_rest = self.network.has_rest
        return self.optimizer.scheduled() + (["the learning rate of rest"] if moves_rest else [])

    def trainer(self) -> Trainer:
        """Return the trainer of these objects."""
        named = {"train": self.splits.train, "val": self.splits.validation, "test": self.splits.test}
        sets = {name: self._loader(images) for name, images in named.items() if images is not None}
        if self.augment.changes:
            sets["train"] = Loader.lazily(self.splits.train, self.network.preprocess_chunk, self.augment)
        settings = {name: self.config[name] for name in ("epochs", "seed", "batch_size", "averaging")}
        return Trainer(self.network, sets, self.optimizer, task=self.task, **settings)

    def _loader(self, images: Images) -> Loader:
        """Return images as a network's inputs: all at once, or, in a run of mini-batches, when they are asked for."""
        if self.config["batch_size"]:
            return Loader.lazily(images, self.network.preprocess_chunk)
        return Loader(self.network.preprocess(images.images), images.labels)

    def take_first_weights(self) -> dict[str, str]:
        """Give the network the weights that it starts from, where `init` names some; return which they are."""
        init = self.config["init"]
        return first_weights.take(self.network, init) if init is not None else {}

    def take_weights(self, path: Path) -> int:
        """Give the network the weights of a checkpoint, return their epoch; InputError if they are another's."""
        weights, epoch = checkpoint.read_checkpoint(path)
        layers = self.network.trainable
        try:
            self.network.take_others(checkpoint.read_module(path))
        except ValueError as error:
            raise InputError(f"checkpoint {path} {error}: use the run's own") from error
        held, needed = [array.shape for array in weights], [layer.weight_shape for layer in layers]
        if held != needed:
            raise InputError(f"checkpoint {path} holds weights {held}, the model has {needed}: use the run's own")
        for layer, array in zip(layers, weights, strict=True):
            layer.weights = array
        return epoch


def build(config: Config) -> Experiment:
    """Return the run that a configuration describes, its objects built."""
    return Experiment(config).build()


def build_saved(config: Config, folder: Path) -> Experiment:
    """Return the run in a folder, whose data may have moved; InputError where they are others, or not to be found."""
    with moved_data.looked_for(folder):
        experiment = build(config)
    require_same_data(folder, contents.read_meta(folder / contents.META), experiment.about_data)
    return experiment


def check_whole(config: Config) -> None:
    """Raise InputError for a value anywhere in a configuration that its run would refuse before it reads samples.

    For commands that build a part of it alone. What only an extra that is not installed could tell is left out.
    """
    check_values(config)
    try:
        optimizer_of(config)
    except InputError as error:
        if "pip install" not in str(error):
            raise
    for what, node in (("dataset", config["dataset"]), ("model", model_of_run.unlabelled(config["model"]))):
        trust.open_path(node)
        try:
            unknown = unknown_argument(what, node)
        except InputError:
            raise
        except Exception as error:  # whatever importing a module of the user's raises
            raise unbuilt(what, node, error) from error
        if unknown:
            raise InputError(unknown)
    if data_of_run.known_shape(config):
        TEXTS["data_dir"].check("dataset.data_dir", config["dataset"].get("data_dir"))


def dataset_of(config: Config) -> Dataset:
    """Return the set that a configuration describes, or that a user's function gives as arrays."""
    node = described(data_of_run.described_set(config), "dataset")
    return data_of_run.set_from(instantiated(node, "dataset"), config)


def optimizer_of(config: Config) -> Optimizer:
    """Return the optimizer that a configuration describes, constructed with its solver, range and bits.

    An optimizer whose constructor takes no argument `solver` anneals nothing, and is given none of the three.
    """
    node = described(config["optimizer"], "optimizer")
    trust.open_path(node)
    try:
        taken, is_open = taken_by(trust.located(node["_target_"], "optimizer._target_"))
    except InputError:
        raise
    except (TypeError, ValueError) as error:  # it is nothing that can be called
        raise unbuilt("optimizer", node, error) from error
    name = node["_target_"].rpartition(".")[2]
    given: dict[str, Any] = {}
    if "solver" in taken or (is_open and config.get("solver") is not None):
        given["solver"] = solver_of(config)
        given["half_range"] = create(config.get("schedule"), "schedule", Schedule)
        given["bits"] = config["bits"]
    elif unread := [group for group in ("solver", "schedule") if config.get(group) is not None]:
        words = " ".join(f"'~{group}'" for group in unread)
        remedy = f"leave {' and '.join(unread)} out, or add {words} where an experiment has set it"
        raise InputError(f"optimizer {name} anneals nothing and reads no {' and no '.join(unread)}: {remedy}")
    if doubled := sorted(given.keys() & node.keys()):
        instead = {"bits": "bits=", "half_range": "half_range.first= and half_range.last=", "solver": "solver="}
        raise InputError(f"optimizer.{doubled[0]} is the run's own: set {instead[doubled[0]]} in its place")
    make = instantiated(node | {"_partial_": True}, "optimizer")
    try:
        made: Optimizer = of_kind(make(**given), node, "optimizer", Optimizer)
    except TypeError as error:  # of an argument that its constructor has not
        raise unbuilt("optimizer", node, error) from error
    return made.on_grid(grid_of(config)) if config["grid"] == "fixed" else made


def grid_of(config: Config) -> WeightGrid:
    """Return the grid that the weights of a run with grid=fixed stay on."""
    if config["averaging"]:
        raise InputError("averaging: averaged weights leave their grid: set averaging=0, or grid=step")
    levels = config["levels"]
    return WeightGrid(2 ** config["bits"] if levels is None else levels, **config["fixed_grid"])


def solver_of(config: Config) -> Solver:
    """Return the solver that a configuration describes."""
    solver: Solver = create(config.get("solver"), "solver", Solver)
    return solver


def network_of(config: Config, in_shape: Sequence[int], classes: int, task: str = CLASSIFICATION) -> Any:
    """Return the network that a configuration describes, with its first weights; its outputs are linear for targets."""
    if model_of_run.is_module(config):
        return _module_of(config, in_shape, classes)
    if config.get("rest") is not None:
        raise InputError("rest= is for parameters of a torch module: all weights of this model are those of its layers")
    if config["precision"] != "float32":
        raise InputError(
            f"precision={config['precision']} is for passes of a torch module: this model has precision=float32"
        )
    if config["device"] != "cpu":
        raise InputError(f"device={config['device']} is for torch modules: this model's layers run on device=cpu")
    layers = config["model"].get("layers") if isinstance(config["model"], dict) else None
    if not isinstance(layers, list):
        raise InputError(f"model.layers={layers!r} is not a list of layers, each with a _target_")
    names = ("alpha", "output_activation", "bias", "conv_inverse", "seed", "trainable")
    settings = {name: config[name] for name in names}
    if task == REGRESSION:
        settings["output_activation"] = "linear"
    return Network(instantiated(layers, "model.layers"), tuple(in_shape), classes, **settings)


def maker_of(config: Config) -> Any:
    """Return the class, or function, that makes a torch module of a configuration; None where the model is none."""
    if not model_of_run.is_module(config):
        return None
    import_torch("a torch module as model")
    node = config["model"]
    if "layers" in node:
        raise InputError("model has layers and a _target_: for a torch module write model=torch model._target_=...")
    trust.open_path(node)
    return trust.located(node["_target_"], "model._target_")


def _module_of(config: Config, in_shape: Sequence[int], classes: int) -> Any:
    """Return a torch module as a network, its first weights drawn from the run's seed."""
    make = maker_of(config)
    with model_of_run.seeded(config["seed"]):
        module = instantiated(model_of_run.arguments(config["model"], make, in_shape, classes), "model")
    rest = instantiated(config["rest"], "rest") if config.get("rest") is not None else None
    torch_threads(threads_of(config))
    settings = {name: config[name] for name in ("seed", "precision", "device")}
    anneals = config.get("solver") is not None
    return model_of_run.network(module, in_shape, classes, config["trainable"], rest, anneals=anneals, **settings)


def ready(config: Config, folder: Path | None = None) -> tuple[Trainer, int]:
    """Return the trainer of a run at its start, or with the last weights in its folder; and the epochs behind it."""
    experiment = build_saved(config, folder) if folder else build(config)
    epoch = experiment.take_weights(folder / checkpoint.LAST) if folder else 0
    if not folder:
        experiment.take_first_weights()
    return experiment.trainer(), epoch
