"""Energy by a meter's log: held to traces whose joules are known, and refused where the log cannot tell."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from limbeck.deploy.meter import energy_by_meter, metered, read_log

BEGIN = 1_800_000_000.0
WINDOW = {"idle": [BEGIN + 5, BEGIN + 25], "load": [BEGIN + 27, BEGIN + 47], "runs": 1000}


def log(
    path: Path,
    watts: Callable[[float], float],
    *,
    step: float = 0.5,
    until: float = 60,
    gap: tuple[float, float] = (0, 0),
) -> Path:
    """A log of so many seconds, its samples off the stretches' ends, without those in a gap."""
    times = [second for second in np.arange(0.2, until, step) if not gap[0] < second < gap[1]]
    path.write_text("time,watts\n" + "".join(f"{BEGIN + second},{watts(second)}\n" for second in times))
    return path


@pytest.mark.parametrize(
    ("watts", "joules"),
    [
        (lambda second: 1.5 if second < 26 else 4.0, 2.5 * 20),  # constant
        (
            lambda second: 1.0 if second < 26 else 1.0 + 0.2 * (second - 27),
            0.2 * 20**2 / 2,
        ),  # a ramp: trapezoids are exact
        (lambda second: 0.01 * second, (37 - 15) * 0.01 * 20),  # a device that warms up: the mean of both stretches
        # a wave of whole periods in both stretches, beside which the rest is nothing
        (lambda second: 2 + math.sin(2 * math.pi * second / 5) + (3 if second > 26 else 0), 3 * 20),
    ],
)
def test_the_joules_of_a_known_trace_come_out(tmp_path, watts, joules):
    found = energy_by_meter(read_log(log(tmp_path / "power.csv", watts)), WINDOW, "power.csv")
    assert found["kind"] == "measured"
    assert found["joules"] == pytest.approx(joules, rel=2e-3)
    assert found["value"] == pytest.approx(joules, rel=2e-3)  # mJ of each of a thousand runs


def test_time_in_words_and_other_columns_come_to_the_same(tmp_path):
    plain = log(tmp_path / "power.csv", lambda second: 1 if second < 26 else 3)
    lines = ["volts, Watts, time"]
    for line in plain.read_text().splitlines()[1:]:
        when, watts = line.split(",")
        lines.append(f"5.1,{watts},{datetime.fromtimestamp(float(when), UTC).isoformat().replace('+00:00', 'Z')}")
    other = tmp_path / "other.csv"
    other.write_text("\n".join(lines))
    first, second = (energy_by_meter(read_log(one), WINDOW, "log")["joules"] for one in (plain, other))
    assert first == pytest.approx(second)
    assert first == pytest.approx(40)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gap": (30, 33)}, r"power\.csv, at work: the log has a gap of 3.5 s from 2027-01-15 08:00:29 UTC on"),
        ({"gap": (8, 12)}, r"power\.csv, idle: the log has a gap of 4.5 s"),
        ({"step": 3.0}, "no two samples may lie more than 2 s apart"),
        ({"until": 40}, "ends 7.3 s too soon to tell of 2027-01-15 08:00:27 to 2027-01-15 08:00:47 UTC"),
        ({"gap": (0, 10)}, "begins 5.2 s too late"),
        ({"watts": lambda second: 2.0 if second < 26 else 1.5}, "nothing is left for the model: does its clock agree"),
    ],
)
def test_a_log_that_cannot_tell_is_refused(tmp_path, changed, said):
    path = log(tmp_path / "power.csv", **{"watts": lambda second: 1 if second < 26 else 3, **changed})
    with pytest.raises(ValueError, match=said):
        energy_by_meter(read_log(path), WINDOW, "power.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line must name the columns time .* it is empty"),
        ("time,milliwatts\n1800000000,5\n", "it is time, milliwatts"),
        ("time,watts\n", "it holds no measurement"),
        ("time,watts\n1800000000000,5\n", "line 2: 1800000000000 is not seconds since 1970, UTC \\(milliseconds"),
        ("time,watts\n0.5,5\n", "counted from something else"),
        ("time,watts\n2027-01-15T08:00:00,5\n", "does not say its zone"),
        ("time,watts\nnoon,5\n", "'noon' is no time"),
        ("time,watts\n1800000000,1\n1800000001,high\n", "line 3: 'high' is no power"),
        ("time,watts\n1800000000,-1\n", "'-1' is no power"),
        ("time,watts\n1800000000,nan\n", "'nan' is no power"),
        ("time,watts\n1800000001,1\n1800000000,1\n", "line 3: time does not go on"),
        ("time,watts\n1800000000,1e308\n", "'1e308' is no power"),
        (f'time,watts\n1800000000,1\n"{"1" * 200_000}"\n', r"power\.csv, line 3: it is not CSV \(field larger"),
        ("time,watts,\udcb0C\n1800000000,1,2\n", r"power\.csv: it is not text in UTF-8 \(byte 12 is none\)"),  # Latin-1
        ("time,watts\n1800000001\n", "line 2: it has 1 columns, and the heading has 2"),
    ],
)
def test_what_is_no_log_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "power.csv").write_text(text, errors="surrogateescape")
    csv.field_size_limit(131_072)  # the usual one, whatever was read before in this process
    with pytest.raises(ValueError, match=said):
        read_log(tmp_path / "power.csv")


def test_the_stretches_do_not_touch_and_only_runs_between_the_ends_count():
    runs = list[int]()
    found = metered(lambda: runs.append(1), stretch=0.05, guard=0.02)
    (idle_from, idle_to), (load_from, load_to) = found["idle"], found["load"]
    assert idle_to - idle_from >= 0.05
    assert load_from - idle_to >= 0.04  # idle for a guard, at work for another
    assert load_to - load_from >= 0.05
    assert 0 < found["runs"] < len(runs)
