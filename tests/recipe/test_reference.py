"""The schema and the reference page say what the recipe's models say."""

import json
import re
from pathlib import Path

import yaml

from limbeck.modalities import DEFAULT_TASK, TASKS, recipe_class
from limbeck.recipe import read as recipe_file
from limbeck.recipe import reference as recipe_reference
from limbeck.recipe.sentences import field_paths


def test_the_schema_knows_every_field_of_every_task_and_refuses_others() -> None:
    schema = recipe_reference.schema()
    assert schema["properties"]["task"]["enum"] == list(TASKS)
    for task, rule in zip(TASKS, schema["allOf"], strict=True):
        kind = recipe_class(task)
        assert rule["if"]["properties"] == {"task": {"const": task}}
        assert ("required" not in rule["if"]) == (task == DEFAULT_TASK)  # it is that of a recipe without a task too
        assert rule["then"] == {"$ref": f"#/$defs/{kind.__name__}"}
        assert schema["$defs"][kind.__name__]["properties"].keys() == kind.model_fields.keys()
        assert schema["$defs"][kind.__name__]["additionalProperties"] is False
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


def test_the_reference_page_shows_every_field_of_every_task_once() -> None:
    page = recipe_reference.page()
    for task in TASKS:
        missing = [path for path in field_paths(recipe_class(task)) if f"`{path.split('.')[-1]}`" not in page]
        assert missing == []
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert len(headings) == len(set(headings))
    assert "| section | section" not in page
    anchors = {re.sub(r"[^a-z0-9_ -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= anchors


def test_the_smallest_recipes_in_the_reference_page_are_right() -> None:
    blocks = re.findall(r"(?m)^```yaml\n(.*?)^```", recipe_reference.page(), re.DOTALL)
    assert len(blocks) == len(TASKS)
    assert {recipe_file.from_dict(yaml.safe_load(one)).task for one in blocks} == set(TASKS)
