"""What the shared Hamiltonians of layers are made of: averages of the gradient and of two factors of the curvature."""

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.penalty import PenaltyModel
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn.losses import Loss
from annealtrain.nn.model import Model, ModelLayer, ModelTape
from annealtrain.optimizers.moving_average import MovingAverage
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.ranks import ALONE, Ranks

FORMS = ("sites", "expand", "reduce")


class KroneckerModel:
    """E_m(d) = d'Jd + H_m d of every unit m of every layer, J = (R / r + damping I)^p,
    H = eta ((Gamma + damping g I)^-p h / r^p + 2 weight_decay W J), r and g the means of the diagonals of R and Gamma,
    W the weights, p the power: with no gradient and no box d is -eta weight_decay W.

    h, R and Gamma are averages over steps. momentum, memory: decay of h's, and of those of R and Gamma.
    power: 1 is Gauss-Newton's. With 1/2 the step is h divided by the root mean square of what it is for single samples,
    in all directions of the layer at once, as in Shampoo (Gupta, Koren and Singer, arXiv:1802.09568) and, weight by
    weight, in Adam: the curvature's small directions, where h is mostly noise, are then not blown up by their inverse.
    form: of the factors of a layer with sites, see `kronecker_factors`. ranks: processes that measure together.
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
    ) -> None:
        self.damping, self.form, self.weight_decay, self.power, self.ranks = damping, form, weight_decay, power, ranks
        self.gradient = MovingAverage([np.zeros(shape) for shape in shapes], momentum)  # h
        self.input_factor = MovingAverage([np.zeros((N, N)) for _, N in shapes], memory)  # R
        self.output_factor = MovingAverage([np.zeros((M, M)) for M, _ in shapes], memory)  # Gamma
        self._preconditioners: dict[int, tuple[Couplings, Array]] = {}

    def measure(self, network: Model, tape: ModelTape, probe: Array) -> None:
        """Take in the curvature that a pass shows: d(probe . outputs)/dW has the Gauss-Newton block as mean square."""
        back = tape.backward(probe)

        def part(k: int) -> Sums:
            return factor_sums(network.trainable[k], tape.inputs[k], back[k], self.form, len(probe))

        found = thread_pool.parallel_map(part, range(len(back)))
        if self.ranks.size > 1:
            counts = [np.array([each[2], each[3]], np.float64) for each in found]
            total = self.ranks.sums([each for R, gamma, *_ in found for each in (R, gamma)] + counts)
            half = len(total) - len(counts)
            found = [
                (total[2 * k], total[2 * k + 1], int(count[0]), int(count[1])) for k, count in enumerate(total[half:])
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

    def preconditioner(self, k: int) -> tuple[Couplings, Array]:
        """Return a layer's J and the matrix (Gamma + damping g I)^-p / r^p from its h to H / eta; they are kept."""
        if k not in self._preconditioners:
            self._preconditioners[k] = self._precondition(self.input_factor.sums[k], self.output_factor.sums[k])
        return self._preconditioners[k]

    def _precondition(self, R: Array, gamma: Array) -> tuple[Couplings, Array]:
        scale = 1 / self.input_factor.weight
        r, g = (float(total.diagonal().mean()) * scale for total in (R, gamma))
        if r == 0 or g == 0:  # nothing of the layer reaches the outputs
            return Couplings(np.zeros_like(R)), np.zeros_like(gamma)
        J = R * (scale / r) + self.damping * np.eye(len(R))
        damped = gamma * scale + self.damping * g * np.eye(len(gamma))
        if self.power == 1:
            back = np.linalg.inv(damped) / r
        else:
            J, back = _power(J, self.power), _power(damped, -self.power) / r**self.power
        return Couplings(J, np.ones(len(J), bool)), back

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
        couplings, inverse = self.preconditioner(k)
        h = self.gradient.mean(k)
        if penalty is not None:
            h = h + penalty.gradient
            couplings = self._bent(couplings, k, penalty)
        fields = eta * (inverse @ h)
        if self.weight_decay:
            fields = fields + (2 * eta * self.weight_decay) * (weights @ couplings.J)
        S0 = np.zeros_like(fields)
        if free is not None:
            couplings, fields = Couplings(couplings.J, couplings.live & free), np.where(free, fields, 0.0)
        # J is convex, but a bound for each of thousands of solves would take longer than the solve.
        return LayerProblem(couplings, fields, np.zeros(len(fields)), S0, half_range, bits, convex=False)

    def _bent(self, couplings: Couplings, k: int, penalty: PenaltyModel) -> Couplings:
        """Return J with a penalty's curvature."""
        unit = float(np.diagonal(self.input_factor.mean(k)).mean() * np.diagonal(self.output_factor.mean(k)).mean())
        if unit == 0:
            return couplings
        bent = np.broadcast_to(penalty.curvature, penalty.weights.shape).mean(axis=0)
        return Couplings(couplings.J + np.diag(bent / unit), couplings.live)

    def curved(self, k: int, change: Array) -> float:
        """Return the second-order part of the loss's change that a layer's change (M, N) is to bring."""
        return float(((self.output_factor.mean(k) @ change @ self.input_factor.mean(k)) * change).sum())

    @property
    def _averages(self) -> dict[str, MovingAverage]:
        return {"gradient": self.gradient, "input_factor": self.input_factor, "output_factor": self.output_factor}

    def state(self) -> dict[str, Array]:
        return {key: array for name, average in self._averages.items() for key, array in average.state(name).items()}

    def restore(self, state: dict[str, Array]) -> None:
        for name, average in self._averages.items():
            average.restore(name, state)
        self._preconditioners.clear()


def _power(A: Array, power: float) -> Array:
    """Return a power of a symmetric matrix that is positive definite."""
    values, vectors = np.linalg.eigh(A)
    root = vectors * values ** (power / 2)
    return root @ root.T  # to the last bit its own transpose


Sums = tuple[Array, Array, int, int]


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


def factor_sums(layer: ModelLayer, x: Array, dz: Array, form: str = "sites", samples: int | None = None) -> Sums:
    """Return R and Gamma as sums, float64, and of how many each is the sum; Gamma of 0: of trace 1 in the end.

    samples: whose mean the loss is; None: the q of x. They differ where a module lays tokens or frames of a sample
    beside each other before a layer, or before its outputs.
    """
    count = len(x)
    samples = samples or count
    if dz.ndim == 2 and layer.has_shared_rows:
        u, b = layer.unfold(x).astype(np.float64), dz.reshape(count, -1).astype(np.float64)
        return u.T @ u, b.T @ b, count, samples
    if layer.has_shared_rows and (form != "sites" or layer.is_on_tokens):
        M, N = layer.weight_shape
        u, b = layer.unfold(x).astype(np.float64), layer.flatten_outputs(dz).astype(np.float64)
        if form == "reduce":
            u, b = u.reshape(count, -1, N).mean(axis=1), b.reshape(count, -1, M).sum(axis=1)
        return u.T @ u, b.T @ b, len(u), samples
    S = layer.sample_gradients(x, dz)
    flat = S.reshape(-1, S.shape[2])
    gamma = np.matmul(S, S.swapaxes(1, 2)).sum(axis=0, dtype=np.float64)
    return (flat.T @ flat).astype(np.float64), gamma, samples, 0


def as_means(R: Array, gamma: Array, rows: int, samples: int) -> tuple[Array, Array]:
    """Return the factors of their sums."""
    return R / rows, gamma / (samples or np.trace(gamma) or 1.0)
