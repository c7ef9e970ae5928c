"""The report: safe whatever the data is called, whole whatever is missing, and bounded in size."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limbeck.report import Evidence, charts, formats, gallery, svg, write_report
from limbeck.report.evidence import accord, confusion, divergence, log_softmax, reliability

FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
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
VOID = {"meta", "img", "br", "link", "input", "hr"}


def make_evidence(classes: tuple[str, ...] = FASHION, count: int = 2000, seed: int = 0) -> Evidence:
    """Logits like trained networks': neighbouring classes alike, students noisier than their teacher."""
    rng = np.random.default_rng(seed)
    number = len(classes)
    labels_N = rng.integers(0, number, count)
    distance_CC = np.abs(np.arange(number)[:, None] - np.arange(number)[None, :])
    likeness_CC = 7.0 * np.exp(-distance_CC / 1.2)
    hard_N1 = rng.gamma(2.0, 0.9, (count, 1))
    shared_NC = rng.normal(size=(count, number)) * hard_N1

    def logits_NC(noise: float, sharpness: float) -> np.ndarray:
        own_NC = rng.normal(size=(count, number)) * noise
        return ((likeness_CC[labels_N] + shared_NC + own_NC) * sharpness).astype(np.float32)

    teacher_NC, student_NC, baseline_NC = logits_NC(0.2, 1.6), logits_NC(0.7, 1.0), logits_NC(0.9, 1.4)

    def image(position: int) -> np.ndarray:
        draw = np.random.default_rng(position)
        y, x = np.mgrid[0:28, 0:28] / 27
        shade = np.exp(-(((x - draw.uniform(0.3, 0.7)) / 0.2) ** 2) - ((y - draw.uniform(0.3, 0.7)) / 0.3) ** 2)
        return (255 * shade).astype(np.uint8)[:, :, None]

    def history(epochs: int, floor: float) -> list[dict[str, Any]]:
        return [
            {
                "epoch": epoch + 1,
                "train_loss": floor * 3 + 1.4 * 0.8**epoch,
                "validation_accuracy": 1 - floor - 0.5 * 0.72**epoch,
                "validation_nll": floor * 3 + 1.2 * 0.75**epoch,
                "learning_rate": 0.1,
                "seconds": 3.0,
            }
            for epoch in range(epochs)
        ]

    def metrics(logits_NC: np.ndarray, n: int) -> dict[str, Any]:
        accuracy = float((logits_NC.argmax(1) == labels_N).mean())
        sd = 0.0021 if n > 1 else None
        return {
            "accuracy": {"mean": accuracy, "sd": sd, "n": n},
            "top5": {"mean": 0.998, "sd": sd, "n": n},
            "nll": {"mean": 0.25, "sd": sd, "n": n},
            "ece": {"mean": 0.0123, "sd": sd, "n": n},
            "brier": {"mean": 0.131, "sd": sd, "n": n},
        }

    def model(logits_NC: np.ndarray, name: str, size: int, latency: float, n: int) -> dict[str, Any]:
        found = metrics(logits_NC, n)
        flat = {key: value["mean"] for key, value in found.items()}
        return {
            "model": name,
            "metrics": found,
            "per_class": [{"class": c, "accuracy": 0.9, "support": 10} for c in classes],
            "parameters": size,
            "macs": size * 310,
            "bytes": size * 4 + 9000,
            "latency_ms": {
                "p50": latency,
                "p95": latency * 1.2,
                "n": 500,
                "disturbed": 3,
                "cpu_p50": latency * 0.99,
            },
            "throughput_per_s": 1000 / latency,
            "peak_memory_mb": 41.0 + size / 1e5,
            "energy_mj": {"value": latency * 12, "kind": "estimate", "how": "15 W times the latency"},
            "runs": [{"seed": s, "metrics": flat, "seconds": 131.0} for s in range(n)],
        }

    results: dict[str, Any] = {
        "name": "fashion_mnist",
        "task": "image-classification",
        "created": "2025-06-01 12:30 UTC",
        "data": {
            "name": "zalando-datasets/fashion_mnist", "classes": number, "train": 54000, "validation": 6000,
            "test": count, "transfer": None, "image": [1, 28, 28], "notes": ["a validation split was carved"],
        },
        "teacher": model(teacher_NC, "wrn_16_4", 2_748_218, 3.9, 1),
        "student": model(student_NC, "convnet, width 12", 27_112, 0.11, 5),
        "baseline": model(baseline_NC, "convnet, width 12", 27_112, 0.11, 5),
        "smoothed": model(baseline_NC, "convnet, width 12", 27_112, 0.11, 5),
        "fidelity": {
            "agreement": {"mean": 0.941, "sd": 0.002, "n": 5},
            "kl": 0.081,
            "agreement_where_teacher_wrong": 0.52,
        },
        "fidelity_baseline": {"agreement": 0.921, "kl": 0.163, "agreement_where_teacher_wrong": 0.43},
        "comparison": {
            "baseline": {
                "accuracy": {"difference": 0.0041, "low": 0.0017, "high": 0.0065},
                "nll": {"difference": -0.0129, "low": -0.019, "high": -0.0071},
            },
            "smoothed": {
                "accuracy": {"difference": 0.0012, "low": -0.0011, "high": 0.0036},
                "nll": {"difference": -0.051, "low": -0.058, "high": -0.043},
            },
        },
        "ratios": {"parameters": 101.4, "bytes": 93.5, "latency": 35.4},
        "speed": {"disturbed": False, "note": None},
        "export": {
            "path": "student.onnx",
            "parity": {"max_abs_difference": 3.3e-6, "agreement": 1.0, "n": 1000, "passed": True},
        },
        "timings": {
            "teacher": {"seconds": 2710}, "targets": {"seconds": 341.5}, "student": {"seconds": 655},
            "export": {"seconds": 8.1},
        },
        "student_over_teacher_seconds": 0.37,
        "recipe": {"task": "image-classification", "student": {"model": "convnet", "width": 12}, "seeds": 5},
        "environment": {"python": "3.11.9", "torch": "2.10.0", "processor": "x86_64, 2 cores"},
        "fingerprints": {"teacher": "0123456789abcdef"},
        "test_reads": [{"purpose": "evaluate", "at": "2025-06-01 12:29 UTC"}],
    }  # fmt: skip
    return Evidence(
        results=results,
        headline="The student has 101 times fewer parameters than its teacher and answers 35 times faster; it "
        "keeps 97.9 % of the accuracy. The same network without the teacher is 0.41 points behind.",
        classes=classes,
        labels_N=labels_N,
        teacher_logits_NC=teacher_NC,
        student_logits_NC=student_NC,
        baseline_logits_NC=baseline_NC,
        image=image,
        histories={
            "teacher": history(12, 0.06),
            "student": history(30, 0.09),
            "baseline": history(30, 0.095),
            "smoothed": history(30, 0.094),
        },
        temperature=4.0,
    )


