"""Jobs, each in a process of its own, and the rows of the table that come of them."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from annealtrain.commands.own_process import measured_alone
from bench import worker
from bench.peers import Settings
from bench.problems import Problem

TIMEOUT_S = 120.0
MEMORY_GB = 8.0
PLAIN = Settings()
Row = dict[str, Any]

COLUMNS = (
    *("problem", "spins", "live_spins", "sampler", "settings", "sweeps", "reads", "units", "build_s", "solve_s"),
    *("energy", "gap", "memory_mb", "against", "ours_build_s", "ours_s", "ratio", "total_ratio", "error"),
    *("repeats", "status"),
)


@dataclass(frozen=True)
class Job:
    """A sampler with its settings, and the settings of this project's kernel that it is timed against."""

    peer: str
    settings: Settings = PLAIN
    against: Settings = PLAIN
    timeout_s: float = TIMEOUT_S
    memory_gb: float = MEMORY_GB  # 0: no limit
    ladder: list[int] = field(default_factory=list)  # for time to target: numbers of sweeps, see worker.climb
    skipped: str = ""  # why it is a row without numbers

    @property
    def reference(self) -> Settings:
        """`against` with as many sweeps as this job has."""
        return replace(self.against, sweeps=self.settings.sweeps or self.against.sweeps)

    @property
    def text(self) -> str:
        """What distinguishes this job from others of its sampler."""
        return text(self.peer, self.settings)


def text(peer: str, settings: Settings) -> str:
    """Return a sampler's settings in words, but for sweeps and reads."""
    words = []
    if peer == "annealtrain":
        words.append(settings.move)
    if peer.startswith("openjij"):
        words.append("core" if settings.core else "Python API")
        words += ["dense" if settings.dense else "CSR"] if settings.core and "integer" not in peer else []
    if not settings.has_beta_range:
        words.append("default betas")
    if settings.units > 1:
        words.append(f"{settings.units} outputs")
    return ", ".join(words)


def run(problem: Problem, jobs: Iterable[Job], tell: Callable[[Row], None] = lambda row: None) -> list[Row]:
    """Return a row for each job on a problem; one that fails, is too slow or too large says so in its status."""
    rows = []
    for job, result in results(problem, jobs):
        rows.append(to_row(problem, job, result))
        tell(rows[-1])
    return rows


def results(problem: Problem, jobs: Iterable[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Yield each job with what it finds in a process of its own, or {"note": why it finds nothing}."""
    for job in jobs:
        if job.skipped:
            yield job, {"note": job.skipped}
            continue
        limits: dict[str, Any] = {"timeout_s": job.timeout_s, "most_gb": job.memory_gb}
        fresh = replace(problem)  # without what has been prepared of it here: that is for each to do
        yield job, measured_alone(worker.measured, fresh, job, preload=[worker.__name__], **limits)


def to_row(problem: Problem, job: Job, result: dict[str, Any]) -> Row:
    """Return a job's row. ratio: its solve seconds over ours; total_ratio: with building; both per read and output."""
    row: Row = dict.fromkeys(COLUMNS)
    row.update(
        problem=problem.name,
        spins=problem.spins,
        live_spins=problem.form.couplings.indices.size * problem.bits,
        sampler=job.peer,
        settings=job.text,
        sweeps=job.settings.sweeps or None,  # 0: it has none
        reads=job.settings.reads,
        units=job.settings.units,
        against=f"{job.against.move}, {job.against.reads} reads" if job.against.reads > 1 else job.against.move,
    )
    row["status"] = result.get("note", "ok")
    if row["status"] != "ok":
        return row
    row.update({name: result[name] for name in COLUMNS if name in result})
    if not math.isnan(problem.box[0]):
        row["gap"] = problem.gap(row["energy"])
    row["ratio"] = ratio(row["solve_s"], job.settings, row["ours_s"], job.against)
    row["total_ratio"] = ratio(
        row["build_s"] + row["solve_s"], job.settings, row["ours_build_s"] + row["ours_s"], job.against
    )
    return row


def ratio(seconds: float, settings: Settings, ours_s: float, against: Settings) -> float:
    """Return seconds per read and output over ours per read and output."""
    return (seconds / (settings.reads * settings.units)) / (ours_s / (against.reads * against.units))


def fill_gaps_to_best(rows: list[Row]) -> None:
    """Give rows without a bound the gap (E - best) / |best|, best being the lowest energy found for the problem."""
    best: dict[str, float] = {}
    for row in rows:
        if row["energy"] is not None:
            best[row["problem"]] = min(row["energy"], best.get(row["problem"], math.inf))
    for row in rows:
        if row["energy"] is not None and row["gap"] is None:
            lowest = best[row["problem"]]
            row["gap"] = (row["energy"] - lowest) / abs(lowest)
