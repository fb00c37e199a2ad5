"""What is quantised: a network as layers of weights, and what those see. Its float form and its present one."""

from collections.abc import Mapping
from typing import Any, Protocol

from annealtrain.errors import InputError
from annealtrain.runtime.array_types import Array


def nothing_left(what: str, left: Mapping[str, str], otherwise: str = "") -> InputError:
    """Return what is raised of a network, module or model without a layer that can be quantised."""
    why = "; ".join(f"{name}: {why}" for name, why in left.items()) or otherwise
    return InputError(f"the {what} has no layer that can be quantised ({why})")


class Source(Protocol):
    """The contract of networks to be quantised.

    names: of the layers with weights, in the order in which data meets them. left: why others stay float, by name.
    folded: names of the norms that are part of the layers before them.
    others: bytes of what the network has beside these layers' weights and biases, its floats as float32.
    Samples x are what `block` takes of the calibration set; is_float asks for the network as it was, else layers that
    were given new weights have those.
    """

    names: list[str]
    left: dict[str, str]
    folded: list[str]
    others: int
    has_gradients: bool

    def block(self, samples: Any, part: slice) -> Any:
        """Return some of the samples as the other methods take them."""

    def weights(self, k: int) -> Array:
        """Return the float weights (M, N) of layer k, float64, without its bias."""

    def shape(self, k: int) -> tuple[int, ...]:
        """Return the shape in which frameworks hold the weights of layer k: (M, N), or (M, C, height, width)."""

    def bias(self, k: int) -> Array | None:
        """Return the present bias (M,) of layer k, None where it has none."""

    def take(self, k: int, weights: Array, bias_change: Array | None = None) -> None:
        """Give layer k weights (M, N), and add a change (M,) to its float bias."""

    def inputs(self, k: int, x: Any, *, is_float: bool = False) -> Array:
        """Return what one unit of layer k sees, (R, N), sample by sample and site by site."""

    def outputs(self, x: Any, *, is_float: bool = False) -> Array:
        """Return the network's outputs (Q, classes)."""

    def curvature(self, k: int, x: Any, signs: Array) -> Array:
        """Return the gradients (R, M) of sum(signs x outputs) with respect to the outputs of layer k before activation.

        Of the float network; of one that has_gradients only.
        """
