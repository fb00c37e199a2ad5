"""The jobs of a sweep: each goes on where it was, keeps its own error, and leaves one line; their sum at the end."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from annealtrain.commands.progress import accuracies
from annealtrain.errors import InputError
from annealtrain.reports import paper
from annealtrain.runs import lock, recorder, tables
from annealtrain.runs.collection import STATUS
from annealtrain.runtime import files

log = logging.getLogger(__name__)
FAILED = "failed"
FIXED = "sweep.json"  # in a sweep's folder: the settings that its jobs share
INDIFFERENT = ("data_dir", "sweep/launcher", "threads", "progress", "resume")  # leave the numbers alone
MOST_SEEDS = 10_000
UNNAMED = ("sweep", *INDIFFERENT)  # never part of a job's folder name


class Watch(Callback):
    """Told by Hydra where a sweep's jobs will lie, and whether this screen shows their lines; forgets old ones."""

    folder: Path | None = None
    is_shown = True

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        Watch.folder = Path(config.hydra.sweep.dir)
        Watch.is_shown = "submitit" not in config.hydra.launcher._target_  # it sends what a job prints to its own log
        for status in Watch.folder.rglob(STATUS):
            status.unlink()


def run_job(name: str, folder: Path, train: Callable[[], float]) -> float:
    """Return the score of a job, 0 if it failed; print its line and leave it in its folder.

    A traceback goes to the job's own log; Ctrl-C goes up and ends the sweep.
    """
    was_finished = (folder / recorder.RESULT).exists()
    try:
        score = train()
    except InputError as error:
        said = str(error).replace("hydra.run.dir", "hydra.sweep.dir")
        log.error("%s", said, exc_info=error.__cause__)  # such as an error in a module of the user's own
        score, outcome = 0.0, f"{FAILED}: {said}"
    except Exception as error:
        log.exception("this run failed")
        score, outcome = 0.0, f"{FAILED}: {type(error).__name__}: {' '.join(str(error).split())}"
    else:
        result = tables.read_json(folder / recorder.RESULT, "last")
        outcome = f"{accuracies(result['last'])}  {result['seconds']:.1f} s"
        outcome += "  (finished before)" if was_finished else ""
        outcome += f"  warning: {result['warning']}" if result.get("warning") else ""
    line = f"{name}  {outcome}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATUS).write_text(line + "\n")
    print(line, flush=True)
    return score


def conclude() -> int:
    """Print how the jobs of the sweep just run have ended; return the exit code, 1 if one of them failed."""
    assert Watch.folder is not None
    lines = [path.read_text().rstrip() for path in sorted(Watch.folder.rglob(STATUS))]
    failed = [line for line in lines if f"  {FAILED}: " in line]
    if not Watch.is_shown:
        print("\n".join(lines))
    print(f"{len(lines)} jobs, {len(failed)} failed; run folders: {Watch.folder}")
    if failed:
        print("\n".join(["failed, see train.log in each job's folder:", *(f"  {line}" for line in failed)]))
    return 1 if failed else 0


def check_fixed(folder: Path, overrides: Sequence[str], excluded: Sequence[str]) -> None:
    """Raise InputError if a sweep's folder was made with other settings that are the same in all its jobs.

    Folders of jobs are named by what varies, so that two sweeps could lie side by side unnoticed. overrides: of a job.
    excluded: the keys that are not part of its name.
    """
    words = dict(word.lstrip("+").split("=", 1) for word in overrides if "=" in word)
    fixed = {key: words[key] for key in sorted(words) if key in excluded and key not in INDIFFERENT}
    with lock.exclusive(folder, lambda: None):
        if not any(folder.rglob(recorder.META)):  # no job has begun
            content = json.dumps(fixed, indent=2) + "\n"
            files.write_atomically(folder / FIXED, content.encode(), "choose another hydra.sweep.dir")
    # Where there is none, an older version made the folder, and each run is held to its own settings alone.
    held = tables.read_json(folder / FIXED) if (folder / FIXED).exists() else fixed
    if different := [key for key in sorted(held.keys() | fixed) if held.get(key) != words.get(key)]:
        now, then = (
            " ".join(f"{key}={of[key]}" if key in of else f"no {key}=" for key in different) for of in (words, held)
        )
        raise InputError(f"sweep folder {folder} is of {then}, this sweep of {now}: choose another hydra.sweep.dir")


def figure_words(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a sweep with `sweep=figure figure=NAME seeds=N` spelled out: methods x seeds.

    A method= or seed= of the user's own narrows the figure. Raises InputError for a figure that the paper has not.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in arguments if "=" in word}
    if given.get("sweep") != "figure":
        return list(arguments)
    name, seeds = given.get("figure", ""), given.get("seeds", "10")
    if not name:
        raise InputError(f"sweep=figure needs a figure=NAME, one of {', '.join(paper.PAPER)}")
    paper.check_name(name)
    if not seeds.isdecimal() or len(seeds) > 5 or not 1 <= int(seeds) <= MOST_SEEDS:
        raise InputError(
            f"seeds={seeds} is not a whole number of at least 1 and at most {MOST_SEEDS}, as each is a run"
        )
    words = {
        "experiment": name,
        "method": ",".join(paper.methods(name, has_qpu=_has_qpu(name) if "method" not in given else False)),
        "seed": f"range({seeds})",
        "hydra.sweep.dir": f"outputs/figures/{name}/runs",
    }
    own = [word for word in arguments if word.partition("=")[0] not in ("figure", "seeds")]
    return [*own, *(f"{key}={value}" for key, value in words.items() if key not in given)]


def _has_qpu(name: str) -> bool:
    """Whether a figure that shows a quantum annealer finds an account for one."""
    if paper.QPU not in paper.PAPER[name].methods:
        return False
    from annealtrain.solvers.dwave.qpu import has_token

    return has_token()


def fixed_keys(arguments: Sequence[str]) -> list[str]:
    """Return the settings that are the same in all jobs of a sweep with these arguments.

    They are left out of the names of run folders; `check_fixed` holds the folder of the sweep to them.
    """
    words = [word for word in arguments if not word.startswith("-") and "=" in word]
    try:
        overrides = OverridesParser.create().parse_overrides(words)
    except OverrideParseException:  # Hydra will say so
        return []
    swept = {override.key_or_group for override in overrides if override.is_sweep_override()}
    named = any(override.key_or_group == "sweep" for override in overrides)
    if not swept and not named:
        return []
    is_figure = any(override.key_or_group == "sweep" and override.value() == "figure" for override in overrides)
    naming = {*swept, *(("method", "seed") if is_figure else ())}  # a figure's jobs are named by both, however few
    return [
        o.key_or_group for o in overrides if o.key_or_group not in naming and not o.key_or_group.startswith("hydra")
    ]
