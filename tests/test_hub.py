"""`limbeck.load` by a name on the hub: the hub's own client, against a server on this machine, and without one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import limbeck
from tests.helpers.hub_server import serving
from tests.helpers.students import image_student, text_student
from tests.helpers.tiny import environment

TEXTS = ["the film is good", "a dull plot"]
# The client reads where the hub is when it is imported, so who asks is another process.
ASK = """
import json, sys, torch, limbeck
answers = []
for name, revision in json.loads(sys.argv[1]):
    try:
        student = limbeck.load(name, revision=revision)
        given = json.loads(sys.argv[2]) if name.endswith("text") else torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
        answers.append(student(given).tolist())
    except limbeck.BadInput as error:
        answers.append([error.exit_code, str(error)])
print(json.dumps(answers))
"""


def ask(home: Path, hub: str, *asked: tuple[str, str | None]) -> tuple[list[Any], str]:
    """What loading each says, an answer or exit code and sentence, and what was said beside it."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(asked), json.dumps(TEXTS)],
        env={**environment(), "HF_ENDPOINT": hub, "HF_HOME": str(home)},
        capture_output=True,
        text=True,
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("hub")
    places = {("you/image", "main"): folder / "image", ("you/text", "main"): folder / "text"}
    image_student(folder / "image")
    text_student(folder / "text")
    shutil.copytree(folder / "image", folder / "cut")
    (folder / "cut" / "model.onnx").write_bytes((folder / "cut" / "model.onnx").read_bytes()[:300])
    for one in ("image", "text"):
        (folder / one / "pytorch_model.bin").write_bytes(b"pickled")
        (folder / one / "own_code.py").write_text("raise SystemExit('it was run')")
    return {**places, ("you/image", "cut"): folder / "cut"}


def test_a_student_is_loaded_from_the_hub_and_without_it_from_what_was_downloaded(
    students: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    image, text = (limbeck.load(students[f"you/{one}", "main"]) for one in ("image", "text"))
    expected = image(torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)), text(TEXTS)
    with serving(students) as hub:
        (*right, cut, revision, name), said = ask(
            tmp_path, hub.url,
            ("you/image", None), ("you/text", "main"), ("you/image", "cut"), ("you/image", "v9"), ("you/none", None),
        )  # fmt: skip
        commit = hub.commit("you/image", "main")
    assert all("Fetching" in line for line in said.split("\n") if line.strip())
    for answer, wanted in zip(right, expected, strict=True):
        torch.testing.assert_close(torch.tensor(answer), wanted)
    read = {path for method, path in hub.asked if method == "GET"}
    assert f"/you/image/resolve/{commit}/model.onnx" in read
    assert not any(path.endswith((".bin", ".py", ".png")) for path in read)
    for (code, sentence), words in (
        (cut, "cannot be loaded"),
        (revision, "no revision 'v9'"),
        (name, "no model of that name"),
    ):
        assert code == 2
        assert words in sentence
        assert "\n" not in sentence

    # without a network: what was downloaded is there, and of anything else it is said at once
    (kept, lost), said = ask(tmp_path, "http://hub.invalid", ("you/image", None), ("you/none", None))
    assert kept == right[0]
    assert said == ""
    assert lost[0] == 2
    assert re.fullmatch(
        "there is no folder you/none here, and the Hugging Face hub cannot be reached [^.]*[.]", lost[1]
    )


def test_a_command_that_needs_the_hub_and_has_no_network_says_so(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "{task: text-classification, data: {name: data}, teacher: {model: you/none}, student: {model: bag}}"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("text,label\n" + "".join(f"text {k},{k % 2}\n" for k in range(40)))
    done = subprocess.run(
        [sys.executable, "-m", "limbeck", "run", "r.yaml"],
        env={**environment(), "HF_ENDPOINT": "http://hub.invalid", "HF_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "limbeck: teacher: there is no folder you/none here, and the Hugging Face hub cannot be reached"
    )
