"""`annealtrain export`: from a run folder, or from settings alone, to a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annealtrain.errors import InputError, nearest
from annealtrain.experiment import versions
from annealtrain.experiment.builder import check_whole, grid_of, ready
from annealtrain.experiment.config import Config, saved_config, threads_of
from annealtrain.experiment.settings_alone import compose_alone
from annealtrain.hamiltonian import file_formats
from annealtrain.hamiltonian.grid import in_words
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.nn.network import Network
from annealtrain.nn.onnx_export import onnx_file
from annealtrain.nn.torch_network import torch_file
from annealtrain.optimizers.weight_grid import codes_file
from annealtrain.runs import checksums, contents
from annealtrain.runtime import files, thread_pool
from annealtrain.runtime.array_types import Row
from annealtrain.training.trainer import Trainer

OTHER = "give --output another name"
# Nothing is solved here, and a run's own solver may need an account, or refuse another layer.
UNUSED_SOLVER = {"_target_": "annealtrain.solvers.coordinate_descent.RoundedLeastSquares"}
FILES = {"torch": "network.pt", "onnx": "network.onnx", "codes": "codes.npz"}  # of whole networks


def export(
    folder: Path | None,
    overrides: list[str],
    config_dir: str | None,
    kind: str,
    *,
    layer: int,
    unit: int,
    output: Path | None,
    force: bool,
    trusted: Sequence[str] = (),
    data_dir: str | None = None,
) -> str:
    """Write what is asked for; return a line that says what it is and where.

    folder: a run, at its last weights; or None: the first weights of a run with these overrides. trusted: modules of
    the user's own whose objects may be built of a folder's configuration. data_dir: where its data are now.
    """
    _check(kind, has_run=folder is not None, has_output=output is not None, data_dir=data_dir, trusted=trusted)
    is_network = kind in FILES
    config = config_of(folder, overrides, config_dir, trusted, data_dir)
    name = FILES.get(kind, f"layer{layer}_unit{unit}.{kind}")
    path = output or (folder or Path()) / name
    check_free(path, force=force)
    if folder:
        checksums.verify_run(folder)
    with thread_pool.threads(threads_of(config)):
        trainer, epoch = ready(config, folder)
        if is_network:
            what = f"the network after {epoch} epochs"
            content = _network_file(trainer.network, kind, _about(folder), config)
        else:
            form = layer_problem(trainer, layer, epoch, unit).unit(unit)
            weights = f"{form.S0.size} weights of {in_words(form.bits, form.num_levels)}"
            what = f"layer {layer}, unit {unit} after {epoch} epochs: {weights}"
            content = file_formats.hamiltonian(form, kind, f"annealtrain: {what}")
    write(path, content)
    return f"{path}: {what}"


def config_of(
    folder: Path | None, overrides: list[str], config_dir: str | None, trusted: Sequence[str], data_dir: str | None
) -> Config:
    """Return the configuration of a run, or of settings, with a solver that asks for nothing."""
    if folder:
        with versions.told(folder):
            return saved_config(folder, trusted, {"solver": UNUSED_SOLVER}, data_dir, "cpu")
    config = compose_alone(overrides, config_dir)
    check_whole(config)
    return config | ({"solver": UNUSED_SOLVER} if config.get("solver") is not None else {})


def _network_file(network: Any, kind: str, about: Row, config: Config) -> bytes:
    if kind == "codes":
        if config["grid"] != "fixed":
            raise InputError("--format codes writes the levels of weights on a grid, which a run with grid=fixed has")
        return codes_file([layer.weights for layer in network.trainable], grid_of(config).num_levels)
    if isinstance(network, Network):
        return onnx_file(network, about) if kind == "onnx" else torch_file(network)
    from annealtrain.nn import module_export

    return module_export.onnx_file(network, about) if kind == "onnx" else module_export.state_file(network)


def _check(kind: str, *, has_run: bool, has_output: bool, data_dir: str | None, trusted: Sequence[str]) -> None:
    """Raise InputError for arguments that do not go together."""
    known = [*file_formats.FORMATS, *FILES]
    if kind not in known:
        raise InputError(f"--format {kind} is not one of {', '.join(known)}{nearest(kind, known)}")
    check_settings(has_run=has_run, has_output=has_output, data_dir=data_dir, trusted=trusted)
    if kind in FILES and not has_run:
        raise InputError(f"--format {kind} writes a trained network: give a run folder in place of settings")


def check_settings(*, has_run: bool, has_output: bool, data_dir: str | None, trusted: Sequence[str]) -> None:
    """Raise InputError for what settings without a run folder lack, or have too much."""
    if has_run:
        return
    if not has_output:
        raise InputError("--output is missing: settings alone have no run folder to write to")
    if data_dir:
        raise InputError("--data-dir is for run folders: settings of your own say data_dir=DIR")
    if trusted:
        raise InputError("--trust is for run folders: settings of your own build what they name without it")


def _about(folder: Path | None) -> Row:
    """Return what a run tells of its samples: classes and preprocessing, for those who use its network elsewhere."""
    return {} if folder is None else contents.read_meta(folder / contents.META).get("data") or {}


def layer_problem(trainer: Trainer, layer: int, epoch: int, unit: int = 0) -> LayerProblem:
    """Return what `epoch` would solve in a layer; InputError for a layer or a unit that the network has not."""
    layers = trainer.network.trainable
    if not 0 <= layer < len(layers):
        raise InputError(f"layer {layer}: trainable layers are counted from 0 to {len(layers) - 1}")
    units = layers[layer].weight_shape[0]
    if not 0 <= unit < units:
        raise InputError(f"unit {unit}: layer {layer} has {units} units, 0 to {units - 1}")
    return trainer.next_problem(layer, epoch)


def check_free(path: Path, *, force: bool) -> None:
    """Raise InputError for a file that exists, unless it may be replaced, for a folder that does not, or takes none."""
    if path.is_dir() or (path.exists() and not force):
        raise InputError(f"{path} exists: give --output another name" + ("" if path.is_dir() else ", or add --force"))
    if path.parent.exists() and not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: give --output another name")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}: make it, or give --output another name")
    files.require_writable(path, OTHER)


def write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    files.write_atomically(path, content, OTHER)
