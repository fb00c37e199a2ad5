"""Jobs, each in a process of its own, and the rows of the table that come of them."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

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
    """Yield each job with what it measured, see `in_process`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        problem.save(path)
        for job in jobs:
            yield job, {"status": job.skipped} if job.skipped else in_process(path, job)


def in_process(problem: Path, job: Job) -> dict[str, Any]:
    """Return what `bench.worker` measures, or {"status": why not}."""
    job_path, result_path = problem.with_name("job.json"), problem.with_name("result.json")
    result_path.unlink(missing_ok=True)
    job_path.write_text(json.dumps(asdict(job) | {"reference": asdict(job.reference)}))
    command = [sys.executable, "-m", "bench.worker", *map(str, (problem, job_path, result_path))]
    try:
        done = subprocess.run(
            command, env=environment(), timeout=job.timeout_s, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        return {"status": f"over {job.timeout_s:g} s"}
    if result_path.exists():
        return json.loads(result_path.read_text())
    if "MemoryError" in done.stderr or "bad_alloc" in done.stderr:
        return {"status": f"needs more than {job.memory_gb:g} GB"}
    last = done.stderr.strip().splitlines()[-1:] or [""]
    return {"status": f"ended with code {done.returncode}: {last[0][:120]}".rstrip(": ")}


def environment() -> dict[str, str]:
    """Return this process's environment with one thread for everyone, and this package where it is found."""
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **one, "PYTHONPATH": str(Path(__file__).parents[1])}


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
    row["status"] = result.get("status", "ok")
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
