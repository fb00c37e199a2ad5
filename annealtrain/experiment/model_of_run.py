"""From a configuration to a torch module as a network: what its arguments follow from, which weights change."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from math import prod
from typing import TYPE_CHECKING, Any

from annealtrain.errors import InputError, is_memory_full, own_place
from annealtrain.runtime.random_streams import Stream, stream
from annealtrain.runtime.validation import Rule, is_whole, one_of, optional

if TYPE_CHECKING:
    from annealtrain.nn.run_module import RunModule
    from annealtrain.optimizers.rest import Rest

log = logging.getLogger(__name__)
RULES = {
    "init": optional(Rule("a run folder or a .pt file", lambda value: isinstance(value, str) and value != "")),
    "trainable": optional(
        Rule(
            "a list of layers, by index or name, such as [0, head]",
            lambda value: (
                isinstance(value, list) and value != [] and all(is_whole(x) or isinstance(x, str) for x in value)
            ),
        )
    ),
    "precision": one_of("float32", "bfloat16"),
    "device": Rule(
        "cpu, cuda or a GPU's number, as cuda:1",
        lambda value: isinstance(value, str) and bool(re.fullmatch(r"cpu|cuda(:\d{1,4})?", value)),
    ),
}
BEFORE = {"init": None, "trainable": None, "precision": "float32", "device": "cpu"}
# Of optimizers and solvers that now have a choice, and the own values that they read.
NODES_BEFORE: dict[str, dict[str, Any]] = {
    "optimizer": {
        "loss": "squared_error",
        "factors": "sites",
        "block": 1,
        "power": 1.0,
        "weight_decay": 0.0,
        "l1": 0,
        "l2": 0,
    },
    "kronecker": {"loss": "squared_error", "eta": 0.3, "power": 1.0},
    "gauss_newton": {"loss": "squared_error"},
    "solver": {"num_blocks": 0},
}
LABELS = ("name",)  # of a model's node, no arguments of its class


def on_this_machine(config: dict[str, Any], device: str | None = None) -> dict[str, Any]:
    """Return a run's configuration on another device, or on the CPU where its own GPU is not found: the log says so."""
    if device is not None:
        RULES["device"].check("--device", device)
        return {**config, "device": device}
    if config["device"] == "cpu" or _devices().is_there(config["device"]):
        return config
    log.warning("the run's device=%s is not on this machine: device=cpu is taken, equal to rounding", config["device"])
    return {**config, "device": "cpu"}


def gpu_of(config: dict[str, Any]) -> str | None:
    """Return the name of the GPU that a run computes on, None where it is on the CPU."""
    if not is_module(config) or config["device"] == "cpu":
        return None
    found: str | None = _devices().gpu_name(config["device"])
    return found


def _devices() -> Any:
    from annealtrain.nn.torch_network import import_torch

    import_torch("device=cuda")
    from annealtrain.nn import torch_device

    return torch_device


def is_module(config: dict[str, Any]) -> bool:
    """Whether the model is a torch module, not a list of layers."""
    return isinstance(config.get("model"), dict) and "_target_" in config["model"]


def without_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the settings of this version that are as before there were such."""
    settings = {name: value for name, value in config.items() if BEFORE.get(name, ...) != value}
    for node, before in NODES_BEFORE.items():
        if isinstance(held := config.get(node), dict):
            settings[node] = {name: value for name, value in held.items() if before.get(name, ...) != value}
    return settings


def unlabelled(node: Any) -> Any:
    """Return a model's node without what is of the run, not of its class: its name and image size."""
    return {name: value for name, value in node.items() if name not in LABELS} if isinstance(node, dict) else node


def arguments(node: dict[str, Any], make: Any, in_shape: Sequence[int], classes: int) -> dict[str, Any]:
    """Return a model's node with what its class takes, and the node leaves null or out, filled in from the data.

    make: the class, or a function that gives a module. Filled in are num_classes; in_channels of images, in_features
    of rows; image_size, and in_features of images, only where they are null or must be given.
    """
    known: dict[str, Any] = {"num_classes": classes, "in_features": prod(in_shape)}
    if len(in_shape) == 3:
        known |= {"in_channels": in_shape[0], "image_size": list(in_shape[1:])}
    taken = signature(make).parameters
    given = {name: value for name, value in node.items() if name not in LABELS or name in taken}
    if "in_channels" in taken and "in_features" not in taken and not (len(in_shape) == 3 or given.get("in_channels")):
        rows = f"rows of {in_shape[0]} numbers"
        raise InputError(f"{node['_target_']} is for images, the samples are {rows}: take model=mlp or model=linear")
    asked = {name for name in known if name in taken and taken[name].default is taken[name].empty}
    asked |= {"num_classes", "in_channels" if len(in_shape) == 3 else "in_features"} & taken.keys()
    follows = {name for name, value in given.items() if value is None} | (asked - given.keys())
    return given | {name: value for name, value in known.items() if name in follows}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let PyTorch draw first weights from a run's seed in the body, and go on as before after it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(seed, Stream.WEIGHTS).generate_state(1)[0]))
        yield


def network(
    module: Any,
    in_shape: Sequence[int],
    classes: int,
    trainable: list[int | str] | None,
    rest: "Rest | None",
    *,
    anneals: bool,
    **settings: Any,
) -> "RunModule":
    """Return a module as a network; layers that `trainable` leaves out are frozen.

    rest: makes what trains parameters that no Hamiltonian takes. anneals: whether there are any; without a rest those
    parameters are frozen then. settings: seed, precision and device, see RunModule.
    """
    import torch

    from annealtrain.nn.run_module import RunModule

    if not isinstance(module, torch.nn.Module):
        raise InputError(f"model._target_ makes a {type(module).__name__}, not a torch.nn.Module")
    if trainable is not None:
        kept = {layer.name for layer in RunModule(module, trainable=trainable).trainable}
        for layer in RunModule(module).trainable:
            for parameter in layer.parameters if layer.name not in kept else ():
                parameter.requires_grad_(False)
    shape = "x".join(map(str, in_shape))
    try:
        made = RunModule(module, tuple(in_shape), rest=rest if anneals else None, **settings)
    except Exception as error:  # whatever a module raises of what it cannot take
        if isinstance(error, InputError) or is_memory_full(error):
            raise
        raise _refusal(f"the model does not take samples of {shape}", error) from error
    if made.classes != classes:
        raise InputError(
            f"the model has {made.classes} outputs, the dataset needs {classes}: "
            f"set the argument of its class that says how many, such as +model.num_classes={classes}"
        )
    if anneals and rest is None:
        for parameter in made.rest.values():
            parameter.requires_grad_(False)
    try:
        made.rehearse()
    except InputError as error:
        raise InputError(f"in training mode {error}") from None
    except Exception as error:  # as above
        if is_memory_full(error):
            raise
        raise _refusal(f"the model cannot be trained on samples of {shape}", error) from error
    return made


def _refusal(what: str, error: Exception) -> InputError:
    place = own_place(error)
    said = " ".join(str(error).split())
    return InputError(f"{what}: {type(error).__name__}{f' in {place}' if place else ''}: {said}")
