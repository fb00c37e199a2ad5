"""One sampler on one problem in a process of its own: `python -m bench.worker PROBLEM.npz JOB.json RESULT.json`."""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.measure import limit_memory, peak_mb, start_peak, timed
from bench.peers import Settings, registry, single_thread
from bench.problems import Problem, sherrington_kirkpatrick

REPEAT_S = 0.8  # repeat a solve until so many seconds are spent on it,
MAX_REPEATS = 15  # or so often;
SLOW_REPEATS, SLOW_S = 3, 20.0  # so often at least, but for those that need longer once
MIN_CLIMBS, MAX_CLIMBS = 4, 16  # runs of one length on the way to a target


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

    before = start_peak()
    model, build_s = timed(lambda: build(problem, settings))
    found, solve_s = timed(lambda: solve(model, problem, settings, 0))
    memory_mb = max(peak_mb() - before, 0.0)

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


def main() -> None:
    problem_path, job_path, result_path = map(Path, sys.argv[1:])
    job = json.loads(job_path.read_text())
    if job["memory_gb"]:
        limit_memory(job["memory_gb"])
    settings, reference = Settings(**job["settings"]), Settings(**job["reference"])
    try:
        problem = Problem.load(problem_path)
        if job["ladder"]:
            result = single_thread(lambda: climb(problem, job["peer"], settings, job["ladder"], job["timeout_s"] / 8))
        else:
            result = single_thread(lambda: measure(problem, job["peer"], settings, reference))
    except MemoryError:
        result = {"status": f"needs more than {job['memory_gb']:g} GB"}
    except Exception as error:  # a peer may raise anything: its row says what
        result = {"status": f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"}
    result_path.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
