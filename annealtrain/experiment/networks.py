"""The network that `annealtrain quantize` is given, with its samples and its scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.data.dataset import Dataset
from annealtrain.data.images import split
from annealtrain.errors import InputError
from annealtrain.experiment import data_of_run, versions
from annealtrain.experiment.builder import build_saved, dataset_of
from annealtrain.experiment.config import Config, saved_config
from annealtrain.experiment.first_weights import state_tensors, unwrapped
from annealtrain.experiment.nodes import create
from annealtrain.experiment.quantize_config import described
from annealtrain.experiment.quantized_files import Exports, of_module, of_numpy, of_onnx
from annealtrain.nn.network import Network
from annealtrain.optimizers.quantization.of_network import NetworkSource
from annealtrain.optimizers.quantization.source import Source
from annealtrain.runs import checkpoint, checksums, contents
from annealtrain.runtime import files, thread_pool
from annealtrain.runtime.array_types import Array, Row


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


def of_run(folder: Path, config: Config, trusted: Sequence[str], data_dir: str | None) -> Given:
    """Return the network of a run with its own samples: training ones to calibrate with, validation ones held out."""
    with versions.told(folder):
        settings = saved_config(folder, trusted, {"solver": UNUSED_SOLVER}, data_dir, "cpu")
        checksums.verify_run(folder)
        experiment = build_saved(settings, folder)
        name = checkpoint.BEST if config["weights"] == "best" else checkpoint.LAST
        trainer = experiment.trainer()
        if name == checkpoint.BEST and not (folder / name).exists():
            if "val" in trainer.sets:
                raise InputError(f"{folder / name} is missing: restore it, or take the last weights, weights=last")
            name = checkpoint.LAST  # nothing was held out
        epoch = experiment.take_weights(folder / name)
    train = trainer.sets["train"]
    count = config["samples"] or min(USUAL_SAMPLES, len(train))
    if count > len(train):
        raise InputError(f"samples={count}: the run has {len(train)} training samples: at most {len(train)}")
    held_out = trainer.sets.get("val") or trainer.sets["test"]
    about: Row = {"run": str(folder), "weights": name, "epoch": epoch}
    about["data"] = contents.read_meta(folder / contents.META).get("data") or {}
    source: Any
    if isinstance(experiment.network, Network):
        source, exports = NetworkSource(experiment.network), of_numpy(experiment.network, about)
    else:
        source, exports = _module_of_run(experiment.network, train[:2], about)
        experiment.network.module = source.module  # which is scored from here on
    about |= {"left": source.left, "folded": source.folded}

    return Given(
        source,
        train.take(count),
        held_out.take(count),
        lambda: _finite(trainer.scores()),
        about,
        exports,
    )


def _module_of_run(network: Any, x: Array, about: Row) -> tuple[Any, Exports]:
    """Return the torch module of a run as a source; layers that were frozen in it stay as they are."""
    from annealtrain.optimizers.quantization.of_torch import TorchSource

    frozen = [name.removesuffix(".weight") for name, one in network.module.named_parameters() if not one.requires_grad]
    source = TorchSource(network.module, x, leave=dict.fromkeys(frozen, "frozen in the run"))
    return source, of_module(source, x.shape[1:], about)


USUAL_SAMPLES = 1000
MOST_BYTES = 2_000_000_000  # of a file of weights
# Nothing is trained here, and a run's own solver may need an account.
UNUSED_SOLVER = {"_target_": "annealtrain.solvers.coordinate_descent.RoundedLeastSquares"}


def _finite(row: Row) -> Row:
    return {name: value for name, value in row.items() if np.isfinite(value)}


def of_others(network: Path | None, config: Config) -> Given:
    """Return a PyTorch module or an ONNX model with the samples of a set."""
    if not config.get("dataset"):
        raise InputError("dataset is missing: the set that the network is for, such as dataset=digits")
    source, exports = _onnx_source(network) if network else (None, None)
    about: Row = {"network": str(network or config["model"]["_target_"])}
    settings = described(config)
    dataset = dataset_of(settings)
    size = data_of_run.size_for(settings, dataset.shape)
    counts = {name: config[name] for name in ("validation", "seed", "scale", "standardise")}
    held = dataset.held_out if counts["validation"] is None else counts["validation"]
    count = config["samples"] or max(min(USUAL_SAMPLES, len(dataset.train_images) - held), 1)
    splits = split(dataset, samples=count, **counts, size=size)
    calibration, held_out = splits.train.images, (splits.validation or splits.test).take(count).images
    about |= {"dataset": dataset.name, "data": data_of_run.record(dataset, splits, 1.0)}
    if source is None:
        source = _torch_source(config, calibration)
        exports = of_module(source, calibration.shape[1:], about)
    assert exports is not None
    _check_outputs(source, calibration[:2], dataset)
    task = data_of_run.task_of(dataset, splits.preprocessing)
    sets = {"val": splits.validation, "test": splits.test}

    def scores() -> Row:
        row: Row = {}
        for name, images in sets.items():
            if images is not None:
                outputs = [source.outputs(images[part]) for part in thread_pool.chunks(len(images), 256)]
                found = task.scores(np.concatenate(outputs), images.labels, 1.0)
                row |= {f"{name}_{score}": value for score, value in found.items()}
        return _finite(row)

    about |= {"left": source.left, "folded": source.folded}
    return Given(source, calibration, held_out, scores, about, exports)


def _check_outputs(source: Any, x: Array, dataset: Dataset) -> None:
    """Raise InputError where a network does not take the set's samples, or gives other outputs than its classes."""
    try:
        outputs = source.outputs(source.block(x, slice(None)))
    except Exception as error:  # whatever a module of the user's raises
        raise InputError(
            f"the network does not take samples {x.shape[1:]} of {dataset.name}: {_line(error)}"
        ) from error
    if outputs.shape != (len(x), dataset.classes):
        raise InputError(f"the network gives outputs {outputs.shape}, {dataset.name} has {dataset.classes} classes")
    if not np.isfinite(outputs).all():
        raise InputError(f"the network's outputs for samples of {dataset.name} are not finite: train it anew")


