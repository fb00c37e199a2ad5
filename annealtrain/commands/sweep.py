"""The jobs of a sweep: each goes on where it was, keeps its own error, and leaves one line; their sum at the end."""

import logging
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from annealtrain.commands import job_folder, search, streams, sweep_folder
from annealtrain.commands.interrupts import left_to_this_process, through_libraries
from annealtrain.commands.job_folder import INDIFFERENT
from annealtrain.commands.progress import accuracies
from annealtrain.errors import InputError
from annealtrain.experiment.compose import ERRORS, explain
from annealtrain.experiment.hydra_settings import check_hydra
from annealtrain.experiment.swept_words import check_params
from annealtrain.reports import paper
from annealtrain.runs import contents, foreign, tables
from annealtrain.runs.collection import STATUS
from annealtrain.runtime.guardian import Guardian

log = logging.getLogger(__name__)
FAILED = "failed"
OF_LAUNCHERS = ("TerminatedWorkerError", "BrokenProcessPool", "UncompletedJobError")  # joblib's, submitit's
MOST_SEEDS = 10_000


class Refused(BaseException):
    """What is refused before a run or a sweep begins. No Exception: Hydra makes those of a callback into warnings."""


class WorkerEnded(InputError):
    """A process of a sweep's jobs that something outside has ended: its finished epochs are kept."""

    code = 1


class Watch(Callback):
    """Told by Hydra that a run or a sweep is to begin, before anything is written: refuses what is not ours."""

    entered: sweep_folder.Entered | None = None
    guardian: Guardian | None = None  # of the jobs in processes of their own
    is_shown = True  # whether this screen shows the lines of a sweep's jobs

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        with _refusing():
            check_hydra(config.hydra, is_sweep=False, is_single="hydra.mode=RUN" in sys.argv)
            foreign.refuse_foreign(Path(config.hydra.run.dir), job_folder.OF_A_START)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        with _refusing():
            check_hydra(config.hydra, is_sweep=True)
            launcher = config.hydra.launcher._target_
            Watch.is_shown = "submitit" not in launcher  # it sends what a job prints to its own log
            check_params(config.hydra.sweeper.get("params") or {})
            words, fixed = _words(config)
            Watch.entered = sweep_folder.Entered(Path(config.hydra.sweep.dir), words, fixed)
            search.prepare(config)
        if "basic_launcher" not in launcher:
            left_to_this_process()
            _quieten()
            if "slurm" not in launcher.lower():  # its jobs are Slurm's to end
                Watch.guardian = Guardian(uuid.uuid4().hex)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        if Watch.guardian:
            Watch.guardian.dismiss()
            Watch.guardian = None


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what a run or a sweep is refused for into what Hydra lets through."""
    try:
        yield
    except (InputError, OSError) as error:
        raise Refused from error
    except ERRORS as error:
        raise Refused from InputError(explain(error))
    except Exception as error:  # of which Hydra would make a warning, and go on unwatched
        raise Refused from error


def _quieten() -> None:
    """Keep joblib's own watch from warning of semaphores where this process is killed: it removes them all."""
    held = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join([*([held] if held else []), "ignore:resource_tracker:UserWarning"])


def worker_ended(error: BaseException) -> WorkerEnded | None:
    """Return the line for what a launcher raises where a process of its jobs is gone, None for another error."""
    if type(error).__name__ not in OF_LAUNCHERS:
        return None
    why = "a process of its jobs was ended from outside, as the system does where memory is short"
    return WorkerEnded(f"{why}: finished jobs and epochs are kept; the same command goes on")


def leave() -> None:
    """Let another sweep into the folder of the one that ends; end its processes where it was cut short."""
    if Watch.entered:
        Watch.entered.leave()
    if Watch.guardian:
        Watch.guardian.call()
        Watch.guardian = None


def _words(config: DictConfig) -> tuple[dict[str, str], list[str]]:
    """Return a sweep's own settings by their keys, and the keys of those that all its jobs share."""
    given = list(map(str, OmegaConf.to_container(config.hydra.overrides.task, resolve=False)))  # type: ignore[arg-type]
    words = dict(word.lstrip("+").split("=", 1) for word in given if "=" in word)
    words = {key: value for key, value in words.items() if key not in INDIFFERENT}
    excluded = config.hydra.job.config.override_dirname.exclude_keys
    return words, [key for key in words if key in excluded]


