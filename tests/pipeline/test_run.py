"""A run from end to end: its products, what a second run skips, and what each way of teaching does."""

import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from limbeck.cli.main import app
from limbeck.pipeline import run as pipeline
from limbeck.pipeline.parallel import Asked, side_by_side
from limbeck.pipeline.students import members
from limbeck.recipe import read as recipe_file
from tests.helpers.tiny import digest, folder_of, job, recipe, snapshot, train

ROOT = Path(__file__).parents[2]
STAGES = ("teacher", "targets", "student", "baseline", "smoothed", "evaluate", "export", "report")
TOP_LEVEL = {
    "schema_version", "limbeck_version", "name", "task", "created", "data", "teacher", "student", "baseline",
    "smoothed", "fidelity", "fidelity_baseline", "comparison", "losses", "ratios", "speed", "export", "targets",
    "timings", "student_over_teacher_seconds", "learnt_from_teacher", "fingerprints", "recipe", "environment", "test_reads",
    "answers", "figures", "fidelity_figures", "licenses", "diagnosis", "escalation", "parts",
}  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """A run that nothing changes any more; tests that go on from it copy its folder."""

    out: Path
    results: dict[str, Any]
    seconds: float

    def copy(self, to: Path) -> Path:
        """The run's folder again, files with their times."""
        return Path(shutil.copytree(self.out, to))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("pipeline") / "run"
    began = time.monotonic()
    results = pipeline.run(recipe(), out=out, threads=1)
    return Finished(out, results, time.monotonic() - began)


def reads(out: Path) -> list[str]:
    return [one["purpose"] for one in json.loads((out / "test_reads.json").read_text())]


def stage_files(out: Path, *names: str) -> dict[str, dict[str, tuple[int, str]]]:
    return {name: snapshot(out / "stages" / name) for name in names}


# --- the whole of it


def test_a_run_leaves_its_products(finished: Finished) -> None:
    here = {path.name for path in finished.out.iterdir()}
    products = {
        "recipe.yaml", "results.json", "report.html", "student.onnx", "teacher.onnx", "student.safetensors",
        "predict.py", "measure.py", "test_reads.json", "stages", "student",
    }  # fmt: skip
    assert here == products
    for name in STAGES:
        done = json.loads((folder_of(finished.out, name) / "done.json").read_text())
        assert {file: digest(folder_of(finished.out, name) / file) for file in done["files"]} == done["files"]
    session = onnxruntime.InferenceSession(finished.out / "student.onnx")
    (logits,) = session.run(None, {"image": np.zeros((3, 1, 8, 8), np.float32)})
    assert np.asarray(logits).shape == (3, 10)
    assert not list(finished.out.rglob("*.part"))
    assert not list(finished.out.rglob("checkpoint.pt"))


