"""What a wrong recipe is told."""

import pytest

from limbeck.recipe import read as recipe_file
from tests.helpers.recipes import GOOD, complaint


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
            "task: 'image' is not one of image-classification, image-regression, text-classification, ",
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
