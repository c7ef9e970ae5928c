"""What the documentation shows of Python runs as it stands."""

import json
import runpy
from pathlib import Path

import pytest
import torch

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_modules.py"


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    out = tmp_path_factory.mktemp("example") / "run"
    return runpy.run_path(str(EXAMPLE))["main"](str(out), epochs=4)


def test_own_modules_give_a_deployed_student_and_the_evidence(distilled):
    results = json.loads((distilled.folder / "results.json").read_text())
    assert distilled.metrics["accuracy"] == results["student"]["metrics"]["accuracy"]["mean"] > 0.5
    assert results["teacher"]["metrics"]["accuracy"]["mean"] > 0.9
    assert results["baseline"]["runs"][0]["seed"] == results["student"]["runs"][0]["seed"]
    assert distilled.export("onnx").stat().st_size > 1000
    assert distilled.report.read_text().startswith("<!doctype html>")


def test_the_student_returned_is_the_one_exported(distilled):
    import onnxruntime

    images_BCHW = torch.linspace(-1, 1, 2 * 64).view(2, 1, 8, 8)
    session = onnxruntime.InferenceSession(str(distilled.export("onnx")))
    deployed = session.run(None, {session.get_inputs()[0].name: images_BCHW.numpy()})[0]
    with torch.no_grad():
        torch.testing.assert_close(distilled.student(images_BCHW), torch.from_numpy(deployed), atol=1e-4, rtol=1e-4)
