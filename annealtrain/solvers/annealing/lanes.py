"""Chains that share one J side by side in the lanes of the compiled kernel: the same bits as chain after chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from annealtrain import _anneal
from annealtrain.hamiltonian.quadratic import Couplings, QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.memory import aligned
from annealtrain.runtime.random_streams import stream
from annealtrain.solvers.annealing.cost_model import lanes_sweep_s
from annealtrain.solvers.annealing.markov_chains import BLOCK_S, Chain, timed_blocks, to_float32
from annealtrain.solvers.annealing.starts import seeded_chains
from annealtrain.solvers.deadline import UNWATCHED, Watch


class ChainEnds(NamedTuple):
    """What several chains leave: levels (chains, live), accepted flips (chains,), and sweeps done (chains,)."""

    levels: Array
    flips: Array
    sweeps: Array


@dataclass(frozen=True)
class Chains:
    """`reads` chains of each of several units of one J: chain c is read c % reads of unit c // reads.

    forms, seeds: of the units; a read's own seed is stream(seed, read). betas: (units, sweeps), in 1 / loss.
    firsts: (units, live) levels to start at, None for those of `Chain`. move, is_random_order, is_from_present: see
    `Chain`.
    """

    forms: Sequence[QuadraticForm]
    seeds: Sequence[np.random.SeedSequence]
    betas: Array
    reads: int
    move: str
    is_random_order: bool = False
    is_from_present: bool = False
    firsts: Array | None = None

    def __len__(self) -> int:
        return self.reads * len(self.forms)

    @property
    def live(self) -> int:
        """Live weights, those that move the energy."""
        return int(self.forms[0].couplings.indices.size)

    def __getitem__(self, c: int) -> Chain:
        unit, read = divmod(c, self.reads)
        first = None if self.firsts is None else self.firsts[unit]
        settings = (self.move, self.is_random_order, self.is_from_present, first)
        return Chain(self.forms[unit], self.betas[unit], stream(self.seeds[unit], read), *settings)

    def begin(self, part: slice) -> tuple[Array, Array, Array]:
        """Return keys (chains, 2) uint32, first levels (chains, live) int32 and fields (chains, stride) of some chains.

        To the bit those of each `Chain` by itself; the fields are float32, on a border, see `_anneal.anneal_lanes`.
        """
        form, first_unit, last_unit = self.forms[0], part.start // self.reads, (part.stop - 1) // self.reads
        is_random = self.firsts is None and not self.is_from_present
        bits = form.bits if is_random else 0
        keys, levels = seeded_chains(self.seeds, self.reads, part, live=self.live, bits=bits)
        if self.firsts is not None:
            levels[:] = self.firsts[np.arange(part.start, part.stop) // self.reads]
        elif self.is_from_present:
            levels[:] = form.encoding.middle_level
        units, couplings, encoding = self.forms[first_unit : last_unit + 1], form.couplings, form.encoding
        fields = aligned((len(levels), couplings.packed.shape[1]), np.float32)
        _anneal.start_fields(
            couplings.J,
            np.array([each.h for each in units]),
            np.array([each.S0 for each in units]),
            couplings.indices,
            encoding.half_range / encoding.top_level,
            encoding.top_level,
            self.reads,
            part.start - first_unit * self.reads,
            levels,
            fields,
        )
        return keys, levels, fields


def run_lanes(chains: Chains, watch: Watch = UNWATCHED, *, is_in_job: bool = False) -> ChainEnds:
    """Return what `run_chain` does for each of the chains, on the pool's threads unless this is one of them."""
    form, betas = chains.forms[0], to_float32(chains.betas)
    group_s = betas.shape[1] * lanes_sweep_s(chains.live, form.bits)

    def run(part: slice) -> ChainEnds:
        keys, levels, fields = chains.begin(part)
        own = betas if len(betas) == 1 else betas[np.arange(part.start, part.stop) // chains.reads]
        lanes = Lanes.of(form.couplings, form.encoding.bit_changes, own, keys, fields, levels)
        return lanes.run(chains.move, watch)

    parts, seconds = group_jobs(len(chains), group_s)
    ends = [run(part) for part in parts] if is_in_job else thread_pool.parallel_map(run, parts, seconds=seconds)
    return ends[0] if len(ends) == 1 else ChainEnds(*(np.concatenate(each) for each in zip(*ends, strict=True)))


def group_jobs(chains: int, group_s: float) -> tuple[list[slice], float]:
    """Return which chains a thread takes at once, whole groups of lanes, and the estimated seconds of all together.

    group_s: estimated seconds of a group. A job is of several groups as long as it takes a few milliseconds.
    """
    wide = _anneal.lanes()
    return thread_pool.chunks(chains, wide * max(1, int(BLOCK_S / group_s))), group_s * -(-chains // wide)


@dataclass(frozen=True)
class Lanes:
    """Chains of one J in groups of lanes, as the kernel reads them: see `_anneal.anneal_lanes`.

    fields: (chains, stride) float32 on a border, updated in place; lanes beyond the chains are like the first of their
    group.
    """

    couplings: Couplings
    delta: Array
    betas: Array
    keys: Array
    fields: Array
    levels: Array

    @classmethod
    def of(cls, couplings: Couplings, delta: Array, betas: Array, keys: Array, fields: Array, levels: Array) -> "Lanes":
        """Return the groups of chains with keys (chains, 2), betas (chains or 1, sweeps) and levels (chains, live)."""
        (chains, live), wide = levels.shape, _anneal.lanes()
        groups, whole = -(-chains // wide), _anneal.MAX_LANES // wide  # so many rows of levels fill 64 bytes
        in_groups = aligned((groups, -(-live // whole) * whole, wide), np.int32)
        _to_lanes(levels, in_groups[:, :live])
        own_keys = np.empty((groups, 2, wide), np.uint32)
        _to_lanes(keys, own_keys)
        own_betas = np.empty((1 if len(betas) == 1 else groups, betas.shape[1], wide), np.float32)
        _to_lanes(betas, own_betas)
        return cls(couplings, delta, own_betas, own_keys, fields, in_groups)

    def run(self, move: str, watch: Watch = UNWATCHED) -> ChainEnds:
        """Return the ends of the chains, fewer sweeps than betas where time ran out."""
        chains, live, (groups, _, wide) = len(self.fields), self.couplings.indices.size, self.levels.shape
        sweeps, flips, swept = self.betas.shape[1], np.zeros((groups, wide), np.int64), 0
        sweep_s = groups * lanes_sweep_s(live, len(self.delta))
        for part in timed_blocks(sweeps, sweep_s, watch, chains=chains):
            _anneal.anneal_lanes(
                self.couplings.packed,
                self.couplings.packed_diagonal,
                self.delta,
                _anneal.MOVES[move],
                self.betas,
                part.start,
                part.stop,
                self.keys,
                self.fields,
                self.levels,
                flips,
            )
            swept = part.stop
        levels = self.levels[:, :live].transpose(0, 2, 1).reshape(-1, live)[:chains]
        return ChainEnds(levels, flips.ravel()[:chains], np.full(chains, swept))


def _to_lanes(each: Array, grouped: Array) -> None:
    """Fill grouped (groups, n, lanes) with rows (chains, n); lanes beyond them are like the first of their group."""
    wide = grouped.shape[2]
    full, rest = divmod(len(each), wide)
    if full:
        grouped[:full] = each[: full * wide].reshape(full, wide, -1).transpose(0, 2, 1)
    if rest:
        last = each[full * wide :].T
        grouped[full, :, :rest], grouped[full, :, rest:] = last, last[:, :1]
