"""What the documentation shows of Python runs as it stands."""

import ast
import json
import math
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import limbeck

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def example(name):
    return runpy.run_path(str(EXAMPLES / name))["main"]


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    out = tmp_path_factory.mktemp("example") / "run"
    return example("own_modules.py")(str(out), epochs=4)


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
        ours = distilled.student.model(images_BCHW)
    torch.testing.assert_close(ours, torch.from_numpy(deployed), atol=1e-4, rtol=1e-4)


def test_the_student_returned_takes_images_as_they_are(distilled):
    import onnxruntime

    metadata = json.loads(
        onnxruntime.InferenceSession(distilled.export("onnx")).get_modelmeta().custom_metadata_map["limbeck"]
    )
    (mean,), (std,) = metadata["input"]["mean"], metadata["input"]["std"]
    pixels_BCHW = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(str(distilled.export("onnx")))
    deployed = session.run(None, {"image": (pixels_BCHW.numpy().astype(np.float32) / 255 - mean) / std})[0]
    with torch.no_grad():
        of_bytes, of_floats = distilled.student(pixels_BCHW), distilled.student(pixels_BCHW / 255)
        with pytest.raises(limbeck.BadInput, match=r"run from -1 to 0: floats must lie in 0 to 1.*student\.model"):
            distilled.student(torch.linspace(-1, 0, 64).view(1, 1, 8, 8))
    torch.testing.assert_close(of_bytes, torch.from_numpy(deployed), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(of_floats, of_bytes)


@pytest.mark.parametrize("name", ["objective_in_a_loop.py", "objective_in_trainer.py", "objective_in_lightning.py"])
def test_an_objective_teaches_a_student_in_anybodys_loop(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the Trainer makes its folder where it is
    assert example(name)() > 0.85  # of ten classes


def test_students_teach_one_another_by_the_papers_loss():
    mutual = runpy.run_path(str(EXAMPLES / "mutual_learning.py"))
    assert mutual["main"]() > 0.85
    torch.manual_seed(0)
    students = [torch.nn.Linear(4, 3).double() for _ in range(3)]
    images, labels = torch.randn(5, 4).double(), torch.tensor([0, 2, 1, 1, 0])
    loss = mutual["mutual_loss"](students, 1, images, labels)
    loss.backward()
    one, own, other = (torch.softmax(student(images), 1).tolist() for student in students)
    expected = 0.0
    for i in range(5):
        expected -= math.log(own[i][labels[i]]) / 5
        expected += sum(p * math.log(p / q) for peer in (one, other) for p, q in zip(peer[i], own[i])) / 5 / 2
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert students[1].weight.grad is not None
    assert students[0].weight.grad is students[2].weight.grad is None  # what a peer says is taken as it is


PAGE = (ROOT / "docs" / "adding-an-objective.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
OF_PKT = (
    "src/limbeck/objectives/functional/features.py",
    "src/limbeck/objectives/catalogue/features.py",
    *("tests/objectives/test_pkt.py",) * 3,
)


def test_what_the_page_on_adding_an_objective_shows_of_one_stands_so_in_the_package():
    shown = [block for block in BLOCKS if not block.startswith(("import", "from"))]
    assert len(shown) == len(OF_PKT)
    for block, file in zip(shown, OF_PKT):
        there = {ast.dump(node) for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))}
        parts = [node.value if isinstance(node, ast.Expr) else node for node in ast.parse(block).body]
        assert {ast.dump(part) for part in parts} <= there, f"docs/adding-an-objective.md: {file} says otherwise"


def test_the_other_code_of_that_page_can_be_run():
    names: dict = {}
    for block in BLOCKS:
        if block.startswith(("import", "from")):
            exec(compile(block, "docs/adding-an-objective.md", "exec", dont_inherit=True), names)
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    q, p = (torch.softmax(logits / 2, 1) for logits in (student, teacher))
    value = names["hellinger_positions"](student, teacher, temperature=2.0)
    torch.testing.assert_close(value, (p.sqrt() - q.sqrt()).square().sum(1) / 2)
    assert repr(names["objective"].parts[0]) == "hellinger(temperature=2.0, weight=1.0)"
