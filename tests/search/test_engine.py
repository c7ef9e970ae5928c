"""A whole search but for its finalists: who is trained, for how long, and who is not."""

import json
from pathlib import Path

import pytest

from limbeck.errors import BadInput
from limbeck.pipeline.job import open_job
from limbeck.pipeline.students import member_stage, the_arms
from limbeck.pipeline.targets import targets_stage, the_targets
from limbeck.pipeline.teacher import teacher_stages, the_teacher
from limbeck.recipe.read import from_dict
from limbeck.searching.engine import Searched
from limbeck.searching.rungs import Standing, goes_on
from limbeck.searching.trials import UNTRAINED, Trial
from limbeck.training import checkpoint
from limbeck.training.history import read_history
from tests.helpers.searches import search, untimed, weights
from tests.helpers.tiny import snapshot

STEPS = 6  # an epoch of 150 examples, 25 a step


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    return search(tmp_path_factory.mktemp("search") / "out")


def stage_folder(out: Path, trial: Trial) -> Path:
    assert trial.stage is not None
    (folder,) = out.glob(f"stages/*/{trial.stage}")
    return folder


def test_what_is_over_budget_is_never_trained(searched: Searched) -> None:
    for arm, trials in searched.trials.items():
        assert sum(trial.fate not in UNTRAINED for trial in trials) == 5  # as many without a teacher as with one
        over = [trial for trial in trials if trial.fate == "over budget"]
        assert over
        for trial in trials:
            assert trial.arm == arm
            assert (trial.fate == "over budget") == (trial.cost["parameters"] > 2000) == (trial.parameters > 2000)  # type: ignore[operator]
            assert (trial.stage is None) == (trial.fate == "over budget")
    trained = {trial.stage for trials in searched.trials.values() for trial in trials} - {None}
    there = {path.name for arm in ("student", "baseline", "smoothed") for path in searched.out.glob(f"stages/{arm}/*")}
    assert there == trained
    assert not (searched.out / "stages" / "evaluate").exists()  # validation alone decides


def test_the_weak_stop_at_rungs_and_the_others_are_trained_to_the_end(searched: Searched) -> None:
    fates = set()
    for trials in searched.trials.values():
        at_rung: dict[int, list[Standing]] = {1: [], 2: []}
        for trial in trials:
            if trial.fate in UNTRAINED:
                continue
            fate = "finished"
            for rung, quality in trial.rungs.items():
                mine = Standing(quality, (trial.cost["parameters"],))
                if not goes_on(mine, at_rung[rung]):
                    fate = f"stopped at rung {rung}"
                at_rung[rung].append(mine)
            assert trial.fate == fate
            fates.add(fate)
            epochs = 3 if fate == "finished" else max(trial.rungs)
            assert (trial.steps, trial.total_steps) == (epochs * STEPS, 3 * STEPS)
            folder = stage_folder(searched.out, trial)
            assert json.loads((folder / "ingredients.json").read_text())["seed"] == 1_000_000
            if fate == "finished":
                history = read_history(folder)
            else:
                saved = checkpoint.load(folder / "checkpoint.pt")
                assert saved is not None
                assert saved["step"] == trial.steps  # not a step more
                history = saved["history"]
            reached = {epoch + 1: record["validation_accuracy"] for epoch, record in enumerate(history)}
            assert trial.rungs == {rung: reached[rung] for rung in trial.rungs}
            assert trial.quality == reached.get(3)
    assert len(fates) > 1


def test_a_run_of_a_candidates_recipe_finds_all_that_was_made(searched: Searched) -> None:
    """Teacher and soft targets are not made twice, and the student's name is that which a run gives it."""
    trained = [trial for trial in searched.trials["student"] if trial.stage]
    for trial in trained[:2]:
        job = open_job(from_dict(trial.recipe, "recipe"), out=searched.out, threads=1, quiet=True)
        assert all(stage.finished for stage in teacher_stages(job))
        teacher = the_teacher(job)
        assert targets_stage(job, teacher).finished
        arm = the_arms(job, teacher, the_targets(job, teacher))["student"]
        assert member_stage(job, arm, 1_000_000).fingerprint == trial.stage


