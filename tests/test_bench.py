"""The benchmark on tiny problems: what samplers report, what becomes of one that fails, how ratios are formed."""

import math
import pickle
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("openjij", reason="openjij is not installed: pip install 'annealtrain[bench]'")
pytestmark = pytest.mark.filterwarnings("default")  # what peers warn of is theirs

from bench import jobs, plot, report, rows, stages, targets, time_to_target, worker  # noqa: E402
from bench.peers import Settings, build_model, registry  # noqa: E402
from bench.problems import Problem, lenet_layers, linear, sherrington_kirkpatrick  # noqa: E402
from bench.rows import Job  # noqa: E402

from annealtrain.data.datasets import digits  # noqa: E402
from annealtrain.data.images import split  # noqa: E402
from annealtrain.hamiltonian.quadratic import Couplings, QuadraticForm  # noqa: E402
from annealtrain.nn.network import Network  # noqa: E402


def layer(bits: int) -> Problem:
    """Three outputs of a layer of five weights, one of them dead."""
    random = np.random.default_rng(bits)
    inputs = random.normal(size=(12, 5))
    inputs[:, 3] = 0
    J, h = inputs.T @ inputs, random.normal(size=(3, 5)) * (inputs != 0).any(axis=0)
    S0 = random.normal(size=(3, 5))
    E0, box = random.normal(size=3), np.array([-100.0, math.nan, math.nan])
    return Problem(f"layer of {bits} bits", J, h, E0, S0, 0.5, bits, (0.1, 50.0), box)


PROBLEMS = [layer(1), layer(3), sherrington_kirkpatrick(6)]
JOBS = {f"{job.peer} {job.text} {job.settings.reads}": job for job in [*jobs.ours(layer(3)), *jobs.rivals(layer(3))]}


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", JOBS)
def test_reported_energies_are_the_problems_own(problem: Problem, name: str) -> None:
    settings = Settings(**{**vars(JOBS[name].settings), "sweeps": 5, "reads": 3})
    if problem.name.startswith("SK") and settings.move != "bit":
        pytest.skip("J_jj = 0 has bit moves only")
    build, solve = registry()[JOBS[name].peer]
    if settings.units > 1:
        settings = Settings(**{**vars(settings), "units": len(problem.h)})
    found = solve(build(problem, settings), problem, settings, 1)
    energies = problem.form.energy(problem.form.weights(found.levels))
    assert found.levels.shape == (3, problem.J.shape[0])
    assert found.energies == pytest.approx(energies, rel=1e-9, abs=1e-9)


def test_model_of_live_spins_is_the_forms_own() -> None:
    problem = layer(2)
    lean, full = build_model(problem, Settings()), problem.form.to_bqm()
    live = problem.form.couplings.indices
    spins = np.random.default_rng(0).choice([-1, 1], (20, 5, 2))
    assert lean.num_variables == 2 * live.size
    assert lean.energies(spins[:, live].reshape(20, -1)) == pytest.approx(full.energies(spins.reshape(20, -1)))


def test_problems_are_the_layers_of_networks_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.problems.BOX_SWEEPS", 50)
    shown = split(digits(), samples=30, validation=0, seed=0, size=(32, 32)).train
    found = lenet_layers(shown, bits=4)
    shapes = [(problem.num_units, problem.num_weights, problem.bits) for _, problem in found]
    assert shapes == [(6, 25, 4), (16, 150, 4), (120, 400, 4), (84, 120, 4), (10, 84, 4)]
    first = linear("first", shown, 2)
    assert (first.J.shape, first.h.shape, first.bits, first.half_range) == ((1024, 1024), (10, 1024), 2, 0.1)
    assert first.box[0] <= first.form.energy(first.form.S0)
    later = linear("later", shown, 2, epochs=1)
    assert later.half_range == pytest.approx(0.1 * 0.01 ** (1 / 20))
    assert later.form.energy(later.S0[0]) < first.form.energy(first.S0[0])  # an epoch lowers the loss


