"""`limbeck search --plan` as a person meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.cli.main import app
from tests.cli.test_commands import GOOD, HEAVY
from tests.helpers.tiny import environment


def planned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> str:
    (folder / "good.yaml").write_text(GOOD)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        app(["search", "good.yaml", "--plan", *more])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_a_plan_says_the_space_the_budget_and_how_many_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--budget", "size_kb=60", "--budget", "latency_ms=0.05", "--trials", "9", "--time", "2h"]
    only = {"student.model": "convnet", "student.downscale": None, "student.width": [4, 8], "objective": "kd"}
    text = planned(
        monkeypatch, capsys, tmp_path, *more, "--set", f"search.space={json.dumps(only)}", "--set", "train.epochs=9"
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "student.width 4, 8" in lines
    assert "objective.kd.temperature 1 to 20, log" in lines
    assert "The space has any number of candidates, 48 architectures." in lines
    assert (
        "9 students with a teacher and 9 without one, of 5 to 9 epochs each; the weak stop after epoch 1 and 3 of 9."
        in lines
    )
    assert "The budget is 60 KB and 0.05 ms." in lines
    assert lines[-1].endswith("none is begun after 2h. Nothing was run.")
    assert [path.name for path in tmp_path.iterdir()] == ["good.yaml"]
    assert "a forecast takes" not in text
    assert "a forecast takes at least 15 trials, and 9 are asked for" in planned(
        monkeypatch, capsys, tmp_path, "--keep", "0.98", "--trials", "9"
    )


def test_what_depends_on_a_choice_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [" ".join(line.split()) for line in planned(monkeypatch, capsys, tmp_path).splitlines()]
    assert "student.expand 1 to 6, whole student.model is mobile" in lines
    assert any(line.startswith("objective.dkd.alpha") and line.endswith("objective is dkd") for line in lines)


def test_a_plan_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    code = (
        "import sys, limbeck.cli.main as cli\n"
        "try: cli.main()\n"
        f"finally: print([one for one in {HEAVY} if one in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "search", "good.yaml", "--plan"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stderr.strip() == "[]"
