"""The ground state by Schnorr-Euchner enumeration of the triangle of J: a tree with a weight's level at each depth.

A node is a partial assignment; what its weights cost already, plus what the others must cost at least because their
box ends, bounds every energy below it from below. A node whose bound is not below the best energy known goes. Nodes of
one depth are grown in groups, closest levels first and deepest group first, so that memory stays small.
"""

from typing import NamedTuple

import numpy as np

from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.triangle import Triangle
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array

GROUP = 2048  # nodes that are grown at once
SLACK = 1e-9  # relative: an energy this close to the best is not searched for


class Nodes(NamedTuple):
    """Partial assignments of one depth: rows `depth` .. n - 1 are fixed. costs (k,), centres and levels (k, n)."""

    depth: int
    costs: Array
    centres: Array
    levels: Array


class Enumerated(NamedTuple):
    """The best levels (n,), in the triangle's order, nodes visited, and whether they are certified as the best."""

    levels: Array
    nodes: int
    is_certified: bool


def enumerate_levels(
    triangle: Triangle, targets: Array, encoding: Encoding, start: Array, max_nodes: int
) -> Enumerated:
    """Return the levels of the lowest energy of one unit; start: known good ones, in the triangle's order.

    targets: (n,), see Triangle. It ends uncertified, with the best that it has seen, at max_nodes.
    """
    n, reach = len(targets), reaches(triangle, encoding)
    best = start
    limit = float(triangle.excess(targets[:, None], encoding.offsets(start)[:, None])[0])
    stack = [Nodes(n, np.zeros(1), targets[None].copy(), np.zeros((1, n), np.int32))]
    visited = 0
    while stack:
        thread_pool.check_cancelled()
        nodes = stack.pop()
        alive = nodes.costs < limit * (1 - SLACK)
        nodes = Nodes(nodes.depth, *(part[alive] for part in nodes[1:]))
        if not nodes.costs.size:
            continue
        if visited >= max_nodes:
            return Enumerated(best, visited, False)
        children = grown(triangle, encoding, reach, nodes, limit)
        visited += children.costs.size
        if not children.costs.size:
            continue
        if children.depth == 0:
            lowest = int(children.costs.argmin())
            limit, best = float(children.costs[lowest]), children.levels[lowest].copy()
            continue
        order = np.argsort(children.costs)[::-1]  # the most promising group is popped first
        for part in thread_pool.chunks(order.size, GROUP):
            stack.append(Nodes(children.depth, *(each[order[part]] for each in children[1:])))
    return Enumerated(best, visited, True)


def grown(triangle: Triangle, encoding: Encoding, reach: Array, nodes: Nodes, limit: float) -> Nodes:
    """Return the children of nodes whose bound is below the limit."""
    j = nodes.depth - 1
    all_levels = np.arange(encoding.top_level + 1)
    costs = nodes.costs[:, None] + triangle.d[j] * (encoding.offsets(all_levels) - nodes.centres[:, j, None]) ** 2
    node, level = np.nonzero(costs < limit)
    costs, centres = costs[node, level], nodes.centres[node]
    centres[:, :j] -= encoding.offsets(level)[:, None] * triangle.R[:j, j]
    # The rows before cost at least what their centres are beyond all that the weights of the box can give.
    beyond = np.maximum(np.abs(centres[:, :j]) - reach[:j, j], 0)
    alive = costs + beyond**2 @ triangle.d[:j] < limit
    levels = nodes.levels[node[alive]]
    levels[:, j] = level[alive]
    return Nodes(j, costs[alive], centres[alive], levels)


def reaches(triangle: Triangle, encoding: Encoding) -> Array:
    """Return how far row i of R x can go by weights i .. j - 1 of the box alone: (n, n), entry i, j."""
    free = np.abs(np.triu(triangle.R)) * encoding.half_range
    return np.concatenate([np.zeros((len(free), 1)), free.cumsum(axis=1)[:, :-1]], axis=1)
