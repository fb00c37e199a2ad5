"""Processes that train one network together, each on its share of every batch: sums over them, and shared work."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import shown


class Ranks:
    """One process alone, and the contract of several: all of them make the same calls in the same order.

    rank: which of `size` processes this is. Of a batch each has every size-th sample, from its rank on.
    """

    rank, size = 0, 1

    def sums(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the sums over all ranks of float64 arrays, the same to the last bit on each."""
        return list(arrays)

    def from_owners(self, arrays: Sequence[Array], owners: Sequence[int]) -> list[Array]:
        """Return array k as rank owners[k] has it; the others give any array of its shape, float64."""
        return list(arrays)

    def gathered(self, rows: dict[int, Any]) -> dict[int, Any]:
        """Return the entries of all ranks' dictionaries."""
        return rows

    def shared_out(self, costs: Sequence[float]) -> list[int]:
        """Return which rank each of several jobs is for: the costliest first, each to the rank with the least."""
        owners, loads = [0] * len(costs), [0.0] * self.size
        for k in sorted(range(len(costs)), key=lambda k: -costs[k]):
            owners[k] = loads.index(min(loads))
            loads[owners[k]] += costs[k]
        return owners


class TorchRanks(Ranks):
    """The processes of torch.distributed's default group, of any backend: gloo, or nccl on GPUs."""

    def __init__(self) -> None:
        from torch import distributed

        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def sums(self, arrays: Sequence[Array]) -> list[Array]:
        from torch import distributed

        joined = self._tensor(np.concatenate([np.ravel(array) for array in arrays]))
        with all_there():
            distributed.all_reduce(joined)
        ends = np.cumsum([np.size(array) for array in arrays])[:-1]
        parts = np.split(joined.cpu().numpy(), ends)
        return [part.reshape(np.shape(array)) for part, array in zip(parts, arrays, strict=True)]

    def from_owners(self, arrays: Sequence[Array], owners: Sequence[int]) -> list[Array]:
        from torch import distributed

        tensors = [self._tensor(array) for array in arrays]
        with all_there():
            work = [
                distributed.broadcast(tensor, owner, async_op=True)
                for tensor, owner in zip(tensors, owners, strict=True)
            ]
            for one in work:
                one.wait()
        return [tensor.cpu().numpy() for tensor in tensors]

    def gathered(self, rows: dict[int, Any]) -> dict[int, Any]:
        from torch import distributed

        parts: list[Any] = [None] * self.size
        with all_there():
            distributed.all_gather_object(parts, rows)
        return {k: row for part in parts for k, row in part.items()}

    def _tensor(self, array: Array) -> Any:
        """Return a copy where the backend can send it from."""
        import torch
        from torch import distributed

        tensor = torch.tensor(np.asarray(array, np.float64))
        return tensor.cuda() if distributed.get_backend() == "nccl" else tensor


class LostRank(InputError):
    """Another of the processes that train together has ended, or says nothing any more."""

    code = 1


@contextmanager
def all_there() -> Iterator[None]:
    """Raise LostRank where what is sent in the body does not reach another process."""
    try:
        yield
    except RuntimeError as error:  # of the connection
        told = " ".join(str(error).split())[:100]
        raise LostRank(f"a process that trains along is there no more ({told}): start all of them again") from error


def require_alike(ranks: Ranks, what: Mapping[str, Any]) -> None:
    """Raise InputError, in all processes, where one has something else by a name than the first has."""
    if ranks.size == 1:
        return
    found = ranks.gathered(
        {ranks.rank: {name: value if isinstance(value, str) else shown(value) for name, value in what.items()}}
    )
    for rank in range(1, ranks.size):
        for name in {**found[0], **found[rank]}:
            first, own = (found[which].get(name, "not there") for which in (0, rank))
            if own != first:
                raise InputError(
                    f"processes that train together differ: {name} is {first} in the first and {own} in number {rank}: "
                    "start all with the same"
                )


def require_samples(samples: int, batch_size: int | None, size: int) -> None:
    """Raise InputError where a batch of a run has not a sample for each of `size` processes."""
    smallest = samples // -(-samples // batch_size) if batch_size and samples else samples  # they differ by one
    if size > 1 and smallest < size:
        shares = f"a batch of {smallest} samples has not one for each of {size} processes"
        raise InputError(f"{shares}: take larger batches, or fewer processes")


ALONE = Ranks()


def current_ranks() -> Ranks:
    """Return the processes that torch.distributed has been started with, or this one alone."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return ALONE
    return TorchRanks() if torch.distributed.get_world_size() > 1 else ALONE
