"""The contracts themselves: whatever breaks a promise fails the check that is for it, and no other's promise does."""

from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from unittest import SkipTest

import numpy as np
import pytest

from annealtrain.errors import WrongAnswer
from annealtrain.nn.layers import Linear
from annealtrain.optimizers.kronecker import Kronecker
from annealtrain.optimizers.layerwise import Layerwise
from annealtrain.optimizers.targets import DifferenceTargets
from annealtrain.runtime.random_streams import generator, stream
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.exact import Exact
from annealtrain.solvers.solver import Solver
from annealtrain.testing import OptimizerContract, SolverContract, TrainableLayerContract


def failures(contract) -> set[str]:
    """Return the names of a contract's checks that fail."""
    found = set()
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract(), name)()
            except (AssertionError, WrongAnswer):
                found.add(name)
            except SkipTest:
                pass
    return found


def made(contract, kind, **flags):
    """Return a contract of what kind() or kind(**annealing) makes."""
    return type("Made", (contract,), {"make": lambda self, **given: kind(**given), **flags})


class Unseeded(Exact):
    calls = count()

    def sample(self, form, seed):
        levels = generator(next(self.calls)).integers(0, 2**form.bits, (1, form.S0.size))
        return np.where(form.live, levels, 0), {}


class Lazy(Solver):
    def sample(self, form, seed):
        return form.nearest_levels(form.S0)[None], {}


class Unsorted(Exact):
    def solve(self, problem, **given):
        result = super().solve(problem, **given)
        twice = {name: np.repeat(getattr(result, name), 2, axis=1) for name in ("levels", "weights", "energies")}
        low = problem.encoding.offsets(0)
        twice["levels"][:, 0], twice["weights"][:, 0] = 0, problem.S0 + low
        return replace(result, **twice)


class Counting(SimulatedAnnealing):
    """Each solve begins with the seed after that of the one before."""

    solves = 0

    def solve(self, problem, *, seed=0, progress=None):
        self.solves += 1
        return super().solve(problem, seed=stream(seed, self.solves), progress=progress)


class Binary(Solver):
    """Takes all spins as bits, so that a weight of three levels gets a fourth."""

    def sample(self, form, seed):
        levels = generator(seed).integers(0, 2**form.bits, (20, form.S0.size))
        return np.where(form.live, levels, 0), {}


class Relaxed(Exact):
    """Its levels are no whole numbers."""

    def sample(self, form, seed):
        levels, stats = super().sample(form, seed)
        return levels * 0.9, stats


class Silent(Exact):
    def solve(self, problem, *, seed=0, progress=None):
        return super().solve(problem, seed=seed)


class Neighbourly(Exact):
    """Gives each unit what the next one should have."""

    def sample_batch(self, forms, seeds):
        found = super().sample_batch(forms, seeds)
        return found[1:] + found[:1]


class Optimistic(Exact):
    def solve(self, problem, **given):
        result = super().solve(problem, **given)
        return replace(result, lower_bounds=result.energies[:, 0] + 1)


EXACT = {"is_random": False, "reaches_ground_state": True}
BACKWARD = "test_backward_is_the_gradient_by_differences"
SEEDS = "test_another_seed_is_another_result_unless_nothing_is_random"
THREADS = "test_the_same_seed_is_the_same_result_on_any_number_of_threads"
GROUND = "test_no_energy_is_below_the_ground_state_which_is_reached_where_promised"


@pytest.mark.parametrize(
    ("contract", "among"),
    [
        (made(SolverContract, Exact, **EXACT), set()),
        (made(SolverContract, Exact), {SEEDS}),
        (made(SolverContract, Lazy, is_random=False), {"test_one_spin_takes_the_lower_of_its_two_energies"}),
        (made(SolverContract, Lazy, **EXACT), {GROUND}),
        (made(SolverContract, Unseeded), {THREADS, "test_units_do_not_depend_on_their_neighbours"}),
        (made(SolverContract, SimulatedAnnealing), set()),
        (made(SolverContract, Counting), {"test_what_it_solved_before_changes_nothing"}),
        (made(SolverContract, Binary), {"test_levels_that_are_no_power_of_two_end_with_the_top_one"}),
        (made(SolverContract, Relaxed, **EXACT), {THREADS, GROUND}),
        (made(SolverContract, Unsorted, **EXACT), {THREADS, GROUND}),
        (made(SolverContract, Silent, **EXACT), {"test_progress_is_told_of_each_unit_or_between_sweeps"}),
        (made(SolverContract, Neighbourly, **EXACT), {"test_units_do_not_depend_on_their_neighbours"}),
        (made(SolverContract, Optimistic, **EXACT), {THREADS, GROUND}),
    ],
)
def test_a_solver_that_breaks_a_promise_fails(contract, among):
    found = failures(contract)
    assert among <= found
    assert bool(found) == bool(among)


class Doubled(Linear):
    def adjoint(self, y):
        return 2 * super().adjoint(y)


class Transposed(Linear):
    def inverse(self):
        return self.adjoint


class Double(Linear):
    def forward(self, x):
        return super().forward(x).astype(np.float64)


class Centred(Linear):
    def forward(self, x):
        return super().forward(x - x.mean(axis=0))


class Curved(Linear):
    def forward(self, x):
        return super().forward(x) ** 3


class Unbiased(Linear):
    def gradient(self, x, dz):
        found = super().gradient(x, dz)
        found[:, -1] = 0
        return found


