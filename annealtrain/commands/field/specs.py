"""The forty instances: which unit of which layer of which network, on what data, and what is done with it."""

from dataclasses import dataclass

from annealtrain.nn.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, Pad

SAMPLES = 512


@dataclass(frozen=True)
class Spec:
    """One instance.

    kind: `step`, a change of first weights, its targets those of the loss's gradient; `grid`, the trained weights put
    on a grid of their own; `chimera`, a step of one bit of which only the couplings stay that a Chimera graph has.
    network, layer, unit: where it is from. samples: that the Hamiltonian is of.
    """

    name: str
    data: str
    network: str
    layer: int
    kind: str
    num_levels: int
    unit: int = 3
    samples: int = SAMPLES
    is_shipped: bool = False


def layers_of(network: str) -> list[Layer]:
    """Return the layers of a network: this project's, with pools whose means are exact in place of spectral ones."""
    made: dict[str, list[Layer]] = {
        "linear_small": [AvgPool2d([2, 4]), Flatten(), Linear(10)],
        "linear": [Flatten(), Linear(10)],
        "linear_32": [Pad(2), Flatten(), Linear(10)],
        "three_linear": [Flatten(), Linear(128), Linear(64), Linear(10)],
        "two_conv": [Conv2d(6, 5), Conv2d(16, 3), Flatten(), Linear(10)],
        "lenet": [
            *(Pad(2), Conv2d(6, 5), AvgPool2d(2), Conv2d(16, 5), AvgPool2d(2), Conv2d(120, 5)),
            *(Flatten(), Linear(84), Linear(10)),
        ],
    }
    return made[network]


def _digits(name: str, network: str, layer: int, kind: str, num_levels: int, samples: int = SAMPLES) -> Spec:
    return Spec(f"digits-{name}", "digits", network, layer, kind, num_levels, samples=samples, is_shipped=True)


def _mnist(name: str, network: str, layer: int, kind: str, num_levels: int) -> Spec:
    return Spec(f"mnist-{name}", "mnist", network, layer, kind, num_levels)


def _fashion(name: str, network: str, layer: int, kind: str, num_levels: int) -> Spec:
    return Spec(f"fashion-{name}", "fashion_mnist", network, layer, kind, num_levels)


SPECS = (
    _digits("linear_small-step-2", "linear_small", 0, "step", 4),
    _digits("conv1-step-1", "two_conv", 0, "step", 2),
    _digits("linear_small-step-4", "linear_small", 0, "step", 16),
    _digits("linear_small-step-8", "linear_small", 0, "step", 256),
    _digits("chimera-2", "linear", 0, "chimera", 2),
    _digits("linear-step-1", "linear", 0, "step", 2),
    _digits("linear-grid-1", "linear", 0, "grid", 2),
    _digits("linear3-step-1", "three_linear", 2, "step", 2),
    _digits("conv1-step-4", "two_conv", 0, "step", 16),
    _digits("conv2-grid-2", "two_conv", 1, "grid", 4),
    _digits("linear-step-2", "linear", 0, "step", 4),
    _digits("linear-grid-ternary", "linear", 0, "grid", 3),
    _digits("linear-grid-2", "linear", 0, "grid", 4),
    _digits("linear1-step-2", "three_linear", 0, "step", 4),
    _digits("linear2-step-1", "three_linear", 1, "step", 2),
    _digits("chimera-4", "three_linear", 1, "chimera", 2),
    _digits("linear-step-4", "linear", 0, "step", 16),
    _digits("linear-grid-4", "linear", 0, "grid", 16),
    _digits("linear2-grid-ternary", "three_linear", 1, "grid", 3),
    _digits("linear1-step-8", "three_linear", 0, "step", 256),
    _mnist("lenet1-step-8", "lenet", 0, "step", 256),
    _mnist("lenet2-step-2", "lenet", 1, "step", 4),
    _mnist("lenet2-grid-ternary", "lenet", 1, "grid", 3),
    _mnist("chimera-7", "lenet", 2, "chimera", 2),
    _mnist("lenet3-step-1", "lenet", 2, "step", 2),
    _mnist("lenet4-step-4", "lenet", 3, "step", 16),
    _mnist("lenet5-step-8", "lenet", 4, "step", 256),
    _mnist("linear-step-1", "linear", 0, "step", 2),
    _mnist("linear-grid-1", "linear", 0, "grid", 2),
    _mnist("lenet3-grid-2", "lenet", 2, "grid", 4),
    _mnist("linear-grid-ternary", "linear", 0, "grid", 3),
    _mnist("linear-step-2", "linear", 0, "step", 4),
    _mnist("linear-step-4", "linear", 0, "step", 16),
    _mnist("linear-step-8", "linear_32", 0, "step", 256),
    _fashion("chimera-9", "linear", 0, "chimera", 2),
    _fashion("lenet2-grid-1", "lenet", 1, "grid", 2),
    _fashion("linear-step-1", "linear", 0, "step", 2),
    _fashion("lenet3-grid-4", "lenet", 2, "grid", 16),
    _fashion("linear-grid-2", "linear", 0, "grid", 4),
    _fashion("linear-step-4", "linear", 0, "step", 16),
)
