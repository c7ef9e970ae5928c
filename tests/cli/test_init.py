"""What `init` writes."""

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from limbeck.errors import BadInput
from limbeck.modalities.image import draft
from limbeck.recipe import read as recipe_file

# What `init` writes.


DIGITS = draft.Found("digits", examples=1461, classes=10, channels=1, size=8)


FASHION = draft.Found("zalando-datasets/fashion_mnist", examples=54000, classes=10, channels=1, size=28)


PHOTOS = draft.Found("./my photos", examples=3000, classes=37, channels=3, size=224)


@pytest.mark.parametrize("found", [DIGITS, FASHION, PHOTOS], ids=lambda found: found.name)
def test_a_draft_is_a_right_recipe_and_commented(found: draft.Found) -> None:
    text = draft.recipe("resnet20", found).text
    recipe = recipe_file.from_dict(yaml.safe_load(text))
    assert recipe.data.name == found.name
    assert recipe.teacher.train is not None
    assert text.count("#") >= 6


def test_a_draft_warns_of_few_examples_in_the_recipe_and_beside_it() -> None:
    few = dataclasses.replace(PHOTOS, examples=999, validation=199, test=40)
    text = draft.recipe("resnet20", few).text
    assert recipe_file.from_dict(yaml.safe_load(text)).data.name == few.name
    assert [line.removeprefix("# Beware: ") for line in text.splitlines() if "Beware" in line] == few.warnings
    assert [warning.split()[0] for warning in few.warnings] == ["999", "199", "40"]
    assert "2.5 points of accuracy" in few.warnings[2]
    assert dataclasses.replace(few, examples=1000, validation=200, test=None).warnings == []


def test_a_draft_mirrors_photographs_and_clothes_but_no_digits() -> None:
    flips = [yaml.safe_load(draft.recipe("resnet20", f).text)["views"]["flip"] for f in (DIGITS, FASHION, PHOTOS)]
    assert flips == [False, True, True]


def test_a_draft_recognises_the_model_that_weights_belong_to(tmp_path: Path) -> None:
    from limbeck.sections.teacher import Model
    from limbeck.vision.build import build

    model = build(Model(model="resnet8x4"), classes=10, channels=1, size=8, trust_code=False, seed=0)
    path = tmp_path / "teacher.safetensors"
    save_file(model.state_dict(), path)
    teacher = yaml.safe_load(draft.recipe(str(path), DIGITS).text)["teacher"]
    assert teacher == {"model": "resnet8x4", "weights": str(path)}


def test_a_draft_refuses_a_teacher_of_other_classes(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_file({"features.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(100, 4)}, path)
    with pytest.raises(BadInput, match=r"answers 100 classes, and digits has 10"):
        draft.recipe(str(path), DIGITS)


def test_a_draft_asks_for_the_name_of_a_model_it_cannot_recognise(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_file({"features.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(10, 4)}, path)
    assert "does not name the model" in draft.recipe(str(path), DIGITS).text


def test_a_draft_names_the_option_of_a_model_that_is_not_known() -> None:
    with pytest.raises(BadInput, match=r"--teacher resnt20: .*Did you mean 'resnet20'"):
        draft.recipe("resnt20", DIGITS)
    with pytest.raises(BadInput, match=r"--student convnt: .*Did you mean 'convnet'"):
        draft.recipe("resnet20", DIGITS, "convnt")
