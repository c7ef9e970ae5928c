"""The report: safe whatever the data is called, whole whatever is missing, and bounded in size."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limbeck.report import Evidence, write_report
from limbeck.report.kinds import gallery
from limbeck.report.shown import Picture
from tests.helpers.evidence import FASHION, make_evidence
from tests.helpers.pages import Page, assert_harmless, leaves, renamed, without, written
from tests.helpers.values_evidence import values_evidence

HOSTILE = (
    "<script>alert(1)</script>",
    '"onload="alert(2)',
    "]]>",
    "'><img src=x onerror=alert(3)>",
    "</title></style></svg><svg onload=alert(4)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&amp;",
    "http://example.com/" + "long" * 40,
    "\x00\x1b[31m nul",
    "bad \udc80 bytes",
)


@pytest.fixture(scope="module")
def innocent(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(written(evidence, tmp_path_factory.mktemp("innocent")))


def test_page_says_what_matters_first_and_is_small(evidence: Evidence, tmp_path: Path) -> None:
    content = written(evidence, tmp_path)
    page = Page(content)
    assert_harmless(page)
    assert len(content) < 400_000
    assert page.text.index("101 times fewer parameters") < page.text.index("101×") < page.text.index("Side by side")
    for said in (
        "2,748,218 → 27,112", "35×", "+0.41", "estimate", "± 0.21", "0.37", "45 min 10 s", "Label smoothing",
        "In two minds".lower(), "T = 4", "wrn_16_4", "0123456789abcdef", "x86_64, 2 cores",
    ):  # fmt: skip
        assert said in page.text, said
    images = [attributes for name, attributes in page.elements if name == "img"]
    assert len(images) == 4 * gallery.SHOWN
    assert all(attributes["alt"] for attributes in images)
    drawings = [attributes for name, attributes in page.elements if name == "svg" and attributes["class"] != "key"]
    assert len(drawings) == 2 + 2 + 3 + 3 + 1 + 1
    assert all(attributes["aria-label"] for attributes in drawings)
    assert not re.search(r"\bnan\b|\binf\b|None|Undefined", page.text)


def test_policy_forbids_scripts_and_network(evidence: Evidence, tmp_path: Path) -> None:
    page = Page(written(evidence, tmp_path))
    policies = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"]
    assert not re.search(r"url\(|@import", written(evidence, tmp_path))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_stay_text(evidence: Evidence, innocent: Page, tmp_path: Path, name: str) -> None:
    results = renamed(evidence.results, name)
    for part in ("timings", "environment", "fingerprints", "recipe"):
        results[part] = {name: {"seconds": 1.0, name: name}}
    hostile = replace(evidence, results=results, headline=name, names=tuple(f"{name}{i}" for i in range(10)))
    content = written(hostile, tmp_path)
    page = Page(content)
    assert_harmless(page)
    visible = name.encode("utf-8", "backslashreplace").decode().replace("\x00", "").replace("\x1b", "")
    assert page.text.count(visible) > 50
    # The names add no element of a kind that the page has not got (a long one is cut, and has its title).
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in innocent.elements}


@pytest.mark.parametrize("make", [make_evidence, lambda count: values_evidence(count=count)])
def test_every_optional_can_be_missing(make: Callable[..., Evidence], tmp_path: Path) -> None:
    small = make(count=60)
    bare = replace(small, results={}, histories={}, temperature=None, show=None)
    page = Page(written(bare, tmp_path))
    assert_harmless(page)
    assert "T = 4" not in page.text
    for results in (
        *(without(small.results, key) for key in small.results),
        dict.fromkeys(small.results),
        small.results | {"student": {"model": "bare"}, "teacher": {"metrics": None}, "timings": {"x": None}},
        leaves(small.results, None),
        leaves(small.results, float("nan")),
    ):
        page = Page(written(replace(small, results=results), tmp_path))
        # The record of recipe and environment is shown as it is, nulls and all.
        shown = page.text[: page.text.index("What it cost")]
        assert not re.search(r"None|\bnan\b|Undefined", shown)


def test_of_a_busy_machine_there_is_a_note_and_no_headline(evidence: Evidence, tmp_path: Path) -> None:
    calm = written(evidence, tmp_path)
    assert "35×" in calm
    assert "nothing disturbed" not in calm  # 3 of 503 were: that is every machine
    latency = {"p50": None, "p95": None, "n": 0, "disturbed": 70, "cpu_p50": 4.4}
    results = evidence.results | {
        "ratios": evidence.results["ratios"] | {"latency": None},
        "speed": {"disturbed": True, "note": "Latency was measured on a <busy> machine."},
        "teacher": evidence.results["teacher"] | {"latency_ms": latency},
    }
    page = Page(written(replace(evidence, results=results), tmp_path))
    assert "Latency was measured on a <busy> machine." in page.text
    assert "Runs that nothing disturbed, of which latency tells:" in page.text
    assert "Teacher 0 of 70" in page.text
    assert "faster, one image at a time" in Page(calm).text
    assert "faster, one image at a time" not in page.text
    labels = [attributes.get("aria-label") or "" for _, attributes in page.elements]
    assert not any("latency p50" in label for label in labels)  # the chart is of processor time, and says so
    assert any("processor time" in label for label in labels)


def test_one_epoch_one_image_one_class_right(evidence: Evidence, tmp_path: Path) -> None:
    one = make_evidence(("only", "other"), count=1)
    write_report(replace(one, histories={"student": one.histories["student"][:1]}), tmp_path / "one.html")
    perfect_NC = 20 * np.eye(2, dtype=np.float32)[one.labels]
    perfect_NC[perfect_NC == 0] = -np.inf
    same = replace(one, answers=dict.fromkeys(one.answers, perfect_NC))
    perfect = [{"epoch": 0, "train_loss": 0.0, "validation_accuracy": 1.0, "validation_nll": 0.0}]
    content = written(replace(same, histories={"student": perfect, "teacher": []}), tmp_path)
    assert "There is no such image" in content
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', content)
    empty = replace(same, labels=one.labels[:0], answers=dict.fromkeys(one.answers, perfect_NC[:0]))
    assert "<img" not in written(empty, tmp_path)


def test_many_classes_are_bounded(tmp_path: Path) -> None:
    names = tuple(f"a rather long-winded name of class number {index}" for index in range(200))

    def photograph(position: int) -> Picture:
        return Picture(np.random.default_rng(position).integers(0, 256, (224, 180, 3)).astype(np.uint8))

    content = written(replace(make_evidence(names, 4000), show=photograph), tmp_path)
    page = Page(content)
    assert len(content) < 600_000
    assert "commonest mistakes" in page.text
    assert "20 of 200 classes" in page.text
    assert "Confusion of the student" not in page.text


def test_where_the_lost_examples_are_is_said():
    evidence = make_evidence(FASHION[:2], 60)
    labels_N = np.zeros(60, dtype=np.int64)
    teacher_NC, student_NC = np.tile([[4.0, 0.0]], (60, 1)), np.tile([[4.0, 0.0]], (60, 1))
    student_NC[:20] = [0.0, 1.0]
    found = gallery.groups(replace(evidence, labels=labels_N, answers={"teacher": teacher_NC, "student": student_NC}))
    lost = next(group for group in found if group.title == "What the student lost")
    above = sum(card.position < 20 for card in found[0].cards)
    assert (above, len(lost.cards)) == (3, 3)
    assert lost.explanation.endswith(
        "(20 of 60): where they lie furthest apart. 3 here, 3 above, 14 not shown (at most 3 of a class)."
    )
