"""Pictures, galleries and charts show what they say."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from limbeck.report import Evidence, charts, formats, gallery, svg
from limbeck.report.evidence import accord, confusion, divergence, log_softmax, reliability


def test_picture_survives_the_trip_into_the_page() -> None:
    grey_HW1 = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    uri, coarse = gallery.data_uri(grey_HW1)
    assert coarse
    back = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert np.array_equal(np.asarray(back), grey_HW1[:, :, 0])
    uri, coarse = gallery.data_uri(np.zeros((300, 200, 3), np.uint8))
    assert not coarse
    assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size == (64, 96)


def test_gallery_shows_what_it_says(evidence: Evidence) -> None:
    ambiguous, lost, apart, wrong = gallery.groups(evidence)
    right = evidence.teacher_logits_NC.argmax(1) == evidence.labels_N
    kept = evidence.student_logits_NC.argmax(1) == evidence.labels_N
    assert f"({(right & ~kept).sum()} of {right.sum():,})" in lost.explanation
    assert all(right[card.position] and not kept[card.position] for card in lost.cards)
    assert all(kept[card.position] for card in apart.cards)
    assert all(right[card.position] for card in ambiguous.cards + apart.cards)
    assert not any(right[card.position] for card in wrong.cards)
    used = [card.position for group in (ambiguous, lost, apart, wrong) for card in group.cards]
    assert len(used) == len(set(used)) == 24
    divergence_N = divergence(log_softmax(evidence.teacher_logits_NC), log_softmax(evidence.student_logits_NC))
    assert [c.divergence for c in apart.cards] == sorted((c.divergence for c in apart.cards), reverse=True)
    assert apart.cards[0].divergence > np.quantile(divergence_N[right & kept], 0.98)
    card = ambiguous.cards[0]
    at_4 = np.exp(evidence.teacher_logits_NC[card.position].astype(float) / 4)
    shown = next(answer for answer in card.answers if answer.true)
    assert shown.teacher[1] == pytest.approx(at_4[evidence.labels_N[card.position]] / at_4.sum())


def test_figures_behind_the_charts() -> None:
    log_probs = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1.0, 0.0]]) + 1e-300)
    labels = np.array([0, 1, 1, 0])
    bins = reliability(log_probs, labels, bins=10)
    assert bins.size.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 2, 1]
    assert bins.accuracy[8] == 0.5
    assert bins.calibration_error() == pytest.approx((1 * 0.4 + 2 * 0.4) / 4)
    assert confusion(np.array([0, 0, 1, 0]), labels, 2).tolist() == [[2, 0], [1, 1]]
    found = accord(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 2, 2, 1]), np.array([0, 1, 1, 0, 0]))
    assert tuple(found) == (1, 1, 1, 1, 1)
    ruled_out = divergence(np.log([[0.5, 0.5]]), np.array([[0.0, -np.inf]]))
    assert np.isfinite(ruled_out).all()
    assert ruled_out[0] > 100


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
    few = charts.curves({"student": [(1, 0.4), (2, 1.0)]}, "accuracy", accuracy=True, examples=26)
    assert re.findall(r">([\d.]+ %)<", few) == ["40 %", "60 %", "80 %", "90 %", "100 %"]
    many = charts.curves({"student": [(1, 0.9), (2, 0.9995)]}, "accuracy", accuracy=True, examples=10_000)
    assert re.findall(r">([\d.]+ %)<", many)[-1] == "99.95 %"


def test_no_model_hides_another_and_no_whisker_leaves_the_possible():
    points = [charts.Point(key, 1000.0, 0.99, 0.02) for key in ("student", "baseline")]
    drawn = charts.trade_off([*points, charts.Point("teacher", 9e4, 1.0, None)], "parameters", "")
    circle = float(next(iter(re.findall(r'cx="([\d.]+)"', drawn))))
    corners = [float(x) for x in re.findall(r'points="([^"]+)"', drawn)[0].replace(",", " ").split()[::2]]
    assert circle < min(corners)  # a marker beside the other
    tops = [float(y) for y in re.findall(r'class="whisker [a-z]+"[^>]* y2="([\d.]+)"', drawn)]
    assert tops == [30.0, 30.0]  # the upper end of the axis, which is 100 %
