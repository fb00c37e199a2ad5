"""What a run holds in memory at once, told before it is begun; refused where it is not there, with what would fit."""

from collections.abc import Callable
from dataclasses import dataclass

from annealtrain.data.preprocessing import BLOCK
from annealtrain.experiment.builder import Experiment
from annealtrain.nn import footprint
from annealtrain.nn.model import Model
from annealtrain.optimizers.grid_kronecker import GridKronecker
from annealtrain.optimizers.kronecker import Kronecker, kronecker_bytes
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.runtime import memory

TEMPORARY = 3  # copies of a block of samples while they are preprocessed
ITS_BATCH = 64  # of optimizer=kronecker, unless a run says another


@dataclass(frozen=True)
class Footing:
    """What decides the memory of a run. samples: for training; others: for validation and test, scored each epoch.

    set_bytes: of the samples as the set has them. batch: samples a step, None: all of them.
    """

    network: Model
    optimizer: Optimizer
    samples: int
    others: int
    set_bytes: int
    batch: int | None
    threads: int

    @property
    def run_bytes(self) -> int:
        """The most that a run of it holds, beside the program itself."""
        return self.bytes_of(self.samples, self.batch, self.threads)

    def bytes_of(self, samples: int, batch: int | None, threads: int) -> int:
        """Return the same for another number of samples, batch and threads."""
        step = self.optimizer.step_bytes(self.network, min(batch or samples, samples), threads)
        return self._with_data(samples, batch, step)

    @property
    def is_kronecker(self) -> bool:
        """Whether it is optimizer=kronecker already, on a grid or not."""
        return isinstance(self.optimizer, (Kronecker, GridKronecker))

    def kronecker_bytes(self) -> int:
        """Return the same for the same network under optimizer=kronecker."""
        step = kronecker_bytes(self.network, min(ITS_BATCH, self.samples), self.threads)
        return self._with_data(self.samples, ITS_BATCH, step)

    def _with_data(self, samples: int, batch: int | None, step: int) -> int:
        if batch:  # inputs are made batch by batch
            return self.set_bytes + footprint.image_bytes(self.network, 2 * batch) + step
        every = samples + self.others
        inputs = footprint.input_bytes(self.network, every)
        # A module's inputs are the images themselves.
        beside = (every if self.network.is_chain else 0) + TEMPORARY * min(BLOCK, every)
        images = footprint.image_bytes(self.network, beside)
        return inputs + max(self.set_bytes + images, step)

    def remedies(self, available: int) -> list[str]:
        """Return what to set, in words of the command line, so that a run needs no more than is available."""
        found = []
        if self.batch:
            size = _largest(self.batch, lambda n: self.bytes_of(self.samples, n, self.threads) <= available)
            found += [f"batch_size={size}"] if size else []
        else:
            size = _largest(self.samples, lambda n: self.bytes_of(n, None, self.threads) <= available)
            found += [f"samples={size}"] if size >= self.network.classes else []
        if not self.is_kronecker and self.kronecker_bytes() <= available:
            found.append("optimizer=kronecker")
        if self.threads > 1 and self.bytes_of(self.samples, self.batch, 1) <= available:
            found.append("threads=1")
        return found or ["a smaller model"]


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number below `most` that fits, rounded down to two digits; 0 where none does."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    unit = 10 ** max(len(str(low)) - 2, 0)
    rounded: int = low // unit * unit
    return rounded


def footing_of(experiment: Experiment) -> Footing:
    """Return what decides the memory of a run whose objects are built."""
    config, splits = experiment.config, experiment.splits
    samples, batch = len(splits.train), config["batch_size"]
    return Footing(
        experiment.network,
        experiment.optimizer,
        samples=samples,
        others=len(splits.test) + (len(splits.validation) if splits.validation else 0),
        set_bytes=splits.set_bytes,
        batch=batch and min(batch, samples),
        threads=experiment.threads,
    )


def require_memory(experiment: Experiment) -> None:
    """Raise InputError if a run would hold more than is available, with words of the command line that would fit."""
    footing, available = footing_of(experiment), memory.available_bytes()
    # The set is in memory already, and is counted in what is no longer available.
    needed = footing.run_bytes - footing.set_bytes
    if available is not None and needed > available:
        remedy = " or ".join(f"take {words}" for words in footing.remedies(available + footing.set_bytes))
        memory.require(needed, "training", remedy)
