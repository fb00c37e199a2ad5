"""`annealtrain bench solvers`: the same layer for every solver of the group, and what each makes of it."""

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.resources import files as package_files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annealtrain.commands import streams
from annealtrain.commands.export import layer_problem, write
from annealtrain.commands.new_folder import new_folder
from annealtrain.commands.own_process import Found, measured_alone
from annealtrain.errors import InputError, NothingRan
from annealtrain.experiment.builder import ready, solver_of
from annealtrain.experiment.compose import compose_config
from annealtrain.experiment.config import threads_of
from annealtrain.experiment.known_settings import CONFIGS
from annealtrain.experiment.settings_alone import compose_alone
from annealtrain.hamiltonian.grid import in_words
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.reports import style
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.foreign_text import cell
from annealtrain.runtime.memory import resettable_peak_mb
from annealtrain.solvers.effort import plural
from annealtrain.solvers.exact import MAX_SPINS, Exact
from annealtrain.solvers.solver import relative_gap

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Group

SAME = 1e-9  # relative to the room between E(S0) and the ground state: energies this close are equal
# Rows that the group has no name for, and the settings of each.
OPENJIJ = "dimod, OpenJij"
MORE = {
    "dwave, emulated": ["solver=dwave", "solver.mock=pegasus"],
    OPENJIJ: [
        "solver=dimod",
        "solver.sampler._target_=openjij.SASampler",
        "+solver.options.num_sweeps=${annealing.num_sweeps}",
    ],
}


@dataclass(frozen=True)
class Row:
    """One solver on one layer: means over the solves of all seeds, the shortest time; or a note on why there is none.

    energy: summed over units. gap: certified, against the best bound that any solver came with. seconds: to build and
    sample all units once, bounds not counted. memory_mb: what the solve held at most beyond the problem itself.
    ground_rate: share of units and seeds that end in the ground state, None where it is not known.
    """

    solver: str
    energy: float | None = None
    gap: float | None = None
    seconds: float | None = None
    memory_mb: float | None = None
    ground_rate: float | None = None
    note: str = ""


MOST_REPEATS, MOST_SECONDS = 10_000, 86_400


@dataclass(frozen=True)
class Task:
    """What each solver is given, in a process of its own."""

    overrides: list[str]
    config_dir: str | None
    layer: int
    repeats: int


def bench_solvers(
    words: Sequence[str], config_dir: str | None, repeats: int, timeout_s: float, folder: Path | None
) -> None:
    """Compare all solvers on one layer, print the table and where it lies.

    words: layer=K and overrides of settings. folder: None makes a new one under outputs/bench.
    """
    from rich.console import Console

    task = task_of(words, config_dir, repeats)
    folder = folder or Path("outputs/bench") / f"solvers-{datetime.now():%Y-%m-%d-%H-%M-%S-%f}"
    with new_folder(folder):
        Console().print(compare(task, timeout_s=timeout_s, folder=folder))
    streams.say(f"folder: {folder.absolute()}")


def task_of(words: Sequence[str], config_dir: str | None, repeats: int) -> Task:
    """Return the task that `layer=K` and overrides of settings describe; layer 0 where none is given."""
    layers = [word.removeprefix("layer=") for word in words if word.startswith("layer=")] or ["0"]
    if not layers[-1].isdecimal() or len(layers[-1]) > 9:
        raise InputError(f"layer={layers[-1]} is not a whole number: layers are counted from 0")
    if not 1 <= repeats <= MOST_REPEATS:
        raise InputError(f"--repeats {repeats} is not a whole number of at least 1 and at most {MOST_REPEATS}")
    return Task([word for word in words if not word.startswith("layer=")], config_dir, int(layers[-1]), repeats)


def compare(task: Task, *, timeout_s: float, folder: Path) -> "Group":
    """Give a layer to every solver; write solvers.csv and solvers.png to a folder, return what a screen shows."""
    from rich.console import Console

    if not 0 < timeout_s <= MOST_SECONDS:
        raise InputError(f"--timeout {timeout_s} is not a number of seconds above 0 and at most {MOST_SECONDS}, a day")
    config = compose_alone(task.overrides, task.config_dir)
    with thread_pool.threads(threads_of(config)):
        problem = layer_problem(ready(config)[0], task.layer, 0)
        ground = ground_energies(problem)
    found: dict[str, Found] = {}
    with Console(stderr=True).status("") as status:
        for name in solver_names(task.config_dir):
            status.update(f"{name}, at most {timeout_s:g} s")
            found[name] = measure(task, name, timeout_s)
    rows = judged(found, problem, ground)
    levels = in_words(problem.bits, problem.num_levels)
    title = (
        f"{config['model'].get('name', 'model')}, layer {task.layer}: {problem.num_units} units of "
        f"{problem.num_weights} weights, {levels}, {problem.num_spins} spins; {plural(task.repeats, 'seed')}"
    )
    write(folder / "solvers.csv", solvers_csv(rows).encode())
    if rows[0].energy is None:  # those without a result are last
        raise NothingRan(
            f"no solver has a result ({rows[0].solver}: {rows[0].note}): {folder / 'solvers.csv'} says why"
        )
    image = io.BytesIO()
    plot(rows, title).savefig(image, dpi=150)
    write(folder / "solvers.png", image.getvalue())
    return shown(rows, title)


