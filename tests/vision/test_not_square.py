"""Claims about pictures whose height and width differ: cropped, brought to size, and taken by the networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from limbeck.errors import BadInput
from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data
from limbeck.models.inference import ask
from limbeck.sections.teacher import Model
from limbeck.vision.build import build, check_fits
from limbeck.vision.inputs import Normalisation, probe_images
from limbeck.vision.pixels import pixels


@pytest.mark.parametrize("name", ["convnet", "resnet8", "wrn_10_1"])
def test_our_networks_take_images_of_any_two_sides(name):
    section = Model.model_validate({"model": name})
    model = build(section, classes=3, channels=1, size=(24, 80), trust_code=False, seed=0)
    check_fits(model, classes=3, channels=1, size=(24, 80), name="student")


def test_a_convnet_is_made_for_the_shorter_side():
    section = Model.model_validate({"model": "convnet", "width": 4})
    wide, square = (
        build(section, classes=2, channels=3, size=size, trust_code=False, seed=0) for size in [(24, 80), 24]
    )
    assert [value.shape for value in wide.state_dict().values()] == [
        value.shape for value in square.state_dict().values()
    ]


def test_the_probe_of_square_images_is_what_it_was():
    assert torch.equal(probe_images(1, (8, 8)), probe_images(1, 8))
    assert probe_images(3, (4, 6)).shape == (4, 3, 4, 6)


def test_a_teacher_may_see_them_in_another_height_and_width():
    sees = Normalisation((0.5,), (0.5,), (12, 40))
    assert sees(torch.rand(2, 1, 24, 80)).shape == (2, 1, 12, 40)


def test_a_picture_is_scaled_until_it_covers_both_sides_and_cropped_in_the_middle():
    columns = np.repeat(np.arange(0, 160, dtype=np.uint8)[None], 40, axis=0)
    there = pixels(Image.fromarray(columns), 1, (40, 80))
    assert np.array_equal(there[0], columns[:, 40:120])  # no scaling is needed, and the middle stays


def test_the_rows_that_are_kept_are_those_of_the_picture_itself(tmp_path: Path):
    write_rows(tmp_path)
    splits = load(Data.model_validate({"name": str(tmp_path), "crop": {"rows": [4, 12], "columns": [0, 20]}}))
    assert splits.train.images.shape[1:] == (1, 8, 20)
    assert all(image[0, :, 3].tolist() == list(range(40, 120, 10)) for image in splits.train.images)
    assert splits.how.rows == (4, 12)


def test_a_crop_beyond_the_picture_is_refused(tmp_path: Path):
    write_rows(tmp_path)
    with pytest.raises(BadInput, match=r"it is 24x16, and data\.crop takes what lies within 24x17"):
        load(Data.model_validate({"name": str(tmp_path), "crop": {"rows": [4, 17]}}))
    with pytest.raises(ValidationError, match="first that is kept"):
        Data.model_validate({"name": "x", "crop": {"rows": [9, 9]}})


def test_a_model_asked_about_them_answers_each(tmp_path: Path):
    model = build(Model(model="resnet8"), classes=2, channels=1, size=(16, 24), trust_code=False, seed=0)
    assert ask(model, torch.rand(3, 1, 16, 24)).shape == (3, 2)


def write_rows(folder: Path) -> None:
    """Pictures of 24x16 whose row r has the grey 10 r, but for a column of noise that tells them apart."""
    draw = np.random.default_rng(0)
    for number in range(20):
        image = np.repeat(10 * np.arange(16, dtype=np.uint8)[:, None], 24, axis=1)
        image[:, 0] = draw.integers(0, 255, 16)
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "ab"[number % 2] / f"{number}.png")
