"""What the shared Hamiltonians of layers are made of: averages of the gradient and of two factors of the curvature."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.penalty import PenaltyModel
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn.losses import Loss
from annealtrain.nn.matrices import NUMPY, Matrices
from annealtrain.nn.model import Model, ModelLayer, ModelTape
from annealtrain.optimizers.moving_average import MovingAverage
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.ranks import ALONE, Ranks

FORMS = ("sites", "expand", "reduce")


class Preconditioner(NamedTuple):
    """What a layer's Hamiltonians are made with: J, and the matrix (Gamma + damping g I)^-p / r^p from h to H / eta."""

    couplings: Couplings
    back: Any
    J: Any  # that of the couplings, where the matrices lie


class KroneckerModel:
    """E_m(d) = d'Jd + H_m d of every unit m of every layer, J = (R / r + damping I)^p,
    H = eta ((Gamma + damping g I)^-p h / r^p + 2 weight_decay W J), r and g the means of the diagonals of R and Gamma,
    W the weights, p the power: with no gradient and no box d is -eta weight_decay W.

    h, R and Gamma are averages over steps. momentum, memory: decay of h's, and of those of R and Gamma.
    power: 1 is Gauss-Newton's. With 1/2 the step is h divided by the root mean square of what it is for single samples,
    in all directions of the layer at once, as in Shampoo (Gupta, Koren and Singer, arXiv:1802.09568) and, weight by
    weight, in Adam: the curvature's small directions, where h is mostly noise, are then not blown up by their inverse.
    form: of the factors of a layer with sites, see `kronecker_factors`. ranks: processes that measure together.
    matrices: where R, Gamma and J lie; gradients, weights and Hamiltonians are NumPy's.
    """

    def __init__(
        self,
        shapes: list[tuple[int, int]],
        *,
        damping: float,
        momentum: float,
        memory: float,
        form: str = "sites",
        weight_decay: float = 0.0,
        power: float = 1.0,
        ranks: Ranks = ALONE,
        matrices: Matrices = NUMPY,
    ) -> None:
        self.matrices = matrices
        self.damping, self.form, self.weight_decay, self.power, self.ranks = damping, form, weight_decay, power, ranks
        self.gradient = MovingAverage([np.zeros(shape) for shape in shapes], momentum)  # h
        self.input_factor = MovingAverage([matrices.zeros(N, N) for _, N in shapes], memory)  # R
        self.output_factor = MovingAverage([matrices.zeros(M, M) for M, _ in shapes], memory)  # Gamma
        self._preconditioners: dict[int, Preconditioner] = {}

    def measure(self, network: Model, tape: ModelTape, probe: Array) -> None:
        """Take in the curvature that a pass shows: d(probe . outputs)/dW has the Gauss-Newton block as mean square."""
        matrices = self.matrices
        pairs = tape.pairs(probe, matrices)

        def part(k: int) -> Sums:
            return factor_sums(network.trainable[k], *pairs[k], self.form, len(probe), matrices)

        found = matrices.each(part, range(len(pairs)))
        if self.ranks.size > 1:
            counts = [np.array([each[2], each[3]], np.float64) for each in found]
            total = self.ranks.sums([matrices.array(each) for R, gamma, *_ in found for each in (R, gamma)] + counts)
            half = len(total) - len(counts)
            found = [
                (*map(matrices.own, total[2 * k : 2 * k + 2]), int(count[0]), int(count[1]))
                for k, count in enumerate(total[half:])
            ]
        factors = [as_means(*each) for each in found]
        self.input_factor.add([R for R, _ in factors])
        self.output_factor.add([gamma for _, gamma in factors])
        self._preconditioners.clear()

    def draw(self, objective: Loss, outputs: Array, random: np.random.Generator) -> Array:
        """Return a loss's probe of outputs (q, C): of each sample the same, however many ranks share the samples."""
        if self.ranks.size == 1:
            return objective.probe(outputs, random)
        whole = objective.probe(np.repeat(outputs, self.ranks.size, axis=0), random)
        return whole[self.ranks.rank :: self.ranks.size]

    def prepare(self, layers: Sequence[int]) -> None:
        """Make the preconditioners of several layers side by side."""
        self.matrices.each(self.preconditioner, layers)

    def preconditioner(self, k: int) -> Preconditioner:
        """Return that of a layer; it is kept until the curvature is measured anew."""
        if k not in self._preconditioners:
            self._preconditioners[k] = self._precondition(self.input_factor.sums[k], self.output_factor.sums[k])
        return self._preconditioners[k]

    def _precondition(self, R: Any, gamma: Any) -> Preconditioner:
        matrices, scale = self.matrices, 1 / self.input_factor.weight
        r, g = (float(total.diagonal().mean()) * scale for total in (R, gamma))
        if r == 0 or g == 0:  # nothing of the layer reaches the outputs
            J, back = matrices.zeros(*R.shape), matrices.zeros(*gamma.shape)
            return Preconditioner(Couplings(matrices.array(J)), back, J)
        J = R * (scale / r) + self.damping * matrices.eye(len(R))
        damped = gamma * scale + self.damping * g * matrices.eye(len(gamma))
        if self.power == 1:
            back = matrices.inverse(damped) / r
        else:
            J, back = (power(matrices, *each) for each in ((J, self.power), (damped, -self.power)))
            back = back / r**self.power
        return Preconditioner(Couplings(matrices.array(J), np.ones(len(J), bool)), back, J)

    def problem(
        self,
        k: int,
        weights: Array,
        eta: float,
        half_range: float,
        bits: int,
        *,
        penalty: PenaltyModel | None = None,
        free: Array | None = None,
    ) -> LayerProblem:
        """Return the Hamiltonians of changes d, |d_j| <= half_range, of a layer's weights (M, N).

        penalty: of these weights, with a power of 1. Its slope is exact, and joins h; its curvature stands in the one
        J as if Gamma were g I: its mean over units, divided by r g. free: which weights of a unit may change, (N,)
        bool; None: all.
        """
        couplings, back, J = self.preconditioner(k)
        h, matrices = self.gradient.mean(k), self.matrices
        if penalty is not None:
            h = h + penalty.gradient
            couplings = self._bent(couplings, k, penalty)
            J = matrices.own(couplings.J)
        H = eta * (back @ matrices.own(h))
        if self.weight_decay:
            H = H + (2 * eta * self.weight_decay) * (matrices.own(weights) @ J)
        fields = matrices.array(H)
        S0 = np.zeros_like(fields)
        if free is not None:
            couplings, fields = Couplings(couplings.J, couplings.live & free), np.where(free, fields, 0.0)
        # J is convex, but a bound for each of thousands of solves would take longer than the solve.
        return LayerProblem(couplings, fields, np.zeros(len(fields)), S0, half_range, bits, convex=False)

    def _bent(self, couplings: Couplings, k: int, penalty: PenaltyModel) -> Couplings:
        """Return J with a penalty's curvature."""
        unit = float(self.input_factor.mean(k).diagonal().mean() * self.output_factor.mean(k).diagonal().mean())
        if unit == 0:
            return couplings
        bent = np.broadcast_to(penalty.curvature, penalty.weights.shape).mean(axis=0)
        return Couplings(couplings.J + np.diag(bent / unit), couplings.live)

    def curved(self, k: int, change: Array) -> float:
        """Return the second-order part of the loss's change that a layer's change (M, N) is to bring."""
        own = self.matrices.own(change)
        return float(((self.output_factor.mean(k) @ own @ self.input_factor.mean(k)) * own).sum())

    @property
    def _averages(self) -> dict[str, MovingAverage]:
        return {"gradient": self.gradient, "input_factor": self.input_factor, "output_factor": self.output_factor}

    def state(self) -> dict[str, Array]:
        held = {key: own for name, average in self._averages.items() for key, own in average.state(name).items()}
        return {key: own if isinstance(own, np.ndarray) else self.matrices.array(own) for key, own in held.items()}

    def restore(self, state: dict[str, Array]) -> None:
        for name, average in self._averages.items():
            average.restore(name, state)
        for average in (self.input_factor, self.output_factor):
            average.sums = [self.matrices.own(total) for total in average.sums]
        self._preconditioners.clear()


