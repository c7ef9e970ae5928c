"""The script that measures a run's files where they are to run: alone with onnxruntime and NumPy."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest

from limbeck.deploy import on_device
from limbeck.deploy.profile import is_emulated, profile_before, runtime_here
from limbeck.deploy.standalone import write_standalone
from limbeck.deploy.timing import Burst, Timing, tail
from tests.helpers.tiny import digest


def product() -> bytes:
    """A model of one matrix product."""
    given, answer = (onnx.helper.make_tensor_value_info(name, 1, ["batch", 64]) for name in ("given", "answer"))
    weights = onnx.numpy_helper.from_array(np.eye(64, dtype=np.float32), "weights")
    node = onnx.helper.make_node("MatMul", ["given", "weights"], ["answer"])
    graph = onnx.helper.make_graph([node], "product", [given], [answer], [weights])
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A network, a copy of it in a folder of its own, and a file that is none."""
    there = tmp_path_factory.mktemp("device")
    write_standalone(on_device.__name__, there / "measure.py")
    (there / "student.onnx").write_bytes(product())
    (there / "student").mkdir()
    shutil.copy(there / "student.onnx", there / "student" / "model.onnx")
    (there / "broken.onnx").write_bytes(b"no model")
    (there / "stages").mkdir()
    return there


def called(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", folder / "measure.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)


@pytest.fixture(scope="module")
def profile(folder) -> dict:
    done = called(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"1 measured, 1 could not be run: {folder / 'profile.json'}"
    return json.loads((folder / "profile.json").read_text())


def test_the_script_imports_onnxruntime_numpy_and_the_standard_library_alone(folder):
    tree = ast.parse((folder / "measure.py").read_text(encoding="utf-8"))
    named = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or "."])
    }
    assert named - set(sys.stdlib_module_names) == {"onnxruntime", "numpy", "ai_edge_litert"}


def test_each_file_is_measured_once_by_its_digest_and_a_broken_one_says_why(folder, profile):
    student, broken = digest(folder / "student.onnx"), digest(folder / "broken.onnx")
    assert profile["what"] == {student: "student.onnx", broken: "broken.onnx"}
    assert set(profile["figures"]) == {student}
    assert "INVALID_PROTOBUF" in profile["failed"][broken] or "parsing failed" in profile["failed"][broken]
    found = profile["figures"][student]
    assert found["size_kb"]["value"] == (folder / "student.onnx").stat().st_size / 1000
    latency = found["latency_ms"]
    assert latency["low"] <= latency["value"] <= latency["high"]
    assert latency["value"] <= latency["p95"]["high"]
    assert latency["p95"]["low"] <= latency["p95"]["value"] <= latency["p95"]["high"]
    assert 0 <= found["memory_mb"]["value"] < 50
    assert found["runtime"] == profile["runtime"] == "onnxruntime, CPU"
    assert found["energy_mj"]["value"] is None or found["energy_mj"]["kind"] == "measured"


def test_a_log_that_comes_later_is_read_without_running_anything(folder, profile):
    """The stretches stand in the profile; 6 W at work and 1 W idle for 20 s and 200 runs come to 500 mJ each."""
    begin, path = 1_800_000_000.0, folder / "profile.json"
    said = json.loads(path.read_text())
    for figures in said["figures"].values():
        figures["metered"] = {"idle": [begin, begin + 20], "load": [begin + 22, begin + 42], "runs": 200}
    path.write_text(json.dumps(said))
    missing = called(folder, "--meter", folder / "power.csv")
    assert missing.returncode == 0
    assert f"put the meter's log at {folder / 'power.csv'}, and make the same call again" in missing.stdout
    rows = [f"{begin + second},{1 if second < 21 else 6}" for second in range(-1, 44)]
    (folder / "power.csv").write_text("\n".join(["time,watts", *rows]))
    done = called(folder, "--meter", folder / "power.csv")
    assert done.returncode == 0, done.stderr
    (energy,) = (one["energy_mj"] for one in json.loads(path.read_text())["figures"].values())
    assert energy["value"] == pytest.approx(500)
    assert energy["kind"] == "measured"
    assert "power.csv: 6 W over 20 s and 200 runs, less 1 W idle before" in energy["how"]
    (folder / "power.csv").write_text("\n".join(["time,watts", *rows[:30]]))
    refused = called(folder, "--meter", folder / "power.csv")
    assert refused.returncode == 2
    assert "student.onnx: power.csv, at work: the log ends" in refused.stderr


def test_what_an_older_script_or_another_runtime_measured_is_not_kept(tmp_path):
    path, same = tmp_path / "profile.json", {**runtime_here(), "of": "files"}
    path.write_text(json.dumps({**same, "figures": {}}))
    assert profile_before(path, same) == {**same, "figures": {}}
    for change in ({"profile_version": 0}, {"runtime": "LiteRT, CPU"}, {"version": "1.0"}, {"of": None}):
        path.write_text(json.dumps({**same, "figures": {}, **change}))
        assert profile_before(path, same) is None


def test_a_folder_without_files_is_refused(folder):
    refused = called(folder, folder / "stages")
    assert refused.returncode == 2
    assert "has no .onnx or .tflite file: name the folder of a run" in refused.stderr


def test_an_arm_machine_on_an_x86_processor_is_emulated():
    x86, arm = ["processor", "vendor_id", "cpu family", "model name"], ["processor", "CPU implementer", "CPU part"]
    assert is_emulated("aarch64", x86)
    assert not is_emulated("aarch64", arm)
    assert not is_emulated("x86_64", x86)
    assert not is_emulated("AMD64", [])


def test_the_interval_of_p95_holds_the_true_one_as_often_as_it_says():
    """Bursts that are slower or faster as a whole: runs of one burst are no independent witnesses."""
    random, held, rounds = np.random.default_rng(0), 0, 200
    truth = float(np.quantile(_bursts(random, 20_000), 0.95))
    for _ in range(rounds):
        found = tail([Burst(tuple(Timing(ms, ms) for ms in row)) for row in _bursts(random, 40).tolist()])
        assert found["of"] == "runs"
        held += found["low"] <= truth <= found["high"]
    assert 0.88 <= held / rounds <= 0.99


def _bursts(random: np.random.Generator, count: int) -> np.ndarray:
    """(count, 12) milliseconds."""
    return random.gamma(20, 0.05, (count, 1)) * random.gamma(50, 0.02, (count, 12))
