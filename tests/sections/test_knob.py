"""What is worth trying of a recipe is right in it, whatever its objective, and what a change would break is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from limbeck.modalities import part_of
from limbeck.objectives.catalogue import CATALOGUE
from limbeck.recipe import read as recipe_file
from limbeck.sections.knob import Knob, of_objective
from limbeck.sections.objective import SECTIONS, Objective
from limbeck.sections.recipe import Recipe

IMAGES = {
    "task": "image-classification",
    "data": {"name": "digits", "size": [8, 12]},
    "teacher": {"model": "resnet20", "train": {"epochs": 2}},
    "student": {"model": "convnet", "width": 8},
}


def images(**changes: Any) -> Recipe:
    return recipe_file.from_dict({**IMAGES, **changes})


def knobs(recipe: Recipe) -> dict[str, Knob]:
    return part_of(recipe.task, "knobs").knobs(recipe)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_setting_of_every_objective_is_right_at_both_ends(name: str) -> None:
    required: dict[str, Any] = {"student": "a", "teacher": "b", "layers": [2, 4], "heads": 2}
    given = {one: required[one] for one in CATALOGUE[name].required if one in required}
    try:
        section = SECTIONS[name].model_validate_json(json.dumps(given), strict=True)
    except ValueError:
        pytest.skip("needs what a model alone can say")
    recipe = images().model_copy(update={"objective": Objective.model_construct(None, **{name: section})})
    found = of_objective(recipe)
    assert f"objective.{name}.weight" in found
    for path, knob in found.items():
        for value in knob.choices or (knob.low, knob.high):
            changed = {**section.model_dump(mode="json"), path.rpartition(".")[2]: value}
            SECTIONS[name].model_validate_json(json.dumps(changed), strict=True)
        assert knob.holds(getattr(section, path.rpartition(".")[2])), path


def test_what_the_recipe_says_decides_what_can_be_tried() -> None:
    assert {"student.width", "student.depth", "views.cutmix", "teacher.model"} <= set(knobs(images()))
    assert knobs(images())["data.size"].choices == ((8, 12), (12, 18), (16, 24))
    assert "student.model" not in knobs(images()), "resnet20 has no width"
    assert "student.model" in knobs(images(student={"model": "convnet"}))
    paths = images(objective={"fitnets": {"student": "stages.1", "teacher": "layer3"}, "cross_entropy": {}})
    assert not {"student.depth", "teacher.model"} & set(knobs(paths))
    assert not {"views.mixup", "views.cutmix"} & set(knobs(images(objective={"dkd": {}})))
    warmed = {"weight": {"linear": {"start": 0, "end": 8, "epochs": 1}}}
    assert "objective.dkd.weight" not in knobs(images(objective={"dkd": warmed}))
    turned = recipe_file.from_dict({**IMAGES, "task": "image-regression", "data": {"name": "digits_turned"}})
    assert not {"views.flip", "views.cutmix", "views.affine.degrees"} & set(knobs(turned))


def test_views_are_tried_as_they_are_half_as_strong_and_not_at_all() -> None:
    views = {"pad_crop": 2, "flip": True, "affine": {"degrees": 10}, "resized_crop": {"scale": [0.5, 1]}}
    as_it_is, half, none = knobs(images(views=views))["views"].choices
    assert as_it_is == images(views=views).views.model_dump(mode="json")
    assert (half["pad_crop"], half["flip"], half["affine"]["degrees"]) == (1, True, 5)
    assert half["resized_crop"]["scale"] == [0.75, 1]
    assert images(views=none).views == images().views
    assert len(knobs(images(views={"flip": True}))["views"].choices) == 2, "there is no half of a mirror image"
    assert "views" not in knobs(images())


def test_pictures_are_made_no_smaller_than_a_network_can_use() -> None:
    assert knobs(images())["student.downscale"].choices == (1, 2)
    assert knobs(images(data={"name": "digits", "size": 32}))["student.downscale"].choices == (1, 2, 4)
    assert "student.downscale" not in knobs(images(student={"model": "resnet8"}))


def test_a_student_of_texts_is_no_larger_than_the_teacher_that_lies_here(tmp_path: Path) -> None:
    sizes = {"num_hidden_layers": 4, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 48}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    (tmp_path / "model.safetensors").touch()
    recipe = recipe_file.from_dict(
        {
            "task": "text-classification",
            "data": {"name": "stanfordnlp/sst2"},
            "teacher": {"model": str(tmp_path)},
            "student": {"model": "shrunk", "layers": 2},
        }
    )
    found = knobs(recipe)
    assert found["student.layers"] == Knob("range", 1, 4, 1, integer=True)
    assert found["student.hidden"] == Knob("range", 8, 24, 8, integer=True)
    assert found["student.feed_forward"].high == 48


@pytest.mark.parametrize("wrong", [("range", 2, 1), ("log", 0, 1), ("list",), ("range",)])
def test_a_knob_that_holds_nothing_is_refused(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"has|starts"):
        Knob(*wrong)


def test_knobs_need_no_torch() -> None:
    code = (
        "import sys; from limbeck.modalities import part_of, TASKS\n"
        "for task in TASKS: part_of(task, 'knobs')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
