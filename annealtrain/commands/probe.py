"""How long an epoch takes, by doing the first steps of one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from annealtrain.experiment.builder import Experiment
from annealtrain.nn import footprint
from annealtrain.runtime import thread_pool
from annealtrain.training.trainer import Trainer

# Steps that tell what the others take: the first ones measure more and are slower. They end with the 33rd, since an
# optimizer may do something in every 16th.
SETTLED, ENOUGH = 17, 33


@dataclass(frozen=True)
class Probe:
    """Seconds of an epoch's steps and of its scores. done: the share of a step, or the steps, that were measured."""

    steps_s: float
    scores_s: float
    done: float

    @property
    def epoch_s(self) -> float:
        """Seconds of an epoch."""
        return self.steps_s + self.scores_s


class _Enough(Exception):
    """A step that has taken its time."""


class _Limit:
    """Follows a step, and ends it at a limit; `share` is how much of it is done, by what its layers cost."""

    def __init__(self, experiment: Experiment, limit_s: float) -> None:
        layers, self._ends = experiment.network.trainable, time.perf_counter() + limit_s
        self._costs = [
            float(footprint.sites(layer) * layer.weight_shape[0] * layer.weight_shape[1] ** 2) for layer in layers
        ]
        self._anneals = experiment.optimizer.solver is not None
        self._done: dict[int, float] = {}

    def progress(self, layer: int, done: float) -> None:
        self._done[layer] = done
        if time.perf_counter() > self._ends and self.share > 0:
            raise _Enough

    @property
    def is_over(self) -> bool:
        return time.perf_counter() > self._ends

    @property
    def share(self) -> float:
        if not self._anneals:  # all layers at once
            return max(self._done.values(), default=0.0)
        return sum(self._costs[k] * done for k, done in self._done.items()) / sum(self._costs)


def probe(experiment: Experiment, limit_s: float) -> Probe:
    """Return what an epoch of a run takes, measured for about limit_s and reckoned up from there; nothing is kept."""
    with thread_pool.threads(experiment.threads):
        trainer = experiment.trainer()
        started = time.perf_counter()
        trainer.scores()
        scores_s = time.perf_counter() - started
        steps_s, done = _steps(trainer, experiment, _Limit(experiment, limit_s))
    return Probe(steps_s, scores_s, done)


def _steps(trainer: Trainer, experiment: Experiment, limit: _Limit) -> tuple[float, float]:
    """Return the seconds of an epoch's steps, and how many steps were measured, or what share of the first one."""
    found: list[float] = []
    started = time.perf_counter()
    try:
        for seconds in trainer.timed_steps(limit.progress):
            found.append(seconds)
            if len(found) == ENOUGH or limit.is_over:
                break
    except _Enough:
        if not found:
            return (time.perf_counter() - started) / limit.share, limit.share
    return _reckoned(found, experiment.steps // experiment.config["epochs"]), len(found)


def _reckoned(found: Sequence[float], steps: int) -> float:
    """Return the seconds of so many steps, of which the first ones were measured."""
    settled = found[SETTLED:] or found[len(found) // 2 :]
    return sum(found) + (steps - len(found)) * sum(settled) / len(settled)
