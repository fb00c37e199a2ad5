"""Processes that torchrun has started for one run: the first writes it, the others train along with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from annealtrain.errors import InputError
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.runtime.ranks import LostRank, all_there, require_samples


def count() -> int:
    """Return how many processes torchrun has started, 1 where it has started none."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def require_shared(optimizer: Optimizer, samples: int, batch_size: int | None) -> None:
    """Raise InputError where several processes cannot train together with an optimizer, or on such batches."""
    if count() > 1 and not optimizer.shares_batches:
        told = "several processes train together with optimizer=kronecker and grid=step alone"
        raise InputError(f"{told}: start this without torchrun")
    require_samples(samples, batch_size, count())


class Group:
    """The processes of a run, of which this one is number `rank`."""

    def __init__(self, rank: int = 0) -> None:
        self.rank, self._is_told = rank, False

    def tell(self, order: Any) -> None:
        """Tell the others what to start from; None: that there is nothing to do. Only the first does, once."""
        self._is_told = True
        if count() > 1:
            from torch import distributed

            with all_there():
                distributed.broadcast_object_list([order])

    def heard(self) -> Any:
        """Return what the first process has told."""
        from torch import distributed

        told: list[Any] = [None]
        with all_there():
            distributed.broadcast_object_list(told)
        return told[0]

    def dismiss(self) -> None:
        """Let the others end that have been told nothing."""
        if not self.rank and not self._is_told:
            with suppress(LostRank):
                self.tell(None)


@contextmanager
def group() -> Iterator[Group]:
    """Let the processes that torchrun has started find each other, by gloo; yield this one's place among them."""
    if count() == 1:
        yield Group()
        return
    try:
        from torch import distributed
    except ImportError as error:
        raise InputError("several processes need PyTorch: pip install 'annealtrain[torch]'") from error
    is_new = not distributed.is_initialized()
    if is_new:
        distributed.init_process_group("gloo")
    found = Group(distributed.get_rank())
    try:
        yield found
    finally:
        found.dismiss()
        if is_new:
            distributed.destroy_process_group()
