"""`annealtrain eval`: score a finished run's weights again."""

from collections.abc import Sequence
from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.experiment import trust, versions
from annealtrain.experiment.builder import build
from annealtrain.experiment.config import saved_config
from annealtrain.runs import checkpoint, collection
from annealtrain.runs.contents import finite
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Row


def evaluate(folder: Path, trusted: Sequence[str] = ()) -> bool:
    """Score a finished run's weights again; print both results, return whether they are equal to the last bit.

    trusted: modules of the user's own whose objects may be built.
    """
    with versions.told(folder):
        config = saved_config(folder, trusted)
        result = collection.read_run(folder).result
        if result is None:
            raise InputError(
                f"the run in {folder} is not finished: {collection.resume_command(folder, trust.flags(config))}"
            )
        if "checksums" not in result:
            print("made by a version that kept no checksums: whether a file was changed since cannot be told")
        experiment = build(config)
    same = True
    with thread_pool.threads(experiment.threads):
        trainer = experiment.trainer()
        for kind, name in (("last", checkpoint.LAST), ("best_validation", checkpoint.BEST)):
            if not result[kind]:
                continue
            epoch = experiment.take_weights(folder / name)
            held = {"epoch": epoch, **trainer.scores()}
            scores = {key: value for key, value in held.items() if finite(value) is not None}
            recorded = {key: value for key, value in result[kind].items() if value is not None}
            is_same = scores == recorded
            same = same and is_same
            print(f"{kind} (epoch {epoch}):  {_scores_text(scores)}")
            print("  the same as recorded" if is_same else f"  NOT as recorded:  {_scores_text(recorded)}")
    return same


def _scores_text(scores: Row) -> str:
    return "  ".join(f"{name} {value!r}" for name, value in scores.items() if name != "epoch")