def _onnx_source(path: Path) -> tuple[Any, Exports]:
    from annealtrain.optimizers.quantization.of_onnx import OnnxSource

    try:
        content = files.read_bytes(path, MOST_BYTES, follow=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give a run folder or an .onnx file") from error
    source = OnnxSource(content, path.parent)

    return source, of_onnx(source)


def _torch_source(config: Config, calibration: Array) -> Any:
    try:
        import torch

        from annealtrain.optimizers.quantization.of_torch import TorchSource
    except ImportError as error:
        raise InputError(f"a PyTorch module needs PyTorch ({error}): pip install 'annealtrain[torch]'") from error
    with torch.random.fork_rng():
        torch.manual_seed(config["seed"] & 0xFFFFFFFF)
        module = create(config["model"], "model", torch.nn.Module)
    if config["state_dict"] is None:
        raise InputError("state_dict is missing: state_dict=net.pt, the file of the module's trained weights")
    path = Path(config["state_dict"])
    try:
        state = state_tensors(files.read_bytes(path, MOST_BYTES, follow=True))
    except OSError as error:
        raise InputError(f"state_dict={path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"state_dict={path} {error}") from error
    try:
        module.load_state_dict(unwrapped(state, module.state_dict()))
    except Exception as error:  # of torch
        raise InputError(
            f"state_dict={path} is not the state dict of {type(module).__name__}: {_line(error)}"
        ) from error
    try:
        return TorchSource(module, calibration)
    except InputError:
        raise
    except Exception as error:  # whatever a module of the user's raises
        raise InputError(f"the module does not take samples {calibration.shape[1:]}: {_line(error)}") from error


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 200 else f"{text[:200]}..."


def given_network(network: Path | None, config: Config, trusted: Sequence[str], data_dir: str | None = None) -> Given:
    """Return the network that a path, or the configuration, names; InputError where there is none.

    data_dir: where a run's data are on this machine.
    """
    if network is not None and network.is_dir():
        return of_run(network, config, trusted, data_dir)
    if data_dir:
        raise InputError("--data-dir is for run folders: other networks' samples are told by data_dir=DIR")
    return of_others(network, config)
