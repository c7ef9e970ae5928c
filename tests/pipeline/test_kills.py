"""Stopped at any moment, a run goes on: ten `kill -9`s across all stages, and the weights come out the same to the bit.

Each killed run is the real command in a process of its own. The processes are forked from one that has imported the
libraries, so that they do not spend their lives importing.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.launcher import SETTINGS, Launcher
from tests.helpers.tiny import digest, folder_of

RECIPE = """\
name: tiny
data: {name: digits, limit: 300}
views: {shift: 0.1}
teacher: {model: convnet, width: 4, train: {epochs: 6, batch_size: 16, ema: 0.9}}
targets: {views: 4}
student: {model: convnet, width: 4}
train: {epochs: 6, batch_size: 16, keep: best}
"""

# Which stage each kill strikes, in the order in which a run comes to them.
STRUCK = (
    "teacher", "teacher", "targets", "student", "student", "baseline", "smoothed", "evaluate", "export", "report",
)  # fmt: skip

PRODUCTS = {
    "teacher": ["model.safetensors"],
    "targets": ["store/seal.json"],
    "student": ["model.safetensors"],
    "baseline": ["model.safetensors"],
    "smoothed": ["model.safetensors"],
    "evaluate": ["answers.safetensors"],
    "export": ["student.onnx", "teacher.onnx"],
}


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    folder = tmp_path_factory.mktemp("resume")
    (folder / "tiny.yaml").write_text(RECIPE)
    started = Launcher(folder)
    yield started
    started.end()


@pytest.fixture(scope="module")
def uninterrupted(launcher: Launcher) -> Path:
    """The run that nothing disturbs."""
    out = launcher.folder / "uninterrupted"
    launcher.start("run", "tiny.yaml", "--threads", "1", "--out", str(out))
    assert launcher.wait() == 0, launcher.log.read_text()
    return out


def products(out: Path) -> dict[str, str]:
    return {
        f"{stage}/{file}": digest(folder_of(out, stage) / file) for stage, files in PRODUCTS.items() for file in files
    }


def seen(folder: Path) -> dict[str, int]:
    """Every file below a folder with its time, whatever else is at work in it."""
    found: dict[str, int] = {}
    for path in folder.rglob("*") if folder.exists() else ():
        try:
            found[str(path)] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def finished(out: Path, stage: str) -> bool:
    return any((out / "stages" / stage).glob("*/done.json"))


def duration(out: Path, stage: str) -> float:
    """Seconds that a stage took, by its first and last file."""
    folder = folder_of(out, stage)
    return (folder / "done.json").stat().st_mtime - (folder / "ingredients.json").stat().st_mtime


@pytest.mark.slow
def test_ten_kills_at_any_moment_leave_the_same_weights(launcher: Launcher, uninterrupted: Path) -> None:
    draw = random.Random(20)
    out = launcher.folder / "killed"
    kills = unfinished = in_the_middle = 0
    for stage in STRUCK:
        # where the last blow fell late, its stage is finished, and this one falls on the next
        open_stages = [name for name in dict.fromkeys(STRUCK) if not finished(out, name)]
        if not open_stages:
            break
        stage = stage if stage in open_stages else open_stages[0]
        inside = out / "stages" / stage
        before = seen(inside)
        launcher.start("run", "tiny.yaml", "--threads", "1", "--out", str(out))
        until(lambda inside=inside, before=before: seen(inside) != before, launcher)  # it is at work in this stage
        limit = time.monotonic() + draw.random() * 0.5 * duration(uninterrupted, stage)
        until(
            lambda stage=stage, limit=limit: time.monotonic() >= limit or finished(out, stage)
        )  # at most just behind it
        launcher.strike(signal.SIGKILL)
        assert launcher.wait() == -signal.SIGKILL, launcher.log.read_text()
        kills += 1
        unfinished += not finished(out, stage)
        in_the_middle += (folder_of(out, stage) / "checkpoint.pt").exists()
    # the blows landed where they were meant to, and not all of them between two stages
    assert kills >= 8
    assert unfinished >= 4
    assert in_the_middle >= 1
    launcher.start("run", "tiny.yaml", "--threads", "1", "--out", str(out))
    assert launcher.wait() == 0, launcher.log.read_text()
    assert products(out) == products(uninterrupted)
    assert "Traceback" not in launcher.log.read_text()
    # what killed writers left half-written does not stay
    assert list(out.rglob("*.part")) == []
    ours, theirs = (json.loads((run / "results.json").read_text()) for run in (out, uninterrupted))
    for role in ("teacher", "student", "baseline", "smoothed"):
        assert ours[role]["metrics"] == theirs[role]["metrics"]
    # every look at the test split is on record, those of the killed runs too
    assert len(ours["test_reads"]) >= len(theirs["test_reads"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_polite_stop_says_how_to_go_on_and_the_run_does(
    launcher: Launcher, uninterrupted: Path, number: signal.Signals
) -> None:
    out = launcher.folder / number.name
    arguments = ("run", "tiny.yaml", "--threads", "1", "--out", str(out))
    checkpoints = (out / "stages").glob
    launcher.start(*arguments)
    until(lambda: any(checkpoints("teacher/*/checkpoint.pt")), launcher)
    launcher.strike(number)
    assert launcher.wait() == 130, launcher.log.read_text()
    said = launcher.log.read_text()
    assert said.splitlines()[-1].startswith("limbeck: teacher: stopped at epoch ")
    assert "run the same command to go on" in said
    assert "Traceback" not in said
    assert not finished(out, "teacher")

    # and on it goes, up to the moment when the student is there
    launcher.start(*arguments)
    until(lambda: finished(out, "student"), launcher)
    launcher.strike(signal.SIGKILL)
    launcher.wait()
    for stage in ("teacher", "targets", "student"):
        for file in PRODUCTS[stage]:
            assert digest(folder_of(out, stage) / file) == digest(folder_of(uninterrupted, stage) / file)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_polite_stop_ends_the_process_itself_with_130_and_no_traceback(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "limbeck", "run", "tiny.yaml", "--threads", "1", "--out", str(out)],
        env=SETTINGS, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: (out / "stages" / "teacher").exists())
    process.send_signal(number)
    said, complained = process.communicate(timeout=120)
    assert (process.returncode, said) == (130, "")
    assert complained.splitlines()[-1].startswith("limbeck: ")
    assert "run the same command to go on" in complained
    assert "Traceback" not in complained


def until(it_holds: Callable[[], bool], launcher: Launcher | None = None) -> None:
    """Waits for two minutes at most."""
    limit = time.monotonic() + 120
    while not it_holds():
        assert time.monotonic() < limit, launcher.log.read_text() if launcher else ""
        time.sleep(0.002)
