"""Why the student of a finished run stays behind its teacher, and what to do next"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..evaluation import diagnosis
from ..evaluation.diagnosis import Evidence
from ..evaluation.figure import plain
from ..evaluation.kinds import KINDS
from ..evaluation.results import json_values
from ..recipe import read
from . import stages
from .evaluate import best_on_validation
from .job import Job, open_job
from .next_step import Step, next_step
from .objective import temperature_of
from .softness import beside, entropy, teachers_share
from .stages import no_run
from .students import Arm, member_stage, the_arms, train_member
from .targets import learnt_from, targets_stage, the_targets
from .teacher import teacher_stages, the_teacher
from .training_stage import Trained

MOST_EXAMPLES = 2_000
"""So many of the examples that the student learnt from are looked at."""
ROLES = ("teacher", "student", "baseline")

Section = dict[str, Any]
"""The section ``diagnosis`` of ``results.json`` (docs/results-schema.md)."""


def diagnose(run: Path, *, trust_code: bool = False, device: str = "auto") -> tuple[str, str | None]:
    """What keeps the best student of a finished run behind, in a sentence, and what to do next; None where nothing is to be done.

    It is what the run's results say; where there are none yet, or of another version, it is found out. Nothing is trained or
    written, and the test split is not read.

    Raises :class:`limbeck.errors.BadInput` where the folder is no run, the run is not finished, its student learns nothing from
    the teacher, or its answers are neither one of several classes nor numbers.
    """
    if not (run / "recipe.yaml").is_file():
        raise BadInput(no_run(run))
    section = _reported(run)
    if section is None:
        section = look_into(run, trust_code=trust_code, device=device)
    if section["finding"] is None:
        raise BadInput(f"{run}: {section['why_none']}")
    step = section["next"]
    told = None if step is None else Step(step["how"], tuple(step["set"]), step["text"]).said(run)
    return section["text"], told


def look_into(run: Path, *, trust_code: bool = False, device: str = "auto") -> Section:
    """The same section of a run whose students are trained, found out from its stages; raises as :func:`diagnose` does."""
    if (read.values_in(run / "recipe.yaml").get("data") or {}).get("name") == "python":
        raise BadInput(
            f"{run}: it was made by limbeck.distill, and its results do not say yet why its student stays behind: make the same "
            "call again, which goes on from what is finished."
        )
    job = open_job(read.read(run / "recipe.yaml"), out=run, trust_code=trust_code, device=device, quiet=True)
    if (why := _why_none(job, from_teacher=True)) is not None:
        return {"finding": None, "why_none": why}
    with stages.claimed(run):
        _require(job, *teacher_stages(job))
        teacher = the_teacher(job)
        if not job.live and job.recipe.targets.store is None:
            _require(job, targets_stage(job, teacher))
        store = the_targets(job, teacher)
        arms = the_arms(job, teacher, store)
        students, baselines = (_trained(job, arms[name]) for name in ("student", "baseline"))
        chosen = best_on_validation(job, students)
        models = {"teacher": teacher, "student": students[chosen], "baseline": baselines[chosen]}
        examples = job.splits.validation
        answers = {role: _answers(job, one, examples, as_teacher=one is teacher) for role, one in models.items()}
        answers["labels"] = examples.labels.cpu()
        return section_of(
            job, answers, teacher, models["student"], from_teacher=learnt_from(job, store, teacher.identity)
        )


def section_of(
    job: Job, validation: Mapping[str, Tensor], teacher: Trained, student: Trained, *, from_teacher: bool
) -> Section:
    """What a run's results say of why its student stays behind.

    Args:
        validation: ``labels`` (N,) or (N, D) and, by each of ``ROLES``, the answers (N, C) or (N, D) to the validation split.
        student: the one that is exported.
        from_teacher: whether it is known to have learnt from this teacher.
    """
    if (why := _why_none(job, from_teacher)) is not None:
        return {"finding": None, "why_none": why}
    evidence, learnt = _evidence(job, validation, teacher, student)
    finding = diagnosis.found(evidence)
    step = next_step(job.recipe, finding, evidence.kind, len(student.history), in_python=job.in_python)
    said = None if step is None else {"how": step.how, "set": list(step.settings), "text": step.said(job.out)}
    at = evidence.temperature
    figures = {
        **{role: _mean(getattr(evidence, role)) for role in ROLES},
        "apart_learnt": evidence.apart_learnt,
        "apart": evidence.apart,
        "steps": evidence.steps,
        "fall": diagnosis.fall(evidence.losses),
        "temperature": at,
        "entropy": None if at is None else evidence.entropy[at],
        "teachers_share": None if at is None else evidence.teachers_share.get(at),
    }
    return json_values(
        {
            "finding": finding.kind,
            "text": finding.text,
            "next": said,
            "figures": figures,
            "learnt": learnt,
            "validation": len(evidence.teacher),
        }
    )


def _why_none(job: Job, from_teacher: bool) -> str | None:
    kind = job.splits.answers.kind
    if kind not in ("classes", "values"):
        return (
            "only runs whose answers are one of several classes, or numbers, are diagnosed so far, and these are "
            f"{kind.replace('_', ' ')}."
        )
    if not job.asks_teacher:
        return "its student learns nothing from a teacher, so that there is no distillation to diagnose."
    if job.recipe.assistant is not None:
        return (
            "its student learnt from an assistant, and only students that learn from the teacher itself are diagnosed so far: "
            "run it with --set assistant=null."
        )
    if not from_teacher:
        return "nothing says that the answers in targets.store are this teacher's, so that the two are not set side by side."
    return None


def _evidence(job: Job, validation: Mapping[str, Tensor], teacher: Trained, student: Trained) -> tuple[Evidence, int]:
    """What is known of a run, and of how many of the examples that the student learnt from."""
    numbers = job.splits.answers.kind == "values"
    learnt = job.task.pool
    if len(learnt) > MOST_EXAMPLES:
        learnt = learnt.take(torch.linspace(0, len(learnt) - 1, MOST_EXAMPLES).long())
    teachers_NC = _answers(job, teacher, learnt, as_teacher=True)
    students_NC = _answers(job, student, learnt)
    apart = _rmse if numbers else _disagreement
    temperature = None if numbers else temperature_of(job.objective())
    near_it = [] if temperature is None else beside(temperature)
    labels_N = None if learnt.labels is None else learnt.labels.cpu()
    shares = {one: teachers_share(job.objective(), teachers_NC, labels_N, one) for one in near_it}
    evidence = Evidence(
        kind="values" if numbers else "classes",
        **{role: _off(validation[role], validation["labels"], numbers) for role in ROLES},
        apart_learnt=apart(students_NC, teachers_NC),
        apart=apart(validation["student"], validation["teacher"]),
        losses=[record["train_loss"] for record in student.history],
        steps=len(student.history) * math.ceil(len(job.task.pool) / job.recipe.train.batch_size),
        entropy={one: entropy(teachers_NC, one) for one in near_it},
        teachers_share={one: share for one, share in shares.items() if share is not None},
        temperature=temperature,
        unit=_unit(job) if numbers else "",
    )
    return evidence, len(learnt)


def _reported(run: Path) -> Section | None:
    """What the results of a run say, where they are of the recipe that is in its folder, and of a version that says it."""
    try:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        said, told = read.values_in(run / "recipe.yaml"), dict(results["recipe"])
        for name in ("student", "assistant"):  # of which the file says no more than was said
            if told.get(name) and said.get(name):
                told[name] = {field: value for field, value in told[name].items() if field in said[name]}
        same = {**said, "search": None} == {**told, "search": None}
        return results.get("diagnosis") if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _trained(job: Job, arm: Arm) -> list[Trained]:
    _require(job, *(member_stage(job, arm, seed) for seed in job.seeds))
    return [train_member(job, arm, seed) for seed in job.seeds]


def _require(job: Job, *wanted: stages.Stage) -> None:
    if not all(one.finished for one in wanted):
        raise BadInput(stages.not_finished(job.out, wanted[0].name))


def _answers(job: Job, one: Trained, examples: Any, *, as_teacher: bool = False) -> Tensor:
    """(N, C) logits or (N, D) numbers, float32, on the CPU, in the order of the examples."""
    device = job.accelerator.device
    parts = list(job.task.answers_to(one.model.to(device), examples.to(device), as_teacher=as_teacher))
    index_N, answers_NC = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return answers_NC[index_N.argsort()]


def _off(answers_NC: Tensor, labels: Tensor, numbers: bool) -> list[float]:
    """(N,) by how much each answer is off, as :class:`limbeck.evaluation.diagnosis.Evidence` has it."""
    if numbers:
        return (answers_NC.double() - labels.double()).square().mean(dim=1).tolist()
    return (answers_NC.argmax(dim=1) != labels).double().tolist()


def _disagreement(one_NC: Tensor, other_NC: Tensor) -> float:
    return float((one_NC.argmax(dim=1) != other_NC.argmax(dim=1)).double().mean())


def _rmse(one_ND: Tensor, other_ND: Tensor) -> float:
    return float((one_ND.double() - other_ND.double()).square().mean().sqrt())


def _mean(off_N: Any) -> float:
    return sum(off_N) / len(off_N)


def _unit(job: Job) -> str:
    """What the numbers are in, where all are in one unit."""
    units = job.modality.data_facts(job.splits, job.task).get("unit") or ()
    return plain(KINDS["values"].FIGURES[:1], units)[0]["unit"]