def test_the_same_command_does_nothing_twice_and_more_trials_go_on(searched: Searched) -> None:
    before = snapshot(searched.out / "stages")
    journals = [(searched.out / "search" / name).read_bytes() for name in ("journal.log", "control.log")]
    again = search(searched.out)
    assert again.trials == searched.trials
    assert snapshot(searched.out / "stages") == before
    assert [(searched.out / "search" / name).read_bytes() for name in ("journal.log", "control.log")] == journals
    with pytest.raises(BadInput, match=r"holds another search.*--out"):
        search(searched.out, "search.budget.parameters=1000")
    more = search(searched.out, "search.trials=6")
    for arm, trials in more.trials.items():
        assert trials[: len(searched.trials[arm])] == searched.trials[arm]
        assert sum(trial.fate not in UNTRAINED for trial in trials) == 6


@pytest.mark.slow
def test_side_by_side_gives_each_student_the_same_weights(searched: Searched, tmp_path: Path) -> None:
    wanted = ("search.sampler=random", "search.budget.parameters=20000", "search.trials=3")
    beside = search(tmp_path / "two", *wanted, jobs=2)
    alone = search(tmp_path / "one", *wanted)
    ours, theirs = weights(beside.out), weights(alone.out)
    both = ours.keys() & theirs.keys()
    assert len(both) >= 3
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}
    for arm in ("student", "baseline"):
        found = {trial.stage: trial for trial in alone.trials[arm] if trial.stage}
        for trial in beside.trials[arm]:
            if trial.stage in found:
                common = trial.rungs.keys() & found[trial.stage].rungs.keys()
                assert common
                assert all(trial.rungs[rung] == found[trial.stage].rungs[rung] for rung in common)


def test_what_cannot_be_and_what_fails_is_told_and_the_search_goes_on(tmp_path: Path) -> None:
    """Among them other teachers and other views: each teacher is trained once."""
    space = {
        "objective": ["kd", {"fitnets": {"student": "nowhere", "teacher": "stages.0"}}],
        "train.learning_rate": [0.1, 1e6],
        "teacher": [{"model": "convnet", "width": width, "train": {"epochs": 1, "batch_size": 50}} for width in (4, 6)],
        "views": [{}, {"shift": 0.1}],
        "objective.kd.temperature": None,
        "objective.kd.weight": None,
        "student.depth": 1,
        "student.kernel": 3,
    }
    changed = [
        f"search.space={json.dumps({'student.model': 'convnet', 'student.width': [2, 4], 'train.epochs': None} | space)}"
    ]
    found = search(tmp_path, *changed, "search.sampler=random", "search.trials=6").trials["student"]
    by_fate = {trial.fate: trial for trial in found}
    assert by_fate.keys() >= {"cannot be", "failed", "finished"}
    assert "nowhere" in by_fate["cannot be"].why
    assert "the loss of step" in by_fate["failed"].why
    assert all((trial.values["train.learning_rate"] > 1) == (trial.fate == "failed") for trial in found if trial.stage)
    assert {trial.values["teacher"]["width"] for trial in found if trial.stage} == {4, 6}
    assert len([*tmp_path.glob("stages/teacher/*")]) == 2
    assert untimed(search(tmp_path, *changed, "search.sampler=random", "search.trials=6").trials["student"]) == untimed(
        found
    )


def test_a_budget_that_nothing_meets_is_refused_before_the_teacher_is_trained(tmp_path: Path) -> None:
    sentence = r"nothing fits the budget of 100 parameters: .*smallest parameters is 230 \(convnet, width 2, .*depth 1"
    with pytest.raises(BadInput, match=sentence):
        search(tmp_path, "search.budget.parameters=100", "search.trials=3")
    assert [path.name for path in (tmp_path / "stages").iterdir()] == [".lock"]
    found = search(tmp_path, "search.budget.parameters=9000", "search.trials=1")  # in the same folder
    assert [trial.fate for trial in found.trials["student"]][-1] == "finished"
