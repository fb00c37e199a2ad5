"""Which executor anneals which layer; and that the choice depends on no machine where the bits depend on it."""

from types import SimpleNamespace

import numpy as np
import pytest

from annealtrain import _anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.solvers.annealing import cost_model
from annealtrain.solvers.annealing.cost_model import Executor, estimate_cost, plan, plan_chains
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.testing import random_problem

PLAIN = {"num_sweeps": 10, "num_reads": 1, "is_random_order": False, "is_from_present": True, "is_timed": False}


def activated(M, N, R):
    """Return a problem of M units of N weights on R rows, each with a J of its own."""
    generator = np.random.default_rng(0)
    inputs, S0 = generator.normal(size=(R, N)), generator.normal(size=(M, N))
    factors = np.where(inputs @ S0.T >= 0, 1.0, 0.1)
    return LayerProblem.from_rows(inputs, generator.normal(size=(R, M)), S0, 0.3, 4, factors=factors)


def shared(M=20, *, convex=False):
    return LayerProblem.from_moments(np.eye(4), np.ones((M, 4)), np.zeros(M), np.zeros((M, 4)), 1.0, 2, convex=convex)


def test_units_of_one_J_without_a_bound_go_together_from_their_present_weights():
    assert plan(shared(), **PLAIN) is Executor.SHARED_COUPLINGS
    assert plan(shared(M=1), **PLAIN) is Executor.SHARED_COUPLINGS


@pytest.mark.parametrize(
    "other", [{"num_reads": 2}, {"is_from_present": False}, {"is_timed": True}, {"is_random_order": True}]
)
def test_what_the_executor_of_shared_couplings_cannot_do_goes_chain_by_chain(other):
    executor = plan(shared(), **PLAIN | other)
    assert executor is (Executor.CHAINS if "is_random_order" in other else Executor.LANES)


def test_a_certified_bound_needs_units_one_by_one():
    assert plan(shared(convex=True), **PLAIN) is Executor.LANES
    assert plan(random_problem(M=20), **PLAIN) is Executor.LANES
    assert plan(random_problem(M=1), **PLAIN) is Executor.CHAINS


def test_units_that_differ_in_J_without_rows_have_their_reads_in_lanes():
    J = np.array([np.eye(3)] * 20)
    problem = LayerProblem.from_moments(J, np.ones((20, 3)), np.zeros(20), np.zeros((20, 3)), 1.0, 2)
    assert plan(problem, **PLAIN) is Executor.CHAINS
    assert plan(problem, **PLAIN | {"num_reads": 5}) is Executor.LANES


@pytest.mark.parametrize(("lanes", "most"), [(16, 2), (8, 2), (4, 1)])
def test_a_few_chains_run_one_by_one(monkeypatch, lanes, most):
    """In lanes that stay empty: of 16 or 8, two are faster one by one, of 4 only one is."""
    monkeypatch.setattr(cost_model, "_anneal", SimpleNamespace(lanes=lambda: lanes))
    found = [plan_chains(chains) for chains in range(1, 5)]
    assert found == [Executor.CHAINS] * most + [Executor.LANES] * (4 - most)


def test_the_cheaper_form_of_an_activated_layer_is_chosen():
    """Many units on few rows go by their inputs; a convolution's many rows are formed into J once."""
    many, convolution = activated(M=120, N=400, R=500), activated(M=6, N=25, R=20000)
    formed, by_inputs = estimate_cost(many, 120, 2)
    assert by_inputs < 0.5 * formed
    assert SimulatedAnnealing(2).executor(many) is Executor.SHARED_INPUTS
    assert SimulatedAnnealing(2, order="random").executor(many) is Executor.CHAINS
    formed, by_inputs = estimate_cost(convolution, 6, 100)
    assert formed < by_inputs
    assert SimulatedAnnealing(100).executor(convolution) is Executor.CHAINS


def test_reads_and_sweeps_are_part_of_the_cost():
    """By the inputs every chain pays for every row in every sweep: with more of them J is worth forming."""
    layer = activated(M=30, N=40, R=2000)
    for more in ((30 * 50, 10), (30, 1000)):
        costs = np.array([estimate_cost(layer, 30, 10), estimate_cost(layer, *more)])
        assert np.all(costs[1] > costs[0])
        assert (costs[1] - costs[0])[1] > (costs[1] - costs[0])[0]


def test_the_choice_between_forms_is_the_same_on_every_machine():
    """The two forms round differently: a seed gives one result only if all kernels choose the same form."""
    layers = [activated(M=M, N=40, R=R) for M in (1, 4, 10, 17) for R in (50, 400, 3000)]
    estimates = []
    try:
        for name in _anneal.kernels():
            _anneal.use_kernel(name)
            estimates.append([estimate_cost(layer, layer.num_units, 10) for layer in layers])
    finally:
        _anneal.use_kernel(_anneal.kernels()[0])
    assert all(each == estimates[0] for each in estimates)
