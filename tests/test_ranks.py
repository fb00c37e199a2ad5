"""Processes that train one network together: the same weights as one process with the joined batch."""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from conftest import finished, started

from annealtrain.commands import together
from annealtrain.runtime.ranks import ALONE, Ranks, current_ranks

HERE = Path(__file__).parent


@pytest.mark.slow
def test_two_ranks_reach_the_weights_of_one(cli, tmp_path):
    """In a loop of one's own, in the runner's, and in a run of the command line."""
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch has no torch.distributed")
    from two_ranks import WORDS, all_of_them

    words = ["2", str(tmp_path / "store"), str(os.getpid()), str(tmp_path)]
    local = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    ranks = [
        started([sys.executable, str(HERE / "two_ranks.py"), str(rank), *words], tmp_path, **local) for rank in (0, 1)
    ]
    before = torch.get_num_threads()
    alone = all_of_them()
    torch.set_num_threads(before)
    assert cli(*WORDS, "hydra.run.dir=one").code == 0
    first, second = (finished(rank) for rank in ranks)
    assert (first.code, second.code) == (0, 0), (first, second)
    assert "last epoch (2)" in first.out
    assert not second.out
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert told[0] == told[1]  # whichever of them a user reads
    differ = "processes that train together differ: "
    bits, layers, shape, threads, data = told[0]
    assert bits == f"{differ}bits is 8 in the first and 7 in number 1: start all with the same"
    assert layers.startswith(f"{differ}layers is ['0', '3', '6'] in the first and ['3'] in number 1")
    assert shape.startswith(f"{differ}the shape of weight is (2, 3) in the first and (3, 3) in number 1")
    assert not threads
    assert data.startswith(f"{differ}the data is 20 training samples of checksum ")
    with np.load(tmp_path / "0.npz") as one, np.load(tmp_path / "1.npz") as other:
        assert set(one) == set(alone)
        for name, values in alone.items():
            np.testing.assert_array_equal(one[name], other[name])
            np.testing.assert_allclose(one[name], values, atol=1e-5, rtol=1e-5, err_msg=name)
    runs = [tmp_path / name for name in ("one", "two")]
    one, two = (np.genfromtxt(run / "metrics.csv", delimiter=",", names=True)["train_loss"] for run in runs)
    np.testing.assert_allclose(two, one, rtol=1e-5)
    assert {path.name for path in runs[0].iterdir()} == {path.name for path in runs[1].iterdir()}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["optimizer=gauss_newton"], "train together with optimizer=kronecker and grid=step alone"),
        (["optimizer=kronecker", "batch_size=1"], "a batch of 1 samples has not one for each of 2 processes"),
        (["seed=0,1", "--multirun"], "torchrun gives one run several processes: start a sweep without it"),
    ],
)
def test_what_one_process_does_is_refused_with_several(words, told, refused, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(together, "group", lambda: nullcontext(together.Group()))
    small = ["train", "model=linear_small", "dataset=digits", "samples=100", "epochs=1"]
    assert told in refused(*small, *words, "hydra.run.dir=one")
    assert not (tmp_path / "one").exists()


def test_one_process_is_alone():
    assert current_ranks() is ALONE
    arrays = [np.ones(3), np.zeros((2, 2))]
    assert ALONE.sums(arrays)[0] is arrays[0]
    assert ALONE.from_owners(arrays, [0, 0])[1] is arrays[1]
    assert ALONE.gathered({1: "a"}) == {1: "a"}


def test_the_costliest_jobs_are_shared_out_first():
    ranks = Ranks()
    ranks.size = 3
    assert ranks.shared_out([1, 8, 2, 5, 2]) == [2, 0, 2, 1, 2]
    assert ALONE.shared_out([3, 1]) == [0, 0]
