"""Machines that take Ising models: a subclass says how one is called, all else is done here."""

import sys
import traceback
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError, MachineLost, WrongAnswer
from annealtrain.hamiltonian.grid import in_words
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.solvers.answers import kind
from annealtrain.solvers.declared import check_declared
from annealtrain.solvers.effort import Effort
from annealtrain.solvers.remote import FIRST_WAIT_S, called, told
from annealtrain.solvers.solver import Solver


class IsingSolver(Solver):
    """Asks a machine for spins s of a low energy s J s + h s; a subclass gives `ising`, or `ising_batch`.

    Weights that no sample reaches, bits, levels, energies and bounds are taken care of: a machine sees the spins that
    matter, and no others. Settings of a subclass, in its body or its constructor:

    max_spins: of a problem; None: any number. max_bits: of a weight; None: any number. A run that needs more is refused
    before it starts.
    max_problems: of a call of `ising_batch`; None: all units that are solved together.
    largest: J and h are multiplied by one number, so that the largest of all |h_i| and 2 |J_ij| is this; None: they
    are in units of the loss.
    failures: errors of a call after which it is made again, max_retries times, retry_wait_s later, then twice as much,
    up to a minute. After the last, and after any other error, the run stops, and can be resumed.
    is_metered: a call costs money, or waits in a queue: none is made for an estimate.
    """

    takes_all_units = True
    max_spins: int | None = None
    max_bits: int | None = None
    max_problems: int | None = None
    largest: float | None = 1.0
    failures: tuple[type[Exception], ...] = (OSError, HTTPException)  # an answer that is cut off is no OSError
    max_retries: int = 2
    retry_wait_s: float = FIRST_WAIT_S

    def ising(self, J: Array, h: Array, seed: int) -> Array:
        """Return spins (reads, N), each -1 or 1, of a low energy s J s + h s: all of the machine's reads, in any order.

        J: (N, N) float64, symmetric, its diagonal zero: a pair counts twice, so that it couples with 2 J_ij.
        h: (N,). seed: of all that is random, below 2^31; a call that is made again has the same.
        """
        raise InputError(f"{type(self).__name__} gives neither ising nor ising_batch: a machine has one of them")

    def ising_batch(self, problems: Sequence[tuple[Array, Array]], seeds: Sequence[int]) -> Sequence[Array]:
        """Return what `ising` does for each of several problems (J, h), in their order; one call of the machine."""
        return [self.ising(J, h, seed) for (J, h), seed in zip(problems, seeds, strict=True)]

    @property
    def problems_a_call(self) -> int | None:
        """How many problems one call takes at most; None: all."""
        check_declared(self, IsingSolver)
        return self.max_problems if type(self).ising_batch is not IsingSolver.ising_batch else 1

    def calls(self, *, units: int, weights: int, bits: int) -> int:
        return -(-units // (self.problems_a_call or units))

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        check_declared(self, IsingSolver)
        if weights:  # the largest, so that what is advised serves all
            k = max(range(len(weights)), key=weights.__getitem__)
            self._require(weights[k], bits, f"layer {k}")

    def _require(self, count: int, bits: int, what: str) -> None:
        name = type(self).__name__
        if self.max_bits is not None and bits > self.max_bits:
            raise InputError(f"{name} takes at most {self.max_bits} bits a weight, not {bits}: lower bits")
        if self.max_spins is None or count * bits <= self.max_spins:
            return
        if bits > self.max_spins:
            no = f"{name} takes at most {self.max_spins} spins, so no weight of {in_words(bits, None)}"
            raise InputError(f"{no}: lower bits to {self.max_spins}")
        most = self.max_spins // count
        needs = f"{what} needs {count * bits} spins ({count} weights of {in_words(bits, None)})"
        raise InputError(
            f"{needs}; {name} takes at most {self.max_spins}: "
            f"{f'lower bits to {most}' if most else 'take a smaller model'}, or solver=decompose solver.inner=NAME "
            f"solver.max_spins={self.max_spins} for blocks, NAME being what solver= names now"
        )

    def effort(self, *, units: int, weights: int, bits: int) -> Effort:
        at_once, size = min(units, self.problems_a_call or units), weights * bits
        what = f"{at_once} dense Hamiltonian{'s' * (at_once > 1)} of {size} spins"
        return Effort(what, 8.0 * (units * weights**2 + 3 * at_once * size**2), 0.0, "bits")

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        parts = [form.live_part() for form in forms]
        asked = [i for i, part in enumerate(parts) if part.S0.size]
        levels = [np.zeros((1, form.S0.size), dtype=np.int32) for form in forms]
        stats = {"submissions": 0.0, "retries": 0.0}
        for some in thread_pool.chunks(len(asked), self.problems_a_call or max(1, len(asked))):
            units = asked[some]
            for i in units:
                self._require(parts[i].S0.size, parts[i].bits, "a unit")
            numbers = [int(seeds[i].generate_state(1)[0] >> 1) for i in units]
            found, again = self._answers([parts[i] for i in units], numbers)
            stats["submissions"] += 1 + again
            stats["retries"] += again
            for i, spins in zip(units, found, strict=True):
                levels[i] = self._levels(forms[i], self._reads(spins, parts[i].S0.size * parts[i].bits))
        return [(own, dict(stats)) for own in levels]

    def _problem(self, form: QuadraticForm) -> tuple[Array, Array]:
        """Return J and h of a unit's spins, in the machine's units."""
        J, h, _ = form.ising()
        np.fill_diagonal(J, 0.0)  # s_i s_i is 1
        size = max(2 * float(np.abs(J).max()), float(np.abs(h).max()))
        factor = 1.0 if self.largest is None or not size else self.largest / size
        return J * factor, h * factor

    def _answers(self, parts: list[QuadraticForm], seeds: list[int]) -> tuple[Sequence[Any], int]:
        """Return the machine's answers to one call, and how often it was made again."""
        what, name = f"a call of {type(self).__name__}", type(self).__name__
        given = {"failures": self.failures, "retries": self.max_retries, "wait_s": self.retry_wait_s}
        try:  # the problems of each call are its own, as a machine may change them where they lie
            found, again = called(
                lambda: self.ising_batch([self._problem(part) for part in parts], seeds),
                what,
                **given,  # type: ignore[arg-type]
            )
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever a user's code raises, the epochs that are done stay
            raise MachineLost(f"{what} failed ({told(error)}{self._place(error)})") from error
        if not isinstance(found, Sequence | np.ndarray) or len(found) != len(parts):
            gave = f"{len(found)} answers" if isinstance(found, Sequence | np.ndarray) else kind(found)
            asked = f"{len(parts)} problem{'s' * (len(parts) > 1)}"
            raise WrongAnswer(f"{name}.ising_batch gave {gave} to {asked}: give a list, one for each")
        return found, again

    def _place(self, error: BaseException) -> str:
        """Return the file and line of the subclass that an error came by last, ", machine.py, line 3"."""
        own = getattr(sys.modules.get(type(self).__module__), "__file__", None)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
        return f"; {Path(own).name}, line {lines[-1]}" if own and lines else ""

    def _reads(self, spins: Any, size: int) -> Array:
        """Return a machine's spins as (reads, N); InputError where they are none."""
        name = type(self).__name__
        try:
            reads = np.atleast_2d(np.asarray(spins))
        except (TypeError, ValueError):  # rows of several lengths
            reads = np.atleast_2d(np.array(None))
        if reads.dtype.kind not in "iufcb":
            raise WrongAnswer(f"{name} gave {kind(spins)} that is no array of spins: give (reads, {size})")
        if np.ma.is_masked(spins):  # NumPy would take what lies behind the mask
            raise WrongAnswer(f"{name} gave spins that are masked: give those that are found, (reads, {size})")
        gave = f"{name} gave spins of shape {np.shape(spins)}"
        if reads.ndim != 2 or reads.shape[1] != size or not len(reads):
            raise WrongAnswer(f"{gave} for {size} spins: give (reads, {size})")
        if not np.isin(reads, (-1, 1)).all():
            raise WrongAnswer(f"{gave} that are not all -1 or 1: of bits b, give 2 b - 1")
        return reads

    @staticmethod
    def _levels(form: QuadraticForm, spins: Array) -> Array:
        levels = np.zeros((len(spins), form.S0.size), dtype=np.int32)
        levels[:, form.couplings.indices] = form.encoding.levels(spins)
        return levels
