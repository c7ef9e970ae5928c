"""Which candidates go on at a rung, worked out by hand."""

import math

import pytest

from limbeck.searching.rungs import Standing, goes_on, rung_epochs

CHEAP, MIDDLE, DEAR = Standing(0.80, (1.0, 10)), Standing(0.90, (2.0, 20)), Standing(0.95, (4.0, 40))
OTHERS = [CHEAP, MIDDLE, DEAR]


@pytest.mark.parametrize(
    ("candidate", "on"),
    [
        (Standing(0.99, (9.0, 90)), True),  # nobody is as good
        (Standing(0.10, (0.5, 5)), True),  # the worst, and nobody is as cheap
        (Standing(0.10, (0.5, 90)), True),  # dear in one cost, but cheapest in another
        (Standing(0.85, (2.0, 20)), False),  # MIDDLE alone
        (Standing(0.85, (1.9, 20)), True),  # the same, cheaper than MIDDLE by a little
        (Standing(0.90, (2.0, 20)), False),  # equal is at least as good
        (Standing(0.79, (4.0, 40)), False),  # all three
    ],
)
def test_a_candidate_stops_where_one_of_few_is_at_least_as_good_in_everything(candidate: Standing, on: bool) -> None:
    assert goes_on(candidate, OTHERS) is on


def test_the_share_is_of_those_that_reached_the_rung() -> None:
    weak = Standing(0.85, (2.0, 20))
    assert not goes_on(weak, [MIDDLE, *[DEAR] * 18])  # one of 19
    assert goes_on(weak, [MIDDLE, *[DEAR] * 19])  # one of 20
    assert not goes_on(weak, [MIDDLE, MIDDLE, *[DEAR] * 37])  # two of 39
    assert goes_on(weak, [MIDDLE, MIDDLE, *[DEAR] * 38])  # two of 40


def test_the_first_go_on_unless_their_quality_is_no_number() -> None:
    for others in range(3):
        assert goes_on(Standing(0.1), [Standing(0.9)] * others)
        assert not goes_on(Standing(math.nan), [Standing(0.9)] * others)
    assert not goes_on(Standing(0.1), [Standing(0.9)] * 3)
    # and one that is no number stops nobody
    assert goes_on(Standing(0.1), [Standing(math.nan)] * 3)


def test_rungs_are_whole_epochs_before_the_last() -> None:
    assert rung_epochs((1 / 9, 1 / 3), 27) == (3, 9)
    assert rung_epochs((1 / 3, 1 / 9), 30) == (3, 10)
    assert rung_epochs((1 / 9, 1 / 3), 4) == (1,)  # both fall on the first
    assert rung_epochs((1 / 9, 1 / 3), 2) == (1,)
    assert rung_epochs((1 / 9, 1 / 3), 1) == ()
    assert rung_epochs((0.99,), 10) == ()
