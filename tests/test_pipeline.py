"""A run from end to end: its products, what a second run skips, and what each way of teaching does."""

import json
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

from limbeck import pipeline
from limbeck.arms import members
from limbeck.parallel import Asked, side_by_side
from tiny import digest, folder_of, job, recipe, snapshot, train

STAGES = ("teacher", "targets", "student", "baseline", "smoothed", "evaluate", "export", "report")
TOP_LEVEL = {
    "schema_version", "limbeck_version", "name", "task", "created", "data", "teacher", "student", "baseline",
    "smoothed", "fidelity", "fidelity_baseline", "comparison", "ratios", "export", "targets", "timings",
    "asked", "student_over_teacher_seconds", "fingerprints", "recipe", "environment", "test_reads",
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
        "predict.py", "test_reads.json", "stages",
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


def test_results_hold_every_documented_field(finished: Finished) -> None:
    results = json.loads((finished.out / "results.json").read_text())
    assert set(results) == TOP_LEVEL
    documented = (Path(__file__).parents[1] / "docs" / "results-schema.md").read_text()
    assert all(f"`{field}`" in documented for field in TOP_LEVEL)
    for role in ("teacher", "student", "baseline", "smoothed"):
        section = results[role]
        assert {"mean", "sd", "n"} == set(section["metrics"]["accuracy"])
        assert {"accuracy", "top5", "nll", "ece", "brier"} <= set(section["metrics"])
        assert min(section["parameters"], section["macs"], section["bytes"], section["latency_ms"]["p50"]) > 0
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


def test_a_second_run_does_nothing_again(finished: Finished) -> None:
    before = snapshot(finished.out / "stages")
    began = time.monotonic()
    results = pipeline.run(recipe(), out=finished.out, threads=1)
    assert time.monotonic() - began < finished.seconds / 2
    assert snapshot(finished.out / "stages") == before
    assert reads(finished.out) == ["evaluation"]
    assert results == finished.results


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
