"""Recipes as people write them: overrides, files, numbers; and a right one survives being written out."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.modalities.image.recipe import ImageRecipe
from limbeck.recipe import read as recipe_file
from tests.helpers.recipes import GOOD, complaint


def written(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epochs", "it must look like section.field=value"),
        ("=3", "it must look like section.field=value"),
        ("train..epochs=3", "it must look like section.field=value"),
        ("trian.epochs=3", "trian: no such field. Did you mean 'train'?"),
        ("data.name.x=3", "data.name is 'digits', not a section"),
        ("train.milestones=[1", "is not a value"),
        ("student.x={a: 1, a: 2}", "'a' is given twice"),
    ],
)
def test_a_wrong_override_is_quoted(override: str, sentence: str) -> None:
    message = complaint(GOOD, override)
    assert f"--set {override}" in message or "twice" in message
    assert sentence in message


def test_overrides_take_yaml_values_and_the_last_one_wins() -> None:
    values = recipe_file.apply_overrides(
        GOOD,
        [
            "train.epochs=3",
            "train.epochs=4",
            "train.learning_rate=1e-3",
            "views.affine.degrees=5",
            "views.flip=true",
        ],
    )
    recipe = recipe_file.from_dict(values)
    assert (recipe.train.epochs, recipe.train.learning_rate) == (4, 1e-3)
    assert recipe.views.affine is not None
    assert (recipe.views.affine.degrees, recipe.views.flip) == (5.0, True)
    assert "views" not in GOOD  # what was given is left as it was


def test_overriding_one_field_of_a_section_that_is_left_out_keeps_the_rest_of_its_default() -> None:
    default = recipe_file.from_dict(GOOD).objective
    changed = recipe_file.from_dict(recipe_file.apply_overrides(GOOD, ["objective.kd.temperature=2"])).objective
    assert changed.kd is not None
    assert default.kd is not None
    assert (changed.kd.temperature, changed.kd.weight) == (2.0, default.kd.weight)
    assert changed.cross_entropy == default.cross_entropy


def test_a_schedule_is_set_as_a_whole_or_end_by_end_and_reads_back(tmp_path: Path) -> None:
    warm = ["objective.dkd.weight.linear.start=0", "objective.dkd.weight.linear={start: 0, end: 1, epochs: 20}"]
    features = "objective.fitnets={student: [stages.0, stages.1], teacher: [layer1, layer2], weight: 50}"
    recipe = recipe_file.from_dict(recipe_file.apply_overrides(GOOD, [*warm, features]))
    assert recipe.objective.dkd is not None
    weight = recipe.objective.dkd.weight
    assert not isinstance(weight, float)
    assert (weight.way.start, weight.way.end, weight.way.epochs) == (0.0, 1.0, 20.0)
    assert recipe.objective.fitnets is not None
    assert recipe.objective.fitnets.teacher == ("layer1", "layer2")
    path = written(tmp_path, recipe_file.resolved_yaml(recipe))
    assert recipe_file.read(path).objective == recipe.objective


def test_null_says_null_where_a_field_can_be_null_and_otherwise_brings_the_default_back() -> None:
    values = {**GOOD, "train": {"epochs": 7, "learning_rate": 0.5}}
    changed = recipe_file.from_dict(
        recipe_file.apply_overrides(values, ["data.test=null", "train.epochs=null", "student.width=null"])
    )
    assert changed.data.test is None
    assert changed.train.epochs == ImageRecipe.model_validate(GOOD).train.epochs
    assert changed.student.knobs == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("data: {name: digits}\nteacher: {\n", "line 3, column 1: not valid YAML"),
        ("data: {name: a}\nseeds: 1\ndata: {name: b}\n", "line 3: 'data' is given twice (first in line 1)"),
        ("data:\n  name: a\n  name: b\n", "line 3: 'name' is given twice (first in line 2)"),
        ("- 1\n- 2\n", "holds [1, 2]; a recipe is made of fields"),
        ("just text", "a recipe is made of fields"),
        ("# nothing\n", "is empty; a recipe needs at least data, teacher and student"),
        (b"name: \xff\xfe\n", "is not UTF-8 text (byte 6 is 0xff)"),
        ("a: \x00\n", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['touch /tmp/limbeck-was-here']\n", "not valid YAML"),
        ("a: &a [*a]\n", "nests too deeply"),
        ("[" * 1200, "not valid YAML"),
        ("2: 3\n", "2 was given as a field's name"),
        ("? [1]\n: 2\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        recipe_file.read(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)
    assert not Path("/tmp/limbeck-was-here").exists()


def test_a_few_lines_of_aliases_cannot_unfold_into_millions(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 25)]
    with pytest.raises(BadInput, match="more than 10000 values"):
        recipe_file.read(written(tmp_path, "\n".join(lines)))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    written(tmp_path, "", "digits.yaml")
    with pytest.raises(BadInput, match=r"there is no such file. Did you mean '.*digits.yaml'"):
        recipe_file.read(tmp_path / "digts.yaml")
    with pytest.raises(BadInput, match="is a folder"):
        recipe_file.read(tmp_path)


@pytest.mark.parametrize(
    ("file", "name"),
    [("digits.yaml", "digits"), ("my first try!.yaml", "my-first-try"), ("_.yaml", "recipe")],
)
def test_a_recipe_is_named_after_its_file(tmp_path: Path, file: str, name: str) -> None:
    assert recipe_file.read(written(tmp_path, yaml.safe_dump(GOOD), file)).name == name
    named = written(tmp_path, yaml.safe_dump({**GOOD, "name": "own"}), file)
    assert recipe_file.read(named).name == "own"


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    text = yaml.safe_dump(GOOD) + "train: {learning_rate: 1e-3, weight_decay: 5E-4, warmup_epochs: 2}\n"
    train = recipe_file.read(written(tmp_path, text)).train
    assert (train.learning_rate, train.weight_decay, train.warmup_epochs) == (1e-3, 5e-4, 2.0)


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12
) | st.sampled_from(
    [
        "1e3",
        "null",
        "yes",
        "2024-01-01",
        "~",
        "1_000",
        "0x10",
        "on",
        "- a",
        "a: b",
        "#",
        "1:30",
        ".5",
        "<<",
        "=",
        "\x85",
        "a\u2028b",
        "\u2029",
    ]
)


plain = (
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | texts | st.floats(allow_nan=False, allow_infinity=False)
)


@settings(max_examples=60, deadline=None)
@given(
    name=texts,
    rate=st.none() | st.floats(1e-12, 1e6),
    scale=st.floats(0.01, 0.5),
    milestones=st.lists(st.integers(1, 500), min_size=1, max_size=4),
    knob=plain | st.lists(plain, max_size=3) | st.dictionaries(texts, plain, max_size=3),
    test=st.none() | st.just("held-out"),
    seed=st.integers(0, 2**31),
)
def test_the_resolved_recipe_reads_back_as_an_equal_one(
    tmp_path_factory: pytest.TempPathFactory, name, rate, scale, milestones, knob, test, seed
) -> None:
    recipe = recipe_file.from_dict(
        {
            "name": "r",
            "data": {"name": name, "test": test},
            "views": {"resized_crop": {"scale": [scale, 1]}, "color": {}},
            "teacher": {"model": "m:f", "weights": name},
            "student": {"model": "m:f", "knob": knob},
            "train": {"learning_rate": rate, "schedule": "steps", "milestones": milestones},
            "seed": seed,
        }
    )
    path = tmp_path_factory.mktemp("resolved") / "other.yaml"
    path.write_text(recipe_file.resolved_yaml(recipe), encoding="utf-8")
    assert recipe_file.read(path) == recipe


def test_the_resolved_recipe_names_every_field() -> None:
    values = yaml.safe_load(recipe_file.resolved_yaml(recipe_file.from_dict(GOOD)))
    assert set(values) == set(ImageRecipe.model_fields) - {"assistant", "search", "sparsity"}
    assert values["train"]["momentum"] == 0.9
    assert values["student"]["width"] == 8


def test_recipes_are_read_without_torch() -> None:
    code = (
        "import sys, limbeck, limbeck.recipe.read, limbeck.recipe.reference; "
        "import limbeck.progress, limbeck.cli.console; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'datasets', 'onnxruntime', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("task", "student", "knobs"),
    [
        ("text-classification", {"model": "bag", "hidden": 8}, {"hidden": 8}),
        ("text-classification", {"model": "shrunk", "layers": [0, 2]}, {"layers": (0, 2)}),
        ("image-classification", {"model": "convnet", "width": 8}, {"width": 8}),
    ],
)
def test_what_is_written_out_says_of_a_student_what_was_said(
    task: str, student: dict[str, Any], knobs: dict[str, Any]
) -> None:
    """By its knobs its stage is named: with defaults among them a run of the resolved recipe would train it anew."""
    recipe = recipe_file.from_dict(
        {
            "task": task,
            "data": {"name": "x"},
            "teacher": {"model": "a/b" if "text" in task else "wrn_10_1", "train": {}},
            "student": student,
        }
    )
    again = recipe_file.from_dict(yaml.safe_load(recipe_file.resolved_yaml(recipe)))
    assert again == recipe
    assert again.student.knobs == recipe.student.knobs == knobs
