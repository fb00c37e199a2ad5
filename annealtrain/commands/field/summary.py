"""The tables of a race."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

from annealtrain.commands.field.judge import Mark, firsts, mark
from annealtrain.commands.field.race import Lap
from annealtrain.commands.field.rivals import RIVALS
from annealtrain.runs.paper_tables import Table
from annealtrain.runtime.array_types import Row

OURS = "annealtrain"


def marks_of(
    laps: Sequence[Lap], times: Sequence[float], best: dict[str, int], starts: dict[str, int], target: float
) -> list[Mark]:
    """Return the marks of all solvers on all instances at some times."""
    groups: dict[tuple[str, str], list[Lap]] = {}
    for lap in laps:
        groups.setdefault((lap.instance, lap.solver), []).append(lap)
    found = []
    for seconds in times:
        for instance in dict.fromkeys(lap.instance for lap in laps):
            own = [
                mark(group, seconds, best.get(instance, starts[instance]), starts[instance], target)
                for (name, _), group in groups.items()
                if name == instance
            ]
            leading = firsts(own)
            found += [replace(each, is_first=each.solver in leading) for each in own]
    return found


def csv_rows(marks: Sequence[Mark]) -> list[Row]:
    """Return a row for each mark, empty where there is no number, and where no lap ran."""
    rows = []
    for one in marks:
        row = asdict(one) | dict(zip(("tts_s", "tts_low_s", "tts_high_s"), one.to_target, strict=True))
        del row["to_target"]
        if not one.has_run:
            row["is_first"] = None
        rows.append({name: None if _is_no_number(value) else value for name, value in row.items()})
    return rows


def _is_no_number(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def lap_rows(laps: Sequence[Lap]) -> list[Row]:
    """Return a row for each point of a trajectory, and for each lap without one a row that says why."""
    rows: list[Row] = []
    for lap in laps:
        fixed = {"solver": lap.solver, "instance": lap.instance, "seed": lap.seed, "build_s": round(lap.build_s, 6)}
        points: Sequence[tuple[float | None, int | None]] = lap.points or [(None, None)]
        rows += [fixed | {"seconds": at, "energy": energy, "note": lap.note} for at, energy in points]
    return rows


def table(marks: Sequence[Mark], times: Sequence[float]) -> Table:
    """Return a row for each solver: how often first or tied, mean success, and the median of its gaps, at each time.

    They are of the instances on which it ran; where it ran on none, its cells are empty.
    """
    head = ["solver"]
    for seconds in times:
        head += [f"first or tied at {seconds:g} s", f"success at {seconds:g} s", f"median gap at {seconds:g} s"]
    rows = []
    for solver in dict.fromkeys(each.solver for each in marks):
        cells: list[str] = []
        own = [each for each in marks if each.solver == solver]
        for seconds in times:
            at = [each for each in own if each.seconds == seconds and each.has_run]
            if not at:
                cells += ["", "", ""]
                continue
            gaps = sorted(each.gap for each in at)
            cells += [
                f"{sum(each.is_first for each in at)}/{len(at)}",
                f"{sum(each.success for each in at) / len(at):.2f}",
                _short(gaps[len(gaps) // 2]),
            ]
        rows.append((sum(each.is_first for each in own), [solver, *cells]))
    return head, [row for _, row in sorted(rows, key=lambda row: -row[0])]


def verdict(marks: Sequence[Mark], times: Sequence[float]) -> list[str]:
    """Return lines: on how many instances OURS is first or tied, and what beats it on the others; notes of others."""
    lines = []
    for seconds in times:
        at = [each for each in marks if each.seconds == seconds]
        own = [each for each in at if each.solver == OURS and each.has_run]
        if own:
            project = {each.instance for each in at if each.is_first and RIVALS[each.solver].is_ours}
            first = f"{OURS} is first or tied on {sum(e.is_first for e in own)} of {len(own)} at {seconds:g} s"
            lines.append(f"{first}, one of this project's solvers on {len(project)}")
        for one in (each for each in own if not each.is_first):
            leader = min((e for e in at if e.instance == one.instance), key=lambda e: e.gap)
            gaps = f"{leader.solver} has a gap of {_short(leader.gap)}, it {_short(one.gap)}"
            lines.append(f"  not on {one.instance}: {gaps}")
    notes: dict[tuple[str, str], list[str]] = {}
    for one in (each for each in marks if each.note and each.seconds == times[-1]):
        notes.setdefault((one.solver, one.note), []).append(one.instance)
    for (solver, said), where in notes.items():
        lines.append(f"no result of {solver} on {where[0] if len(where) == 1 else f'{len(where)} instances'}: {said}")
    return lines


def _short(gap: float) -> str:
    return "-" if math.isinf(gap) else f"{gap:.2g}"
