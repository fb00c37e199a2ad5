"""The runs whose numbers a change of the code's shape must leave alone: those on the digits, see same_bits.py."""

import json
from pathlib import Path

import pytest
import same_bits


@pytest.mark.parametrize("name", same_bits.ON_DIGITS)
def test_a_run_is_the_same_to_the_last_bit(tmp_path: Path, name: str) -> None:
    known = json.loads(same_bits.STORE.read_text())
    if same_bits.machine() not in known:
        pytest.skip(f"no fingerprints are kept for {same_bits.machine()}: other BLAS kernels round otherwise")
    same_bits.run(name, tmp_path)
    assert same_bits.digest(tmp_path / name) == known[same_bits.machine()][name]


def test_a_fingerprint_tells_a_last_bit_and_forgets_times(tmp_path: Path) -> None:
    for name, text in (
        ("a", "epoch,L,run_s\n1,0.1,5\n"),
        ("b", "epoch,L,run_s\n1,0.1,6\n"),
        ("c", "epoch,L\n1,0.11\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)
    a, b, c = (same_bits.digest(tmp_path / name) for name in "abc")
    assert a == b != c
    assert same_bits.difference(tmp_path / "a", tmp_path / "b") is None
    assert same_bits.difference(tmp_path / "a", tmp_path / "c") == "metrics.csv, row 0, L: 0.1 and 0.11"
