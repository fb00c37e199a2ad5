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


@pytest.mark.parametrize("name", ["kronecker", "muon"])
def test_a_run_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    values = {"half_range": 0.03, "eta": 0.3, "power": 1} if name == "kronecker" else {"rate": 0.1, "decay": 0.01}
    more = [
        f"--optimizers={name}",
        f"--settings={json.dumps(values)}",
        "--samples=40",
        "--epochs=3",
        "batch_size=4",
        *SMALL[:-1],
        *TINY,
    ]
    write, lines = torch_rivals.Part.write, []

    def stop(part: torch_rivals.Part, trainer: torch_rivals.Trainer, rows: list[dict[str, float]]) -> None:
        write(part, trainer, rows)
        if len(rows) == 2:
            raise KeyboardInterrupt

    for is_stopped in (False, True):
        output = tmp_path / f"{is_stopped}.jsonl"
        if is_stopped:
            monkeypatch.setattr(torch_rivals.Part, "write", stop)
            with pytest.raises(KeyboardInterrupt):
                torch_rivals.main(["final", f"--output={output}", *more])
            monkeypatch.setattr(torch_rivals.Part, "write", write)
            assert not output.exists()
        torch_rivals.main(["final", f"--output={output}", *more])
        assert not list(tmp_path.glob("*.part"))
        lines.append(Results(output).rows[-1])
    (whole, again), trace = lines, [[[row[0], row[2]] for row in line["trace"]] for line in lines]
    assert len(whole["epochs_done"]) == 3
    assert whole["epochs_done"] == again["epochs_done"]
    assert trace[0] == trace[1] != []


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
