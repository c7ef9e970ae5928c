"""Why the student of a finished run stays behind its teacher, and what to run next"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..evaluation import diagnosis
from ..evaluation.diagnosis import Evidence, Finding
from ..files import near
from ..objectives.catalogue import CATALOGUE
from ..recipe import read
from ..sections.recipe import Recipe
from . import stages
from .evaluate import best_on_validation
from .job import Job, open_job
from .objective import temperature_of
from .students import Arm, member_stage, the_arms, train_member
from .targets import targets_stage, the_targets
from .teacher import teacher_stages, the_teacher
from .training_stage import Trained

MOST_EXAMPLES = 2_000
"""So many of the examples that the student learnt from are looked at."""


def diagnose(run: Path, *, trust_code: bool = False, device: str = "auto") -> tuple[Finding, str | None]:
    """What keeps the best student of a finished run behind, and the next command; None where nothing is to be done.

    Nothing is trained or written, and the test split is not read.

    Raises :class:`limbeck.errors.BadInput` where the folder is no run, the run is not finished, its student learns nothing from a
    teacher, or its answers are not one of several classes.
    """
    if not (run / "recipe.yaml").is_file():
        raise BadInput(f"{run}: it is not the folder of a run.{near(run)}")
    recipe = read.read(run / "recipe.yaml")
    job = open_job(recipe, out=run, trust_code=trust_code, device=device, quiet=True)
    kind = job.splits.answers.kind
    if kind != "classes":
        raise BadInput(
            f"{run}: only runs whose answers are one of several classes are diagnosed so far, and these are {kind}."
        )
    if not job.asks_teacher:
        raise BadInput(
            f"{run}: its student learns nothing from a teacher, so that there is no distillation to diagnose."
        )
    with stages.claimed(run):
        finding = diagnosis.found(_evidence(job))
    return finding, _command(run, recipe, finding)


def _evidence(job: Job) -> Evidence:
    _require(job, *teacher_stages(job))
    teacher = the_teacher(job)
    if not job.live and job.recipe.targets.store is None:
        _require(job, targets_stage(job, teacher))
    arms = the_arms(job, teacher, the_targets(job, teacher))
    students, baselines = (_trained(job, arms[name]) for name in ("student", "baseline"))
    chosen = best_on_validation(job, students)
    student, baseline = students[chosen], baselines[chosen]
    learnt, validation = job.task.pool, job.splits.validation
    if len(learnt) > MOST_EXAMPLES:
        learnt = learnt.take(torch.linspace(0, len(learnt) - 1, MOST_EXAMPLES).long())
    teachers_NC = _answers(job, teacher, learnt, as_teacher=True)
    students_NC = _answers(job, student, learnt)
    labels_N = validation.labels.cpu()
    by_teacher, by_student, by_baseline = (
        _answers(job, one, validation, as_teacher=one is teacher).argmax(dim=1) for one in (teacher, student, baseline)
    )
    temperature = temperature_of(job.objective())
    softer = (
        [] if temperature is None else [temperature, *(one for one in (1.0, 2.0, 4.0, 8.0, 16.0) if one > temperature)]
    )
    return Evidence(
        teacher=(by_teacher == labels_N).tolist(),
        student=(by_student == labels_N).tolist(),
        baseline=(by_baseline == labels_N).tolist(),
        agreement_learnt=_share(teachers_NC.argmax(dim=1) == students_NC.argmax(dim=1)),
        agreement=_share(by_teacher == by_student),
        losses=[record["train_loss"] for record in student.history],
        entropy={one: entropy(teachers_NC, one) for one in softer},
        temperature=temperature,
    )


def entropy(logits_NC: Tensor, temperature: float) -> float:
    """The mean entropy of softened answers, as a share of the largest there is, log C."""
    softened = torch.distributions.Categorical(logits=logits_NC.double() / temperature)
    return float(softened.entropy().mean() / torch.tensor(logits_NC.shape[1]).log())


def _trained(job: Job, arm: Arm) -> list[Trained]:
    _require(job, *(member_stage(job, arm, seed) for seed in job.seeds))
    return [train_member(job, arm, seed) for seed in job.seeds]


def _require(job: Job, *wanted: stages.Stage) -> None:
    if not all(one.finished for one in wanted):
        raise BadInput(
            f"{job.out}: its {wanted[0].name} is not finished, or belongs to another recipe: "
            f"limbeck run {shlex.quote(str(job.out / 'recipe.yaml'))} --out {shlex.quote(str(job.out))} goes on from there."
        )


def _answers(job: Job, one: Trained, examples: Any, *, as_teacher: bool = False) -> Tensor:
    """(N, C) float32, on the CPU, in the order of the examples."""
    device = job.accelerator.device
    parts = list(job.task.answers_to(one.model.to(device), examples.to(device), as_teacher=as_teacher))
    index_N, answers_NC = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return answers_NC[index_N.argsort()]


def _share(which_N: Tensor) -> float:
    return float(which_N.double().mean())


def _command(run: Path, recipe: Recipe, finding: Finding) -> str | None:
    """What to run next, with what is finished kept."""
    if finding.kind == diagnosis.KEPT:
        return None
    if finding.kind == diagnosis.SMALL and "width" not in recipe.student.knobs:
        return f"limbeck search {shlex.quote(str(run / 'recipe.yaml'))}"
    changes = _changes(recipe, finding)
    if not changes:
        return None
    said = " ".join(f"--set {shlex.quote(one)}" for one in changes)
    return f"limbeck run {shlex.quote(str(run / 'recipe.yaml'))} --out {shlex.quote(str(run))} {said}"


def _changes(recipe: Recipe, finding: Finding) -> Sequence[str]:
    if finding.kind == diagnosis.SMALL:
        return [f"student.width={2 * recipe.student.knobs['width']}"]
    if finding.kind == diagnosis.STEPS:
        return [f"train.epochs={4 * recipe.train.epochs}"]
    if finding.kind == diagnosis.COLD and finding.softer is not None:
        terms = [
            name
            for name in recipe.objective.terms
            if any(one.name == "temperature" for one in CATALOGUE[name].settings)
        ]
        return [f"objective.{name}.temperature={finding.softer:g}" for name in terms]
    if finding.kind == diagnosis.DATA:
        varied = recipe.views != type(recipe.views)()
        return [f"targets.views={4 * recipe.targets.views}"] if varied else ["views.shift=0.1", "targets.views=8"]
    if finding.kind != diagnosis.WEAK:
        return []
    trained = getattr(recipe.teacher, "train", None)
    return [] if trained is None else [f"teacher.train.epochs={4 * trained.epochs}"]
