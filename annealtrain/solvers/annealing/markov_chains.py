"""Markov chains on the compiled kernel, one after another; lanes.py runs several that share J side by side."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import stream
from annealtrain.solvers.annealing.cost_model import chain_sweep_s
from annealtrain.solvers.deadline import UNWATCHED, Watch

LARGEST = np.finfo(np.float32).max
BLOCK_S = 0.005  # estimated seconds of work between two looks at Ctrl-C and the deadline


class ChainResult(NamedTuple):
    """What a chain leaves: levels (live,), accepted flips, and sweeps, fewer than its betas where time ran out."""

    levels: Array
    flips: int
    sweeps: int


@dataclass(frozen=True)
class Chain:
    """One read of one unit: from random levels through len(betas) sweeps, all its random numbers from `seed`.

    betas: (sweeps,), in 1 / loss. move: `bit`, `slice` or `greedy`. is_random_order: a permutation of the spins for
    each sweep instead of weight after weight (bit moves). is_from_present: start at the levels closest to S0.
    first: start at these levels (live,) instead.
    """

    form: QuadraticForm
    betas: Array
    seed: np.random.SeedSequence
    move: str = "bit"
    is_random_order: bool = False
    is_from_present: bool = False
    first: Array | None = None

    @property
    def live(self) -> int:
        """Live weights, those that move the energy."""
        return int(self.form.couplings.indices.size)

    @property
    def spins(self) -> int:
        """Live weights x bits."""
        return self.live * self.form.bits

    @cached_property
    def key(self) -> Array:
        """The key of the kernel's random stream: (2,) uint32."""
        return self.seed.generate_state(2)

    @cached_property
    def _generator(self) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(stream(self.seed, 1)))

    def start(self) -> Array:
        """Return the first levels (live,) int32."""
        if self.first is not None:
            return self.first.astype(np.int32)
        return start_levels(self.seed, self.form.couplings.indices.size, self.form.bits, self.is_from_present)

    def orders(self, sweeps: int) -> Array:
        """Return the next sweeps' permutations (sweeps, spins), or (0, spins) for weight after weight."""
        orders = np.empty((sweeps if self.is_random_order else 0, self.spins), dtype=np.int32)
        for row in orders:
            row[:] = self._generator.permutation(self.spins)
        return orders

    def weights(self, levels: Array) -> Array:
        """Return the live weights (live,) at levels (live,)."""
        weights: Array = self.form.S0[self.form.couplings.indices] + self.form.encoding.offsets(levels)
        return weights

    @property
    def delta(self) -> Array:
        """The change of a weight by each bit: (bits,) float32."""
        return self.form.encoding.bit_changes


def start_levels(seed: np.random.SeedSequence, count: int, bits: int, is_from_present: bool = False) -> Array:
    """Return the levels (count,) int32 from which the chain with this seed starts: random, or the closest to S0."""
    if is_from_present:
        return np.full(count, 2 ** (bits - 1), dtype=np.int32)
    generator = np.random.Generator(np.random.PCG64(stream(seed, 0)))
    return generator.integers(0, 2**bits, count, dtype=np.int32)


def fields(chains: Sequence[Chain], levels: Iterable[Array]) -> Array:
    """Return h + 2 J S of the live weights at levels[c] (live,): (chains, live) float64, for chains of one J."""
    couplings = chains[0].form.couplings
    found = np.array([chain.form.h for chain in chains])
    weights = np.zeros_like(found)
    weights[:, couplings.indices] = [chain.weights(each) for chain, each in zip(chains, levels, strict=True)]
    _anneal.add_products(couplings.J, weights, found)  # all of J, so that none of it need be copied
    return np.ascontiguousarray(found[:, couplings.indices])


def scatter_live(form: QuadraticForm, levels: Array) -> Array:
    """Return levels (..., N) of all weights from those of the live ones (..., live), the same array where all are."""
    if form.couplings.indices.size == form.S0.size:
        return np.ascontiguousarray(levels, np.int32)  # sums over weights are rounded by their order in memory
    full = np.zeros((*levels.shape[:-1], form.S0.size), dtype=np.int32)
    full[..., form.couplings.indices] = levels
    return full


def to_float32(betas: Array) -> Array:
    """Return inverse temperatures as the kernel reads them, float32: those beyond its range as its largest number."""
    return np.minimum(betas, LARGEST).astype(np.float32)


def run_chain(chain: Chain, watch: Watch = UNWATCHED) -> ChainResult:
    """Return the end of one chain."""
    couplings, levels, flips, swept = chain.form.couplings, chain.start(), 0, 0
    own_fields = fields([chain], [levels])[0].astype(np.float32)
    betas = to_float32(chain.betas)
    for part in timed_blocks(len(betas), chain_sweep_s(chain.spins, chain.live), watch):
        flips += _anneal.anneal_chain(
            couplings.packed,
            couplings.packed_diagonal,
            chain.delta,
            _anneal.MOVES[chain.move],
            betas[part],
            chain.orders(part.stop - part.start),
            part.start,
            chain.key,
            own_fields,
            levels,
        )
        swept = part.stop
    return ChainResult(levels, flips, swept)


def timed_blocks(sweeps: int, sweep_s: float, watch: Watch = UNWATCHED, chains: int = 1) -> Iterator[slice]:
    """Yield blocks of sweeps of a few milliseconds, until they are done or the watch's deadline has passed."""
    for part in thread_pool.chunks(sweeps, max(1, int(BLOCK_S / sweep_s))):
        thread_pool.check_cancelled()
        yield part
        watch.worked(chains * (part.stop - part.start) / sweeps)
        if time.perf_counter() > watch.deadline:
            return


def chain_stats(
    betas: Array, flips: Sequence[int] | Array, sweeps: Sequence[int] | Array, visits: int
) -> dict[str, float]:
    """Return what is recorded of one unit's chains: sweeps done, the range of betas they came through, and counts.

    flips, sweeps: of each chain; there may be none. visits: of spins (or weights, for moves of whole levels) in one
    sweep of one chain.
    """
    flips, sweeps = np.asarray(flips), np.asarray(sweeps)
    total = int(sweeps.sum())
    return {
        "sweeps": total / sweeps.size if sweeps.size else len(betas),
        "beta_first": float(betas[0]),
        "beta_last": float(betas[sweeps.max() - 1 if sweeps.size else -1]),
        "flips": int(flips.sum()),
        "visits": visits * total,
    }
