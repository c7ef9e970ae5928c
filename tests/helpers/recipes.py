"""A right recipe, and what is said of a wrong one."""

import pytest

from limbeck.errors import BadInput
from limbeck.recipe import read as recipe_file

GOOD = {
    "data": {"name": "digits"},
    "teacher": {"model": "resnet20", "train": {"epochs": 2}},
    "student": {"model": "convnet", "width": 8},
}


def complaint(values: dict, *overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        recipe_file.from_dict(recipe_file.apply_overrides(values, overrides))
    assert caught.value.exit_code == 2
    return str(caught.value)
