"""D-Wave's quantum annealers: all units of a layer side by side in one problem, each on a clique of its own."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.process_pool import Workers
from annealtrain.runtime.random_streams import generator, stream
from annealtrain.runtime.validation import READS, Rule, checked, each_of, either, number, one_of, optional, whole
from annealtrain.solvers.dwave.embedding import Tile, cache_folder, clique_limit, clique_tiles
from annealtrain.solvers.dwave.qpu import (
    MOCKS,
    Ordered,
    access_time_s,
    answer,
    check_limits,
    emulated,
    emulated_answer,
    emulated_s,
    failures,
    fit_ranges,
    is_mock,
    reach,
)
from annealtrain.solvers.effort import Effort, counted, plural
from annealtrain.solvers.remote import called
from annealtrain.solvers.solver import Solver

if TYPE_CHECKING:
    import dimod

log = logging.getLogger(__name__)
LOWER = "solver.mock_sweeps or solver.num_reads"
PROCESS_S = 0.5  # estimated, of an emulated QPU's answer: longer ones come from a process of their own
RETRY_WAIT_S = 2.0  # before a failed job is sent again; doubles each time


class QuantumAnnealing(Solver):
    """`solver=dwave`: reads of a D-Wave QPU, embedded by cliques; broken chains by majority vote.

    num_reads, annealing_time_us: of each submission.
    chain_strength: prefactor of D-Wave's uniform torque compensation; a list: a submission for each, all reads kept.
    spin_reversals: submissions with other random signs of the spins, which average out a QPU's biases; 0: one, plain.
    max_qpu_time_s: the whole run's QPU time, refused above before any work and while it runs.
    max_retries: how often a failed job is sent again.
    qpu: the QPU's name; null: the largest of the account. Token and region: as D-Wave's tools take them.
    mock: pegasus or zephyr: no QPU, simulated annealing of mock_sweeps on such a chip's graph ("emulated").
    sampler: any sampler with a QPU's properties, in place of both. cache: folder of embeddings.
    """

    takes_all_units = True

    @checked(
        "solver.",
        num_reads=READS,
        annealing_time_us=number(above=0),
        chain_strength=either(number(above=0), each_of(number(above=0))),
        spin_reversals=whole(0, 1000, "as each is a submission"),
        max_qpu_time_s=number(above=0),
        max_retries=whole(0, 1000),
        mock=one_of(*MOCKS, None),
        mock_sweeps=whole(),
        qpu=optional(Rule("the name of a QPU", lambda value: isinstance(value, str) and value != "")),
        cache=optional(Rule("a folder", lambda value: isinstance(value, str | Path) and value != "")),
    )
    def __init__(
        self,
        num_reads: int = 500,
        annealing_time_us: float = 2.0,
        chain_strength: float | Sequence[float] = 1.414,
        spin_reversals: int = 0,
        max_qpu_time_s: float = 60.0,
        max_retries: int = 2,
        qpu: str | None = None,
        mock: str | None = None,
        mock_sweeps: int = 200,
        sampler: "dimod.Sampler | None" = None,
        cache: str | Path | None = None,
    ) -> None:
        self.prefactors = list(chain_strength) if isinstance(chain_strength, Sequence) else [chain_strength]
        if mock and qpu:
            raise InputError(f"solver.mock={mock} and solver.qpu={qpu} are both set: keep one, the other null")
        self.num_reads, self.annealing_time_us, self.spin_reversals = num_reads, annealing_time_us, spin_reversals
        self.max_qpu_time_s, self.max_retries, self.qpu = max_qpu_time_s, max_retries, qpu
        self.mock, self.mock_sweeps, self.cache = mock, mock_sweeps, Path(cache) if cache else cache_folder()
        self._sampler: Any = sampler
        self._graph: Any = None
        self._tiles: dict[tuple[int, int], list[Tile]] = {}
        self.qpu_time_s = 0.0  # spent so far
        self._workers, self._turn = Workers(), threading.Lock()

    @property
    def is_metered(self) -> bool:  # type: ignore[override]
        """Whether it is a QPU."""
        return not self.mock

    def prepare(self, *, bits: int, weights: Sequence[int], units: Sequence[int], solves: Sequence[int]) -> None:
        """Reach the QPU, embed every layer, and estimate the whole run's QPU time; InputError if one is impossible."""
        super().prepare(bits=bits, weights=weights, units=units, solves=solves)
        planned, jobs = 0.0, 0
        largest = max(range(len(weights)), key=weights.__getitem__)  # first, so that what is advised serves all
        self.tiles(weights[largest] * bits, units[largest], bits, f"layer {largest}")
        for k, (count, M, times) in enumerate(zip(weights, units, solves, strict=True)):
            tiles = self.tiles(count * bits, M, bits, f"layer {k}")
            qubits = sum(len(chain) for tile in tiles for chain in tile)
            sent = times * -(-M // len(tiles)) * self.jobs_a_tiling
            planned += sent * access_time_s(self.sampler, qubits, self.num_reads, self.annealing_time_us)
            jobs += sent
        if planned > self.max_qpu_time_s:
            raise InputError(
                f"this run needs about {planned:.3g} s of QPU time in {jobs} submissions, "
                f"solver.max_qpu_time_s={self.max_qpu_time_s:g}: "
                f"raise it, or lower epochs or solver.num_reads={self.num_reads}"
            )
        log.info("about %.3g s of QPU time in %d submissions%s", planned, jobs, " (emulated)" * is_mock(self.sampler))

    def effort(self, *, units: int, weights: int, bits: int) -> Effort | None:
        """Return what emulating a QPU asks; the time of a real one has a limit of its own."""
        if not self.mock:
            return None
        sweeps, reads = counted(self.mock_sweeps), counted(self.num_reads)
        what = f"emulating {plural(reads, 'read')} of {plural(sweeps, 'sweep')} for {plural(units, 'unit')}"
        seconds = units * self.jobs_a_tiling * reads * sweeps * (weights * bits) ** 2 * 4e-9
        return Effort(what, 24.0 * sweeps + 30.0 * reads * units * weights * bits, seconds, LOWER)

    @property
    def jobs_a_tiling(self) -> int:
        """Submissions of the same units: one for each chain strength and sign pattern."""
        return len(self.prefactors) * max(1, self.spin_reversals)

    @property
    def sampler(self) -> Any:
        """The QPU or its emulation, reached when first asked for."""
        if self._sampler is None:
            self._sampler = emulated(self.mock, self.mock_sweeps) if self.mock else reach(self.qpu)
        if self._graph is None:
            check_limits(self._sampler, self.num_reads, self.annealing_time_us)
            self._graph = self._sampler.to_networkx_graph()
        return self._sampler

    def tiles(self, size: int, count: int, bits: int = 1, where: str = "a unit") -> list[Tile]:
        """Return disjoint cliques of `size` spins for as many of `count` units as fit at once, at least one."""
        name = self.sampler.properties.get("chip_id", "this QPU")
        if (size, count) not in self._tiles:
            self._tiles[size, count] = clique_tiles(self._graph, size, count, self.cache)
        if not self._tiles[size, count]:
            limit = clique_limit(self._graph)
            most = limit * bits // size
            remedy = f"lower bits to {most}" if most else "take a smaller model"
            raise InputError(f"{where} needs {size} spins; {name} embeds at most {limit}: {remedy}")
        return self._tiles[size, count]

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        tiles = self.tiles(forms[0].S0.size * forms[0].bits, len(forms), forms[0].bits)
        starts = range(0, len(forms), len(tiles))
        parts = [self._side_by_side(forms[start : start + len(tiles)], tiles, seeds[start]) for start in starts]
        of_all = {
            "submissions": float(len(parts) * self.jobs_a_tiling),
            "retries": sum(part[0][1]["retries"] for part in parts),
            "num_reads": float(self.num_reads),
            "annealing_time_us": float(self.annealing_time_us),
            "spin_reversals": float(self.spin_reversals),
        }
        return [(levels, stats | of_all) for part in parts for levels, stats in part]

    def _side_by_side(
        self, forms: Sequence[QuadraticForm], tiles: list[Tile], seed: np.random.SeedSequence
    ) -> list[tuple[Array, dict[str, float]]]:
        """Return levels and statistics of units that are one problem together, all submissions' reads joined."""
        jobs = [(prefactor, k) for prefactor in self.prefactors for k in range(max(1, self.spin_reversals))]
        read = [self._submit(forms, tiles, prefactor, stream(seed, n)) for n, (prefactor, _) in enumerate(jobs)]
        found = []
        for i, form in enumerate(forms):
            spins = np.concatenate([one[i][0] for one in read])
            stats = {name: float(np.mean([one[i][1][name] for one in read])) for name in read[0][i][1]}
            stats |= {name: stats[name] * len(jobs) for name in ("qpu_access_time_s", "retries")}
            live = form.couplings.indices
            levels = np.zeros((len(spins), form.S0.size), dtype=np.int32)
            levels[:, live] = form.encoding.levels(spins)
            ends = np.cumsum([len(one[i][0]) for one in read])
            lowest = int(np.searchsorted(ends, form.energy(form.weights(levels)).argmin(), side="right"))
            stats["best_chain_strength"] = float(jobs[lowest][0])
            found.append((levels, stats))
        return found

    def _submit(
        self, forms: Sequence[QuadraticForm], tiles: list[Tile], prefactor: float, seed: np.random.SeedSequence
    ) -> list[tuple[Array, dict[str, float]]]:
        """Return spins (reads, live n) and statistics of each unit from one submission."""
        import dimod
        from dwave.embedding import embed_bqm, unembed_sampleset
        from dwave.embedding.chain_strength import uniform_torque_compensation

        random = generator(seed, 0)
        problem, parts = dimod.BinaryQuadraticModel("SPIN"), []
        for form, tile in zip(forms, tiles, strict=False):
            model = form.live_part().to_bqm()
            size = model.num_variables
            signs = random.choice([-1, 1], size) if self.spin_reversals else np.ones(size, dtype=int)
            for spin in np.flatnonzero(signs < 0):
                model.flip_variable(int(spin))
            # Energies have the loss's unit; the chain strength that compensates no couplings is 1.
            factor = float(model.normalize(1.0)) if size else 1.0
            strength = float(uniform_torque_compensation(model, prefactor=prefactor))
            chains = {spin: tile[spin] for spin in range(size)}
            embedded = embed_bqm(model, chains, self.sampler.adjacency, chain_strength=strength)
            scale = fit_ranges(embedded, self.sampler) if size else 1.0
            problem.update(embedded)
            parts.append((model, chains, signs, factor * scale, strength * scale))
        qubits, spent_s, retries = problem.num_variables, 0.0, 0
        if qubits:
            answer, spent_s, retries = self._sampled(problem, seed)
        found = []
        for model, chains, signs, scale, strength in parts:
            stats = {
                "qpu_access_time_s": spent_s / len(forms),
                "retries": float(retries),
                "qubits": float(qubits),
                "chain_break_fraction": 0.0,
                "chain_strength": strength,
                "scale": scale,
                "emulated": float(is_mock(self.sampler)),
            }
            if not chains:
                found.append((np.zeros((1, 0), dtype=np.int8), stats))
                continue
            own = unembed_sampleset(answer, chains, model, chain_break_fraction=True)
            stats["chain_break_fraction"] = float(own.record.chain_break_fraction.mean())
            order = [own.variables.index(spin) for spin in range(len(chains))]
            found.append((np.repeat(own.record.sample[:, order] * signs, own.record.num_occurrences, axis=0), stats))
        return found

    def _sampled(self, problem: "dimod.BinaryQuadraticModel", seed: np.random.SeedSequence) -> tuple[Any, float, int]:
        """Return the QPU's answer, its seconds of QPU time and the retries that it took."""
        needed = access_time_s(self.sampler, problem.num_variables, self.num_reads, self.annealing_time_us)
        if self.qpu_time_s + needed > self.max_qpu_time_s:
            raise InputError(
                f"{self.qpu_time_s:.3g} s of QPU time are spent and {needed:.3g} s more needed, "
                f"solver.max_qpu_time_s={self.max_qpu_time_s:g}: start anew with more"
            )
        found, tries = called(
            lambda: self._answer(problem, seed),
            "a QPU job",
            failures=failures(),
            retries=self.max_retries,
            wait_s=RETRY_WAIT_S,
        )
        spent = needed if is_mock(self.sampler) else found.info["timing"]["qpu_access_time"] * 1e-6
        self.qpu_time_s += spent
        return found, spent, tries

    def _answer(self, problem: "dimod.BinaryQuadraticModel", seed: np.random.SeedSequence) -> "dimod.SampleSet":
        """Return the QPU's answer; a long one of an emulated QPU from a process of its own, which Ctrl-C can end."""
        keywords = {
            "num_reads": self.num_reads,
            "annealing_time": self.annealing_time_us,
            "auto_scale": False,
            "answer_mode": "raw",
            "label": "annealtrain",
        }
        if not is_mock(self.sampler):
            return answer(self.sampler, None, problem, keywords)
        number = int(stream(seed, 1).generate_state(1)[0] >> 1)
        if self.mock and emulated_s(problem, self.num_reads, self.mock_sweeps) > PROCESS_S:
            found: dimod.SampleSet = self._workers.run(
                emulated_answer, self.mock, self.mock_sweeps, number, Ordered.of(problem), keywords
            )
            return found
        with self._turn:  # it keeps its seed in itself
            return answer(self.sampler, number, problem, keywords)
