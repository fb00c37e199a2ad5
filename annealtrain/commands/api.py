"""annealtrain from Python: train a network, load a run, look at it, solve its Hamiltonians, put weights back.

import annealtrain

run = annealtrain.train("model=lenet", "dataset=digits", epochs=3, folder="runs/first")
run.metrics.plot(x="epoch", y="test_accuracy")
found = run.problem(layer=2).solve("neal")
run.set_unit(2, 3, found.weights[3, 0])
run.evaluate()
"""

import json
import logging
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.commands.hydra_app import remove_if_empty
from annealtrain.commands.train import train as run_training
from annealtrain.errors import InputError
from annealtrain.experiment import trust as trusting
from annealtrain.experiment import versions
from annealtrain.experiment.builder import Experiment, ready, solver_of
from annealtrain.experiment.compose import OWN, compose_config
from annealtrain.experiment.config import Config, read_config, saved_config, threads_of
from annealtrain.hamiltonian import layer_problem
from annealtrain.hamiltonian.grid import numbers
from annealtrain.reports import run_plots, style
from annealtrain.runs import collection, contents, scores, tables
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Row
from annealtrain.runtime.random_streams import Seed
from annealtrain.runtime.validation import Rule, check_all, is_whole, optional, reworded, shown, whole
from annealtrain.solvers.solver import Solver, SolveResult
from annealtrain.training.trainer import Trainer

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
MODULES = Rule(
    "a module's name, or a list of such names",
    lambda value: (
        isinstance(value, str) or (isinstance(value, Sequence) and all(isinstance(one, str) for one in value))
    ),
)
SEED = Rule(whole(0).words, lambda value: isinstance(value, np.random.SeedSequence) or whole(0).holds(value))


def train(
    *overrides: str, folder: str | PathLike[str] | None = None, config_dir: str | None = None, **settings: Any
) -> "Run":
    """Train a network and return its run.

    overrides: words as on the command line, "model=lenet", "annealing.num_sweeps=5". settings: the same for names
    without a dot, epochs=3. folder: of the run, made with those above it; None: a new one under outputs/, by date and
    time. A finished run of the same settings in it is returned as it is; an unfinished one is continued with
    resume=True. config_dir: a folder of YAML of your own. Ctrl-C keeps the epochs that are done.
    Raises InputError, a ValueError, in one line for what cannot be trained.
    """
    words = [_word(word) for word in (*overrides, *_words("", settings))]
    config = compose_config(words, config_dir)
    where = Path(folder) if folder is not None else Path("outputs") / f"{datetime.now():%Y-%m-%d/%H-%M-%S-%f}"
    own = [f"--config-dir={config_dir}"] if config_dir else []
    try:
        Experiment(config)  # before a folder is made
        where.mkdir(parents=True, exist_ok=True)
        run_training(config, where, shlex.join(["annealtrain", "train", *own, *words]), tell=log.debug)
    except InputError as error:
        remove_if_empty(where)
        raise InputError(str(error).replace("another hydra.run.dir", "another folder")) from error
    except OSError as error:
        raise InputError(f"cannot use the folder {where} ({error.strerror}): choose another folder") from error
    return Run(where, trusting.named(config))


def _word(word: Any) -> str:
    if not isinstance(word, str) or word.startswith("-"):
        raise InputError(f"{shown(word)} is not a setting: write 'key=value', or key=value as an argument")
    if word.lstrip("+~").startswith(("hydra.", "hydra/", "sweep=", "sweep/")):
        raise InputError(f"{word} is for the command line: write folder=... for a run's place, and a loop for a sweep")
    return word


def _words(prefix: str, settings: Mapping[str, Any]) -> list[str]:
    """Return settings as words of the command line; those of a mapping under its name."""
    words = []
    for name, value in settings.items():
        if not prefix and name in OWN and isinstance(value, Mapping) and "_target_" in value:
            words += [f"{name}={OWN[name]}", *(f"++{word}" for word in _words(f"{name}.", value))]
        elif isinstance(value, Mapping) and value:
            words += _words(f"{prefix}{name}.", value)
        elif isinstance(value, str) and re.fullmatch(r"[\w./-]+", value):
            words.append(f"{prefix}{name}={value}")
        else:
            words.append(f"{prefix}{name}={json.dumps(value, default=_plain)}")
    return words


