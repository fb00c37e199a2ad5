"""Runs as one tidy table, and the groups of its summary: told by what varies, as mean and spread over seeds."""

import json
from pathlib import Path
from statistics import mean, stdev

from conftest import table
from run_folders import write_run

from annealtrain.runs import collection, summary, tables


def test_the_tidy_table_has_a_row_an_epoch(tree: Path) -> None:
    rows = summary.tidy(collection.find(tree)[0])
    assert len(rows) == 4 * 3
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert list(rows[0])[:3] == ["run", "state", "seed"]
    assert [row["epoch"] for row in rows[:4]] == [0, 1, 2, 0]
    assert rows[0]["solver"] == "annealtrain.solvers.CoordinateDescent"
    tables.write_csv(tree / "runs.csv", rows)
    assert table(tree / "runs.csv")[0]["bias"] == "false"
    assert len(table(tree / "runs.csv")) == 12


def test_groups_are_told_by_as_few_settings_as_will_do(tmp_path: Path) -> None:
    for bits in (3, 4):
        for seed in (0, 1):
            # The schedule follows the bits and adds nothing; threads and the progress display are no settings.
            extra = {"schedule": {"first": bits / 10}, "threads": seed, "progress": bool(seed)}
            write_run(tmp_path / f"{bits}-{seed}", bits=bits, seed=seed, **extra)
    found = collection.find(tmp_path)[0]
    assert summary.varying(found) == ["bits"]
    assert {values: len(members) for values, members in summary.groups(found).items()} == {(3,): 2, (4,): 2}


def test_summary_holds_means_and_deviations_over_seeds(tree: Path) -> None:
    head, rows = summary.summary(collection.find(tree)[0])
    assert head == ["solver", "runs", "val last", "test last", "best val", "test at best val"]
    assert [row[0] for row in rows] == ["CoordinateDescent", "SimulatedAnnealing"]
    assert [row[1] for row in rows] == ["2 (1 unfinished)", "2"]
    last, best = [0.6, 0.62], [0.7, 0.72]
    assert rows[1][2] == f"{mean(last):.4f} +- {stdev(last):.4f}"
    assert rows[1][4] == f"{mean(best):.4f} +- {stdev(best):.4f}"
    assert rows[0][2].startswith("0.7100")


def test_spread() -> None:
    assert summary.spread([1.0, 2.0, None]) == "1.5000 +- 0.7071"
    assert summary.spread([1.0]) == "1.0000"
    assert summary.spread([None]) == ""


def test_a_group_is_told_by_its_optimizer_before_the_settings_that_follow_it(tmp_path: Path) -> None:
    for name, num_sweeps in (("pinv", 20), ("GaussNewton", 5)):
        own = {"annealing": {"num_sweeps": num_sweeps}, "optimizer": {"_target_": f"annealtrain.optimizers.x.{name}"}}
        write_run(tmp_path / name, **own)
    assert summary.varying(collection.find(tmp_path)[0]) == ["optimizer"]


def test_runs_on_other_samples_are_another_group(tmp_path: Path) -> None:
    """Whatever their folder is called; those of older versions, which tell no fingerprint, go by settings alone."""
    for name, seed, samples in (("a", 0, "11112222"), ("b", 1, "11112222"), ("c", 0, "33334444")):
        write_run(tmp_path / name, seed=seed, data_dir=f"/data/{name}")
        meta = json.loads((tmp_path / name / "meta.json").read_text())
        (tmp_path / name / "meta.json").write_text(json.dumps(meta | {"data": {"fingerprint": f"{samples}55556666"}}))
    found = collection.find(tmp_path)[0]
    assert summary.varying(found) == ["data"]
    sizes = {values: len(members) for values, members in summary.groups(found).items()}
    assert sizes == {("11112222",): 2, ("33334444",): 1}
    write_run(tmp_path / "d", seed=2)
    assert summary.varying(collection.find(tmp_path)[0]) == []
