"""What a trainer tells of a run as it goes on."""

from dataclasses import dataclass
from math import isfinite
from typing import Protocol

from annealtrain.runtime.array_types import Array, Row


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """weights: of each trainable layer, as they are scored. module: what scoring a torch module needs beside them.

    state: what going on needs beside both, by name.
    """

    weights: list[Array]
    module: dict[str, Array]
    state: dict[str, Array]


def unfallen_loss(first: Row, last: Row, setting: str) -> str | None:
    """Return a line on a run whose loss has not fallen, or is no number, None where it has fallen.

    first, last: the metrics of epoch 0 and of the last one. setting: what would make the steps smaller.
    """
    if not isfinite(last["train_loss"]):
        if not last["epoch"]:
            return "the run cannot begin: its loss with the first weights is no finite number: mend them, or the model"
        return f"the run has diverged: its loss in epoch {last['epoch']} is no finite number: lower {setting}"
    if last["train_loss"] < first["train_loss"]:
        return None
    return (
        f"the loss after epoch {last['epoch']} is {last['train_loss']:.4g}, no less than the "
        f"{first['train_loss']:.4g} of the first weights: the steps are larger than it allows, lower {setting}"
    )


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def epoch_done(self, row: Row, solves: list[Row], checkpoint: Checkpoint) -> None:
        """An epoch's row of metrics, a row for each layer solved in it, and what to go on from."""

    def solving(self, epoch: int, layer: int, done: float) -> None:
        """Layer `layer` of epoch `epoch` has a fraction `done` of its units solved."""
