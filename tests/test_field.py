"""The race of solvers: adapters, laps, what they say, and `annealtrain bench field`."""

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from annealtrain.commands.field import bench, heats, summary
from annealtrain.commands.field.heats import Terms
from annealtrain.commands.field.ising import levels_of, matrices, model
from annealtrain.commands.field.judge import Mark, best_known, firsts, interval_of
from annealtrain.commands.field.milp import linearised
from annealtrain.commands.field.ours import Member, Portfolio
from annealtrain.commands.field.race import Lap, fresh, race
from annealtrain.commands.field.rivals import RIVALS, Rival, chosen
from annealtrain.commands.own_process import Lost
from annealtrain.errors import InputError
from annealtrain.hamiltonian.instances import Instance, catalogue, load
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.reports import field_plots
from annealtrain.runs.tables import read_rows
from annealtrain.runtime import thread_pool

SMALL, SPARSE = "digits-linear_small-step-2", "digits-chimera-2"


def instance(num_levels: int = 4, weights: int = 6, dead: int = 2) -> Instance:
    """A small one, with a weight that moves nothing."""
    random = np.random.default_rng(num_levels)
    X = random.integers(-4, 5, (20, weights))
    X[:, dead] = 0
    b = random.integers(-200, 200, weights) * (np.arange(weights) != dead)
    return Instance("tiny", X.T @ X, b, 7, num_levels, np.zeros(weights, np.int64), True)


