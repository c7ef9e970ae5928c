"""The schema and the reference page say what the recipe's models say."""

import json
from pathlib import Path

import yaml

from limbeck.modalities.image.recipe import ImageRecipe
from limbeck.modalities.text.recipe import TextRecipe
from limbeck.recipe import read as recipe_file
from limbeck.recipe import reference as recipe_reference
from limbeck.recipe.sentences import field_paths


def test_the_schema_knows_every_field_and_refuses_others() -> None:
    schema = recipe_reference.schema()
    assert schema["$defs"]["ImageRecipe"]["properties"].keys() == ImageRecipe.model_fields.keys()
    assert schema["$defs"]["TextRecipe"]["properties"].keys() == TextRecipe.model_fields.keys()
    assert all(schema["$defs"][kind]["additionalProperties"] is False for kind in ("ImageRecipe", "TextRecipe"))
    assert schema["then"] == {"$ref": "#/$defs/TextRecipe"}
    sections = [schema, *schema["$defs"].values()]
    bare = [
        (section.get("title"), name)
        for section in sections
        for name, field in section.get("properties", {}).items()
        if not field.get("description") and "$ref" not in field  # a section describes itself
    ]
    assert bare == []
    json.dumps(schema, allow_nan=False)


def test_the_committed_reference_page_is_what_the_models_say() -> None:
    committed = Path(__file__).parents[2] / "docs" / "recipe.md"
    assert committed.read_text(encoding="utf-8") == recipe_reference.page(), (
        "run: python -m limbeck.recipe.reference > docs/recipe.md"
    )


def test_the_reference_page_shows_every_field() -> None:
    page = recipe_reference.page()
    missing = [path for path in field_paths(ImageRecipe) if f"`{path.split('.')[-1]}`" not in page]
    assert missing == []
    assert "| section | section" not in page


def test_the_recipe_in_the_reference_page_is_right() -> None:
    example = recipe_reference.page().split("```yaml\n")[1].split("```")[0]
    assert recipe_file.from_dict(yaml.safe_load(example)).teacher.model == "resnet20"
