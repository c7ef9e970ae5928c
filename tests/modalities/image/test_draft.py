"""What `limbeck init` says of the images' recipe that it writes: sizes, knobs, and why images are mirrored or not."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from limbeck.cli.main import app
from limbeck.errors import BadInput
from limbeck.modalities.image import draft
from limbeck.modalities.image.export import export_onnx, image_metadata
from limbeck.recipe import draft as recipe_draft
from limbeck.recipe import read as recipe_file
from limbeck.sections.teacher import Model
from limbeck.vision.build import build

DIGITS = draft.Found("digits", examples=1461, classes=10, channels=1, size=8)
PHOTOS = draft.Found("./my photos", examples=3000, classes=3, channels=3, size=224, names=("cat", "dog", "hare"))

# convnet of width 8 for 10 classes of grey 8x8 images, kernels of 3x3: stem, three blocks of 8-16-32-32-32, fc
WEIGHTS = [9 * 8, 9 * 8 + 8 * 16, 9 * 16 + 16 * 32, *[9 * 32 + 32 * 32] * 2, 32 * 10]
PLACES = [64, 64, 16, 16, 16, 1]
PARAMETERS = sum(WEIGHTS) + 2 * (8 + 16 + 32 * 3) + 10  # normalisation and biases
MACS = sum(weights * places for weights, places in zip(WEIGHTS, PLACES, strict=True))


def test_sizes_are_those_worked_out_by_hand_and_said_in_recipe_and_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "recipe.yaml"
    with pytest.raises(SystemExit) as end:
        app(["init", "--teacher", "resnet8", "--data", "digits", "--out", str(out)])
    assert end.value.code == 0
    printed, text = capsys.readouterr().out.splitlines(), out.read_text()
    said = (
        f"student convnet: {PARAMETERS:,} parameters, {4 * PARAMETERS / 1000:.1f} KB as float32, "
        f"{MACS / 1000:.1f} thousand MACs an image."
    )
    assert said in printed
    teacher = build(Model(model="resnet8"), classes=10, channels=1, size=8, trust_code=False, seed=0)
    many = sum(parameter.numel() for parameter in teacher.parameters())
    assert f"The student has 1/{many / PARAMETERS:.3g} of the teacher's parameters." in printed
    assert next(line for line in printed if line.startswith("teacher")).startswith(f"teacher resnet8: {many:,} param")
    flip = next(line for line in printed if line.startswith("views.flip is off: "))
    assert "single characters, '0' and so on" in flip  # what the classes are called, not the folder
    for line in (said, flip):
        assert f"# {line}" in text.splitlines()


def test_what_cannot_be_measured_yet_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"features.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(10, 4)}, path)
    for teacher in (str(path), "my.nets:large"):
        first, second, *_ = draft.recipe(teacher, DIGITS).said
        assert first == f"teacher {teacher}: its size is not known before the model can be built."
        assert second.startswith(f"student convnet: {PARAMETERS:,} parameters")
    warned = draft.recipe("convnet", DIGITS, "resnet8").said
    assert "The student has no fewer parameters than the teacher." in warned


ENDS = {"width": ("1 to 512; 8 here", 0, 513), "depth": ("1 to 12 (3 where", 0, 13), "kernel": ("3, 5, 7 (3", 1, 9)}


@pytest.mark.parametrize(
    ("family", "ends", "sizes"),
    [
        ("convnet", {**ENDS, "downscale": ("1, 2, 4 (1", 0, 3)}, "With width: 16, 13,610 parameters"),
        (
            "mobile",
            {**ENDS, "expand": ("1 to 8 (4 where", 0, 9), "downscale": ("1, 2, 4 (1", 0, 3)},
            "With width: 16, ",
        ),
    ],
)
def test_every_knob_is_shown_with_where_its_range_ends(family: str, ends: dict, sizes: str) -> None:
    text = draft.recipe("resnet8", DIGITS, family).text
    lines = [line[4:] for line in text.splitlines() if line.startswith("#   ")]
    shown_there = {line.split(":")[0]: line for line in lines[: len(ends)]}
    assert set(shown_there) == set(ends)
    for knob, (shown, below, above) in ends.items():
        assert shown_there[knob].startswith(f"{knob}: {shown}")
        for value in (below, above):
            section = Model.model_validate({"model": family, knob: value})
            with pytest.raises(BadInput, match=f"{family}'s {knob} is {value}"):
                build(section, classes=10, channels=1, size=8, trust_code=False, seed=0)
    assert lines[len(ends) + 1].startswith(sizes)


def test_a_network_without_knobs_has_its_family_shown() -> None:
    others = {
        "resnet8": "sizes: resnet8, resnet14",
        "wrn_10_1": "wrn_DEPTH_WIDTH",
        "my.nets:small": "keyword arguments",
    }
    for student, words in others.items():
        assert words in draft.recipe("wrn_16_2", DIGITS, student).text


@pytest.mark.parametrize(
    ("name", "names", "flips", "why"),
    [
        ("./my photos", ("cat", "dog"), True, "'my photos'"),
        ("./my photos", ("hand-left", "hand-right"), False, "a class is called 'hand-left'"),
        ("./my photos", ("leftover", "bright"), True, "neither"),
        ("./scans", ("A", "B"), False, "'A' and so on"),
        ("road_signs", ("stop", "yield"), False, "'road_signs', has 'sign' in it"),
        ("zalando-datasets/fashion_mnist", ("coat", "bag"), True, "'fashion_mnist'"),
    ],
)
def test_why_images_are_mirrored_is_said_with_how_to_change_it(
    name: str, names: tuple[str, ...], flips: bool, why: str
) -> None:
    found = dataclasses.replace(PHOTOS, name=name, names=names, classes=len(names), size=32)
    drafted = draft.recipe("resnet8", found)
    assert yaml.safe_load(drafted.text)["views"]["flip"] is flips
    said = next(line for line in drafted.said if line.startswith(f"views.flip is {'on' if flips else 'off'}: "))
    assert why in said
    assert f"--set views.flip={'false' if flips else 'true'}" in said
    assert f"# {said}" in drafted.text.splitlines()


def test_a_teacher_from_a_file_is_said_to_be_asked_with_which_mean_and_deviation(tmp_path: Path) -> None:
    found = dataclasses.replace(DIGITS, mean=(0.305,), std=(0.376,))
    model = build(Model(model="resnet8"), classes=10, channels=1, size=8, trust_code=False, seed=0).eval()
    state, dumb, told = (tmp_path / name for name in ("t.safetensors", "dumb.onnx", "told.onnx"))
    save_file(model.state_dict(), state)
    says = image_metadata(
        name="t", classes=[str(k) for k in range(10)], channels=1, height=8, width=8, mean=(0.5,), std=(0.25,)
    )
    export_onnx(model, told, says)
    proto = onnx.load(told)
    del proto.metadata_props[:]
    onnx.save(proto, dumb)
    for path in (state, dumb):
        drafted = draft.recipe(str(path), found)
        noted = next(line for line in drafted.said if "deviation" in line)
        assert noted.startswith(f"Noted: {path} does not say")
        assert "(mean [0.305], std [0.376])" in noted
        assert "preprocess" not in yaml.safe_load(drafted.text)["teacher"]
        line = next(line for line in drafted.text.splitlines() if line.startswith("  # preprocess: "))
        uncommented = yaml.safe_load(drafted.text.replace(line, line.replace("# ", "")))
        section = recipe_file.from_dict(uncommented, "x").teacher
        assert section.preprocess.model_dump() == {"mean": (0.5,), "std": (0.25,), "size": 8}
    drafted = draft.recipe(str(told), found)
    assert (
        f"Noted: {told} says in its metadata how its images are prepared, and they are: mean [0.5], std [0.25] and size 8."
        in drafted.said
    )
    assert "mean [0.5], std [0.25] and size 8; preprocess would say otherwise" in drafted.text


def test_a_table_of_paths_is_refused_for_a_teacher_of_images_with_what_would_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shapes"
    folder.mkdir()
    draw, rows = np.random.default_rng(0), ["file_name,label"]
    for number in range(80):
        Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{('round', 'square')[number % 2]}")
    (tmp_path / "shapes.csv").write_text("\n".join(rows))
    for task in ([], ["--task", "image-classification"]):
        with pytest.raises(SystemExit) as end:
            app(
                [
                    "init",
                    "--teacher",
                    "wrn_10_1",
                    *task,
                    "--data",
                    str(tmp_path / "shapes.csv"),
                    "--out",
                    str(tmp_path / "r.yaml"),
                ]
            )
        assert end.value.code == 2
        assert "metadata.csv" in (said := capsys.readouterr().err)
        assert "file_name" in said
        assert not (tmp_path / "r.yaml").exists()
    (folder / "metadata.csv").write_text("\n".join(rows))
    drafted = recipe_draft.write(teacher="wrn_10_1", data=str(folder), student=None, out=tmp_path / "r.yaml")
    noted = [line for line in drafted.said if line.startswith("Noted: ")]
    assert any("the validation split is carved from train" in line for line in noted)
    for line in noted:
        assert f"# {line}" in drafted.text.splitlines()
