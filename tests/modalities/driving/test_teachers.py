"""Teachers that are no planner: a policy of stable-baselines3, read without unpickling; a large network between planner and student; code."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("highway_env")
from limbeck.cli.main import app
from limbeck.errors import BadInput
from limbeck.modalities import modality_of
from limbeck.modalities.driving.collect import collect
from limbeck.modalities.driving.labels import Labels, labels_of
from limbeck.modalities.driving.planner import best
from limbeck.modalities.driving.simulator import World
from limbeck.models.weights import load_weights
from limbeck.recipe import files
from limbeck.recipe import read as recipe_file
from limbeck.sections.recipe import Recipe
from limbeck.targets.store.as_logits import gathered
from limbeck.targets.store.store import Store
from tests.helpers import drives

MINE = """
import torch
from torch import nn

class Mine(nn.Module):
    def __init__(self, numbers, classes, steep=1.0):
        super().__init__()
        self.layer, self.steep = nn.Linear(numbers, classes), steep
    def forward(self, states):
        return torch.softmax(self.steep * self.layer(states), 1)

class Values(Mine):
    def forward(self, states):
        return 10 * self.layer(states)

class Four(nn.Linear):
    def __init__(self, numbers):
        super().__init__(numbers, 4)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with policies as stable-baselines3 saves them, each with what it is known to answer."""
    sb3 = pytest.importorskip("stable_baselines3")
    folder, before = tmp_path_factory.mktemp("teachers"), Path.cwd()
    env = World("highway-fast-v0", drives.SETTINGS).environment()
    states = np.random.default_rng(0).uniform(-1, 1, (20, 5, 5)).astype(np.float32)
    for name, kind in (("dqn", sb3.DQN), ("ppo", sb3.PPO)):
        model = kind("MlpPolicy", env, policy_kwargs={"net_arch": [16, 12]}, seed=1, device="cpu")
        model.save(folder / f"{name}.zip")
        torch.save(model.policy.state_dict(), folder / f"{name}.pth")
        with torch.no_grad():
            given = torch.from_numpy(states)
            if name == "dqn":
                answers = model.q_net(given)
            else:
                answers = model.policy.action_net(model.policy.mlp_extractor.forward_actor(given.flatten(1)))
        np.savez(folder / f"{name}.npz", states=states, answers=answers.numpy())
        acts = model.predict(states, deterministic=True)[0]
        np.save(folder / f"{name}_acts.npy", acts)
    (folder / "mine.py").write_text(MINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        os.chdir(folder)
        yield folder
        os.chdir(before)


def recipe(teacher: dict[str, Any], *overrides: str) -> Recipe:
    values = recipe_file.apply_overrides(drives.VALUES, overrides)
    return recipe_file.from_dict({**values, "teacher": teacher})


def policy(name: str, activation: str, **more: Any) -> dict[str, Any]:
    return {"stable_baselines3": f"{name}.zip", "activation": activation, "known": f"{name.split('.')[0]}.npz", **more}


def labels(teacher: dict[str, Any], *overrides: str, trust_code: bool = False) -> Labels:
    return labels_of(recipe(teacher, *overrides), trust_code=trust_code)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "activation"), [("dqn", "relu"), ("ppo", "tanh")])
def test_a_policy_of_stable_baselines3_decides_as_it_does_there(folder: Path, name: str, activation: str) -> None:
    found = labels(policy(name, activation))
    with np.load(f"{name}.npz") as known:
        states, answers = known["states"], known["answers"]
    acts = np.load(f"{name}_acts.npy")
    draw = np.random.default_rng(0)
    for state, answer, act in zip(states, answers, acts, strict=True):
        action, values_A = found.driver(state.reshape(-1), None, draw)
        np.testing.assert_allclose(values_A, answer, atol=1e-5)
        assert action == act
    assert found.scale == (0.5 if name == "dqn" else 1.0)
    plain = {**policy(name, activation), "stable_baselines3": f"{name}.pth"}
    assert labels(plain).name == found.name


def test_what_it_says_of_each_state_is_label_and_soft_target(folder: Path) -> None:
    asked: Any = recipe(policy("dqn", "relu", tau=0.1), "data.rollouts={rounds: 1, episodes: 8, epochs: 2}")
    splits = collect(asked)
    teachers = modality_of(asked).teachers_of(asked, splits, trust_code=False)
    found = labels_of(asked)
    some = splits.train.take(torch.arange(0, len(splits.train), 7))
    for state_F, values_A, label in zip(some.states_NF.numpy(), some.values_NA.numpy(), some.labels.tolist()):
        action, said_A = found.driver(state_F, None, np.random.default_rng(0))
        np.testing.assert_allclose(values_A, said_A, atol=1e-5)
        assert label == action
    torch.testing.assert_close(teachers.model(some.values_NA), some.values_NA / 0.1)
    assert best(some.values_NA.numpy()).tolist() == some.labels.tolist()


@pytest.mark.parametrize(
    ("teacher", "overrides", "says"),
    [
        (policy("dqn", "tanh"), (), r"answers otherwise than teacher\.known has it, by .* with activation: tanh"),
        (policy("ppo", "relu"), (), "is another policy"),
        (policy("ppo", "tanh", tau=0.2), (), r"teacher\.tau: is of values, and ppo\.zip gives logits"),
        (
            policy("dqn", "relu"),
            ("data.settings.observation={vehicles_count: 3}",),
            "is a policy for observations of 25 numbers, and this environment shows 15",
        ),
        ({**policy("dqn", "relu"), "known": "ppo_acts.npy"}, (), r"teacher\.known: ppo_acts\.npy cannot be read"),
        ({**policy("dqn", "relu"), "known": "few.npz"}, (), r"few\.npz has states \(1, 3\) and answers \(1, 5\)"),
        ({**policy("cut", "relu"), "known": "dqn.npz"}, (), "is no zip of stable-baselines3, or it is damaged"),
        ({**policy("torn", "relu"), "known": "dqn.npz"}, (), r"its policy\.pth is damaged"),
        ({**policy("old", "relu"), "known": "dqn.npz"}, (), r"holds no policy\.pth.*torch\.save\(model\.policy\.state_dict"),
        ({**policy("whole", "relu"), "known": "dqn.npz"}, (), r"holds more than tensors.*torch\.save\(model\.policy\.state"),
        ({**policy("other", "relu"), "known": "dqn.npz"}, (), r"is no policy that is known here.*it has layers\.0\.weight"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_policy_is_refused(
    folder: Path, teacher: dict[str, Any], overrides: tuple[str, ...], says: str
) -> None:
    np.savez("few.npz", states=np.zeros((1, 3)), answers=np.zeros((1, 5)))
    Path("cut.zip").write_bytes(Path("dqn.zip").read_bytes()[:-300])
    torch.save({"policy": torch.nn.Linear(2, 2)}, "whole.pth")
    torch.save({"layers.0.weight": torch.zeros(2, 2)}, "other.pth")
    holds = {"torn": Path("dqn.pth").read_bytes()[:900], "whole": Path("whole.pth").read_bytes()}
    holds["other"] = Path("other.pth").read_bytes()
    for name, content in holds.items():
        with zipfile.ZipFile(f"{name}.zip", "w") as file:
            file.writestr("policy.pth", content)
    with zipfile.ZipFile("old.zip", "w") as file:
        file.writestr("data", b"{}")
    with pytest.raises(BadInput, match=says):
        labels(teacher, *overrides)


def test_files_of_a_teacher_are_looked_for_first(folder: Path) -> None:
    said = recipe(policy("dqn", "relu"), "data.rollouts={}").collected  # type: ignore[attr-defined]
    assert said == "highway-fast-v0: 14 episodes driven by dqn.zip, 7 rounds of 44 by a student"
    assert [one.name for one in files.look_for(recipe(policy("dqn", "relu"))) if one] == ["dqn.zip", "dqn.npz"]
    with pytest.raises(
        BadInput, match=r"teacher\.stable_baselines3: there is no file dqm\.zip\. Did you mean 'dqn\.zip'"
    ):
        files.look_for(recipe({**policy("dqm", "relu"), "known": "dqn.npz"}))


def test_code_that_is_trusted_labels_states_in_other_processes_too(folder: Path) -> None:
    for name, more in (("Mine", {"gives": "probabilities"}), ("Values", {"gives": "values", "tau": 0.2})):
        section = {"model": f"mine:{name}", **more}
        found = labels(section, trust_code=True)
        assert found.scale == (1.0 if name == "Mine" else 0.2)
        splits = collect(recipe(section, "data.episodes=2", "data.validation_episodes=1"), trust_code=True)  # type: ignore[arg-type]
        sent = pickle.loads(pickle.dumps(found.driver))
        for state_F, values_A in zip(splits.train.states_NF.numpy(), splits.train.values_NA.numpy(), strict=True):
            np.testing.assert_allclose(sent(state_F, None, np.random.default_rng(0))[1], values_A, atol=1e-5)
        if name == "Mine":
            torch.testing.assert_close(splits.train.values_NA.exp().sum(1), torch.ones(len(splits.train)))
    with pytest.raises(BadInput, match="--trust-code"):
        labels({"model": "mine:Mine", "gives": "probabilities"})
    with pytest.raises(BadInput, match="does not answer states with a number for each of 5 actions"):
        labels({"model": "mine:Four"}, trust_code=True)
    wrong = labels({"model": "mine:Values", "gives": "probabilities"}, trust_code=True)
    with pytest.raises(
        BadInput, match=r"teacher\.gives: probabilities, and mine:Values answers with numbers that are none"
    ):
        wrong.driver(np.ones(25, np.float32), None, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("teacher", "says"),
    [
        ({"model": "mlp"}, r"teacher\.train: is missing, and there are no weights"),
        ({"model": "mpl", "train": {}}, "teacher.model: 'mpl' is no network of states"),
        ({"model": "mlp", "widht": 3, "train": {}}, r"teacher\.widht: mlp has no such knob\. Did you mean 'width'"),
        ({"model": "mlp", "train": {}, "gives": "values"}, "a network that is trained here gives logits"),
        ({"model": "mine:Mine", "tau": 0.2}, r"teacher\.tau: is of values, and the teacher gives logits"),
        ({"stable_baselines3": "dqn.zip", "known": "dqn.npz"}, r"teacher\.activation: is missing"),
        (policy("dqn", "gelu"), "teacher.activation: 'gelu' is not one of relu, tanh, elu, leaky_relu"),
    ],
)
def test_what_is_wrong_about_a_teacher_is_said(teacher: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        recipe(teacher)


def test_a_large_network_learns_from_the_planner_and_teaches_the_student(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = {"model": "mlp", "width": 512, "second": 512, "tau": 0.3, "train": {"epochs": 4, "batch_size": 32}}
    Path("between.yaml").write_text(yaml.safe_dump({**drives.VALUES, "name": "between", "teacher": teacher}))
    app(["run", "between.yaml"], standalone_mode=False)
    assert "no better on validation" not in capsys.readouterr().err  # which how it drives tells alone
    results = json.loads(Path("runs/between/results.json").read_text())
    assert results["teacher"]["parameters"] == 26 * 512 + 513 * 512 + 513 * 5 >= 200_000
    assert {"collisions", "reward"} <= set(results["measured"]["teacher"])
    assert Path("runs/between/teacher.onnx").exists()
    read: Any = recipe_file.read(Path("between.yaml"))
    modality, splits = modality_of(read), collect(read)
    teachers = modality.teachers_of(read, splits, trust_code=False)
    task: Any = modality.task_of(read, splits, teachers, torch.device("cpu"))
    first = torch.arange(6)
    learns = task.seen_through(teachers.sees).batch(task.train, first, first * 0, read.views)
    torch.testing.assert_close(learns.labels, torch.softmax(splits.train.values_NA[:6] / 0.3, 1))
    student = task.batch(task.train, first, first * 0, read.views)
    assert torch.equal(student.labels, splits.train.labels[:6])  # the planner's best actions
    assert student.teacher_inputs is None
    # what the network says of each state is kept, under the state's id
    (weights,) = Path("runs/between/stages/teacher").glob("*/model.safetensors")
    load_weights(teachers.model, weights, "teacher")
    (stage,) = Path("runs/between/stages/targets").glob("*/store")
    kept = gathered(Store.open(stage), splits.train.ids, 0)
    logits_NA = teachers.model.eval()(splits.train.states_NF).detach()
    torch.testing.assert_close(kept.logits.float().softmax(1), logits_NA.softmax(1), atol=1e-3, rtol=0)
    history = json.loads((weights.parent / "history.json").read_text())
    assert len(history) == 4
