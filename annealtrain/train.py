"""Build a run's objects from its composed configuration, run it, score it again. Knows Hydra; nothing below does."""

import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

import annealtrain
from annealtrain import datasets, memory, parallel, recorder
from annealtrain.display import Display, summary
from annealtrain.errors import InputError
from annealtrain.estimate import layer_estimates, table, training_bytes
from annealtrain.network import Network
from annealtrain.parts import Config, Parts, build, check_values, create, network_of, trainer_of
from annealtrain.recorder import RunRecorder
from annealtrain.trainer import Trainer
from annealtrain.update import Checkpoint, Row, Update

log = logging.getLogger(__name__)

# What changes how a run is done, but not its numbers.
INDIFFERENT = ("resume", "progress", "threads", "data_dir")
# Whose versions a run records, where they are installed.
PACKAGES = (
    *("numpy", "scipy", "hydra-core", "dimod", "dwave-samplers", "scikit-learn"),
    *("torch", "dwave-system", "qiskit", "openjij"),
)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a run, with what is kept and how to go on."""


def train(config: Config, folder: Path, command: str, tell: Callable[[str], None] = print) -> float:
    """Run (or go on with) the training that `config` describes; return the score of its last epoch.

    The score is the validation accuracy, or the training accuracy where nothing is held out. tell: takes the summary.
    Raises InputError before anything is written, Interrupted at Ctrl-C.
    """
    check_values(config)
    digest = config_hash(config)
    if not (folder / recorder.RESULT).exists():
        with recorder.alone(folder, lambda: _tell_waiting(folder)):
            if not (folder / recorder.RESULT).exists():  # by a process that was waited for
                result = _trained(config, folder, _meta(config, command, digest))
                tell(summary(result, folder))
                return _score(result)
    return _left_as_it_is(folder, digest, tell)


def _trained(config: Config, folder: Path, meta: Row) -> Row:
    """Run (or go on with) a training in a folder that is this process's alone; return its result."""
    began = time.perf_counter()
    parts = build(config)
    threads = config["threads"] or parallel.available_threads()
    scored = len(parts.splits.test) + (len(parts.splits.validation) if parts.splits.validation else 0)
    batch = config["batch_size"] and min(config["batch_size"], config["samples"])
    memory.require(
        training_bytes(
            parts.network,
            samples=batch or config["samples"],
            scored=0 if batch else scored,
            bits=config["bits"],
            threads=threads,
        ),
        "training",
        f"lower {'batch_size' if batch else 'samples'}={batch or config['samples']}, or take a smaller model",
    )
    with parallel.threads(threads):
        _prepare_solver(parts, config)
    record = RunRecorder(folder)
    start = record.begin(OmegaConf.to_yaml(config), meta, resume=config["resume"])
    network = parts.network
    if start is not None:
        _take_weights(network, folder / recorder.LAST)
    memory.keep_freed()
    live = config["progress"] is True or (config["progress"] == "auto" and sys.stderr.isatty())
    display = Display(config["epochs"], len(network.trainable), start=start or 0, live=live)
    spent = record.seconds
    try:
        with parallel.threads(threads), display:
            trainer = trainer_of(parts, config)
            del parts
            if start is not None:
                trainer.restore(recorder.read_state(folder / recorder.LAST))
            trainer.run(_Observers(record, display), start)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {record.epochs_done} of {config['epochs']} epochs are kept; "
            f"to go on: annealtrain resume {folder}"
        ) from None
    return record.finish({"seconds": spent + time.perf_counter() - began, "peak_memory_mb": _peak_memory_mb()})


def _tell_waiting(folder: Path) -> None:
    print(f"another process is at work on the run in {folder}: waiting for its end", file=sys.stderr, flush=True)


