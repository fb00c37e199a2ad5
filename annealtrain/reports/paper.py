"""The paper's figures: its own levels, and how each method is named and drawn."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from annealtrain.errors import InputError, nearest


class Paper(NamedTuple):
    """What a figure of the paper shows, read off it to about .003: validation accuracies, best and last epoch."""

    title: str
    best: float
    last: float
    backprop: float | None
    others: Mapping[str, float] = MappingProxyType({})


PAPER = {
    "fig1a": Paper(r"One linear layer, $\alpha$ = 1", 0.827, 0.821, 0.800),
    "fig1b": Paper("Small linear layer, 10,000 images", 0.636, 0.636, 0.628, {"QPU": 0.642}),
    "fig2a": Paper(r"Three linear layers, $\alpha$ = 1", 0.818, 0.816, 0.818),
    "fig2b": Paper("Two small linear layers", 0.431, 0.424, 0.419, {"QPU": 0.423}),
    "fig3a": Paper(r"One convolution, $\alpha$ = 1", 0.815, 0.815, 0.809),
    "fig3b": Paper(r"Three convolutions, $\alpha$ = 1", 0.831, 0.831, 0.824),
    "fig4a": Paper("Small convolution, 10,000 images", 0.659, 0.659, 0.655, {"QPU": 0.657}),
    "fig4b": Paper("Two small convolutions, 10,000 images", 0.661, 0.661, 0.637, {"QPU": 0.674}),
    "fig5a": Paper(r"One linear layer, $\alpha$ = .001", 0.864, 0.864, 0.849),
    "fig5b": Paper(r"Three linear layers, $\alpha$ = .001", 0.883, 0.865, 0.889),
    "fig5c": Paper(r"One convolution, $\alpha$ = .001", 0.841, 0.841, 0.826),
    "fig5d": Paper(r"Three convolutions, $\alpha$ = .001", 0.952, 0.952, 0.958),
    "fig6a": Paper(r"LeNet, $\alpha$ = 0", 0.935, 0.935, 0.725),
    "fig6b": Paper(r"LeNet, $\alpha$ = 1e-4", 0.938, 0.938, 0.952),
    "fig6c": Paper(r"LeNet, $\alpha$ = .1", 0.937, 0.937, 0.950),
    "fig6d": Paper(r"LeNet, $\alpha$ = 1", 0.822, 0.818, 0.815),
    "fig6a_2024": Paper("LeNet, MNIST, 1,000 images", 0.937, 0.69, 0.953),
    "fig6b_2024": Paper("LeNet, Fashion-MNIST, 1,000 images", 0.787, 0.525, 0.804),
    "fig6c_2024": Paper("LeNet, CIFAR-10, 1,000 images", 0.318, 0.14, 0.362),
    "fig6d_2024": Paper("LeNet, MNIST, 100 images", 0.833, 0.535, 0.705),
    "fig7": Paper("Small LeNet, 4 bits", 0.853, 0.83, None, {"simulated QA": 0.853}),
    "fig8": Paper("Small linear layer, 2 bits", 0.525, 0.525, None, {"simulated QA": 0.545, "ITEMC": 0.550}),
}


class Look(NamedTuple):
    """How a method is named and drawn."""

    label: str
    colour: str


METHODS = {
    "pinv": Look("annealing, pinv (the paper's)", "#0b6e99"),
    "sqa": Look("simulated quantum annealing, pinv", "#7b4fa3"),
    "dwave": Look("quantum annealing (D-Wave), pinv", "#7b4fa3"),
    "dwave_emulated": Look("quantum annealing, emulated, pinv", "#7b4fa3"),
    "itemc": Look("ITEMC, pinv", "#b5651d"),
    "difference": Look("annealing, difference", "#2a9d5c"),
    "gauss_newton": Look("annealing, gauss_newton", "#e08a1e"),
    "kronecker": Look("annealing, kronecker", "#8a6d00"),
    "backprop": Look("backpropagation", "#d1495b"),
}


def check_name(name: str) -> None:
    """Raise InputError for a figure that the paper does not have."""
    if name not in PAPER:
        raise InputError(f"no figure {name!r}{nearest(name, PAPER)}: one of {', '.join(PAPER)}")


def look(method: str) -> Look:
    """Return how a method is drawn; one of the user's own in black, under its name."""
    return METHODS.get(method, Look(method, "#222222"))
