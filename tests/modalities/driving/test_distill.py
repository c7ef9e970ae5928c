"""``limbeck.distill`` for drivers: from an environment and the planner, from states with values, from a module with states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("highway_env")
import limbeck
from limbeck.errors import BadInput
from limbeck.modalities.driving import predict
from tests.helpers import drives

PLAN = limbeck.Train(epochs=3, batch_size=32)
WORLD = {
    "name": "highway-fast-v0",
    "settings": drives.SETTINGS,
    "episodes": 4,
    "validation_episodes": 2,
    "test_episodes": 2,
}

JUDGE = {"episodes": 3}


class Small(nn.Module):
    def __init__(self, actions: int = 5) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(25, 8), nn.ReLU(), nn.Linear(8, actions))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.layers(states)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def states(count: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 5, 5)).astype(np.float32)


def values_of(states_NFF: np.ndarray) -> np.ndarray:
    return states_NFF[:, 0, :3] * 2


def test_the_planner_teaches_a_module_to_drive() -> None:
    done = limbeck.distill(task="control", teacher="planner", student=Small, train={**WORLD}, tau=0.3, judge=JUDGE, train_plan=PLAN, out="run", device="cpu")  # fmt: skip
    assert {"collisions", "reward"} <= set(done.results["measured"]["student"])
    assert done.results["recipe"]["teacher"] == {"planner": {"tau": 0.3}}
    (decided,) = done.student.decide(torch.zeros(1, 5, 5))  # type: ignore[operator]
    (said,) = predict.predict(done.export(), [",".join(["0"] * 25)], 1)
    assert said.actions[0][0] == decided
    again = limbeck.load("run", model=Small())
    torch.testing.assert_close(again(torch.ones(2, 25)), done.student(torch.ones(2, 5, 5)))
    with pytest.raises(BadInput, match="holds weights of a person's own class, Small"):
        limbeck.load("run")
    # a large module between planner and student, as the teacher
    more = limbeck.distill(task="control", teacher=done.student.model, student=Small, train={**WORLD}, judge=JUDGE, train_plan=PLAN, out="more", device="cpu")  # type: ignore[arg-type]  # fmt: skip
    assert Path("more/teacher.onnx").exists()
    assert more.results["data"]["train"] == done.results["data"]["train"]


def test_states_with_values_are_enough() -> None:
    seen = states()
    done = limbeck.distill(
        task="control", teacher=None, student=lambda: Small(3), train=(seen, values_of(seen)),
        test=(states(20, 1), values_of(states(20, 1))), classes=("left", "stay", "right"), tau=0.2, train_plan=PLAN,
        out="run", device="cpu",
    )  # fmt: skip
    assert done.results["answers"]["names"] == ["left", "stay", "right"]
    assert done.results["teacher"]["metrics"]["accuracy"]["mean"] == 1
    assert "in_use" not in done.results
    student = Path("run/student.onnx")
    with pytest.raises(ValueError, match="made of states that no environment is known of"):
        predict.drive(student, 1)
    assert done.student.decide(torch.from_numpy(states(3))) == [  # type: ignore[operator]
        one.actions[0][0]
        for one in predict.predict(student, [",".join(map(str, one.reshape(-1).tolist())) for one in states(3)], 1)
    ]


def test_a_module_teaches_states_with_actions() -> None:
    teacher, seen = Small(3), states()
    actions = teacher(torch.from_numpy(seen).flatten(1)).argmax(1)
    limbeck.distill(
        task="control",
        teacher=teacher,
        student=Small(3),
        train=(seen, actions),
        train_plan=PLAN,
        out="run",
        device="cpu",
    )
    assert Path("run/teacher.onnx").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"teacher": "planer", "train": {**WORLD}}, r"teacher is 'planer': teacher='planner', or a module is right"),
        ({"teacher": "planner", "train": "highway-fest-v0"}, r"train: highway-env has no environment .*Did you mean"),
        ({"teacher": "planner", "train": {"episodes": 3}}, "train has no name"),
        ({"teacher": "planner", "train": {**WORLD}, "classes": ["a"]}, "classes is not for an environment"),
        ({"teacher": None, "train": (states(5), np.zeros(5))}, r"train has 5 states, and float64 of shape \(5,\) beside them"),
        ({"teacher": None, "train": (states(5), np.full((5, 3), np.nan))}, "train has numbers that are not finite"),
        ({"teacher": None, "train": states(5)}, r"train is of type ndarray: give \(states, values\)"),
        ({"teacher": Small(3), "train": (states(5), np.zeros((5, 3)))}, r"\(N,\), whole numbers from 0, is right"),
        ({"teacher": Small(4), "train": (states(), np.arange(60) % 3)}, "the teacher does not answer states with 3 finite logits"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_said(given: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        limbeck.distill(task="control", student=lambda: Small(3), train_plan=PLAN, device="cpu", **given)


def test_other_tasks_take_no_name_for_a_teacher() -> None:
    with pytest.raises(BadInput, match="teacher is 'planner': a trained torch module is right"):
        limbeck.distill(teacher="planner", student=Small, train=None)
