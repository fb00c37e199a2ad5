"""The losses that Hamiltonians model: squared error, as in the paper, and cross-entropy.

Shapes: outputs and targets (Q, C). Losses are means over samples, sums over outputs. A Hamiltonian needs half the
second derivatives of a sample's loss by its outputs, a matrix F (C, C): the identity for squared error,
(diag(p) - p p') / 2 for cross-entropy, p the softmax. `probe` draws vectors s whose mean product s s' is F (for
cross-entropy with labels drawn from the model's own softmax, the Fisher matrix: Martens and Grosse,
arXiv:1503.05671), `root` gives a matrix B with B B' = F.
"""

import numpy as np
from scipy.special import expit, log_softmax, softmax

from annealtrain.runtime.array_types import Array


class Loss:
    """The contract of the two."""

    name = ""

    def value(self, outputs: Array, targets: Array) -> float:
        """Return the sum over samples of the loss, in float64."""
        raise NotImplementedError

    def values(self, outputs: Array, targets: Array) -> Array:
        """Return the loss of each sample, (Q,) float64."""
        raise NotImplementedError

    def gradient(self, outputs: Array, targets: Array, count: int) -> Array:
        """Return the derivatives of the sum over these samples / count by the outputs, (Q, C)."""
        raise NotImplementedError

    def probe(self, outputs: Array, random: np.random.Generator) -> Array:
        """Return random vectors (Q, C) whose mean product is F, in the outputs' dtype."""
        raise NotImplementedError

    def model(self, outputs: Array, targets: Array) -> "LossModel":
        """Return the loss to second order around these outputs."""
        raise NotImplementedError


class LossModel:
    """The quadratic model of a loss in its outputs, as they move.

    pull: (Q, C) float64, half the derivative of a sample's loss at the present place.
    """

    pull: Array

    def value(self) -> float:
        """Return the model's mean over samples."""
        raise NotImplementedError

    def move(self, changes: Array) -> None:
        """Move the outputs by changes (Q, C)."""
        raise NotImplementedError

    def weighted(self, derivatives: Array) -> Array:
        """Return B' b of derivatives b (Q, C, ...) of the outputs, whose sums of squares are then b' F b."""
        raise NotImplementedError


class SquaredError(Loss):
    """|outputs - targets|^2, Eq. (2)."""

    name = "squared_error"

    def value(self, outputs: Array, targets: Array) -> float:
        return float(((outputs - targets).astype(np.float64) ** 2).sum())

    def values(self, outputs: Array, targets: Array) -> Array:
        found: Array = ((outputs - targets).astype(np.float64) ** 2).sum(axis=1)
        return found

    def gradient(self, outputs: Array, targets: Array, count: int) -> Array:
        away = outputs - targets
        found: Array = away * away.dtype.type(2 / count)
        return found

    def probe(self, outputs: Array, random: np.random.Generator) -> Array:
        signs: Array = random.choice(np.array([-1, 1], np.float32), outputs.shape)
        return signs

    def model(self, outputs: Array, targets: Array) -> "LossModel":
        return SquaredModel(outputs, targets)


class SquaredModel(LossModel):
    """Squared error is its own model; its pull is the residual, outputs - targets."""

    def __init__(self, outputs: Array, targets: Array) -> None:
        self.pull = np.empty(outputs.shape)
        self.pull[:] = outputs - targets

    def value(self) -> float:
        return float((self.pull**2).sum() / len(self.pull))

    def move(self, changes: Array) -> None:
        self.pull += changes

    def weighted(self, derivatives: Array) -> Array:
        return derivatives


class CrossEntropy(Loss):
    """-sum targets . log softmax(outputs), targets being one-hot, or chances that add up to 1."""

    name = "cross_entropy"

    def value(self, outputs: Array, targets: Array) -> float:
        return float(self.values(outputs, targets).sum())

    def values(self, outputs: Array, targets: Array) -> Array:
        found: Array = -(targets * log_softmax(outputs.astype(np.float64), axis=-1)).sum(axis=-1)
        return found

    def gradient(self, outputs: Array, targets: Array, count: int) -> Array:
        away: Array = (softmax(outputs.astype(np.float64), axis=-1) - targets) / count
        return away.astype(outputs.dtype)

    def probe(self, outputs: Array, random: np.random.Generator) -> Array:
        chances = softmax(outputs.astype(np.float64), axis=-1)
        drawn = (random.random((*outputs.shape[:-1], 1)) > chances.cumsum(axis=-1)).sum(axis=-1)
        chances -= np.eye(outputs.shape[-1])[np.minimum(drawn, outputs.shape[-1] - 1)]
        found: Array = (chances * np.sqrt(0.5)).astype(outputs.dtype)
        return found

    def model(self, outputs: Array, targets: Array) -> "LossModel":
        return SoftmaxModel(self.value(outputs, targets) / len(outputs), outputs, targets)


class SoftmaxModel(LossModel):
    """Cross-entropy by its value, its gradient and its Gauss-Newton matrix at the outputs it starts from."""

    def __init__(self, value: float, outputs: Array, targets: Array) -> None:
        self.chances = softmax(outputs.astype(np.float64), axis=1)
        self.pull, self._value = (self.chances - targets) / 2, value

    def value(self) -> float:
        return self._value

    def move(self, changes: Array) -> None:
        curved = self._twice_F(changes) / 2
        self._value += float((changes * (2 * self.pull + curved)).sum()) / len(changes)
        self.pull += curved

    def _twice_F(self, changes: Array) -> Array:
        p = self.chances
        found: Array = p * (changes - (p * changes).sum(axis=1, keepdims=True))
        return found

    def weighted(self, derivatives: Array) -> Array:
        # B = (diag(sqrt p) - p sqrt(p)') / sqrt 2, as p adds up to 1: B' b = sqrt(p) (b - p.b) / sqrt 2.
        p = self.chances.astype(derivatives.dtype).reshape(*self.chances.shape, *(1,) * (derivatives.ndim - 2))
        found: Array = np.sqrt(p / 2) * (derivatives - (p * derivatives).sum(axis=1, keepdims=True))
        return found


class BinaryCrossEntropy(Loss):
    """That of each output by itself, for yes or no: F is diag(p (1 - p)) / 2, p = 1 / (1 + exp(-output)).

    It has a curvature alone, for loops that compute their loss themselves.
    """

    name = "binary_cross_entropy"

    def probe(self, outputs: Array, random: np.random.Generator) -> Array:
        chances = expit(outputs.astype(np.float64))
        found: Array = ((chances - (random.random(outputs.shape) < chances)) * np.sqrt(0.5)).astype(outputs.dtype)
        return found


SQUARED_ERROR = SquaredError()
LOSSES: dict[str, Loss] = {loss.name: loss for loss in (SQUARED_ERROR, CrossEntropy())}
