"""What classes of the user's may answer: a solver for its units, an optimizer for a step."""

import numpy as np
import pytest
from runs_on_blobs import Log, trainer

from annealtrain.errors import WrongAnswer
from annealtrain.optimizers.layerwise import pinv
from annealtrain.solvers.decompose import Decompose
from annealtrain.solvers.ising_solver import IsingSolver
from annealtrain.solvers.solver import Solver
from annealtrain.testing import random_problem


class Fixed(Solver):
    """Gives what it was made with for every unit; of six weights and three bits, where it is right."""

    def __init__(self, answer):
        self.answer = answer

    def sample(self, form, seed):
        return self.answer


class Together(Fixed):
    def sample_batch(self, forms, seeds):
        return self.answer


def levels(value=0, shape=(2, 6), dtype=np.int32):
    return np.full(shape, value, dtype)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "Fixed gave None: give levels (reads, 6)"),
        (levels(), "gave a ndarray"),
        ((levels().tolist(), {}), "no array of numbers"),
        ((levels(8), {}), "levels from 8 to 8: those of a weight are 0 to 7"),
        ((levels(-1), {}), "levels from -1 to -1"),
        ((levels(np.nan, dtype=float), {}), "levels from nan"),
        ((levels(0.5, dtype=float), {}), "no whole numbers, 0 to 7"),
        ((levels(shape=(2, 7)), {}), r"shape (2, 7)"),
        ((np.ma.masked_equal(levels(), 0), {}), "gave levels that are masked"),
        ((levels(shape=6), {}), r"shape (6,)"),
        ((levels(shape=(0, 6)), {}), r"shape (0, 6)"),
        ((levels(), {"mine": "x"}), "no dict of numbers"),
        ((levels(), None), "no dict of numbers"),
    ],
)
def test_levels_that_are_none_are_refused(answer, says):
    problems = [random_problem(N=6, bits=3, alpha=alpha) for alpha in (None, 0.1)]
    solvers = [Fixed(answer), Decompose(Fixed(answer), max_spins=18)]
    for problem, solver in [*zip(problems, solvers[:1] * 2, strict=True), (problems[1], solvers[1])]:
        with pytest.raises(WrongAnswer) as error:
            solver.solve(problem)
        assert says in str(error.value)


def test_spins_behind_a_mask_are_none():
    class Masked(IsingSolver):
        def ising(self, J, h, seed):
            return np.ma.masked_less(np.ones((2, len(h))), hidden)

    for hidden in (0, 2):
        if hidden:
            with pytest.raises(WrongAnswer, match=r"Masked gave spins that are masked: give .* \(reads, 18\)"):
                Masked().solve(random_problem(N=6, bits=3))
        else:
            assert Masked().solve(random_problem(N=6, bits=3)).levels.shape == (3, 2, 6)


@pytest.mark.parametrize(("answer", "gave"), [(None, "None"), ([], "0 answers"), (iter(()), "a tuple_iterator")])
def test_a_batch_has_an_answer_for_each_unit(answer, gave):
    with pytest.raises(WrongAnswer, match=f"gave {gave} to 3 units: give a list, one for each"):
        Together(answer).solve(random_problem(N=6, bits=3))


def test_whole_levels_of_other_types_are_taken():
    problem = random_problem(N=6, bits=3, alpha=0.1)
    found = [Fixed((levels(1, dtype=dtype), {"mine": 1})).solve(problem) for dtype in (np.int32, float, bool, np.uint8)]
    for one in found:
        np.testing.assert_array_equal(one.best_weights, problem.S0 + problem.encoding.offsets(levels(1))[0])


def step_that(answer):
    """A run of an optimizer whose steps answer so: what is given is called with the rows and the network."""
    run = trainer(pinv, epochs=1)
    own = run.optimizer.step
    run.optimizer.step = lambda *given: answer(own(*given), run.network)
    return run


def cut(rows, network):
    network.trainable[1].weights = network.trainable[1].weights[:1]
    return rows


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda rows, _: None, "step gave None: return a list of rows"),
        (lambda rows, _: rows[0], "step gave a dict"),
        (lambda rows, _: [1.0], "a row without the layer"),
        (lambda rows, _: [{"loss": 1.0}], "a row without the layer that it is of"),
        (lambda rows, _: [row | {"layer": 2} for row in rows], "0 to 1"),
        (cut, r"left weights of shape (1, 6) in layer 1: it has (3, 6)"),
    ],
)
def test_what_is_no_answer_to_a_step_is_refused(answer, says):
    with pytest.raises(WrongAnswer) as error:
        step_that(answer).run(Log())
    assert says in str(error.value)


def test_a_step_may_record_nothing():
    log = Log()
    step_that(lambda rows, _: []).run(log)
    assert len(log.rows) == 2
    assert log.solves == []


def test_a_run_that_such_a_class_stops_says_how_to_go_on(cli, tmp_path):
    (tmp_path / "far_levels.py").write_text(
        "import numpy as np\nfrom annealtrain.solvers.solver import Solver\n\n\nclass Far(Solver):\n"
        "    def sample(self, form, seed):\n        return np.full((1, form.S0.size), 4), {}\n"
    )
    small = ["model=linear_small", "samples=30", "validation=20", "epochs=1", "threads=1", "bits=2"]
    outcome = cli("train", "+solver._target_=far_levels.Far", "~solver", *small, "hydra.run.dir=run")
    assert outcome.code == 2, outcome
    assert "levels from 4 to 4: those of a weight are 0 to 3: 0 of 1 epochs are kept; to go on: " in outcome.err
    assert "Traceback" not in outcome.err
