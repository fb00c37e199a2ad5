"""From a configuration to a run's samples: the set, its size, its task, and what is recorded of them."""

from collections.abc import Sequence
from typing import Any

from annealtrain.data import datasets
from annealtrain.data.array_sets import set_of
from annealtrain.data.dataset import Dataset
from annealtrain.data.images import SIZE, Splits
from annealtrain.data.preprocessing import Preprocessing
from annealtrain.errors import InputError
from annealtrain.experiment.versions import BEFORE
from annealtrain.runtime.validation import YES_OR_NO, Rule, either, number, one_of, optional, whole
from annealtrain.training.task import Classification, Regression, Task

NAMED = "annealtrain.data.datasets."  # sets whose shape is known without reading them
RULES: dict[str, Rule] = {
    "task": optional(one_of("classification", "regression")),
    "image_size": either(whole(), SIZE),
    "scale": optional(number(1e-19, words="a number above 0, of at least 1e-19")),  # samples are divided in float32
    "standardise": optional(YES_OR_NO),
}
FILES = ("file", "labels", "test_file", "test_labels")  # of dataset=arrays


def image_size(config: dict[str, Any]) -> list[int] | None:
    """Return (h, w) that images are asked to have: the run's image_size, else the model's own; None: their own."""
    model = config["model"] if isinstance(config.get("model"), dict) and "_target_" not in config["model"] else {}
    for name, size in (("image_size", config.get("image_size")), ("model.image_size", model.get("image_size"))):
        if size is not None:
            RULES["image_size"].check(name, size)
            return [size, size] if isinstance(size, int) else list(size)
    return None


def without_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration whose settings of samples are left out where they are as before there were such.

    Its fingerprint is then that of a run of that time.
    """
    before = {name: BEFORE[name] for name in RULES}
    settings = {name: value for name, value in config.items() if name not in RULES}
    if isinstance(config.get("model"), dict) and "_target_" not in config["model"]:
        settings["model"] = {name: value for name, value in config["model"].items() if name != "image_size"}
    now = {**before, **config, "image_size": image_size(before | config)}
    return settings | {name: now[name] for name in RULES if now[name] != before[name]}


def size_for(config: dict[str, Any], shape: Sequence[int]) -> list[int] | None:
    """Return the same for samples of a shape: a table's rows have no size, whatever size a model is made for."""
    return None if len(shape) == 1 and config["image_size"] is None else image_size(config)


def described_set(config: dict[str, Any]) -> Any:
    """Return the set's node; one that reads pictures of many sizes is told the size that is asked for."""
    node = config["dataset"]
    lacking = [name for name, value in node.items() if value == "???"] if isinstance(node, dict) else []
    if lacking:
        raise InputError(f"dataset.{lacking[0]} is missing: add dataset.{lacking[0]}=...")
    if isinstance(node, dict) and "image_size" in node:
        return node | {"image_size": image_size(config)}
    return node


def set_from(made: Any, config: dict[str, Any]) -> Dataset:
    """Return what a set's function gave as a Dataset, named after the function where it gave arrays."""
    name = str(config["dataset"]["_target_"]).rpartition(".")[2]
    dataset = set_of(made, name, config["task"])
    if dataset.is_table and config["augment"] != {"shift": 0, "flip": False}:
        raise InputError(
            f"augment: the samples of {dataset.name} are rows of numbers: augment.shift=0 augment.flip=false"
        )
    if dataset.is_regression and config["optimizer"].get("loss") == "cross_entropy":
        name = "mse" if config.get("solver") is None else "squared_error"
        told = "optimizer.loss=cross_entropy, as given or by default,"
        raise InputError(f"{told} is for classes: add optimizer.loss={name} for real targets")
    return dataset


def known_shape(config: dict[str, Any]) -> tuple[tuple[int, ...], int] | None:
    """Return shape of a sample and number of classes of a set that needs not be read for it, None for another."""
    target = str(config["dataset"].get("_target_"))
    return datasets.SHAPES.get(target.removeprefix(NAMED)) if target.startswith(NAMED) else None


def known_counts(config: dict[str, Any]) -> tuple[int, int]:
    """Return how many samples for training and for test such a set has."""
    return datasets.COUNTS[str(config["dataset"]["_target_"]).removeprefix(NAMED)]


def in_shape(shape: Sequence[int], size: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of a sample of `shape` at a size (h, w)."""
    return tuple(shape) if size is None else (shape[0], *size)


def task_of(dataset: Dataset, preprocessing: Preprocessing) -> Task:
    """Return how a set's samples are learnt and scored."""
    if not dataset.is_regression:
        return Classification()
    assert preprocessing.target_std is not None
    return Regression(preprocessing.target_std)


def record(dataset: Dataset, splits: Splits, amplitude: float) -> dict[str, Any]:
    """Return what a run and its exports tell of its samples: names, shapes, and what was done to them.

    A target is output x target_std / amplitude + target_mean.
    """
    counts = {"training": splits.train, "validation": splits.validation, "test": splits.test}
    told: dict[str, Any] = {
        "dataset": dataset.name,
        "task": dataset.task,
        "fingerprint": dataset.fingerprint(),
        "shape": list(dataset.shape),
        "samples": {name: len(part) if part else 0 for name, part in counts.items()},
        "preprocessing": splits.preprocessing.record() | ({"amplitude": amplitude} if dataset.is_regression else {}),
    }
    names = {"classes": dataset.class_names, "features": dataset.feature_names}
    return told | {name: list(held) for name, held in names.items() if held}


def resize_note(shape: Sequence[int], size: Sequence[int] | None, resized_from: str = "") -> str | None:
    """Return a line that says how images of a shape are resized, None where they are not.

    resized_from: the sizes that they had before they were read.
    """
    own = "x".join(map(str, shape[1:]))
    now = own if size is None else f"{size[0]}x{size[1]}"
    found = resized_from or own
    return None if found == now else f"images of {found} are resized to {now}"
