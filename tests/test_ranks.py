"""Processes that train one network together: the same weights as one process with the joined batch."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import finished, started

from annealtrain.runtime.ranks import ALONE, Ranks, current_ranks

HERE = Path(__file__).parent


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
