"""Processes that train one network together: the same weights as one process with the joined batch."""

import os
import socket
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from conftest import finished, process, started

from annealtrain.commands import together
from annealtrain.runtime.ranks import ALONE, Ranks, current_ranks

HERE = Path(__file__).parent


@pytest.mark.slow
def test_two_ranks_reach_the_weights_of_one(tmp_path):
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch has no torch.distributed")
    from two_ranks import all_of_them

    words = ["2", str(tmp_path / "store"), str(os.getpid()), str(tmp_path)]
    local = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    ranks = [
        started([sys.executable, str(HERE / "two_ranks.py"), str(rank), *words], tmp_path, **local) for rank in (0, 1)
    ]
    before = torch.get_num_threads()
    alone = all_of_them()
    torch.set_num_threads(before)
    for rank in ranks:
        outcome = finished(rank, timeout=100)
        assert outcome.code == 0, outcome
    with np.load(tmp_path / "0.npz") as one, np.load(tmp_path / "1.npz") as other:
        assert set(one) == set(alone)
        for name, values in alone.items():
            np.testing.assert_array_equal(one[name], other[name])
            np.testing.assert_allclose(one[name], values, atol=1e-5, rtol=1e-5, err_msg=name)


def torchrun(rank: int, words: list[str], folder: Path, port: int):
    """Start one of two processes as torchrun does."""
    variables = {"TORCHELASTIC_RUN_ID": "1", "RANK": str(rank), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
    return process(words, folder, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), **variables)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


WORDS = [
    *("train", "model=linear_small", "dataset=digits", "samples=100", "validation=20", "epochs=2", "batch_size=30"),
    *("optimizer=kronecker", "threads=1", "progress=false", "averaging=0.9"),
]


@pytest.mark.slow
def test_torchruns_processes_make_the_run_of_one(cli, tmp_path):
    pytest.importorskip("torch")
    port = free_port()
    ranks = [torchrun(rank, [*WORDS, "hydra.run.dir=two"], tmp_path, port) for rank in (0, 1)]
    assert cli(*WORDS, "hydra.run.dir=one").code == 0
    told = [finished(rank, timeout=100) for rank in ranks]
    assert [outcome.code for outcome in told] == [0, 0], told
    assert "last epoch (2)" in told[0].out
    assert not told[1].out
    one, two = (np.genfromtxt(tmp_path / name / "metrics.csv", delimiter=",", names=True) for name in ("one", "two"))
    np.testing.assert_allclose(two["train_loss"], one["train_loss"], rtol=1e-5)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["optimizer=gauss_newton"], "train together with optimizer=kronecker alone"),
        (["seed=0,1", "--multirun"], "torchrun gives one run several processes: start a sweep without it"),
    ],
)
def test_what_one_process_does_is_refused_with_several(words, told, refused, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(together, "group", lambda: nullcontext(together.Group()))
    small = [word for word in WORDS if not word.startswith(("optimizer", "averaging"))]
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
