"""What a wrong recipe is told, and that a right one survives being written out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import recipe_file, recipe_reference
from limbeck.errors import BadInput
from limbeck.recipe import ImageRecipe
from limbeck.recipe_problems import field_paths
from limbeck.recipe_text import TextRecipe

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


def written(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epohcs=3", "train.epohcs: no such field. Did you mean 'epochs'?"),
        ("train.optimizer=adam", "train.optimizer: 'adam' is not one of sgd, adamw. Did you mean 'adamw'?"),
        ("train.epochs=-3", "train.epochs: -3 was given; it must be greater than 0"),
        ("train.epochs=ten", "train.epochs: 'ten' was given; it must be a whole number"),
        ("train.epochs='3'", "train.epochs: '3' was given; it must be a whole number"),
        ("train.epochs=true", "train.epochs: true was given; it must be a whole number"),
        ("train.epochs=2.5", "train.epochs: 2.5 was given; it must be a whole number"),
        ("train.learning_rate=fast", "train.learning_rate: 'fast' was given; it must be a number"),
        ("train.learning_rate=.inf", "train.learning_rate: inf was given; it must be a finite number"),
        ("train.momentum=1", "train.momentum: 1 was given; it must be less than 1"),
        ("train.ema=-0.5", "train.ema: -0.5 was given; it must be at least 0"),
        ("export.agreement=1.5", "export.agreement: 1.5 was given; it must be at most 1"),
        ("train.nesterov=1", "train.nesterov: 1 was given; it must be true or false"),
        ("data.name=7", "data.name: 7 was given; it must be text (put it in quotes)"),
        ("data.name=[a]", 'data.name: ["a"] was given; it must be text'),
        ("data.channels=2", "data.channels: 2 is not one of 1, 3."),
        ("views=3", "views: 3 was given; it must be a section with fields of its own"),
        ("train.milestones=3", "train.milestones: 3 was given; it must be a list"),
        (
            "views.resized_crop.scale=[0.3]",
            "views.resized_crop.scale: [0.3] was given; a value is missing at place 2",
        ),
        (
            "views.resized_crop.scale=[1, 2, 3]",
            "views.resized_crop.scale: [1, 2, 3] was given; it must hold 2 values",
        ),
        ("views.resized_crop.scale=[1.0, 0.3]", "views.resized_crop: scale must be two shares of the area"),
        ("name=a/b", "name: 'a/b' was given; it must be letters, digits, '.', '_' and '-' alone"),
        (
            "task=image",
            "task: 'image' is not one of image-classification, text-classification.",
        ),
        ("student.model=null", "student.model: is missing. A family of ours"),
        ("teacher=null", "teacher: is missing. The large model."),
        ("epochs=3", "epochs: no such field. Did you mean 'train.epochs'?"),
        ("train.schedule=steps", "train: schedule 'steps' needs milestones"),
        ("train.warmup_epochs=31", "train.warmup_epochs: 31 was given; it must be at most train.epochs (30)"),
        ("teacher.train.warmup_epochs=3", "it must be at most teacher.train.epochs (2)"),
        ("objective={}", "objective: an objective needs at least one term: kd, cross_entropy"),
        ("objective={kd: {weight: 0}}", "objective: every weight is 0"),
        ("objective={kd: {weight: {linear: {start: 0, end: 0}}}}", "objective: every weight is 0"),
        ("objective={dkdd: {}}", "objective.dkdd: no such field. Did you mean 'dkd'?"),
        ("objective={dkd: {bta: 8}}", "objective.dkd.bta: no such field. Did you mean 'beta'?"),
        ("objective.kd.weight=big", "objective.kd.weight: 'big' was given; it must be a number"),
        ("objective.kd.weight=-1", "objective.kd.weight: -1 was given; it must be at least 0"),
        ("objective.kd.weight={}", "objective.kd.weight: a schedule is one of linear, cosine and step"),
        ("objective.kd.weight={liner: {}}", "objective.kd.weight.liner: no such field. Did you mean 'linear'?"),
        ("objective.kd.weight={linear: {start: 0}}", "objective.kd.weight.linear.end: is missing."),
        (
            "objective.kd.weight={linear: {start: 0, end: 1}, cosine: {start: 0, end: 1}}",
            "objective.kd.weight: a schedule is one of linear, cosine and step",
        ),
        (
            "objective.kd.weight={linear: {start: -1, end: 1}}",
            "objective.kd.weight: a weight cannot be negative, and this schedule reaches -1",
        ),
        (
            "objective.kd.temperature={cosine: {start: 4, end: 0}}",
            "objective.kd.temperature: a temperature must be greater than 0, and this schedule reaches 0",
        ),
        ("objective={fitnets: {student: a}}", "objective.fitnets.teacher: is missing. As many modules"),
        ("objective={fitnets: {student: 3, teacher: a}}", "objective.fitnets.student: 3 was given; it must be text"),
        ("objective={fitnets: {student: [], teacher: a}}", "objective.fitnets.student: [] was given; it must hold at"),
        (
            "objective={fitnets: {student: [a, b], teacher: c}}",
            "objective: fitnets compares layers in pairs, and names 2 of the student and 1 of the teacher",
        ),
        ("objective={rkd: {student: [a], teacher: b}}", 'objective.rkd.student: ["a"] was given; it must be text'),
        (
            "data.validation=test",
            "data.validation: 'test' is the test split, and the test split cannot be used for selection",
        ),
        ("data={name: x, test: eval, validation: eval}", "the test split cannot be used for selection"),
        ("data={name: x, test: null, validation: test}", "the test split cannot be used for selection"),
        ("data.validation=train", "data.validation: 'train' is the training split"),
        ("data.test=train", "data.test: 'train' is the training split"),
        ("data.transfer={name: digits, split: test}", "data.transfer.split: 'test' is the test split"),
        ("teacher.train=null", "teacher: give train (to train it here) or weights (a file)"),
        (
            "teacher={model: timm/resnet18}",
            "teacher: give train (to train it here) or weights (a file), or pretrained",
        ),
        (
            "teacher={model: resnet20, weights: a.pt, views: {flip: true}}",
            "teacher.views: there is no teacher.train",
        ),
        ("teacher.trian={}", "teacher.trian: no such field. Did you mean 'train'?"),
        ("teacher.epochs=3", "teacher.epochs: no such field. Did you mean 'teacher.train.epochs'?"),
        ("student.train={}", "student.train: no such field. Did you mean 'train', beside student"),
        (
            "teacher.preprocess={mean: [0.5], std: [1, 1]}",
            "teacher.preprocess: mean and std must hold as many values",
        ),
        ("student.width=.nan", "student.width: nan was given; it must be a finite number"),
        ("student.knob={1: 2}", "student.knob: 1 was given as a field's name; it must be text"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_given_and_what_would_be_right(override: str, sentence: str) -> None:
    message = complaint(GOOD, override)
    assert sentence in message
    assert "pydantic" not in message
    assert "\n" not in message


TEXTS = {
    "task": "text-classification",
    "data": {"name": "a.csv", "label": ["a", "b"]},
    "teacher": {"model": "owner/model"},
    "student": {"model": "shrunk"},
    "objective": {"binary_kd": {}, "binary_cross_entropy": {}},
}


@pytest.mark.parametrize(
    "override",
    ["data.text=review", "data.max_length=64", "data.transfer={name: a, sentences: true}", "views.replace=0.1"],
)
def test_a_field_of_texts_in_a_recipe_without_task_is_told_to_be_one(override: str) -> None:
    assert "no such field. That is a field of task: text-classification." in complaint(GOOD, override)
    recipe_file.from_dict(recipe_file.apply_overrides(TEXTS, [override]))


def test_and_a_field_or_student_of_the_other_task_likewise() -> None:
    assert "data.size: no such field. That is a field of task: image-classification." in complaint(TEXTS, "data.size=8")
    assert "'shrunk' is a student of texts; give task: text-classification" in complaint(GOOD, "student.model=shrunk")


def test_several_columns_of_labels_need_an_objective_that_reads_several() -> None:
    message = complaint(TEXTS, "objective={kd: {}, cross_entropy: {}}")
    assert "objective: kd and cross_entropy read an answer as one class of several" in message
    assert "take binary_kd and binary_cross_entropy instead" in message
    recipe_file.from_dict(recipe_file.apply_overrides(TEXTS, ["objective={kd: {}}", "data.label=a"]))
    recipe_file.from_dict(recipe_file.apply_overrides(TEXTS, ["objective={binary_kd: {}}", "data.label=a"]))


def test_objectives_on_numbers_or_on_label_sets_are_refused_where_an_example_has_one_label() -> None:
    message = complaint(GOOD, "objective={mse_values: {}, mse: {}, binary_kd: {}, kd: {}}")
    assert "objective: binary_kd reads an answer as a yes or no for each class, mse and mse_values read " in message
    assert "as numbers, and with task: image-classification an example has one label: take kd and cross_ent" in message
    assert "mse reads an answer as numbers" in complaint(TEXTS, "data.label=a", "objective={mse: {}}")


def test_mixes_and_objectives_that_need_one_class_exclude_one_another() -> None:
    message = complaint(GOOD, "views.cutmix=1", "objective={dkd: {}}")
    assert "objective.dkd: it needs one class for each example, and views.cutmix gives shares of two" in message
    recipe_file.from_dict(recipe_file.apply_overrides(GOOD, ["views.cutmix=1", "objective={dist: {}}"]))


def test_every_problem_has_a_line_of_its_own() -> None:
    message = complaint(GOOD, "train.epochs=0", "seeds=no", "data.naem=x")
    head, *lines = message.splitlines()
    assert head == "recipe has 3 problems:"
    assert {line.strip().split(":")[0] for line in lines} == {"train.epochs", "seeds", "data.naem"}


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
    assert set(values) == set(ImageRecipe.model_fields)
    assert values["train"]["momentum"] == 0.9
    assert values["student"]["width"] == 8


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
    committed = Path(__file__).parents[1] / "docs" / "recipe.md"
    assert committed.read_text(encoding="utf-8") == recipe_reference.page(), (
        "run: python -m limbeck.recipe_reference > docs/recipe.md"
    )


def test_the_reference_page_shows_every_field() -> None:
    page = recipe_reference.page()
    missing = [path for path in field_paths(ImageRecipe) if f"`{path.split('.')[-1]}`" not in page]
    assert missing == []
    assert "| section | section" not in page


def test_the_recipe_in_the_reference_page_is_right() -> None:
    example = recipe_reference.page().split("```yaml\n")[1].split("```")[0]
    assert recipe_file.from_dict(yaml.safe_load(example)).teacher.model == "resnet20"


def test_recipes_are_read_without_torch() -> None:
    code = (
        "import sys, limbeck, limbeck.recipe_file, limbeck.recipe_reference; "
        "import limbeck.progress, limbeck.console; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'datasets', 'onnxruntime', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
