"""What a report says of a device: its name, measured figures, and nothing that was only estimated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from limbeck.report import Evidence
from tests.helpers.pages import Page, assert_harmless, written


def measured(path: str, ms: float, energy: dict[str, Any] | None = None) -> dict[str, Any]:
    interval = {"value": ms, "low": 0.9 * ms, "high": 1.1 * ms}
    return {
        "path": path,
        "runtime": "onnxruntime, CPU",
        "version": "1.32.0",
        "length": None,
        "latency_ms": {**interval, "busy": False, "p95": {name: 2 * one for name, one in interval.items()}},
        "size_kb": {"value": 21.0},
        "memory_mb": {"value": 0.87},
        "energy_mj": energy,
    }


def on(evidence: Evidence, **changed: Any) -> Evidence:
    device = {
        "machine": "Linux aarch64",
        "processor": "Raspberry Pi 5",
        "x86": False,
        "threads": 1,
        "student": measured("student.onnx", 2.0, {"value": 4.2, "kind": "measured", "how": "power.csv: 3 W"}),
        "teacher": measured("teacher.onnx", 50.0),
        "others": {},
        "speedup": {"ratio": 25.0, "low": 20.5, "high": 30.6},
        "failed": {},
        **changed,
    }
    return replace(evidence, results={**evidence.results, "device": device})


def test_the_device_is_named_and_its_figures_are_told(evidence, tmp_path):
    text = " ".join(Page(written(on(evidence), tmp_path)).text.split())
    assert "On the device: Raspberry Pi 5, Linux aarch64" in text
    assert (
        "There the student takes 2.00 ms and its teacher 25.0 times as long (by the intervals of both, 20.5 to 30.6)"
        in text
    )
    for cell in ("2.00 ms 1.80 to 2.20", "4.00 ms 3.60 to 4.40", "0.870 MB", "4.20 mJ", "50.0 ms 45.0 to 55.0"):
        assert cell in text
    assert "Energy of student.onnx: power.csv: 3 W." in text


def test_an_x86_machine_is_called_one_and_without_a_device_there_is_no_section(evidence, tmp_path):
    x86 = on(evidence, machine="Linux x86_64", processor="AMD EPYC", x86=True)
    assert "On an x86 machine: AMD EPYC, Linux x86_64" in Page(written(x86, tmp_path)).text
    assert "measured there" not in Page(written(evidence, tmp_path)).text
    here = {**evidence.results, "environment": {"machine": "x86_64", "cpu": "AMD EPYC"}}
    said = Page(written(replace(evidence, results=here), tmp_path)).text
    assert "Latency, throughput, memory and energy are figures of an x86 machine (AMD EPYC)." in said


@pytest.mark.parametrize("kind", ["estimate", None])
def test_an_estimate_is_not_shown_of_a_device(evidence, tmp_path, kind):
    guess = {"value": 987654.0, "kind": kind, "how": ""}
    page = Page(written(on(evidence, student=measured("student.onnx", 2.0, guess)), tmp_path)).text
    assert "987" not in page
    assert "Energy was not measured" in page


def test_a_device_with_a_hostile_name_does_no_harm_and_one_that_lacks_figures_has_dashes(evidence, tmp_path):
    name = "<script>alert(1)</script>"
    page = Page(written(on(evidence, processor=name, failed={name: name}), tmp_path))
    assert_harmless(page)
    assert page.text.count(name) >= 3
    bare = Page(written(on(evidence, student={"path": "student.onnx"}, teacher=None, speedup=None), tmp_path))
    assert "student.onnx" in bare.text
