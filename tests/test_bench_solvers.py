"""`annealtrain bench solvers`: each solver a row, those that cannot too, and the numbers in them."""

import functools
import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import LIMIT_S, SMALL, members, started, until
from rich.console import Console

from annealtrain.commands import bench_solvers
from annealtrain.commands.bench_solvers import Row, Task, judged, solver_names
from annealtrain.commands.new_folder import new_folder
from annealtrain.commands.own_process import found_or_note
from annealtrain.errors import InputError
from annealtrain.runs.tables import read_rows
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.solver import Solver
from annealtrain.testing import random_problem

MINE = '''
import os
import time

from annealtrain.solvers.solver import Solver
from annealtrain.testing import random_problem


class Mine(Solver):
    """One that fails in the way it is told to."""

    def __init__(self, how):
        self.how = how

    def sample(self, form, seed):
        if self.how == "raise":
            raise RuntimeError("no such\\nmachine")
        if self.how == "die":
            os._exit(7)
        time.sleep(60)
'''


def found(*solvers: Solver, seeds=2):
    problem = random_problem(M=3, N=5, bits=2)
    results = [[solver.solve(problem, seed=seed) for seed in range(seeds)] for solver in solvers]
    return problem, {
        f"solver{k}": {
            "energies": np.array([r.energies[:, 0] for r in each]),
            "bounds": np.array([r.lower_bounds for r in each]),
            "seconds": 0.1,
            "memory_mb": None,
        }
        for k, each in enumerate(results)
    }


def test_rows_are_means_over_seeds_the_lowest_energy_first():
    problem, results = found(SimulatedAnnealing(1), Exact())
    ground = Exact().solve(problem).energies[:, 0]
    exact, sa = judged(results | {"none": {"note": "not installed"}}, problem, ground)[:2]
    assert (exact.solver, sa.solver) == ("solver1", "solver0")
    assert exact.energy == pytest.approx(ground.sum(), rel=1e-12)
    assert sa.energy == pytest.approx(results["solver0"]["energies"].sum() / 2, rel=1e-12)
    assert exact.ground_rate == 1
    reached = np.isclose(results["solver0"]["energies"], ground, rtol=1e-9)
    assert sa.ground_rate == reached.mean() < 1
    start = problem.energies(problem.S0).sum()
    bound = np.max([r["bounds"].max(axis=0) for r in results.values()], axis=0).sum()
    assert sa.gap == pytest.approx((sa.energy - bound) / (start - bound), rel=1e-12)


def test_a_solver_without_a_result_comes_last_and_ground_states_may_be_unknown():
    problem, results = found(Exact())
    rows = judged({"a": {"note": "not installed"}} | results, problem, None)
    assert [row.solver for row in rows] == ["solver0", "a"]
    assert rows[0].ground_rate is None
    assert rows[1] == Row("a", note="not installed")
    assert judged({"a": {"note": "not installed"}}, problem, None) == [Row("a", note="not installed")]


def test_ground_states_are_known_where_they_can_be_counted():
    problem = random_problem(M=2, N=10, bits=2)
    np.testing.assert_array_equal(bench_solvers.ground_energies(problem), Exact().solve(problem).energies[:, 0])
    assert bench_solvers.ground_energies(random_problem(M=2, N=13, bits=2)) is None
    assert bench_solvers.ground_energies(random_problem(M=2, N=13, bits=2, dead=(0,))) is not None


def test_the_plot_has_a_labelled_point_for_each_solver_with_a_result():
    rows = [Row("one", 1.0, 0.5, 0.1), Row("best", 0.5, 0.0, 1.0), Row("none", note="not installed")]
    (axes,) = bench_solvers.plot(rows, "a layer").axes
    assert [text.get_text() for text in axes.texts] == ["one", "best"]
    assert axes.get_title() == "a layer"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_the_screen_has_a_table_of_results_and_whole_sentences_of_what_has_none():
    console = Console(width=80, file=io.StringIO())
    rows = [Row("one", 1.25, 0.5, 0.1), Row("none", note="pip install 'annealtrain[bench]'")]
    console.print(bench_solvers.shown(rows, "x"))
    told = console.file.getvalue()
    assert "1.25" in told
    assert "no result of none: pip install 'annealtrain[bench]'" in told


def own_solvers(folder: Path) -> None:
    """Write solvers of a user's own that fail, each in its way: `raise`, `die`, `sleep`."""
    (folder / "mine.py").write_text(MINE)
    (folder / "own" / "solver").mkdir(parents=True)
    for how in ("raise", "die", "sleep"):
        (folder / "own" / "solver" / f"{how}.yaml").write_text(f"# x\n_target_: mine.Mine\nhow: {how}\n")


