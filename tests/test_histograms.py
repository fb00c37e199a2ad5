"""Histograms of weights in a run's folder: their rows, how a run goes on with them, and what is drawn of them."""

from pathlib import Path

import numpy as np
import pytest
from conftest import composed, table
from run_folders import META, damaged, layers, row

from annealtrain.errors import InputError
from annealtrain.experiment.config import config_hash
from annealtrain.reports import style, weight_plots
from annealtrain.runs import contents
from annealtrain.runs.checkpoint import LAST
from annealtrain.runs.histograms import rows_of
from annealtrain.runs.recorder import RunRecorder

NAME = contents.HISTOGRAMS


def test_every_weight_is_in_a_bin() -> None:
    weights = np.array([[-0.5, 0.0, 0.24], [0.25, 0.5, -0.1]])
    rows = rows_of(3, [weights, np.zeros((1, 2))], 4)
    assert [tuple(each.values()) for each in rows[:4]] == [
        (3, 0, 0, -0.5, -0.25, 1),
        (3, 0, 1, -0.25, 0.0, 1),
        (3, 0, 2, 0.0, 0.25, 2),
        (3, 0, 3, 0.25, 0.5, 2),
    ]
    assert [each["weights"] for each in rows[4:]] == [0, 0, 2, 0]
    assert (rows[4]["low"], rows[-1]["high"]) == (-1, 1)


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e300, -1e-320])
def test_weights_of_no_size_are_left_out(odd: float) -> None:
    counts = [each["weights"] for each in rows_of(1, [np.array([[odd, 0.5, 0.1]])], 3)]
    assert sum(counts) == (3 if abs(odd) < 1 else 2)
    edges = rows_of(1, [np.full((1, 2), odd)], 3)
    assert (edges[0]["low"], edges[-1]["high"]) == (-1, 1)


def recorded(folder: Path, epochs: range, *, resume: bool = False) -> RunRecorder:
    record = RunRecorder(folder, bins=5)
    record.begin("bits: 3\n", META, resume=resume)
    for epoch in epochs:
        record.save(row(epoch), [{"epoch": epoch, "layer": 0}] if epoch else [], layers(epoch))
    return record


def test_a_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    parted.mkdir()
    recorded(whole, range(4)).finish({})
    recorded(parted, range(2))
    last = (parted / LAST).read_bytes()
    recorded(parted, range(2, 3), resume=True)
    (parted / LAST).write_bytes(last)  # killed between the rows of epoch 2 and its checkpoint
    result = recorded(parted, range(2, 4), resume=True).finish({})
    assert (parted / NAME).read_bytes() == (whole / NAME).read_bytes()
    assert NAME in result["checksums"]
    assert [int(each["epoch"]) for each in table(parted / NAME)] == [e for e in range(4) for _ in range(10)]


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    recorded(tmp_path, range(3))
    path, text = tmp_path / NAME, (tmp_path / NAME).read_text()
    first = text.splitlines()[1]
    for bad in ("0,0,0,1.0,0.5,2", "0,0,0.5,0.0,0.5,2", "0,0,0,0.0,inf,2", "0,0,0,0.0,0.5,-1", "5,0,0,0.0,0.5,2"):
        path.write_text(text.replace(first, bad, 1))
        damaged(path, contents.read_histograms)
    path.write_text(text.replace("low", "down"))
    damaged(path, contents.read_histograms)
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("1,")))
    with pytest.raises(InputError, match=rf"{NAME} lacks epochs of its checkpoint"):
        recorded(tmp_path, range(0), resume=True)


def test_a_run_without_them_is_as_before() -> None:
    plain = composed("model=linear_small")
    older = {name: value for name, value in plain.items() if name != "weight_histograms"}
    assert plain["weight_histograms"] == 0
    assert config_hash(plain) == config_hash(older)
    assert config_hash(plain | {"weight_histograms": 9}) != config_hash(plain)


def test_a_run_with_them_is_drawn(cli, tmp_path: Path) -> None:
    small = ("model=two_linear_small", "samples=40", "validation=20", "epochs=2", "threads=1", "bits=2")
    assert cli("train", *small, "weight_histograms=7", "hydra.run.dir=run").code == 0
    assert cli("eval", "run").code == 0
    rows = contents.read_histograms(tmp_path / "run" / NAME)
    assert len(rows) == 3 * 2 * 7
    shown = cli("plot", "run").out.split()
    assert shown == [f"run/{name}.{kind}" for name in ("run", "weights") for kind in ("png", "pdf")]
    with style.styled():
        axes = weight_plots.drawn(rows).axes
        assert len(axes) == 4
        held = np.load(tmp_path / "run" / LAST)
        values, edges = axes[3].patches[1].get_data()[:2]
        assert np.nansum(values * np.diff(edges)) == pytest.approx(1)
        assert edges[-1] == pytest.approx(np.abs(held["weights_1"]).max())
    assert cli("report", "run").code == 0
    assert (tmp_path / "run" / "report.html").read_text().count("<img") == 2
