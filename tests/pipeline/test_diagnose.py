"""Real runs made to be each thing that a diagnosis tells apart, seconds each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.diagnosis import made_to_be, recipe, trained
from limbeck.errors import BadInput
from limbeck.evaluation import diagnosis
from limbeck.files import write_text
from limbeck.pipeline import run as pipeline
from limbeck.pipeline.diagnose import diagnose
from limbeck.recipe.read import apply_overrides, from_dict, resolved_yaml, values_in
from tests.helpers import tiny

NEXT = {  # the others: benchmarks/diagnosis.py
    diagnosis.SMALL: "--set student.width=2",
    diagnosis.STEPS: "--set train.epochs=8",
    diagnosis.HOT: "--set objective.forward_kl.temperature=4",
    diagnosis.DATA: "--set views.shift=0.1 --set targets.views=8",
}
TITLES = {
    diagnosis.SMALL: "The student is too small:",
    diagnosis.STEPS: "The student had too few steps:",
    diagnosis.HOT: "The temperature is too high:",
    diagnosis.DATA: "The student had too little data:",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("diagnosed")


@pytest.mark.parametrize("kind", list(NEXT))
def test_a_run_made_to_be_so_is_found_to_be_so_and_the_next_command_is_one_that_can_be_given(folder, kind):
    out = folder / "run"  # which keeps the teacher that all but one have
    trained(out, *made_to_be(kind, folder))
    before = tiny.snapshot(out)
    said, command = diagnose(out, device="cpu")
    assert said.startswith(TITLES[kind])
    assert command is not None
    assert NEXT[kind] in command
    changes = [word for word in command.split() if "=" in word]
    from_dict(apply_overrides(values_in(out / "recipe.yaml"), changes))
    assert tiny.snapshot(out) == before
    assert not (out / "test_reads.json").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    pipeline.run(tiny.recipe("baseline.label_smoothing=0"), out=out, device="cpu", threads=1)
    return out


def test_a_finished_run_says_it_in_its_results_and_on_its_page_as_the_command_finds_it(finished, tmp_path):
    section = json.loads((finished / "results.json").read_text())["diagnosis"]
    assert (section["finding"], section["learnt"], section["figures"]["steps"]) == (diagnosis.WEAK, 150, 6)
    before = tiny.snapshot(finished)
    said, command = diagnose(finished, device="cpu")
    assert said == section["text"]
    assert command == section["next"]["text"]
    assert tiny.snapshot(finished) == before
    page = (finished / "report.html").read_text()
    assert "What keeps the student behind?" in page
    assert command in page
    # moved, and found out from its stages again
    moved = Path(shutil.copytree(finished, tmp_path / "moved"))
    assert diagnose(moved, device="cpu") == (said, command.replace(str(finished), str(moved)))
    (moved / "results.json").unlink()
    assert diagnose(moved, device="cpu") == (said, command.replace(str(finished), str(moved)))


def test_results_of_another_recipe_are_not_what_is_said(finished, tmp_path):
    begun = Path(shutil.copytree(finished, tmp_path / "begun"))
    write_text(begun / "recipe.yaml", resolved_yaml(tiny.recipe("baseline.label_smoothing=0", "train.epochs=3")))
    with pytest.raises(BadInput, match="its student is not finished, or belongs to another recipe"):
        diagnose(begun, device="cpu")


def test_a_student_that_learns_from_no_teacher_is_refused(tmp_path):
    out = tmp_path / "alone"
    trained_alone = tiny.recipe("objective={cross_entropy: {}}")
    (out / "stages").mkdir(parents=True)
    write_text(out / "recipe.yaml", resolved_yaml(trained_alone))
    with pytest.raises(BadInput, match="its student learns nothing from a teacher"):
        diagnose(out, device="cpu")


def test_a_folder_that_is_no_run_and_a_run_that_is_not_finished_are_refused(folder, tmp_path):
    (alone := tmp_path / "alone").mkdir()
    with pytest.raises(BadInput, match=r"it is not the folder of a run\.$"):  # and not: did you mean the same?
        diagnose(alone)
    write_text(alone / "front" / "trial-7" / "recipe.yaml", "")
    with pytest.raises(
        BadInput, match=r"but of a search, whose finalists are runs: give one of \S*alone/front/trial-7\.$"
    ):
        diagnose(alone)
    (tmp_path / "digits.yaml").touch()
    write_text(tmp_path / "digits" / "recipe.yaml", "")
    with pytest.raises(BadInput, match=r"Did you mean '\S*/digits'\?$"):  # and no file that is called almost so
        diagnose(tmp_path / "digit.yaml")
    out = tmp_path / "begun"
    (out / "stages").mkdir(parents=True)
    write_text(out / "recipe.yaml", resolved_yaml(recipe()))
    with pytest.raises(
        BadInput, match=r"its teacher is not finished, .* limbeck run \S*recipe.yaml --out \S*begun goes on"
    ):
        diagnose(out, device="cpu")
