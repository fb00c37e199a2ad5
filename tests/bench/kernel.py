"""`python -m bench.kernel`: this project's kernel and its peers on real layers and on spin glasses.

Writes kernel.csv, time_to_target.csv, forms.csv, kernel.md and kernel.png into outputs/bench, as far as it has come
after every problem.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from annealtrain.data.images import Images
from bench import forms, jobs, plot, report, roofline, rows, time_to_target
from bench.problems import Problem, images, lenet, lenet_layers, linear, sherrington_kirkpatrick
from bench.targets import claims

REACH_COLUMNS = ("problem", "sampler", "settings", "target", "seconds", "sweeps", "status")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.kernel", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="where the files go")
    parser.add_argument("--only", default="", help="problems whose name has this in it")
    parser.add_argument("--timeout", type=float, default=rows.TIMEOUT_S, help="seconds for one sampler on one problem")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    shown, told = images()
    print(told, flush=True)
    found: list[rows.Row] = []
    reach: list[rows.Row] = []
    roof = None
    for problem in problems(shown, asked.only):
        is_focus = problem.name == jobs.FOCUS
        todo = [*jobs.ours(problem), *jobs.rivals(problem), *(jobs.marginal() if is_focus else [])]
        found += rows.run(problem, [replace(job, timeout_s=min(job.timeout_s, asked.timeout)) for job in todo], tell)
        if is_focus:
            roof = roofline.roofline(problem)
            reach += climb(problem)
        rows.fill_gaps_to_best(found)
        write(asked.out, found, reach, roof, told, time.perf_counter() - began)
    compared = [forms.compare(*layer) for layer in lenet_layers(shown)] if not asked.only else []
    if compared:
        report.write_csv(asked.out / "forms.csv", forms.COLUMNS, compared)
        with open(asked.out / "kernel.md", "a") as file:
            file.write("\n" + forms.table(compared))
        print(forms.table(compared))
    print((asked.out / "kernel.md").read_text().split("\n## Time to target")[0])
    print(f"written: {asked.out}/kernel.csv, kernel.md, kernel.png, time_to_target.csv")
    return 0


def problems(shown: Images, part: str) -> Iterator[Problem]:
    """Yield the problems with `part` in their name, each made when its turn comes."""
    for bits in (8, 4, 2):
        if part in (name := f"linear {bits} bits"):
            yield linear(name, shown, bits)
    if part in (name := "linear 8 bits, later"):
        yield linear(name, shown, 8, epochs=10)
    if not part or "lenet" in part:
        yield from (problem for problem in lenet(shown) if part in problem.name)
    for spins in (256, 1024, 4096):
        if part in f"SK {spins}":
            yield sherrington_kirkpatrick(spins)


def climb(problem: Problem) -> list[rows.Row]:
    """Return the rows of the time to target on a problem."""
    found = []
    for job, result in rows.results(problem, jobs.ladders()):
        found += time_to_target.to_rows(problem.name, job.peer, job.text, result)
        print(f"  time to target: {job.peer} {job.text}", flush=True)
    return found


def write(
    folder: Path, found: list[rows.Row], reach: list[rows.Row], roof: dict[str, float] | None, told: str, seconds: float
) -> None:
    report.write_csv(folder / "kernel.csv", rows.COLUMNS, found)
    report.write_csv(folder / "time_to_target.csv", REACH_COLUMNS, reach)
    text = report.kernel_report(found, claims(found, roof, jobs.FOCUS), reach, roof, told, seconds)
    (folder / "kernel.md").write_text(text)
    plot.draw(found, folder / "kernel.png", jobs.FOCUS)


def tell(row: rows.Row) -> None:
    """Print one line of progress."""
    name = f"{row['sampler']} {row['settings']} {row['sweeps'] or '-'} x {row['reads']}"
    said = row["status"]
    if said == "ok":
        numbers = [f"{key} {report.number(row[key])}" for key in ("build_s", "solve_s", "gap", "memory_mb", "ratio")]
        said = "  ".join(numbers)
    print(f"{row['problem']:>24}  {name:<52} {said}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
