"""A student that goes on where its file costs it too much, in a format whose weights have so few steps that they do."""

import copy
import dataclasses
import functools
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from limbeck.deploy import formats as table
from limbeck.deploy.formats import cost
from limbeck.deploy.formats.format import Inputs
from limbeck.deploy.latency import in_turns
from limbeck.errors import BadInput
from limbeck.interfaces import Exportable
from limbeck.models.fake_quantization import rounded_weight
from limbeck.pipeline import plan
from limbeck.pipeline import run as pipeline
from limbeck.pipeline.check import check
from limbeck.training import loop
from tests.helpers.runs import killed
from tests.helpers.tiny import digest, folder_of, recipe, snapshot

LEVELS, NAME = 2, "executorch-int8"
BEGINS = (
    "data.limit=400", "train.epochs=8", "train.learning_rate=0.2", "teacher.train.epochs=8", "baseline.epochs=1",
    "baseline.label_smoothing=0", "export.agreement=0.5", f"export.formats=[onnx, {NAME}]",
)  # fmt: skip
GOES_ON = (*BEGINS, "export.quantization_aware.epochs=2", "export.prefer=smallest")


def coarse() -> None:
    """Puts a format into the table whose weights go two steps to either side of 0; how long a measurement takes is no claim here."""
    small = table.FORMATS["onnx-int8"]

    def write(graph: Exportable, path: Path, inputs: Inputs) -> None:
        module = copy.deepcopy(graph.module)
        with torch.no_grad():
            for one in module.modules():
                if isinstance(one, nn.Conv2d | nn.Linear):
                    one.weight.copy_(rounded_weight(one.weight, LEVELS))
        small.write(dataclasses.replace(graph, module=module), path, inputs)

    one = dataclasses.replace(
        small, name=NAME, suffix=".coarse.onnx", write=write, weight_levels=LEVELS, memory=None, facts=None
    )
    table.FORMATS[NAME] = one  # type: ignore[index]
    cost.in_turns = functools.partial(in_turns, seconds=0.1)


@pytest.fixture(scope="module", autouse=True)
def table_of_formats() -> Any:
    """Left as it was."""
    before, timed = dict(table.FORMATS), cost.in_turns
    coarse()
    yield
    table.FORMATS.clear()  # type: ignore[attr-defined]
    table.FORMATS.update(before)  # type: ignore[attr-defined]
    cost.in_turns = timed


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that does not ask for it."""
    out = tmp_path_factory.mktemp("aware") / "run"
    results = pipeline.run(recipe(*BEGINS), out=out, threads=1)
    assert "quantization_aware" not in results["formats"]
    return out


@pytest.fixture(scope="module")
def went_on(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it, run with a recipe that does."""
    out = Path(shutil.copytree(ran, tmp_path_factory.mktemp("went-on") / "run"))
    pipeline.run(recipe(*GOES_ON), out=out, threads=1)
    return out


def section(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())["formats"]


def test_half_of_what_was_lost_is_regained_and_nothing_else_made_anew(ran: Path, went_on: Path) -> None:
    before, after = snapshot(ran / "stages"), snapshot(went_on / "stages")
    assert {name: after[name][1] for name in before} == {name: digest for name, (_, digest) in before.items()}
    assert {name.split("/")[0] for name in set(after) - set(before)} == {"quantization_aware", "formats", "report"}
    one = section(went_on)["quantization_aware"][NAME]
    assert one["lost"] > 2
    assert one["lost_after"] < one["lost"] / 2
    assert one["taken"] is True
    assert one["lost"] == pytest.approx(100 * (one["validation"]["float32"] - one["validation"]["before"]))
    assert one["test"]["before"] == section(ran)["files"][NAME]["metrics"]
    file = section(went_on)["files"][NAME]
    assert file["metrics"] == one["test"]["after"]
    assert file["metrics_float32"] == section(ran)["files"][NAME]["metrics_float32"]
    assert digest(went_on / "student.onnx") == digest(ran / "student.onnx")
    assert digest(went_on / "student.coarse.onnx") != digest(ran / "student.coarse.onnx")
    documented = (Path(__file__).parents[2] / "docs" / "results-schema.md").read_text()
    assert all(f"`{field}`" in documented for field in one)
    assert (
        "With export.quantization_aware.epochs=3 in the recipe the student goes on" in (ran / "report.html").read_text()
    )
    page = (went_on / "report.html").read_text()
    assert "With export.quantization_aware" not in page
    assert "The student went on for 2 epochs, rounded as that file is" in page
    assert "That is the file above." in page