@pytest.mark.slow
def test_each_solver_is_a_row(cli, tmp_path: Path, monkeypatch):
    own_solvers(tmp_path)
    monkeypatch.setattr(bench_solvers, "solver_names", lambda _: ["exact", "sa", "raise", "die"])
    measure = bench_solvers.measure

    def here(task: Task, name: str, timeout_s: float) -> dict:
        """What the process of a solver does, in this one; but for one that trains and one that ends."""
        return (
            measure(task, name, timeout_s) if name in ("sa", "die") else found_or_note(bench_solvers.solved, task, name)
        )

    monkeypatch.setattr(bench_solvers, "measure", here)
    arguments = ["bits=2", "layer=1", "--repeats=2", "--timeout=500", "--output=here", "--config-dir=own"]
    outcome = cli("bench", "solvers", *SMALL, *arguments)
    assert outcome.code == 0, outcome
    assert outcome.out.endswith(f"folder: {tmp_path}/here\n")
    assert "layer 1: 10 units of 8 weights, 2 bits, 16 spins; 2 seeds" in outcome.out
    assert (tmp_path / "here" / "solvers.png").read_bytes().startswith(b"\x89PNG")
    rows = {row["solver"]: row for row in read_rows(tmp_path / "here" / "solvers.csv")}
    assert sorted(rows) == ["die", "exact", "raise", "sa"]
    assert rows["raise"]["note"] == "failed: RuntimeError: no such machine"
    assert rows["die"]["note"] == "its process ended with code 7"
    for name in ("sa", "exact"):
        row = rows[name]
        assert row["note"] is None, row
        assert row["energy"] >= rows["exact"]["energy"]
        assert 0 <= row["gap"] < 1
        assert row["seconds"] > 0
        assert 0 <= row["ground_rate"] <= 1
    assert rows["exact"]["ground_rate"] == 1


