"""The smallest whole job: 150 handwritten digits, networks of four channels, an epoch or two."""

import hashlib
import os
import signal
from pathlib import Path

import yaml

from limbeck.pipeline import stages
from limbeck.pipeline.job import Job, open_job, use_threads
from limbeck.pipeline.students import members, the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.pipeline.training_stage import Trained
from limbeck.recipe import read as recipe_file
from limbeck.sections.recipe import Recipe
from limbeck.targets.store.store import Store
from limbeck.training import loop

RECIPE = """\
name: tiny
data: {name: digits, limit: 150}
views: {shift: 0.1}
teacher: {model: convnet, width: 4, train: {epochs: 1, batch_size: 50}}
targets: {views: 2}
student: {model: convnet, width: 4}
train: {epochs: 2, batch_size: 50, warmup_epochs: 0.5}
"""


def recipe(*overrides: str) -> Recipe:
    """The tiny recipe, with ``section.field=value`` overrides."""
    values = recipe_file.apply_overrides(yaml.safe_load(RECIPE), overrides)
    return recipe_file.from_dict(values)


def job(out: Path, *overrides: str, force: tuple[str, ...] = ()) -> Job:
    """The tiny job in a run folder, on one thread."""
    use_threads(1)
    wanted = recipe(*overrides)
    return open_job(wanted, quiet=True, out=out, force=force)


def train(one: Job) -> tuple[Trained, Store | None, dict[str, Trained]]:
    """Everything of a job up to the last student: the part that never opens the test split."""
    with stages.claimed(one.out):
        teacher = the_teacher(one)
        store = the_targets(one, teacher)
        arms = the_arms(one, teacher, store)
        return teacher, store, {name: train_member(one, arms[name], seed) for name, seed in members(one)}


def train_and_die(out: Path, overrides: tuple[str, ...], stage: str) -> None:
    """As :func:`train`, until the process is killed right after the second checkpoint in a stage of that name."""
    dies_in(stage)
    train(job(out, *overrides))


def dies_in(stage: str) -> None:
    """From here on this process is killed right after the second checkpoint in a stage of that name."""
    replace, saved = os.replace, []

    def dying(source: str, target: str) -> None:
        replace(source, target)
        saved.extend([target] if Path(target).match(f"stages/{stage}/*/checkpoint.pt") else [])
        if len(saved) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = dying  # type: ignore[assignment]
    loop.SAVE_EVERY = 0.0


def folder_of(out: Path, stage: str) -> Path:
    """The one folder of a stage that is there once."""
    (folder,) = (out / "stages" / stage).iterdir()
    return folder


def snapshot(folder: Path, pattern: str = "*") -> dict[str, tuple[int, str]]:
    """Every file below a folder: when it was written, and a digest of its bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, digest(path))
        for path in sorted(folder.rglob(pattern))
        if path.is_file() and path.name not in (".lock", "known.json")  # what a plan goes by is no work
    }


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def environment() -> dict[str, str]:
    """For processes of their own: one thread, no colours."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100"}
