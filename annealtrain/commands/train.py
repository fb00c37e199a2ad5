"""Run the training that a configuration describes, in a run folder, and go on with one that was interrupted."""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from annealtrain.commands.estimate import require_memory
from annealtrain.commands.progress import Display, summary
from annealtrain.errors import InputError
from annealtrain.experiment.builder import Experiment
from annealtrain.experiment.config import Config, saved_config
from annealtrain.runs import checkpoint, lock, recorder, scores, tables
from annealtrain.runs.provenance import peak_memory_mb, provenance
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Row
from annealtrain.training.callback import Checkpoint, unfallen_loss

log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a run, with what is kept and how to go on."""


def train(config: Config, folder: Path, command: str, tell: Callable[[str], None] = print) -> float:
    """Run (or go on with) the training that `config` describes; return the score of its last epoch.

    The score is the accuracy, or R2, on validation samples, or on training ones where nothing is held out.
    tell: takes the summary.
    Raises InputError before anything is written, Interrupted at Ctrl-C.
    """
    experiment = Experiment(config)
    if not (folder / recorder.RESULT).exists():
        with lock.exclusive(folder, lambda: _tell_waiting(folder)):
            if not (folder / recorder.RESULT).exists():  # by a process that was waited for
                meta = provenance(experiment.config["seed"], command, experiment.fingerprint)
                result = _trained(experiment, folder, meta)
                tell(summary(result, folder, experiment.note))
                return _score(result)
    return _left_as_it_is(folder, experiment.fingerprint, tell)


def _trained(experiment: Experiment, folder: Path, meta: Row) -> Row:
    """Run (or go on with) a training in a folder that is this process's alone; return its result."""
    began = time.perf_counter()
    experiment.build()
    config, threads, layers = experiment.config, experiment.threads, len(experiment.network.trainable)
    require_memory(experiment)
    with thread_pool.threads(threads):
        experiment.optimizer.prepare(experiment.network, experiment.steps)
    record = RunRecorder(folder)
    start = record.begin(experiment.text, meta | {"data": experiment.about_data}, resume=config["resume"])
    if start is not None:
        experiment.take_weights(folder / checkpoint.LAST)
    memory.keep_freed()
    live = config["progress"] is True or (config["progress"] == "auto" and sys.stderr.isatty())
    display = Display(config["epochs"], layers, start=start or 0, live=live)
    spent = record.seconds
    try:
        with thread_pool.threads(threads), display:
            trainer = experiment.trainer()
            del experiment.splits  # the trainer has the images as the network's inputs
            if start is not None:
                trainer.restore(checkpoint.read_state(folder / checkpoint.LAST))
            observers = _Observers(record, display, trainer.optimizer.step_setting)
            trainer.run(observers, start)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {record.epochs_done} of {config['epochs']} epochs are kept; "
            f"to go on: annealtrain resume {folder}"
        ) from None
    cost = {"seconds": spent + time.perf_counter() - began, "peak_memory_mb": peak_memory_mb()}
    return record.finish({"warning": observers.warning, **cost})


def _tell_waiting(folder: Path) -> None:
    print(f"another process is at work on the run in {folder}: waiting for its end", file=sys.stderr, flush=True)


class _Observers:
    """Passes a trainer's news to the record first, then to the display; knows whether the loss has fallen."""

    def __init__(self, record: RunRecorder, display: Display, step_setting: str) -> None:
        self.record, self.display, self.step_setting = record, display, step_setting
        self.warning: str | None = None

    def epoch_done(self, row: Row, solves: list[Row], checkpoint: Checkpoint) -> None:
        self.record.save(row, solves, checkpoint.weights, checkpoint.state)
        self.display.epoch_done(row, solves)
        if row["epoch"]:
            self.warning = unfallen_loss(self.record.first_row, row, self.step_setting)

    def solving(self, epoch: int, layer: int, done: float) -> None:
        self.display.solving(epoch, layer, done)


def resume(folder: Path, command: str) -> float:
    """Go on with the run in `folder` from its saved configuration."""
    return train({**saved_config(folder), "resume": True}, folder, command)


def _left_as_it_is(folder: Path, digest: str, tell: Callable[[str], None]) -> float:
    if tables.read_json(folder / recorder.META).get("config_hash") != digest:
        raise InputError(f"run folder {folder} holds a run with other settings: choose another hydra.run.dir")
    result = tables.read_json(folder / recorder.RESULT, "last", "best_validation")
    tell(f"This run is finished and left as it is.\n{summary(result, folder)}")
    return _score(result)


def _score(result: Row) -> float:
    found = [scores.score(result["last"], split) for split in ("val", "train")]
    return float(next(value for value in found if value is not None))
