"""The HTML page: it needs nothing beside itself, holds what the files hold, and opens in a real browser."""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import LIMIT_S, SMALL, table
from run_folders import write_run

from annealtrain.errors import InputError
from annealtrain.reports import html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Collects cells, sources and open tags of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def read(path: Path) -> Page:
    """Return a page whose tags are closed and whose pictures are in it."""
    page = Page(path)
    assert page.open == []
    for address in page.addresses:
        kind, _, data = address.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    assert not re.search(r"https?://|<script|@import|url\(", page.text)
    return page


def test_page_of_a_run(cli: Callable, tmp_path: Path) -> None:
    cli("train", *SMALL, "hydra.run.dir=run")
    outcome = cli("report", "run")
    assert (outcome.code, outcome.out, outcome.err) == (0, "run/report.html\n", "")
    page = read(tmp_path / "run" / "report.html")
    assert len(page.addresses) == 1
    last = table(tmp_path / "run" / "metrics.csv")[-1]
    for name in ("train_accuracy", "val_accuracy", "test_accuracy"):
        assert f"{float(last[name]):.4f}" in page.cells
    meta = json.loads((tmp_path / "run" / "meta.json").read_text())
    assert f"<pre>{meta['command']}</pre>" in page.text
    assert {meta["config_hash"], meta["packages"]["numpy"], "two_linear_small", "hydra-core"} <= set(page.cells)
    assert page.cells.count("annealing.num_sweeps") == 1
    assert cli("train", *SMALL, "hydra.run.dir=run").code == 0  # the page does not make it another folder


def test_page_of_a_sweep(tmp_path: Path) -> None:
    for bits in (3, 4):
        for seed in (0, 1):
            write_run(tmp_path / f"bits={bits},seed={seed}", bits=bits, seed=seed, shift=bits / 100)
    (tmp_path / "foreign <b>").mkdir()
    (tmp_path / "foreign <b>" / "notes.txt").write_text("mine")
    page = read(html.write_report(tmp_path))
    assert len(page.addresses) == 3  # validation and test accuracy, training loss; no run has another metric
    assert page.cells[:4] == ["bits", "runs", "val last", "test last"]
    assert {"0.6300 +- 0.0000", "0.6400 +- 0.0000"} <= set(page.cells)
    assert "foreign &lt;b&gt; is not a run folder" in page.text
    assert page.text.count("<details>") == 4
    assert "epochs" in page.cells
    assert page.cells.count("bits") == 1  # it varies, and so is no shared setting
    assert html.write_report(tmp_path).read_text(encoding="utf-8") == page.text


def test_a_sweep_is_made_with_what_its_runs_were_made_with(tmp_path: Path) -> None:
    for seed, numpy in ((0, "2.1"), (1, "2.2"), (2, "2.1")):
        own = {"seed": seed, "config_hash": f"hash{seed}", "started_at": f"time{seed}"}
        common = {"annealtrain": "0.1.0", "python": "3.11.7", "cores": 2, "packages": {"numpy": numpy, "scipy": "1.17"}}
        (write_run(tmp_path / str(seed), seed=seed) / "meta.json").write_text(json.dumps(own | common))
    made = read(html.write_report(tmp_path)).text.partition("Made with")[2]
    cells = re.findall("<td>(.*?)</td>", made)
    assert cells == ["annealtrain", "0.1.0", "python", "3.11.7", "cores", "2", "numpy", "2.1, 2.2", "scipy", "1.17"]


def test_classes_are_shown_by_their_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    legends = []
    monkeypatch.setattr(Figure, "legend", lambda self, **_: legends.append(self.axes[0].get_legend_handles_labels()[1]))
    for solver in ("anneal.SimulatedAnnealing", "classical.CoordinateDescent"):
        write_run(tmp_path / solver, solver={"_target_": f"annealtrain.solvers.{solver}"})
    html.write_report(tmp_path)
    assert legends == [["solver SimulatedAnnealing", "solver CoordinateDescent"]] * 3
    page = read(html.write_report(tmp_path / "anneal.SimulatedAnnealing"))
    assert page.cells[page.cells.index("solver") + 1] == "SimulatedAnnealing"


def test_the_command_of_a_sweep_makes_it_again(cli: Callable, tmp_path: Path) -> None:
    words = ["--multirun", *SMALL, "seed=0,1", "schedule.first=[0.1, 0.2]", "hydra.sweep.dir=a sweep"]
    assert cli("train", *words).code == 0
    command = html.sweep_command(tmp_path / "a sweep")
    assert command is not None
    assert shlex.split(command) == ["annealtrain", "train", *words]
    assert f"<pre>{escape(command)}</pre>" in read(html.write_report(tmp_path / "a sweep")).text
    again = cli(*shlex.split(command)[1:])
    assert again.code == 0
    assert again.out.count("(finished before)") == 2


