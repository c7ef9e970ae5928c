"""The students of the front, each trained anew in full and tested as a run of its own; beside it what searching without a teacher gave.

A finalist's run has the seeds of the recipe, none of which the search has seen. Its teacher and soft targets are those of the
search, linked into its folder. The control of a finalist is the best trial without a teacher that costs no more, trained anew
with the same seeds; all controls are tested together. The test split is read in these runs and for these controls, and nowhere else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from .. import progress
from ..errors import BadInput, Interrupted, LimbeckError
from ..evaluation.kinds import KINDS
from ..evaluation.results import RunEvidence, comparison_sections
from ..files import atomic_folder
from ..pipeline.evaluate import TestSplit, evaluate, kept_of
from ..pipeline.job import Job
from ..pipeline.run import distil, run
from ..pipeline.stages import Stage, finished_in
from ..pipeline.students import arms_in
from ..pipeline.teacher import teacher_stages
from ..recipe.read import from_dict
from ..sections.recipe import LONGEST_NAME, Recipe
from .bench import Bench, Candidate
from .crew import train_all
from .engine import Searched
from .front import axes, eligible
from .trials import Trial

FRONT = "front"


@dataclass(frozen=True)
class Finalist:
    """A student of the front.

    Attributes:
        trial: of the search.
        folder: of its run.
        recipe: of its run.
        results: of its run (``results.json``); None where it came to nothing.
        problem: why, as a sentence.
    """

    trial: Trial
    folder: Path
    recipe: Recipe
    results: dict[str, Any] | None
    problem: str | None = None


@dataclass(frozen=True)
class Control:
    """A trial without a teacher, trained anew with each seed."""

    trial: Trial
    runs: tuple[RunEvidence, ...]


def recipe_of(searched: Recipe, trial: Trial) -> Recipe:
    """The recipe of a trial's run: its own, with the name and the seeds of the recipe that was searched."""
    ending = f"-trial-{trial.number}"
    name = f"{(searched.name or 'run')[: LONGEST_NAME - len(ending)]}{ending}"
    return from_dict({**trial.recipe, "name": name, "seeds": searched.seeds}, f"trial {trial.number}")


def control_for(trial: Trial, controls: Sequence[Trial], budget: Mapping[str, float], better: int) -> Trial | None:
    """The best of the trials without a teacher that cost no more than this one, of equals the first; None where there is none."""
    names = axes(budget)
    cheap = [one for one in eligible(controls, budget) if all(one.cost[name] <= trial.cost[name] for name in names)]
    return max(cheap, key=lambda one: (better * (one.quality or 0.0), -one.number), default=None)


