"""One sampler on one problem: seconds, energies and memory, or gaps over the number of sweeps."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.commands.own_process import one_thread_for_libraries
from annealtrain.runtime.memory import resettable_peak_mb
from bench.measure import timed
from bench.peers import Settings, registry, single_thread
from bench.problems import Problem, sherrington_kirkpatrick

if TYPE_CHECKING:
    from bench.rows import Job

REPEAT_S = 0.8  # repeat a solve until so many seconds are spent on it,
MAX_REPEATS = 15  # or so often;
SLOW_REPEATS, SLOW_S = 3, 20.0  # so often at least, but for those that need longer once
MIN_CLIMBS, MAX_CLIMBS = 4, 16  # runs of one length on the way to a target


def measured(problem: Problem, job: "Job") -> dict[str, Any]:
    """Return what a job finds, on one thread."""
    one_thread_for_libraries()
    if job.ladder:
        return single_thread(lambda: climb(problem, job.peer, job.settings, job.ladder, job.timeout_s / 8))
    return single_thread(lambda: measure(problem, job.peer, job.settings, job.reference))


def measure(problem: Problem, peer: str, settings: Settings, reference: Settings) -> dict[str, Any]:
    """Return a sampler's seconds, energies and memory beside the seconds of this project's kernel (`reference`).

    The two take turns, and of each the fastest counts. energy: the median over the repeats of the best read, as
    annealtrain computes it; error: the largest difference from what the sampler reports, relative to the largest
    |energy|.
    """
    build, solve = registry()[peer]
    ours_build, ours_solve = registry()["annealtrain"]
    tiny = sherrington_kirkpatrick(8)
    for one_build, one_solve, asked in ((build, solve, settings), (ours_build, ours_solve, reference)):
        small = Settings(**{**vars(asked), "sweeps": 2, "units": 1, "move": "bit"})
        one_solve(one_build(tiny, small), tiny, small, 0)  # imports and first calls

    before = resettable_peak_mb(reset=True)
    model, build_s = timed(lambda: build(problem, settings))
    found, solve_s = timed(lambda: solve(model, problem, settings, 0))
    after = resettable_peak_mb()
    memory_mb = None if before is None or after is None else max(after - before, 0.0)

    layer, ours_build_s = timed(lambda: ours_build(problem, reference))
    solves, ours, energies, errors = [solve_s], [], [], []
    while True:
        best = problem.form.energy(problem.form.weights(found.levels))
        energies.append(float(best.min()))
        if found.energies is not None:
            scale = max(float(np.abs(best).max()), 1e-12)
            errors.append(float(np.abs(np.sort(best) - np.sort(found.energies)).max()) / scale)
        for _ in range(1 if solve_s < 1 else 3):
            ours.append(timed(lambda: ours_solve(layer, problem, reference, len(ours)))[1])
        enough = 1 if solve_s > SLOW_S else SLOW_REPEATS
        if len(solves) >= MAX_REPEATS or (len(solves) >= enough and sum(solves) > REPEAT_S):
            break
        if len(solves) < 4:
            build_s = min(build_s, timed(lambda: build(problem, settings))[1])
            ours_build_s = min(ours_build_s, timed(lambda: ours_build(problem, reference))[1])
        found, again = timed(lambda: solve(model, problem, settings, len(solves)))
        solves.append(again)
    return {
        "build_s": build_s,
        "solve_s": min(solves),
        "ours_build_s": ours_build_s,
        "ours_s": min(ours),
        "energy": float(np.median(energies)),
        "energies": energies,
        "error": max(errors, default=None),
        "memory_mb": memory_mb,
        "repeats": len(solves),
    }


def climb(problem: Problem, peer: str, settings: Settings, ladder: list[int], budget_s: float) -> dict[str, Any]:
    """Return, for each number of sweeps, the seconds of one run and the gaps of several, within about `budget_s`."""
    build, solve = registry()[peer]
    model = build(problem, settings)

    def rung(sweeps: int) -> tuple[dict[str, Any], float]:
        gaps, seconds, asked = [], [], replace(settings, sweeps=sweeps)
        while len(gaps) < MAX_CLIMBS and (len(gaps) < MIN_CLIMBS or sum(seconds) < budget_s / len(ladder)):
            found, took = timed(partial(solve, model, problem, asked, len(gaps)))
            gaps.append(problem.gap(float(problem.form.energy(problem.form.weights(found.levels)).min())))
            seconds.append(took)
        return {"sweeps": sweeps, "seconds": min(seconds), "gaps": gaps}, sum(seconds)

    rungs, spent = [], 0.0
    for sweeps in ladder:
        step, took = rung(sweeps)
        rungs.append(step)
        spent += took
        if spent > budget_s:
            break
    return {"rungs": rungs}
