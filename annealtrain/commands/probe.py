"""How long an epoch takes, by doing the first steps of one."""

import time
from dataclasses import dataclass
from statistics import mean

from annealtrain.experiment.builder import Experiment
from annealtrain.nn import footprint
from annealtrain.runtime import thread_pool
from annealtrain.training.trainer import Trainer

# The first steps of a run measure more and are slower. Those after them tell what the others take, a period of them, as
# an optimizer may do something in every 16th: the first of those measured is one, or does what many do together.
SETTLED, PERIOD = 16, 16
TELLING, PATIENCE = 0.25, 4  # a share of a step that tells its length, and how many limits it is waited for
OF_PASSES, PARTS = 100, 32


@dataclass(frozen=True)
class Probe:
    """Seconds of an epoch's steps and of its scores, and what they were measured on, in words."""

    steps_s: float
    scores_s: float
    on: str

    @property
    def epoch_s(self) -> float:
        """Seconds of an epoch."""
        return self.steps_s + self.scores_s


class _Enough(Exception):
    """A step that has taken its time."""


class _Limit:
    """Follows a step, and ends it at a limit; `share` is how much of it is done, by what its layers cost."""

    def __init__(self, experiment: Experiment, limit_s: float) -> None:
        now = time.perf_counter()
        self._began, self._ends, self._patience_ends = now, now + limit_s, now + PATIENCE * limit_s
        # The square of each unit's rows, and passes over them that cost as much as OF_PASSES of their columns.
        self._costs = [
            float(footprint.unfolded(layer) * layer.weight_shape[0] * (layer.weight_shape[1] + OF_PASSES))
            for layer in experiment.network.trainable
        ]
        self._anneals = experiment.optimizer.solver is not None
        self._done: dict[int, float] = {}

    def next_step(self) -> None:
        """Begin to follow another step."""
        self._began, self._done = time.perf_counter(), {}

    def progress(self, layer: int, done: float) -> None:
        self._done[layer] = done
        if done >= 1 and layer == len(self._costs) - 1:  # all that is told of a step that solves all layers together
            return
        if self.is_over and (self.share > TELLING or time.perf_counter() > self._patience_ends) and self.share > 0:
            raise _Enough

    @property
    def left_s(self) -> float:
        return self._ends - time.perf_counter()

    @property
    def is_over(self) -> bool:
        return self.left_s < 0

    @property
    def whole_s(self) -> float:
        """The seconds of the step that was ended."""
        return (time.perf_counter() - self._began) / self.share

    @property
    def told(self) -> str:
        return f"{self.share:.0%} of a step"

    @property
    def share(self) -> float:
        if not self._anneals:  # all layers at once
            return max(self._done.values(), default=0.0)
        return sum(self._costs[k] * done for k, done in self._done.items()) / sum(self._costs)


def probe(experiment: Experiment, limit_s: float) -> Probe:
    """Return what an epoch of a run takes, measured for about limit_s and reckoned up from there; nothing is kept."""
    with thread_pool.threads(experiment.threads):
        trainer = experiment.trainer()
        scores_s = min(_scores(trainer) for _ in range(2))
        limit = _Limit(experiment, limit_s)
        measure = _of_batches if experiment.config["batch_size"] else _of_parts
        steps_s, on = measure(trainer, experiment, limit)
    return Probe(steps_s, scores_s, on)


def _scores(trainer: Trainer) -> float:
    started = time.perf_counter()
    trainer.scores()
    return time.perf_counter() - started


def _of_batches(trainer: Trainer, experiment: Experiment, limit: _Limit) -> tuple[float, str]:
    """Return the seconds of an epoch's steps, and what was measured: some of them, two if the first is whole."""
    steps = experiment.steps // experiment.config["epochs"]
    first = SETTLED if steps > SETTLED + PERIOD else 0
    found: list[float] = []
    try:
        for seconds in trainer.timed_steps(limit.progress, first):
            found.append(seconds)
            limit.next_step()
            if (first and len(found) > PERIOD) or (limit.is_over and len(found) > 1):
                break
    except _Enough:
        if not found:
            return limit.whole_s, limit.told
        found.append(limit.whole_s)
    return steps * _of_a_step(found, first), f"{len(found)} of its {steps} steps"


def _of_a_step(found: list[float], first: int) -> float:
    """Return the mean seconds of a step, of some that follow each other from step `first` on."""
    if first and 1 < len(found) <= PERIOD:
        return (found[0] + (PERIOD - 1) * mean(found[1:])) / PERIOD
    return mean(found[1:] if first and found[1:] else found[SETTLED:] or found[len(found) // 2 :])


def _of_parts(trainer: Trainer, experiment: Experiment, limit: _Limit) -> tuple[float, str]:
    """Return the seconds of an epoch's one step, and what was measured: a step on fewer samples, on twice as many, ...

    They are taken to be a part that is the same for any number of samples, and one that grows with it.
    """
    total, found = len(experiment.splits.train), dict[int, float]()
    count, expected = max(total // PARTS, min(total, 2)), 0.0  # norms of a batch need two
    try:
        trainer.timed_step(count, limit.progress)  # the first of all is slower
        while count not in found:
            found[count] = trainer.timed_step(count, limit.progress)
            expected = _of_all(found, total)
            if limit.left_s > 2 * found[count]:
                count = total if len(found) > 1 and expected < limit.left_s else min(2 * count, total)
    except _Enough:
        if not found:
            return limit.whole_s, limit.told
    return expected, "one step" if total in found else f"steps on up to {max(found)} samples"


def _of_all(found: dict[int, float], total: int) -> float:
    """Return the seconds of a step on all samples, of what steps on fewer of them took; at least half of it grows."""
    least, most = min(found), max(found)
    growth = 0.5 * found[most] / most
    if least < most:
        growth = max(growth, (found[most] - found[least]) / (most - least))
    return found[most] + growth * (total - most)
