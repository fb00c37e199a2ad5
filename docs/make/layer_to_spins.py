"""Draw docs/images/layer_to_spins.svg: a unit of a layer, its weights on their levels, and the spins that these are.

python docs/make/layer_to_spins.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

from annealtrain import LayerProblem

N, BITS, BLUE, RED, GREY = 4, 2, "#3949ab", "#d84315", "#9e9e9e"


def draw_layer(axis: plt.Axes) -> None:
    axis.set_title("1. a layer: each output has weights of its own")
    inputs, outputs = np.linspace(0.9, 0.1, N), np.linspace(0.8, 0.2, 3)
    for k, y in enumerate(outputs):
        for j, x in enumerate(inputs):
            axis.plot([0.15, 0.85], [x, y], color=BLUE if k == 1 else GREY, lw=2 if k == 1 else 0.5, zorder=1)
            if k == 1:
                axis.text(0.36, x + (y - x) * 0.3 + 0.025, f"$w_{j + 1}$", color=BLUE)
    axis.scatter([0.15] * N, inputs, s=300, color="white", edgecolor="black", zorder=2)
    axis.scatter([0.85] * 3, outputs, s=300, color=["white", BLUE, "white"], edgecolor="black", zorder=2)
    axis.text(0.15, -0.03, "inputs", ha="center")
    axis.text(0.85, -0.03, "outputs", ha="center")


def draw_levels(axis: plt.Axes, levels: np.ndarray, spins: np.ndarray) -> None:
    axis.set_title("2. a weight: one of four levels, two spins")
    axis.text(0.62, 0.97, "levels within L", ha="center")
    axis.text(1.12, 0.97, "spins", ha="center")
    for j, (level, y) in enumerate(zip(levels, np.linspace(0.8, 0.1, N), strict=True)):
        axis.text(0.1, y, f"$w_{j + 1}$", color=BLUE, va="center", fontsize=13)
        axis.plot([0.3, 0.94], [y, y], color=GREY, lw=1, zorder=1)
        places = np.linspace(0.3, 0.94, 2**BITS)
        axis.scatter(places, [y] * 4, s=90, color="white", edgecolor=GREY, zorder=2)
        axis.scatter(places[level], y, s=110, color=BLUE, zorder=3)
        for a, spin in enumerate(spins[j]):
            arrow = {"arrowstyle": "-|>", "lw": 2.5, "color": RED if spin > 0 else BLUE}
            axis.annotate("", (1.06 + 0.12 * a, y + 0.07 * spin), (1.06 + 0.12 * a, y - 0.07 * spin), arrowprops=arrow)


def draw_spins(axis: plt.Axes, J: np.ndarray, spins: np.ndarray) -> None:
    axis.set_title("3. the loss: every pair of spins is coupled")
    angles = np.linspace(0, 2 * np.pi, len(J), endpoint=False) + 0.3
    x, y = 0.5 + 0.4 * np.cos(angles), 0.47 + 0.4 * np.sin(angles)
    for i in range(len(J)):
        for j in range(i):
            size = abs(J[i, j]) / abs(J[~np.eye(len(J), dtype=bool)]).max()
            axis.plot(x[[i, j]], y[[i, j]], color=RED if J[i, j] > 0 else BLUE, lw=0.5 + 4 * size, alpha=0.6, zorder=1)
    axis.scatter(x, y, s=420, color="white", edgecolor="black", zorder=2)
    for i, spin in enumerate(spins.ravel()):
        arrow = {"arrowstyle": "-|>", "lw": 2.5, "color": RED if spin > 0 else BLUE}
        axis.annotate("", (x[i], y[i] + 0.045 * spin), (x[i], y[i] - 0.045 * spin), arrowprops=arrow, zorder=3)
    axis.text(0.5, -0.06, "lines: couplings, thick ones strong", ha="center")


def main() -> None:
    random = np.random.default_rng(3)
    inputs = random.normal(size=(50, N)) @ random.normal(size=(N, N))
    problem = LayerProblem.from_rows(inputs, random.normal(size=(50, 1)), np.zeros((1, N)), 0.5, BITS)
    levels = problem.solve("exact").levels[0, 0]
    spins = problem.encoding.spins(levels).reshape(N, BITS)
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "annealtrain", "font.size": 11, "axes.titlesize": 12}):
        figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
        draw_layer(axes[0])
        draw_levels(axes[1], levels, spins)
        draw_spins(axes[2], problem.unit(0).ising()[0], spins)
        for axis, width in zip(axes, (1, 1.3, 1), strict=True):
            axis.set(xlim=(0, width), ylim=(-0.1, 1.05))
            axis.set_axis_off()
        folder = Path(__file__).resolve().parents[1] / "images"
        figure.savefig(folder / "layer_to_spins.svg", facecolor="white", metadata={"Date": None})


if __name__ == "__main__":
    main()
