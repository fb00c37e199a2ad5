"""`annealtrain export`: from a run folder, or from settings alone, to a file."""

from pathlib import Path

from annealtrain import export as hamiltonians
from annealtrain import export_network as networks
from annealtrain import parallel
from annealtrain.errors import InputError
from annealtrain.hydra_app import compose_config
from annealtrain.problem import LayerProblem
from annealtrain.train import ready, saved_config
from annealtrain.trainer import Trainer


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
) -> str:
    """Write what is asked for; return a line that says what it is and where.

    folder: a run, at its last weights; or None: the first weights of a run with these overrides.
    """
    known = [*hamiltonians.FORMATS, *networks.FORMATS]
    if kind not in known:
        raise InputError(f"--format {kind} is not one of {', '.join(known)}")
    is_network = kind in networks.FORMATS
    if folder is None and output is None:
        raise InputError("--output is missing: settings alone have no run folder to write to")
    if folder is None and is_network:
        raise InputError(f"--format {kind} writes a trained network: give a run folder in place of settings")
    config = saved_config(folder) if folder else compose_config(overrides, config_dir)
    name = {"torch": "network.pt", "onnx": "network.onnx"}.get(kind, f"layer{layer}_unit{unit}.{kind}")
    path = output or (folder or Path()) / name
    hamiltonians.check_free(path, force=force)
    # Nothing is solved here, and a run's own solver may need an account, or refuse another layer.
    config = config | {"solver": {"_target_": "annealtrain.solvers.classical.RoundedLeastSquares"}}
    with parallel.threads(config["threads"] or parallel.available_threads()):
        trainer, epoch = ready(config, folder)
        if is_network:
            content, what = networks.network_file(trainer.network, kind), f"the network after {epoch} epochs"
        else:
            form = layer_problem(trainer, layer, epoch, unit).unit(unit)
            what = f"layer {layer}, unit {unit} after {epoch} epochs: {form.S0.size} weights of {form.bits} bits"
            content = hamiltonians.hamiltonian(form, kind, f"annealtrain: {what}")
    hamiltonians.write(path, content)
    return f"{path}: {what}"


def layer_problem(trainer: Trainer, layer: int, epoch: int, unit: int = 0) -> LayerProblem:
    """Return what `epoch` would solve in a layer; InputError for a layer or a unit that the network has not."""
    layers = trainer.network.trainable
    if not 0 <= layer < len(layers):
        raise InputError(f"layer {layer}: the network has {len(layers)} trainable layers, 0 to {len(layers) - 1}")
    units = layers[layer].weight_shape[0]
    if not 0 <= unit < units:
        raise InputError(f"unit {unit}: layer {layer} has {units} units, 0 to {units - 1}")
    return trainer.next_problem(layer, epoch)
