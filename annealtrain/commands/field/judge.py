"""What laps say: gaps at a time, success with its interval, time to a gap, and who is first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.special import stdtrit

from annealtrain.commands.field.race import Lap
from annealtrain.hamiltonian.instances import Known
from annealtrain.solvers.time_to_solution import TimeToSolution, success_interval, tts

INTERVAL = 0.95


@dataclass(frozen=True)
class Mark:
    """A solver on an instance at a time, over its seeds.

    gap: mean of the relative gaps to the best known, inf where a seed has no energy yet; low, high: Student's interval
    of that mean; least, most: of the seeds. success: share of the seeds within the target, and Wilson's interval of it.
    to_target: the time to solution of runs of this length. reached_s: the median of the seconds until the target, inf
    where most did not reach it. is_first: see `firsts`. seeds: of laps that ran, which alone count; where none did, it
    is 0, and no number of the mark is finite.
    """

    solver: str
    instance: str
    seconds: float
    seeds: int
    gap: float
    low: float
    high: float
    least: float
    most: float
    success: float
    success_low: float
    success_high: float
    to_target: TimeToSolution
    reached_s: float
    is_first: bool = False
    note: str = ""

    @property
    def has_run(self) -> bool:
        return self.seeds > 0


def best_known(known: Mapping[str, Known], laps: Sequence[Lap]) -> dict[str, int]:
    """Return the lowest energy of each instance that the catalogue or any lap has."""
    found = {name: one.energy for name, one in known.items()}
    for lap in laps:
        if lap.points:
            found[lap.instance] = min(found.get(lap.instance, lap.points[-1][1]), lap.points[-1][1])
    return found


def mark(laps: Sequence[Lap], seconds: float, best: int, start: int, target: float) -> Mark:
    """Return what the laps of one solver on one instance say of a time. target: a relative gap."""
    note = next((lap.note for lap in laps if lap.note), "")
    ran = [lap for lap in laps if lap.has_run]
    if not ran:
        never = TimeToSolution(math.inf, math.inf, math.inf)
        none, no_share = (math.inf,) * 5, (math.nan,) * 3
        return Mark(laps[0].solver, laps[0].instance, seconds, 0, *none, *no_share, never, math.inf, False, note)
    laps, room = ran, max(start - best, 1)
    energies = [lap.energy_at(seconds) for lap in laps]
    gaps = [math.inf if energy is None else (energy - best) / room for energy in energies]
    gap, away = mean(gaps), interval_of(gaps)
    reached = sorted(math.inf if (at := lap.time_to(best + int(target * room))) is None else at for lap in laps)
    successes = sum(at <= seconds for at in reached)
    low, high = success_interval(successes, len(laps), INTERVAL)
    share = successes / len(laps)
    return Mark(
        *(laps[0].solver, laps[0].instance, seconds, len(laps), gap, gap - away, gap + away, min(gaps), max(gaps)),
        *(share, low, high),
        tts(seconds, successes, len(laps), interval=INTERVAL),
        reached[len(reached) // 2],
        note=note,
    )


def interval_of(values: Sequence[float]) -> float:
    """Return half the width of Student's interval of the mean; 0 for one value, or where one is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return 0.0
    return float(stdtrit(len(values) - 1, (1 + INTERVAL) / 2)) * stdev(values) / math.sqrt(len(values))


def firsts(marks: Sequence[Mark]) -> set[str]:
    """Return the solvers of one instance and time that are first, by the mean gap, or tied with the first.

    Tied is whose interval overlaps with that of the first, and the range of whose seeds does: with few seeds a poor
    solver that scatters has a wide interval.
    """
    finite = [each for each in marks if math.isfinite(each.gap)]
    if not finite:
        return set()
    first = min(finite, key=lambda each: each.gap)
    return {each.solver for each in finite if each.low <= first.high and each.least <= first.most}
