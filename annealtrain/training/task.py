"""What a run learns: classes, or real numbers. What its outputs are fitted to, and how they are scored."""

from typing import Protocol

import numpy as np

from annealtrain.runtime.array_types import Array


class Task(Protocol):
    """The contract of the two."""

    def outputs(self, labels: Array, classes: int, amplitude: float) -> Array:
        """Return what outputs (Q, classes) float32 are fitted to for labels (Q, ...), as an optimizer scales them."""

    def scores(self, outputs: Array, labels: Array, amplitude: float) -> dict[str, float]:
        """Return the scores of outputs (Q, classes), by name."""


class Classification:
    """Outputs are fitted to amplitude x one-hot; the class of a sample is that of its largest output."""

    def outputs(self, labels: Array, classes: int, amplitude: float) -> Array:
        outputs = np.zeros((len(labels), classes), np.float32)
        outputs[np.arange(len(labels)), labels] = amplitude
        return outputs

    def scores(self, outputs: Array, labels: Array, amplitude: float) -> dict[str, float]:
        return {"accuracy": float((outputs.argmax(axis=1) == labels).mean())}


class Regression:
    """Outputs are fitted to amplitude x targets, which are standardised; scored in the targets' own units.

    unit: (T,) what one standard deviation of the training targets is. mse and r2 are means over the T targets.
    """

    def __init__(self, unit: Array) -> None:
        self.unit = unit

    def outputs(self, labels: Array, classes: int, amplitude: float) -> Array:
        scaled: Array = labels.astype(np.float32) * np.float32(amplitude)
        return scaled

    def scores(self, outputs: Array, labels: Array, amplitude: float) -> dict[str, float]:
        labels = labels.astype(np.float64)
        away = ((outputs.astype(np.float64) / amplitude - labels) ** 2).mean(axis=0)
        mse = float((away * self.unit**2).mean())
        return {"mse": mse, "rmse": float(np.sqrt(mse)), "r2": float(_r2(away, labels.var(axis=0)).mean())}


def _r2(away: Array, variance: Array) -> Array:
    """Return 1 - away / variance; of a constant target 1 where it is met and 0 where not, as scikit-learn does."""
    constant = np.where(away == 0, 1.0, 0.0)
    return np.where(variance > 0, 1 - away / np.where(variance > 0, variance, 1), constant)
