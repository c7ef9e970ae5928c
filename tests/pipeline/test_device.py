"""The figures of a device in a run's report: measured by the script that lies beside the run, held to the files of the run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli.main import app
from limbeck.errors import BadInput
from limbeck.pipeline import run as pipeline
from limbeck.pipeline.device import read_device
from tests.helpers.tiny import digest, recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("device") / "run"
    pipeline.run(recipe("baseline.label_smoothing=null"), out=out, threads=1)
    return out


@pytest.fixture(scope="module")
def profile(finished: Path) -> Path:
    """What the script that lies in the run's folder says of the files there; the device has a name."""
    there = finished.parent / "there"
    there.mkdir()
    for name in ("measure.py", "student.onnx", "teacher.onnx"):
        shutil.copy(finished / name, there)
    done = subprocess.run([sys.executable, "-I", there / "measure.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads((there / "profile.json").read_text())
    for figures in said["figures"].values():
        figures["latency_ms"]["busy"] = False  # whatever else the machine was at
    (there / "profile.json").write_text(json.dumps(said | {"machine": "Linux aarch64", "processor": "Cortex-A76"}))
    return there / "profile.json"


def reported(run: Path, *arguments: str | Path) -> None:
    with pytest.raises(SystemExit) as end:
        app(["report", str(run), *map(str, arguments)])
    assert end.value.code == 0


def test_a_report_names_the_device_and_the_recipe_run_again_comes_to_the_same(finished, profile, capsys):
    before, plain = json.loads((finished / "results.json").read_text()), (finished / "report.html").read_bytes()
    reported(finished, "--device", profile)
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith("On the device: Cortex-A76, Linux aarch64, in onnxruntime ")
    results, told = (json.loads(path.read_text()) for path in (finished / "results.json", profile))
    device = results["device"]
    for role in ("student", "teacher"):
        known = told["figures"][digest(finished / f"{role}.onnx")]
        assert device[role]["path"] == f"{role}.onnx"
        assert device[role]["latency_ms"] == known["latency_ms"]
        assert device[role]["memory_mb"] == known["memory_mb"]
    teacher, student = (device[role]["latency_ms"] for role in ("teacher", "student"))
    assert device["speedup"]["low"] == teacher["low"] / student["high"]
    assert (device["x86"], device["others"], device["failed"]) == (False, {}, {})
    same = {"student", "teacher", "comparison", "fidelity", "speed", "export", "fingerprints", "timings", "diagnosis"}
    assert {name: results[name] for name in same} == {name: before[name] for name in same}
    page = (finished / "report.html").read_bytes()
    assert b"On the device: Cortex-A76, Linux aarch64" in page

    pipeline.run(recipe("baseline.label_smoothing=null"), out=finished, threads=1)
    assert (finished / "report.html").read_bytes() == page
    reported(finished)
    assert (finished / "report.html").read_bytes() == plain
    assert "device" not in json.loads((finished / "results.json").read_text())


def test_figures_of_files_that_the_run_no_longer_has_are_left_out_and_a_note_says_so(finished, profile, capsys):
    said = json.loads(profile.read_text())
    said["figures"] = {digest[::-1]: known for digest, known in said["figures"].items()}
    said["what"] = {digest[::-1]: name for digest, name in said["what"].items()}
    (finished / "device.json").write_text(json.dumps(said))
    results = pipeline.run(recipe("baseline.label_smoothing=null"), out=finished, threads=1)
    (finished / "device.json").unlink()
    assert "device" not in results
    assert "device.json is of other files than the run's" in capsys.readouterr().err


def test_a_profile_of_other_files_is_refused_with_both_digests(finished, profile, tmp_path, capsys):
    said = json.loads(profile.read_text())
    here = digest(finished / "student.onnx")
    for part, why in (
        ({"failed": {here: "no such operator"}}, "could not run student.onnx: 'no such operator'"),
        ({}, ""),
    ):
        changed = {**said, "figures": {"0" * 64: said["figures"][here]}, "what": {"0" * 64: "student.onnx"}, **part}
        (tmp_path / "profile.json").write_text(json.dumps(changed))
        with pytest.raises(SystemExit) as end:
            app(["report", str(finished), "--device", str(tmp_path / "profile.json")])
        assert end.value.code == 2
        told = " ".join(capsys.readouterr().err.split())
        assert (why or f"its student.onnx has SHA-256 {'0' * 12}..., and that of the run is {here[:12]}...") in told
    assert not (finished / "device.json").exists()


def _one(said: dict[str, Any], **changed: Any) -> dict[str, Any]:
    (name, known), *others = said["figures"].items()
    return {**said, "figures": {name: {**known, **changed}, **dict(others)}}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda said: {**said, "profile_version": 0}, "it is of an older version of measure.py than this Limbeck's"),
        (lambda said: {**said, "profile_version": 9}, "it is of a newer version of measure.py"),
        (lambda said: {**said, "of": None}, "it is of the candidates of a search (limbeck search --device takes it)"),
        (lambda said: {**said, "emulated": True}, "it was measured on a machine that is emulated ('Linux aarch64'"),
        (
            lambda said: {**said, "figures": []},
            "it is not a profile. The measure.py that lies in a run's folder writes",
        ),
        (lambda said: _one(said, runtime="TensorRT"), "was measured with 'TensorRT', and is for onnxruntime, CPU"),
        (lambda said: _one(said, latency_ms={"value": "fast"}), "is not a number of at least 0"),
        (lambda said: _one(said, size_kb={"value": 10**400}), "is not a number of at least 0"),
        (lambda said: _one(said, latency_ms={"value": 0, "low": 0.1, "high": 0}), "lies outside of its own interval"),
        (lambda said: _one(said, latency_ms=None), "it does not say the latency and size of"),
        (lambda said: [said], "it is not a profile"),
    ],
)
def test_a_profile_of_something_else_is_refused(profile, tmp_path, change, why):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(change(json.loads(profile.read_text()))))
    with pytest.raises(BadInput) as refused:
        read_device(path)
    assert why in str(refused.value)


def test_an_estimate_of_energy_is_no_figure_of_a_device(profile, tmp_path):
    path = tmp_path / "profile.json"
    estimated = {"value": 3.0, "kind": "estimate", "how": "10 W assumed"}
    path.write_text(json.dumps(_one(json.loads(profile.read_text()), energy_mj=estimated)))
    assert all(known["energy_mj"] is None for known in read_device(path)["figures"].values())
