"""Build a run's objects from its composed configuration, run it, score it again. Knows Hydra; nothing below does."""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from omegaconf import OmegaConf

from annealtrain.commands.estimate import training_bytes
from annealtrain.commands.progress import Display, summary
from annealtrain.errors import InputError
from annealtrain.experiment.builder import Experiment, build, trainer_of
from annealtrain.experiment.config import Config, check_values, config_hash, saved_config
from annealtrain.nn.network import Network
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.runs import checkpoint, lock, recorder, tables
from annealtrain.runs.provenance import peak_memory_mb, provenance
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Row
from annealtrain.training.callback import Checkpoint
from annealtrain.training.trainer import Trainer

log = logging.getLogger(__name__)


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
        with lock.exclusive(folder, lambda: _tell_waiting(folder)):
            if not (folder / recorder.RESULT).exists():  # by a process that was waited for
                result = _trained(config, folder, provenance(config, command, digest))
                tell(summary(result, folder))
                return _score(result)
    return _left_as_it_is(folder, digest, tell)


def _trained(config: Config, folder: Path, meta: Row) -> Row:
    """Run (or go on with) a training in a folder that is this process's alone; return its result."""
    began = time.perf_counter()
    parts = build(config)
    threads = config["threads"] or thread_pool.available_threads()
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
    with thread_pool.threads(threads):
        _prepare_solver(parts, config)
    record = RunRecorder(folder)
    start = record.begin(OmegaConf.to_yaml(config), meta, resume=config["resume"])
    network = parts.network
    if start is not None:
        take_weights(network, folder / checkpoint.LAST)
    memory.keep_freed()
    live = config["progress"] is True or (config["progress"] == "auto" and sys.stderr.isatty())
    display = Display(config["epochs"], len(network.trainable), start=start or 0, live=live)
    spent = record.seconds
    try:
        with thread_pool.threads(threads), display:
            trainer = trainer_of(parts, config)
            del parts
            if start is not None:
                trainer.restore(checkpoint.read_state(folder / checkpoint.LAST))
            trainer.run(_Observers(record, display), start)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {record.epochs_done} of {config['epochs']} epochs are kept; "
            f"to go on: annealtrain resume {folder}"
        ) from None
    return record.finish({"seconds": spent + time.perf_counter() - began, "peak_memory_mb": peak_memory_mb()})


def _tell_waiting(folder: Path) -> None:
    print(f"another process is at work on the run in {folder}: waiting for its end", file=sys.stderr, flush=True)


def _prepare_solver(parts: Experiment, config: Config) -> None:
    """Tell the solver how many units of each layer it gets at once, and how often in the run."""
    size = len(parts.splits.train)
    steps = config["epochs"] * -(-size // (config["batch_size"] or size))
    shapes = [layer.weight_shape for layer in parts.network.trainable]
    one_by_one = isinstance(parts.targets, Optimizer) and parts.targets.is_unit_by_unit
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


def ready(config: Config, folder: Path | None = None) -> tuple[Trainer, int]:
    """Return the trainer of a run at its start, or with the last weights in its folder; and the epochs behind it."""
    parts = build(config)
    trainer = trainer_of(parts, config)
    return trainer, take_weights(parts.network, folder / checkpoint.LAST) if folder else 0


def take_weights(network: Network, path: Path) -> int:
    """Give a network the weights of a checkpoint, return their epoch; InputError if they are another network's."""
    weights, epoch = checkpoint.read_checkpoint(path)
    held, needed = [array.shape for array in weights], [layer.weight_shape for layer in network.trainable]
    if held != needed:
        raise InputError(f"checkpoint {path} holds weights {held}, the model has {needed}: use the run's own")
    for layer, array in zip(network.trainable, weights, strict=True):
        layer.weights = array
    return epoch


def _left_as_it_is(folder: Path, digest: str, tell: Callable[[str], None]) -> float:
    if tables.read_json(folder / recorder.META).get("config_hash") != digest:
        raise InputError(f"run folder {folder} holds a run with other settings: choose another hydra.run.dir")
    result = tables.read_json(folder / recorder.RESULT, "last", "best_validation")
    tell(f"This run is finished and left as it is.\n{summary(result, folder)}")
    return _score(result)


def _score(result: Row) -> float:
    last = result["last"]
    return float(last["train_accuracy"] if last["val_accuracy"] is None else last["val_accuracy"])
