"""Run the training that a configuration describes, in a run folder, and go on with one that was interrupted."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from annealtrain.commands import streams, together
from annealtrain.commands.footing import require_memory
from annealtrain.commands.progress import Display, summary
from annealtrain.commands.together import Group
from annealtrain.errors import Diverged, InputError, MachineLost, exit_code
from annealtrain.experiment import continuing, model_of_run, moved_data, trust, versions
from annealtrain.experiment.builder import Experiment
from annealtrain.experiment.config import Config, check_values, config_hash, config_text, read_config, saved_config
from annealtrain.optimizers.weight_grid import distinct_levels
from annealtrain.runs import checkpoint, collection, contents, lock, scores, tables
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
    tell: Callable[[str], None] = streams.say,
    recorded: Config | None = None,
) -> float:
    """Run (or go on with) the training that `config` describes; return the score of its last epoch.

    The score is the accuracy, or R2, on validation samples, or on training ones where nothing is held out.
    tell: takes the summary.
    recorded: the configuration as a run folder has it, where `config` completes it, or says where its data are now.
    A finished run in the folder that differs in having fewer epochs goes on.
    Of processes that torchrun has started the first does all this; the others train along, and their score is NaN.
    Raises InputError before anything is written, Interrupted at Ctrl-C, Diverged where the loss is no longer a number.
    """
    try:
        with together.group() as group:
            if group.rank:
                return _followed(config, folder, group)
            return _led(config, folder, command, tell, recorded, group)
    except SystemExit as end:  # by a user's module: other jobs of a sweep, and a notebook, go on
        exit_code(end)
        raise


def _led(
    config: Config, folder: Path, command: str, tell: Callable[[str], None], recorded: Config | None, group: Group
) -> float:
    experiment = Experiment(config)
    recorded = recorded or config
    experiment.fingerprint, experiment.text = config_hash(recorded), config_text(recorded)
    with versions.told(folder):
        if _is_to_do(folder, recorded):
            with lock.exclusive(folder, lambda: _tell_waiting(folder)):
                if _is_to_do(folder, recorded):  # and was not by a process that was waited for
                    gpu = model_of_run.gpu_of(experiment.config)
                    meta = provenance(experiment.config["seed"], command, experiment.fingerprint, gpu)
                    ended = continuing.epochs_before(folder, recorded)
                    result = _trained(experiment, folder, meta, tell, group, ended)
                    return _told(result, folder, lambda: tell(summary(result, folder, experiment.note)))
        return _left_as_it_is(folder, experiment.fingerprint, tell)


def _is_to_do(folder: Path, config: Config) -> bool:
    return not (folder / contents.RESULT).exists() or continuing.epochs_before(folder, config) is not None


def _trained(
    experiment: Experiment, folder: Path, meta: Row, tell: Callable[[str], None], group: Group, ended: int | None
) -> Row:
    """Run (or go on with) a training in a folder that is this process's alone; return its result.

    ended: the epochs of a finished run that is given more.
    """
    began = time.perf_counter()
    experiment.build()
    together.require_shared(experiment.optimizer, len(experiment.splits.train), experiment.config["batch_size"])
    config, threads, layers = experiment.config, experiment.threads, len(experiment.network.trainable)
    require_memory(experiment)
    with thread_pool.threads(threads):
        experiment.optimizer.prepare(experiment.network, experiment.steps)
    record = RunRecorder(folder, config["weight_histograms"])
    start = _begun(experiment, record, meta, tell, ended)
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
                group.tell((str(folder.absolute()), start, trainer.checkpoint()))
                trainer.run(observers, start)
    except (KeyboardInterrupt, MachineLost) as error:
        kept = (
            f"{record.epochs_done} of {config['epochs']} epochs are kept; "
            f"to go on: {collection.resume_command(folder, trust.flags(config))}"
        )
        if isinstance(error, MachineLost):
            raise type(error)(f"{error}: {kept}") from error
        raise Interrupted(f"interrupted: {kept}") from None
    cost = {"seconds": spent + time.perf_counter() - began, "peak_memory_mb": peak_memory_mb()}
    warning = unfallen_loss(record.first_row, record.last_row, trainer.optimizer.step_setting)
    levels = {}
    if config["grid"] == "fixed":
        levels = {"levels": [distinct_levels(layer.weights) for layer in experiment.network.trainable]}
    return record.finish({"warning": warning, **levels, **cost})


def _begun(
    experiment: Experiment, record: RunRecorder, meta: Row, tell: Callable[[str], None], ended: int | None
) -> int | None:
    """Begin a run's record, or take up the one in its folder, weights and all; return the epochs that it has."""
    last = record.folder / checkpoint.LAST
    about: Row = {"data": experiment.about_data, "weights": experiment.about_weights}
    if not last.exists():
        about["init"] = experiment.take_first_weights()
    meta |= {name: value for name, value in about.items() if value}
    extended = None
    if ended:
        extended = {"epochs": ended, "at": meta["started_at"], "rescheduled": experiment.scheduled}
    start = record.begin(experiment.text, meta, resume=experiment.config["resume"], extended=extended)
    for line in experiment.about_weights:
        tell(line)
    if ended:
        streams.note(continuing.stretched(experiment.scheduled, ended, experiment.config["epochs"]))
    if start is not None and record.warning:
        streams.note(record.warning)
    if start is not None:
        experiment.take_weights(last)
    return start


