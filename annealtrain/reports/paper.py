"""The paper's figures: its own levels, and how each method is named and drawn."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from annealtrain.errors import InputError, nearest

BOTH = ("pinv", "backprop")
FOUR = ("pinv", "difference", "gauss_newton", "backprop")
QPU = "qpu"  # among a figure's methods: a quantum annealer, or its emulation where there is none


class Paper(NamedTuple):
    """What a figure of the paper shows, read off it to about .003: validation accuracies, best and last epoch.

    methods: what this project draws beside it, each a `method=`.
    """

    title: str
    best: float
    last: float
    backprop: float | None
    methods: tuple[str, ...]
    others: Mapping[str, float] = MappingProxyType({})


PAPER = {
    "fig1a": Paper(r"One linear layer, $\alpha$ = 1", 0.827, 0.821, 0.800, BOTH),
    "fig1b": Paper("Small linear layer, 10,000 images", 0.636, 0.636, 0.628, ("pinv", QPU, "backprop"), {"QPU": 0.642}),
    "fig2a": Paper(r"Three linear layers, $\alpha$ = 1", 0.818, 0.816, 0.818, FOUR),
    "fig2b": Paper("Two small linear layers", 0.431, 0.424, 0.419, ("pinv", QPU, *FOUR[1:]), {"QPU": 0.423}),
    "fig3a": Paper(r"One convolution, $\alpha$ = 1", 0.815, 0.815, 0.809, BOTH),
    "fig3b": Paper(r"Three convolutions, $\alpha$ = 1", 0.831, 0.831, 0.824, FOUR),
    "fig4a": Paper("Small convolution, 10,000 images", 0.659, 0.659, 0.655, ("pinv", QPU, "backprop"), {"QPU": 0.657}),
    "fig4b": Paper(
        "Two small convolutions, 10,000 images", 0.661, 0.661, 0.637, ("pinv", QPU, *FOUR[1:]), {"QPU": 0.674}
    ),
    "fig5a": Paper(r"One linear layer, $\alpha$ = .001", 0.864, 0.864, 0.849, BOTH),
    "fig5b": Paper(r"Three linear layers, $\alpha$ = .001", 0.883, 0.865, 0.889, FOUR),
    "fig5c": Paper(r"One convolution, $\alpha$ = .001", 0.841, 0.841, 0.826, BOTH),
    "fig5d": Paper(r"Three convolutions, $\alpha$ = .001", 0.952, 0.952, 0.958, FOUR),
    "fig6a": Paper(r"LeNet, $\alpha$ = 0", 0.935, 0.935, 0.725, FOUR),
    "fig6b": Paper(r"LeNet, $\alpha$ = 1e-4", 0.938, 0.938, 0.952, FOUR),
    "fig6c": Paper(r"LeNet, $\alpha$ = .1", 0.937, 0.937, 0.950, FOUR),
    "fig6d": Paper(r"LeNet, $\alpha$ = 1", 0.822, 0.818, 0.815, FOUR),
    "fig6a_2024": Paper("LeNet, MNIST, 1,000 images", 0.937, 0.69, 0.953, FOUR),
    "fig6b_2024": Paper("LeNet, Fashion-MNIST, 1,000 images", 0.787, 0.525, 0.804, FOUR),
    "fig6c_2024": Paper("LeNet, CIFAR-10, 1,000 images", 0.318, 0.14, 0.362, FOUR),
    "fig6d_2024": Paper("LeNet, MNIST, 100 images", 0.833, 0.535, 0.705, FOUR),
    "fig7": Paper("Small LeNet, 4 bits", 0.853, 0.83, None, ("pinv", "sqa", *FOUR[1:]), {"simulated QA": 0.853}),
    "fig8": Paper(
        "Small linear layer, 2 bits",
        0.525,
        0.525,
        None,
        ("pinv", "sqa", "itemc", "backprop"),
        {"simulated QA": 0.545, "ITEMC": 0.550},
    ),
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


def methods(name: str, *, has_qpu: bool) -> list[str]:
    """Return what a figure compares, each a `method=`; has_qpu: whether there is an account for quantum annealers."""
    check_name(name)
    qpu = "dwave" if has_qpu else "dwave_emulated"
    return [qpu if method == QPU else method for method in PAPER[name].methods]
