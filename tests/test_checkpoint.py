"""Checkpoints: what they hold, and that a damaged one is refused."""

import zipfile
from pathlib import Path

import numpy as np
from conftest import weights
from run_folders import META, damaged, layers, row, started

from annealtrain.errors import InputError
from annealtrain.runs.checkpoint import BEST, LAST, read_checkpoint
from annealtrain.runs.recorder import RunRecorder


def test_checkpoints_hold_weights_and_epoch_and_nothing_to_run(tmp_path: Path) -> None:
    started(tmp_path, 3)
    for name, epoch in ((LAST, 3), (BEST, 1)):
        with np.load(tmp_path / name, allow_pickle=False) as held:
            assert set(held.files) == {"epoch", "weights_0", "weights_1"}
        arrays, found = read_checkpoint(tmp_path / name)
        assert found == epoch
        assert all(a.tobytes() == b.tobytes() for a, b in zip(arrays, layers(epoch), strict=True))


def test_more_than_ten_layers_keep_their_order(tmp_path: Path) -> None:
    record = RunRecorder(tmp_path)
    record.begin("", META, resume=False)
    record.save(row(0), [], [np.full((1, 1), float(k)) for k in range(12)])
    assert [int(a[0, 0]) for a in read_checkpoint(tmp_path / LAST)[0]] == list(range(12))


def test_damaged_checkpoints(tmp_path: Path) -> None:
    started(tmp_path, 1)
    path = tmp_path / LAST
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        damaged(path, read_checkpoint)
    path.write_bytes(b"\x80\x04N.")  # a pickle
    damaged(path, read_checkpoint)
    np.savez(path, weights_0=np.zeros(3))
    assert "epoch" in damaged(path, read_checkpoint)
    np.savez(path, weights_1=np.zeros(3), epoch=np.int64(1))
    assert "weights_0" in damaged(path, read_checkpoint)
    np.savez(path, weights_0=np.array([{}], dtype=object), epoch=np.int64(1))
    assert "it does not hold arrays of numbers alone" in damaged(path, read_checkpoint)
    for epoch in (2**62, -1, 1.5, "1", [1, 2]):
        np.savez(path, weights_0=np.zeros(3), epoch=epoch)
        assert "epoch is no whole number" in damaged(path, read_checkpoint)
    for wrong in (np.array(["a"]), np.zeros(2, bool), np.zeros(2, complex)):
        np.savez(path, weights_0=wrong, epoch=np.int64(1))
        assert "its weights are no numbers" in damaged(path, read_checkpoint)
    np.savez_compressed(path, weights_0=np.zeros(10**6), epoch=np.int64(1))  # a thousand times smaller
    assert "it is packed" in damaged(path, read_checkpoint)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    damaged(path, read_checkpoint)
    path.unlink()
    damaged(path, read_checkpoint)


def test_a_checkpoint_with_a_wrong_byte_is_never_something_else(tmp_path: Path) -> None:
    started(tmp_path, 1)
    path = tmp_path / LAST
    whole, held = path.read_bytes(), weights(path)
    random = np.random.default_rng(0)
    found = set()
    for position in random.choice(len(whole), 300, replace=False):
        wrong = bytearray(whole)
        wrong[position] ^= 1 << int(random.integers(8))
        path.write_bytes(wrong)
        try:
            arrays, epoch = read_checkpoint(path)
        except InputError:
            found.add("refused")
            continue
        # The byte was one that no reader looks at, such as the date in the zip.
        assert (epoch, [a.tobytes() for a in arrays]) == (1, [held[f"weights_{k}"][2] for k in range(2)])
        found.add("the same")
    assert found == {"refused", "the same"}


def test_checkpoints_are_plain_zips_that_others_can_read(tmp_path: Path) -> None:
    started(tmp_path, 1)
    with zipfile.ZipFile(tmp_path / LAST) as archive:
        assert archive.testzip() is None