def power(matrices: Matrices, A: Any, exponent: float) -> Any:
    """Return a power of a symmetric matrix that is positive definite."""
    values, vectors = matrices.eigh(A)
    root = vectors * values ** (exponent / 2)
    return root @ root.T  # to the last bit its own transpose


Sums = tuple[Any, Any, int, int]


def kronecker_factors(layer: ModelLayer, x: Array, dz: Array, form: str = "sites") -> tuple[Array, Array]:
    """Return R (N, N) and Gamma (M, M), float64, so that their Kronecker product stands for a layer's curvature.

    x: (q, *in_shape), the layer's inputs. dz: (q, *out_shape), the gradients of what is differentiated with respect to
    its outputs. The gradient of one sample a is S_a (M, N); the curvature is the mean over samples of the products of
    all pairs of its entries. A linear layer has S_a = dz_a x_a': R = mean x x', Gamma = mean dz dz', as if the two were
    independent. A layer applied at several sites has one of three forms:
    sites: a convolution sums over its sites first: R = mean S_a' S_a, Gamma = sum S_a S_a' of trace 1.
    (So does one with a single site: better, as measured, than to take it as linear.) Tokens of a Linear: expand.
    expand: sites are like samples: R = mean over sites, Gamma = mean over samples of the sum over sites.
    reduce: R of the means of x over sites, Gamma of the sums of dz. (KFAC-expand and KFAC-reduce of Eschenhagen et al.,
    arXiv:2311.00636.) Groups of a convolution see other inputs each: sites, always.
    """
    return as_means(*factor_sums(layer, x, dz, form))


def factor_sums(
    layer: ModelLayer, x: Any, dz: Any, form: str = "sites", samples: int | None = None, matrices: Matrices = NUMPY
) -> Sums:
    """Return R and Gamma as sums, float64, and of how many each is the sum; Gamma of 0: of trace 1 in the end.

    samples: whose mean the loss is; None: the q of x. They differ where a module lays tokens or frames of a sample
    beside each other before a layer, or before its outputs. matrices: where x and dz lie.
    """
    count = len(x)
    samples = samples or count
    if dz.ndim == 2 and layer.has_shared_rows:
        u, b = matrices.double(layer.unfold(x)), matrices.double(dz.reshape(count, -1))
        return u.T @ u, b.T @ b, count, samples
    if layer.has_shared_rows and (form != "sites" or layer.is_on_tokens):
        M, N = layer.weight_shape
        u, b = matrices.double(layer.unfold(x)), matrices.double(layer.flatten_outputs(dz))
        if form == "reduce":
            u, b = u.reshape(count, -1, N).mean(axis=1), b.reshape(count, -1, M).sum(axis=1)
        return u.T @ u, b.T @ b, len(u), samples
    S = layer.sample_gradients(x, dz)
    flat = S.reshape(-1, S.shape[2])
    return matrices.double(flat.T @ flat), matrices.sum_of_squares(S), samples, 0


def as_means(R: Any, gamma: Any, rows: int, samples: int) -> tuple[Any, Any]:
    """Return the factors of their sums."""
    return R / rows, gamma / (samples or gamma.trace() or 1.0)
