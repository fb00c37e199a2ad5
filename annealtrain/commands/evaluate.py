"""`annealtrain eval`: score a finished run's weights again."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from annealtrain.commands import streams
from annealtrain.errors import InputError
from annealtrain.experiment import model_of_run, trust, versions
from annealtrain.experiment.builder import build_saved
from annealtrain.experiment.config import saved_config
from annealtrain.runs import checkpoint, checksums, collection, foreign
from annealtrain.runs.contents import finite
from annealtrain.runs.provenance import differences
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Row

TIES, LOSS_ROUNDING = 2, 1e-3


def evaluate(
    folder: Path,
    trusted: Sequence[str] = (),
    data_dir: str | None = None,
    *,
    device: str | None = None,
    is_exact: bool = False,
) -> bool:
    """Score a finished run's weights again; print both results, return whether they are equal.

    To the last bit where the run was made, and everywhere if `is_exact`; but for rounding (`is_rounding`) where the
    BLAS kernel, the GPU, the versions of packages or the cores are others. trusted: modules of the user's own whose
    objects may be built. data_dir: where its data are on this machine. device: in the place of the run's own. Of a
    network of `quantize`, which names no samples of its own, the files are checked alone.
    """
    if foreign.is_quantized(folder):
        _check_quantized(folder, has_flags=bool(trusted or data_dir or device or is_exact))
        return True
    with versions.told(folder):
        config, run = saved_config(folder, trusted, data_dir=data_dir, device=device), collection.read_run(folder)
        result = run.result
        if result is None:
            command = collection.resume_command(folder, trust.flags(config))
            raise InputError(f"the run in {folder} is not finished: {command}")
        if "checksums" not in result:
            streams.say(checksums.UNSEALED)
        experiment = build_saved(config, folder)
    elsewhere = [] if is_exact else differences(run.meta, model_of_run.gpu_of(config))
    same, trainer = True, None
    with thread_pool.threads(experiment.threads):
        for kind, name in (("last", checkpoint.LAST), ("best_validation", checkpoint.BEST)):
            if not result[kind]:
                continue
            epoch = experiment.take_weights(folder / name)
            trainer = trainer or experiment.trainer()  # behind the weights: those of frozen layers make its inputs
            held = {"epoch": epoch, **trainer.scores()}
            scores = {key: value for key, value in held.items() if finite(value) is not None}
            recorded = {key: value for key, value in result[kind].items() if value is not None}
            named = {f"{part}_accuracy": len(trainer.scored(part)) for part in trainer.sets}
            counts = {name: count for name, count in named.items() if name in scores}
            is_same, verdict = scores == recorded, "the same as recorded"
            if not is_same and elsewhere and is_rounding(scores, recorded, counts):
                is_same, verdict = True, f"as recorded but for rounding: {'; '.join(elsewhere)}"
            same = same and is_same
            streams.say(f"{kind} (epoch {epoch}):  {_scores_text(scores)}")
            streams.say(f"  {verdict}" if is_same else f"  NOT as recorded:  {_scores_text(recorded)}")
    return same


def _check_quantized(folder: Path, *, has_flags: bool) -> None:
    from annealtrain.commands.quantize import checked

    if has_flags:
        remedy = "leave --trust, --data-dir, --device and --exact out"
        raise InputError(f"of {folder}, a network of annealtrain quantize, only the files are checked: {remedy}")
    streams.say(checked(folder))


def is_rounding(scores: Row, recorded: Row, counts: Mapping[str, int]) -> bool:
    """Return whether scores of the same weights differ by no more than another machine's rounding can explain.

    It changes outputs by some 1e-6 of their size: the class of a sample only where two outputs tie, of which TIES a
    set are allowed, and the mean loss and errors of real targets by as little. counts: samples of each accuracy.
    """
    if scores.keys() != recorded.keys() or scores["epoch"] != recorded["epoch"]:
        return False
    errors = [name for name in scores if name != "epoch" and name not in counts]
    ties = all(abs(scores[name] - recorded[name]) * count <= TIES + 1e-6 for name, count in counts.items())
    return ties and all(
        abs(scores[name] - recorded[name]) <= LOSS_ROUNDING * max(_error(name, scores), _error(name, recorded))
        for name in errors
    )


def _error(name: str, scores: Row) -> float:
    """Return what an error of outputs is in proportion to: itself, and of R2 what it lacks of 1."""
    found: float = abs(1 - scores[name] if name.endswith("_r2") else scores[name])
    return found


def _scores_text(scores: Row) -> str:
    return "  ".join(f"{name} {value!r}" for name, value in scores.items() if name != "epoch")
