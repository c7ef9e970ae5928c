"""Driving is a task like any other: drafted, planned, searched, compared, exported, served, shown; each on one tiny run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("highway_env")
from limbeck.cli.main import app
from limbeck.errors import BadInput
from limbeck.modalities.driving import animation, collect, predict, serve
from limbeck.recipe import draft
from limbeck.recipe import read as recipe_file
from tests.helpers import drives


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the run is, whose students are the tiny ones; what was driven for it is kept beside it."""
    folder, before = tmp_path_factory.mktemp("driving"), Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        os.chdir(folder)
        (folder / "short.yaml").write_text(yaml.safe_dump(drives.VALUES))
        app(["run", "short.yaml"], standalone_mode=False)
        yield folder
        os.chdir(before)


@pytest.fixture
def student(folder: Path) -> Path:
    return folder / "runs" / "short" / "student.onnx"


def test_a_recipe_is_drafted_with_what_was_seen_of_the_environment(tmp_path: Path) -> None:
    said = draft.write(
        teacher="planner", data="highway-fast-v0", student=None, task="control", out=tmp_path / "highway.yaml",
        overrides=["data.settings={observation: {vehicles_count: 7}}", "data.episodes=20"],
    )  # fmt: skip
    read: Any = recipe_file.read(tmp_path / "highway.yaml")
    assert (read.data.episodes, read.data.rollouts.rounds, read.student.knobs) == (20, 7, {"width": 32, "second": 28})
    assert read.data.settings == {"observation": {"vehicles_count": 7}}
    # 35 numbers to 32 to 28 to 5
    assert said.said[0].startswith(f"student mlp: {36 * 32 + 33 * 28 + 29 * 5:,} parameters")
    assert "# A state is 35 numbers, an episode 30 decisions at most." in said.text
    own = draft.write(teacher="planner", data="highway-v0", student="my.nets:small", out=tmp_path / "own.yaml")
    read = recipe_file.read(tmp_path / "own.yaml")
    assert (read.student.model, read.data.rollouts) == ("my.nets:small", None)
    assert "does not drive while states are collected" in own.said[-1]
    between = draft.write(teacher="mlp", data="highway-v0", student=None, out=tmp_path / "between.yaml")
    read = recipe_file.read(tmp_path / "between.yaml")
    assert (read.teacher.train.epochs, read.teacher.knobs["width"]) == (100, 512)
    assert between.said[2] == "The student has 1/147 of the teacher's parameters."
    with pytest.raises(BadInput, match="--student resnet20: it is no network of states"):
        draft.write(teacher="planner", data="highway-v0", student="resnet20", out=tmp_path / "none.yaml")


