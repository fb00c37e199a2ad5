"""`optimizer=kronecker`: all units of a layer in one shared Hamiltonian, for mini-batches of any amount of data.

A layer's Gauss-Newton block is approximated by a Kronecker product of two averages over samples, R (N, N) between the
weights of a unit and Gamma (M, M) between units. Gamma is divided out of the gradient, so that one J, that of R,
serves all units of the layer; only their fields differ: the case that the annealing kernel is fastest at.
"""

from typing import Any

import numpy as np

from annealtrain.errors import Diverged
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn.forward import Tape
from annealtrain.nn.layer import TrainableLayer
from annealtrain.nn.network import Network
from annealtrain.optimizers.diagnostics import condition_number, solve_row
from annealtrain.optimizers.grid_kronecker import FloatKronecker, GridKronecker
from annealtrain.optimizers.moving_average import MovingAverage
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.optimizers.weight_grid import WeightGrid
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Stream, generator
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.runtime.validation import checked, number, whole
from annealtrain.schedule import Schedule
from annealtrain.solvers.solver import Solver

BLOCK = 64  # samples a thread takes at once
PROBED = 64  # samples of a curvature probe
DIAGNOSED = 64  # steps of an epoch between two that are looked at closely, the first of them always
SHADOW_BITS = 8  # of the steps of float weights behind those of a grid
WARM_UP = 10  # first steps that each renew the curvature


