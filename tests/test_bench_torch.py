"""The benches of torch modules on a few digits: what they write, and what they leave out the second time."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")

from bench import torch_optimizers, torch_path, torch_rivals
from bench.results import Results

TINY = ["--model=vit_tiny", "model.depth=1", "model.width=8", "model.heads=2"]
SMALL = ["dataset=digits", "threads=1", "validation=40", "batch_size=20"]


def test_each_rival_is_tuned_and_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grids = {name: {key: values[-1:] for key, values in grid.items()} for name, grid in torch_optimizers.GRIDS.items()}
    monkeypatch.setattr(torch_optimizers, "GRIDS", grids)
    names, output = ["kronecker", "muon"], tmp_path / "rivals.jsonl"
    given = [f"--output={output}", f"--optimizers={','.join(names)}", "--samples=40", "--epochs=1", *SMALL, *TINY]
    for stage, count in (("tune", 2), ("tune", 2), ("final", 4), ("final", 4)):
        torch_rivals.main([stage, *given])
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert [row["optimizer"] for row in rows] == [*names, *names][:count]
    assert all(row["epochs_done"][0].keys() == {"epoch", "val_accuracy"} for row in rows[:2])
    assert all(0 <= row["epochs_done"][0]["test_accuracy"] <= 1 for row in rows[2:])
    assert rows[2]["settings"] == {"half_range": 0.1, "eta": 3, "power": 0.5}
    capsys.readouterr()
    torch_rivals.main(["table", *given[:1]])
    assert capsys.readouterr().out.count("\nfinal vit_tiny") == 2


def test_a_file_of_results_has_what_it_was_given(tmp_path: Path) -> None:
    results = Results(tmp_path / "new" / "results.jsonl")
    assert results.rows == []
    results.add({"seed": 0, "settings": {"rate": 0.1}, "validation": 0, "accuracy": 0.5})
    assert results.has({"seed": 0, "settings": {"rate": 0.1}, "validation": 0})
    assert not results.has({"seed": 0, "settings": {"rate": 0.1}, "validation": 40})  # a run of other images
    assert not results.has({"seed": 0, "name": "a"})


def test_eight_settings_are_tried_of_each() -> None:
    for name in torch_optimizers.GRIDS:
        tried = list(torch_optimizers.grid(name))
        assert len(tried) == len({json.dumps(one) for one in tried}) == 8


def test_both_paths_are_the_same_training(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--models=two_linear_small", "--optimizers=kronecker", "--repeats=1", "epochs=2", "samples=100"]
    torch_path.main([*words, *SMALL])
    cells = [cell.strip() for cell in capsys.readouterr().out.splitlines()[-1].strip("|").split("|")]
    assert cells[:3] == ["two_linear_small", "kronecker", "0"]
    assert float(cells[3]) == pytest.approx(float(cells[4]), abs=0.01)
    assert float(cells[5]) == pytest.approx(float(cells[6]), rel=1e-2)
