"""What is wrong with a comparison file is said."""

from pathlib import Path

import pytest

from limbeck.compare import run as comparing
from limbeck.errors import BadInput
from tests.helpers.comparisons import read, written

# --- what is wrong is said


OBJECTIVES = "objectives: {kd: {kd: {}}, labels: {cross_entropy: {}}}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty; a comparison file needs at least recipe and objectives"),
        ("recipe: tiny.yaml", "objectives: is missing. By row's name: an objective, as in a recipe."),
        ("recipe: tinny.yaml\n" + OBJECTIVES, "Did you mean '.*tiny.yaml'?"),
        ("recipe: tiny.yaml\nobjectives: {}", "objectives: is empty; give at least one"),
        ("recipe: tiny.yaml\nobjective: {kd: {}}\n" + OBJECTIVES, "objective: no such field. Did you mean 'objectives'?"),
        ("recipe: tiny.yaml\nobjectives: {kd: {kd: {temprature: 2}}}", "Did you mean 'temperature'?"),
        ("recipe: tiny.yaml\nobjectives: {kd: {kd: {weight: 0}}}", "every weight is 0"),
        ("recipe: tiny.yaml\nobjectives: {kdd: {kd: {}}, baseline: {kd: {}}}", "baseline: this name is taken"),
        ("recipe: tiny.yaml\nobjectives: {'=1+1': {kd: {}}}", "'=1\\+1' cannot be a name"),
        ('recipe: tiny.yaml\nobjectives: {"a\\nb": {kd: {}}}', "cannot be a name"),
        ("recipe: tiny.yaml\nagainst: kdd\n" + OBJECTIVES, "against: 'kdd' is no row. Did you mean 'kd'?"),
        ("recipe: tiny.yaml\nset: [trian.epochs=2]\n" + OBJECTIVES, "trian: no such field. Did you mean 'train'?"),
        ("recipe: tiny.yaml\nstudents: {a: {widht: 3}}\n" + OBJECTIVES, "students.a: student.model: is missing"),
        ("recipe: tiny.yaml\nsweep: {weight_scale: [0]}\n" + OBJECTIVES, "it must be greater than 0"),
        ("recipe: tiny.yaml\nsweep: {settings: {kd: [[]]}}\n" + OBJECTIVES, "'kd' has 1 trial\\(s\\) where others have 3"),
        ("recipe: tiny.yaml\nsweep: {settings: {kdd: [[]]}}\n" + OBJECTIVES, "no such objective. Did you mean 'kd'?"),
        (
            "recipe: tiny.yaml\nsweep: {weight_scale: [1], settings: {kd: [[kd.alpha=1]]}}\n" + OBJECTIVES,
            "sweep.settings.kd: objective.kd.alpha: no such field",
        ),
        (
            "recipe: tiny.yaml\nset: [train.warmup_epochs=2]\nsweep: {epochs: 1}\n" + OBJECTIVES,
            "sweep: train.warmup_epochs: 2 was given; it must be at most train.epochs",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as refused:
        read(written(tmp_path, text))
    assert refused.value.exit_code == 2


def test_a_layer_that_is_not_there_is_named_with_its_row_and_nothing_is_written(tmp_path: Path) -> None:
    rows = "objectives: {near: {attention_transfer: {student: [stages.7], teacher: [stages.0]}}}\n"
    with pytest.raises(BadInput, match=r"^convnet, near: .*stages\.7"):
        comparing.compare(read(written(tmp_path, "recipe: tiny.yaml\n" + rows)), out=tmp_path / "run", threads=1)
    assert not (tmp_path / "run").exists()
