"""What a run would do: which stages are finished, which are to be done, and about how long and how much disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import progress
from ..interfaces.modality import Member
from ..sections.recipe import Recipe
from ..targets.codecs import bytes_per_target
from ..targets.store.store import Store
from .evaluate import evaluate_stage
from .export import export_stage
from .job import Job, open_job
from .objective import deployed_with
from .report import report_stage
from .stages import CONCLUSION, Stage, check_free
from .students import about_student, examples_of, members, plan_of, the_arms, train_member
from .students import member_stage as stage_of
from .targets import about_targets, targets_stage, the_targets, why_live
from .teacher import about_teacher, teacher_stages, the_teacher
from .timing import answer_seconds, student_seconds, training_seconds, weights_bytes
from .training_stage import Trained

# Rough: two models translated and measured for a fixed time, a process each for memory; and a page drawn.
EXPORT_SECONDS, REPORT_SECONDS = 12.0, 2.0
COMPARED = 5000  # test examples that an exported model is held to, at most


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan; ``seconds`` and ``bytes`` are estimates, None where nothing is known."""

    name: str
    state: str  # "finished", "unfinished" or "to do"
    detail: str
    seconds: float | None = None
    bytes: int | None = None


def check(
    recipe: Recipe, out: Path, *, trust_code: bool = False, device: str = "auto", threads: int | None = None
) -> list[PlannedStage]:
    """Looks at the data and the run's folder, times a few steps of each model, and writes nothing.

    What a stage is made from is only known once the stages before it are finished, so behind an unfinished one all
    are "to do".
    """
    check_free(out)
    job = open_job(recipe, out=out, trust_code=trust_code, device=device, threads=threads)
    for note in (*job.notes, why_live(job), deployed_with(job.objective())):
        if note is not None:
            progress.note(note)
    planned = [planned_teacher(job)]
    known = planned[-1].state == "finished"
    teacher = the_teacher(job) if known else None
    store = None
    if job.asks_teacher and not job.live:
        planned.append(planned_targets(job, teacher))
        known = planned[-1].state == "finished"
        store = the_targets(job, teacher) if known and teacher is not None else None
    students = _the_students(job, teacher if known else None, store)
    planned += students
    known = known and all(one.state == "finished" for one in students)
    return planned + _the_conclusion(job, teacher if known else None, store)


def planned_teacher(job: Job) -> PlannedStage:
    """What is to be done for the teacher, or for all teachers of an ensemble."""
    trained = [one for one in job.teachers if one.section.train is not None]
    if not trained:
        return PlannedStage("teacher", "finished", about_teacher(job))
    stages = teacher_stages(job)
    left = [one for one, here in zip(trained, stages, strict=True) if not here.finished]
    state = "unfinished" if any(here.begun for here in stages) else "to do"
    seconds = sum(_teacher_seconds(job, one) for one in left) if left else None
    size = sum(weights_bytes(one.model) for one in trained)
    return PlannedStage("teacher", state if left else "finished", about_teacher(job), seconds, size)


def _teacher_seconds(job: Job, member: Member) -> float:
    plan, task = member.section.train, job.task.seen_through(member.sees)
    assert plan is not None
    return training_seconds(job, member.model, plan, task.train, task)


def planned_targets(job: Job, teacher: Trained | None) -> PlannedStage:
    """What is to be done for the soft targets; ``teacher`` where it is there already."""
    wanted, count = job.recipe.targets, len(job.task.pool)
    if wanted.store is not None:
        return PlannedStage("targets", "finished", about_targets(job))
    state = "to do" if teacher is None else _state(targets_stage(job, teacher))
    size = wanted.views * count * bytes_per_target(job.codecs.codecs[-1], job.splits.answers.width)
    seconds = None if state == "finished" else wanted.views * count * answer_seconds(job)
    return PlannedStage("targets", state, about_targets(job), seconds, size)


def _the_students(job: Job, teacher: Trained | None, store: Store | None) -> list[PlannedStage]:
    recipe, student = job.recipe, job.student(job.recipe.seed)
    arms = None if teacher is None else the_arms(job, teacher, store)
    planned = []
    for name in dict.fromkeys(name for name, _ in members(job)):
        stages = [] if arms is None else [stage_of(job, arms[name], seed) for seed in job.seeds]
        finished = sum(stage.finished for stage in stages)
        state = "finished" if stages and finished == len(stages) else "to do"
        if state == "to do" and (finished or any(stage.begun for stage in stages)):
            state = "unfinished"
        seconds = None
        if state != "finished":
            if name == "student" and job.asks_teacher and job.live:
                one = student_seconds(job)
            else:
                one = training_seconds(job, student, plan_of(job, name), examples_of(job, name), job.task)
            seconds = one * (recipe.seeds - finished)
        detail = f"{about_student(job, name)}, {recipe.seeds} seed(s), {finished} finished"
        planned.append(PlannedStage(name, state, detail, seconds, recipe.seeds * weights_bytes(student)))
    return planned


def _the_conclusion(job: Job, teacher: Trained | None, store: Store | None) -> list[PlannedStage]:
    names = CONCLUSION
    if teacher is None:
        about = _conclusion_seconds(job)
        return [PlannedStage(name, "to do", "", about[name]) for name in names]
    arms = the_arms(job, teacher, store)
    trained: dict[str, list[Trained]] = {}
    for name, seed in members(job):
        trained.setdefault(name, []).append(train_member(job, arms[name], seed))
    evaluation = evaluate_stage(job, teacher, trained)
    export = export_stage(job, teacher, trained)
    stages = (evaluation, export, report_stage(job, evaluation, export))
    about = _conclusion_seconds(job) if not all(stage.finished for stage in stages) else {}
    return [
        PlannedStage(name, _state(stage), "", None if stage.finished else about[name])
        for name, stage in zip(names, stages, strict=True)
    ]


def _state(stage: Stage) -> str:
    return "finished" if stage.finished else "unfinished" if stage.begun else "to do"


def _conclusion_seconds(job: Job) -> dict[str, float | None]:
    """About what evaluation, export and report take; None where nobody knows how many test examples there are."""
    test = job.splits.test.count
    if test is None:
        return {"evaluate": None, "export": None, "report": REPORT_SECONDS}
    teacher, student = answer_seconds(job), answer_seconds(job, job.student(job.recipe.seed))
    examples, compared = test + len(job.splits.validation), min(test, COMPARED)
    return {
        "evaluate": examples * (teacher + len(members(job)) * student),
        # each is asked twice, in PyTorch and in onnxruntime
        "export": EXPORT_SECONDS + 2 * compared * (teacher + student),
        "report": REPORT_SECONDS,
    }
