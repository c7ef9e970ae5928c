"""States that were driven to: kept, gone on with, and the same whatever happened in between; and the run of them."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("highway_env")
from limbeck.cli.main import app
from limbeck.errors import BadInput
from limbeck.modalities.driving import collect
from limbeck.modalities.driving.episodes import Network
from limbeck.modalities.driving.network import MLP, build, driver_of, statistics
from limbeck.recipe import read as recipe_file
from tests.helpers import drives


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "limbeck" / "driving"


def stopped_in(title: str) -> Callable[..., AbstractContextManager[Any]]:
    """A bar that is interrupted after the second episode of what is called so."""

    @contextmanager
    def bar(total: int, said: str) -> Iterator[Callable[[], None]]:
        count = [0]

        def advance() -> None:
            count[0] += 1
            if said.startswith(title) and count[0] == 2:
                raise KeyboardInterrupt

        yield advance

    return bar


def test_a_run_that_was_stopped_or_whose_files_were_damaged_ends_with_the_same_states(
    cache: Path, tmp_path: Path
) -> None:
    recipe: Any = drives.recipe(drives.ROUNDS)
    with pytest.raises(KeyboardInterrupt):
        collect.collect(recipe, stopped_in("student drives, round 2"))
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
    assert "path" not in results["export"]["teacher"] if "teacher" in results["export"] else True
    report = Path("runs/short/report.html").read_text()
    assert "Missed deadlines" in report
    capsys.readouterr()
    app(["run", "short.yaml", "--plan"], standalone_mode=False)
    assert "Everything is finished" in capsys.readouterr().out
    state = ",".join(["0.1"] * 25)
    app(["predict", "runs/short", state], standalone_mode=False)
    assert any(action in capsys.readouterr().out for action in ("left", "idle", "right", "faster", "slower"))


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


def test_a_misspelt_setting_is_told_before_anything_is_driven(cache: Path) -> None:
    recipe: Any = drives.recipe("data.settings={vehicle_count: 3}")
    with pytest.raises(BadInput, match="Did you mean 'vehicles_count'"):
        collect.collect(recipe)
    assert not cache.exists()
