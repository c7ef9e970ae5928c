"""States that were driven to: kept, gone on with, and the same whatever happened in between; and the run of them."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("highway_env")
from limbeck.cli.main import app
from limbeck.errors import BadInput
from limbeck.modalities.driving import collect, predict
from limbeck.modalities.driving.episodes import Network
from limbeck.modalities.driving.measured import judged_drive
from limbeck.modalities.driving.network import MLP, build, driver_of, statistics
from limbeck.models.weights import load_weights
from limbeck.recipe import draft, files
from limbeck.recipe import read as recipe_file
from tests.helpers import drives
from tests.helpers.launcher import ROOT
from tests.helpers.pages import Page, assert_harmless


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "limbeck" / "driving"


# A process that is killed, as `kill -9` does it, after the second episode of what is called so.
KILLED = """
import os, signal, sys
from contextlib import contextmanager
from limbeck.modalities.driving import collect
from tests.helpers import drives

@contextmanager
def bar(total, said):
    left = [2]
    def advance():
        left[0] -= 1
        if said.startswith(sys.argv[1]) and left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    yield advance

collect.collect(drives.recipe(drives.ROUNDS), bar)
"""


def test_a_run_that_was_killed_or_whose_files_were_damaged_ends_with_the_same_states(
    cache: Path, tmp_path: Path
) -> None:
    recipe: Any = drives.recipe(drives.ROUNDS)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "student drives, round 2"], cwd=ROOT, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(kept) == 3  # the planner's twice, and the first round
    stopped = collect.collect(recipe)
    assert all((cache / name).stat().st_mtime_ns == when for name, when in kept.items())
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:-40])
    again = collect.collect(recipe)
    for split in ("train", "validation"):
        a, b = getattr(stopped, split), getattr(again, split)
        assert torch.equal(a.ids, b.ids)
        assert torch.equal(a.states_NF, b.states_NF)
        assert torch.equal(a.values_NA, b.values_NA)
    assert stopped.fingerprint == again.fingerprint
    # seven of eight of each round's episodes are trained on, under names of their own
    alone = collect.collect(drives.recipe())  # type: ignore[arg-type]
    assert len(alone.train) < len(again.train)
    assert torch.isin(alone.train.ids, again.train.ids).all()
    assert len(again.validation) > len(alone.validation)
    other = collect.collect(drives.recipe("data.settings.vehicles_count=11"))  # type: ignore[arg-type]
    assert other.fingerprint != alone.fingerprint
    assert not torch.isin(other.test.open("a test").ids, alone.train.ids).any()


def trained(recipe: Any) -> MLP:
    """The student of the run in ``runs/short``."""
    model = build(recipe.student.knobs, torch.zeros(25), torch.ones(25), 5, seed=0)
    load_weights(model, "runs/short/student.safetensors", "student")
    return model


def test_a_student_standardises_what_it_sees_and_is_deployed_without() -> None:
    draw = torch.Generator().manual_seed(1)
    states_NF = torch.rand(50, 25, generator=draw) * torch.linspace(0.01, 2, 25) + 3
    states_NF[:, 4] = 1.0  # as the presence of its own car
    model: MLP = build({}, *statistics(states_NF), 5, seed=0).eval()
    seen_NF = model.standardise(states_NF)
    assert seen_NF[:, 4].unique().tolist() == [1.0]
    assert seen_NF[:, 3].std(unbiased=False).item() == pytest.approx(1, rel=1e-4)
    assert (
        sum(one.numel() for one in model.parameters())
        == sum(one.numel() for one in model.folded().parameters())
        == 1901
    )
    expected_NA = model(states_NF).detach()
    torch.testing.assert_close(model.folded()(states_NF), expected_NA, atol=2e-4, rtol=1e-4)
    driver: Network = driver_of(model)
    said_NA = np.stack([driver.logits(state_F) for state_F in states_NF.numpy()])
    np.testing.assert_allclose(said_NA, expected_NA.numpy(), atol=2e-4, rtol=1e-4)


def test_a_recipe_runs_from_episodes_to_a_report_that_says_how_all_drive(capsys: pytest.CaptureFixture[str]) -> None:
    values = recipe_file.apply_overrides(drives.VALUES, (drives.ROUNDS,))
    Path("short.yaml").write_text(yaml.safe_dump(values))
    app(["run", "short.yaml"], standalone_mode=False)
    results = json.loads(Path("runs/short/results.json").read_text())
    assert results["answers"]["names"] == ["left", "idle", "right", "faster", "slower"]
    student, planner = results["measured"]["student"], results["measured"]["teacher"]
    for figures in (student, planner):
        assert {"collisions", "reward", "speed", "distance", "lane_changes", "missed_deadlines"} <= set(figures)
    assert student["collisions_beside_planner_more"] == pytest.approx(student["collisions"] - planner["collisions"])
    assert student["reward_beside_planner_at_least"] <= student["reward_beside_planner_more"]
    assert student["regret_on_validation"] >= 0
    assert not Path("runs/short/teacher.onnx").exists()  # nobody deploys a planner as a file
    report = Path("runs/short/report.html").read_text()
    used = results["in_use"]
    drivers = used["figures"]["drivers"]
    simple = ["random", "always idle", "always slower"]
    assert list(drivers) == ["planner", "student", "no teacher", "smoothed labels", *simple]
    for name, one in drivers.items():  # how they drive is said first, of all of them, in shares of episodes
        share = 100 * one["figures"]["collisions"]["mean"]
        assert f"{share:.1f}".removesuffix(".0") + " %" in report, name
        assert sum(one["actions"].values()) == pytest.approx(1)
    assert drivers["student"]["figures"]["collisions"]["mean"] == student["collisions"]
    gain = drivers["student"]["beside_baseline"]["reward"]
    assert gain["low"] <= gain["difference"] <= gain["high"]
    page = Page(report)
    assert_harmless(page)
    assert page.text.index(used["headline"]) < page.text.index("Judged by driving") < page.text.index("On states alone")
    assert "animateTransform" in report
    assert len(report) < 200_000
    said = capsys.readouterr().out
    assert " ".join(used["headline"].split()) in " ".join(said.split())
    assert said.index("How they drive") < said.index("accuracy")
    app(["run", "short.yaml", "--plan"], standalone_mode=False)
    assert "Everything is finished" in capsys.readouterr().out
    state = ",".join(["0.1"] * 25)
    app(["predict", "runs/short", state], standalone_mode=False)
    said = capsys.readouterr().out
    assert sum(f"%  {action}" in said for action in ("left", "idle", "right", "faster", "slower")) == 3
    student = Path("runs/short/student.onnx")
    for wrong, says in (("1,2", "has 2 number"), ("a,b", "no list of numbers"), (state[:-3] + "nan", "not finite")):
        with pytest.raises(ValueError, match=says):
            predict.predict(student, [wrong])
    # the file drives as the trained student does, in the library's own environment
    recipe: Any = recipe_file.read(Path("short.yaml"))
    (episode,) = judged_drive(driver_of(trained(recipe)), recipe)[:1]
    outcome = predict.drive(student, episode.seed)
    assert (outcome.decisions, outcome.crashed) == (len(episode.actions_T), episode.crashed)
    assert outcome.reward == pytest.approx(episode.rewards_T.sum())
    assert predict.main([str(student), "--drive", "7"]) == 0
    assert "decisions, ended by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("student.widht=3", "student.widht: mlp has no such knob. Did you mean 'width'"),
        ("student.width=0", "student.width: 0 was given; it is a whole number from 1 to 1024"),
        ("student.model=resnet20", "is no network of states; mlp is"),
        ("targets.views=3", "states are not varied"),
        ("targets.live=true", "targets.live"),
        ("data.rollouts={rounds: 0}", "data.rollouts.rounds"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_said(override: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        drives.recipe(override)


def test_a_recipe_is_drafted_by_the_environments_name(tmp_path: Path) -> None:
    drafted = draft.write(teacher="planner", data="highway-fast-v0", student=None, out=tmp_path / "highway.yaml")
    read: Any = recipe_file.read(tmp_path / "highway.yaml")
    assert (read.task, read.data.rollouts.rounds, read.student.model) == ("control", 7, "mlp")
    assert "drives in 7 rounds" in drafted.said[-1]
    for teacher, data, says in (
        ("planer", "highway-fast-v0", "give --teacher planner"),
        ("planner", "highway-fest-v0", "Did you mean 'highway-fast-v0'"),
        (
            "planner",
            "roundabout-v0",
            "is no straight road, and the planner knows no other: take highway-fast-v0 or highway-v0",
        ),
    ):
        with pytest.raises(BadInput, match=says):
            draft.write(teacher=teacher, data=data, student=None, out=tmp_path / "other.yaml")


def test_a_misspelt_setting_is_told_before_anything_is_driven(cache: Path) -> None:
    recipe: Any = drives.recipe("data.settings={vehicle_count: 3}")
    for step in (files.look_for, collect.collect):  # the first is all that `limbeck run --plan` asks
        with pytest.raises(BadInput, match="Did you mean 'vehicles_count'"):
            step(recipe)
    assert not cache.exists()