def test_measure_times_a_sampler_beside_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MAX_REPEATS", 2)
    problem = layer(3)
    result = worker.measure(problem, "dwave SA (neal)", Settings(5), Settings(5, 4))
    assert result["repeats"] == 2
    assert result["error"] < 1e-9
    assert min(result[name] for name in ("build_s", "solve_s", "ours_build_s", "ours_s")) > 0
    row = rows.to_row(problem, Job("dwave SA (neal)", Settings(5), Settings(5, 4)), result)
    assert row["ratio"] == pytest.approx(result["solve_s"] / (result["ours_s"] / 4))
    assert row["gap"] == pytest.approx(problem.gap(result["energy"]))


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Job("annealtrain", Settings(5)), "^ok$"),
        (Job("annealtrain", Settings(0)), "^solver.num_sweeps=0"),
        (Job("no such sampler"), "^failed: KeyError"),
        (Job("annealtrain", timeout_s=0.05), "^stopped after 0.05 s$"),
        (Job("dwave SA (neal)", memory_gb=0.001), "^(?!ok)"),  # too little to import anything
    ],
)
def test_a_failing_sampler_is_a_row(job: Job, said: str) -> None:
    (row,) = rows.run(layer(2), [job])
    assert re.search(said, row["status"]), row["status"]
    assert (row["solve_s"] is None) == (row["status"] != "ok")
    assert set(row) == set(rows.COLUMNS)


def test_ratio_is_per_read_and_output() -> None:
    assert rows.ratio(6.0, Settings(), 2.0, Settings()) == 3
    assert rows.ratio(6.0, Settings(reads=3), 2.0, Settings(reads=4)) == 4
    assert rows.ratio(6.0, Settings(units=2), 1.0, Settings(reads=2, units=5)) == 30


def row(sampler: str, settings: str, **given: float | str) -> rows.Row:
    """A row of the 8-bit layer."""
    fixed = {"problem": "P", "spins": 8, "live_spins": 8, "sampler": sampler, "settings": settings, "status": "ok"}
    return dict.fromkeys(rows.COLUMNS) | fixed | {"sweeps": 100, "reads": 1, "units": 1} | given


MEASURED = [
    row("annealtrain", "bit", solve_s=0.01, gap=1e-4, memory_mb=4.0, energy=1.0),
    row("annealtrain", "slice", solve_s=0.01, gap=2e-6, energy=1.0),
    row("annealtrain", "bit, 10 outputs", units=10, solve_s=0.02, energy=1.0),
    row("annealtrain", "bit, 10 outputs", units=10, sweeps=1000, solve_s=0.11, energy=1.0),
    row("dwave SA (neal)", "", solve_s=4.0, ratio=400.0, gap=1e-4, memory_mb=1000.0, energy=1.0),
    row("dwave SA (neal)", "", sweeps=1000, solve_s=13.0, gap=1e-4, energy=1.0),
    row("openjij integer SA", "core", reads=16, solve_s=0.3, ratio=6.0, gap=1e-7, energy=1.0),
    row("openjij integer SA", "Python API", total_ratio=31.0, solve_s=0.3, gap=1e-7, energy=1.0),
]


def test_claims_are_formed_from_rows() -> None:
    found = targets.claims(MEASURED, {"share": 0.61}, "P")
    assert [claim.measured for claim in found] == pytest.approx([400, 0.01 / 1e-5, 6, 31, 250, 0.61, 2e-6])
    assert [claim.verdict for claim in found] == ["met", "met", "not met", "met", "met", "met", "not met"]
    assert {claim.verdict for claim in targets.claims([], None, "P")} == {"not measured"}
    worse = [{**each, "gap": 2e-4} if each["settings"] == "bit" else each for each in MEASURED]
    assert targets.claims(worse, None, "P")[0].verdict == "not met"  # fast, but not as good


def test_time_to_target_counts_repeated_runs() -> None:
    rungs = [
        {"sweeps": 1, "seconds": 1.0, "gaps": [0.5, 0.5, 0.5, 0.5]},
        {"sweeps": 10, "seconds": 3.0, "gaps": [1e-3, 0.5, 1e-3, 0.5]},
        {"sweeps": 99, "seconds": 30.0, "gaps": [1e-5, 1e-5, 1e-5, 1e-5]},
    ]
    assert time_to_target.time_to_target(rungs, 1e-2) == (pytest.approx(3 * math.log(0.01) / math.log(0.5)), 10)
    assert time_to_target.time_to_target(rungs, 1e-4) == (30, 99)
    assert time_to_target.time_to_target(rungs, 1e-6) is None
    found = time_to_target.to_rows("P", "S", "", {"note": "stopped after 1 s"})
    assert [(each["seconds"], each["status"]) for each in found] == [(None, "stopped after 1 s")] * 3


