"""Any dimod sampler behind the contract: D-Wave's simulated and path-integral annealing, tabu search, others' own.

A dense model of a unit's live spins goes to the sampler, so this costs memory and time that `solver=sa` does not need:
45 to 280 bytes for each pair of spins.
"""

import inspect
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError, nearest
from annealtrain.hamiltonian.grid import in_words
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.process_pool import Workers
from annealtrain.runtime.random_streams import Seed
from annealtrain.runtime.validation import (
    READS,
    YES_OR_NO,
    Rule,
    checked,
    first_and_last,
    number,
    one_of,
    optional,
    whole,
)
from annealtrain.schedule import Schedule
from annealtrain.solvers.annealing.simulated_annealing import ORDERS
from annealtrain.solvers.annealing.temperatures import automatic_beta_range
from annealtrain.solvers.dimod_costs import call_s, dimod_effort, pair_bytes
from annealtrain.solvers.effort import Effort
from annealtrain.solvers.remote import called
from annealtrain.solvers.scheduled_settings import COUNT, INVERSE_TEMPERATURES, check_inverse_temperatures
from annealtrain.solvers.solver import Solver, SolveResult, solve_in_one_range

if TYPE_CHECKING:
    import dimod

log = logging.getLogger(__name__)
Keywords = dict[str, Any]
# Of a keyword of a sampler's own.
OPTION = Rule(
    "of one value for all layers, as a solver's schedule must be",
    lambda value: not isinstance(value, Schedule) or value.per_layer is None,
)
# Keywords that set the schedule of a solve: with one of them among the options, no betas are added.
OWN_SCHEDULES = {"beta_range", "beta_min", "beta_max", "beta", "beta_schedule", "schedule", "Hp_field"}
# Above so many spins, or seconds of a call, units go to worker processes: below, a process costs more than the lock
# that it avoids, and Ctrl-C waits no longer than it may.
PROCESS_SPINS, PROCESS_S = 512, 0.5


