"""Killed at any moment, a search goes on: the same trials as undisturbed, by the real command, and nothing trained twice.

Between rungs, while a student is trained, written in few bits, measured or told of: the blows fall after so many bytes of the journals, and a moment.
"""

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from limbeck.searching.trials import UNTRAINED, Trial, trials_of
from tests.helpers import searches
from tests.helpers.launcher import Launcher
from tests.helpers.searches import untimed

JOURNALS = {"student": "journal.log", "baseline": "control.log"}
KILLS = 3
PLAIN = (
    "search.trials=4",
    "search.budget={parameters: 4000, latency_ms: 50}",
    "search.space.student.depth=1",
    "search.space.student.kernel=3",
)
OVERRIDES = (
    *PLAIN,
    "export.formats=[onnx, onnx-int4]",
    "export.quantization_aware={epochs: 2, when: 0}",
    "search.space.export.prefer=[onnx, onnx-int4]",
)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    folder = tmp_path_factory.mktemp("search")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(searches.values(*OVERRIDES)))
    (folder / "plain.yaml").write_text(yaml.safe_dump(searches.values(*PLAIN)))
    started = Launcher(
        folder, "torch.onnx, onnxscript, onnxruntime, optuna, sklearn.datasets, limbeck.searching.engine"
    )
    yield started
    started.end()


def study(out: Path, arm: str) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(out / "search" / JOURNALS[arm])))
    return optuna.load_study(study_name=arm, storage=storage)


def trials(out: Path) -> dict[str, list[Trial]]:
    return {arm: trials_of(study(out, arm), arm) for arm in JOURNALS}


def written(out: Path) -> int:
    """Bytes of both journals."""
    there = [out / "search" / name for name in JOURNALS.values()]
    return sum(path.stat().st_size for path in there if path.exists())


@pytest.mark.slow
def test_killed_at_several_moments_the_trials_are_those_of_an_undisturbed_search(launcher: Launcher) -> None:
    draw = random.Random(7)
    whole, out = launcher.folder / "whole", launcher.folder / "killed"
    began = time.monotonic()
    launcher.start("search", "tiny.yaml", "--threads", "1", "--out", str(whole))
    assert launcher.wait() == 0, launcher.log.read_text()
    took = time.monotonic() - began
    # what was measured is the one thing that a repetition does not give to the bit
    (out / "search").mkdir(parents=True)
    (out / "stages").mkdir()
    shutil.copyfile(whole / "search" / "costs.jsonl", out / "search" / "costs.jsonl")

    kills = at_work = 0
    for number in range(KILLS):
        launcher.start("search", "tiny.yaml", "--threads", "1", "--out", str(out))
        enough = written(whole) * (number + draw.random()) / KILLS
        deadline = time.monotonic() + 20 * took + 60
        while written(out) < enough:
            assert time.monotonic() < deadline, launcher.log.read_text()
            time.sleep(0.001)
        time.sleep(draw.random() * took / 40)
        launcher.strike(signal.SIGKILL)
        if launcher.wait() == 0:  # it had come to its end
            break
        kills += 1
        at_work += any(
            one.state == TrialState.RUNNING
            for arm in JOURNALS
            if (out / "search" / JOURNALS[arm]).exists()
            for one in _opened(out, arm)
        )
    assert kills >= KILLS - 1
    assert at_work >= 1  # not all between two trials
    launcher.start("search", "tiny.yaml", "--threads", "1", "--out", str(out))
    assert launcher.wait() == 0, launcher.log.read_text()
    assert "Traceback" not in launcher.log.read_text()

    ours, theirs = trials(out), trials(whole)
    assert {arm: untimed(found) for arm, found in ours.items()} == {
        arm: untimed(found) for arm, found in theirs.items()
    }
    assert len({trial.fate for found in theirs.values() for trial in found}) >= 2
    assert any(trial.further for found in theirs.values() for trial in found)
    assert (out / "search" / "costs.jsonl").read_bytes() == (whole / "search" / "costs.jsonl").read_bytes()
    assert searches.weights(out) == searches.weights(whole)
    assert list(out.rglob("*.part")) == []
    for arm in JOURNALS:  # none is left at work for ever
        assert all(one.state != TrialState.RUNNING for one in study(out, arm).trials)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for a process's children")
def test_processes_end_with_the_one_that_was_killed_and_the_search_goes_on(launcher: Launcher) -> None:
    out = launcher.folder / "beside"
    command = ("search", "plain.yaml", "--out", str(out))
    launcher.start(*command, "--threads", "2", "--jobs", "2")
    until(lambda: any(trials(out).values()) if written(out) > 10_000 else False)
    workers = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    assert len(workers) >= 2
    launcher.strike(signal.SIGKILL)
    assert launcher.wait() == -signal.SIGKILL
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    before = trials(out)
    launcher.start(*command, "--threads", "1")
    assert launcher.wait() == 0, launcher.log.read_text()
    for arm, found in trials(out).items():
        assert found[: len(before[arm])] == before[arm]
        assert sum(trial.fate not in UNTRAINED for trial in found) == 4


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _opened(out: Path, arm: str) -> list[optuna.trial.FrozenTrial]:
    """The trials of a journal as a kill left it, perhaps without its last line's end or its study."""
    copy = out.parent / f"{arm}.copy.log"
    data = (out / "search" / JOURNALS[arm]).read_bytes()
    copy.write_bytes(data[: data.rfind(b"\n") + 1])
    storage = JournalStorage(JournalFileBackend(str(copy)))
    if not optuna.get_all_study_names(storage):
        return []
    return optuna.load_study(study_name=arm, storage=storage).trials