def _followed(config: Config, folder: Path, group: Group) -> float:
    """Train along with the process that leads the run; nothing is written."""
    experiment = Experiment(config).build()
    with thread_pool.threads(experiment.threads):
        experiment.optimizer.prepare(experiment.network, experiment.steps)
        if order := group.heard():
            place, start, held = order
            if Path(place) != folder.absolute():  # Hydra's, by date and time, of another second
                with suppress(OSError):
                    folder.rmdir()
            for layer, weights in zip(experiment.network.trainable, held.weights, strict=True):
                layer.weights = weights
            experiment.network.take_others(held.module)
            trainer = experiment.trainer()  # behind the weights: those of frozen layers make its inputs
            del experiment.splits
            trainer.restore(held.state)
            trainer.run(_Nobody(), start)
    return float("nan")


class _Nobody:
    """Wants to know nothing of a run."""

    def epoch_done(self, row: Row, solves: list[Row], checkpoint: Checkpoint) -> None:
        pass

    def solving(self, epoch: int, layer: int, done: float) -> None:
        pass


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
        self.record.save(row, solves, checkpoint.weights, checkpoint.state, checkpoint.module)
        self.display.epoch_done(row, solves)

    def solving(self, epoch: int, layer: int, done: float) -> None:
        self.display.solving(epoch, layer, done)


def resume(
    folder: Path,
    command: str,
    trusted: Sequence[str] = (),
    data_dir: str | None = None,
    epochs: int | None = None,
    device: str | None = None,
) -> float:
    """Go on with the run in `folder` from its saved configuration.

    trusted: modules whose objects may be built. data_dir: where its data are on this machine. epochs: of a finished
    run, in all. device: in the place of the run's own.
    """
    with versions.told(folder), moved_data.looked_for(folder):
        config = {**saved_config(folder, trusted, data_dir=data_dir, device=device), "resume": True}
        more = {} if epochs is None else {"epochs": epochs}
        recorded = read_config(folder) | more
        if more:
            check_values(config | more)
            continuing.require_more(folder, recorded["epochs"])
        return train(config | more, folder, command, recorded=recorded)


def _left_as_it_is(folder: Path, digest: str, tell: Callable[[str], None]) -> float:
    if contents.read_meta(folder / contents.META).get("config_hash") != digest:
        raise InputError(f"run folder {folder} holds a run with other settings: choose another hydra.run.dir")
    result = collection.read_run(folder).result or {}
    return _told(result, folder, lambda: tell(f"This run is finished and left as it is.\n{summary(result, folder)}"))


def _told(result: Row, folder: Path, tell: Callable[[], None]) -> float:
    """Tell of a run and return its score; Diverged where its loss is no number."""
    last = result["last"]
    if last["train_loss"] is None:
        raise Diverged(f"{result['warning']}; run folder: {folder.absolute()}")
    tell()
    found = (scores.score(last, split) for split in ("val", "train"))
    return next(value for value in found if value is not None)
