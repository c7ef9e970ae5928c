"""The front against what it is by definition, over trials at random."""

import math
import random

from limbeck.searching import trials
from limbeck.searching.front import chosen_of, eligible, finalists_of, front_of, fronts_by_cost
from limbeck.searching.trials import Trial


def trial(number: int, quality: float | None, fate: str = trials.FINISHED, **cost: float) -> Trial:
    return Trial(number, "student", {}, fate, "", quality=quality, cost=cost)


def at_random(count: int, seed: int) -> list[Trial]:
    draw = random.Random(seed)
    return [
        trial(k, draw.randrange(40) / 40, latency_ms=draw.randrange(1, 20) / 10, size_kb=float(draw.randrange(1, 20)))
        for k in range(1, count + 1)
    ]


def test_the_front_is_what_it_is_by_definition() -> None:
    budget = {"latency_ms": 1.6, "size_kb": 15.0}
    for seed in range(20):
        for better in (1, -1):
            found = at_random(40, seed)

            def beats(a: Trial, b: Trial, sign: int = better) -> bool:
                pairs = [(sign * (a.quality or 0), sign * (b.quality or 0))]
                pairs += [(-a.cost[name], -b.cost[name]) for name in budget]
                alike = all(x == y for x, y in pairs)
                return all(x >= y for x, y in pairs) and (a.number < b.number if alike else True)

            within = [one for one in found if all(one.cost[name] <= limit for name, limit in budget.items())]
            wanted = {b.number for b in within if not any(beats(a, b) for a in within if a is not b)}
            front = front_of(found, budget, better)
            assert {one.number for one in front} == wanted
            assert [one.cost["latency_ms"] for one in front] == sorted(one.cost["latency_ms"] for one in front)
            chosen = chosen_of(front, budget, better)
            assert chosen is not None
            assert better * (chosen.quality or 0) == max(better * (one.quality or 0) for one in within)
            for name, alone in fronts_by_cost(found, budget, better).items():
                one_cost = front_of(within, {name: math.inf}, better)
                assert {(one.cost[name], one.quality) for one in alone} == {
                    (one.cost[name], one.quality) for one in one_cost
                }


def test_what_is_no_result_is_on_no_front() -> None:
    found = [
        trial(1, 0.9, latency_ms=0.5),
        trial(2, 0.99, latency_ms=2.0),  # over budget
        trial(3, 0.99, trials.stopped_at(1), latency_ms=0.5),
        trial(4, 0.99),  # not measured
        trial(5, math.nan, latency_ms=0.1),
        trial(6, None, latency_ms=0.1),
    ]
    assert [one.number for one in eligible(found, {"latency_ms": 1.0})] == [1]
    assert front_of(found, {}) == [found[1], found[0]][::-1]  # no budget: the latency decides, without a limit
    assert front_of([], {}) == []
    assert chosen_of([], {}) is None
    assert finalists_of([], {}, 3) == []


def test_finalists_are_the_best_the_cheapest_and_what_lies_between_of_those_that_keep_nine_tenths() -> None:
    front = [trial(k, 0.9 + 0.1 * (1 - 1 / 2**k), latency_ms=float(10**k)) for k in range(1, 6)]
    assert [one.number for one in finalists_of(front, {}, 3)] == [5, 1, 2]  # 2: quality has risen halfway
    assert [one.number for one in finalists_of(front, {}, 9)][:3] == [5, 1, 2]
    assert len(finalists_of(front, {}, 9)) == 5
    assert finalists_of(front[:1], {}, 3) == front[:1]
    poor = [trial(8, 0.4, latency_ms=0.1), trial(9, 0.88, latency_ms=0.2)]  # of 0.997 nine tenths are 0.897
    assert finalists_of([*poor, *front], {}, 9) == finalists_of(front, {}, 9)
    # of errors, of which less is better
    assert [
        one.number for one in finalists_of([trial(1, 0.2, latency_ms=1), trial(2, 0.1, latency_ms=2)], {}, 3, -1)
    ] == [2]
