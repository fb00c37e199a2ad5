"""A finished run that is given more epochs: whether it is that run, and what its schedules then do."""

from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.experiment.config import Config, config_hash
from annealtrain.optimizers.weight_grid import OF_SHADOW
from annealtrain.runs import collection, contents


def epochs_before(folder: Path, config: Config) -> int | None:
    """Return how many epochs the run in a folder has, where `config` differs from it in having more; else None.

    The run has come to its end, or was killed as it was given more: what it lacks is then written again.
    """
    if not (folder / contents.META).is_file() or not (folder / contents.METRICS).is_file():
        return None
    known = contents.read_meta(folder / contents.META).get("config_hash")
    rows = contents.read_metrics(folder / contents.METRICS)
    if not rows or known == config_hash(config):
        return None
    ended: int = rows[-1]["epoch"]
    if not 0 < ended < config["epochs"] or known != config_hash(config | {"epochs": ended}):
        return None
    collection.read_run(folder)  # whose files must be what the run wrote
    return ended


def require_more(folder: Path, epochs: int) -> None:
    """Raise InputError where the run in a folder cannot be given so many epochs in all."""
    run = collection.read_run(folder)
    if run.result and run.result["last"]["train_loss"] is None:
        raise InputError(f"the run in {folder} has diverged, more epochs lead nowhere: start anew with smaller steps")
    if run.result is None and run.config.get("epochs") not in (epochs, run.last["epoch"]):
        command = collection.resume_command(folder)
        raise InputError(f"the run in {folder} is not finished: {command}; more epochs can be given to it then")
    if epochs < run.last["epoch"]:
        done = run.last["epoch"]
        raise InputError(f"epochs={epochs}: the run in {folder} has {done} behind it: give more than that")


def stretched(settings: list[str], before: int, epochs: int) -> str:
    """Return a line on what the schedules of a run of `before` epochs do in those that it goes on for.

    settings: which follow its length, in words.
    """
    if not settings:
        return (
            f"goes on from epoch {before} to {epochs}, as a run of {epochs} epochs does: nothing falls over its length"
        )
    others, told = [name for name in settings if name != OF_SHADOW], []
    if others:
        is_one = len(others) == 1
        told.append(
            f"{' and '.join(others)} {'is' if is_one else 'are'} from here on what {'it is' if is_one else 'they are'} "
            f"in a run of {epochs} epochs, and had fallen within {before} until here"
        )
    if OF_SHADOW in settings:
        told.append(f"{OF_SHADOW} was a share of those up to {before}, and all that come are on the grid")
    another = f"another run than one of {epochs} epochs from its start"
    return f"goes on from epoch {before} to {epochs}: {'; '.join(told)}: {another}"
