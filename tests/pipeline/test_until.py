"""A student's stage that is trained epoch by epoch ends as one that is trained in one go."""

from pathlib import Path

import pytest

from limbeck.pipeline import stages
from limbeck.pipeline.students import member_stage, the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.training import checkpoint
from limbeck.training.history import read_history
from tests.helpers import tiny

TRAINED = {
    "stored targets, moving average, patience": ("train.epochs=3", "train.ema=0.9", "train.patience=3"),
    "an objective with parameters of its own": (
        "train.epochs=3",
        "objective={fitnets: {student: stages.0, teacher: stages.0, weight: 1}, cross_entropy: {weight: 1}}",
    ),
}


def untimed(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


@pytest.mark.parametrize("name", TRAINED)
def test_epoch_by_epoch(name: str, tmp_path: Path) -> None:
    job = tiny.job(tmp_path / "whole", *TRAINED[name])
    _, store, whole = tiny.train(job)
    assert (store is None) == ("parameters of its own" in name)
    seed = job.seeds[0]

    for until in (1, 2, 2, None):  # each in a job of its own, as after a restart
        again = tiny.job(tmp_path / "parts", *TRAINED[name])
        with stages.claimed(again.out):
            teacher = the_teacher(again)
            arm = the_arms(again, teacher, the_targets(again, teacher))["student"]
            trained = train_member(again, arm, seed, until=until)
            here = member_stage(again, arm, seed)
        assert untimed(trained.history) == untimed(whole["student"].history)[:until]
        assert here.finished == (until is None)
        if until is not None:
            assert checkpoint.load(here.folder / "checkpoint.pt") is not None
    assert here.fingerprint == whole["student"].fingerprint
    assert not (here.folder / "checkpoint.pt").exists()
    assert untimed(read_history(here.folder)) == untimed(whole["student"].history)
    theirs = tiny.folder_of(tmp_path / "whole", "student") / "model.safetensors"
    assert tiny.digest(here.folder / "model.safetensors") == tiny.digest(theirs)
    # and one that is finished is not trained less
    assert len(train_member(again, arm, seed, until=1).history) == 3