def _plain(value: Any) -> Any:
    """Return NumPy's numbers and arrays, and paths, as JSON has them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, PathLike):
        return str(value)
    raise InputError(f"{shown(value)} cannot be the value of a setting: give a number, a text, or a list of them")


def load(
    folder: str | PathLike[str], trust: str | Sequence[str] = (), data_dir: str | PathLike[str] | None = None
) -> "Run":
    """Return the run in a folder, finished or not; InputError where there is none.

    trust: modules of your own, ["my_solver"], whose objects the folder may name; it may come from others.
    data_dir: where its data are on this machine, if not where they were.
    """
    return Run(Path(folder), trust, data_dir)


class Run:
    """A run in its folder, and its network with the weights of the last epoch, which can be changed and scored.

    folder: as `annealtrain train` prints it at its end. Nothing is written to it. trust: see `load`.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        trust: str | Sequence[str] = (),
        data_dir: str | PathLike[str] | None = None,
    ) -> None:
        MODULES.check("trust", trust)
        self.folder, self._trust, self._data_dir = Path(folder), trust, data_dir
        self._files = collection.read_run(self.folder)

    def __repr__(self) -> str:
        shown = [f"{split}_{scores.kind(self._files.last)}" for split in scores.SPLITS]
        told = ", ".join(f"{name} {value:.4f}" for name, value in self._files.last.items() if name in shown)
        return f"Run({str(self.folder)!r}: {run_plots.headline(self._files)}; {self._files.state}, {told})"

    @property
    def config(self) -> Config:
        """Every setting of the run."""
        return read_config(self.folder)

    @property
    def result(self) -> Row | None:
        """What result.json holds: scores of the last and the best epoch, seconds; None for an unfinished run."""
        return self._files.result

    @property
    def metrics(self) -> "pandas.DataFrame":
        """A row an epoch, epoch 0 being the first weights: loss, accuracies, range L, energies, seconds by stage."""
        return self._table(contents.METRICS)

    @property
    def solves(self) -> "pandas.DataFrame":
        """A row for each layer and epoch: energies, bounds, predicted and actual change of the loss, statistics."""
        return self._table(contents.SOLVES)

    @property
    def weight_histograms(self) -> "pandas.DataFrame":
        """A row for each epoch, layer and bin: low, high and the weights between; empty where none are recorded."""
        return self._table(contents.HISTOGRAMS)

    def _table(self, name: str) -> "pandas.DataFrame":
        import pandas

        path = self.folder / name
        return pandas.DataFrame(tables.read_rows(path) if path.exists() else [])

    def plot(self) -> "Figure":
        """Return a figure of accuracies, loss, and what each layer's solves report; a notebook shows it."""
        with style.styled():
            from matplotlib.figure import Figure

            figure = run_plots.drawn(self._files)
            image = style.png(figure)

        def shown(_: Figure) -> bytes:
            return image

        figure.__class__ = type("Figure", (Figure,), {"_repr_png_": shown})  # whatever backend there is, or none
        return figure

    @cached_property
    def _trainer(self) -> tuple[Trainer, int]:
        with versions.told(self.folder):
            config = saved_config(self.folder, self._trust, data_dir=self._data_dir)
            found: tuple[Trainer, int] = self._threaded(ready, config, self.folder)
            return found

    def _threaded(self, job: Any, *arguments: Any) -> Any:
        with thread_pool.threads(threads_of(self.config)):
            return job(*arguments)

    @property
    def num_layers(self) -> int:
        """How many trainable layers the network has; they are counted from 0."""
        return len(self._trainer[0].network.trainable)

    def weights(self, layer: int) -> np.ndarray:
        """Return a copy of a layer's present weights, (units, weights a unit)."""
        weights: np.ndarray = self._layer(layer).weights.copy()
        return weights

    def set_weights(self, layer: int, weights: Any) -> None:
        """Give a layer other weights (units, weights a unit), in this object alone; ValueError for another shape."""
        self._layer(layer).weights = _finite(weights, self._layer(layer).weights.shape)

    def set_unit(self, layer: int, unit: int, weights: Any) -> None:
        """Give one unit of a layer other weights (weights a unit,), in this object alone."""
        held = self.weights(layer)
        if not (is_whole(unit) and 0 <= unit < len(held)):
            raise InputError(f"unit {unit}: layer {layer} has {len(held)} units, 0 to {len(held) - 1}")
        held[unit] = _finite(weights, held.shape[1:])
        self._layer(layer).weights = held

    def _layer(self, layer: int) -> Any:
        if not (is_whole(layer) and 0 <= layer < self.num_layers):
            raise InputError(f"layer {layer}: trainable layers are counted from 0 to {self.num_layers - 1}")
        return self._trainer[0].network.trainable[layer]

    def evaluate(self) -> Row:
        """Return the loss on the training samples, and the scores on each set, at the present weights."""
        found: Row = self._threaded(self._trainer[0].scores)
        return found

    def problem(self, layer: int = 0) -> "LayerProblem":
        """Return the Hamiltonians, one a unit, that the run's next epoch would solve in a layer at its present weights.

        Their weights are the layer's own, S0 the present ones, whatever the optimizer: solutions go to `set_unit`.
        """
        self._layer(layer)
        trainer, epochs = self._trainer
        epoch = min(epochs, trainer.epochs - 1)
        problem = self._threaded(trainer.next_problem, layer, epoch)
        if trainer.optimizer.solves_for_changes:
            problem = problem.around(self.weights(layer))
        return LayerProblem.of(problem)


