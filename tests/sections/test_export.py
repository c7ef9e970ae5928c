"""How a recipe says in which formats its student is deployed."""

import pytest

from limbeck.errors import BadInput
from limbeck.sections.recipe import Export
from tests.helpers.tiny import recipe


def test_a_recipe_that_names_no_format_is_what_it_was_before_there_were_any() -> None:
    assert recipe().export.model_dump(mode="json") == {"max_abs_difference": 1e-3, "agreement": 0.999}
    assert recipe("export.formats=[onnx]", "export.prefer=exact") == recipe()
    assert recipe().export.more == ()


def test_formats_are_part_of_a_recipe_and_of_no_limits() -> None:
    section = recipe("export.formats=[onnx, onnx-int8]", "export.prefer=smallest").export
    assert section.model_dump(mode="json")["formats"] == ["onnx", "onnx-int8"]
    assert Export.model_validate(section.model_dump(mode="json")) == section
    assert section.limits == Export().limits
    assert section.more == ("onnx", "onnx-int8")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("export.formats=[onnx, onxx-int8]", r"formats\.1: 'onxx-int8' is not one of onnx, .*Did you mean 'onnx-int8'"),
        ("export.formats=[onnx, onnx]", "onnx is named 2 times"),
        ("export.formats=[]", "at least 1"),
        ("export.prefer=small", "Did you mean 'smallest'"),
    ],
)
def test_a_format_that_there_is_not_is_said_by_name(override: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        recipe(override)
