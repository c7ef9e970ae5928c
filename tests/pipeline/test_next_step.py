"""What is to be done about a finding can be pasted: commands that parse, and calls that can be made."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import limbeck
from limbeck.cli.main import app
from limbeck.evaluation import diagnosis
from limbeck.evaluation.diagnosis import Finding
from limbeck.modalities import part_of
from limbeck.pipeline.next_step import Step, next_step
from limbeck.recipe import read
from limbeck.searching.space import space_of
from limbeck.sections.recipe import Recipe
from limbeck.sections.search import Search

RECIPES = Path(__file__).parents[2] / "recipes"
FOUND = {
    diagnosis.WEAK: Finding(diagnosis.WEAK, ""),
    diagnosis.COLD: Finding(diagnosis.COLD, "", 2.0),
    diagnosis.HOT: Finding(diagnosis.HOT, "", 4.0),
    diagnosis.STEPS: Finding(diagnosis.STEPS, ""),
    diagnosis.SMALL: Finding(diagnosis.SMALL, ""),
    diagnosis.DATA: Finding(diagnosis.DATA, ""),
}


def kind_of(recipe: Recipe) -> str:
    return "values" if recipe.task == "image-regression" else "classes"


def step_of(recipe: Recipe, kind: str, epochs: int | None = None, *, in_python: bool = False) -> Step:
    step = next_step(recipe, FOUND[kind], kind_of(recipe), epochs or recipe.train.epochs, in_python=in_python)
    assert step is not None
    return step


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("digits", ()),
        ("digits", ("views={}",)),
        ("digits", ("student={model: resnet8}", "targets.live=true")),
        (
            "digits",
            ("teacher={ensemble: [{model: convnet, train: {epochs: 2}}, {model: resnet8, train: {epochs: 2}}]}",),
        ),
        (
            "digits",
            (
                "objective={crd: {student: 'fc:in', teacher: 'fc:in'}, forward_kl: {temperature: 20}}",
                "views={}",
                "targets.live=true",
            ),
        ),
        ("fashion_mnist", ()),
        ("sst2", ()),
        ("sst2", ("student={model: bag, hidden: 8}", "views={}")),
        ("turned_digits", ()),
        ("turned_digits", ("views={}",)),
        ("udacity_track", ()),
    ],
)
def test_commands_can_be_pasted(name: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    recipe = read.read(RECIPES / f"{name}.yaml", overrides)
    run = tmp_path / "a run"
    run.mkdir()
    (run / "recipe.yaml").write_text(read.resolved_yaml(recipe), encoding="utf-8")
    for kind in FOUND:
        if kind in (diagnosis.COLD, diagnosis.HOT) and kind_of(recipe) == "values":
            continue
        step = step_of(recipe, kind)
        if step.how == "do":
            assert step.said(run) == step.text
            continue
        said, command, file, *rest = shlex.split(step.said(run))
        assert (said, command, file) == ("limbeck", step.how, str(run / "recipe.yaml"))
        if step.how == "search":
            assert len(space_of(recipe.model_copy(update={"search": Search()})).dimensions) > 1
            continue
        assert rest[:2] == ["--out", str(run)]
        done = CliRunner().invoke(app, ["recipe", "check", file, *rest[2:]])
        assert done.exit_code == 0, f"{kind}: {done.output}"


def test_what_changes_is_what_was_found() -> None:
    digits = read.read(RECIPES / "digits.yaml")
    assert step_of(digits, diagnosis.SMALL).settings == ("student.width=16",)
    assert step_of(digits, diagnosis.STEPS).settings == ("train.epochs=120",)
    assert step_of(digits, diagnosis.COLD).settings == ("objective.kd.temperature=2",)
    assert step_of(digits, diagnosis.DATA).settings == ("targets.views=32",)
    assert step_of(digits, diagnosis.WEAK).settings == ("teacher.train.epochs=400",)
    assert next_step(digits, Finding(diagnosis.KEPT, ""), "classes", 30, in_python=False) is None
    unvaried = read.read(RECIPES / "digits.yaml", ["views={}"])
    assert step_of(unvaried, diagnosis.DATA).settings == ("views.shift=0.1", "targets.views=8")
    live = read.read(RECIPES / "digits.yaml", ["targets={live: true}"])  # whose every epoch is another view
    assert "data.transfer" in step_of(live, diagnosis.DATA).text
    patient = read.read(RECIPES / "digits.yaml", ["train.patience=3"])
    assert step_of(patient, diagnosis.STEPS, 12).settings == ("train.epochs=120", "train.patience=null")
    assert step_of(patient, diagnosis.STEPS, 30).settings == ("train.epochs=120",)
    similar = read.read(
        RECIPES / "digits.yaml", ["objective={crd: {student: 'fc:in', teacher: 'fc:in'}, kd: {temperature: 9}}"]
    )
    assert step_of(similar, diagnosis.HOT).settings == ("objective.kd.temperature=4",)
    numbers = read.read(RECIPES / "turned_digits.yaml", ["views={}"])  # which moving a picture may change
    assert step_of(numbers, diagnosis.DATA).settings == ("views.color.brightness=0.2", "targets.views=8")
    words = read.read(RECIPES / "sst2.yaml", ["student={model: conv, hidden: 200}", "views={}"])
    assert step_of(words, diagnosis.SMALL).settings == ("student.hidden=256",)
    assert step_of(words, diagnosis.DATA).settings == ("views.drop=0.1", "targets.views=8")


@pytest.mark.parametrize("task", ["image-classification", "image-regression", "text-classification"])
def test_of_a_run_from_python_the_call_is_said_and_can_be_made(task: str) -> None:
    python = part_of(task, "python")
    recipe = python.RECIPES[task](
        task=task,
        **python.sections_of("Teacher", "Student", validation_fraction=0.1, transfer=False),
        train={"epochs": 30, "batch_size": 50, "patience": 3},
    )
    said = step_of(recipe, diagnosis.STEPS, 12, in_python=True).said(Path("runs/mine"))
    assert "recipe.yaml" not in said
    made = eval(
        said.removeprefix("call limbeck.distill again, with train_plan=").removesuffix("."), {"limbeck": limbeck}
    )
    assert made == limbeck.Train(epochs=120, batch_size=50, patience=None)
    said = step_of(recipe, diagnosis.DATA, in_python=True).text
    call = eval(
        f"dict({said.removeprefix('call limbeck.distill again, with ').removesuffix('.').replace(' and ', ', ')})",
        {"limbeck": limbeck},
    )
    assert call["targets"] == limbeck.Targets(views=8)
    assert recipe.model_copy(update={"views": type(recipe.views)(**call["views"])}).views != recipe.views
    assert "temperature=2 in its objective" in step_of(recipe, diagnosis.COLD, in_python=True).text
    assert "a larger student" in step_of(recipe, diagnosis.SMALL, in_python=True).text
    assert "a better teacher" in step_of(recipe, diagnosis.WEAK, in_python=True).text
