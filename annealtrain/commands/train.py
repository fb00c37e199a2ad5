"""Run the training that a configuration describes, in a run folder, and go on with one that was interrupted."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from annealtrain.commands import streams
from annealtrain.commands.estimate import require_memory
from annealtrain.commands.progress import Display, summary
from annealtrain.errors import Diverged, InputError
from annealtrain.experiment import trust, versions
from annealtrain.experiment.builder import Experiment
from annealtrain.experiment.config import Config, config_hash, read_config, saved_config
from annealtrain.optimizers.weight_grid import distinct_levels
from annealtrain.runs import checkpoint, collection, contents, lock, recorder, scores, tables
from annealtrain.runs.provenance import peak_memory_mb, provenance
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Row
from annealtrain.training.callback import Checkpoint, unfallen_loss
from annealtrain.training.trainer import Trainer

log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a run, with what is kept and how to go on."""


def train(
    config: Config,
    folder: Path,
    command: str,
    tell: Callable[[str], None] = print,
    fingerprint: str | None = None,
) -> float:
    """Run (or go on with) the training that `config` describes; return the score of its last epoch.

    The score is the accuracy, or R2, on validation samples, or on training ones where nothing is held out.
    tell: takes the summary.
    fingerprint: of the run that is gone on with, where its version knew fewer settings than `config` has.
    Raises InputError before anything is written, Interrupted at Ctrl-C, Diverged where the loss is no longer a number.
    """
    experiment = Experiment(config)
    experiment.fingerprint = fingerprint or experiment.fingerprint
    if not (folder / recorder.RESULT).exists():
        with lock.exclusive(folder, lambda: _tell_waiting(folder)):
            if not (folder / recorder.RESULT).exists():  # by a process that was waited for
                meta = provenance(experiment.config["seed"], command, experiment.fingerprint)
                result = _trained(experiment, folder, meta)
                return _told(result, folder, lambda: tell(summary(result, folder, experiment.note)))
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
    if start is not None and record.warning:
        print(record.warning, file=sys.stderr, flush=True)
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
                _restore(trainer, folder / checkpoint.LAST)
            observers = _Observers(record, display)
            if not record.has_diverged:
                trainer.run(observers, start)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {record.epochs_done} of {config['epochs']} epochs are kept; "
            f"to go on: {collection.resume_command(folder, trust.flags(config))}"
        ) from None
    cost = {"seconds": spent + time.perf_counter() - began, "peak_memory_mb": peak_memory_mb()}
    warning = unfallen_loss(record.first_row, record.last_row, trainer.optimizer.step_setting)
    levels = {}
    if config["grid"] == "fixed":
        levels = {"levels": [distinct_levels(layer.weights) for layer in experiment.network.trainable]}
    return record.finish({"warning": warning, **levels, **cost})


def _restore(trainer: Trainer, path: Path) -> None:
    """Let a trainer go on from a checkpoint's state; InputError where that is of another kind than its own."""
    state, own = checkpoint.read_state(path), trainer.checkpoint().state
    try:
        for name, array in state.items():
            if array.dtype.kind not in "fiu" or (name in own and own[name].shape != array.shape):
                raise ValueError(f"{name} holds {array.dtype} {array.shape}")
        trainer.restore(state)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise tables.unreadable(path, error) from error


def _tell_waiting(folder: Path) -> None:
    streams.note(f"another process is at work on the run in {folder}: waiting for its end")


class _Observers:
    """Passes a trainer's news to the record first, then to the display."""

    def __init__(self, record: RunRecorder, display: Display) -> None:
        self.record, self.display = record, display

    def epoch_done(self, row: Row, solves: list[Row], checkpoint: Checkpoint) -> None:
        self.record.save(row, solves, checkpoint.weights, checkpoint.state)
        self.display.epoch_done(row, solves)

    def solving(self, epoch: int, layer: int, done: float) -> None:
        self.display.solving(epoch, layer, done)


def resume(folder: Path, command: str, trusted: Sequence[str] = ()) -> float:
    """Go on with the run in `folder` from its saved configuration. trusted: modules whose objects may be built."""
    with versions.told(folder):
        config = {**saved_config(folder, trusted), "resume": True}
        return train(config, folder, command, fingerprint=config_hash(read_config(folder)))


def _left_as_it_is(folder: Path, digest: str, tell: Callable[[str], None]) -> float:
    if contents.read_meta(folder / recorder.META).get("config_hash") != digest:
        raise InputError(f"run folder {folder} holds a run with other settings: choose another hydra.run.dir")
    result = collection.read_run(folder).result or {}
    return _told(result, folder, lambda: tell(f"This run is finished and left as it is.\n{summary(result, folder)}"))


def _told(result: Row, folder: Path, tell: Callable[[], None]) -> float:
    """Tell of a run and return its score; Diverged where its loss is no number."""
    last = result["last"]
    if last["train_loss"] is None:
        raise Diverged(f"{result['warning']}; run folder: {folder}")
    tell()
    found = (scores.score(last, split) for split in ("val", "train"))
    return next(value for value in found if value is not None)
