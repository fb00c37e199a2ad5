"""`annealtrain bench field`: chosen solvers on instances at equal time, as tables and figures."""

import math
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from annealtrain.commands import streams
from annealtrain.commands.export import write
from annealtrain.commands.field import summary
from annealtrain.commands.field.heats import Terms, heats
from annealtrain.commands.field.judge import Mark, best_known
from annealtrain.commands.field.race import Lap
from annealtrain.commands.field.rivals import RIVALS, Rival, chosen
from annealtrain.commands.new_folder import new_folder
from annealtrain.errors import InputError, NothingRan
from annealtrain.hamiltonian.instances import catalogue, load, names
from annealtrain.reports import field_plots
from annealtrain.reports.style import png
from annealtrain.runs import paper_tables
from annealtrain.runs.tables import as_text, write_csv
from annealtrain.runtime import thread_pool
from annealtrain.runtime.validation import check_all, number, optional, whole

EARLY_S = 0.1  # beside the whole time, what is had by then
LIMITS = {
    "--seconds": number(0.001, 3600),
    "--seeds": whole(1, 1000),
    "--jobs": optional(thread_pool.COUNT),
    "--target": number(above=0, most=1),
}


def bench_field(
    solvers: str | None,
    instances: Sequence[str],
    *,
    seconds: float,
    seeds: int,
    target: float,
    jobs: int | None,
    folder: Path | None,
) -> None:
    """Race solvers on instances; print what came of it, and where the tables and figures lie.

    instances: names of shipped ones, or files; none: all that are shipped. jobs: laps at once, None: one a core.
    Raises NothingRan where no lap of any solver ran; the tables say why.
    """
    given = {"--seconds": seconds, "--seeds": seeds, "--jobs": jobs, "--target": target}
    check_all(given, LIMITS)
    rivals, terms = chosen(solvers), Terms(tuple(instances or names()), seeds, seconds)
    starts = _starts(terms)
    folder = folder or Path("outputs/bench") / f"field-{datetime.now():%Y-%m-%d-%H-%M-%S-%f}"
    with new_folder(folder):
        _race(rivals, terms, jobs or thread_pool.available_threads(), starts, folder, target)


def _race(
    rivals: Sequence[Rival], terms: Terms, jobs: int, starts: dict[str, int], folder: Path, target: float
) -> None:
    """Race solvers; write and print what came of it."""
    laps = _shown_heats(rivals, terms, jobs)
    laps = [_named(lap, starts) for lap in laps]
    best = best_known(catalogue(), laps)
    times = sorted({min(EARLY_S, terms.seconds), terms.seconds})
    marks = summary.marks_of(laps, times, best, starts, target)
    _write_tables(folder, laps, marks, times)
    if not any(lap.has_run for lap in laps):
        raise NothingRan(f"no solver has a result ({laps[0].solver}: {laps[0].note}): {folder / 'laps.csv'} says why")
    _write_figures(folder, laps, marks, best, starts, terms.seconds, target)
    head, rows = summary.table(marks, times)
    print(as_text(head, rows))
    lines = [*summary.verdict(marks, times), *_better(laps)]
    streams.say(*lines, f"folder: {folder.absolute()}")


def _starts(terms: Terms) -> dict[str, int]:
    """Return the start energies of the instances, by their own names; InputError for what is none, or there twice."""
    found: dict[str, int] = {}
    for name in terms.instances:
        instance = load(name)
        known = catalogue().get(instance.name)
        if known and known.hash != instance.hash:
            raise InputError(
                f"{name} has the name of the catalogue's {instance.name} and is another problem (hash {instance.hash}, "
                f"not {known.hash}): give it a name of its own"
            )
        if instance.name in found:
            raise InputError(
                f"{name}: instance {instance.name} stands there twice, by its name or as a file: leave one out"
            )
        found[instance.name] = instance.start_energy
    return found


def _named(lap: Lap, starts: Mapping[str, int]) -> Lap:
    """Return a lap with its instance's own name, where a file was given and the lap says nothing but that."""
    if lap.instance in starts:
        return lap
    return Lap(lap.solver, load(lap.instance).name, lap.seed, note=lap.note)


def _shown_heats(rivals: Sequence[Rival], terms: Terms, jobs: int) -> list[Lap]:
    """Return all laps, telling how far they are."""
    from rich.console import Console

    total = sum(len(terms.instances) * (1 if rival.is_fixed else terms.seeds) for rival in rivals)
    done, lock = 0, threading.Lock()
    with Console(stderr=True).status(f"0 of {total} laps") as status:

        def tell(lap: Lap) -> None:
            nonlocal done
            with lock:
                done += 1
                status.update(
                    f"{done} of {total} laps, at most {terms.seconds:g} s each; {lap.solver} on {lap.instance}"
                )

        return heats(rivals, terms, jobs, tell)


def _write_tables(folder: Path, laps: Sequence[Lap], marks: Sequence[Mark], times: Sequence[float]) -> None:
    write_csv(folder / "laps.csv", summary.lap_rows(laps))
    write_csv(folder / "marks.csv", summary.csv_rows(marks))
    table = summary.table(marks, times)
    write(folder / "field.md", paper_tables.markdown(table).encode())
    write(folder / "field.tex", paper_tables.latex(table).encode())


def _write_figures(
    folder: Path,
    laps: Sequence[Lap],
    marks: Sequence[Mark],
    best: dict[str, int],
    starts: dict[str, int],
    seconds: float,
    target: float,
) -> None:
    ours = {name for name, rival in RIVALS.items() if rival.is_ours}
    paths: dict[tuple[str, str], list[list[tuple[float, float]]]] = {}
    for lap in (one for one in laps if one.has_run):
        low = best.get(lap.instance, starts[lap.instance])
        room = max(starts[lap.instance] - low, 1)
        path = [(at, (energy - low) / room) for at, energy in lap.points]
        paths.setdefault((lap.solver, lap.instance), []).append(path)
    gaps = {(one.solver, one.instance): one.gap for one in marks if one.seconds == seconds}
    write(folder / "solved.png", png(field_plots.solved(paths, target, seconds)))
    write(folder / "gaps.png", png(field_plots.gap_map(gaps, f"Mean gap after {seconds:g} s")))
    write(folder / "energies.png", png(field_plots.trajectories(paths, seconds, ours)))


def _better(laps: Sequence[Lap]) -> list[str]:
    """Return a line for each instance of which a lap has found a lower energy than the catalogue knows."""
    lines = []
    for name, known in catalogue().items():
        least = min((lap for lap in laps if lap.instance == name and lap.points), key=_last, default=None)
        if least and _last(least) < known.energy:
            lines.append(f"{least.solver} found {_last(least)} on {name}, the catalogue knows {known.energy}")
    return lines


def _last(lap: Lap) -> float:
    return lap.points[-1][1] if lap.points else math.inf