class DimodSolver(Solver):
    """`solver=dimod`: samples each unit's Ising model with a dimod sampler.

    sampler: a dimod.Sampler. options: keywords of its `sample`; a value may be a schedule over the epochs.
    beta_range: [first, last] inverse temperature, in 1 / (loss of one output site), for samplers that take
    `beta_range`, or `beta_min` and `beta_max`; null: the automatic range of `solver=sa`, for each unit.
    beta: instead, one inverse temperature for a whole solve; a schedule over the epochs is the paper's annealing.
    processes: solve units in worker processes; null: where a unit has more than 512 spins, or its solve will take more
    than about half a second. The results are the same; without, Ctrl-C may wait for a unit's solve.
    Otherwise units are solved on threads, by samplers not of dwave-samplers one after another.
    pass_betas: makes the keywords of a solve from (options, first, last); null: those named above.
    Seeds are the run's own: a sampler that takes none may give other results each time.
    """

    @checked("solver.", **INVERSE_TEMPERATURES, processes=optional(YES_OR_NO))
    def __init__(
        self,
        sampler: "dimod.Sampler",
        options: Mapping[str, Any] | None = None,
        beta_range: Sequence[float] | None = None,
        beta: float | Schedule | None = None,
        processes: bool | None = None,
        pass_betas: Callable[[Keywords, float, float], Keywords] | None = None,
    ) -> None:
        self.sampler, self.options = sampler, dict(options or {})
        name, known = type(sampler).__name__, known_keywords(sampler)
        for word in self.options:
            if word == "seed":
                raise InputError("solver.options.seed: each solve's seed follows from the run's: set seed=")
            if word not in known:
                raise InputError(
                    f"solver.options.{word} is not a keyword of {name}.sample{nearest(word, known)}: "
                    f"known are {', '.join(sorted(known - {'seed'}))}"
                )
            OPTION.check(f"solver.options.{word}", self.options[word])
        check_inverse_temperatures(beta, beta_range)
        self.pass_betas = pass_betas or (None if OWN_SCHEDULES & set(self.options) else beta_keywords(known))
        if self.pass_betas is None and (beta is not None or beta_range is not None):
            why = "solver.options hold its schedule" if beta_keywords(known) else "it takes no inverse temperatures"
            raise InputError(f"solver.beta and beta_range are not for this {name}, {why}: leave them null")
        if "seed" not in known:
            log.warning("%s takes no seed: its results may differ from run to run", name)
        # Others' samplers keep a solve's settings in themselves (OpenJij does): one solve at a time in this process.
        is_dwaves = type(sampler).__module__.startswith("dwave.samplers")
        self.turn = nullcontext() if is_dwaves else threading.Lock()
        self.takes_seed, self.takes_interrupt = "seed" in known, "interrupt_function" in known
        self.beta_range, self.beta, self.processes, self.workers = beta_range, beta, processes, Workers()

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        self.prepare(bits=bits, weights=weights, units=[1] * len(weights), solves=[1] * len(weights))

    def prepare(self, *, bits: int, weights: Sequence[int], units: Sequence[int], solves: Sequence[int]) -> None:
        for k, (count, M) in enumerate(zip(weights, units, strict=True)):
            where = f"layer {k} with {count} weights of {in_words(bits, None)}: "
            self._require(min(thread_pool.width(), M), count * bits, where)
        super().prepare(bits=bits, weights=weights, units=units, solves=solves)

    def effort(self, *, units: int, weights: int, bits: int) -> Effort:
        return dimod_effort(self.sampler, self.options, units, weights, bits)

    def _require(self, models: int, spins: int, where: str = "") -> None:
        what = f"{where}{type(self.sampler).__name__} on {models} dense model{'s' * (models > 1)} of {spins} spins"
        memory.require(
            models * spins**2 * pair_bytes(self.sampler),
            what,
            "lower bits or threads, or take solver=sa, which needs no model",
        )

    def resolve_schedules(self, epoch: int, epochs: int) -> "DimodSolver":
        def value(name: str, setting: Any) -> Any:
            if not isinstance(setting, Schedule):
                return setting
            found = setting.value(epoch, epochs)
            return max(1, round(found)) if name.startswith("num_") else found

        bound = copy(self)
        bound.options = {name: value(name, setting) for name, setting in self.options.items()}
        bound.beta = value("beta", self.beta)
        return bound

    def solve(
        self, problem: LayerProblem, *, seed: Seed = 0, progress: Callable[[float], None] | None = None
    ) -> SolveResult:
        if any(isinstance(setting, Schedule) for setting in (self.beta, *self.options.values())):
            raise InputError(
                "this solver's settings change with the epoch: call resolve_schedules(epoch, epochs) first"
            )
        if not problem.has_one_range:
            return solve_in_one_range(self, problem, seed, progress)
        weights = problem.unit(0).couplings.indices.size if problem.is_shared else problem.num_weights
        self._require(min(thread_pool.width(), problem.num_units), weights * problem.bits)
        return super().solve(problem, seed=seed, progress=progress)

    def betas(self, form: QuadraticForm) -> tuple[float, float]:
        """Return the first and last inverse temperature of a solve, in 1 / loss."""
        if self.beta is not None:
            return (float(self.beta) / form.sites,) * 2  # type: ignore[arg-type]
        if self.beta_range is not None:
            return self.beta_range[0] / form.sites, self.beta_range[1] / form.sites
        return automatic_beta_range(form)

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        live = form.couplings.indices
        keywords, stats = dict(self.options), {}
        if "num_sweeps" in keywords:
            stats["sweeps"] = float(keywords["num_sweeps"])
        if self.pass_betas is not None:
            stats["beta_first"], stats["beta_last"] = self.betas(form) if live.size else (0.0, 0.0)
            if live.size:
                keywords = self.pass_betas(self.options, stats["beta_first"], stats["beta_last"]) | keywords
        if not live.size:
            return np.zeros((1, form.S0.size), dtype=np.int32), stats
        if self.takes_seed:
            keywords["seed"] = int(seed.generate_state(1)[0] >> 1)  # below 2^31, which all take
        what = f"a call of {type(self.sampler).__name__}"
        spins, _ = called(lambda: self._spins(form, keywords), what, failures=(OSError,))
        levels = np.zeros((len(spins), form.S0.size), dtype=np.int32)
        levels[:, live] = form.encoding.levels(spins)
        return levels, stats

    def _spins(self, form: QuadraticForm, keywords: Keywords) -> Array:
        if self._goes_to_a_process(form.couplings.indices.size * form.bits):
            return np.asarray(self.workers.run(sampled_spins, self.sampler, form.live_part(), keywords))
        # On the caller's own thread Ctrl-C would come to that function, which swallows it.
        if self.takes_interrupt and thread_pool.is_in_job():
            keywords = keywords | {"interrupt_function": thread_pool.is_cancelled}
        with self.turn:
            return sampled_spins(self.sampler, form.live_part(), keywords)

    def _goes_to_a_process(self, spins: int) -> bool:
        if self.processes is None:
            return spins > PROCESS_SPINS or call_s(self.sampler, self.options, spins) > PROCESS_S
        return self.processes


def sampled_spins(sampler: "dimod.Sampler", form: QuadraticForm, keywords: Keywords) -> Array:
    """Return what a sampler finds for a form, (reads, N n) spins in {-1, +1}, a row for each occurrence."""
    found = sampler.sample(form.to_bqm(), **keywords)
    if found.vartype.name != "SPIN":
        found = found.change_vartype("SPIN", inplace=False)
    order = [found.variables.index(spin) for spin in range(form.S0.size * form.bits)]
    return np.repeat(found.record.sample[:, order], found.record.num_occurrences, axis=0).astype(np.int8)