def test_another_problem_by_a_name_of_the_catalogue_is_refused(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(replace(instance(), name=SMALL).to_bytes())
    said = refused("bench", "field", "mine.npz", "--solvers", "sa", "--output", "race")
    assert said.startswith(f"mine.npz has the name of the catalogue's {SMALL} and is another problem (hash ")


def least(one: Instance) -> int:
    every = np.stack(np.meshgrid(*[np.arange(one.num_levels)] * one.num_weights), axis=-1).reshape(-1, one.num_weights)
    return int(one.energy(every).min())


@pytest.mark.parametrize("num_levels", [2, 3, 4])
@pytest.mark.parametrize("name", RIVALS)
def test_every_solver_returns_levels_of_a_small_one(name: str, num_levels: int) -> None:
    one, rival = instance(num_levels), RIVALS[name]
    try:
        rival.check(one.num_spins)
    except InputError as error:
        pytest.skip(str(error))
    with thread_pool.threads(1):
        run = rival.make(fresh(one.form()))
        levels = run(64, 0, 1.0)
        for turn in range(1, 6 * (name == "annealtrain")):  # each of its members in turn
            found = run(64, turn, 1.0)
            levels = levels if found is None else found
    assert levels is not None
    assert levels.shape[1] == one.num_weights
    assert levels.min() >= 0
    assert levels.max() < num_levels
    if name in ("annealtrain", "exact", "beam", "sa", "milp", "sa_beam"):
        assert one.energy(levels).min() == least(one)


@pytest.mark.parametrize("num_levels", [2, 3, 4, 16])
def test_a_problem_that_is_not_convex_is_raced_on(num_levels: int) -> None:
    A = np.array([[-3, 2, 0], [2, 1, -4], [0, -4, -2]])
    one = Instance("hill", A, np.array([5, -7, 1]), 0, num_levels, np.zeros(3, np.int64), False)
    with thread_pool.threads(1):
        for name in ("annealtrain", "sa", "descent"):
            assert race(RIVALS[name], one, 0, 0.05, least(one)).points[-1][1] == least(one)


def test_a_problem_that_nothing_moves_has_its_one_energy() -> None:
    one = Instance("flat", np.zeros((3, 3), np.int64), np.zeros(3, np.int64), 7, 4, np.zeros(3, np.int64), True)
    for name in ("annealtrain", "sa", "neal"):
        assert race(RIVALS[name], one, 0, 0.01).points == [(0.0, 7)]


def test_the_effort_of_a_run_has_an_end() -> None:
    efforts = []

    def run(effort: int, seed: int, left_s: float) -> np.ndarray:
        efforts.append(effort)
        return np.zeros((0, 6), int)

    race(Rival("quick", lambda form: run, ""), instance(), 0, 0.02)
    member = Member(lambda effort, seed, left_s: np.zeros((1, 6), int), 2**23)
    for _ in range(3):
        member.note(member.effort, 0.0, 0.0, 0.0)
    assert max(efforts) <= 2**24 == member.effort


def test_turns_go_to_who_is_forecast_lowest() -> None:
    """Energies fall by what the last doublings brought, over those that the time has; the unknown come first."""
    steep = Member(None, 64, last_s=0.1, lowest=10.0, drops=[9.0, 2.0, 4.0])  # type: ignore[arg-type]
    flat = Member(None, 64)  # type: ignore[arg-type]
    assert flat.forecast(1.0) == -np.inf
    flat.note(64, 0.1, 5.0, best=3.0)
    assert flat.forecast(1.0) == -np.inf  # one turn tells nothing of the next
    flat.note(128, 0.2, 6.0, best=3.0)
    assert (flat.lowest, flat.drops, flat.effort, flat.last_s) == (5.0, [0.0], 256, 0.2)
    assert flat.forecast(1.0) == 5.0
    assert steep.forecast(0.4) == pytest.approx(10 - 2 * 3)
    assert steep.forecast(0.01) == 10.0
    onward = Member(None, 64, goes_on=True)  # type: ignore[arg-type]
    onward.note(64, 0.1, 2.5, best=3.0)
    assert onward.drops == [0.5]


def test_the_last_turn_fills_the_time() -> None:
    member = Member(None, 64)  # type: ignore[arg-type]
    assert member.next_effort(1e-9) == 64
    member.note(64, 0.1, 1.0, best=np.inf)
    assert member.next_effort(1.0) == 128  # 0.2 s, and another behind it
    assert member.next_effort(0.3) == int(64 * 0.9 * 3)
    assert member.next_effort(0.05) == int(64 * 0.9 * 0.5)
    assert member.next_effort(1e-9) == 1


@pytest.mark.parametrize("kind", ["convex", "glass", "levels"])
def test_a_portfolio_asks_all_who_can_and_ends_at_the_least(kind: str) -> None:
    generator, N, bits = np.random.default_rng(0), 8, 2 if kind == "levels" else 1
    rows, upper = generator.normal(size=(40, N)), np.triu(generator.normal(size=(N, N)), 1)
    J, h = upper + upper.T if kind == "glass" else rows.T @ rows / 40, generator.normal(size=(1, N))
    form = LayerProblem.from_moments(J, h, np.zeros(1), np.zeros((1, N)), 1.0, bits).unit(0)
    portfolio, turn = Portfolio(form), 0
    with thread_pool.threads(1):
        while not portfolio.is_done and turn < 30:
            portfolio(1, turn, 10.0)
            turn += 1
    every = np.array(list(itertools.product(form.encoding.offsets(np.arange(2**bits)), repeat=N)))
    assert portfolio.lowest == pytest.approx(form.energy(every).min())
    assert len(portfolio.members) == {"convex": 5, "glass": 2, "levels": 5}[kind]
    assert kind != "glass" or all(member.spent_s > 0 for member in portfolio.members)
    assert portfolio.is_done == (kind != "glass")  # enumeration has certified it


@pytest.mark.parametrize("num_levels", [2, 3, 4])
def test_spins_are_those_of_the_form(num_levels: int) -> None:
    form = instance(num_levels).form()
    live = form.couplings.indices.size * form.bits
    spins = np.random.default_rng(0).choice([-1, 1], (8, live))
    energies = form.energy(form.weights(levels_of(form, spins)))
    np.testing.assert_allclose(model(form).energies(spins), energies)
    J, h = matrices(form)
    scaled = ((spins @ J + h) * spins).sum(axis=1)
    np.testing.assert_allclose(np.diff(scaled) / scaled.std(), np.diff(energies) / energies.std(), atol=1e-9)


def test_a_linear_program_without_time_has_no_state() -> None:
    run = linearised(load("digits-linear-grid-2").form())
    assert len(run(1, 0, 0.0)) in (0, 1)


def counted(*took: int, levels: np.ndarray | None = None) -> tuple[Rival, list[int]]:
    """A solver that notes the efforts it is asked for."""
    efforts: list[int] = []

    def run(effort: int, seed: int, left_s: float) -> np.ndarray | None:
        efforts.append(effort)
        return np.zeros((1, 6), np.int32) if levels is None else levels

    return Rival("counted", lambda form: run, "", first=3), efforts


def test_efforts_double_and_the_optimum_ends_a_lap(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()  # of the clock, a tenth of a millisecond each: other load takes no part
    monkeypatch.setattr("annealtrain.commands.field.race.time", SimpleNamespace(process_time=lambda: next(looks) / 1e4))
    one = instance()
    rival, efforts = counted()
    lap = race(rival, one, 0, 0.005)
    assert efforts[:4] == [3, 6, 12, 24]
    assert [energy for _, energy in lap.points] == [one.energy(np.zeros(6))]
    rival, efforts = counted()
    assert len(race(rival, one, 0, 9.0, optimum=int(one.energy(np.zeros(6)))).points) == 1
    assert efforts == [3]
    rival, efforts = counted(levels=np.zeros((0, 6), np.int32))
    assert race(rival, one, 0, 0.002).points == []
    fixed = Rival("fixed", counted()[0].make, "", is_fixed=True)
    assert len(race(fixed, one, 0, 1.0).points) == 1


def test_a_lap_tells_energies_by_time() -> None:
    lap = Lap("a", "x", 0, points=[(0.1, 50), (0.4, 20)])
    assert [lap.energy_at(at) for at in (0.05, 0.1, 0.3, 1)] == [None, 50, 50, 20]
    assert [lap.time_to(energy) for energy in (60, 50, 30, 10)] == [0.1, 0.1, 0.4, None]


def laps() -> list[Lap]:
    """Two solvers that come to the best, one that does not, one late, one with nothing."""
    paths = {
        "annealtrain": [[(0.01, 110), (0.2, 100)], [(0.02, 120), (0.3, 100)]],
        "neal": [[(0.05, 101)], [(0.05, 101)]],
        "tabu": [[(0.01, 500)], [(0.01, 400)]],
        "steepest": [[(3.0, 100)], [(3.0, 100)]],
        "qqa": [[], []],
    }
    return [
        Lap(solver, "x", seed, points=points, note="not installed" * (solver == "qqa"))
        for solver, each in paths.items()
        for seed, points in enumerate(each)
    ]


def marks() -> list[Mark]:
    return summary.marks_of(laps(), [0.1, 1.0], {"x": 100}, {"x": 1100}, 1e-3)


def test_marks_are_gaps_successes_and_times_to_the_target() -> None:
    found = {(each.solver, each.seconds): each for each in marks()}
    early, whole = found["annealtrain", 0.1], found["annealtrain", 1.0]
    assert early.gap == pytest.approx((0.01 + 0.02) / 2)
    assert early.high - early.gap == pytest.approx(12.7062 * 0.005, rel=1e-4)  # t of one degree of freedom
    assert (early.success, whole.success) == (0, 1)
    assert whole.reached_s == pytest.approx(0.3)
    assert whole.to_target[0] == 1.0
    assert early.to_target[0] == math.inf
    assert found["neal", 0.1].success == 1  # a gap of .001 is within the target
    assert found["qqa", 1.0].gap == found["steepest", 1.0].gap == math.inf
    assert {solver for (solver, at), each in found.items() if at == 1.0 and each.is_first} == {"annealtrain"}
    assert {solver for (solver, at), each in found.items() if at == 0.1 and each.is_first} == {"neal"}


def test_first_is_who_scatters_down_to_the_lowest_gap() -> None:
    two = [
        replace(marks()[0], solver=name, gap=gap, low=gap - 1, high=gap + 1, least=least, most=2.0)
        for name, gap, least in (("a", 1.0, 0.5), ("b", 1.9, 1.5), ("c", 1.9, 2.1))
    ]
    assert firsts(two) == {"a", "b"}  # the seeds of c are all above those of a
    assert firsts([replace(two[0], gap=0.0, high=0.1), two[1]]) == {"a"}
    assert firsts([]) == set()
    assert firsts([each for each in marks() if each.solver == "qqa"]) == set()
    assert interval_of([1.0]) == interval_of([1.0, math.inf]) == 0
    assert interval_of([1.0, 1.0, 1.0]) == 0


def test_the_best_known_is_the_lowest_of_the_catalogue_and_of_laps() -> None:
    better = [*laps(), Lap("neal", SMALL, 0, points=[(1.0, 5)])]
    assert best_known(catalogue(), better)[SMALL] == 5
    assert best_known({}, better)["x"] == 100


def test_tables_and_words_of_a_race() -> None:
    head, rows = summary.table(marks(), [0.1, 1.0])
    assert head[1] == "first or tied at 0.1 s"
    assert [(row[0], row[1], row[4]) for row in rows[:2]] == [("annealtrain", "0/1", "1/1"), ("neal", "1/1", "0/1")]
    assert {row[0]: row[1:] for row in rows}["qqa"] == [""] * 6
    assert {row[0]: row[1:4] for row in rows}["steepest"] == ["0/1", "0.00", "-"]  # it ran, and had nothing yet
    lines = summary.verdict(marks(), [0.1, 1.0])
    assert lines == [
        "annealtrain is first or tied on 0 of 1 at 0.1 s, one of this project's solvers on 0",
        "  not on x: neal has a gap of 0.001, it 0.015",
        "annealtrain is first or tied on 1 of 1 at 1 s, one of this project's solvers on 1",
        "no result of qqa on x: not installed",
    ]
    cells = summary.csv_rows(marks())
    assert {row["tts_s"] for row in cells if row["solver"] == "qqa"} == {None}
    (none, _) = (row for row in cells if row["solver"] == "qqa")
    told = {name: value for name, value in none.items() if value is not None}
    assert told == {"solver": "qqa", "instance": "x", "seconds": 0.1, "seeds": 0, "note": "not installed"}
    assert len(summary.lap_rows(laps())) == 4 + 2 + 2 + 2 + 2  # the last two of laps without a point


def test_laps_that_never_ran_count_for_nothing() -> None:
    one = [Lap("neal", "x", 0, points=[(0.1, 100)]), Lap("neal", "x", 1, note="its process ended with code 7")]
    other = [Lap("neal", "y", seed, note="not asked: 456 spins, at most 160") for seed in (0, 1)]
    found = summary.marks_of([*one, *other], [1.0], {"x": 100, "y": 0}, {"x": 1100, "y": 9}, 1e-3)
    assert [(each.seeds, each.success) for each in found[:1]] == [(1, 1.0)]
    assert found[0].to_target[0] == 1.0
    assert summary.table(found, [1.0])[1] == [["neal", "1/1", "1.00", "0"]]
    (line,) = summary.verdict(found[1:], [1.0])
    assert line == "no result of neal on y: not asked: 456 spins, at most 160"


@pytest.mark.parametrize("solvers", ["neal", "sa,neal"])
def test_a_race_that_no_lap_ran_of_ends_with_code_1(
    solvers: str, cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine"  # a file of any name, of which a dead lap knows no other
    path.write_bytes(load(SMALL).to_bytes())

    def dead(rivals: list[Rival], terms: Terms, *given: object) -> list[Lap]:
        said = "its process ended with code 9"
        return [Lap(rival.name, name, 0, note=said) for rival in rivals for name in terms.instances]

    monkeypatch.setattr(bench, "heats", dead)
    outcome = cli("bench", "field", "mine", "--solvers", solvers, "--output", "race")
    assert (outcome.code, outcome.out) == (1, "")
    first = solvers.split(",")[0]
    said = f"no solver has a result ({first}: its process ended with code 9): race/laps.csv says why\n"
    assert outcome.err.splitlines()[-1] + "\n" == f"annealtrain bench: {said}"
    assert {row["instance"] for row in read_rows(tmp_path / "race" / "laps.csv")} == {SMALL}
    cells = (tmp_path / "race" / "field.md").read_text().splitlines()[-1].split("|")
    assert [cell.strip() for cell in cells[2:-1]] == [""] * 6
    assert "0.00" not in (tmp_path / "race" / "field.tex").read_text()


def test_figures_show_every_solver() -> None:
    paths = {("a", "x"): [[(0.01, 0.5), (0.1, 1e-4)]], ("b", "x"): [[]], ("a", "y$"): [[(0.2, 0.0)]]}
    (axes,) = field_plots.solved(paths, 1e-3, 1.0).axes
    assert [line.get_label() for line in axes.lines] == ["a 1.00", "b 0.00"]
    image = field_plots.gap_map({("a", "x"): 1e-4, ("b", "x"): math.inf}, "gaps").axes[0]
    assert [text.get_text() for text in image.get_yticklabels()] == ["a", "b"]
    colours = {line.get_label()[0]: line.get_color() for line in axes.lines}
    figure = field_plots.trajectories(paths, 1.0, {"a"})
    assert [panel.get_title("left") for panel in figure.axes] == ["x", r"y\$"]  # and none beside them that is empty
    assert {line.get_color() for panel in figure.axes for line in panel.lines} == {colours["a"]}  # as in the first


def test_the_panels_of_a_race_have_seconds_below_and_a_legend_on_none_of_their_labels() -> None:
    lap = [(0.01, 0.5), (0.1, 1e-4)]
    figure = field_plots.trajectories({("a", f"i{k}"): [lap] for k in range(7)}, 1.0, {"a"})
    figure.draw_without_rendering()
    last = [panel for panel in figure.axes if panel.get_visible()][-5:]
    assert all(panel.xaxis.get_tick_params()["labelbottom"] for panel in last)
    (legend,) = figure.legends
    labels = [text for text in figure.texts if text.get_text()]
    assert {text.get_text() for text in labels} == {"seconds", "mean gap to the best known"}
    for text in [*labels, *(panel.title for panel in figure.axes)]:
        assert not legend.get_window_extent().overlaps(text.get_window_extent())


def test_a_solver_that_hangs_or_dies_is_a_lap_with_a_note_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Deaf:
        def __init__(self, *given: object, preload: object) -> None:
            self.open = list(given[3])  # type: ignore[call-overload]
            asked.append(len(self.open))

        def __enter__(self) -> "Deaf":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def receive(self, timeout_s: float, stop: threading.Event) -> Lap:
            name, seed = self.open.pop(0)
            if name == SMALL:
                raise Lost("its process ended with code 7")
            return Lap("sa", name, seed, points=[(0.1, 1)])

    monkeypatch.setattr(heats, "own_process", Deaf)
    found = heats.laps_of(RIVALS["sa"], Terms((SMALL, SPARSE), 2, 0.1), lambda lap: None, threading.Event())
    assert [(lap.instance, lap.seed, lap.note) for lap in found] == [
        *((SMALL, seed, "its process ended with code 7") for seed in (0, 1)),
        *((SPARSE, seed, "") for seed in (0, 1)),
    ]
    assert asked == [4, 2]


def test_who_is_interrupted_begins_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[str] = []

    def laps(rival: Rival, terms: Terms, tell: object, stop: threading.Event) -> list[Lap]:
        began.append(rival.name)
        if rival.name == "sa":
            raise KeyboardInterrupt
        return [] if stop.wait(30) else [Lap(rival.name, SMALL, 0)]

    monkeypatch.setattr(heats, "laps_of", laps)
    with pytest.raises(KeyboardInterrupt):
        heats.heats([RIVALS[name] for name in ("sa", "descent", "beam", "exact")], Terms((SMALL,), 1, 0.1), 2, print)
    assert "exact" not in began


def test_what_a_solver_raises_is_the_note_of_its_lap() -> None:
    def fails(form: object) -> None:
        raise RuntimeError("no\nluck")

    assert heats.lap(Rival("bad", fails, ""), load(SMALL), 0, 0.1).note == "failed: RuntimeError: no luck"  # type: ignore[arg-type]
    large = load("digits-linear1-step-8")
    assert heats.lap(RIVALS["milp"], large, 0, 0.1).note == "not asked: 456 spins, at most 160"
    missing = Rival("missing", fails, "", needs=("no_such_module", "it"))  # type: ignore[arg-type]
    assert heats.lap(missing, load(SMALL), 0, 0.1).note == "not installed: pip install it"


def test_the_command_writes_tables_and_figures(cli: Callable, tmp_path: Path) -> None:
    settings = ("--solvers", "annealtrain,milp", "--seconds", "0.05", "--seeds", "2", "--output", "race")
    outcome = cli("bench", "field", SMALL, *settings)
    assert outcome.code == 0, outcome.err
    assert "annealtrain is first or tied on 1 of 1 at 0.05 s" in outcome.out
    assert outcome.out.endswith(f"folder: {tmp_path}/race\n")
    files = {path.name for path in (tmp_path / "race").iterdir()}
    assert files == {"laps.csv", "marks.csv", "field.md", "field.tex", "solved.png", "gaps.png", "energies.png"}
    rows = read_rows(tmp_path / "race" / "marks.csv")
    assert [(row["solver"], row["seeds"]) for row in rows] == [("annealtrain", 2), ("milp", 1)]
    assert rows[0]["success"] == 1
    assert "is not empty: give --output another one" in cli("bench", "field", SMALL, "--output", "race").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--solvers", "neel"], "--solvers: there is no 'neel'; did you mean 'neal'?"),
        (["--solvers", "sa,sa"], "--solvers: sa stands there twice"),
        (["--solvers", ""], "--solvers is empty: give a value, or leave it out"),
        (["--solvers", ",sa"], "--solvers: there is no ''"),
        (["--seconds", "1e-320"], "--seconds=1e-320 is not a number from 0.001 to 3600"),
        (["--seconds", "0"], "--seconds=0.0 is not a number from 0.001 to 3600"),
        (["--seeds", "0"], "--seeds=0 is not a whole number from 1 to 1000"),
        (["--jobs", "0"], "--jobs=0 is not a whole number"),
        (["--target", "2"], "--target=2.0 is not a number"),
        (["digits"], "there is no instance digits"),
        ([SMALL, SMALL], f"{SMALL}: instance {SMALL} stands there twice, by its name or as a file: leave one out"),
    ],
)
def test_bad_words_are_one_line(refused: Callable, words: list[str], said: str) -> None:
    assert said in refused("bench", "field", *words)


def test_an_instance_beside_its_own_file_is_named_as_it_was_given(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(load(SMALL).to_bytes())
    said = (
        f"annealtrain bench: mine.npz: instance {SMALL} stands there twice, by its name or as a file: leave one out\n"
    )
    outcome = cli("bench", "field", SMALL, "mine.npz")
    assert (outcome.code, outcome.out, outcome.err) == (2, "", said)


def test_all_solvers_take_part_unless_some_are_named() -> None:
    assert [rival.name for rival in chosen(None)] == list(RIVALS)
    assert [rival.name for rival in chosen("neal, sa")] == ["neal", "sa"]
