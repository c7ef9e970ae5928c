"""Real runs made to be each thing that a diagnosis tells apart, seconds each."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.diagnosis import MADE_TO_BE, good_teacher, recipe
from limbeck.errors import BadInput
from limbeck.evaluation import diagnosis
from limbeck.files import write_text
from limbeck.pipeline import stages
from limbeck.pipeline.diagnose import diagnose
from limbeck.pipeline.job import open_job, use_threads
from limbeck.pipeline.students import members, the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.recipe.read import apply_overrides, from_dict, resolved_yaml, values_in
from tests.helpers import tiny

NEXT = {  # the others: benchmarks/diagnosis.py
    diagnosis.SMALL: "--set student.width=2",
    diagnosis.STEPS: "--set train.epochs=8",
    diagnosis.DATA: "--set views.shift=0.1 --set targets.views=8",
}


def trained(out: Path, *overrides: str) -> None:
    """A run up to its last student: what is diagnosed needs no more."""
    use_threads(1)
    job = open_job(recipe(*overrides), out=out, device="cpu", quiet=True)
    with stages.claimed(out):
        write_text(out / "recipe.yaml", resolved_yaml(job.recipe))
        teacher = the_teacher(job)
        arms = the_arms(job, teacher, the_targets(job, teacher))
        for name, seed in members(job):
            train_member(job, arms[name], seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("diagnosed")


@pytest.mark.parametrize("kind", list(NEXT))
def test_a_run_made_to_be_so_is_found_to_be_so_and_the_next_command_is_one_that_can_be_given(folder, kind):
    overrides = MADE_TO_BE[kind]
    if kind == diagnosis.DATA:
        overrides = (*overrides, f"teacher={{model: convnet, width: 32, weights: {good_teacher(folder)}}}")
    out = folder / "run"  # which keeps the teacher that all but one have
    trained(out, *overrides)
    before = tiny.snapshot(out)
    finding, command = diagnose(out, device="cpu")
    assert finding.kind == kind, finding.text
    assert command is not None
    assert NEXT[kind] in command
    changes = [word for word in command.split() if "=" in word]
    from_dict(apply_overrides(values_in(out / "recipe.yaml"), changes))
    assert tiny.snapshot(out) == before
    assert not (out / "test_reads.json").exists()


def test_a_folder_that_is_no_run_and_a_run_that_is_not_finished_are_refused(folder, tmp_path):
    (alone := tmp_path / "alone").mkdir()
    with pytest.raises(BadInput, match=r"it is not the folder of a run\.$"):  # and not: did you mean the same?
        diagnose(alone)
    out = tmp_path / "begun"
    (out / "stages").mkdir(parents=True)
    write_text(out / "recipe.yaml", resolved_yaml(recipe()))
    with pytest.raises(
        BadInput, match=r"its teacher is not finished, .* limbeck run \S*recipe.yaml --out \S*begun goes on"
    ):
        diagnose(out, device="cpu")
