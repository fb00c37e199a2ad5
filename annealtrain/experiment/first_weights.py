"""`init=`: the weights that a run starts from, of another run or of a PyTorch file; nothing in them is run."""

import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.named_arrays import require_same
from annealtrain.nn.network import Network
from annealtrain.runs import checkpoint, contents
from annealtrain.runs.checksums import checksum
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import shown

WRAPPED = ("state_dict", "model_state_dict", "model")  # where checkpoints of others keep the state dict


def take(network: Any, init: str) -> dict[str, str]:
    """Give a network the weights of a run folder or a .pt file; return which file it was, and its checksum.

    Raises InputError that names what does not fit.
    """
    given = Path(init)
    path = given / checkpoint.LAST if given.is_dir() else given
    if given.is_dir() and not (given / contents.META).is_file():
        raise InputError(f"init={init} is no run folder: it has no {contents.META}")
    try:
        content = files.read_bytes(path, checkpoint.MOST_CHECKPOINT)
        if given.is_dir():
            _take_run(network, path)
        else:
            _take_state(network, _state(content))
    except OSError as error:
        raise InputError(f"init={init} cannot be read ({error.strerror}): give a run folder or a .pt file") from error
    except ValueError as error:
        raise InputError(f"init={init} does not fit: it {error}: take weights of the same model") from error
    return {"file": str(path), "checksum": checksum(content)}


def _take_run(network: Any, path: Path) -> None:
    weights, others = checkpoint.read_checkpoint(path)[0], checkpoint.read_module(path)
    if isinstance(network, Network):
        names = list(network.named)
        if others.keys() - network.named.keys():
            raise ValueError("is a run of another kind of network, of a torch module")
        held = dict(others)
        held |= dict(zip([name for name in names if name not in others], weights, strict=False))
        if len(held) != len(weights) + len(others):
            raise ValueError(f"has weights of {len(weights) + len(others)} layers, the model of {len(names)}")
        network.take_named(held)
    elif others:
        network.take_others(others)
    else:
        raise ValueError("is a run of another kind of network, not of a torch module")


def state_tensors(content: bytes) -> dict[str, Any]:
    """Return the tensors of a PyTorch file that holds a state dict; ValueError, in words, for another."""
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # PyTorch's advice to trust the file
            held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        raise ValueError("is no file of torch.save(module.state_dict(), FILE)") from error
    if isinstance(held, Mapping):  # a checkpoint of a training loop or of Lightning, with the state dict in it
        held = next((held[name] for name in WRAPPED if isinstance(held.get(name), Mapping)), held)
    if not isinstance(held, Mapping) or not all(isinstance(value, torch.Tensor) for value in held.values()):
        raise ValueError("holds no state dict: write it by torch.save(module.state_dict(), FILE)")
    for name, tensor in held.items():
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
            raise ValueError(f"holds {shown(name)}, which is no dense tensor of real numbers")
    return {str(name): tensor.detach() for name, tensor in held.items()}


def _state(content: bytes) -> dict[str, Array]:
    """Return the arrays of a state dict, numbers of 16 bits as float32, which has them all."""
    tensors = state_tensors(content)
    return {
        name: (one.float() if one.is_floating_point() and one.itemsize < 4 else one).numpy()
        for name, one in tensors.items()
    }


def unwrapped(arrays: dict[str, Any], needed: Iterable[str]) -> dict[str, Any]:
    """Return arrays without what all their names begin with, such as DataParallel's module., where they fit so."""
    names = set(needed)
    while arrays and not names & arrays.keys():
        first = next(iter(arrays)).partition(".")[0] + "."
        if not all(name.startswith(first) and name != first for name in arrays):
            break
        arrays = {name.removeprefix(first): array for name, array in arrays.items()}
    return arrays


def _take_state(network: Any, arrays: dict[str, Array]) -> None:
    if not isinstance(network, Network):
        network.take_others(unwrapped(arrays, network.others()))
        return
    from annealtrain.nn.torch_network import state_names  # the names that `export --format torch` writes

    names, weights = state_names(network), {}
    needed = {name: shape for layer in names.values() for name, shape in layer.items()}
    require_same(needed, {name: array for name, array in arrays.items() if not name.endswith(".matrix")})
    for layer, parts in names.items():
        columns = [arrays[name].reshape(len(arrays[name]), -1).astype(np.float64) for name in parts]
        weights[layer] = np.hstack([columns[0], *(-theta for theta in columns[1:])])
    network.take_named(weights)
