"""Simulated annealing by single-bit Metropolis, Eqs. (30), (31), on the compiled kernel."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from annealtrain import _anneal, parallel
from annealtrain.errors import InputError
from annealtrain.problem import QuadraticForm
from annealtrain.schedule import Schedule
from annealtrain.solvers.base import Array, Solver, stream

ORDERS = ("sequential", "random")
BLOCK_SPINS = 2**20  # about 5 ms of work between two looks at Ctrl-C

Chain = Callable[[QuadraticForm, Array, Array, Array, Array], tuple[Array, int]]


def automatic_beta_range(form: QuadraticForm) -> tuple[float, float]:
    """Return (beta0, beta1) of one unit, in 1 / loss: hot enough to move the top bit, cold enough for the lowest.

    For a general Ising problem (some J_jj <= 0) the range comes from the largest and smallest |dE| of one flip.
    """
    live = form.couplings.indices
    diagonal = form.couplings.diagonal[live]
    field = form.gradient(form.S0)[live]
    if np.all(diagonal > 0):
        top = form.step * 2 ** (form.bits - 1)
        hot = np.sqrt(np.mean((top * field) ** 2 + (top**2 * diagonal) ** 2))
        return 10 / hot, max(100 / (form.step**2 * diagonal.mean()), 10 / hot)
    reach = np.abs(form.couplings.live_J).sum(axis=1)
    moves = np.abs(np.array([form.step * np.abs(field), form.step**2 * reach]))
    moves = moves[moves > 0]
    return 0.1 / (moves.max() * 2 ** (form.bits - 1)), 10 / moves.min()


def compiled_chain(form: QuadraticForm, levels: Array, betas: Array, orders: Array, state: Array) -> tuple[Array, int]:
    """Return levels (live,) and the flips accepted after len(betas) sweeps of the compiled kernel.

    levels: (live,) start. betas: (sweeps,). orders: (sweeps, live * bits), or none: (0, live * bits).
    state: (64,) of the random stream.
    """
    couplings, live = form.couplings, form.couplings.indices
    weights = form.S0.copy()
    weights[live] = form.weights(_spread(form, levels))[live]
    fields = form.gradient(weights)[live].astype(np.float32)
    diagonal = np.ascontiguousarray(couplings.packed.diagonal())
    delta = (form.step * 2.0 ** np.arange(form.bits)).astype(np.float32)
    buffer = np.empty(live.size * form.bits, dtype=np.float32)
    levels = levels.astype(np.int32)
    betas = betas.astype(np.float32)
    flips, block = 0, max(1, BLOCK_SPINS // (live.size * (form.bits + live.size // 64)))
    for part in parallel.blocks(len(betas), block):
        parallel.check_cancelled()
        flips += _anneal.metropolis(
            couplings.packed, diagonal, delta, betas[part], orders[part], state, buffer, fields, levels
        )
    return levels, flips


def _spread(form: QuadraticForm, levels: Array) -> Array:
    """Return levels (N,) of all weights from those of the live ones."""
    full = np.zeros(form.S0.size, dtype=np.int32)
    full[form.couplings.indices] = levels
    return full


class SimulatedAnnealing(Solver):
    """`solver=sa`. Every read starts from random spins.

    num_sweeps: visits of each spin; a schedule makes it depend on the epoch.
    num_reads: independent reads a unit; the best is used.
    beta_range: [first, last] inverse temperature over the sweeps of one solve, geometric; null: chosen for each unit.
    beta: instead, one inverse temperature for a whole solve; a schedule over the epochs is the paper's annealing.
    order: `sequential`, weight after weight from the top bit down; or `random`, the paper's: a new permutation of
    the spins for each sweep (the same law, slower).
    Given betas are in 1 / (loss of one output site), as in the author's code behind the paper's figures.
    chain: the Metropolis chain itself, see `compiled_chain`.
    """

    def __init__(
        self,
        num_sweeps: int | Schedule = 100,
        num_reads: int = 1,
        beta_range: Sequence[float] | None = None,
        beta: float | Schedule | None = None,
        order: str = "sequential",
        chain: Chain = compiled_chain,
    ) -> None:
        if order not in ORDERS:
            raise InputError(f"solver.order={order!r} is not one of {', '.join(ORDERS)}")
        for name, setting in (("num_sweeps", num_sweeps), ("beta", beta)):
            if isinstance(setting, Schedule) and setting.per_layer:
                raise InputError(f"solver.{name} has {setting.per_layer} values a step: a solver is one for all layers")
        if not isinstance(num_sweeps, Schedule):
            _whole("num_sweeps", num_sweeps)
        _whole("num_reads", num_reads)
        if beta is not None and beta_range is not None:
            raise InputError("solver.beta and solver.beta_range are both set: keep one, the other null")
        if beta is not None and not isinstance(beta, Schedule):
            _positive("beta", beta)
        if beta_range is not None:
            if not isinstance(beta_range, Sequence) or len(beta_range) != 2:
                raise InputError(f"solver.beta_range={beta_range!r} is not [first, last]")
            for value in beta_range:
                _positive("beta_range", value)
            if beta_range[0] > beta_range[1]:
                raise InputError(f"solver.beta_range={list(beta_range)} falls: annealing cools, give first <= last")
        self.num_sweeps, self.num_reads, self.order = num_sweeps, num_reads, order
        self.beta_range, self.beta, self.chain = beta_range, beta, chain

    def at_epoch(self, epoch: int, epochs: int) -> "SimulatedAnnealing":
        def now(setting: Any) -> Any:
            return setting.value(epoch, epochs) if isinstance(setting, Schedule) else setting

        sweeps = max(1, round(now(self.num_sweeps)))
        return SimulatedAnnealing(sweeps, self.num_reads, self.beta_range, now(self.beta), self.order, self.chain)

    def betas(self, form: QuadraticForm) -> Array:
        """Return the inverse temperature of each sweep, (num_sweeps,), in 1 / loss."""
        if isinstance(self.num_sweeps, Schedule) or isinstance(self.beta, Schedule):
            raise InputError("this solver's settings change with the epoch: call at_epoch(epoch, epochs) first")
        if self.beta is not None:
            return np.full(self.num_sweeps, self.beta / form.sites)
        if self.beta_range is not None:
            first, last = (beta / form.sites for beta in self.beta_range)
        else:
            first, last = automatic_beta_range(form)
        return np.geomspace(first, last, self.num_sweeps) if self.num_sweeps > 1 else np.array([last])

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        live = form.couplings.indices.size
        if not live:
            return np.zeros((1, form.S0.size), dtype=np.int32), _stats(np.zeros(1), 0, 1)
        betas = self.betas(form)
        reads, flips = [], 0
        for read in range(self.num_reads):
            own = stream(seed, read)
            state = own.generate_state(64)
            generator = np.random.Generator(np.random.PCG64(stream(own, 0)))
            levels = generator.integers(0, 2**form.bits, live, dtype=np.int32)
            sweeps = len(betas) if self.order == "random" else 0
            orders = np.empty((sweeps, live * form.bits), dtype=np.int32)
            for row in orders:
                row[:] = generator.permutation(row.size)
            levels, accepted = self.chain(form, levels, betas, orders, state)
            reads.append(_spread(form, levels))
            flips += accepted
        return np.array(reads), _stats(betas, flips, live * form.bits * len(betas) * self.num_reads)


def _stats(betas: Array, flips: int, visits: int) -> dict[str, float]:
    return {
        "sweeps": len(betas),
        "beta_first": float(betas[0]),
        "beta_last": float(betas[-1]),
        "flips": flips,
        "acceptance": flips / visits,
    }


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"solver.{name}={value!r} is not a whole number of at least 1")


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"solver.{name}={value!r} is not a number above 0")
