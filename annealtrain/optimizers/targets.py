"""Where the targets of each layer come from: Sec. 4 of the paper, its variant, and a stable form in its spirit."""

from collections.abc import Sequence

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.conv2d import Conv2d
from annealtrain.nn.forward import ActivationCache
from annealtrain.nn.network import Network
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import YES_OR_NO, checked, each_of, either, number, optional

GAIN = number(0, 1e6)
CONVOLUTION_GAIN = 20.0  # of the LeNets in the paper


class Targets:
    """The contract: `start_epoch`, then `of_layer` for layers first to last, each after the update of the one before.

    amplitude: the output target is amplitude x one-hot.
    ridge: lambda_i = ridge mean(diag J_i) keeps a unit's weights near their present values; 0 is the paper.
    """

    @checked("optimizer.", amplitude=number(above=0, most=1e6), ridge=number(0))
    def __init__(self, amplitude: float, ridge: float) -> None:
        self.amplitude, self.ridge = amplitude, ridge

    def check(self, network: Network) -> None:
        """Raise InputError if these targets cannot serve the network."""

    def start_epoch(self, state: ActivationCache, outputs: Array) -> None:
        """Prepare an epoch; outputs (Q, classes): amplitude x one-hot."""
        raise NotImplementedError

    def of_layer(self, k: int, state: ActivationCache) -> tuple[Array, Array | None]:
        """Return targets and factors gamma of trainable layer k, each (Q, *out_shape); None stands for gamma = 1."""
        raise NotImplementedError


class PseudoInverseTargets(Targets):
    """`optimizer=pinv`, the paper: t_k = gain_k unpool(W_{k+1}^+ t_{k+1}), once an epoch (steps 2 and 4).

    gain: one factor for all layers, or one for layer 0, 1, ...; layers beyond the list have 1. None: 20 for targets
    that come back through a convolution, whose Fourier inverse makes them several times smaller, 1 for others.
    inverse_activation: divide by gamma before each inverse, as Eq. (24) does and the author's code does not.
    """

    @checked("optimizer.", gain=optional(either(GAIN, each_of(GAIN))), inverse_activation=YES_OR_NO)
    def __init__(
        self,
        amplitude: float = 10.0,
        gain: float | Sequence[float] | None = 1.0,
        inverse_activation: bool = False,
        ridge: float = 0.0,
    ) -> None:
        super().__init__(amplitude, ridge)
        self.gain, self.inverse_activation = gain, inverse_activation
        self._targets: list[Array] = []

    def check(self, network: Network) -> None:
        if self.inverse_activation and any(layer.slope == 0 for layer in network.trainable[1:]):
            raise InputError("optimizer.inverse_activation=true divides by alpha=0: set alpha above 0, or false")
        hidden = len(network.trainable) - 1
        if isinstance(self.gain, Sequence) and len(self.gain) > hidden:
            raise InputError(f"optimizer.gain has {len(self.gain)} values, the model {hidden} hidden layers")

    def _gain(self, k: int, network: Network) -> float:
        if self.gain is None:
            return CONVOLUTION_GAIN if isinstance(network.trainable[k + 1], Conv2d) else 1.0
        if not isinstance(self.gain, Sequence):
            return self.gain
        return self.gain[k] if k < len(self.gain) else 1.0

    def start_epoch(self, state: ActivationCache, outputs: Array) -> None:
        network, t = state.network, state.network.before_tail(outputs)
        inverses = network.inverses()
        self._targets = [t]
        for k in reversed(range(len(network.trainable) - 1)):
            if self.inverse_activation:
                gamma = state.activation_derivative(k + 1)
                t = t if gamma is None else t / gamma
            # W x - theta = t, so the inverse sees t + theta.
            t = inverses[k + 1](t - network.trainable[k + 1].offset(t.dtype)) * t.dtype.type(self._gain(k, network))
            self._targets.insert(0, t)

    def of_layer(self, k: int, state: ActivationCache) -> tuple[Array, Array | None]:
        return self._targets[k], state.activation_derivative(k)


class WeightedPseudoInverseTargets(PseudoInverseTargets):
    """`optimizer=pinv_weighted`, Eqs. (28), (29): a hidden layer's rows and targets are scaled by
    beta_j = sum_i w_ij gamma_i of the layer above (its pool included)."""

    def of_layer(self, k: int, state: ActivationCache) -> tuple[Array, Array | None]:
        targets, gamma = super().of_layer(k, state)
        network = state.network
        if k == len(network.trainable) - 1:
            return targets, gamma
        above = state.activation_derivative(k + 1)
        if above is None:
            above = np.ones_like(state.preactivation(k + 1))
        beta = network.adjoint(k + 1, above)
        return beta * targets, beta if gamma is None else beta * gamma


class DifferenceTargets(Targets):
    """`optimizer=difference`: only the change that the outputs need is propagated back, from the present activations.

    t_last = a_last + eta (y - a_last);  t_k = a_k + unpool(W_{k+1}^+ (t_{k+1} - a_{k+1})), with the forward pass,
    the inverses and the targets computed anew before every layer. Where nothing needs to change, targets are the
    activations themselves: the loss of a layer is then at its minimum, and the method stands still.
    """

    @checked("optimizer.", eta=number(above=0, most=1))
    def __init__(self, amplitude: float = 1.0, eta: float = 1.0, ridge: float = 0.0) -> None:
        super().__init__(amplitude, ridge)
        self.eta = eta

    def start_epoch(self, state: ActivationCache, outputs: Array) -> None:
        self._outputs = state.network.before_tail(outputs)

    def of_layer(self, k: int, state: ActivationCache) -> tuple[Array, Array | None]:
        network, last = state.network, len(state.network.trainable) - 1
        change = self.eta * (self._outputs - state.activation(last))
        for inverse in reversed(network.inverses(k + 1).values()):
            change = inverse(change)
        return state.activation(k) + change, state.activation_derivative(k)