def test_the_command_of_a_sweep_names_the_folder_of_own_yaml(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text(
        "layers:\n  - {_target_: annealtrain.nn.layers.Flatten}\n"
        "  - {_target_: annealtrain.nn.layers.Linear, out_features: 10}\n"
    )
    words = ["--config-dir=mine", *SMALL[1:], "model=mine", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert cli("train", "--multirun", *words).code == 0
    command = html.sweep_command(tmp_path / "sweep")
    assert command is not None
    assert cli(*shlex.split(command)[1:]).out.count("(finished before)") == 2


@pytest.mark.parametrize("text", ["a: [", "hydra: null", "words"])
def test_a_sweep_whose_command_is_not_known(tmp_path: Path, text: str) -> None:
    write_run(tmp_path / "run")
    assert html.sweep_command(tmp_path) is None
    (tmp_path / "multirun.yaml").write_text(text)
    assert html.sweep_command(tmp_path) is None
    assert "To make it again" not in read(html.write_report(tmp_path)).text
    named = {"hydra": {"overrides": {"task": ["sweep=fig5b"], "hydra": ["hydra.mode=MULTIRUN"]}}}
    (tmp_path / "multirun.yaml").write_text(json.dumps(named))  # it has read SEEDS
    assert html.sweep_command(tmp_path) is None


def test_many_groups_are_drawn_in_part(tmp_path: Path) -> None:
    for bits in range(1, html.MOST_CURVES + 3):
        write_run(tmp_path / str(bits), bits=bits)
    assert "2 more groups are in the table only" in read(html.write_report(tmp_path)).text


def test_a_run_without_validation_images(tmp_path: Path) -> None:
    text = (write_run(tmp_path / "a", finished=False) / "metrics.csv").read_text().replace("val_accuracy", "other")
    for folder in (tmp_path / "a", write_run(tmp_path / "b", finished=False, seed=1)):
        (folder / "metrics.csv").write_text(text)
    assert "test last" in read(html.write_report(tmp_path)).cells
    read(html.write_report(tmp_path / "a"))


def test_runs_with_and_without_validation_images(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    for name, scores in (("b", "1.0,0.5"), ("c", ",")):
        folder = write_run(tmp_path / name, finished=False, bits=3)
        (folder / "metrics.csv").write_text(f"epoch,train_loss,test_accuracy\n0,{scores}\n1,{scores}\n")
    page = read(html.write_report(tmp_path))
    assert "test accuracy of each run" in page.text  # of a and b, whatever others have
    for name in ("a", "b", "c"):
        (tmp_path / name / "result.json").unlink(missing_ok=True)
        (tmp_path / name / "metrics.csv").write_text("epoch\n0\n")
    assert "No run has scores" in read(html.write_report(tmp_path)).text


def test_a_full_disk_leaves_the_page_that_was_there(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "report.html").write_text("whole")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for command, name in (("report", "report.html"), ("plot", "run.png"), ("collect", "runs.csv")):
        outcome = cli(command, "run")
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.startswith(f"annealtrain {command}: cannot write run/{name} (No space left on device): ")
    assert (tmp_path / "run" / "report.html").read_text() == "whole"
    assert not list(tmp_path.rglob("*.part"))


def test_text_of_a_setting_is_escaped(tmp_path: Path) -> None:
    page = read(html.write_report(write_run(tmp_path / "run", note="<script>alert(1)</script>")))
    assert "<script>alert(1)</script>" in page.cells


def test_a_report_of_many_runs_is_small_and_tells_how_far_it_is(tmp_path: Path) -> None:
    for seed in range(40):
        write_run(tmp_path / f"seed={seed}", seed=seed, shift=seed / 1000)
    told: list[str] = []
    page = html.write_report(tmp_path, told.append)
    assert [line.partition(" of ")[0] for line in told[1:]] == [
        f"drawing {name}" for name in ("validation accuracy", "test accuracy", "training loss")
    ]
    assert len(read(page).addresses) == 3  # as for four runs: what a run adds is its line
    assert page.stat().st_size < 500_000


def test_nothing_to_report(refused: Callable, tmp_path: Path) -> None:
    assert "there is no folder nowhere" in refused("report", "nowhere")
    with pytest.raises(InputError, match="no run with an epoch"):
        html.write_report(tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="no headless browser here: apt install chromium")
def test_the_page_opens_in_a_browser(tmp_path: Path) -> None:
    import matplotlib.image

    page = html.write_report(write_run(tmp_path / "run"))
    browser = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    shot = tmp_path / "page.png"
    call = [*browser, "--window-size=1000,1400", f"--screenshot={shot}", page.as_uri()]
    subprocess.run(call, check=True, capture_output=True, timeout=LIMIT_S)
    pixels = matplotlib.image.imread(shot)[..., :3]
    assert pixels.shape[:2] == (1400, 1000)
    assert pixels.std() > 0.05  # text and plots, not a blank or a broken page
    dom = subprocess.run(
        [*browser, "--dump-dom", page.as_uri()], check=True, capture_output=True, timeout=LIMIT_S, text=True
    )
    assert dom.stdout.count("<td>") == page.read_text().count("<td>")
