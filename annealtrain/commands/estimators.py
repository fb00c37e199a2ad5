"""Estimators for scikit-learn: a small network on tables of numbers, trained by annealing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from annealtrain.data.loader import Loader
from annealtrain.data.preprocessing import above_rounding
from annealtrain.hamiltonian.grid import numbers
from annealtrain.nn.layers import Linear
from annealtrain.nn.network import Network
from annealtrain.optimizers.gauss_newton import GaussNewton
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array, Row, plain
from annealtrain.runtime.validation import SEED, Rule, check_all, in_one_line, number, optional, reworded, whole
from annealtrain.schedule import ConstantSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.training.callback import Checkpoint
from annealtrain.training.task import Regression, Task
from annealtrain.training.trainer import Trainer

RULES = {
    "hidden": Rule(
        "a list of whole numbers of at least 1, one a hidden layer",
        lambda value: (
            isinstance(value, Sequence)
            and not isinstance(value, str | bytes)
            and all(whole().holds(units) for units in value)
        ),
    ),
    "epochs": whole(1, 100_000),
    "bits": whole(1, 16),
    "L": number(above=0),
    "num_sweeps": whole(),
    "ridge": number(0),
    "alpha": number(0, 1),
    "random_state": optional(SEED),
    "threads": optional(thread_pool.COUNT),
}
IN_WORDS = {"solver.": "", "half_range.first": "L", "optimizer.": ""}  # of settings of a run, here


class _Annealed(BaseEstimator):
    """What both estimators are: settings, standardised columns, and the training."""

    def __init__(
        self,
        hidden: Sequence[int] = (32,),
        *,
        epochs: int = 20,
        bits: int = 8,
        L: float = 0.1,
        num_sweeps: int = 5,
        ridge: float = 1e-2,
        alpha: float = 0.1,
        random_state: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.hidden, self.epochs, self.bits, self.L, self.num_sweeps = hidden, epochs, bits, L, num_sweeps
        self.ridge, self.alpha, self.random_state, self.threads = ridge, alpha, random_state, threads

    def _checked(self, X: Any, *y: Any, **how: Any) -> Any:
        """Return X, and y, as arrays that scikit-learn finds good, or say in one line what it says in several."""
        try:
            for name, values in zip("Xy", (X, *y), strict=False):
                if not issparse(values):  # scikit-learn says it in words of its own, which its tools look for
                    plain(name, values)
            return validate_data(self, X, *y, **how)
        except ValueError as error:
            raise ValueError(in_one_line(str(error))) from error

    def _train(self, X: Array, labels: Array, outputs: int, task: Task | None = None) -> None:
        X = X.astype(np.float64, copy=False)  # sums of short numbers lose digits, or go beyond what they hold
        self._mean = X.mean(axis=0)
        self._scale = above_rounding(X.std(axis=0), self._mean)
        seed, ends = self.random_state or 0, "leaky_relu" if task is None else "linear"
        layers = [Linear(units) for units in (*self.hidden, outputs)]
        self._network = Network(
            layers, (X.shape[1],), outputs, alpha=self.alpha, bias=True, output_activation=ends, seed=seed
        )
        solver = SimulatedAnnealing(self.num_sweeps)
        optimizer = GaussNewton(self.ridge, solver=solver, half_range=ConstantSchedule(self.L), bits=self.bits)
        sets = {"train": Loader(self._inputs(X), labels)}
        with thread_pool.threads(self.threads or thread_pool.available_threads()):
            Trainer(self._network, sets, optimizer, epochs=self.epochs, seed=seed, task=task).run(_Unheard())
        self.n_iter_ = self.epochs

    def _inputs(self, X: Array) -> Array:
        inputs: Array = ((X - self._mean) / self._scale).astype(np.float64)
        return inputs


class AnnealClassifier(ClassifierMixin, _Annealed):
    """A network of fully connected layers whose every step is an Ising Hamiltonian (see optimizers.gauss_newton).

    Columns are standardised, outputs fitted to one-hot targets; a row's class is that of its largest output.

    hidden: units of each hidden layer; () is a linear classifier. epochs: passes over all rows. bits: of a step, not of
    the network. L: how far a weight may go in the first step; what the steps achieve decides from there on.
    num_sweeps: of simulated annealing. ridge: adds ridge |W|^2 to the loss. alpha: negative slope of LeakyReLU.
    random_state: a whole number; None is 0: the same data give the same network. threads: None takes all cores; the
    result is the same.
    """

    @reworded(IN_WORDS)
    def fit(self, X: Any, y: Any) -> "AnnealClassifier":
        """Train on X (rows, columns), numbers, and y (rows,), classes of any kind; return this classifier.

        Raises ValueError for settings out of their limits, or data that are not such arrays.
        """
        check_all(self.get_params(), RULES)
        X, y = self._checked(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {self.classes_[0]}: a classifier needs at least 2")
        self._train(X, labels, len(self.classes_))
        return self

    def decision_function(self, X: Any) -> Array:
        """Return the outputs (rows, classes); of two classes their difference (rows,), above 0: the second."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        outputs = self._network.predict(self._inputs(X)).astype(np.float64)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict(self, X: Any) -> Array:
        """Return the class of each row, (rows,)."""
        found = self.decision_function(X)
        classes: Array = self.classes_[found.argmax(axis=1) if found.ndim == 2 else (found > 0).astype(int)]
        return classes


class AnnealRegressor(RegressorMixin, _Annealed):
    """The same network with linear outputs, fitted to standardised targets.

    hidden: units of each hidden layer; () is a linear model. epochs: passes over all rows. bits: of a step, not of
    the network. L: how far a weight may go in the first step; what the steps achieve decides from there on.
    num_sweeps: of simulated annealing. ridge: adds ridge |W|^2 to the loss. alpha: negative slope of LeakyReLU.
    random_state: a whole number; None is 0: the same data give the same network. threads: None takes all cores; the
    result is the same.
    """

    @reworded(IN_WORDS)
    def fit(self, X: Any, y: Any) -> "AnnealRegressor":
        """Train on X (rows, columns) and y (rows,) or (rows, targets), numbers; return this regressor.

        Raises ValueError for settings out of their limits, or data that are not such arrays.
        """
        check_all(self.get_params(), RULES)
        X, y = self._checked(X, y, multi_output=True, y_numeric=True)
        targets = numbers("y", y).reshape(len(X), -1)
        if not np.isfinite(targets).all():
            raise ValueError("y has values that are not finite")
        self._is_one, self._offset, unit = np.ndim(y) == 1, targets.mean(axis=0), targets.std(axis=0)
        self._unit = above_rounding(unit, self._offset)
        self._train(X, (targets - self._offset) / self._unit, targets.shape[1], Regression(self._unit))
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Array:
        """Return the targets of each row, as y was given: (rows,) or (rows, targets)."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        found: Array = self._network.predict(self._inputs(X)) * self._unit + self._offset
        return found[:, 0] if self._is_one else found


class _Unheard:
    """An observer that keeps nothing."""

    def epoch_done(self, row: Row, solves: list[Row], checkpoint: Checkpoint) -> None: ...

    def solving(self, epoch: int, layer: int, done: float) -> None: ...
