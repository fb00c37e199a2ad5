"""The paper's figures: the levels they show, the tables behind them, what is drawn, and the command that makes them."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, table
from run_folders import VALUES, write_run

from annealtrain.errors import InputError
from annealtrain.reports import paper, paper_figures, style
from annealtrain.runs import collection

ROOT = Path(__file__).resolve().parents[1]


def sweep(folder: Path, *methods: str, seeds: int = 2) -> Path:
    """Write the runs of a figure: validation accuracies VALUES, .02 more a seed and .1 more a method."""
    for k, method in enumerate(methods):
        for seed in range(seeds):
            name = f"method={method},seed={seed}"
            write_run(folder / "runs" / name, method=method, seed=seed, shift=0.1 * k + 0.02 * seed)
    return folder


def test_every_figure_has_its_experiment_and_its_target_in_the_makefile() -> None:
    listed = re.search(r"^FIGURES := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)
    assert listed
    assert listed[1].replace("\\", "").split() == list(paper.PAPER)
    for name in paper.PAPER:
        assert (ROOT / "configs" / "experiment" / f"{name}.yaml").is_file()


def test_levels_are_accuracies_and_the_best_epoch_is_no_worse_than_the_last() -> None:
    for levels in paper.PAPER.values():
        assert 0.1 < levels.last <= levels.best < 1
        assert all(0.1 < level < 1 for level in [*levels.others.values(), levels.backprop or 0.5])


def test_curves_hold_a_row_an_epoch_in_the_order_of_the_methods(tmp_path: Path) -> None:
    rows = paper_figures.curves(collection.find(sweep(tmp_path, "difference", "pinv", "mine"))[0])
    assert tuple(rows[0]) == paper_figures.COLUMNS
    assert list(dict.fromkeys(row["method"] for row in rows)) == ["pinv", "difference", "mine"]
    assert [(row["seed"], row["epoch"]) for row in rows[:6]] == [(s, e) for s in (0, 1) for e in (0, 1, 2)]
    values = paper_figures.by_method(rows)
    assert np.allclose(values["difference"], [VALUES, np.add(VALUES, 0.02)])
    assert np.isnan(paper_figures.by_method(rows[:-1])["mine"][1, 2])


def test_what_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = paper_figures.curves(collection.find(sweep(tmp_path, "pinv", "difference"))[0])
    drawn, save = [], style.save
    monkeypatch.setattr(style, "save", lambda figure, path: (drawn.append(figure), save(figure, path)))
    paths = paper_figures.draw("fig5b", rows, tmp_path)
    assert [path.name for path in paths] == ["fig5b.png", "fig5b.pdf"]
    assert all(path.stat().st_size > 1000 for path in paths)
    figure = drawn[0]
    axis = figure.axes[0]
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert np.allclose(lines[paper.METHODS["pinv"].label].get_ydata(), np.add(VALUES, 0.01))
    heights = [line.get_ydata()[0] for line in axis.get_lines() if len(set(line.get_ydata())) == 1]
    assert np.allclose(sorted(heights), sorted([0.71, 0.81, 0.883, 0.889]))
    assert {text.get_text() for text in axis.texts} == {"paper: annealing .883", "paper: backprop. .889"}
    assert "Three linear layers" in axis.get_title(loc="left")


def test_labels_are_kept_apart() -> None:
    assert paper_figures.apart([0.1, 0.5], 0.1) == [0.1, 0.5]
    assert np.allclose(paper_figures.apart([0.1, 0.12, 0.13], 0.1), [0.1, 0.2, 0.3])


def test_a_figure_is_made_of_the_runs_at_hand(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "fig1a", "pinv", "difference")
    paths = paper_figures.make_figure("fig1a", folder, tmp_path / "reference", 10)
    assert [path.name for path in paths] == ["fig1a.png", "fig1a.pdf", "fig1a.csv", "fig1a.csv"]
    assert len(table(paths[2])) == len(table(paths[3])) == 12
    first = [path.read_bytes() for path in paths]
    assert [
        path.read_bytes() for path in paper_figures.make_figure("fig1a", folder, tmp_path / "reference", 10)
    ] == first
    lines = paper_figures.table(tmp_path / "reference").splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert lines[2:] == [
        "| fig1a | 2 | .827 / .821 | .710 / .610 (.014) |  | .810 / .710 (.014) |  | .800 |  |",
    ]
    paper_figures.make_figure("fig1a", sweep(tmp_path / "more", "itemc", "sqa"), tmp_path / "reference", 1)
    (line,) = paper_figures.table(tmp_path / "reference").splitlines()[2:]
    assert line == "| fig1a | 1 | .827 / .821 |  | `sqa` .800 / .700, `itemc` .700 / .600 |  |  | .800 |  |"


def test_the_table_that_is_kept_is_that_of_the_curves_that_are_kept() -> None:
    reference = ROOT / "outputs" / "reference"
    if not reference.is_dir():
        pytest.skip("outputs/reference is not part of a source archive")
    names = {path.stem for path in reference.glob("*.csv")}
    assert names == set(paper.PAPER)
    assert (reference / "table.md").read_text() == paper_figures.table(reference) + "\n"
    assert paper_figures.table(reference) in (ROOT / "docs" / "figures.md").read_text()
    for name in names:
        rows = table(reference / f"{name}.csv")
        assert tuple(rows[0]) == paper_figures.COLUMNS
        assert {row["method"] for row in rows} <= set(paper.METHODS)


def test_damaged_runs_are_not_drawn_over(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "fig1a", "pinv")
    (folder / "runs" / "method=pinv,seed=1" / "metrics.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="seed=1"):
        paper_figures.make_figure("fig1a", folder, tmp_path / "reference", 10)


def test_figure_of_the_command_line(cli: Callable, tmp_path: Path) -> None:
    methods = ["pinv", "difference"]
    small = ["dataset=digits", *SMALL, "annealing.beta=null", f"method={','.join(methods)}"]
    outcome = cli("figure", "fig2b", "--seeds", "2", *small)
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[-4:] == [
        "outputs/figures/fig2b/fig2b.png",
        "outputs/figures/fig2b/fig2b.pdf",
        "outputs/figures/fig2b/fig2b.csv",
        "outputs/figures/fig2b/reference/fig2b.csv",
    ]
    assert len(table(tmp_path / "outputs" / "figures" / "fig2b" / "reference" / "fig2b.csv")) == len(methods) * 2 * 3
    assert "| fig2b |" in (tmp_path / "outputs" / "figures" / "fig2b" / "reference" / "table.md").read_text()
    before = (tmp_path / "outputs" / "figures" / "fig2b" / "reference" / "fig2b.csv").read_bytes()
    again = cli("figure", "fig2b", "--seeds", "2", *small)
    assert again.out.count("finished before") == len(methods) * 2
    assert (tmp_path / "outputs" / "figures" / "fig2b" / "reference" / "fig2b.csv").read_bytes() == before
    failed = cli("figure", "fig2b", "--seeds", "2", *small, "samples=99999", "--output=other")
    assert failed.code == 1
    assert "fig2b.png" not in failed.out
    other = cli("figure", "fig2b", "--seeds", "2", *small, "bits=4")
    assert (other.code, "of bits=3, this sweep of bits=4" in other.err) == (2, True)


def test_a_figure_without_validation_images_is_of_the_test_images(tmp_path: Path) -> None:
    folder = tmp_path / "fig1a"
    for seed in (0, 1):
        run = write_run(folder / "runs" / f"method=pinv,seed={seed}", finished=False, method="pinv", seed=seed)
        (run / "metrics.csv").write_text(f"epoch,train_loss,test_accuracy\n0,1.0,0.{seed}\n1,1.0,0.5\n")
    (folder / "runs" / "latest").symlink_to("method=pinv,seed=1")
    paths = paper_figures.make_figure("fig1a", folder, tmp_path / "reference", 10)
    rows = paper_figures.read_curves(paths[-1])
    assert len(rows) == 4
    assert paper_figures.score(rows) == "test"
    assert paper_figures.by_method(rows)["pinv"].tolist() == [[0, 0.5], [0.1, 0.5]]
    assert ".500 / .500" in paper_figures.table(tmp_path / "reference")


def test_a_table_of_another_file_is_refused(tmp_path: Path) -> None:
    for text in ("method,seed,epoch\npinv,0,\n", "a\n1\n", "method,seed,epoch,val_accuracy\npinv,0,0,high\n"):
        (tmp_path / "fig1a.csv").write_text(text)
        with pytest.raises(InputError, match=r"fig1a\.csv is not what a figure writes"):
            paper_figures.table(tmp_path)


def test_seeds_that_no_run_has(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "fig1a", "pinv")
    with pytest.raises(InputError, match="raise --seeds"):
        paper_figures.make_figure("fig1a", folder, tmp_path / "reference", 0)


def test_figure_refuses_in_one_line(refused: Callable) -> None:
    assert "no figure 'fig5e'; did you mean 'fig" in refused("figure", "fig5e")
    assert "seeds=0 is not a whole number of at least 1" in refused("figure", "fig5b", "--seeds", "0")
    assert "--seeds: invalid int value: 'few'" in refused("figure", "fig5b", "--seeds", "few")


def test_a_figure_that_could_not_be_written_begins_no_run(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "outputs" / "reference" / "fig5b.csv").mkdir(parents=True)
    line = "cannot write outputs/reference/fig5b.csv (it is a folder): give another --output"
    assert line in refused("figure", "fig5b", "--seeds", "1")
    (tmp_path / "mine" / "figures" / "fig5b" / "runs").mkdir(parents=True)
    (tmp_path / "mine" / "figures" / "fig5b" / "runs" / "notes.txt").touch()
    line = refused("figure", "fig5b", "--output=mine")
    assert line.endswith("choose another --output")  # hydra.sweep.dir, which is the figure's own, would be refused
