"""SimKD in a run: what is trained and exported is the student's body, the projector and the teacher's classifier."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from limbeck import SimKD, Train, distill, load
from limbeck.errors import BadInput
from limbeck.modalities.image.predict import predict
from limbeck.objectives.modules import KD
from limbeck.pipeline.check import check
from limbeck.pipeline.simkd import taught_as_one, with_teachers_classifier
from limbeck.pipeline.timing import student_seconds
from limbeck.pipeline.trial import two_examples
from limbeck.vision.convnet import ConvNet
from tests.helpers.tiny import folder_of, job, recipe, snapshot

SIMKD = "objective={simkd: {student: stages, teacher: stages}}"


def digits() -> tuple[np.ndarray, np.ndarray]:
    bunch: Any = load_digits()
    return (bunch.images[:200] / 16).astype("float32"), bunch.target[:200]


def test_a_run_trains_measures_and_exports_the_whole_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    images, labels = digits()
    teacher = ConvNet(classes=10, channels=1, size=8, width=6).eval()
    given = {
        "teacher": teacher,
        "student": lambda: ConvNet(classes=10, channels=1, size=8, width=4),
        "train": (images, labels),
        "objective": SimKD("stages", "stages"),
        "train_plan": Train(epochs=2, batch_size=50, keep="best", ema=0.5),
        "out": tmp_path / "run",
    }
    result = distill(**given)
    student: Any = result.student
    kept = load_file(tmp_path / "run" / "student.safetensors")
    assert torch.equal(kept["classifier.weight"], teacher.fc.weight)
    assert torch.equal(kept["classifier.bias"], teacher.fc.bias)
    assert not [name for name in kept if name.startswith("body.fc")]

    # its answer, worked out by hand from its parts, is that of the exported file
    body, batch = ConvNet(classes=10, channels=1, size=8, width=4).eval(), torch.randn(3, 1, 8, 8)
    parts = {name.removeprefix("body."): value for name, value in kept.items() if name.startswith("body.")}
    body.load_state_dict({**body.state_dict(), **parts})
    with torch.no_grad():
        maps = student.model.projector(body.stages(body.stem(batch)))
        logits = maps.mean((2, 3)) @ teacher.fc.weight.T + teacher.fc.bias
        torch.testing.assert_close(student.model(batch), logits)
    session = onnxruntime.InferenceSession(str(result.export("onnx")))
    (deployed,) = session.run(None, {"image": batch.numpy()})
    np.testing.assert_allclose(np.asarray(deployed), logits.numpy(), atol=1e-4)

    # no module of it is built from the folder; what to do instead is said, and does it
    run = tmp_path / "run"
    with pytest.raises(BadInput, match=r"a body, a projector and the teacher's classifier.*limbeck predict .*student"):
        load(run)
    again: Any = load(run, model=student.model)
    torch.testing.assert_close(again.model(batch), student.model(batch))
    Image.fromarray((images[0] * 255).astype("uint8")).save(tmp_path / "one.png")
    (said,) = predict(run / "student" / "model.onnx", [tmp_path / "one.png"], top=1)
    assert said.classes[0][0] == str(int(student(torch.from_numpy(images[:1, None])).argmax()))

    results = result.results
    told, baseline = (results[role] for role in ("student", "baseline"))
    assert told["parameters"] == sum(value.numel() for value in result.student.parameters())
    assert baseline["parameters"] == sum(value.numel() for value in ConvNet(10, 1, 8, width=4).parameters())
    assert told["latency_ms"]["cpu_p50"] > 0
    assert baseline["latency_ms"] is None  # it was not exported, and is another model
    assert "teacher's classifier" in results["data"]["notes"][-1]
    history = json.loads((folder_of(tmp_path / "run", "student") / "history.json").read_text())
    assert history[-1]["train_loss"] < history[0]["train_loss"]

    said = capsys.readouterr().err.splitlines()
    stages = [line for line in said if " of 7, " in line]
    assert [line.split(":")[0] for line in stages] == [
        f"{k} of 7, {name}"
        for k, name in enumerate(("teacher", "student", "baseline", "smoothed", "evaluate", "export", "report"), 1)
    ]
    assert f"2 epochs of {results['data']['train']} examples" in stages[1]
    assert said[-1].startswith("all done in ")

    # and again: the finished whole is put together as it was
    before = snapshot(tmp_path / "run" / "stages")
    again = distill(**given)
    assert again.results == results
    assert snapshot(tmp_path / "run" / "stages") == before
    assert capsys.readouterr().err.count("finished before") == 6  # all but the teacher, which came as it is


def test_only_the_body_and_the_projector_learn_and_only_from_the_teachers_map(tmp_path: Path) -> None:
    one = job(tmp_path, SIMKD, "teacher.width=6")
    batch, wanted = two_examples(one.task, one.recipe), SimKD("stages", "stages")
    before = {name: value.clone() for name, value in one.teacher.state_dict().items()}
    students: list[Any] = [
        with_teachers_classifier(wanted, one.student(0), one.teacher, batch, seed) for seed in (0, 0, 1)
    ]
    same, again, other = (student.projector[1].weight for student in students)
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
    learning = {name for name, value in students[0].named_parameters() if value.requires_grad}
    assert {name.split(".")[0] for name in learning} == {"body", "projector"}
    assert all(torch.equal(value, before[name]) for name, value in one.teacher.state_dict().items())
    assert all(value.requires_grad for value in one.teacher.parameters())  # the classifier is a copy
    taught = taught_as_one(0.5 * wanted + KD())
    assert taught.needs.features == ("projector",)
    assert taught.needs.teacher_features == ("stages",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["objective.simkd.teacher=stages.0"], "none that takes the mean of what 'stages.0' gives"),
        (["objective.simkd.teacher=stags"], "teacher's features: there is no module at 'stags'.*Did you mean 'stages'"),
        (["objective.simkd.student=stages.0"], "would leave 'stages.1.* of the student untrained"),
        (["objective.simkd.student=stags"], "student's features: there is no module at 'stags'"),
        (["objective.simkd.student=fc:in"], "are no map"),
        (["teacher={model: wrn_10_1, train: {}}", "objective.simkd.teacher=block3"], "relu of a wrn"),
        (["objective.fitnets={student: stem, teacher: stem}"], "fitnets beside it asks for features"),
    ],
)
def test_what_cannot_be_put_together_is_refused_before_training(
    tmp_path: Path, settings: list[str], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        job(tmp_path, SIMKD, *settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("teacher", ["{model: wrn_10_1, train: {}}", "{model: resnet8, train: {}}"])
def test_the_last_map_of_every_family_fits(tmp_path: Path, teacher: str) -> None:
    path = "relu" if "wrn" in teacher else "layer3"
    one = job(tmp_path, f"objective={{simkd: {{student: stages, teacher: {path}}}}}", f"teacher={teacher}")
    assert one.live


# --- what it would take


class Slow(KD):
    """KD that takes at least 20 ms a step."""

    def forward(self, student, target, batch):
        time.sleep(0.02)
        return super().forward(student, target, batch)


def test_a_plan_times_the_objective_that_is_trained_and_the_whole_run(tmp_path: Path) -> None:
    slow = dataclasses.replace(job(tmp_path, "targets.live=true"), objective=Slow)
    assert student_seconds(slow) >= 2 * 3 * 0.02  # epochs, steps
    planned = {
        stage.name: stage
        for stage in check(recipe(SIMKD, "teacher.width=6"), tmp_path / "run", measure=True, threads=1)
    }
    assert list(planned) == ["teacher", "student", "baseline", "smoothed", "evaluate", "export", "report"]
    assert all(stage.seconds and stage.seconds > 0 for stage in planned.values())
    assert not (tmp_path / "run").exists()
