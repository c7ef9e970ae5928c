"""Training runs shared out among processes."""

from pathlib import Path

import pytest

from limbeck.pipeline.parallel import shares
from limbeck.pipeline.students import members, plan_of
from tests.helpers.tiny import job


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_every_run_goes_to_one_process_and_all_end_at_about_the_same_time(tmp_path: Path, jobs: int) -> None:
    one = job(tmp_path, "seeds=3", "train.epochs=8", "baseline.epochs=2", "baseline.label_smoothing=0")
    given = shares(one, jobs)
    assert sorted(run for share in given for run in share) == sorted(members(one))
    epochs = [sum(plan_of(one, name).epochs for name, _ in share) for share in given]
    assert {name: plan_of(one, name).epochs for name in ("student", "baseline")} == {
        "student": 8,
        "baseline": 2,
    }
    # every other run, as they come, would leave all students to one of two processes
    assert max(epochs) - min(epochs) <= 8
    assert max(epochs) < 24 or jobs == 1
