"""Claims about a teacher that is asked where the student is unsure, and about a container, which has neither Limbeck nor torch."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import onnx
import pytest

from limbeck.errors import BadInput
from limbeck.modalities.image import serve as image_serve
from limbeck.serving.escalate import escalation_of
from limbeck.serving.launch import contain
from limbeck.serving.server import Service
from limbeck.serving.settings import Settings
from tests.helpers.tiny import environment
from tests.serving.test_models import close, picture
from tests.serving.test_server import Server, form, listening, stopped

ABSENT = "import runpy, sys\nsys.modules.update(limbeck=None, torch=None)\nsys.path[0] = ''\nrunpy.run_path('server.py', run_name='__main__')"
TABLE = {"threshold": [0.0, *np.linspace(0.3, 0.9, 99), 2.0], "share": [n / 100 for n in range(101)]}
TABLE["accuracy"] = [min(0.9, 0.8 + n / 500) for n in range(101)]


@pytest.fixture(scope="module")
def run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a finished run leaves, as far as a server reads it; the teacher's weights are the student's turned round."""
    folder = tmp_path_factory.mktemp("run")
    copyfile(model, folder / "student.onnx")
    teacher = onnx.load(model)
    for one in teacher.graph.initializer:
        if len(one.dims) == 2:
            one.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(one), one.name))
    onnx.save(teacher, folder / "teacher.onnx")
    (folder / "results.json").write_text(json.dumps({"escalation": {"validation": TABLE}}))
    return folder


def test_a_container_answers_as_both_models_do_where_neither_limbeck_nor_torch_is(run: Path, tmp_path: Path) -> None:
    uploads = [picture(number) for number in range(12)]
    said, sure = {}, np.zeros(0)
    for name in ("student", "teacher"):
        model = image_serve.opened(run / f"{name}.onnx")
        answers = list(image_serve.ask(model, [image_serve.read(model, one, 1) for one in uploads]))
        said[name] = [image_serve.told(model, one, 2) for one in answers]
        if name == "student":
            found = image_serve.sureness(model, answers)
            assert found is not None
            sure = found
    threshold = float(np.sort(sure)[5:7].mean())
    folder = tmp_path / "container"
    contain(Settings(run / "student.onnx", batch=4, teacher=run / "teacher.onnx", threshold=threshold), folder)

    written = (folder / "Dockerfile").read_text()
    found_command = re.search(r"^CMD (.*)$", written, re.MULTILINE)
    assert found_command
    command = ast.literal_eval(found_command[1])
    assert command[:3] == ["python", "server.py", "student/student.onnx"]
    given = ["server.py", *command[2:], "--host", "127.0.0.1", "--port", "0"]
    code = f"import sys\nsys.argv = {given!r}\n{ABSENT}"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    server: Server = listening(process)
    status, told = server.ask(*form(*uploads), "/predict?top=2")
    assert status == 200
    by = [one.pop("by") for one in told["predictions"]]
    assert by == ["teacher" if one < threshold else "student" for one in sure]
    assert by.count("teacher") == 6
    assert close(told["predictions"], [said[name][n] for n, name in enumerate(by)])
    assert server.metrics()['limbeck_examples_total{model="teacher"}'] == 6
    assert server.ask(b"", None, "/healthz", "GET")[1]["threshold"] == threshold
    assert stopped(server) == (0, "", "stopped.\n")
    needed = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().splitlines()}
    assert needed == {"onnxruntime", "numpy", "pillow", "fastapi", "prometheus-client", "python-multipart", "uvicorn"}
    assert "torch" not in shlex.split(written)
    with pytest.raises(BadInput, match="already holds something"):
        contain(Settings(run / "student.onnx"), folder)


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("share=0", 0),
        ("share=0.1", 10),
        ("share=0.109", 10),
        ("share=1", 100),
        ("accuracy=0.8", 0),
        ("accuracy=0.85", 25),
    ],
)
def test_a_threshold_is_that_of_validation(run: Path, asked: str, place: int) -> None:
    found = escalation_of(run, run / "student.onnx", asked)
    assert found.teacher == run / "teacher.onnx"
    assert (found.threshold, found.share) == (TABLE["threshold"][place], TABLE["share"][place])


def test_what_cannot_be_sent_on_is_said(run: Path, tmp_path: Path) -> None:
    student = run / "student.onnx"

    def refused(asked: str, folder: Path = tmp_path, results: Any = None) -> str:
        if results is not None:
            (folder / "results.json").write_text(results if isinstance(results, str) else json.dumps(results))
        with pytest.raises(BadInput) as error:
            escalation_of(folder, student, asked)
        return str(error.value)

    for asked in ("0.1", "share", "share=x", "share=1.5", "share=nan", "loss=0.1", ""):
        assert "give share=0.1 or accuracy=0.95" in refused(asked, run)
    assert "cannot be read" in refused("share=0.1")
    assert "is damaged" in refused("share=0.1", results="{")
    assert "older version" in refused("share=0.1", results={})
    assert "do not tell how sure" in refused("share=0.1", results={"escalation": None})
    assert "was not exported" in refused("share=0.1", results={"escalation": {"validation": TABLE}})
    assert "reach 0.9000 on validation at most" in refused("accuracy=0.95", run)
    copyfile(run / "teacher.onnx", tmp_path / "teacher.onnx")
    for damaged in (
        [1],
        {},
        {"validation": {**TABLE, "share": []}},
        {"validation": {**TABLE, "accuracy": ["x"] * 101}},
    ):
        assert "is damaged" in refused("share=0.1", results={"escalation": damaged})


def test_a_teacher_of_other_classes_and_one_without_a_threshold_are_refused(run: Path, tmp_path: Path) -> None:
    other = onnx.load(run / "teacher.onnx")
    said = next(one for one in other.metadata_props if one.key == "limbeck")
    about = json.loads(said.value)
    about["classes"] = about["classes"][::-1]
    said.value = json.dumps(about)
    onnx.save(other, tmp_path / "other.onnx")
    student = run / "student.onnx"
    with pytest.raises(ValueError, match=r"other\.onnx has other classes than .*student\.onnx"):
        Service(image_serve, Settings(student, teacher=tmp_path / "other.onnx", threshold=0.5))
    with pytest.raises(ValueError, match="there is a teacher and no threshold"):
        Service(image_serve, Settings(student, teacher=run / "teacher.onnx"))