def run_job(name: str, folder: Path, started: str, train: Callable[[Path], float]) -> float:
    """Return the score of a job, 0 if it failed; print its line and keep it for the sweep that `started` names.

    name: of the job's folder. folder: the sweep's. train: called with the job's folder.
    A traceback goes to the job's own log; Ctrl-C goes up and ends the sweep.
    """
    own = folder / name
    was_finished = (own / contents.RESULT).exists()
    try:
        if why := job_folder.obstacle(own):
            raise InputError(why)
        with through_libraries():
            score = train(own)
    except InputError as error:
        said = str(error).replace("hydra.run.dir", "hydra.sweep.dir")
        log.error("%s", said, exc_info=error.__cause__)  # such as an error in a module of the user's own
        score, outcome = 0.0, f"{FAILED}: {said}"
    except Exception as error:
        log.exception("this run failed")
        score, outcome = 0.0, f"{FAILED}: {type(error).__name__}: {' '.join(str(error).split())}"
    else:
        result = tables.read_json(own / contents.RESULT, "last")
        outcome = f"{accuracies(result['last'])}  {result['seconds']:.1f} s"
        outcome += "  (finished before)" if was_finished else ""
        outcome += f"  warning: {result['warning']}" if result.get("warning") else ""
    line = f"{name}  {outcome}"
    sweep_folder.write_line(folder, started, name, line)
    status = own / STATUS
    if not job_folder.obstacle(own) and (not status.exists() or foreign.is_own_line(status)):
        sweep_folder.write_status(status, line)
    with suppress(OSError):  # a full disk or a reader that has gone stops no job: the sum at the end tells of it
        streams.say(line)
    return score


def interrupted(interrupt: KeyboardInterrupt) -> KeyboardInterrupt:
    """Return what to tell of an interrupt: as the run said it, or of a sweep whose jobs were in other processes."""
    if Watch.entered is None or str(interrupt):
        return interrupt
    return KeyboardInterrupt("interrupted: finished jobs and epochs are kept; the same command goes on")


def full_disk(error: Exception) -> str | None:
    """Return what is said where a file that Hydra writes for a sweep finds no room; None for any other error."""
    if Watch.entered is None or not isinstance(error, OSError) or error.filename is not None:
        return None
    return streams.fault(error, f"in {Watch.entered.folder}")


def conclude(started: str) -> int:
    """Print how the jobs of the sweep just run have ended; return the exit code, 1 if one of them failed."""
    assert Watch.entered is not None
    folder = Watch.entered.folder
    lines = sweep_folder.take_lines(folder, started)
    failed = [line for line in lines if f"  {FAILED}: " in line]
    if not Watch.is_shown:
        streams.say(*lines)
    streams.say(f"{len(lines)} jobs, {len(failed)} failed; run folders: {folder.absolute()}")
    if failed:
        streams.say("failed, see train.log in each job's folder:", *(f"  {line}" for line in failed))
    return 1 if failed else 0


def figure_words(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a sweep with `sweep=figure figure=NAME seeds=N` spelled out: methods x seeds.

    A method= or seed= of the user's own narrows the figure. Raises InputError for a figure that the paper has not.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in arguments if "=" in word}
    if given.get("sweep") != "figure":
        return list(arguments)
    name, seeds = given.get("figure", ""), given.get("seeds", "10")
    if not name:
        raise InputError(f"sweep=figure needs a figure=NAME, one of {', '.join(paper.PAPER)}")
    paper.check_name(name)
    if not seeds.isdecimal() or len(seeds) > 5 or not 1 <= int(seeds) <= MOST_SEEDS:
        raise InputError(
            f"seeds={seeds} is not a whole number of at least 1 and at most {MOST_SEEDS}, as each is a run"
        )
    words = {
        "experiment": name,
        "method": ",".join(paper.methods(name, has_qpu=_has_qpu(name) if "method" not in given else False)),
        "seed": f"range({seeds})",
        "hydra.sweep.dir": f"outputs/figures/{name}/runs",
    }
    own = [word for word in arguments if word.partition("=")[0] not in ("figure", "seeds")]
    return [*own, *(f"{key}={value}" for key, value in words.items() if key not in given)]


def _has_qpu(name: str) -> bool:
    """Whether a figure that shows a quantum annealer finds an account for one."""
    if paper.QPU not in paper.PAPER[name].methods:
        return False
    from annealtrain.solvers.dwave.qpu import has_token

    return has_token()
