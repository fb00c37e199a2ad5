"""The network that `annealtrain quantize` is given, with its samples and its scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.experiment import versions
from annealtrain.experiment.builder import build
from annealtrain.experiment.config import Config, saved_config
from annealtrain.nn.onnx_export import onnx_network
from annealtrain.nn.torch_network import torch_file
from annealtrain.quantization.network import QuantizedLayer
from annealtrain.quantization.of_network import NetworkSource
from annealtrain.quantization.qdq import Placed, with_codes
from annealtrain.quantization.source import Source
from annealtrain.quantization.torch_files import torch_bytes
from annealtrain.runs import checkpoint, checksums, contents
from annealtrain.runtime.array_types import Array, Row

Exports = Callable[[Sequence[QuantizedLayer], dict[str, Array]], dict[str, bytes]]  # of layers and codes: files by name


@dataclass(frozen=True)
class Given:
    """A network to be quantised.

    calibration, held_out: samples as the source takes them; held_out may be None. scores: those of the source's present
    weights, by name. about: what is told of it in result.json.
    """

    source: Source
    calibration: Any
    held_out: Any
    scores: Callable[[], Row]
    about: Row
    exports: Exports


def of_run(folder: Path, config: Config, trusted: Sequence[str]) -> Given:
    """Return the network of a run with its own samples: training ones to calibrate with, validation ones held out."""
    with versions.told(folder):
        settings = saved_config(folder, trusted, {"solver": UNUSED_SOLVER})
        checksums.verify_run(folder)
        experiment = build(settings)
        name = checkpoint.BEST if config["weights"] == "best" else checkpoint.LAST
        if config["weights"] == "best" and not (folder / name).exists():
            name = checkpoint.LAST  # nothing was held out
        epoch = experiment.take_weights(folder / name)
    trainer = experiment.trainer()
    train = trainer.sets["train"]
    count = config["samples"]
    if count > len(train):
        raise InputError(f"samples={count}: the run has {len(train)} training samples: at most {len(train)}")
    held_out = trainer.sets.get("val") or trainer.sets["test"]
    about: Row = {"run": str(folder), "weights": name, "epoch": epoch}
    about["data"] = contents.read_meta(folder / contents.META).get("data") or {}
    network = experiment.network

    def exports(layers: Sequence[QuantizedLayer], codes: dict[str, Array]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        if find_spec("torch"):
            found |= {"network.pt": torch_file(network), "codes.pt": torch_bytes(codes)}
        if find_spec("onnx"):
            found["network.onnx"] = with_codes(
                onnx_network(network, about["data"]), [Placed(f"{layer.name}.weight", layer) for layer in layers]
            )
        return found

    return Given(
        NetworkSource(experiment.network),
        train.take(count),
        held_out.take(count),
        lambda: _finite(trainer.scores()),
        about,
        exports,
    )


# Nothing is trained here, and a run's own solver may need an account.
UNUSED_SOLVER = {"_target_": "annealtrain.solvers.coordinate_descent.RoundedLeastSquares"}


def _finite(row: Row) -> Row:
    return {name: value for name, value in row.items() if np.isfinite(value)}


def given_network(network: Path | None, config: Config, trusted: Sequence[str]) -> Given:
    """Return the network that a path, or the configuration, names; InputError where there is none."""
    if network is not None and network.is_dir():
        return of_run(network, config, trusted)
    raise InputError(f"{network} is neither a run folder nor an .onnx file")
