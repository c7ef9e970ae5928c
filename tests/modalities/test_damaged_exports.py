"""A damaged export is refused in one sentence, by whoever reads it: `limbeck predict`, its copy that stands alone, `limbeck.load`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

import limbeck
from limbeck.deploy.standalone import write_standalone
from limbeck.vision.convnet import ConvNet
from tests.helpers.students import STUDENTS, image_student
from tests.helpers.text_runs import limbeck as command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A student's folder of each modality."""
    folder = tmp_path_factory.mktemp("whole")
    for name, (make, _) in STUDENTS.items():
        make(folder / name)
    return {name: folder / name for name in STUDENTS}


@pytest.fixture
def whole(request: pytest.FixtureRequest, made: dict[str, Path]) -> tuple[Path, str, str]:
    """A student's folder, its modality and an example for it."""
    return made[request.param], request.param, STUDENTS[request.param][1]


def said(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """What the file says of itself, changed."""

    def damage(folder: Path) -> None:
        proto = onnx.load(folder / "model.onnx")
        content = json.loads(proto.metadata_props[0].value)
        change(content)
        proto.metadata_props[0].value = json.dumps(content)
        onnx.save(proto, folder / "model.onnx")

    return damage


def no_json(folder: Path) -> None:
    proto = onnx.load(folder / "model.onnx")
    proto.metadata_props[0].value = '{"schema_version": 1,'
    onnx.save(proto, folder / "model.onnx")


def silent(folder: Path) -> None:
    proto = onnx.load(folder / "model.onnx")
    del proto.metadata_props[:]
    onnx.save(proto, folder / "model.onnx")


def short(folder: Path) -> None:
    file = folder / "model.onnx"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def not_a_number(folder: Path) -> None:
    """In both files: predict asks the one, load reads the other."""
    proto = onnx.load(folder / "model.onnx")
    for weight in proto.graph.initializer:
        values = numpy_helper.to_array(weight).copy()
        if values.dtype.kind == "f":
            values[...] = float("nan")
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(proto, folder / "model.onnx")
    state = load_file(folder / "model.safetensors")
    name = next(name for name, value in state.items() if value.dim() > 1)
    state[name].view(-1)[3] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


UNUSABLE = "metadata that cannot be used"
# What all three refuse: of which modality (None: any), the damage, and words of the sentence.
DAMAGES: dict[str, tuple[str | None, Callable[[Path], None], str]] = {
    "no json": (None, no_json, UNUSABLE),
    "nothing said": (None, silent, "has no 'limbeck' metadata"),
    "half a file": (None, short, "cannot be loaded: it is not an ONNX model, or it is damaged"),
    "another schema": (None, said(lambda one: one.update(schema_version=99)), "schema_version is 99"),
    "another task": (None, said(lambda one: one.update(task="dance")), "task is 'dance'"),
    "too few classes": (None, said(lambda one: one["classes"].pop()), "but its metadata names 2"),
    "classes of no names": (None, said(lambda one: one.update(classes=[1, 2, 3])), "classes must be a list of names"),
    "no classes": (None, said(lambda one: one.pop("classes")), "'classes' is missing"),
    "no input": (None, said(lambda one: one.pop("input")), "'input' is missing"),
    "no numbers": (None, not_a_number, "no finite numbers (NaN or infinity"),
    "std 0": ("image", said(lambda one: one["input"].update(std=[0.0])), "input.std positive"),
    "mean of text": ("image", said(lambda one: one["input"].update(mean=["a"])), "input.mean must be finite"),
    "another size": ("image", said(lambda one: one["input"].update(height=9)), "takes images of (1, 8, 8)"),
    "crop": ("image", said(lambda one: one["input"].update(crop="x")), "input.crop is 'x'"),
    "too few tokens": ("text", said(lambda one: one["input"].update(vocabulary=5)), "and the model 5"),
    "length 0": ("text", said(lambda one: one["input"].update(max_length=0)), "input.max_length is 0"),
    "no flag": ("text", said(lambda one: one.update(multi_label="no")), "multi_label is 'no', not true or false"),
    "no tokenizer": ("text", lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json does not exist"),
}  # fmt: skip


def of(*wanted: str) -> list[tuple[str, str]]:
    """Every modality with each of these damages that can be done to it."""
    return [(one, what) for one in STUDENTS for what in wanted if DAMAGES[what][0] in (None, one)]


@pytest.mark.parametrize(("whole", "what"), of(*DAMAGES), indirect=["whole"])
def test_all_that_read_an_export_refuse_the_same_damages(
    whole: tuple[Path, str, str], tmp_path: Path, what: str
) -> None:
    (folder, _, example), (_, damage, words) = whole, DAMAGES[what]
    student = Path(shutil.copytree(folder, tmp_path / "student"))
    assert command(student, "predict", "model.onnx", example)[0] == 0
    assert not limbeck.load(student).training
    damage(student)
    with pytest.raises(limbeck.BadInput) as loading:
        limbeck.load(student)
    code, out, err = command(student, "predict", "model.onnx", example)
    assert (code, out) == (2, "")
    for sentence in (str(loading.value), err.removeprefix("limbeck: ").removesuffix("\n")):
        assert words in sentence
        assert "\n" not in sentence


@pytest.mark.parametrize(("whole", "what"), of("std 0", "length 0", "too few classes"), indirect=["whole"])
def test_the_script_that_stands_alone_does_so_too(whole: tuple[Path, str, str], tmp_path: Path, what: str) -> None:
    (folder, modality, example), (_, damage, words) = whole, DAMAGES[what]
    student = Path(shutil.copytree(folder, tmp_path / "student"))
    damage(student)
    write_standalone(f"limbeck.modalities.{modality}.predict", student / "predict.py")
    alone = [sys.executable, "predict.py", "model.onnx", example]
    done = subprocess.run(alone, cwd=student, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("whole", STUDENTS, indirect=True)
def test_a_file_for_executorch_is_not_called_a_damaged_one(whole: tuple[Path, str, str], tmp_path: Path) -> None:
    (tmp_path / "model.pte").write_bytes(b"    ET12")
    code, out, err = command(tmp_path, "predict", "model.pte", whole[2])
    assert (code, out) == (2, "")
    assert err == (
        "limbeck: model model.pte is for ExecuTorch's runtime alone: give the student's .onnx or .tflite file.\n"
    )


def lacking(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state.popitem()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])


OF_WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a tensor is missing": (lacking, "lacks '"),
    "half a file": (cut, "again"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "holds no student"),
    "config is no json": (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
    "config is deep": (lambda folder: (folder / "config.json").write_text("[" * 100_000), "recursion"),
}


@pytest.mark.parametrize("what", OF_WEIGHTS)
@pytest.mark.parametrize("whole", STUDENTS, indirect=True)
def test_what_only_a_module_is_made_from_is_refused_too(
    whole: tuple[Path, str, str], tmp_path: Path, what: str
) -> None:
    student = Path(shutil.copytree(whole[0], tmp_path / "student"))
    damage, words = OF_WEIGHTS[what]
    damage(student)
    with pytest.raises(limbeck.BadInput) as loading:
        limbeck.load(student)
    assert words in str(loading.value)
    assert "\n" not in str(loading.value)


def test_infinities_that_a_module_keeps_beside_its_parameters_are_its_own_affair(tmp_path: Path) -> None:
    class Masked(ConvNet):
        def __init__(self) -> None:
            super().__init__(classes=3, channels=1, size=8, width=4)
            self.register_buffer("mask", torch.full((2,), float("-inf")))

    image_student(tmp_path / "student")
    weights = {**load_file(tmp_path / "student" / "model.safetensors"), "mask": torch.full((2,), float("-inf"))}
    save_file(weights, tmp_path / "student" / "model.safetensors")
    loaded: Any = limbeck.load(tmp_path / "student", model=Masked())
    assert torch.equal(loaded.model.get_buffer("mask"), weights["mask"])
