"""What a trainer tells of a run as it goes on."""

from dataclasses import dataclass
from typing import Protocol

from annealtrain.runtime.array_types import Array, Row


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """weights: of each trainable layer, as they are scored. state: what going on needs beside them, by name."""

    weights: list[Array]
    state: dict[str, Array]


def risen_loss(first: Row, row: Row, setting: str) -> str | None:
    """Return a line on an epoch whose loss is above that of the first weights, None where it is not.

    first: the metrics of epoch 0. setting: what would make the steps smaller.
    """
    if row["train_loss"] <= first["train_loss"]:
        return None
    return (
        f"epoch {row['epoch']}: the loss is {row['train_loss']:.4g}, that of the first weights was "
        f"{first['train_loss']:.4g}: the steps are larger than the loss allows, lower {setting}"
    )


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def epoch_done(self, row: Row, solves: list[Row], checkpoint: Checkpoint) -> None:
        """An epoch's row of metrics, a row for each layer solved in it, and what to go on from."""

    def solving(self, epoch: int, layer: int, done: float) -> None:
        """Layer `layer` of epoch `epoch` has a fraction `done` of its units solved."""