def train_finalists(
    searched: Searched,
    trials: Sequence[Trial],
    *,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> list[Finalist]:
    """Each of the trials as a run in ``front/trial-<number>``; runs that are finished are found so.

    What :func:`train_ahead` made for it is taken over.

    A run that fails is told with its sentence, and the others go on. Raises :class:`limbeck.errors.Interrupted` where it is stopped.
    """
    found = []
    for number, trial in enumerate(trials, 1):
        progress.note(f"finalist {number} of {len(trials)}: trial {trial.number}, trained anew in full.")
        recipe = recipe_of(searched.recipe, trial)
        folder = _folder(searched, trial)
        results = problem = None
        try:
            link(_stages(searched.bench, trial), searched.out, folder)
            if (given := searched.bench.given) is not None:
                results = distil(searched.bench.job_of_given(given, recipe, folder))
            else:
                link([searched.bench.stage_of(one) for one in _members(searched, trial)], searched.out, folder)
                results = run(recipe, out=folder, trust_code=trust_code, device=device, threads=threads)
        except LimbeckError as error:
            # what is wrong with the machine is no fault of the student
            if isinstance(error, Interrupted) or isinstance(error.__cause__, OSError):
                raise
            problem = str(error)
            progress.note(f"trial {trial.number} is no finalist: {problem}")
        found.append(Finalist(trial, folder, recipe, results, problem))
    return found


def train_ahead(searched: Searched, trials: Sequence[Trial], controls: Sequence[Trial]) -> None:
    """Trains the students of the finalists, and their controls, side by side in the search's own folder.

    Where one process does all of it, each is trained when it is its turn. What comes to nothing is said then too.
    """
    if searched.crew.places == 1:
        return
    wanted = []
    for trial in trials:
        there = _folder(searched, trial)
        try:
            members = _members(searched, trial)
            made = [searched.bench.stage_of(one) for one in members]
        except BadInput:  # said when it is its turn
            continue
        runs = [there / stage.folder.relative_to(searched.out) for stage in made]
        wanted += [
            one
            for one, stage, run in zip(members, made, runs, strict=True)
            if not stage.finished and not (run / "done.json").exists()
        ]
    anew = [one for trial in controls for one in _controls(searched, trial)]
    wanted += [one for one in anew if not searched.bench.stage_of(one).finished]
    if not wanted:
        return
    with progress.bar(len(wanted), f"finalists and controls, {searched.crew.places} at a time") as advance:
        train_all(searched.crew, wanted, advance)
    searched.crew.close()  # what follows is timed


def _folder(searched: Searched, trial: Trial) -> Path:
    return searched.out / FRONT / f"trial-{trial.number}"


def _members(searched: Searched, trial: Trial) -> list[Candidate]:
    """All that a finalist's run trains."""
    recipe = recipe_of(searched.recipe, trial)
    return [
        Candidate(recipe, arm, f"trial {trial.number}, {arm}", seed)
        for seed in _seeds(searched)
        for arm in arms_in(recipe)
    ]


def _controls(searched: Searched, trial: Trial) -> list[Candidate]:
    title = f"trial {trial.number} without a teacher"
    recipe = from_dict(trial.recipe, title)
    arm = "smoothed" if recipe.smoothed else "baseline"
    return [Candidate(recipe, arm, title, seed) for seed in _seeds(searched)]


def _seeds(searched: Searched) -> list[int]:
    return [searched.recipe.seed + k for k in range(searched.recipe.seeds)]


def _stages(bench: Bench, trial: Trial) -> list[Stage]:
    """What the search made for a trial beside the student itself."""
    job = bench.job_of(from_dict(trial.recipe, f"trial {trial.number}"))
    return [*teacher_stages(job), *bench.between(job)]


def link(made: Sequence[Stage], source: Path, target: Path) -> None:
    """Puts finished stages of one run's folder into another's: as links to the same files, or as copies where there can be none.

    A stage's files are replaced, never changed, so that neither folder can spoil the other.
    """
    for stage in made:
        there = target / stage.folder.relative_to(source)
        if not stage.finished or there.exists():
            continue
        with atomic_folder(there) as temporary:
            shutil.copytree(stage.folder, temporary, copy_function=_linked, dirs_exist_ok=True, ignore=_passing)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _passing(folder: str, names: list[str]) -> set[str]:
    """Locks and what is half-written."""
    return {name for name in names if name.startswith(".")}


def train_controls(searched: Searched, trials: Sequence[Trial]) -> dict[int, Control]:
    """Trials without a teacher, trained anew in full in the search's own folder and tested together; by their number."""
    if not trials:
        return {}
    bench = searched.bench
    models = {f"control-{trial.number}": [bench.trained(one) for one in _controls(searched, trial)] for trial in trials}
    job = bench.job
    _, answers = evaluate(job, TestSplit(job), searched.teacher, models)
    return {
        trial.number: Control(
            trial,
            tuple(_evidence(job, answers, f"control-{trial.number}-{one.seed}", one.seed, one.seconds) for one in ones),
        )
        for trial, ones in zip(trials, models.values(), strict=True)
    }


def compared(searched: Searched, finalist: Finalist, control: Control) -> dict[str, Any] | None:
    """The finalist minus its control on test, by figure, with intervals; None where the run's answers are not there."""
    assert finalist.results is not None
    job = searched.bench.job
    seeds = [run.seed for run in control.runs]
    answers = _answers_of(finalist.folder, seeds)
    if answers is None:
        return None
    students = [_evidence(job, answers, f"student-{seed}", seed) for seed in seeds]
    taught = _evidence(job, answers, "teacher", searched.recipe.seed)
    by = KINDS[job.splits.answers.kind]
    return comparison_sections(by, students, {"searched": control.runs}, taught)["searched"]


def _answers_of(folder: Path, seeds: Sequence[int]) -> dict[str, torch.Tensor] | None:
    """What the students of these seeds answered in a finished run, the latest where it was made anew."""
    found = [made / "answers.safetensors" for made, done in finished_in(folder) if done["stage"] == "evaluate"]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        answers = load_file(path)
        there = {name.split("/")[1] for name in answers if name.startswith("test/student-")}
        if there == {f"student-{seed}" for seed in seeds}:
            return answers
    return None


def _evidence(job: Job, answers: Mapping[str, torch.Tensor], name: str, seed: int, seconds: float = 0.0) -> RunEvidence:
    by = KINDS[job.splits.answers.kind]
    test, validation = (kept_of(by, answers, split, name) for split in ("test", "validation"))
    return RunEvidence(seed, test, validation, seconds)