class Kronecker(FloatKronecker):
    """Minimises E_m(d) = d'Jd + H_m d of every unit m in its box |d_j| <= L, and moves the weights by d.

    J = R / r + damping I, H = eta (Gamma + damping g I)^-1 h / r, r and g the means of the diagonals of R and Gamma,
    h the gradient of the loss averaged over steps. All layers move at once, and no step is refused.
    eta: size of a step at the start; it falls linearly with the steps, to a fiftieth.
    damping: rho, relative. momentum, memory: decay of the averages of the gradient and of the curvature.
    every: steps between two measurements of the curvature.
    """

    solves_for_changes = True
    solver: Solver
    half_range: Schedule
    bits: int

    @checked(
        "optimizer.",
        eta=number(above=0, most=10),
        damping=number(above=0, most=1e6),
        momentum=number(0, below=1),
        memory=number(0, below=1),
        every=whole(),
    )
    def __init__(
        self,
        eta: float = 0.3,
        damping: float = 0.1,
        momentum: float = 0.9,
        memory: float = 0.95,
        every: int = 16,
        *,
        solver: Solver,
        half_range: Schedule,
        bits: int,
    ) -> None:
        self.solver, self.half_range, self.bits = solver, half_range, bits
        self.eta, self.damping, self.momentum, self.memory, self.every = eta, damping, momentum, memory, every

    def on_grid(self, grid: WeightGrid) -> Optimizer:
        self.bits = SHADOW_BITS
        return GridKronecker(self, grid)

    def start(self, network: Network, *, seed: int, timer: StageTimer) -> None:
        super().start(network, seed=seed, timer=timer)
        layers = network.trainable
        M_and_N = [layer.weight_shape for layer in layers]
        self._gradient = MovingAverage([np.zeros(shape) for shape in M_and_N], self.momentum)  # h
        self._input_factor = MovingAverage([np.zeros((N, N)) for _, N in M_and_N], self.memory)  # R
        self._output_factor = MovingAverage([np.zeros((M, M)) for M, _ in M_and_N], self.memory)  # Gamma
        self._preconditioners: list[tuple[Couplings, Array]] = []  # of each layer: J, and what makes H / eta of h

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        timer, layers = self.timer, self.network.trainable
        with timer.stage("targets_s"):
            loss, gradients = self._loss_and_gradients(batch)
            if not np.isfinite(loss):
                raise Diverged(f"training left the range of numbers in epoch {step.epoch + 1}: lower half_range.first")
            self._gradient.add(gradients)
        with timer.stage("build_s"):
            if step.number < WARM_UP or step.number % self.every == 0:
                self._measure_curvature(batch, step)
            problems = [self._layer_problem(k, step) for k in range(len(layers))]
        with timer.stage("anneal_s"):
            solver = self.solver.resolve_schedules(step.epoch, step.epochs)
            found = [solver.solve(problems[k], seed=self.solve_seed(k, step)) for k in range(len(layers))]
            changes = [result.best_weights for result in found]
            rows = [solve_row(step.epoch, k, problems[k], found[k]) for k in range(len(layers))]
            progress(len(layers) - 1, 1.0)
        if step.number % (step.total // step.epochs) % DIAGNOSED:
            for layer, change in zip(layers, changes, strict=True):
                layer.weights = layer.weights + change
            return rows
        with timer.stage("evaluate_s"):
            return self._diagnosed(batch, loss, gradients, changes, rows)

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        """Return the layer's Hamiltonians of changes d, from this batch's gradient alone."""
        gradients = self._loss_and_gradients(batch)[1]
        self._gradient = MovingAverage([np.zeros_like(g) for g in gradients], self.momentum)
        self._gradient.add(gradients)
        if not self._input_factor.count:
            self._measure_curvature(batch, step)
        return self._layer_problem(k, step)

    def _diagnosed(
        self, batch: Batch, loss: float, gradients: list[Array], changes: list[Array], rows: list[Row]
    ) -> list[Row]:
        """Move layer after layer, last to first, and tell what each does to the batch's loss."""
        layers = self.network.trainable
        for k in reversed(range(len(layers))):
            before = loss
            layers[k].weights = layers[k].weights + changes[k]
            loss = self._loss(batch)
            R, gamma = self._input_factor.mean(k), self._output_factor.mean(k)
            curved = float(((gamma @ changes[k] @ R) * changes[k]).sum())
            rows[k] |= {
                "predicted_change": float((gradients[k] * changes[k]).sum()) + curved,
                "actual_change": loss - before,
                "raised_share": float(loss > before),
                "condition": condition_number(self._preconditioners[k][0].J),
            }
        return rows

    def _loss(self, batch: Batch) -> float:
        outputs = self.network.predict(batch.inputs)
        return float(((outputs - batch.outputs).astype(np.float64) ** 2).sum()) / len(batch.inputs)

    def _loss_and_gradients(self, batch: Batch) -> tuple[float, list[Any]]:
        """Return the batch's loss and its gradient, (M, N) a layer, in float64."""
        network, count = self.network, len(batch.inputs)

        def part(block: slice) -> tuple[float, list[Array]]:
            forward = Tape(network, batch.inputs[block])
            away = forward.outputs - batch.outputs[block]
            back = forward.backward(away * away.dtype.type(2 / count))
            both = zip(network.trainable, forward.inputs, back, strict=True)
            return float((away.astype(np.float64) ** 2).sum()) / count, [layer.gradient(x, dz) for layer, x, dz in both]

        parts = thread_pool.parallel_map(part, thread_pool.chunks(count, BLOCK))
        sums = [sum(g[k].astype(np.float64) for _, g in parts) for k in range(len(network.trainable))]
        return sum((loss for loss, _ in parts), 0.0), sums

    def _measure_curvature(self, batch: Batch, step: Step) -> None:
        """Measure the curvature: d(s . outputs)/dW with random signs s has the Gauss-Newton block as its square."""
        forward = Tape(self.network, batch.inputs[:PROBED])
        random = generator(self.seed, Stream.SIGNS, step.number)
        signs = random.choice(np.array([-1, 1], np.float32), forward.outputs.shape)
        back = forward.backward(signs)

        def part(k: int) -> tuple[Array, Array]:
            return kronecker_factors(self.network.trainable[k], forward.inputs[k], back[k])

        found = thread_pool.parallel_map(part, range(len(back)))
        self._input_factor.add([R for R, _ in found])
        self._output_factor.add([gamma for _, gamma in found])
        self._precondition()

    def _precondition(self) -> None:
        """Form each layer's J = R / r + damping I and the matrix (Gamma + damping g I)^-1 / r from its h to H / eta."""
        scale = 1 / self._input_factor.weight
        self._preconditioners = []
        for R, gamma in zip(self._input_factor.sums, self._output_factor.sums, strict=True):
            r, g = (float(total.diagonal().mean()) * scale for total in (R, gamma))
            if r == 0 or g == 0:  # nothing of the layer reaches the outputs
                self._preconditioners.append((Couplings(np.zeros_like(R)), np.zeros_like(gamma)))
                continue
            J = R * (scale / r) + self.damping * np.eye(len(R))
            damped = gamma * scale + self.damping * g * np.eye(len(gamma))
            self._preconditioners.append((Couplings(J, np.ones(len(J), bool)), np.linalg.inv(damped) / r))

    def _layer_problem(self, k: int, step: Step) -> LayerProblem:
        couplings, inverse = self._preconditioners[k]
        left = 1 - step.number / step.total
        fields = self.eta * max(left, 0.02) * (inverse @ self._gradient.mean(k))
        half_range = self.half_range.value(step.number, step.total, k)
        S0 = np.zeros_like(fields)
        # J is convex, but a bound for each of thousands of solves would take longer than the solve.
        return LayerProblem(couplings, fields, np.zeros(len(fields)), S0, half_range, self.bits, convex=False)

    @property
    def couplings(self) -> list[Couplings]:
        return [couplings for couplings, _ in self._preconditioners]

    @property
    def _averages(self) -> dict[str, MovingAverage]:
        return {"gradient": self._gradient, "input_factor": self._input_factor, "output_factor": self._output_factor}

    def state(self) -> dict[str, Array]:
        return {key: array for name, average in self._averages.items() for key, array in average.state(name).items()}

    def restore(self, state: dict[str, Array]) -> None:
        for name, average in self._averages.items():
            average.restore(name, state)
        if self._input_factor.count:
            self._precondition()


def kronecker_factors(layer: TrainableLayer, x: Array, dz: Array) -> tuple[Array, Array]:
    """Return R (N, N) and Gamma (M, M), float64, so that their Kronecker product stands for a layer's curvature.

    x: (q, *in_shape), the layer's inputs. dz: (q, *out_shape), the gradients of what is differentiated with respect to
    its outputs. The gradient of one sample a is S_a (M, N); the curvature is the mean over samples of the products of
    all pairs of its entries. A linear layer has S_a = dz_a x_a': R = mean x x', Gamma = mean dz dz', as if the two were
    independent. A convolution sums over its sites first: R = mean S_a' S_a, Gamma = sum S_a S_a' of trace 1.
    (So does one with a single site: better, as measured, than to take it as linear.)
    """
    count = len(x)
    if dz.ndim == 2:
        u, b = layer.unfold(x).astype(np.float64), dz.reshape(count, -1).astype(np.float64)
        return u.T @ u / count, b.T @ b / count
    S = layer.sample_gradients(x, dz)
    flat = S.reshape(-1, S.shape[2])
    gamma = np.matmul(S, S.swapaxes(1, 2)).sum(axis=0, dtype=np.float64)
    return (flat.T @ flat).astype(np.float64) / count, gamma / (np.trace(gamma) or 1.0)
