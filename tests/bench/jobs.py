"""Which samplers run on which problem, with what settings."""

from bench.peers import Settings
from bench.problems import Problem
from bench.rows import Job

FOCUS = "linear 8 bits"  # what the claims are about
LONG_SWEEPS = 1000  # beside 100, for the cost of one more sweep; neal copies its model for as long as 300 sweeps take
SLICE_LANES = Settings(reads=16, move="slice")
LADDER = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]


def ours(problem: Problem) -> list[Job]:
    """Return this project's kernel: every move alone, in full lanes, and on all outputs of a shared J at once."""
    moves = ["bit"] if problem.name.startswith("SK") else ["bit", "slice", "greedy"]
    jobs = [Job("annealtrain", Settings(reads=reads, move=move)) for move in moves for reads in (1, 16)]
    if units := len(problem.h) if len(problem.h) > 1 else 0:
        several = [Settings(sweeps, move="bit", units=units) for sweeps in (100, 1000)]
        jobs += [Job("annealtrain", each) for each in (*several, Settings(move="slice", units=units))]
    if problem.name.startswith("SK"):
        jobs.append(Job("annealtrain", Settings(1000, 16)))  # the best known
    return jobs


def rivals(problem: Problem) -> list[Job]:
    """Return the other samplers; OpenJij's integers only where there are levels."""
    core = Settings(core=True)
    if problem.name.endswith("later"):  # the slow ones are as slow as in the first epoch
        return [Job("dwave SA (neal)"), Job("openjij SA", core), Job("openjij integer SA", core)]
    live = problem.form.couplings.indices.size * problem.bits
    jobs = [
        Job("dwave SA (neal)"),
        Job("dwave SA (neal)", Settings(has_beta_range=False)),
        Job("dwave steepest descent", Settings(0)),
        Job("dwave tabu", Settings(0)),
        Job("openjij SA", core),
        Job("openjij SA", Settings(core=True, dense=True)),
    ]
    # These two take minutes on thousands of spins: once is enough.
    slow = "" if live <= 2000 or problem.name == FOCUS else f"skipped: takes minutes, see {FOCUS}"
    jobs += [
        Job("dwave path integral", Settings(has_beta_range=False), skipped=slow),
        Job("openjij SA", timeout_s=60, skipped=slow),
    ]
    spins = "" if problem.bits > 1 else "skipped: spins are no integers of several levels"
    jobs += [
        Job("openjij integer SA", core, skipped=spins),
        Job("openjij integer SA", Settings(core=True, reads=16), SLICE_LANES, skipped=spins),
        Job("openjij integer SA", skipped=spins),
    ]
    return jobs


def marginal() -> list[Job]:
    """Return what tells neal's cost of one more sweep, beside the row of its first 100."""
    return [Job("dwave SA (neal)", Settings(LONG_SWEEPS))]


def ladders() -> list[Job]:
    """Return the jobs for the time to target."""
    return [
        Job("annealtrain", Settings(move="bit"), ladder=LADDER),
        Job("annealtrain", Settings(move="slice"), ladder=LADDER),
        Job("openjij integer SA", Settings(core=True), ladder=LADDER),
        Job("openjij SA", Settings(core=True), ladder=[5, 20, 100, 300]),
        Job("dwave SA (neal)", ladder=[5, 20, 100]),
    ]
