"""An assistant between teacher and students: who learns from whom, what is named after what, and what is refused."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.compare.file import read as read_comparison
from limbeck.errors import BadInput
from limbeck.interfaces import DenseLogits
from limbeck.models.weights import load_weights
from limbeck.pipeline import run as pipeline
from limbeck.pipeline.assistant import arms_of, the_assistant
from limbeck.pipeline.check import check
from limbeck.pipeline.diagnose import diagnose
from limbeck.pipeline.job import taught_by
from limbeck.pipeline.parallel import Asked, side_by_side
from limbeck.pipeline.plan import plan
from limbeck.pipeline.students import members, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.recipe import read as recipe_file
from limbeck.targets.live_teacher import LiveTeacher
from tests.helpers.launcher import Launcher
from tests.helpers.recipes import GOOD, complaint
from tests.helpers.tiny import RECIPE, digest, folder_of, job, recipe, snapshot

WITH = ("assistant.model=convnet", "assistant.width=6", "assistant.train={epochs: 3, batch_size: 50}")
# a teacher that sees images otherwise than its student
SEES = "teacher.preprocess={mean: [0.3], std: [0.2]}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("assistant") / "run"
    return out, pipeline.run(recipe(*WITH, SEES), out=out, threads=1)


def by_teacher(out: Path) -> dict[str, Path]:
    """The two stores of a run, by whose answers they hold."""
    named = {}
    for path in (out / "stages" / "targets").iterdir():
        said = json.loads((path / "ingredients.json").read_text())
        named[json.dumps(said["teacher"]["weights"])] = path / "store"
    of = {
        name: json.loads((folder_of(out, name) / "done.json").read_text())["facts"] for name in ("teacher", "assistant")
    }
    return {name: named[json.dumps(facts["identity"]["weights"])] for name, facts in of.items()}


def test_students_learn_from_what_the_assistant_says_of_what_they_see(finished: tuple[Path, dict[str, Any]]) -> None:
    out, _ = finished
    one = job(out, *WITH, SEES)
    assert one.assistant is not None
    teacher = the_teacher(one)
    store = the_targets(one.assistant, teacher)
    assistant = the_assistant(one, teacher, store)
    assert assistant is not None
    assert assistant.store is not None
    assert (assistant.store.path, store and store.path) == (by_teacher(out)["assistant"], by_teacher(out)["teacher"])
    loaded = one.assistant.student(0)
    load_weights(loaded, folder_of(out, "assistant") / "model.safetensors", "assistant")
    loaded.eval()
    pool = one.task.pool
    index_N = torch.arange(len(pool))
    for view in (0, 1):
        view_N = torch.full_like(index_N, view)
        batch = one.task.batch(pool, index_N, view_N, one.recipe.views)
        with torch.no_grad():
            logits_NC = loaded(batch.inputs)
        stored_NC = assistant.store.gather(pool.ids, view_N).logits.float()  # type: ignore[union-attr]
        centred_NC = logits_NC - logits_NC.mean(1, keepdim=True)
        torch.testing.assert_close(stored_NC - stored_NC.mean(1, keepdim=True), centred_NC, rtol=2e-3, atol=2e-3)
    _, arms = arms_of(one, teacher, store, assistant)
    assert arms["student"].teacher.store.path == by_teacher(out)["assistant"]  # type: ignore[union-attr]
    ingredients = json.loads((folder_of(out, "assistant") / "ingredients.json").read_text())
    assert ingredients["model"] == {"name": "convnet", "knobs": {"width": 6}}
    assert (ingredients["train"]["epochs"], ingredients["seed"]) == (3, 0)


def test_the_student_is_that_of_a_run_whose_teacher_the_assistant_is(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, _ = finished
    weights = folder_of(out, "assistant") / "model.safetensors"
    plain = ("teacher.width=6", "teacher.train=null", f"teacher.weights={weights}")
    pipeline.run(recipe(*plain), out=tmp_path / "run", threads=1)
    here, there = folder_of(out, "student"), folder_of(tmp_path / "run", "student")
    assert digest(here / "model.safetensors") == digest(there / "model.safetensors")
    assert here.name == there.name


def test_all_but_the_student_is_what_it_is_without_an_assistant(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, _ = finished
    before = snapshot(out / "stages")
    again = Path(shutil.copytree(out, tmp_path / "run"))
    pipeline.run(recipe(SEES), out=again, threads=1)
    after = snapshot(again / "stages")
    made = {path for path in after if path not in before}
    assert {path.split("/")[0] for path in made} == {"student", "evaluate", "export", "report"}
    results = json.loads((again / "results.json").read_text())
    assert "assistant" not in results
    assert "assistant" not in results["recipe"]
    assert "assistant" not in results["timings"]
    assert "assistant" not in (again / "recipe.yaml").read_text()
    assert not [path for path in made if "assistant" in path]


def test_results_and_report_tell_of_the_assistant(finished: tuple[Path, dict[str, Any]]) -> None:
    out, results = finished
    one = results["assistant"]
    facts = json.loads((folder_of(out, "assistant") / "done.json").read_text())["facts"]
    history = json.loads((folder_of(out, "assistant") / "history.json").read_text())
    epochs = history["epochs"] if isinstance(history, dict) else history
    assert one["model"] == "convnet"
    assert one["runs"][0]["seed"] == 0
    assert one["runs"][0]["validation"]["accuracy"] == pytest.approx(epochs[-1]["validation_accuracy"])
    assert 0 <= one["metrics"]["accuracy"]["mean"] <= 1
    assert one["parameters"] > results["student"]["parameters"]
    assert (one["targets"]["views"], one["targets"]["students"]) == (2, 1)
    assert one["targets"]["store"] == str(by_teacher(out)["assistant"].relative_to(out))
    assert results["targets"]["store"] == str(by_teacher(out)["teacher"].relative_to(out))
    timings = results["timings"]
    assert timings["assistant"]["seconds"] == facts["seconds"]
    spent = sum(timings[name]["seconds"] for name in ("targets", "assistant", "assistant_targets", "student"))
    assert results["student_over_teacher_seconds"] == pytest.approx(spent / timings["teacher"]["seconds"])
    page = (out / "report.html").read_text()
    assert "The student learnt from an assistant, which learnt from the teacher: convnet" in page
    assert "Assistant" in page


def test_a_plan_names_its_stages_and_knows_what_of_them_is_there(finished: tuple[Path, dict[str, Any]]) -> None:
    out, _ = finished
    before = snapshot(out)
    names = [
        "teacher", "targets", "assistant", "targets", "student", "baseline", "smoothed", "evaluate", "export", "report",
    ]  # fmt: skip
    for planned in (plan(recipe(*WITH, SEES), out), check(recipe(*WITH, SEES), out, threads=1)):
        assert [one.name for one in planned] == names
        assert {one.state for one in planned} == {"finished"}
    wider = plan(recipe(*WITH, "assistant.width=8", SEES), out)
    # of stages behind what is to do a plan says no more
    assert [one.state for one in wider] == ["finished", "finished", *["to do"] * 8]
    assert "asked of the assistant" in wider[3].detail
    assert snapshot(out) == before


def test_a_live_assistant_is_asked_about_what_the_students_see(tmp_path: Path) -> None:
    one = job(tmp_path / "run", *WITH, SEES, "targets.live=true")
    teacher = the_teacher(one)
    assistant = the_assistant(one, teacher, None)
    assert assistant is not None
    assert assistant.store is None
    students, arms = arms_of(one, teacher, None, assistant)
    live = arms["student"].teacher
    assert isinstance(live, LiveTeacher)
    assert live.model is assistant.trained.model
    index_B = torch.arange(4)
    batch = students.task.batch(students.task.pool, index_B, index_B, one.recipe.views)
    with torch.no_grad():
        torch.testing.assert_close(live(batch, one.needs).get(DenseLogits).logits, live.model(batch.inputs))
    train_member(students, arms["student"], 0)
    assert not (tmp_path / "run" / "stages" / "targets").exists()


def test_students_side_by_side_learn_from_it_too(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished[0], tmp_path / "run"))
    shutil.rmtree(out / "stages" / "student")
    wanted = recipe(*WITH, SEES)
    side_by_side(Asked(wanted, out, False, (), "auto", 1), 1, len(members(job(out, *WITH, SEES))))
    here, there = folder_of(out, "student"), folder_of(finished[0], "student")
    assert digest(here / "model.safetensors") == digest(there / "model.safetensors")


@pytest.mark.slow
def test_killed_in_the_assistants_training_it_ends_the_same(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        RECIPE + "assistant: {model: convnet, width: 6, train: {epochs: 20, batch_size: 10}}\n"
    )
    launcher = Launcher(tmp_path)
    try:
        launcher.start("run", "tiny.yaml", "--threads", "1", "--out", "whole")
        assert launcher.wait() == 0, launcher.log.read_text()
        arguments = ("run", "tiny.yaml", "--threads", "1", "--out", "killed")
        launcher.start(*arguments)
        deadline = time.monotonic() + 300
        while not any(tmp_path.glob("killed/stages/assistant/*/checkpoint.pt")):
            time.sleep(0.002)
            assert time.monotonic() < deadline, launcher.log.read_text()
        launcher.strike(signal.SIGKILL)
        assert launcher.wait() == -signal.SIGKILL, launcher.log.read_text()
        assert not (folder_of(tmp_path / "killed", "assistant") / "done.json").exists()
        launcher.start(*arguments)
        assert launcher.wait() == 0, launcher.log.read_text()
    finally:
        launcher.end()
    for name in ("assistant", "student", "baseline"):
        one, other = (folder_of(tmp_path / out, name) / "model.safetensors" for out in ("killed", "whole"))
        assert digest(one) == digest(other)


# --- what is refused


@pytest.mark.parametrize(
    ("assistant", "others", "said"),
    [
        ({"width": 3}, {}, "assistant.model: is missing"),
        ({"model": "convnet", "epochs": 3}, {}, "assistant.epochs: no such field. Did you mean 'assistant.train.epochs'?"),
        ({"model": "convnet", "widht": 3}, {}, "assistant.model: convnet has no knob 'widht'"),
        ({"model": "bag"}, {}, "assistant.model: there is no model 'bag'"),
        ({"model": "convnet", "train": {"epochs": 1, "warmup_epochs": 3}}, {}, "it must be at most assistant.train.epochs (1)"),
        ({"model": "convnet", "objective": {"mse_values": {}}}, {}, "assistant.objective: mse_values reads an answer as numbers"),
        ({"model": "convnet", "objective": {"cross_entropy": {}}}, {}, "assistant.objective: nothing of it asks a teacher"),
        ({"model": "convnet"}, {"objective": {"cross_entropy": {}}}, "objective: nothing of it asks a teacher"),
        (
            {"model": "convnet"},
            {"objective": {"fitnets": {"student": "stages.0", "teacher": "stages.0"}}},
            "objective.fitnets: it reads modules of the teacher, and between teacher and students only answers are passed on; "
            "leave out assistant",
        ),
    ],
)  # fmt: skip
def test_an_assistant_that_cannot_be_is_refused_in_a_sentence(assistant: dict, others: dict, said: str) -> None:
    assert said in complaint({**GOOD, "assistant": assistant, **others})


def test_students_that_want_the_deviation_of_several_teachers_cannot_have_it_of_one_assistant(tmp_path: Path) -> None:
    values = {
        "task": "image-regression",
        "name": "turned",
        "data": {"name": "digits_turned", "limit": 150},
        "teacher": {"ensemble": [{"model": "convnet", "width": 4, "train": {"epochs": 1}}] * 2},
        "student": {"model": "convnet", "width": 4},
        "objective": {"weighted_mse_values": {}},
        "train": {"epochs": 1},
    }
    with pytest.raises(BadInput, match=r"assistant: objective: .* weighs the teacher's numbers by their deviation"):
        pipeline.run(recipe_file.from_dict({**values, "assistant": {"model": "convnet"}}), out=tmp_path / "run")
    assert not (tmp_path / "run" / "stages" / "teacher").exists()


def test_a_comparison_and_a_diagnosis_say_that_they_know_of_no_assistant(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="--set assistant=null"):
        diagnose(finished[0])
    (tmp_path / "recipe.yaml").write_text(RECIPE + "assistant: {model: convnet}\n")
    (tmp_path / "compare.yaml").write_text("recipe: recipe.yaml\nobjectives: {kd: {kd: {}}}\n")
    with pytest.raises(BadInput, match=r"give set: \[assistant=null\]"):
        read_comparison(tmp_path / "compare.yaml")
    assert read_comparison(tmp_path / "compare.yaml", ["assistant=null"]).recipe.assistant is None


def test_given_soft_targets_are_the_assistants_to_learn_from(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    one = job(tmp_path / "run", *WITH, f"targets.store={by_teacher(finished[0])['teacher']}")
    students = taught_by(one, one.assistant.student(0))  # type: ignore[union-attr]
    assert students.recipe.targets.store is None
    teacher = the_teacher(one)
    assistant = the_assistant(one, teacher, the_targets(one.assistant, teacher))  # type: ignore[arg-type]
    assert assistant is not None
    assert assistant.store is not None
    assert assistant.store.path.is_relative_to(tmp_path)
