"""Statistics of timings, on timings made by hand: quiet, interrupted, drifting. Nothing here is timed."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from limbeck.deploy import scheduling
from limbeck.deploy.costs import disturbance
from limbeck.deploy.latency import decides, summarised
from limbeck.deploy.timing import Burst, Timing, clock_over_cpu, latency, median_interval, narrow, ratio, typical


def quiet(*ms: float) -> Burst:
    """Runs that had the processor to themselves, after one that filled the caches and took ten times as long."""
    return Burst((Timing(10 * ms[0], 10 * ms[0]), *(Timing(one, one) for one in ms)))


def interrupted(clock_ms: float, cpu_ms: float, runs: int = 4) -> Burst:
    return Burst((Timing(clock_ms, cpu_ms),) * (runs + 1))


def test_latency_is_the_clock_of_undisturbed_runs_and_says_how_many_were_not():
    burst = Burst(
        (
            Timing(9.0, 9.0),  # fills the caches: counted nowhere
            Timing(1.0, 1.0),
            Timing(2.0, 2.0),
            Timing(40.0, 1.5),  # interrupted
            Timing(4.0, 4.0),  # finds the caches full of something else
            Timing(3.0, 3.0),
        )
    )
    found = latency([burst, quiet(4.0)])
    assert found == {"p50": 2.5, "p95": pytest.approx(3.85), "n": 4, "disturbed": 2, "cpu_p50": 2.5}
    assert clock_over_cpu([burst]) == pytest.approx((9 + 1 + 2 + 40 + 4 + 3) / (9 + 1 + 2 + 1.5 + 4 + 3))


def test_a_reading_of_the_clocks_is_no_interruption():
    assert not Timing(0.0155, 0.0140).interrupted  # a microsecond and a half between two readings
    assert not Timing(1.09, 1.0).interrupted
    assert Timing(1.12, 1.0).interrupted
    assert Timing(0.9, 1.0).own_ms == 0.9  # never more than the clock says
    assert Timing(38.8, 2.9).own_ms == 2.9


def test_where_all_is_interrupted_there_is_no_latency_by_the_clock():
    assert latency([interrupted(38.8, 2.9)]) == {"p50": None, "p95": None, "n": 0, "disturbed": 4, "cpu_p50": 2.9}


def test_a_quiet_machine_gives_a_headline():
    found = summarised({"teacher": [quiet(2.0, 2.0)] * 50, "student": [quiet(0.1, 0.1, 0.1)] * 50})
    assert (found["busy"], found["narrow"], found["disturbed"]) == (False, True, False)
    assert found["speedup"]["student"] == {
        "ratio": 20.0,
        "low": 20.0,
        "high": 20.0,
        "level": 0.95,
        "n": 50,
        "of": "rounds",
    }
    assert disturbance(found, "--force export") is None


def test_long_runs_that_are_interrupted_and_short_ones_that_are_not_give_no_headline():
    # by the clock 38.8 / 0.042 = 924 times as fast; of their own time 2.9 / 0.042 = 69 times
    found = summarised({"teacher": [interrupted(38.8, 2.9)] * 50, "student": [quiet(*[0.042] * 100)] * 50})
    assert (found["busy"], found["narrow"], found["disturbed"]) == (True, True, True)
    assert found["speedup"]["student"]["ratio"] == pytest.approx(69.05, abs=0.01)
    assert found["clock_over_cpu"] == pytest.approx(38.8 / 2.9)
    note = disturbance(found, "--force export")
    assert note is not None
    assert "busy machine: the clock ran 13.4 times as long" in note
    assert "the student is 69 times as fast as the teacher (95 % interval 69 to 69)" in note
    assert "--force export" in note


def test_a_clock_that_drifts_goes_out_of_the_ratio():
    slow = [1 + k / 25 for k in range(50)]  # the processor takes thrice as long at the end
    teacher = [quiet(3.0 * factor, 3.0 * factor) for factor in slow]
    student = [quiet(0.5 * factor, 0.5 * factor) for factor in slow]
    found = summarised({"teacher": teacher, "student": student})
    assert found["speedup"]["student"]["ratio"] == pytest.approx(6.0)
    assert not found["disturbed"]


def test_a_ratio_that_does_not_settle_is_disturbed_though_nothing_interrupts():
    teacher = [quiet(2.0, 2.0), quiet(3.0, 3.0)] * 25  # in every other round half as slow again
    found = summarised({"teacher": teacher, "student": [quiet(1.0, 1.0)] * 50})
    assert (found["busy"], found["narrow"], found["disturbed"]) == (False, False, True)
    assert (found["speedup"]["student"]["low"], found["speedup"]["student"]["high"]) == (2.0, 3.0)
    note = disturbance(found, "--force export")
    assert note is not None
    assert "kept changing" in note


def test_rounds_that_were_disturbed_are_left_out_where_enough_are_left():
    bad = interrupted(50.0, 2.6)  # caches refilled: 2.6 ms of its own where 2 is right
    six = [quiet(2.0, 2.0)] * 6
    student = [quiet(1.0, 1.0)]
    assert ratio([*six, bad, bad], student * 8) | {"level": 0} == {
        "ratio": 2.0, "low": 2.0, "high": 2.0, "level": 0, "n": 6, "of": "rounds",
    }  # fmt: skip


def test_a_few_undisturbed_runs_are_better_than_many_that_began_with_cold_caches():
    bad, fast = interrupted(50.0, 2.6), quiet(1.0, 1.0)
    few = ratio([quiet(2.0), bad, quiet(2.2), bad, quiet(1.9), bad, bad, bad], [fast] * 8)
    assert (few["ratio"], few["low"], few["high"], few["n"], few["of"]) == (2.0, 1.9, 2.2, 3, "runs")
    swapped = ratio([fast] * 8, [quiet(2.0), bad, quiet(2.2), bad, quiet(1.9), bad, bad, bad])
    assert swapped["ratio"] == pytest.approx(1 / 2.0)
    none = ratio([quiet(2.0), quiet(2.0), *[bad] * 6], [fast] * 8)
    assert (none["ratio"], none["low"], none["high"], none["n"], none["of"]) == (2.6, 2.0, 2.6, 8, "disturbed rounds")


def test_a_burst_without_an_undisturbed_run_stands_by_its_lower_quartile():
    runs = [Timing(90.0, cpu) for cpu in (7.0, 1.0, 2.0, 3.0, 4.0, 5.0)]  # the first only fills the caches
    assert Burst(tuple(runs)).typical_ms == 2.0


@pytest.mark.parametrize("n", [6, 7, 8, 9, 10, 20, 25, 50, 101])
def test_the_interval_of_a_median_holds_it_with_95_percent_and_no_narrower_one_does(n):
    low, middle, high = median_interval([float(value) for value in range(1, n + 1)][::-1])

    def outside(rank: int) -> float:  # P(fewer than `rank` of n values lie below the median), both ends
        return 2 * sum(math.comb(n, k) for k in range(rank)) / 2**n

    assert middle == (n + 1) / 2
    assert low + high == n + 1
    assert outside(int(low)) <= 0.05 < outside(int(low) + 1)


def test_narrow_means_two_percent_to_either_side():
    assert narrow({"ratio": 100.0, "low": 98.1, "high": 101.9})
    assert not narrow({"ratio": 100.0, "low": 97.9, "high": 102.1})


def test_turns_are_long_inside_and_as_they_were_outside_also_after_an_error():
    before = scheduling.turn_ns()
    seen = []

    def fails() -> None:
        with scheduling.long_turns(50.0):
            seen.append(scheduling.turn_ns())
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    # where the system tells, it gives what it is asked for
    assert seen == [50_000_000 if before else before]
    assert scheduling.turn_ns() == before


def test_turns_need_no_right_and_are_left_alone_where_there_is_no_such_call():
    code = (
        "import os, platform\n"
        "from limbeck.deploy import scheduling\n"
        "os.getuid() or os.setuid(65534)\n"
        "with scheduling.long_turns(1e9): inside = scheduling.turn_ns()\n"
        "platform.machine = lambda: 'another'\n"
        "assert scheduling.turn_ns() is None\n"
        "with scheduling.long_turns(5): pass\n"
        "print(inside)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = scheduling.turn_ns()
    assert done.stdout.strip() == str(scheduling.LONGEST_NS if told else told)


def test_a_median_has_the_interval_of_its_bursts_and_settles_a_limit_that_lies_outside():
    bursts = [quiet(one, one, one) for one in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)]
    found = typical(bursts)
    assert found == {"value": 1.3, "low": 1.0, "high": 1.6, "level": 0.95, "n": 7, "of": "bursts"}
    assert [decides(found, limit) for limit in (0.9, 1.0, 1.3, 1.59, 1.6)] == [True, False, False, False, True]
    assert not decides(found, None)  # not narrow
    assert decides(typical([quiet(1.0, 1.0)] * 7), None)


def test_where_all_bursts_are_disturbed_a_median_is_of_their_own_time_and_says_so():
    found = typical([interrupted(38.8, 2.9)] * 8)
    assert (found["value"], found["of"], found["n"]) == (2.9, "disturbed bursts", 8)