class LayerProblem(layer_problem.LayerProblem):
    """The Hamiltonians of a layer, one a unit: `from_rows` or `from_moments` make one, `solve` finds low energies."""

    @classmethod
    def of(cls, problem: layer_problem.LayerProblem) -> "LayerProblem":
        """Return the same problem with `solve`."""
        made = cls.__new__(cls)
        made.__dict__ = problem.__dict__
        return made

    @reworded({"solver.": "", "layer 0": "this problem"})
    def solve(
        self, solver: str | Solver = "sa", *, seed: Seed = 0, threads: int | None = None, **settings: Any
    ) -> SolveResult:
        """Return what a solver finds for all units, best read first.

        solver: a name of the group `solver`, such as "sa", "neal", "exact", with its settings, num_sweeps=200; or an
        object. threads: None takes all cores; the result is the same. Calls from several threads at once know nothing
        of each other.
        Raises InputError for what the solver does not take, and for work beyond the memory at hand or beyond days.
        """
        check_all({"threads": threads, "seed": seed}, {"threads": optional(thread_pool.COUNT), "seed": SEED})
        if isinstance(solver, str):
            words = [f"solver={solver}", *_words("solver.", settings)]
            solver = solver_of(compose_config(words, None))
        elif not isinstance(solver, Solver):
            raise InputError(f"{shown(solver)} is not a solver: give its name, such as 'sa', or an object")
        elif settings:
            raise InputError(f"{', '.join(settings)}: a solver that is given as an object has its settings already")
        solver.check(bits=self.bits, weights=[self.num_weights])
        with thread_pool.threads(threads or thread_pool.available_threads()):
            return solver.resolve_schedules(0, 1).solve(self, seed=seed)


def _finite(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = numbers("weights", values).copy()
    if array.shape != shape:
        raise InputError(f"weights of shape {array.shape}: give {shape}")
    if not np.isfinite(array).all():
        raise InputError(f"weights hold {array[~np.isfinite(array)][0]}: all must be finite numbers")
    return array