class Page(HTMLParser):
    """Reads a page strictly: every element closed in its turn; elements, attributes and text kept."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def written(evidence: Evidence, folder: Path) -> str:
    path = folder / "report.html"
    write_report(evidence, path)
    return path.read_text(encoding="utf-8")


def assert_harmless(page: Page) -> None:
    for name, attributes in page.elements:
        assert name not in {"script", "iframe", "object", "embed", "base", "form", "foreignobject", "link"}
        for key, value in attributes.items():
            assert not key.startswith("on"), (name, key)
            if key in {"src", "href", "xlink:href", "srcset", "action", "data", "poster", "background"}:
                assert (value or "").startswith(("data:image/png;base64,", "#")), (name, key, value)
            if key == "style":
                assert re.fullmatch(r"[a-z-]+:[\w.%-]+", value or ""), value


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return make_evidence()


@pytest.fixture(scope="module")
def innocent(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(written(evidence, tmp_path_factory.mktemp("innocent")))


def renamed(value: Any, name: str) -> Any:
    """The same structure with every string and every key that data could have chosen replaced."""
    if isinstance(value, dict):
        return {key: renamed(inner, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, name) for inner in value]
    return name if isinstance(value, str) else value


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
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert not re.search(r"url\(|@import", written(evidence, tmp_path))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_stay_text(evidence: Evidence, innocent: Page, tmp_path: Path, name: str) -> None:
    results = renamed(evidence.results, name)
    for part in ("timings", "environment", "fingerprints", "recipe"):
        results[part] = {name: {"seconds": 1.0, name: name}}
    hostile = replace(evidence, results=results, headline=name, classes=tuple(f"{name}{i}" for i in range(10)))
    content = written(hostile, tmp_path)
    page = Page(content)
    assert_harmless(page)
    visible = name.encode("utf-8", "backslashreplace").decode().replace("\x00", "").replace("\x1b", "")
    assert page.text.count(visible) > 50
    # The names add no element of a kind that the page has not got (a long one is cut, and has its title).
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in innocent.elements}


def test_every_optional_can_be_missing(evidence: Evidence, tmp_path: Path) -> None:
    bare = replace(evidence, results={}, histories={}, temperature=None)
    page = Page(written(bare, tmp_path))
    assert_harmless(page)
    assert "T = 4" not in page.text
    small = make_evidence(count=60)
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
    perfect_NC = 20 * np.eye(2, dtype=np.float32)[one.labels_N]
    perfect_NC[perfect_NC == 0] = -np.inf
    same = replace(one, teacher_logits_NC=perfect_NC, student_logits_NC=perfect_NC, baseline_logits_NC=perfect_NC)
    perfect = [{"epoch": 0, "train_loss": 0.0, "validation_accuracy": 1.0, "validation_nll": 0.0}]
    content = written(replace(same, histories={"student": perfect, "teacher": []}), tmp_path)
    assert "There is no such image" in content
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', content)
    empty = replace(
        same,
        labels_N=one.labels_N[:0],
        teacher_logits_NC=perfect_NC[:0],
        student_logits_NC=perfect_NC[:0],
        baseline_logits_NC=perfect_NC[:0],
    )
    assert "<img" not in written(empty, tmp_path)


def test_many_classes_are_bounded(tmp_path: Path) -> None:
    names = tuple(f"a rather long-winded name of class number {index}" for index in range(200))

    def photograph(position: int) -> np.ndarray:
        return np.random.default_rng(position).integers(0, 256, (224, 180, 3)).astype(np.uint8)

    content = written(replace(make_evidence(names, 4000), image=photograph), tmp_path)
    page = Page(content)
    assert len(content) < 600_000
    assert "commonest mistakes" in page.text
    assert "20 of 200 classes" in page.text
    assert "Confusion of the student" not in page.text


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


def without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if name != key}


def leaves(value: Any, new: float | None) -> Any:
    """The same structure with every number replaced."""
    if isinstance(value, dict):
        return {key: leaves(inner, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [leaves(inner, new) for inner in value]
    return new if isinstance(value, int | float) else value


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


def test_where_the_lost_examples_are_is_said():
    evidence = make_evidence(FASHION[:2], 60)
    labels_N = np.zeros(60, dtype=np.int64)
    teacher_NC, student_NC = np.tile([[4.0, 0.0]], (60, 1)), np.tile([[4.0, 0.0]], (60, 1))
    student_NC[:20] = [0.0, 1.0]
    found = gallery.groups(
        replace(evidence, labels_N=labels_N, teacher_logits_NC=teacher_NC, student_logits_NC=student_NC)
    )
    lost = next(group for group in found if group.title == "What the student lost")
    above = sum(card.position < 20 for card in found[0].cards)
    assert (above, len(lost.cards)) == (3, 3)
    assert lost.explanation.endswith(
        "(20 of 60): where they lie furthest apart. 3 here, 3 above, 14 not shown (at most 3 of a class)."
    )