def test_gaps_of_spin_glasses_are_to_the_best_found() -> None:
    found = [row("a", "", energy=-2.0), row("b", "", energy=-4.0), row("c", "", status="over 1 s", solve_s=None)]
    rows.fill_gaps_to_best(found)
    assert [each["gap"] for each in found] == [0.5, 0.0, None]


def test_report_has_every_row(tmp_path: Path) -> None:
    found = [*MEASURED, row("dwave tabu", "", status="over 120 s")]
    text = report.kernel_report(found, targets.claims(found, None, "P"), [], None, "Digits", 60.0)
    assert text.count("| dwave SA (neal) |") == 2
    assert "over 120 s" in text
    plot.draw(found, tmp_path / "kernel.png", "P")
    report.write_csv(tmp_path / "kernel.csv", rows.COLUMNS, found)
    assert (tmp_path / "kernel.csv").read_text().count("\n") == 1 + len(found)


def test_problem_reaches_another_process_whole() -> None:
    problem = layer(2)
    _ = problem.form  # held before it is sent
    again = pickle.loads(pickle.dumps(problem))
    form = QuadraticForm(Couplings(problem.J), problem.h[0], problem.E0[0], problem.S0[0], 0.5, 2)
    assert again.form.energy(form.S0 + 0.1) == form.energy(form.S0 + 0.1)
    assert (again.name, again.beta_range, again.spins) == (problem.name, problem.beta_range, 10)


def test_stages_of_mini_batches_are_in_the_table(tmp_path: Path) -> None:
    every = {model: stages.settings_of(model, name) for model, name in stages.EXPERIMENTS.items()}
    assert {model: len(found) for model, found in every.items() if len(found) != 3} == {"lenet": 4, "conv": 4}
    settings = every["conv"][3]
    assert settings == ("model=conv", "method=kronecker", "batch_size=50")
    done = stages.run((*settings, "dataset=digits", "samples=100", "validation=10", "epochs=1"))
    assert done["status"] == "ok", done
    for stage in ("forward_s", "targets_s", "build_s", "anneal_s", "evaluate_s", "rest_s"):
        assert done[stage] > 0
    assert sum(done[stage] for stage in (*stages.STAGES, "rest_s")) == pytest.approx(done["total_s"])
    stages.write(tmp_path, [{"model": "conv", "settings": " ".join(settings), **done}], "digits")
    assert "| conv | model=conv method=kronecker batch_size=50 |" in (tmp_path / "stages.md").read_text()


def test_passes_of_both_libraries_agree_and_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")
    from bench import passes

    network = Network(passes.NETWORKS["lenet"](), (1, 32, 32), 10, alpha=0.001)
    theirs, ours = passes.forward(network)
    np.testing.assert_allclose(ours().outputs, theirs().numpy(), rtol=1e-4, atol=1e-5)
    threads = torch.get_num_threads()
    try:
        assert passes.main(["--repeats", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    named = [(name, kind) for name in ("lenet", "three_conv") for kind in ("forward", "forward and back")]
    assert [(name, kind) for name, kind, *_ in table] == named
    for *_, peer, own, ratio in table:
        assert float(ratio) == pytest.approx(float(own) / float(peer), rel=0.2)


def test_jobs_take_turns_and_their_shortest_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import passes

    now, told, lengths = 0.0, [], iter([3.0, 2.0, 1.0, 5.0])

    def job(name: str) -> None:
        nonlocal now
        told.append(name)
        now += next(lengths)

    monkeypatch.setattr(passes, "time", SimpleNamespace(perf_counter=lambda: now))
    assert passes.best_of(2, lambda: job("a"), lambda: job("b")) == [1.0, 2.0]
    assert told == ["a", "b", "a", "b"]