def test_a_solver_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch):
    own_solvers(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    task = Task([*SMALL], str(tmp_path / "own"), 0, 1)
    assert bench_solvers.measure(task, "sleep", 1.5) == {"note": "stopped after 1.5 s"}


def test_a_solvers_process_ends_with_the_command_also_when_that_is_killed(tmp_path: Path):
    """Nothing of its session is left: not the fork server, and not what that has started."""
    (tmp_path / "mine.py").write_text(MINE + "\nopen('begun', 'w').close()\n")
    (tmp_path / "own" / "solver").mkdir(parents=True)
    (tmp_path / "own" / "solver" / "sleep.yaml").write_text("# x\n_target_: mine.Mine\nhow: sleep\n")
    call = f"measure(Task({[*SMALL]}, {str(tmp_path / 'own')!r}, 0, 1), 'sleep', 100)"
    code = f"import sys; sys.path.append('.'); from annealtrain.commands.bench_solvers import *; {call}"
    command = started([sys.executable, "-c", code], tmp_path)
    until((tmp_path / "begun").exists, command)
    assert len(members(command.pid)) > 2
    command.kill()
    command.wait(LIMIT_S)
    limit = time.monotonic() + LIMIT_S
    while members(command.pid):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_where_no_solver_has_a_result_the_command_ends_with_code_1(cli, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(bench_solvers, "solver_names", lambda folder: ["neal", "sa"])
    monkeypatch.setattr(bench_solvers, "measure", lambda *given: {"note": "its process ended with code 9"})
    outcome = cli("bench", "solvers", *SMALL, "--output", "race")
    assert (outcome.code, outcome.out) == (1, "")
    said = "no solver has a result (neal: its process ended with code 9): race/solvers.csv says why"
    assert outcome.err.splitlines()[-1] == f"annealtrain bench: {said}"
    rows = read_rows(tmp_path / "race" / "solvers.csv")
    assert [(row["solver"], row["energy"]) for row in rows] == [("neal", None), ("sa", None)]


def test_what_a_solver_refuses_is_its_note():
    one_layer = ["model=lenet_small", "samples=20", "validation=0", "bits=1"]
    assert "energies" in found_or_note(
        bench_solvers.solved, Task(one_layer, None, 4, 1), "exact"
    )  # 18 spins; layer 2 has 300
    note = found_or_note(bench_solvers.solved, Task(one_layer, None, 2, 1), "exact")["note"]
    assert note.startswith("layer 2 needs 300 spins (300 weights of 1 bit); solver=exact enumerates at most 24 spins")
    unknown = found_or_note(bench_solvers.solved, Task([*SMALL, "solver.num_sweeps=3"], None, 0, 1), "exact")["note"]
    assert unknown.startswith("no setting 'solver.num_sweeps'")


def test_a_chip_is_emulated_where_there_is_no_token(monkeypatch, tmp_path):
    pytest.importorskip("dwave.system", reason="the dwave extra is not installed")
    from annealtrain.solvers.dwave import qpu, quantum_annealing

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    (tmp_path / "no_token").touch()
    monkeypatch.setenv("DWAVE_CONFIG_FILE", str(tmp_path / "no_token"))
    monkeypatch.setitem(qpu.MOCKS, "pegasus", [4])
    chips, make = [], quantum_annealing.emulated
    monkeypatch.setattr(quantum_annealing, "emulated", lambda *given: chips.append(given[0]) or make(*given))
    task = Task([*SMALL, "bits=1"], None, 1, 1)
    assert found_or_note(bench_solvers.solved, task, "dwave")["note"].startswith("solver=dwave has no API token")
    result, exact = (
        found_or_note(bench_solvers.solved, task, "dwave, emulated"),
        found_or_note(bench_solvers.solved, task, "exact"),
    )
    assert chips == ["pegasus"]
    np.testing.assert_allclose(result["energies"], exact["energies"], rtol=1e-9)  # 500 reads of eight spins


def test_openjij_is_a_row_or_said_to_be_missing(monkeypatch):
    openjij = pytest.importorskip("openjij", reason="the bench extra is not installed")
    seen, sample = [], openjij.SASampler.sample

    @functools.wraps(sample)
    def recorded(self, bqm, **given):
        seen.append(given)
        return sample(self, bqm, **given)

    monkeypatch.setattr(openjij.SASampler, "sample", recorded)
    task = Task([*SMALL, "annealing.num_sweeps=3"], None, 1, 2)
    assert found_or_note(bench_solvers.solved, task, "dimod, OpenJij")["energies"].shape == (2, 10)
    assert [given["num_sweeps"] for given in seen] == [3] * 20  # those of annealing.num_sweeps
    monkeypatch.setattr(bench_solvers, "find_spec", lambda name: None)
    assert found_or_note(bench_solvers.solved, task, "dimod, OpenJij") == {
        "note": "OpenJij is not installed: pip install 'annealtrain[bench]'"
    }


def test_names_are_those_of_the_group_and_the_users_own(tmp_path):
    (tmp_path / "solver").mkdir()
    (tmp_path / "solver" / "aaa.yaml").write_text("# mine\n")
    names = solver_names(None)
    assert {"sa", "sqa", "exact", "itemc", "dwave", "dwave, emulated", "dimod, OpenJij"} <= set(names)
    assert solver_names(str(tmp_path)) == ["aaa", *names]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layer=one"], "layer=one is not a whole number"),
        (["layer=2"], "layer 2: trainable layers are counted from 0 to 1"),
        (["--repeats=0"], "--repeats 0 is not a whole number of at least 1"),
        (["--timeout=0"], "--timeout 0.0 is not a number of seconds above 0"),
        (["solver=saa"], "solver=saa is not known; did you mean"),
    ],
)
def test_refusals(refused, arguments, message):
    assert message in refused("bench", "solvers", *SMALL, *arguments)


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "x").write_text("x")
    with pytest.raises(InputError, match="is not empty: give --output another one"), new_folder(tmp_path):
        pass


def test_a_folder_is_taken_by_one_at_a_time(tmp_path):
    new = tmp_path / "a" / "b"
    with new_folder(new):
        assert new.is_dir()
    assert list(tmp_path.iterdir()) == []  # nothing came of it
    second = "from pathlib import Path\nfrom annealtrain.commands.new_folder import new_folder\n"
    second += f"with new_folder(Path({str(new)!r})): print('both')"
    with new_folder(new):
        words = [sys.executable, "-c", second]
        other = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert "another process is at work" in other.stderr.readline()
        (new / "laps.csv").write_text("1")
    out, err = other.communicate(timeout=LIMIT_S)
    assert "both" not in out
    assert "is not empty: give --output another one" in err
    assert [path.name for path in new.iterdir()] == ["laps.csv"]


def test_only_solvers_are_compared(refused):
    assert "invalid choice: 'models'" in refused("bench", "models")


def test_a_folder_that_takes_no_file_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_solvers, "ready", None)  # it would be called
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*/file/new/.* \(.*\): give --output another name"):
        bench_solvers.bench_solvers(SMALL, None, 1, 1, tmp_path / "file" / "new")