def test_a_plan_names_what_is_to_be_driven(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["run", "short.yaml", "--out", "other", "--plan"], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "data not known – – highway-fast-v0: 14 episodes driven by the planner" in said
    app(["run", "short.yaml", "--plan"], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "data finished" in said
    assert "Everything is finished" in said
    app(["run", "short.yaml", "--plan", "--check"], standalone_mode=False)
    assert "data finished" in " ".join(capsys.readouterr().out.split())


def test_a_state_is_served_as_it_is_predicted(student: Path) -> None:
    model = serve.opened(student)
    rows = [[1, 0.1 * row, 0.5, 0.3, 0] for row in range(5)]
    flat = [number for row in rows for number in row]
    text = ",".join(map(str, flat))
    given = [serve.read(model, one, n) for n, one in enumerate((rows, flat, text, text.encode()), 1)]
    answers = serve.ask(model, given)
    (expected,) = predict.plain(predict.predict(student, [text], 2))
    for answer in answers:
        said = serve.told(model, answer, 2)
        assert [one["class"] for one in said["top"]] == [one["class"] for one in expected["top"]]
        assert said["top"][0]["probability"] == pytest.approx(expected["top"][0]["probability"])
    assert serve.sureness(model, list(answers))[0] == pytest.approx(expected["top"][0]["probability"])
    for wrong, says in (
        (flat[:-1], r"state 3 has 24 number\(s\); the model takes 25"),
        ([*flat[:-1], "1"], r"instance 3 is no state: \[x1, \.\.\., x25\]"),
        ([*flat[:-1], True], "instance 3 is no state"),
        ({"state": flat}, "instance 3 is no state"),
        ([], "instance 3 is no state"),
        ([*flat[:-1], 1e39], "state 3 has a number that is not finite in float32"),
        ([*flat[:-1], 10**400], "state 3 has a number that is not finite in float32"),
        ("1,2", "has 2 number"),
        (b"\xff", "no list of numbers"),
    ):
        with pytest.raises(ValueError, match=says):
            serve.read(model, wrong, 3)
    with pytest.raises(serve.TooLarge, match="state 1 has more than the 9 numbers"):
        serve.read(model._replace(largest=9), flat, 1)


def test_a_server_and_its_container_take_states(folder: Path, student: Path) -> None:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from limbeck.serving.server import Service, application
    from limbeck.serving.settings import Settings

    with TestClient(application(Service(serve, Settings(student)))) as client:
        state = [0.1] * 25
        said = client.post("/predict?top=1", json={"instances": [state, state]}).json()["predictions"]
        (expected,) = predict.predict(student, [",".join(map(str, state))], 1)
        assert [one["top"][0]["class"] for one in said] == [expected.actions[0][0]] * 2
        wrong = client.post("/predict", json={"instances": [[1, 2]]})
        assert (wrong.status_code, wrong.json()["error"]) == (400, "state 1 has 2 number(s); the model takes 25.")
    app(["serve", "runs/short", "--container", "box"], standalone_mode=False)
    assert {"Dockerfile", "server.py", "modality.py", "student"} <= {one.name for one in Path("box").iterdir()}


def test_a_demo_drives_beside_the_planner_from_any_seed(
    folder: Path, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    from limbeck.modalities.driving import demo

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # as servers have it
    app(["demo", "runs/short", "--out", "demo"], standalone_mode=False)
    shown = json.loads(Path("demo/demo.json").read_text())
    assert len(shown["examples"]) == demo.SHOWN
    models = {"student": demo.opened(student)}
    for example in shown["examples"][:1]:
        driven = demo.driven(models, example["seed"])
        assert example["caption"] == f"seed {example['seed']}. {demo.told(driven)}"
        outcome = predict.drive(student, example["seed"])
        assert (outcome.reward, outcome.crashed) == (pytest.approx(driven[1].reward), driven[1].crashed)
        picture = Image.open(Path("demo") / example["file"])
        assert picture.n_frames >= 2  # type: ignore[attr-defined]
        road = picture.convert("RGB").crop((0, animation.STRIP, picture.width, picture.height // 2))
        assert len(road.getcolors(1 << 20) or ()) > 3  # road, lines and cars
    planned = collect.Drive(collect.World("highway-fast-v0", drives.SETTINGS), collect.Plans(), "", range(7, 8), 1)
    (episode,) = planned.episodes(None, "")
    first, _ = demo.driven(models, 7)
    assert (first.name, first.reward) == ("planner", pytest.approx(episode.rewards_T.sum()))
    page = demo.page(models, "7")
    assert page is not None
    assert "data:image/gif;base64," in page
    state = ",".join(["0.1"] * 25)
    assert demo.page(models, state) is None
    assert demo.ask(models["student"], state, runs=1).values_C.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="neither a seed, a whole number below a billion, nor a state"):
        demo.page(models, "seven")


def test_a_search_and_a_comparison_choose_among_students(folder: Path) -> None:
    values = {**drives.VALUES, "name": "found", "search": {"trials": 2, "finalists": 1}}
    Path("search.yaml").write_text(yaml.safe_dump(values))
    app(["search", "search.yaml", "--out", "found"], standalone_mode=False)
    found = json.loads(Path("found/search.json").read_text())
    first, second = found["trials"]["student"]
    assert [one["fate"] for one in (first, second)] == ["finished"] * 2
    assert (second["values"]["student.width"], second["values"]["student.second"]) != (8, 6)
    Path("compare.yaml").write_text(
        yaml.safe_dump({"recipe": "short.yaml", "name": "beside", "objectives": {"soft": {"kd": {}}, "hard": {"cross_entropy": {}}}})
    )  # fmt: skip
    app(["compare", "compare.yaml", "--out", "beside"], standalone_mode=False)
    beside = json.loads(Path("beside/compare.json").read_text())
    assert {"soft", "hard"} <= {row["name"] for row in beside["rows"]}
    assert beside["teacher"]["bytes"] is None  # nobody deploys a planner as a file


def test_soft_targets_of_another_configuration_are_refused(folder: Path) -> None:
    given = "--set=targets.store=runs/short"
    app(["run", "short.yaml", "--out", "again", given], standalone_mode=False)
    before, after = (json.loads(Path(f"{run}/results.json").read_text()) for run in ("runs/short", "again"))
    assert after["student"]["metrics"] == before["student"]["metrics"]
    # the same ids, of other states: eleven cars in the place of ten
    changed = drives.recipe("data.settings.vehicles_count=11")
    theirs, ours = (collect.collect(one).train.ids for one in (changed, drives.recipe()))  # type: ignore[arg-type]
    assert torch.isin(theirs, ours).float().mean() > 0.5
    done = CliRunner().invoke(
        app, ["run", "short.yaml", "--out", "other", given, "--set=data.settings.vehicles_count=11"]
    )
    assert done.exit_code == 2
    assert "was cast over other data: ids here are made of who drove" in " ".join(done.output.split())


def test_a_student_is_exported_in_the_formats_of_devices(folder: Path, student: Path) -> None:
    app(["export", "runs/short", "--format", "onnx-int8", "--format", "executorch"], standalone_mode=False)
    results = json.loads(Path("runs/short/results.json").read_text())
    assert set(results["formats"]["files"]) >= {"onnx", "onnx-int8", "executorch"}
    assert predict.predict(Path("runs/short/student.int8.onnx"), [",".join(["0.1"] * 25)])[0].actions