def known_keywords(sampler: "dimod.Sampler") -> set[str]:
    """Return the keywords that a sampler reads: its `parameters`, and the named arguments of its `sample`.

    Those that **kwargs takes in are not among them: many samplers drop them in silence.
    """
    import dimod

    methods = [sampler.sample]
    if type(sampler).sample is dimod.Sampler.sample:  # hands on to the one that the sampler has
        methods += [sampler.sample_ising, sampler.sample_qubo]
    named = {
        parameter.name
        for method in methods
        for parameter in inspect.signature(method).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return (set(sampler.parameters) | named) - {"bqm", "h", "J", "Q"}


def beta_keywords(known: set[str]) -> Callable[[Keywords, float, float], Keywords] | None:
    """Return what makes a sampler's keywords from (options, first, last) inverse temperature; None if it takes none."""
    if "beta_range" in known:
        return lambda options, first, last: {"beta_range": [first, last]}
    if known >= {"beta_min", "beta_max"}:
        return lambda options, first, last: {"beta_min": first, "beta_max": last}
    return None


@checked("solver.", num_sweeps=COUNT, num_reads=READS, order=one_of(*ORDERS))
def neal(
    num_sweeps: int | Schedule = 100,
    num_reads: int = 1,
    beta_range: Sequence[float] | None = None,
    beta: float | Schedule | None = None,
    order: str = "sequential",
    processes: bool | None = None,
) -> DimodSolver:
    """Return `solver=neal`: the simulated annealing of dwave-samplers, once dwave-neal; settings as of `solver=sa`.

    order=random draws each spin to visit from all, with replacement.
    """
    from dwave.samplers import SimulatedAnnealingSampler

    options = {"num_sweeps": num_sweeps, "num_reads": num_reads, "randomize_order": order == "random"}
    return DimodSolver(SimulatedAnnealingSampler(), options, beta_range, beta, processes)


@checked("solver.", num_sweeps=COUNT, num_reads=READS, field_range=first_and_last(number(above=0)))
def path_integral(
    num_sweeps: int | Schedule = 100,
    num_reads: int = 1,
    beta_range: Sequence[float] | None = None,
    field_range: Sequence[float] = (3.0, 0.01),
    processes: bool | None = None,
) -> DimodSolver:
    """Return `solver=pathintegral`: D-Wave's path-integral Monte Carlo of worldlines in continuous imaginary time.

    beta_range: [first, last] of beta times the problem, geometric over the sweeps; null: as of `solver=sa`.
    field_range: [first, last] of beta times the transverse field, geometric. The sampler's own default is no
    field at all, which is a classical heat bath: both are therefore always given as a custom schedule.
    """
    from dwave.samplers import PathIntegralAnnealingSampler

    def fields(options: Keywords, first: float, last: float) -> Keywords:
        sweeps = options["num_sweeps"]
        rising = np.geomspace(first, last, sweeps) if sweeps > 1 else np.array([last])
        falling = np.geomspace(field_range[0], field_range[1], sweeps) if sweeps > 1 else np.array([field_range[1]])
        return {"Hp_field": rising, "Hd_field": falling}

    options = {"num_sweeps": num_sweeps, "num_reads": num_reads, "beta_schedule_type": "custom"}
    return DimodSolver(PathIntegralAnnealingSampler(), options, beta_range, None, processes, fields)


@checked("solver.", num_sweeps=whole(), num_restarts=whole(0), num_reads=READS)
def tabu(
    num_sweeps: int = 100, num_restarts: int = 0, num_reads: int = 1, processes: bool | None = None
) -> DimodSolver:
    """Return `solver=tabu`: D-Wave's multistart tabu search, for a number of moves in place of its 20 ms.

    num_sweeps: moves of the first search, in spins of the unit; each of num_restarts takes a quarter of them.
    """
    from dwave.samplers import TabuSampler

    options: Keywords = {"num_reads": num_reads, "timeout": None, "num_restarts": num_restarts, "lower_bound_z": 1}
    options |= {"coefficient_z_first": num_sweeps, "coefficient_z_restart": max(1, num_sweeps // 4)}
    return DimodSolver(TabuSampler(), options, processes=processes)


@checked("solver.", num_reads=READS)
def steepest(num_reads: int = 10, processes: bool | None = None) -> DimodSolver:
    """Return `solver=steepest`: D-Wave's steepest descent of single spins, from num_reads random starts."""
    from dwave.samplers import SteepestDescentSampler

    return DimodSolver(SteepestDescentSampler(), {"num_reads": num_reads}, processes=processes)