def solver_names(config_dir: str | None) -> list[str]:
    """Return the names of the solver group, of the user's own in `config_dir`, and of MORE."""
    folders = [package_files(CONFIGS) / "solver", *([Path(config_dir) / "solver"] if config_dir else [])]
    names = [entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()]
    return sorted({name.removesuffix(".yaml") for name in names if name.endswith(".yaml")} | MORE.keys())


def ground_energies(problem: LayerProblem) -> Array | None:
    """Return the ground state's energy of each unit (M,), None where they have too many spins to count."""
    live = max(problem.unit(i).couplings.indices.size for i in range(problem.num_units))
    return Exact().solve(problem).energies[:, 0] if live * problem.bits <= MAX_SPINS else None


def measure(task: Task, name: str, timeout_s: float) -> Found:
    """Return what `solved` finds in a process of its own, or {"note": why it finds nothing}."""
    return measured_alone(solved, task, name, timeout_s=timeout_s, preload=[__name__])


def solved(task: Task, name: str) -> Found:
    """Return energies and bounds (repeats, M), seconds and MB of a solver named in the group or in MORE."""
    if name == OPENJIJ and find_spec("openjij") is None:
        raise InputError("OpenJij is not installed: pip install 'annealtrain[bench]'")
    # Settings of some solvers are in the task of all: `compare` has composed it, and something there reads each.
    words = [*task.overrides, *MORE.get(name, [f"solver={name}"])]
    config = compose_config(words, task.config_dir, is_shared=True)
    solver = solver_of(config).resolve_schedules(0, config["epochs"])
    with thread_pool.threads(config["threads"] or 1):
        # The trainer has the solver of the task's own settings: this one need not take the other layers.
        problem = layer_problem(ready(compose_config(task.overrides, task.config_dir))[0], task.layer, 0)
        solver.check(bits=problem.bits, weights=[*([0] * task.layer), problem.num_weights])
        before = resettable_peak_mb(reset=True)
        results, seconds = [], []
        for seed in range(task.repeats):
            started = time.perf_counter()
            results.append(solver.solve(problem, seed=seed))
            wall, stats = time.perf_counter() - started, results[-1].stats
            parts = stats["build_s"] + stats["anneal_s"]
            seconds.append(wall * parts / (parts + stats["bound_s"]))
        after = resettable_peak_mb()
    return {
        "energies": np.array([result.energies[:, 0] for result in results]),
        "bounds": np.array([result.lower_bounds for result in results]),
        "seconds": min(seconds),
        "memory_mb": None if before is None or after is None else after - before,
    }


def judged(found: dict[str, Found], problem: LayerProblem, ground: Array | None) -> list[Row]:
    """Return a row for each solver, the lowest energy first, those without a result last."""
    bounds = [result["bounds"].max(axis=0) for result in found.values() if "bounds" in result]
    bound = float(np.max(bounds, axis=0).sum()) if bounds else -np.inf
    start = float(problem.energies(problem.S0).sum())
    rows = []
    for name, result in found.items():
        if "note" in result:
            rows.append(Row(name, note=result["note"]))
            continue
        energies = result["energies"]
        energy, rate = float(energies.sum(axis=1).mean()), None
        if ground is not None:
            room = np.abs(problem.energies(problem.S0) - ground)
            rate = float((energies <= ground + SAME * room).mean())
        gap = relative_gap(energy, start, bound)
        rows.append(Row(name, energy, gap, result["seconds"], result["memory_mb"], rate))
    return sorted(rows, key=lambda row: (row.energy is None, row.energy, row.solver))


def solvers_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV, empty where there is no number."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(Row.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) | {"solver": cell(row.solver), "note": cell(row.note)} for row in rows)
    return buffer.getvalue()


def shown(rows: Sequence[Row], title: str) -> "Group":
    """Return the rows for a screen: a table of those with a result, a line below it for each of the others."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(caption="seconds on one thread, unless threads= is given")
    for heading in ("solver", "energy", "gap", "seconds", "MB", "ground state"):
        table.add_column(heading, justify="left" if heading == "solver" else "right", no_wrap=True)
    formats = ("{:.6g}", "{:.2e}", "{:.3g}", "{:.1f}", "{:.0%}")
    for row in (row for row in rows if row.energy is not None):
        numbers = (row.energy, row.gap, row.seconds, row.memory_mb, row.ground_rate)
        cells = ["" if x is None else f.format(x) for f, x in zip(formats, numbers, strict=True)]
        table.add_row(row.solver, *cells)
    without = [Text(f"no result of {row.solver}: {row.note}") for row in rows if row.energy is None]
    return Group(Text(title), table, *without)


def plot(rows: Sequence[Row], title: str) -> "Figure":
    """Return gap over seconds, both logarithmic, a labelled point a solver; a gap of 0 stands at the lower edge."""
    style.load()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="seconds", ylabel="certified gap")
    axes.title.set_fontsize(9)
    for row in rows:
        if row.gap is not None and row.seconds is not None and np.isfinite(row.gap):
            gap = max(row.gap, 1e-12)
            axes.loglog(row.seconds, gap, "o")
            axes.annotate(row.solver, (row.seconds, gap), xytext=(5, 4), textcoords="offset points", fontsize=9)
    axes.margins(0.15)
    return figure
