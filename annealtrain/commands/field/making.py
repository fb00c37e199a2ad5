"""From a network in whole numbers to the Hamiltonian of one of its units, exact to the last digit."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from annealtrain.commands.field.exact_network import ExactNetwork, rounded
from annealtrain.commands.field.specs import SAMPLES, Spec, layers_of
from annealtrain.data import datasets
from annealtrain.hamiltonian.instances import Instance
from annealtrain.runtime.array_types import Array

MOST_ROWS = 4096  # of a Hamiltonian: sites of a convolution are thinned out evenly
WEIGHT_BITS = 7  # that weights are rounded to, as the range of a step is 127 of their units or a little more
REACH = (1.0, 2.0, 2.0, 2.5)  # of 1, 2, 3, 4 bits and more
TARGET = 2  # a step is to change outputs by their largest / 2^TARGET at most


def made(specs: Sequence[Spec], data_dir: str | None) -> Iterator[Instance]:
    """Yield the instances; DataMissing where a set of images is not at hand."""
    for spec in specs:
        yield make(spec, data_dir)


def make(spec: Spec, data_dir: str | None) -> Instance:
    """Return one instance; DataMissing where its images are not at hand."""
    network = _network(spec.data, spec.network, spec.kind == "grid", data_dir)
    images, labels = _samples(spec.data, data_dir)
    done = network.forward(images[: spec.samples])
    layer, k = network.layers[spec.layer], spec.layer
    W = rounded(layer.weights, WEIGHT_BITS)[spec.unit]
    X = layer.unfold(done.inputs[k])
    thin = slice(None, None, -(-len(X) // MOST_ROWS))
    gamma = np.ones(len(X[thin]))
    derivative = None
    if spec.kind != "grid":
        derivative = layer.activation_derivative(done.outputs[k])
        error = layer.flatten_outputs(network.errors(done, labels[: spec.samples])[k])[thin, spec.unit]
    if derivative is not None:
        gamma = layer.flatten_outputs(derivative)[thin, spec.unit]
    X, weights = X[thin], (4 * gamma) ** 2 if derivative is not None else gamma
    J = (X * weights[:, None]).T @ X
    if spec.kind == "grid":
        A, b, c, start = _grid(_whole(J), _whole(W), spec.num_levels)
    else:
        wish = X @ W - rounded(error, int(np.frexp(np.abs(X @ W).max())[1]) - TARGET)
        h, E0 = X.T @ (weights * wish) * -2, int(_whole(weights) @ _whole(wish) ** 2)
        J, h, W = _whole(J), _whole(h), _whole(W)
        if spec.kind == "chimera":
            J, h, W, E0 = _on_chimera(J, h, W, int(spec.name.rpartition("-")[2]))
        A, b, c, start = _step(J, h, E0, W, spec.num_levels)
    about = {"data": spec.data, "network": spec.network, "layer": spec.layer, "unit": spec.unit, "kind": spec.kind}
    about |= {"couplings": "own" if derivative is not None else "shared", "rows": len(X)}
    return Instance(spec.name, A, b, c, spec.num_levels, start, spec.kind != "chimera", about)


def _whole(values: Array) -> Array:
    """Return whole numbers held in float64 as int64; all of them are below 2^53."""
    found = values.astype(np.int64)
    if not np.array_equal(found, values) or np.abs(values).max(initial=0) >= 2**53:
        raise ValueError("numbers of an instance are not whole, or too large to be exact")
    return found


@cache
def _network(data: str, name: str, is_trained: bool, data_dir: str | None) -> ExactNetwork:
    images, labels = _samples(data, data_dir)
    network = ExactNetwork(layers_of(name), images.shape[1:], 10, seed=0)
    if is_trained:
        network.train(images, labels)
    return network


@cache
def _samples(data: str, data_dir: str | None) -> tuple[Array, Array]:
    dataset = datasets.digits() if data == "digits" else getattr(datasets, data)(data_dir=data_dir)
    return dataset.train_images[:SAMPLES].astype(np.float64), dataset.train_labels[:SAMPLES]


def _step(J: Array, h: Array, E0: int, W: Array, num_levels: int) -> tuple[Array, Array, int, Array]:
    """Return A, b, c of E(S) = S'JS + h'S + E0 on S = W + q (2 u - top), and the levels closest to W.

    The range L = q top is 127 or a little less: the size of a weight. Energies are in 2 q of the loss's unit, what is
    left of the constant cut.
    """
    top = num_levels - 1
    q = max(1, 127 // top)
    first = W - q * top
    b, c = 2 * (J @ first) + h, int(first @ (J @ first) + h @ first) + E0
    return 2 * q * J, b, c // (2 * q), np.full(len(W), num_levels // 2)


def _grid(J: Array, W: Array, num_levels: int) -> tuple[Array, Array, int, Array]:
    """Return A, b, c of E(S) = (S - W)'J(S - W) on S = q (2 u - top), and the levels closest to W.

    The range q top is the mean of |W| for one bit, and REACH times it for more. Energies are in 4 q of the loss's unit.
    """
    top = num_levels - 1
    reach = float(np.abs(W).sum()) / len(W) * REACH[min(top.bit_length(), len(REACH)) - 1]
    q = max(1, round(reach / top))
    first = -q * top - W
    start = np.clip(np.rint((W / q + top) / 2), 0, top)
    return q * J, J @ first, int(first @ (J @ first)) // (4 * q), _whole(start)


def _on_chimera(J: Array, h: Array, W: Array, cells: int) -> tuple[Array, Array, Array, int]:
    """Return J, h, W and a constant with only the couplings that a Chimera graph of cells x cells K_4,4 has.

    Its qubits are the weights of the largest J_jj, in their order. The gradient at W stays, the energy there is 0.
    """
    count = 8 * cells**2
    kept = np.sort(np.argsort(-J.diagonal(), kind="stable")[:count])
    if len(kept) < count:
        raise ValueError(f"{len(J)} weights do not fill a Chimera graph of {count} qubits")
    gradient = (2 * (J @ W) + h)[kept]
    mask, W = chimera(cells) | np.eye(count, dtype=bool), W[kept]
    J = np.where(mask, J[np.ix_(kept, kept)], 0)
    h = gradient - 2 * (J @ W)
    return J, h, W, -int(W @ (J @ W) + h @ W)


def chimera(cells: int) -> Any:
    """Return which qubits of a Chimera graph are coupled, (8 cells^2, 8 cells^2) bool.

    Qubit 8 (cells i + j) + 4 side + k: those of one cell on its two sides are coupled, and side 0 with the same k of
    the cells above and below, side 1 of those to the left and right.
    """
    number = np.arange(8 * cells**2)
    cell, side, k = number // 8, number // 4 % 2, number % 4
    i, j = cell // cells, cell % cells
    away = np.abs(i[:, None] - i), np.abs(j[:, None] - j)
    inside = (cell[:, None] == cell) & (side[:, None] != side)
    same = (side[:, None] == side) & (k[:, None] == k)
    vertical = same & (side == 0) & (away[0] == 1) & (away[1] == 0)
    return inside | vertical | (same & (side == 1) & (away[1] == 1) & (away[0] == 0))