def test_its_file_is_preferred_where_it_says_what_that_student_does_and_is_worth_as_much_as_the_first(
    ran: Path, went_on: Path
) -> None:
    parity, before = (section(out)["files"][NAME]["parity"] for out in (went_on, ran))
    assert parity["nll_float32"] == before["nll_float32"]
    assert parity["limits"] == {"agreement": 0.95, "nll": pytest.approx(1.05 * before["nll_float32"])}
    assert (
        parity["agreement"] >= 0.95
    )  # with its student as it learnt; with that student's weights unrounded it is 0.46
    assert before["agreement"] < 0.5
    assert section(went_on)["preferred"] == NAME
    assert section(went_on)["path"] == "student.coarse.onnx"


def test_what_went_on_is_finished(went_on: Path) -> None:
    stages = snapshot(went_on / "stages")
    assert {one.state for one in plan.plan(recipe(*GOES_ON), went_on)} == {"finished"}
    assert {one.state for one in check(recipe(*GOES_ON), went_on, threads=1)} == {"finished"}
    pipeline.run(recipe(*GOES_ON), out=went_on, threads=1)
    assert snapshot(went_on / "stages") == stages


def test_a_student_that_loses_less_is_left_as_it_is(ran: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(ran, tmp_path / "run"))
    wanted = recipe(*BEGINS, "export.quantization_aware.when=100")
    results = pipeline.run(wanted, out=out, threads=1)
    assert not (out / "stages" / "quantization_aware").exists()
    assert results["formats"]["quantization_aware"][NAME]["went_on"] is False
    assert results["formats"]["files"] == section(ran)["files"]
    assert "left as it is" in (out / "report.html").read_text()
    (row,) = (one for one in plan.plan(wanted, out) if one.name == "quantization_aware")
    assert (row.state, row.detail) == ("finished", f"not needed where {NAME} loses 100 points at most")


def go_on_and_die(out: Path) -> None:
    """As the run does, killed at the first checkpoint of the student that goes on, in the middle of its first epoch."""
    replace = os.replace

    def dying(source: str, target: str) -> None:
        replace(source, target)
        if Path(target).match("stages/quantization_aware/*/checkpoint.pt"):
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = dying  # type: ignore[assignment]
    loop.SAVE_EVERY = 0.0
    coarse()
    pipeline.run(recipe(*GOES_ON), out=out, threads=1)


def test_killed_while_it_goes_on_it_ends_the_same(ran: Path, went_on: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(ran, tmp_path / "run"))
    assert killed(go_on_and_die, out)
    here = folder_of(out, "quantization_aware")
    assert (here / "checkpoint.pt").exists()
    assert not (here / "done.json").exists()
    pipeline.run(recipe(*GOES_ON), out=out, threads=1)
    whole = folder_of(went_on, "quantization_aware")
    assert here.name == whole.name
    assert digest(here / "model.safetensors") == digest(whole / "model.safetensors")
    assert digest(out / "student.coarse.onnx") == digest(went_on / "student.coarse.onnx")


def test_files_of_which_the_loss_was_not_measured_are_to_be_made_anew(ran: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(ran, tmp_path / "run"))
    for path in (out / "stages" / "formats").glob("*/done.json"):
        done = json.loads(path.read_text())
        done["facts"]["parity"].pop("lost", None)
        done.pop("digest")
        path.write_text(json.dumps({**done, "schema_version": 1}))  # as one that has no seal
    with pytest.raises(BadInput, match="run again with --force formats"):
        pipeline.run(recipe(*GOES_ON), out=out, threads=1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("export.formats=[onnx]", "export.quantization_aware.epochs=1"), r"formats names none \(onnx\): add onnx-int8"),
        (("export.quantization_aware.epochs=0",), "export.quantization_aware.epochs: 0 was given; it must be greater than 0"),
        (("export.quantization_aware.when=-1",), "export.quantization_aware.when: -1 was given; it must be at least 0"),
        (("export.quantization_aware=yes",), "export.quantization_aware"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        recipe("export.formats=[onnx-int8]", *given)
