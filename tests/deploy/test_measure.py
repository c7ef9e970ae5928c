"""What a model costs: parameters, operations, memory, latency, energy."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from limbeck.deploy.energy import by_counters, energy_per_inference
from limbeck.deploy.latency import compare_latency
from limbeck.deploy.measure import macs, measure_onnx, parameters
from limbeck.deploy.memory import memory_mb
from limbeck.deploy.runtime import example_inputs, open_session
from limbeck.deploy.timing import Burst, Timing
from tests.helpers.exported import COLOUR, HOSTILE, export

# Cost


def memory_of(path: Path) -> dict[str, Any]:
    return memory_mb(path, example_inputs(open_session(path), 1))


def test_parameters_and_macs_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 10)).train()
    assert parameters(model) == (3 * 9 * 8 + 8) + (8 * 36 * 10 + 10)
    assert macs(model, torch.zeros(1, 3, 6, 6)) == 36 * 8 * 3 * 9 + 8 * 36 * 10
    depthwise = nn.Conv2d(8, 8, 3, groups=8, bias=False)
    assert macs(depthwise, torch.zeros(1, 8, 5, 5)) == 9 * 8 * 9
    assert model.training


def test_macs_of_attention_are_counted():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    projections = 4 * 7 * 16 * 16 + 2 * 7 * 16 * 32
    attention = 2 * 7 * 7 * 16

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, images_BCHW):
            return self.layer(images_BCHW[:, 0])

    assert macs(Encoder(), torch.zeros(1, 1, 7, 16)) == projections + attention


def test_measures_are_sane(colour):
    _, path = colour
    cost = measure_onnx(path, seconds=0.05)
    assert cost["bytes"] == path.stat().st_size
    assert cost["throughput_per_s"] > 0
    assert cost["threads"] == 1


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> tuple[nn.Module, Path]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 12_000), nn.ReLU(), nn.Linear(12_000, len(HOSTILE)))
    return model, export(model, tmp_path_factory.mktemp("large"), COLOUR)


def test_memory_is_the_models_own_and_neither_the_runtimes_nor_this_process(colour, large):
    weights_mb = parameters(large[0]) * 4 / 1e6
    small, big = (memory_of(path) for path in (colour[1], large[1]))
    # 3,000 parameters: the pages of the runtime's own code that a first session touches would be 9 MB
    assert 0 < small["peak_memory_mb"] < 4
    if small["anonymous_memory_mb"] is not None:  # Linux tells
        assert 0 < small["anonymous_memory_mb"] <= small["peak_memory_mb"]
    assert 0.8 * weights_mb < big["peak_memory_mb"] - small["peak_memory_mb"] < 6 * weights_mb + 30


@pytest.mark.parametrize("precision", [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE])
def test_memory_of_a_model_that_takes_other_numbers(precision, tmp_path):
    sides = ["batch", 3, 64, 64]
    given, answer = (onnx.helper.make_tensor_value_info(name, precision, sides) for name in ("image", "logits"))
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["image"], ["logits"])], "g", [given], [answer])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    assert memory_of(path)["peak_memory_mb"] < 4


def test_memory_of_what_is_no_model_is_told_as_a_failure(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(RuntimeError, match=r"measuring the memory of .*no\.onnx failed: .*"):
        memory_mb(tmp_path / "no.onnx", {})


def test_the_larger_model_is_the_slower_one(colour, large):
    compared = compare_latency({"teacher": large[1], "student": colour[1]}, seconds=0.4)
    assert compared["reference"] == "teacher"
    assert list(compared["speedup"]) == ["student"]
    found = compared["speedup"]["student"]
    assert 1.5 < found["low"] <= found["ratio"] <= found["high"]
    for latency in compared["latency_ms"].values():
        assert latency["cpu_p50"] > 0
        assert latency["n"] + latency["disturbed"] >= 6 * 5
        assert latency["p50"] is None or 0 < latency["p50"] <= latency["p95"]


def counter(folder: Path, start: int, name: str = "package-0") -> Path:
    zone = folder / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "energy_uj").write_text(f"{start}\n")
    (zone / "max_energy_range_uj").write_text("1000000\n")
    return zone / "energy_uj"


def test_energy_is_an_estimate_that_says_so_where_no_counter_moves(colour, tmp_path):
    _, path = colour
    counter(tmp_path / "still", 5)
    for folder in (tmp_path / "none", tmp_path / "still"):
        energy = energy_per_inference(path, cpu_ms=0.2, seconds=0.02, counters=folder)
        assert energy["kind"] == "estimate"
        assert energy["value_mj"] == pytest.approx(0.2 * 10)
        assert "10 W" in energy["how"]


def test_energy_is_measured_where_a_counter_moves_and_wraps(colour, tmp_path):
    _, path = colour
    file = counter(tmp_path, 900_000)

    def tick() -> None:
        time.sleep(0.3)
        replacement = tmp_path / "next"
        replacement.write_text("400000\n")
        replacement.replace(file)

    ticking = threading.Thread(target=tick)
    ticking.start()
    energy = energy_per_inference(path, cpu_ms=1.0, seconds=0.8, counters=tmp_path)
    ticking.join()
    if energy["kind"] == "measured":
        runs = int(energy["how"].partition(" runs")[0].rpartition(" ")[2])
        assert energy["value_mj"] == pytest.approx(500 / runs)
    else:  # the machine that tests run on may be busy
        assert energy["value_mj"] == pytest.approx(1.0 * 10)
        assert "the machine was busy" in energy["how"]


def test_counters_are_believed_only_while_nothing_else_is_at_work():
    quiet, busy = (Burst((Timing(clock_ms, 2.0),) * 5) for clock_ms in (2.1, 2.3))
    found = by_counters(0.5, quiet)
    assert found is not None
    assert found["value_mj"] == pytest.approx(100)
    assert found["kind"] == "measured"
    assert by_counters(0.5, busy) is None