class Late(Linear):
    """Its inverse is that of the weights at each call."""

    def inverse(self):
        return lambda y: Linear.inverse(self)(y)


class Consuming(Linear):
    """Uses up the gradients that it is given."""

    def gradient(self, x, dz):
        found = super().gradient(x, dz)
        dz *= 0
        return found


class Drawn(Linear):
    def initialize(self, generator):
        super().initialize(np.random.default_rng())


class Backwards(Linear):
    def backward_at(self, x):
        return lambda dy: -self.adjoint(dy)


class Misplaced(Linear):
    """Its gradient is the adjoint of another layer's."""

    def backward_at(self, x):
        return lambda dy: self.adjoint(dy)[:, ::-1]


class Scrambled(Linear):
    def unfold(self, x):
        return super().unfold(x)[::-1]


@pytest.mark.parametrize(
    ("kind", "among"),
    [
        (Linear, set()),
        (Doubled, {"test_adjoint_is_the_transposed_map"}),
        (Transposed, {"test_inverse_meets_the_penrose_conditions_where_it_is_exact"}),
        (Consuming, {"test_what_it_is_given_stays_as_it_is"}),
        (Drawn, {"test_first_weights_have_their_shape_and_biases_are_zero"}),
        (Backwards, {BACKWARD}),
        (Misplaced, {"test_outputs_and_gradients_are_those_of_autograd"} if find_spec("torch") else {BACKWARD}),
        (Double, {"test_single_and_double_precision_are_kept"}),
        (Centred, {"test_shapes_are_those_that_connect_tells_and_samples_do_not_mix"}),
        (Curved, {"test_forward_is_linear_but_for_its_threshold"}),
        (Unbiased, {"test_gradients_are_the_differences_that_weights_make"}),
        (Late, {"test_inverse_is_that_of_the_weights_it_was_made_with"}),
        (Scrambled, {"test_what_units_see_times_their_weights_is_what_they_give"}),
    ],
)
def test_a_layer_that_breaks_a_promise_fails(kind, among):
    found = failures(made(TrainableLayerContract, lambda: kind(4), in_shape=(6,)))
    assert among <= found
    assert bool(found) == bool(among)


def difference(kind):
    return lambda **annealing: kind(DifferenceTargets(), **annealing)


class Idle(Layerwise):
    def step(self, batch, step, progress):
        weights = [layer.weights for layer in self.network.trainable]
        rows = super().step(batch, step, progress)
        for layer, before in zip(self.network.trainable, weights, strict=True):
            layer.weights = before
        return rows


class Overshooting(Layerwise):
    def step(self, batch, step, progress):
        weights = [layer.weights for layer in self.network.trainable]
        rows = super().step(batch, step, progress)
        for layer, before in zip(self.network.trainable, weights, strict=True):
            layer.weights = before + 1.5 * (layer.weights - before)
        return rows


class Boastful(Layerwise):
    def step(self, batch, step, progress):
        return super().step(batch, step, lambda layer, share: progress(layer, 2 * share))


class Forgetful(Kronecker):
    def state(self):
        return {}

    def restore(self, state):
        pass


class Careless(Kronecker):
    """Hands out the arrays that it goes on changing."""

    def state(self):
        return super().state() | {f"gradient_{k}": array for k, array in enumerate(self._model.gradient.sums)}


class Spoiling(Layerwise):
    """Leaves its samples otherwise than they were."""

    def step(self, batch, step, progress):
        rows = super().step(batch, step, progress)
        batch.outputs[...] += 0.1
        return rows


class Disturbed(Layerwise):
    """Solves with another seed once it was asked for a problem."""

    def next_problem(self, k, batch, step):
        self.seed = 5
        return super().next_problem(k, batch, step)


class Silenced(Layerwise):
    def step(self, batch, step, progress):
        return [{"epoch": row["epoch"], "layer": row["layer"]} for row in super().step(batch, step, progress)]


class Unchecked(Layerwise):
    def check(self, network):
        pass


class Halved(Layerwise):
    """Promises the problems of half the range."""

    def next_problem(self, k, batch, step):
        problem = super().next_problem(k, batch, step)
        problem.half_range /= 2
        return problem


@pytest.mark.parametrize(
    ("kind", "among"),
    [
        (difference(Layerwise), set()),
        (Kronecker, set()),
        (difference(Idle), {"test_six_steps_lower_the_loss"}),
        (difference(Overshooting), {"test_a_step_moves_every_layer_and_no_weight_beyond_its_range"}),
        (difference(Halved), {"test_the_next_problem_is_what_is_solved_next"}),
        (difference(Spoiling), {"test_a_step_leaves_its_samples_alone"}),
        (difference(Disturbed), {"test_the_next_problem_is_what_is_solved_next"}),
        (difference(Silenced), {"test_a_step_moves_every_layer_and_no_weight_beyond_its_range"}),
        (difference(Boastful), {"test_progress_is_a_share_of_a_layer"}),
        (Forgetful, {"test_it_goes_on_from_its_state_to_the_same_bits"}),
        (Careless, {"test_it_goes_on_from_its_state_to_the_same_bits"}),
        (difference(Unchecked), {"test_a_range_for_another_number_of_layers_is_refused"}),
    ],
)
def test_an_optimizer_that_breaks_a_promise_fails(kind, among):
    found = failures(made(OptimizerContract, kind))
    assert among <= found
    assert bool(found) == bool(among)
