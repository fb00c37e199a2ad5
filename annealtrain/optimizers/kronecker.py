"""`targets=kronecker`: all units of a layer in one shared Hamiltonian, for mini-batches of any amount of data.

A layer's Gauss-Newton block is approximated by a Kronecker product of two averages over samples, R (N, N) between the
weights of a unit and Gamma (M, M) between units. Gamma is divided out of the gradient, so that one J, that of R,
serves all units of the layer; only their fields differ: the case that the annealing kernel is fastest at.
"""

from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn.forward import Tape
from annealtrain.optimizers.diagnostics import condition_number, solve_row
from annealtrain.optimizers.optimizer import Batch, Optimizer, Step, Task
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array, Row
from annealtrain.training.callback import Observer

SIGNS_STREAM = 5  # SeedSequence child of a run's seed: (SIGNS_STREAM, step), the probes of the curvature
BLOCK = 64  # samples a thread takes at once
PROBED = 64  # samples of a curvature probe
DIAGNOSED = 64  # steps of an epoch between two that are looked at closely, the first of them always
WARM_UP = 10  # first steps that each renew the curvature


class Kronecker(Optimizer):
    """Minimises E_m(d) = d'Jd + H_m d of every unit m in its box |d_j| <= L, and moves the weights by d.

    J = R / r + damping I, H = eta (Gamma + damping g I)^-1 h / r, r and g the means of the diagonals of R and Gamma,
    h the gradient of the loss averaged over steps. All layers move at once, and no step is refused.
    eta: size of a step at the start; it falls linearly with the steps, to a fiftieth.
    damping: rho, relative. momentum, memory: decay of the averages of the gradient and of the curvature.
    every: steps between two measurements of the curvature.
    """

    def __init__(
        self, eta: float = 0.3, damping: float = 0.1, momentum: float = 0.9, memory: float = 0.95, every: int = 16
    ) -> None:
        for name, value, low, high in (
            ("eta", eta, 0, 10),
            ("damping", damping, 0, 1e6),
            ("momentum", momentum, 0, 1),
            ("memory", memory, 0, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"targets.{name}={value!r} is not a number from {low} to {high:g}")
        if not eta or not damping or momentum == 1 or memory == 1:
            raise InputError("targets.eta and targets.damping must be above 0, momentum and memory below 1")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"targets.every={every!r} is not a whole number of at least 1")
        self.eta, self.damping, self.momentum, self.memory, self.every = eta, damping, momentum, memory, every

    def start(self, task: Task) -> None:
        super().start(task)
        layers = task.network.trainable
        self._gradients = [np.zeros(layer.weight_shape) for layer in layers]
        self._inner = [np.zeros((layer.weight_shape[1],) * 2) for layer in layers]  # sums of R
        self._outer = [np.zeros((layer.weight_shape[0],) * 2) for layer in layers]  # sums of Gamma
        self._probes = 0
        self._factors: list[tuple[Couplings, Array]] = []

    def step(self, batch: Batch, step: Step, observer: Observer) -> list[Row]:
        clock, layers = self.task.clock, self.task.network.trainable
        with clock.stage("targets_s"):
            loss, gradients = self._gradient(batch)
            if not np.isfinite(loss):
                raise InputError(f"training left the range of numbers in epoch {step.epoch + 1}: lower schedule.first")
            for held, new in zip(self._gradients, gradients, strict=True):
                held *= self.momentum
                held += (1 - self.momentum) * new
        with clock.stage("build_s"):
            if step.number < WARM_UP or step.number % self.every == 0:
                self._probe(batch, step)
            problems = [self._problem(k, step) for k in range(len(layers))]
        with clock.stage("anneal_s"):
            solver = self.task.solver.at_epoch(step.epoch, step.epochs)
            found = [solver.solve(problems[k], seed=self.task.solve_seed(k, step)) for k in range(len(layers))]
            changes = [result.best_weights for result in found]
            rows = [solve_row(step.epoch, k, problems[k], found[k]) for k in range(len(layers))]
            observer.solving(step.epoch, len(layers) - 1, 1.0)
        if step.number % (step.total // step.epochs) % DIAGNOSED:
            for layer, change in zip(layers, changes, strict=True):
                layer.weights = layer.weights + change
            return rows
        with clock.stage("evaluate_s"):
            return self._diagnosed(batch, loss, gradients, changes, rows)

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        """Return the layer's Hamiltonians of changes d, from this batch's gradient alone."""
        self._gradients = [g * (1 - self.momentum ** (step.number + 1)) for g in self._gradient(batch)[1]]
        if not self._probes:
            self._probe(batch, step)
        return self._problem(k, step)

    def _diagnosed(
        self, batch: Batch, loss: float, gradients: list[Array], changes: list[Array], rows: list[Row]
    ) -> list[Row]:
        """Move layer after layer, last to first, and tell what each does to the batch's loss."""
        layers = self.task.network.trainable
        for k in reversed(range(len(layers))):
            before = loss
            layers[k].weights = layers[k].weights + changes[k]
            loss = self._loss(batch)
            inner, outer = (held[k] / (1 - self.memory**self._probes) for held in (self._inner, self._outer))
            curved = float(((outer @ changes[k] @ inner) * changes[k]).sum())
            rows[k] |= {
                "predicted_change": float((gradients[k] * changes[k]).sum()) + curved,
                "actual_change": loss - before,
                "raised_share": float(loss > before),
                "condition": condition_number(self._factors[k][0].J),
            }
        return rows

    def _loss(self, batch: Batch) -> float:
        outputs = self.task.network.predict(batch.inputs)
        return float(((outputs - batch.outputs).astype(np.float64) ** 2).sum()) / len(batch.inputs)

    def _gradient(self, batch: Batch) -> tuple[float, list[Any]]:
        """Return the batch's loss and its gradient, (M, N) a layer, in float64."""
        network, count = self.task.network, len(batch.inputs)

        def part(block: slice) -> tuple[float, list[Array]]:
            forward = Tape(network, batch.inputs[block])
            away = forward.outputs - batch.outputs[block]
            back = forward.backward(away * away.dtype.type(2 / count))
            both = zip(network.trainable, forward.inputs, back, strict=True)
            return float((away.astype(np.float64) ** 2).sum()) / count, [layer.gradient(x, dz) for layer, x, dz in both]

        parts = thread_pool.parallel_map(part, thread_pool.chunks(count, BLOCK))
        sums = [sum(g[k].astype(np.float64) for _, g in parts) for k in range(len(network.trainable))]
        return sum((loss for loss, _ in parts), 0.0), sums

    def _probe(self, batch: Batch, step: Step) -> None:
        """Measure the curvature: d(s . outputs)/dW with random signs s has the Gauss-Newton block as its square."""
        source = np.random.SeedSequence(self.task.seed, spawn_key=(SIGNS_STREAM, step.number))
        forward = Tape(self.task.network, batch.inputs[:PROBED])
        signs = np.random.default_rng(source).choice(np.array([-1, 1], np.float32), forward.outputs.shape)
        back = forward.backward(signs)

        def part(k: int) -> tuple[Array, Array]:
            return factors(self.task.network.trainable[k], forward.inputs[k], back[k])

        for k, (inner, outer) in enumerate(thread_pool.parallel_map(part, range(len(back)))):
            for held, new in ((self._inner[k], inner), (self._outer[k], outer)):
                held *= self.memory
                held += (1 - self.memory) * new
        self._probes += 1
        self._take_factors()

    def _take_factors(self) -> None:
        """Form each layer's J and the map from its gradient to its fields H / eta."""
        scale = 1 / (1 - self.memory**self._probes)
        self._factors = []
        for inner, outer in zip(self._inner, self._outer, strict=True):
            r, g = (float(held.diagonal().mean()) * scale for held in (inner, outer))
            if r == 0 or g == 0:  # nothing of the layer reaches the outputs
                self._factors.append((Couplings(np.zeros_like(inner)), np.zeros_like(outer)))
                continue
            J = inner * (scale / r) + self.damping * np.eye(len(inner))
            damped = outer * scale + self.damping * g * np.eye(len(outer))
            self._factors.append((Couplings(J, np.ones(len(J), bool)), np.linalg.inv(damped) / r))

    def _problem(self, k: int, step: Step) -> LayerProblem:
        couplings, outer = self._factors[k]
        left = 1 - step.number / step.total
        h = self._gradients[k] / (1 - self.momentum ** (step.number + 1))
        fields = self.eta * max(left, 0.02) * (outer @ h)
        half_range = self.task.half_range.value(step.number, step.total, k)
        S0 = np.zeros_like(fields)
        # J is convex, but a bound for each of thousands of solves would take longer than the solve.
        return LayerProblem(couplings, fields, np.zeros(len(h)), S0, half_range, self.task.bits, convex=False)

    def state(self) -> dict[str, Array]:
        named = {"gradient": self._gradients, "inner": self._inner, "outer": self._outer}
        held = {f"{name}_{k}": array.copy() for name, arrays in named.items() for k, array in enumerate(arrays)}
        return {"probes": np.array(self._probes), **held}

    def restore(self, state: dict[str, Array]) -> None:
        self._probes = int(state["probes"])
        for k in range(len(self._gradients)):
            self._gradients[k], self._inner[k], self._outer[k] = (
                state[f"{name}_{k}"] for name in ("gradient", "inner", "outer")
            )
        if self._probes:
            self._take_factors()


def factors(layer: Any, x: Array, dz: Array) -> tuple[Array, Array]:
    """Return R (N, N) and Gamma (M, M), float64, of the gradients of q samples: x (q, *in_shape), dz (q, *out_shape).

    Their Kronecker product stands for the mean of S_a' S_a over all pairs of weights, S_a (M, N) the gradient of one
    sample: for a linear layer, S_a = dz_a x_a', as if the two were independent; for a convolution with both sums
    over the units and the weights, Gamma of trace 1. (So are those of one site,
    where each x weighs as much as its dz: better, as measured.)
    """
    count = len(x)
    if dz.ndim == 2:
        u, b = layer.rows(x).astype(np.float64), dz.reshape(count, -1).astype(np.float64)
        return u.T @ u / count, b.T @ b / count
    S = layer.sample_gradients(x, dz)
    flat = S.reshape(-1, S.shape[2])
    outer = np.matmul(S, S.swapaxes(1, 2)).sum(axis=0, dtype=np.float64)
    return (flat.T @ flat).astype(np.float64) / count, outer / (np.trace(outer) or 1.0)
