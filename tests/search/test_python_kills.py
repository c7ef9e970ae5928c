"""A search from Python, killed while a student is trained: the same call goes on with it, and trains nothing twice."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import searches
from tests.helpers.launcher import ROOT, SETTINGS
from tests.helpers.tiny import snapshot

SCRIPT = """\
import sys
from tests.helpers.brief import measure_briefly
import torch
from sklearn.datasets import load_digits
from torch import nn
import limbeck

def small(width):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

measure_briefly()
torch.set_num_threads(1)
torch.manual_seed(0)
given = load_digits()
limbeck.search(
    teacher=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
    student=small,
    space={"width": [4, 6, 8, 12], "train.learning_rate": [0.01, 0.05]},
    train=(torch.from_numpy(given.images[:300]).float()[:, None] / 16, torch.from_numpy(given.target[:300])),
    train_plan=limbeck.Train(epochs=4, batch_size=5),
    budget={"parameters": 900},
    trials=2,
    finalists=1,
    out=sys.argv[1],
)
"""


def searched(folder: Path, out: str, log: str) -> subprocess.Popen[bytes]:
    with open(folder / log, "wb") as said:
        return subprocess.Popen(
            [sys.executable, "mine.py", out],
            cwd=folder,
            env={**SETTINGS, "PYTHONPATH": str(ROOT)},
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def results(out: Path) -> dict[str, Any]:
    found = json.loads((out / "search.json").read_text())
    trials = {arm: [{**one, "seconds": None} for one in each] for arm, each in found["trials"].items()}
    finalists = [one["student"]["metrics"] for one in found["finalists"]]
    return {"trials": trials, "chosen": found["chosen"], "front": found["front"], "finalists": finalists}


@pytest.mark.slow
def test_the_same_call_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT)
    out = tmp_path / "killed"
    process = searched(tmp_path, "killed", "first.txt")
    deadline = time.monotonic() + 300

    def second() -> bool:
        """Whether the second student is trained: there is a checkpoint of it, and the first needs none any more."""
        return len([*out.glob("stages/student/*")]) >= 2 and any(out.glob("stages/student/*/checkpoint.pt"))

    while not second():
        assert process.poll() is None, (tmp_path / "first.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "search.json").exists()
    done = snapshot(out, "done.json")
    assert searched(tmp_path, "killed", "again.txt").wait() == 0, (tmp_path / "again.txt").read_text()
    monkeypatch.setattr(sys, "argv", ["mine.py", str(tmp_path / "whole")])
    runpy.run_path(str(tmp_path / "mine.py"), run_name="__main__")
    after = snapshot(out)
    assert {name: after[name] for name in done} == done
    assert results(out) == results(tmp_path / "whole")
    assert searches.weights(out) == searches.weights(tmp_path / "whole")