def _prepare_solver(parts: Parts, config: Config) -> None:
    """Tell the solver how many units of each layer it gets at once, and how often in the run."""
    size = len(parts.splits.train)
    steps = config["epochs"] * -(-size // (config["batch_size"] or size))
    shapes = [layer.weight_shape for layer in parts.network.trainable]
    one_by_one = isinstance(parts.targets, Update) and parts.targets.is_unit_by_unit
    parts.solver.prepare(
        bits=config["bits"],
        weights=[N for _, N in shapes],
        units=[1 if one_by_one else M for M, _ in shapes],
        solves=[steps * M if one_by_one else steps for M, _ in shapes],
    )


class _Observers:
    """Passes a trainer's news to the record first, then to the display."""

    def __init__(self, record: RunRecorder, display: Display) -> None:
        self.record, self.display = record, display

    def epoch_done(self, row: Row, solves: list[Row], checkpoint: Checkpoint) -> None:
        self.record.save(row, solves, checkpoint.weights, checkpoint.state)
        self.display.epoch_done(row, solves)

    def solving(self, epoch: int, layer: int, done: float) -> None:
        self.display.solving(epoch, layer, done)


def resume(folder: Path, command: str) -> float:
    """Go on with the run in `folder` from its saved configuration."""
    return train({**saved_config(folder), "resume": True}, folder, command)


def evaluate(folder: Path) -> bool:
    """Score a finished run's weights again; print both results, return whether they are equal to the last bit."""
    config = saved_config(folder)
    if not (folder / recorder.RESULT).exists():
        raise InputError(f"the run in {folder} is not finished: annealtrain resume {folder}")
    result = recorder.read_json(folder / recorder.RESULT, "last", "best_validation")
    parts = build(config)
    same = True
    with parallel.threads(config["threads"] or parallel.available_threads()):
        trainer = trainer_of(parts, config)
        for kind, name in (("last", recorder.LAST), ("best_validation", recorder.BEST)):
            if not result[kind]:
                continue
            epoch = _take_weights(parts.network, folder / name)
            scores = {"epoch": epoch, **trainer.scores()}
            recorded = {key: value for key, value in result[kind].items() if value is not None}
            is_same = scores == recorded
            same = same and is_same
            print(f"{kind} (epoch {epoch}):  {_scores_text(scores)}")
            print("  the same as recorded" if is_same else f"  NOT as recorded:  {_scores_text(recorded)}")
    return same


def estimate(config: Config) -> str:
    """Return, as text, what each layer of a composed configuration asks of memory and of a quantum annealer."""
    check_values(config)
    target = str(config["dataset"].get("_target_"))
    channels = datasets.CHANNELS.get(target.removeprefix("annealtrain.datasets."))
    if channels is None or not target.startswith("annealtrain.datasets."):
        dataset = create(config["dataset"], "dataset", datasets.Dataset)
        channels, classes = dataset.train_images.shape[1], dataset.classes
    else:
        classes = 10
    network = network_of(config, channels, classes)
    threads = config["threads"] or parallel.available_threads()
    layers = layer_estimates(network, samples=config["samples"], bits=config["bits"], threads=threads)
    whole = training_bytes(network, samples=config["samples"], scored=0, bits=config["bits"], threads=threads)
    return f"{table(layers)}\nTraining on {config['samples']} images holds about {memory.readable(whole)}."


def ready(config: Config, folder: Path | None = None) -> tuple[Trainer, int]:
    """Return the trainer of a run at its start, or with the last weights in its folder; and the epochs behind it."""
    parts = build(config)
    trainer = trainer_of(parts, config)
    return trainer, _take_weights(parts.network, folder / recorder.LAST) if folder else 0


def config_hash(config: Config) -> str:
    """Return a fingerprint of all settings that can change a run's numbers."""
    settings = {key: value for key, value in config.items() if key not in INDIFFERENT}
    settings["dataset"] = {key: value for key, value in config["dataset"].items() if key != "data_dir"}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def saved_config(folder: Path) -> Config:
    """Return the configuration of the run in `folder`; InputError if there is none."""
    path = folder / recorder.CONFIG
    if not path.is_file() or not (folder / recorder.META).is_file():
        raise InputError(f"{folder} is not a run folder: it has no {recorder.CONFIG} and {recorder.META}")
    try:
        return plain(OmegaConf.load(path))  # type: ignore[arg-type]
    except Exception as error:  # of YAML, of OmegaConf, or for a file of another kind
        why = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({why}): start the run anew in another folder") from error


def plain(config: DictConfig) -> Config:
    """Return a composed configuration as plain dictionaries, its interpolations resolved, its paths absolute."""
    content: Config = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    for holder in (content, content.get("dataset")):
        if isinstance(holder, dict) and isinstance(holder.get("data_dir"), str):
            holder["data_dir"] = os.path.abspath(os.path.expanduser(holder["data_dir"]))
    return content


def _take_weights(network: Network, path: Path) -> int:
    """Give a network the weights of a checkpoint, return their epoch; InputError if they are another network's."""
    weights, epoch = recorder.read_checkpoint(path)
    held, needed = [array.shape for array in weights], [layer.weight_shape for layer in network.trainable]
    if held != needed:
        raise InputError(f"checkpoint {path} holds weights {held}, the model has {needed}: use the run's own")
    for layer, array in zip(network.trainable, weights, strict=True):
        layer.weights = array
    return epoch


def _left_as_it_is(folder: Path, digest: str, tell: Callable[[str], None]) -> float:
    if recorder.read_json(folder / recorder.META).get("config_hash") != digest:
        raise InputError(f"run folder {folder} holds a run with other settings: choose another hydra.run.dir")
    result = recorder.read_json(folder / recorder.RESULT, "last", "best_validation")
    tell(f"This run is finished and left as it is.\n{summary(result, folder)}")
    return _score(result)


def _score(result: Row) -> float:
    last = result["last"]
    return float(last["train_accuracy"] if last["val_accuracy"] is None else last["val_accuracy"])


def _scores_text(scores: Row) -> str:
    return "  ".join(f"{name} {value!r}" for name, value in scores.items() if name != "epoch")


def _meta(config: Config, command: str, digest: str) -> Row:
    return {
        "command": command,
        "seed": config["seed"],
        "config_hash": digest,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "annealtrain": annealtrain.__version__,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "machine": platform.platform(),
        "cores": parallel.available_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # of an extra that is not installed
        return None


def _git_revision() -> str | None:
    """Return the revision of the checkout that this package is imported from, if it is one."""
    here = Path(annealtrain.__file__).parent
    if not (here.parent / ".git").exists():
        return None
    try:
        told = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def remove_if_empty(folder: Path) -> None:
    """Remove the run folder that Hydra made for a run that did not begin, and the default folders around it."""
    try:
        folder.rmdir()
        if re.fullmatch(r"\d{4}-\d\d-\d\d", folder.parent.name):
            folder.parent.rmdir()
            folder.parent.parent.rmdir()
    except OSError:
        return
