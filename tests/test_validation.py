"""Rules of settings: what holds, what does not, and what is said of it."""

import numpy as np
import pytest

from annealtrain.errors import InputError
from annealtrain.runtime.validation import (
    YES_OR_NO,
    Rule,
    check_all,
    checked,
    each_of,
    either,
    first_and_last,
    number,
    one_of,
    optional,
    shown,
    taken_by,
    whole,
)

INF, NAN = float("inf"), float("nan")
HUGE = 10**400  # a whole number beyond what a float holds


@pytest.mark.parametrize(
    ("rule", "words", "good", "bad"),
    [
        (whole(), "a whole number of at least 1", [1, 7, np.int64(3), 2**31 - 1], [0, -1, 1.0, True, "1", None, [1]]),
        (whole(0), "a whole number of at least 0", [0, 5], [-1, 0.0, False, NAN]),
        (whole(0, 16), "a whole number from 0 to 16", [0, 16], [-1, 17, 2.5]),
        (number(), "a number", [0, -1.5, np.float32(2), 10**18], [INF, NAN, "1", True, None, 1j]),
        (number(0), "a number of at least 0", [0, 0.5], [-1e-300]),
        (number(above=0), "a number above 0", [1e-300, 7], [0, -1, INF]),
        (number(above=0, below=1), "a number above 0 and below 1", [0.5], [0, 1]),
        (number(above=0, most=10), "a number above 0 and at most 10", [10], [0, 10.5]),
        (number(0, below=1), "a number of at least 0 and below 1", [0, 0.99], [1, -0.1]),
        (number(0, 1e6), "a number from 0 to 1e+06", [0, 1e6], [-1, 1e6 + 1]),
        (number(most=2), "a number of at most 2", [2, -5], [2.5]),
        (number(0, 1, words="a share"), "a share", [0, 1], [2]),
        (one_of("bit", "slice"), "one of bit, slice", ["bit"], ["Bit", "", None, 0, ["bit"]]),
        (one_of(True, False, "auto"), "one of true, false, auto", [True, "auto"], [1, 0, "true", None]),
        (one_of("zephyr", None), "one of zephyr, null", [None, "zephyr"], ["null", False]),
        (YES_OR_NO, "one of true, false", [True, False], [1, 0, "yes", None]),
        (optional(whole()), "a whole number of at least 1, or null", [None, 2], [0, "null", False]),
        (either(whole(), one_of("all")), "a whole number of at least 1 or one of all", [3, "all"], [0, "none", None]),
        (
            each_of(whole()),
            "a list of values, each a whole number of at least 1",
            [[1], (1, 2)],
            [[], 1, [0], "12", {1}],
        ),
        (
            each_of(whole(), 2),
            "a list of 2 values, each a whole number of at least 1",
            [[1, 2]],
            [[1], [1, 2, 3], [1, 0]],
        ),
        (each_of(whole(), words="sizes"), "sizes", [[1, 2]], [[1.5]]),
        (each_of(one_of("a", "b")), "a list of values, each one of a, b", [["a"]], ["a", "ab"]),
        (
            first_and_last(number(above=0)),
            "[first, last], each a number above 0",
            [[1, 2], (3.0, 0.1)],
            [[1], [1, 2, 3], [0, 1], 3.0, None, "12"],
        ),
    ],
)
def test_what_a_rule_asks_and_what_it_says(rule, words, good, bad):
    assert rule.words == words
    for value in good:
        rule.check("setting", value)
    for value in bad:
        with pytest.raises(InputError) as caught:
            rule.check("setting", value)
        assert str(caught.value) == f"setting={shown(value)} is not {words}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (None, "null"), ("slice", "'slice'"), (2.5, "2.5"), ([1, "a"], "[1, 'a']")],
)
def test_values_are_shown_as_they_are_written_in_yaml(value, text):
    assert shown(value) == text


class Thing:
    @checked("thing.", size=whole(), kind=one_of("a", "b"))
    def __init__(self, size, kind="a", other=None):
        """What a thing is."""
        self.size, self.kind, self.other = size, kind, other


@checked("", size=whole(), name=Rule("short", lambda value: len(value) < 3))
def make(size=1, *, name="x"):
    return size, name


def test_arguments_are_checked_before_a_constructor_runs():
    made = Thing(3, "b", other=object)
    assert (made.size, made.kind, made.other) == (3, "b", object)
    for arguments, named, message in (
        ((0,), {}, "thing.size=0 is not a whole number of at least 1"),
        ((), {"size": 2.0}, "thing.size=2.0 is not a whole number of at least 1"),
        ((1, "c"), {}, "thing.kind='c' is not one of a, b"),
        ((0, "c"), {}, "thing.size=0 is not"),  # the first that is wrong
    ):
        with pytest.raises(InputError, match=message):
            Thing(*arguments, **named)


def test_functions_keep_their_names_defaults_and_errors_of_calling():
    assert make() == (1, "x")
    assert make(2, name="y") == (2, "y")
    assert make.__name__ == "make"
    assert Thing.__init__.__doc__ == "What a thing is."
    with pytest.raises(InputError, match=r"^name='long' is not short$"):
        make(name="long")
    with pytest.raises(TypeError, match="unexpected keyword argument 'nmae'"):
        make(nmae="y")
    with pytest.raises(TypeError, match="missing a required argument: 'size'"):
        Thing()


def test_defaults_are_checked_too():
    @checked("", size=whole())
    def wrong(size=0):
        return size

    with pytest.raises(InputError, match="size=0"):
        wrong()


def test_named_values_are_checked_in_the_order_of_the_rules():
    rules = {"bits": whole(1, 16), "seed": whole(0)}
    check_all({"seed": 0, "bits": 3, "more": "is not looked at"}, rules)
    with pytest.raises(InputError, match=r"^bits=17 is not a whole number from 1 to 16$"):
        check_all({"seed": -1, "bits": 17}, rules)
    with pytest.raises(InputError, match=r"^seed=-1 is not"):
        check_all({"seed": -1, "bits": 16}, rules)


def test_a_value_beyond_what_can_be_computed_with_is_told_the_limit():
    for rule, value, said in (
        (whole(), 2**31, "setting=2147483648 is not a whole number of at least 1 and at most 2147483647, as"),
        (whole(1, 5, "as five fit"), 6, "setting=6 is not a whole number of at least 1 and at most 5, as five fit"),
        (optional(each_of(number(0))), [1, 1e19], "at most 1e+18 in size"),
        (number(), -1e19, "setting=-1e+19 is not a number and at most 1e+18 in size"),
        (number(), HUGE, "setting=1e400 is not a number and at most 1e+18 in size"),
    ):
        with pytest.raises(InputError) as caught:
            rule.check("setting", value)
        assert said in str(caught.value)


class Handing(Thing):
    def __init__(self, speed, **given):
        super().__init__(speed, **given)


class Open:
    def __init__(self, *words, **given):
        pass


@pytest.mark.parametrize(
    ("make", "names", "is_open"),
    [
        (Thing, ["size", "kind", "other"], False),
        (Handing, ["size", "kind", "other", "speed"], False),  # what it hands on it takes
        (type("Plain", (Handing,), {}), ["size", "kind", "other", "speed"], False),
        (Open, [], True),
        (type("Bare", (), {}), [], False),
        (lambda solver, **given: None, ["solver"], True),
    ],
)
def test_what_a_class_hands_on_it_takes(make, names, is_open):
    found, takes_any = taken_by(make)
    assert (list(found), takes_any) == (names, is_open)
