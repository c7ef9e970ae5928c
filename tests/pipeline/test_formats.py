"""Formats as stages of a run: each made once, beside what was there, and none in the way of another."""

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from limbeck.cli.answers import show
from limbeck.cli.main import app
from limbeck.deploy import formats as table
from limbeck.deploy.formats import cost
from limbeck.deploy.latency import in_turns
from limbeck.errors import BadInput
from limbeck.pipeline import plan
from limbeck.pipeline import run as pipeline
from limbeck.pipeline.formats import CALIBRATION, captured, preferred
from limbeck.pipeline.more_formats import export_as
from tests.helpers.tiny import job, recipe, snapshot
from tests.pipeline.test_run import reads

BEGINS = ("train.epochs=1", "export.agreement=0.5")


@pytest.fixture(scope="module", autouse=True)
def briefly() -> Any:
    """Timed for a moment: how long a measurement takes is no claim here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cost, "in_turns", functools.partial(in_turns, seconds=0.2))
        yield


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that knows no formats."""
    out = tmp_path_factory.mktemp("formats") / "run"
    pipeline.run(recipe(*BEGINS), out=out, threads=1)
    return out


@pytest.fixture(scope="module")
def exported(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it, exported in 8 bits by the command."""
    out = Path(shutil.copytree(ran, tmp_path_factory.mktemp("exported") / "run"))
    done = CliRunner().invoke(app, ["export", str(out), "--format", "onnx-int8", "--prefer", "smallest"])
    assert done.exit_code == 0, done.output
    assert "onnx-int8" in done.output
    return out


def test_a_finished_run_is_exported_without_a_stage_made_anew(ran: Path, exported: Path) -> None:
    before, after = snapshot(ran / "stages"), snapshot(exported / "stages")
    digests = {name: digest for name, (_, digest) in after.items()}
    assert {name: digests[name] for name in before} == {name: digest for name, (_, digest) in before.items()}
    assert {name.split("/")[0] for name in set(after) - set(before)} == {"formats", "report"}
    assert len(list((exported / "stages" / "formats").iterdir())) == 2
    # the test split is read once more, for all formats together
    assert reads(exported) == [*reads(ran), "format onnx"]
    page = (exported / "report.html").read_text()
    assert "In which format is it deployed?" in page
    assert "In which format is it deployed?" not in (ran / "report.html").read_text()


def test_a_format_says_what_its_file_is_worth_and_costs(exported: Path) -> None:
    results = json.loads((exported / "results.json").read_text())
    section = results["formats"]
    assert set(section) == {"prefer", "preferred", "path", "files"}
    exact, small = section["files"]["onnx"], section["files"]["onnx-int8"]
    documented = (Path(__file__).parents[2] / "docs" / "results-schema.md").read_text()
    assert all(f"`{field}`" in documented for field in {*section, *exact, *small})
    assert exact["parity"]["max_abs_difference"] < 1e-4 < small["parity"]["max_abs_difference"]
    assert small["parity"]["passed"] is True
    assert small["parity"]["n"] == results["data"]["validation"]
    assert exact["metrics"]["accuracy"] == results["student"]["metrics"]["accuracy"]["mean"]
    assert small["metrics_float32"]["nll"] == pytest.approx(results["student"]["metrics"]["nll"]["mean"], abs=1e-5)
    assert small["bytes"] == (exported / "student.int8.onnx").stat().st_size
    for one in (exact, small):
        assert set(one["speedup"]) == {"onnx", "teacher"}
        assert min(one["latency_ms"]["cpu_p50"], one["throughput_per_s"], one["peak_memory_mb"]) > 0
    assert small["kernels"]["float32"] == {}


def test_what_was_exported_is_finished_and_the_recipe_without_it_is_as_it_was(exported: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(exported, tmp_path / "run"))
    wanted = recipe(*BEGINS, "export.formats=[onnx, onnx-int8]", "export.prefer=smallest")
    stages = snapshot(out / "stages")
    assert {one.state for one in plan.plan(wanted, out)} == {"finished"}
    again = pipeline.run(wanted, out=out, threads=1)
    assert snapshot(out / "stages") == stages
    assert again["formats"]["preferred"] == "onnx-int8"
    without = pipeline.run(recipe(*BEGINS), out=out, threads=1)
    assert "formats" not in without
    assert snapshot(out / "stages") == stages
    assert not (out / "student.int8.onnx").exists()  # a file that no result tells of


def test_one_that_was_stopped_is_made_and_the_other_left(exported: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(exported, tmp_path / "run"))
    made = {
        json.loads((one / "ingredients.json").read_text())["format"]: one for one in (out / "stages/formats").iterdir()
    }
    kept, whole = snapshot(made["onnx"]), (made["onnx-int8"] / "student.int8.onnx").read_bytes()
    (made["onnx-int8"] / "done.json").unlink()
    (made["onnx-int8"] / "student.int8.onnx").write_bytes(b"")
    export_as(out, ["onnx-int8"])
    assert snapshot(made["onnx"]) == kept
    assert (out / "student.int8.onnx").read_bytes() == whole


def test_a_format_that_does_not_fit_says_why_and_the_others_go_on(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise BadInput("ConvNet cannot be held: there is no operator for its layer stem.0.")

    refusing = dataclasses.replace(table.FORMATS["onnx-int8"], name="executorch", suffix=".pte", write=refuses)
    monkeypatch.setitem(table.FORMATS, "executorch", refusing)
    out = Path(shutil.copytree(ran, tmp_path / "run"))
    results = export_as(out, ["executorch", "onnx-int8"], "smallest")
    assert results["formats"]["files"]["executorch"] == {
        "problem": "ConvNet cannot be held: there is no operator for its layer stem.0."
    }
    assert results["formats"]["preferred"] == "onnx-int8"
    assert "no operator for its layer stem.0" in (out / "report.html").read_text()


def test_the_file_that_is_preferred_is_asked(
    exported: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    said = []
    for model in (exported, exported / "student.int8.onnx", exported / "student.onnx"):
        show(model, [str(tmp_path / "x.png")], as_json=True)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_of_files_that_answer_alike_the_one_is_taken_that_was_asked_for() -> None:
    def file(size: int, ratio: float, passed: bool = True) -> dict[str, Any]:
        return {"bytes": size, "speedup": {"onnx": {"ratio": ratio}}, "parity": {"passed": passed}}

    files = {"onnx-int8": file(40, 0.7), "onnx": file(100, 1.0)}
    assert [preferred(files, which) for which in ("exact", "smallest", "fastest")] == ["onnx", "onnx-int8", "onnx"]
    astray = {"onnx-int8": file(40, 1.7, passed=False), "executorch": {"problem": "no"}}
    assert {preferred(astray, which) for which in ("exact", "smallest", "fastest")} == {"onnx"}


def test_calibration_is_on_training_examples_as_the_student_is_given_them(tmp_path: Path) -> None:
    one = job(tmp_path / "run")
    model = one.student(0).eval()
    (graph,) = one.modality.exportables(model, one.task, "student").values()
    seen = captured(one, {"student": graph}, model)["student"]
    images_NCHW = np.concatenate([batch["image"] for batch in seen])
    train = one.splits.train
    assert len(images_NCHW) == min(CALIBRATION, len(train))
    mean, std = (torch.tensor(side) for side in (one.splits.mean, one.splits.std))
    whole_NCHW = ((train.images.float() / 255 - mean) / std).numpy()
    assert {picture.round(4).tobytes() for picture in images_NCHW} <= {one.round(4).tobytes() for one in whole_NCHW}
    again = captured(one, {"student": graph}, model)["student"]
    np.testing.assert_array_equal(images_NCHW, np.concatenate([batch["image"] for batch in again]))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda out: shutil.rmtree(out / "stages" / "student"), "its student is not finished"),
        (
            lambda out: shutil.rmtree(out / "stages" / "targets"),
            "its targets are not finished, or belong to another recipe",
        ),
        (lambda out: (out / "recipe.yaml").unlink(), "not the folder of a run"),
        (lambda out: shutil.rmtree(out / "stages"), "holds a recipe, and nothing of a run: limbeck run"),
    ],
)
def test_a_run_that_is_none_or_not_finished_is_refused(ran: Path, tmp_path: Path, spoil: Any, said: str) -> None:
    out = Path(shutil.copytree(ran, tmp_path / "run"))
    spoil(out)
    before = snapshot(out)
    with pytest.raises(BadInput, match=said):
        export_as(out, ["onnx-int8"])
    assert snapshot(out) == before
