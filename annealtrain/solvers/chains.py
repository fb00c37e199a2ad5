"""Markov chains on the compiled kernel: one alone, or several that share J side by side. The same bits either way."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from annealtrain import _anneal, parallel
from annealtrain.memory import aligned
from annealtrain.quadratic import QuadraticForm
from annealtrain.solvers.base import UNWATCHED, Array, Watch, stream

LARGEST = np.finfo(np.float32).max
BLOCK_S = 0.005  # estimated seconds of work between two looks at Ctrl-C and the deadline


class End(NamedTuple):
    """What a chain leaves: levels (live,), accepted flips, and sweeps, fewer than its betas where time ran out."""

    levels: Array
    flips: int
    sweeps: int


@dataclass(frozen=True)
class Chain:
    """One read of one unit: from random levels through len(betas) sweeps, all its random numbers from `seed`.

    betas: (sweeps,), in 1 / loss. move: `bit`, `slice` or `greedy`. is_random_order: a permutation of the spins for
    each sweep instead of weight after weight (bit moves). is_from_present: start at the levels closest to S0.
    """

    form: QuadraticForm
    betas: Array
    seed: np.random.SeedSequence
    move: str = "bit"
    is_random_order: bool = False
    is_from_present: bool = False

    @property
    def spins(self) -> int:
        """Live weights x bits."""
        return int(self.form.couplings.indices.size) * self.form.bits

    @cached_property
    def key(self) -> Array:
        """The key of the kernel's random stream: (2,) uint32."""
        return self.seed.generate_state(2)

    @cached_property
    def _generator(self) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(stream(self.seed, 1)))

    def start(self) -> Array:
        """Return the first levels (live,) int32."""
        return start_levels(self.seed, self.form.couplings.indices.size, self.form.bits, self.is_from_present)

    def orders(self, sweeps: int) -> Array:
        """Return the next sweeps' permutations (sweeps, spins), or (0, spins) for weight after weight."""
        orders = np.empty((sweeps if self.is_random_order else 0, self.spins), dtype=np.int32)
        for row in orders:
            row[:] = self._generator.permutation(self.spins)
        return orders

    def weights(self, levels: Array) -> Array:
        """Return the live weights (live,) at levels (live,)."""
        form, live = self.form, self.form.couplings.indices
        return form.S0[live] + form.half_range / form.top_level * (2.0 * levels - form.top_level)

    @property
    def delta(self) -> Array:
        """The change of a weight by each bit: (bits,) float32."""
        return (self.form.step * 2.0 ** np.arange(self.form.bits)).astype(np.float32)


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


def spread(form: QuadraticForm, levels: Array) -> Array:
    """Return levels (N,) of all weights from those of the live ones (live,)."""
    full = np.zeros(form.S0.size, dtype=np.int32)
    full[form.couplings.indices] = levels
    return full


def single(betas: Array) -> Array:
    """Return inverse temperatures as the kernel reads them, float32: those beyond its range as its largest number."""
    return np.minimum(betas, LARGEST).astype(np.float32)


def alone(chain: Chain, watch: Watch = UNWATCHED) -> End:
    """Return the end of one chain."""
    couplings, levels, flips, swept = chain.form.couplings, chain.start(), 0, 0
    own_fields = fields([chain], [levels])[0].astype(np.float32)
    betas = single(chain.betas)
    for part in timed_blocks(len(betas), alone_sweep_s(chain), watch):
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
    return End(levels, flips, swept)


def side_by_side(chains: Sequence[Chain], watch: Watch = UNWATCHED) -> list[End]:
    """Return what `alone` does for each of at most _anneal.lanes() chains of one J, as many sweeps and one move."""
    couplings, wide = chains[0].form.couplings, _anneal.lanes()
    live, used, sweeps = couplings.indices.size, len(chains), len(chains[0].betas)
    levels, lane_fields = aligned((live, wide), np.int32), aligned((used, couplings.packed.shape[1]), np.float32)
    keys, betas = np.empty((2, wide), np.uint32), np.empty((sweeps, wide), np.float32)
    for lane in range(wide):
        chain = chains[lane if lane < used else 0]
        levels[:, lane], keys[:, lane], betas[:, lane] = chain.start(), chain.key, single(chain.betas)
    lane_fields[:, :live] = fields(chains, levels.T[:used])
    flips = np.zeros(wide, np.int32)
    total = np.zeros(wide, np.int64)
    sweep_s = lanes_sweep_s(live, chains[0].form.bits)
    swept = 0
    for part in timed_blocks(sweeps, sweep_s, watch, chains=used):
        _anneal.anneal_lanes(
            couplings.packed,
            couplings.packed_diagonal,
            chains[0].delta,
            _anneal.MOVES[chains[0].move],
            betas[part],
            part.start,
            keys,
            lane_fields,
            levels,
            flips,
        )
        total += flips
        flips[:] = 0
        swept = part.stop
    return [End(levels[:, lane].copy(), int(total[lane]), swept) for lane in range(used)]


def alone_sweep_s(chain: Chain) -> float:
    """Return the estimated seconds of one sweep of a chain alone."""
    return chain.spins * (5e-9 + chain.form.couplings.indices.size * 4e-11)


def lanes_sweep_s(live: int, bits: int) -> float:
    """Return the estimated seconds of one sweep of full lanes."""
    return _anneal.lanes() * live * (live * 3e-11 + bits * 1e-9)


def timed_blocks(sweeps: int, sweep_s: float, watch: Watch = UNWATCHED, chains: int = 1) -> Iterator[slice]:
    """Yield blocks of sweeps of a few milliseconds, until they are done or the watch's deadline has passed."""
    for part in parallel.blocks(sweeps, max(1, int(BLOCK_S / sweep_s))):
        parallel.check_cancelled()
        yield part
        watch.worked(chains * (part.stop - part.start) / sweeps)
        if time.perf_counter() > watch.deadline:
            return
