"""A run's plots: which panels they have, what they draw, and what is said where there is nothing to draw."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import SMALL, finished, process
from run_folders import VALUES, write_run

from annealtrain.errors import InputError
from annealtrain.reports import run_plots, style
from annealtrain.runs import collection

DIAGNOSIS = ("predicted_change", "actual_change", "raised_share", "saturated_share", "target_cosine", "condition")


def write_solves(folder: Path, **columns: list[float]) -> None:
    """Write a solves.csv of two epochs and two layers, in this order."""
    rows = [{"epoch": e, "layer": k} for e in (1, 2) for k in (0, 1)]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value  # type: ignore[assignment]
    with open(folder / "solves.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def titles(run: collection.Run) -> list[str]:
    with style.styled():
        figure = run_plots.drawn(run)
        return [axis.get_title(loc="left") for axis in figure.axes if axis.get_visible()]


def test_a_panel_for_each_column_that_is_there(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert titles(collection.read_run(folder)) == [
        "accuracy (last epoch in the legend)",
        "training loss of the network",
    ]
    write_solves(folder, L=[0.1, 0.1, 0.01, 0.01], raised_share=[0.1, 0.9, 0.0, 1.0])
    assert titles(collection.read_run(folder))[2:] == ["range L", "share of updates that raised the loss"]
    known = {panel.column: [0.5, 0.6, 0.7, 0.8] for panel in run_plots.PANELS}
    assert set(DIAGNOSIS) < set(known)
    write_solves(folder, **known)
    assert titles(collection.read_run(folder))[2:] == [panel.title for panel in run_plots.PANELS]


def test_lines_hold_the_values_of_the_files(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    write_solves(folder, raised_share=[0.1, 0.9, 0.0, 1.0])
    with style.styled():
        figure = run_plots.drawn(collection.read_run(folder))
        accuracy, loss, raised = figure.axes[:3]
        lines = {line.get_label(): line.get_ydata() for line in accuracy.get_lines()}
        assert np.allclose(lines["validation 0.600"], VALUES)
        assert np.allclose(loss.get_lines()[0].get_ydata(), 1)
        assert [list(line.get_ydata()) for line in raised.get_lines()] == [[0.1, 0.0], [0.9, 1.0]]
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["layer 0", "layer 1"]
    assert plt.get_fignums() == []


def test_an_accuracy_of_zero_is_drawn(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", finished=False)
    (folder / "metrics.csv").write_text("epoch,train_loss,train_accuracy,test_accuracy\n0,1.0,0.0,\n1,nan,0.0,0\n")
    with style.styled():
        accuracy, loss = run_plots.drawn(collection.read_run(folder)).axes[:2]
        lines = {line.get_label(): line.get_xydata().tolist() for line in accuracy.get_lines()}
        assert lines == {"training 0.000": [[0, 0], [1, 0]], "test 0.000": [[1, 0]]}
        assert accuracy.get_ylim()[0] < 0
        assert loss.get_lines()[0].get_xydata().tolist() == [[0, 1]]


@pytest.mark.parametrize("huge", ["1.7e308", "5e-324", "inf", "9" * 400])
def test_numbers_that_no_axis_shows_are_left_out(tmp_path: Path, huge: str) -> None:
    folder = write_run(tmp_path / "run", finished=False)
    (folder / "metrics.csv").write_text(f"epoch,train_loss\n0,{huge}\n1,1.0\n2,2.0\n")
    (folder / "solves.csv").write_text(f"epoch,layer,L,predicted_change\n1,0,{huge},-{huge}\n2,0,1,1\n")
    with style.styled():
        figure = run_plots.drawn(collection.read_run(folder))
        loss, L, change = figure.axes[1:4]
        assert [axis.get_lines()[0].get_xydata().tolist() for axis in (loss, L, change)] == [
            [[1, 1], [2, 2]],
            [[2, 1]],
            [[2, 1]],
        ]
        style.png(figure)


def test_a_long_run_is_drawn_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, whole = [], run_plots.drawable
    monkeypatch.setattr(run_plots, "drawable", lambda value: looked.append(value) or whole(value))
    solves = [{"epoch": e, "layer": k, "L": e + k / 2} for e in range(1, 301) for k in range(3)]
    curves = run_plots._curves("L", solves[::-1])
    assert len(looked) == 900
    assert curves == {k: [(e, e + k / 2) for e in range(1, 301)] for k in range(3)}


def test_several_solves_of_a_layer_in_an_epoch_are_averaged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "solves.csv").write_text("epoch,layer,backtracks\n1,0,1\n1,0,2\n2,0,\n3,0,nan\n")
    with style.styled():
        figure = run_plots.drawn(collection.read_run(folder))
        assert figure.axes[2].get_lines()[0].get_xydata().tolist() == [[1, 1.5]]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("log", [1, 10], "log"),
        ("log", [1, 4], "linear"),
        ("log", [0, 10], "linear"),
        ("symlog", [-1, 1, 100], "symlog"),
        ("symlog", [-1, 1], "linear"),
        ("share", [0, 1], "linear"),
        ("count", [0, 0], "linear"),
        ("linear", [1, 1e9], "linear"),
    ],
)
def test_scales(kind: str, values: list[float], expected: str) -> None:
    with style.styled():
        figure, axis = plt.subplots()
        style.scale(axis, kind, values)
        assert axis.get_yscale() == expected
        plt.close(figure)


def test_headline_names_what_trains(tmp_path: Path) -> None:
    optimizer = {"_target_": "annealtrain.optimizers.layerwise.pinv"}
    run = collection.read_run(write_run(tmp_path / "run", bits=3, optimizer=optimizer))
    assert run_plots.headline(run) == "linear, pinv, SimulatedAnnealing, bits 3, seed 0"
    fixed = {"grid": "fixed", "bits": 8}
    run = collection.read_run(write_run(tmp_path / "grid", **fixed, levels=3, optimizer=optimizer))
    assert run_plots.headline(run) == "linear, pinv, SimulatedAnnealing, fixed grid, levels 3, seed 0"
    optimizer = {"_target_": "annealtrain.optimizers.backprop.Backpropagation"}
    run = collection.read_run(write_run(tmp_path / "straight", **fixed, levels=None, optimizer=optimizer, solver=None))
    assert run_plots.headline(run) == "linear, Backpropagation, fixed grid, bits 8, seed 0"
    folder = write_run(tmp_path / "other", finished=False, bits=3, optimizer=optimizer, solver=None)
    assert run_plots.headline(collection.read_run(folder)) == "linear, Backpropagation, seed 0 (epoch 2 of 2)"


def test_plot_of_a_real_run(cli: Callable, tmp_path: Path) -> None:
    cli("train", *SMALL, "hydra.run.dir=run")
    outcome = cli("plot", "run")
    assert (outcome.code, outcome.out) == (0, "run/run.png\nrun/run.pdf\n")
    first = (tmp_path / "run" / "run.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert (tmp_path / "run" / "run.pdf").read_bytes().startswith(b"%PDF")
    assert cli("plot", "run").code == 0
    assert (tmp_path / "run" / "run.png").read_bytes() == first
    assert cli("train", *SMALL, "hydra.run.dir=run").code == 0  # the plots do not make it another folder


def test_plot_refuses_in_one_line(refused: Callable, tmp_path: Path) -> None:
    assert "there is no folder nowhere" in refused("plot", "nowhere")
    (write_run(tmp_path / "run") / "metrics.csv").unlink()
    with pytest.raises(InputError, match="has no epoch yet"):
        run_plots.plot_run(tmp_path / "run")


def test_a_matplotlibrc_of_the_working_directory_is_not_read(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name / "run") for name in ("other", "pipe", "alone")]
    content = b"axes.facecolor: red\ntext.usetex: true\nlines.color: \xff\n"
    (tmp_path / "other" / "matplotlibrc").write_bytes(content)
    os.mkfifo(tmp_path / "pipe" / "matplotlibrc")  # which would be waited for
    for running in [process(["plot", "run"], run.parent) for run in runs[:2]]:
        outcome = finished(running)
        assert (outcome.code, outcome.err) == (0, "")
    run_plots.plot_run(runs[2])
    assert len({(run / "run.png").read_bytes() for run in runs}) == 1


def test_a_backend_that_there_is_not_is_told(tmp_path: Path) -> None:
    outcome = finished(process(["plot", str(write_run(tmp_path / "run"))], tmp_path, MPLBACKEND="nonsense"))
    assert outcome.code == 2
    said = "annealtrain plot: matplotlib cannot begin (Key backend: 'nonsense' is not a valid value for backend): "
    assert outcome.err == f"{said}mend MPLBACKEND, or your matplotlibrc\n"


@pytest.mark.parametrize("value", ["now", "-1", "9" * 30])
def test_a_date_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    with pytest.raises(InputError, match=f"SOURCE_DATE_EPOCH={value} is not a number of seconds: unset it"):
        style.load()
