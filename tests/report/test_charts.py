"""Charts show what they say, and figures are said as people say them."""

from __future__ import annotations

import re

import pytest

from limbeck.evaluation.figure import Figure, share
from limbeck.report import charts, figures, formats, svg

ACCURACY = share("accuracy", "accuracy")


def test_figures_as_text() -> None:
    given = (0.012345, 1234.5, 0, None, float("nan"), True, "x", {"mean": 2.5})
    assert [formats.number(v) for v in given] == ["0.0123", "1,234", "0", "–", "–", "–", "–", "2.50"]
    assert [formats.signed(v, 2, 100) for v in (0.0041, -0.0041, 0.00001, -0.00001)] == [
        "+0.41", "−0.41", "0.00", "0.00",
    ]  # fmt: skip
    assert [formats.duration(v) for v in (0.83, 45, 59.7, 200, 7500)] == [
        "0.8 s", "45 s", "1 min 0 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip
    assert svg.linear_ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert svg.log_ticks(900, 2e6) == [1e3, 1e4, 1e5, 1e6]
    assert str(svg.tag("text", "<&", class_='"x')) == '<text class="&#34;x">&lt;&amp;</text>'


def test_figures_are_said_as_people_say_them_and_no_option_is_broken():
    assert [formats.size(n) for n in (812, 36_100, 90_909_000, 999_900, 2_400_000_000)] == [
        "0.812 KB", "36.1 KB", "90.9 MB", "1,000 KB", "2.40 GB",
    ]  # fmt: skip
    assert [formats.mean_count(n) for n in (0.5, 12.0, 1230, None)] == ["0.5", "12", "1,230", "–"]
    assert [formats.things(n, "view") for n in (0, 1, 2000)] == ["0 views", "1 view", "2,000 views"]
    said = formats.unbroken("<b> busy: run again with --force export.")
    assert said == '&lt;b&gt; busy: run again with <span class="whole">--force export</span>.'


def test_an_axis_of_few_examples_ends_at_what_they_can_tell():
    few = charts.curves({"student": [(1, 0.4), (2, 1.0)]}, "accuracy", share=True, examples=26)
    assert re.findall(r">([\d.]+ %)<", few) == ["40 %", "60 %", "80 %", "90 %", "100 %"]
    many = charts.curves({"student": [(1, 0.9), (2, 0.9995)]}, "accuracy", share=True, examples=10_000)
    assert re.findall(r">([\d.]+ %)<", many)[-1] == "99.95 %"


def test_no_model_hides_another_and_no_whisker_leaves_the_possible():
    points = [charts.Point(key, 1000.0, 0.99, 0.02) for key in ("student", "baseline")]
    drawn = charts.trade_off([*points, charts.Point("teacher", 9e4, 1.0, None)], "parameters", "", ACCURACY)
    circle = float(next(iter(re.findall(r'cx="([\d.]+)"', drawn))))
    corners = [float(x) for x in re.findall(r'points="([^"]+)"', drawn)[0].replace(",", " ").split()[::2]]
    assert circle < min(corners)  # a marker beside the other
    tops = [float(y) for y in re.findall(r'class="whisker [a-z]+"[^>]* y2="([\d.]+)"', drawn)]
    assert tops == [30.0, 30.0]  # the upper end of the axis, which is 100 %


def test_a_logarithmic_axis_of_less_than_a_decade_has_ticks_and_none_is_a_power_of_ten():
    narrow = charts.curves({"student": [(1, 30.0), (2, 13.0)]}, "RMSE")
    assert re.findall(r'class="tick">([\d.]+k?)<', narrow)[:4] == ["15", "20", "25", "30"]
    wide = charts.curves({"student": [(1, 3000.0), (2, 90.0)]}, "loss")
    assert "1k" in re.findall(r'class="tick">([\d.]+k?)<', wide)


def test_a_difference_and_its_interval_have_the_same_decimals():
    rmse = Figure("rmse", "RMSE", "less", significant=True)
    found = figures.interval(rmse, {"difference": -0.000441, "low": -0.0027, "high": 0.00182})
    assert found == ("−0.00044", "−0.00270", "+0.00182")
    assert figures.interval(ACCURACY, {"difference": 0.0041, "low": None, "high": 0.01}) == ("+0.41", "–", "+1.00")
    assert figures.interval(rmse, None) == ("–", "–", "–")


def test_an_error_is_drawn_in_its_unit_and_its_ticks_are_short():
    rmse = Figure("rmse", "RMSE", "less", unit="°", significant=True)
    drawn = charts.differences({"baseline": {"rmse": {"difference": 0.12, "low": -0.697, "high": 0.93}}}, rmse)
    assert drawn is not None
    assert "difference in RMSE, ° (less is better)" in drawn
    assert "+0.120 (−0.697 to +0.930)" in drawn
    assert re.findall(r'class="tick">([^<]+)<', drawn) == ["−0.5", "0.0", "+0.5", "+1.0"]
    points = [charts.Point("student", 1e3, 25.7, 1.1), charts.Point("teacher", 7e4, 12.2, None)]
    beside = charts.trade_off(points, "parameters", " parameters", rmse)
    assert "Student: 25.7° at 1,000 parameters" in beside
    heights = {key: float(y) for key, y in re.findall(r'class="mark (student|teacher)"[^>]* c?y="([\d.]+)"', beside)}
    assert heights["student"] < heights["teacher"]  # more stands above less, whichever is better
