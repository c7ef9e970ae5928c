"""Claims about images with numbers for labels: turned digits, further cameras, splits, where each example stands."""

from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.errors import BadInput
from limbeck.modalities.image.load import load
from limbeck.modalities.image.origins import origins_of_images
from limbeck.modalities.image.recipe import NumberData
from limbeck.vision.inputs import content_ids
from limbeck.vision.turned_digits import angles, turned

CAMERAS = {"left": {"add": 0.25}, "right": {"add": -0.25}}


def picture(seed: int) -> dict:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 10), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format="png")
    return {"bytes": file.getvalue(), "path": f"{seed}.png"}


def drive(folder, frames: int = 40, **changed):
    """A table of frames: three cameras, a number each, two frames in a group."""
    columns = {
        "center": [picture(row) for row in range(frames)],
        "left": [picture(1000 + row) for row in range(frames)],
        "right": [picture(2000 + row) for row in range(frames)],
        "steering": [row / 8 for row in range(frames)],
        "lap": [f"lap {row // 2}" for row in range(frames)],
        **changed,
    }
    features = {name: datasets.Image() for name in ("center", "left", "right")}
    features |= {"steering": datasets.Value("float32"), "lap": datasets.Value("string")}
    datasets.Dataset.from_dict(columns, features=datasets.Features(features)).to_parquet(folder / "train.parquet")
    return str(folder)


def data(name: str, **more) -> NumberData:
    return NumberData.model_validate({"name": name, "image": "center", "label": "steering", **more})


def test_turning_is_by_the_angle_counter_clockwise_about_the_centre():
    upright = np.zeros((9, 9), np.uint8)
    upright[:, 4] = 255  # a line from top to bottom
    lying = turned(upright, 90.0, side=9)
    assert lying[4, 1:8].min() > 200
    assert lying[[0, 1, 7, 8]].max() == 0
    leaning = turned(upright, 45.0, side=9)  # its upper end goes to the left
    assert leaning[2, 2] > 100
    assert leaning[2, 6] == 0


def test_the_angle_of_a_turned_digit_follows_from_its_pixels_alone():
    splits = load(NumberData(name="digits_turned"))
    again = load(NumberData(name="digits_turned", limit=100))
    assert splits.answers.names == ("angle",)
    assert splits.train.images.shape[1:] == (1, 16, 16)
    labels = splits.train.labels
    assert labels is not None
    assert labels.shape == (len(splits.train), 1)
    assert float(labels.abs().max()) <= 45
    assert abs(float(labels.std()) - 90 / 12**0.5) < 1  # uniform
    place = splits.train.position_of(again.train.ids)
    assert torch.equal(labels[place], again.train.labels)  # type: ignore[arg-type]
    ids = content_ids(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    assert torch.equal(angles(ids[:1]), angles(ids)[:1])


def test_further_cameras_add_training_examples_with_a_corrected_number(tmp_path):
    name = drive(tmp_path)
    plain, wide = load(data(name)), load(data(name, cameras=CAMERAS))
    frames = len(plain.train)
    assert len(wide.train) == 3 * frames
    # the frames themselves are the same examples as without, in every split
    for split in ("validation", "train"):
        assert torch.equal(getattr(wide, split).ids[: len(getattr(plain, split))], getattr(plain, split).ids)
    assert len(wide.validation) == len(plain.validation)
    assert torch.equal(wide.test.open("a test").ids, plain.test.open("a test").ids)
    labels = wide.train.labels
    assert labels is not None
    assert torch.equal(labels[frames : 2 * frames], labels[:frames] + 0.25)
    assert torch.equal(labels[2 * frames :], labels[:frames] - 0.25)
    assert plain.fingerprint != wide.fingerprint


def test_no_frame_straddles_splits_whatever_is_carved(tmp_path):
    name = drive(tmp_path)
    wide = load(data(name, cameras=CAMERAS, group="lap", limit=12))
    assert len(wide.train) == 36
    train, validation = wide.train.groups, wide.validation.groups
    assert train is not None
    assert validation is not None
    assert not train.shared_with(validation)
    assert torch.equal(train.codes[:12], train.codes[12:24])
    origins = origins_of_images(data(name, cameras=CAMERAS, group="lap", limit=12), wide)["train"]
    assert origins["row"][:12] == origins["row"][12:24] == origins["row"][24:]
    assert origins["path"][12:24] == [f"{1000 + row}.png" for row in origins["row"][:12]]


def test_a_camera_that_sees_the_very_same_picture_gives_an_example_of_its_own(tmp_path):
    same = [picture(row) for row in range(40)]
    wide = load(data(drive(tmp_path, left=same), cameras={"left": {}}))
    assert len(wide.train.ids.unique()) == len(wide.train)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cameras": {"lfet": {}}}, "data.cameras: there is no column 'lfet'. Did you mean 'left'?"),
        ({"cameras": {"left": {"add": [0.1, 0.2]}}}, "data.cameras.left.add: 2 values were given for 1 numbers"),
        ({"label": "lap"}, "'lap' holds no numbers"),
        ({"label": "left", "cameras": CAMERAS}, "'left' is read as something else"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, fields, said):
    with pytest.raises(BadInput) as caught:
        load(data(drive(tmp_path), **fields))
    assert said in str(caught.value)


def test_cameras_need_a_main_one():
    with pytest.raises(ValueError, match="image must name the column of the main one"):
        NumberData.model_validate({"name": "x", "cameras": CAMERAS})
    with pytest.raises(ValueError, match="'left' is the main camera"):
        NumberData.model_validate({"name": "x", "image": "left", "cameras": CAMERAS})


@pytest.mark.parametrize(
    ("label", "said"), [([], "label is an empty list"), (["y", "y"], "label names column 'y' twice")]
)
def test_columns_of_numbers_are_named_once_each(label, said):
    with pytest.raises(ValueError, match=said):
        NumberData.model_validate({"name": "x", "label": label})


@pytest.mark.parametrize(("columns", "label"), [("xy", ["x", "y"]), ("xy", ["y", "x"]), ("y", "y"), ("y", None)])
def test_a_picture_that_is_listed_twice_has_the_same_numbers(tmp_path, columns, label):
    lines = [",".join(["file_name", *columns])]
    for row in range(6):
        (tmp_path / f"{row}.png").write_bytes(picture(row)["bytes"])
        lines.append(",".join([f"{row}.png", *(f"{row + 0.5}" for _ in columns)]))
    lines.append(lines[1].removesuffix("0.5") + "77.5")  # the first x again, and another y
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    with pytest.raises(BadInput, match=r"0\.png twice, as '0\.5' and as '77\.5' \(column 'y'\)"):
        load(NumberData.model_validate({"name": str(tmp_path), "label": label}))
