"""Claims about what is refused at once: before torch, datasets or scikit-learn are imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tiny import environment

HEAVY = (
    "torch",
    "datasets",
    "sklearn",
    "scipy",
    "torchmetrics",
    "accelerate",
    "transformers",
    "onnxruntime",
    "pandas",
    "numpy",
    "rich",
)

IMAGES = """\
data: {name: digits}
teacher: {model: resnet20, train: {epochs: 1}}
student: {model: convnet, width: 8}
"""
TEXTS = """\
task: text-classification
data: {name: texts.csv}
teacher: {model: ./teacher}
student: {model: bag}
"""
COMPARISON = """\
recipe: images.yaml
objectives: {kd: {kd: {}}}
"""

WRONG = {
    "a field": ("run images.yaml --set train.epocs=3", "train.epocs: no such field. Did you mean 'epochs'?"),
    "a value": ("run images.yaml --set train.epochs=many", "'many'"),
    "a student's knob": ("run images.yaml --set student.widht=3", "convnet has no knob 'widht'"),
    "a teacher's knob": ("run images.yaml --set teacher.width=3", "resnet20 has no knobs"),
    "a knob's range": ("run images.yaml --set student.width=0", "it must be a whole number from 1 to 512"),
    "a model": ("run images.yaml --set student.model=convnett", "Did you mean 'convnet'?"),
    "a depth": ("run images.yaml --set teacher.model=resnet21", "6n + 2"),
    "a recipe": ("run imagez.yaml", "Did you mean 'images.yaml'?"),
    "a data folder": ("run images.yaml --set data.name=./nowhere", "data.name: there is no folder ./nowhere"),
    "a transfer folder": ("run images.yaml --set data.transfer.name=./nowhere", "data.transfer.name: there is no folder"),
    "weights": ("run images.yaml --set teacher.weights=gone.pt", "gone.pt does not exist"),
    "an ONNX file": ("run images.yaml --set teacher={onnx: gone.onnx}", "gone.onnx does not exist"),
    "a store": ("run images.yaml --set targets.store=runs/gone", "runs/gone: there is no such folder"),
    "a plan": ("run images.yaml --plan --set data.name=./nowhere", "there is no folder"),
    "a cast": ("targets cast images.yaml --set data.name=./nowhere", "there is no folder"),
    "a comparison's": ("compare comparison.yaml --set data.name=./nowhere", "there is no folder"),
    "a text's field": ("run texts.yaml --set student.widht=3", "student.widht: no such field"),
    "a table of texts": ("run texts.yaml", "there is no such file texts.csv"),
    "a text's teacher": ("run texts.yaml --set data.name=.", "teacher: there is no folder teacher"),
}  # fmt: skip

# All in one process: what is imported by one is there for the next, so the first that imports too much is named.
CODE = """
import contextlib, io, json, shlex, sys
import limbeck.cli.main as cli
told = {}
for name, command in json.loads(sys.argv[1]).items():
    sys.argv = ["limbeck", *command]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code
    told[name] = [code, said.getvalue(), [one for one in %r if one in sys.modules]]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    folder: Path = tmp_path_factory.mktemp("refusals")
    for name, text in (("images", IMAGES), ("texts", TEXTS), ("comparison", COMPARISON)):
        (folder / f"{name}.yaml").write_text(text)
    (folder / "teachers").mkdir()
    commands = {name: _words(command) for name, (command, _) in WRONG.items()}
    ran = subprocess.run(
        [sys.executable, "-c", CODE % (HEAVY,), json.dumps(commands)],
        cwd=folder, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == [
        "comparison.yaml",
        "images.yaml",
        "teachers",
        "texts.yaml",
    ]
    return json.loads(ran.stdout)


def _words(command: str) -> list[str]:
    before, _, value = command.partition(" --set ")
    return [*before.split(), *(["--set", value] if value else [])]


@pytest.mark.parametrize("wrong", list(WRONG))
def test_what_is_wrong_is_said_before_anything_heavy_is_imported(refusals: dict[str, list], wrong: str) -> None:
    code, said, heavy = refusals[wrong]
    assert (code, heavy) == (2, []), said
    assert WRONG[wrong][1] in said
    assert len(said.splitlines()) == 1