def test_a_folder_in_the_place_of_an_image_is_said_to_be_one(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lost, said in (
        (tmp_path, f"{tmp_path} is a folder: give the files of images"),
        (tmp_path / "x", "no such file"),
    ):
        with pytest.raises(SystemExit) as end:
            app(["predict", str(finished.out), str(lost)])
        assert end.value.code == 2
        assert said in capsys.readouterr().err


def test_results_hold_every_documented_field(finished: Finished) -> None:
    results = json.loads((finished.out / "results.json").read_text())
    assert set(results) == TOP_LEVEL
    documented = (Path(__file__).parents[2] / "docs" / "results-schema.md").read_text()
    assert all(f"`{field}`" in documented for field in TOP_LEVEL)
    for role in ("teacher", "student", "baseline", "smoothed"):
        section = results[role]
        assert {"mean", "sd", "n"} == set(section["metrics"]["accuracy"])
        assert {"accuracy", "top5", "nll", "ece", "brier"} <= set(section["metrics"])
        assert min(section["parameters"], section["macs"], section["bytes"], section["latency_ms"]["cpu_p50"]) > 0
        assert 0 <= section["metrics"]["accuracy"]["mean"] <= 1
    assert {"agreement", "kl"} <= set(results["fidelity"])
    assert results["export"]["path"] == "student.onnx"
    assert results["export"]["parity"]["passed"] is True
    assert {"teacher", "targets", "student", "baseline", "smoothed"} <= set(results["timings"])
    for name in ("teacher", "targets"):
        assert results["fingerprints"][name] == folder_of(finished.out, name).name
    assert results["recipe"]["data"]["limit"] == 150
    assert results["data"]["train"] == 150
    assert finished.results == results | {"out": str(finished.out)}


def test_the_test_split_is_read_once_and_only_when_the_students_are_done(finished: Finished, tmp_path: Path) -> None:
    assert reads(finished.out) == ["evaluation"]
    one = job(tmp_path / "run")
    train(one)
    assert not one.splits.test.opened
    assert not (tmp_path / "run" / "test_reads.json").exists()
    with pytest.raises(RuntimeError, match="read once"):
        [one.splits.test.open(purpose) for purpose in ("a look", "another")]


def test_a_second_run_does_nothing_again(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(finished.out / "stages")
    began = time.monotonic()
    results = pipeline.run(recipe(), out=finished.out, threads=1)
    assert time.monotonic() - began < finished.seconds / 2
    assert snapshot(finished.out / "stages") == before
    assert reads(finished.out) == ["evaluation"]
    assert results == finished.results
    steps = [line for line in capsys.readouterr().err.splitlines() if " of 8, " in line]
    assert [line.endswith(", finished before") for line in steps] == [True] * len(STAGES)


def test_a_stage_is_named_after_the_terms_that_there_are_so_another_objective_in_the_catalogue_changes_none(
    finished: Finished,
) -> None:
    (report,) = finished.out.glob("stages/report/*/ingredients.json")
    assert json.loads(report.read_text())["recipe"]["objective"].keys() == {"kd", "cross_entropy"}


def test_another_student_leaves_teacher_and_targets_alone(finished: Finished, tmp_path: Path) -> None:
    out = finished.copy(tmp_path / "run")
    before = stage_files(out, *STAGES)
    results = pipeline.run(recipe("student.width=5"), out=out, threads=1)
    after = stage_files(out, *STAGES)
    assert after["teacher"] == before["teacher"]
    assert after["targets"] == before["targets"]
    for name in ("student", "baseline", "smoothed", "evaluate", "export", "report"):
        assert before[name].items() < after[name].items()  # what was made before is still there
        assert len(list((out / "stages" / name).iterdir())) == 2
    assert results["student"]["parameters"] > finished.results["student"]["parameters"]
    assert results["baseline"]["parameters"] == results["student"]["parameters"]
    assert results["teacher"]["metrics"] == finished.results["teacher"]["metrics"]
    assert reads(out) == ["evaluation", "evaluation"]
    # and back again, without any work: the first student's results are published once more
    again = pipeline.run(recipe(), out=out, threads=1)
    assert again["student"] == finished.results["student"]
    assert stage_files(out, *STAGES) == after


def test_a_forced_export_is_what_the_results_tell(finished: Finished, tmp_path: Path) -> None:
    out = finished.copy(tmp_path / "run")
    export = folder_of(out, "export")
    results = pipeline.run(recipe(), out=out, force=("export",), threads=1)
    measured = json.loads((export / "done.json").read_text())["facts"]["teacher"]["latency_ms"]
    assert results["teacher"]["latency_ms"] == measured
    assert json.loads((out / "results.json").read_text())["teacher"]["latency_ms"] == measured
    assert measured != finished.results["teacher"]["latency_ms"]


def test_force_does_one_stage_again_and_keeps_what_it_replaces(finished: Finished, tmp_path: Path) -> None:
    out = finished.copy(tmp_path / "run")
    before = stage_files(out, *STAGES)
    old = folder_of(out, "student")
    results = pipeline.run(recipe(), out=out, force=("student",), threads=1)
    after = stage_files(out, *STAGES)
    for name in set(STAGES) - {"student"}:
        assert after[name] == before[name]
    aside = [path for path in old.parent.iterdir() if path.name.startswith(f"{old.name}.before-")]
    assert len(aside) == 1
    assert snapshot(aside[0]) == snapshot(folder_of(finished.out, "student"))
    assert (old / "done.json").stat().st_mtime_ns > (aside[0] / "done.json").stat().st_mtime_ns
    assert digest(old / "model.safetensors") == digest(aside[0] / "model.safetensors")
    assert results["student"]["metrics"] == finished.results["student"]["metrics"]


def test_a_record_of_test_reads_that_was_deleted_or_damaged_is_noticed_and_restored(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = finished.copy(tmp_path / "run")
    path = out / "test_reads.json"
    whole = path.read_bytes()
    assert pipeline.run(recipe(), out=out, threads=1) == finished.results | {"out": str(out)}
    assert "test_reads.json" not in capsys.readouterr().err
    for damage in (path.unlink, lambda: path.write_text('[{"when": 1}]'), lambda: path.write_text("[")):
        damage()
        pipeline.run(recipe(), out=out, threads=1)
        assert "test_reads.json" in (said := capsys.readouterr().err)
        assert "restored from what finished stages vouch for (1 in all)" in said
        assert path.read_bytes() == whole
    # what a later report tells is all of it, not its own reading alone
    path.unlink()
    results = pipeline.run(recipe(), out=out, force=("report",), threads=1)
    assert results["test_reads"][0] == finished.results["test_reads"][0]
    assert [one["purpose"] for one in results["test_reads"]] == ["evaluation", "what the report shows"]
    assert reads(out) == ["evaluation", "what the report shows"]
    # a run of an earlier version, whose stages vouch for nothing: its results do
    path.unlink()
    for done in out.glob("stages/*/*/done.json"):
        value = json.loads(done.read_text())
        value["facts"].pop("test_reads", None)
        del value["digest"]
        done.write_text(json.dumps(value | {"schema_version": 1}, indent=2))
    again = pipeline.run(recipe(), out=out, threads=1)
    assert again == results
    assert reads(out) == ["evaluation", "what the report shows"]
    said = capsys.readouterr().err
    assert said.count("written by an earlier version") == len(STAGES)


# --- the ways of teaching


def test_a_live_teacher_stores_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    _, store, trained = train(job(out, "targets.live=true"))
    assert store is None
    assert not (out / "stages" / "targets").exists()
    assert len(trained["student"].history) == 2
    assert trained["student"].identity["weights"] != trained["baseline"].identity["weights"]


def test_averaged_targets_change_the_student_and_not_the_store(finished: Finished, tmp_path: Path) -> None:
    out = finished.copy(tmp_path / "run")
    before = stage_files(out, "teacher", "targets", "baseline", "smoothed")
    _, _, trained = train(job(out, "targets.average=true"))
    assert stage_files(out, "teacher", "targets", "baseline", "smoothed") == before
    old = json.loads((folder_of(finished.out, "student") / "done.json").read_text())["facts"]
    assert trained["student"].identity["weights"] != old["identity"]["weights"]


def test_a_transfer_set_feeds_the_student_alone(finished: Finished, tmp_path: Path) -> None:
    images = tmp_path / "unlabelled"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(images / f"{number:02d}.png")
    one = job(tmp_path / "run", f"data.transfer.name={images}")
    teacher, store, trained = train(one)
    assert store is not None
    assert len(store) == 150 + 20
    assert one.splits.transfer is not None
    store.require(one.splits.transfer.ids)

    def weights(stage: str) -> str:
        done = json.loads((folder_of(finished.out, stage) / "done.json").read_text())
        return done["facts"]["identity"]["weights"]

    # what has nothing to learn from unlabelled images learns the same as without them
    assert teacher.identity["weights"] == weights("teacher")
    assert trained["baseline"].identity["weights"] == weights("baseline")
    assert trained["student"].identity["weights"] != weights("student")


def test_a_teacher_with_weights_is_not_trained(finished: Finished, tmp_path: Path) -> None:
    weights = folder_of(finished.out, "teacher") / "model.safetensors"
    out = finished.copy(tmp_path / "run")
    shutil.rmtree(out / "stages" / "teacher")
    others = ("targets", "student", "baseline", "smoothed", "evaluate")
    before = stage_files(out, *others)
    results = pipeline.run(recipe("teacher.train=null", f"teacher.weights={weights}"), out=out, threads=1)
    assert not (out / "stages" / "teacher").exists()
    # it is the same teacher, so all that was made with it is as good as new
    assert stage_files(out, *others) == before
    assert results["teacher"]["metrics"] == finished.results["teacher"]["metrics"]
    assert results["student_over_teacher_seconds"] is None
    assert results["timings"]["teacher"]["seconds"] == 0
    assert "report" in (out / "report.html").read_text(encoding="utf-8")


def test_a_student_is_the_teacher_of_the_next_generation(finished: Finished, tmp_path: Path) -> None:
    first, second = finished.out, tmp_path / "run"  # in the tiny recipe student and teacher are one network
    weights = first / "student.safetensors"
    results = pipeline.run(recipe("teacher.train=null", f"teacher.weights={weights}"), out=second, threads=1)
    one, two = (load_file(folder_of(out, "evaluate") / "answers.safetensors") for out in (first, second))
    np.testing.assert_allclose(two["test/teacher"], one["test/student-0"], rtol=1e-4, atol=1e-4)
    assert not np.allclose(two["test/student-0"], one["test/student-0"], atol=1e-2)
    baselines = [json.loads((folder_of(out, "baseline") / "done.json").read_text()) for out in (first, second)]
    assert baselines[0]["files"]["model.safetensors"] == baselines[1]["files"]["model.safetensors"]
    assert results["student"]["parameters"] == results["teacher"]["parameters"]
    # the ensemble of the generations, as the page on it works it out
    page = (ROOT / "docs" / "same-network.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[0].split("\n\n\nprint(")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/same-network.md", "exec", dont_inherit=True), names)
    shares = [np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (one["test/student-0"], two["test/student-0"])]
    expected = ((shares[0] + shares[1]).argmax(1) == one["test/labels"]).mean()
    assert names["ensemble_accuracy"]([first, second]) == expected


def test_the_born_again_recipe_trains_the_student_as_the_teacher() -> None:
    path, chained = ROOT / "recipes" / "born_again_digits.yaml", ("teacher.train=null", "teacher.weights=a.safetensors")
    first, second = recipe_file.read(path), recipe_file.read(path, chained)
    assert (first.student.model, first.student.knobs) == (first.teacher.model, first.teacher.knobs)
    assert first.train == first.teacher.train
    assert second.student == first.student
    assert second.teacher.train is None


def test_an_objective_without_teacher_casts_no_targets_and_equals_the_baseline(tmp_path: Path) -> None:
    out = tmp_path / "run"
    _, store, trained = train(job(out, "objective.kd=null", "objective.cross_entropy={}"))
    assert store is None
    assert not (out / "stages" / "targets").exists()
    assert trained["student"].identity == trained["baseline"].identity
    assert trained["student"].identity != trained["smoothed"].identity


def test_students_trained_side_by_side_are_the_same_to_the_bit(finished: Finished, tmp_path: Path) -> None:
    out = finished.copy(tmp_path / "run")
    for name in ("student", "baseline", "smoothed"):
        shutil.rmtree(out / "stages" / name)
    total = len(members(job(out)))
    side_by_side(Asked(recipe(), out, trust_code=False, force=(), device="auto", threads=1), 2, total)
    for name in ("student", "baseline", "smoothed"):
        here, there = folder_of(out, name), folder_of(finished.out, name)
        assert here.name == there.name
        assert digest(here / "model.safetensors") == digest(there / "model.safetensors")
        assert (here / "done.json").exists()


def test_what_is_forced_must_be_a_stage(tmp_path: Path) -> None:
    with pytest.raises(pipeline.BadInput, match="Did you mean 'student'"):
        pipeline.run(recipe(), out=tmp_path / "run", force=("studnet",))
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_disturb_torchs_random_state_of_the_caller(finished: Finished) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    pipeline.run(recipe(), out=finished.out, threads=1)
    assert torch.equal(torch.rand(3), expected)
