"""What a run would do, with the data read and the models built; and how long it takes, measured on a few steps"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .. import progress
from ..sections.recipe import Recipe
from ..targets.codecs import bytes_per_target
from ..targets.store.store import Store
from .assistant import (
    Assistant,
    arms_of,
    assistant_stage,
    learns_from_teacher,
    tested_of,
    the_assistant,
    train_assistant,
)
from .evaluate import best_on_validation, evaluate_stage
from .export import export_stage
from .formats import format_stages
from .job import Job, open_job, taught_by
from .objective import deployed_with
from .plan import PlannedStage, not_needed, where_needed
from .quantization_aware import Further, about, further_of, further_stages
from .report import report_stage
from .stages import ASSISTANT, CONCLUSION, FORMATS, QUANTIZATION_AWARE, Stage, check_free
from .students import about_student, members, train_member
from .students import member_stage as stage_of
from .targets import about_targets, answers_each, asked_views, targets_stage, the_targets, why_live
from .teacher import about_teacher, teacher_stages, the_teacher
from .timing import Costs, weights_bytes
from .training_stage import Trained


def check(
    recipe: Recipe,
    out: Path,
    *,
    measure: bool = False,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> list[PlannedStage]:
    """Reads the data, builds the models and looks at the run's folder, and writes nothing.

    With ``measure`` a few steps of each model are timed; otherwise seconds are those of stages made before. What a stage
    is made from is only known once the stages before it are finished, so behind an unfinished one all are "to do".
    """
    check_free(out)
    job = open_job(recipe, out=out, trust_code=trust_code, device=device, threads=threads)
    for note in (*job.notes, why_live(job), deployed_with(job.objective())):
        if note is not None:
            progress.note(note)
    return check_job(job, measure=measure)


def check_job(job: Job, *, measure: bool = False) -> list[PlannedStage]:
    """The same of a job that is open."""
    stored = job.asks_teacher and not job.live
    costs, first = Costs(job, measure), learns_from_teacher(job)
    with progress.bar(3 + stored, "measure" if measure else "check") as advance:
        about = job.recipe.collected  # by now they are there
        planned = [] if about is None else [PlannedStage("data", "finished", about)]
        planned.append(planned_teacher(job, costs))
        known = planned[-1].state == "finished"
        teacher = the_teacher(job) if known else None
        advance()
        store = None
        if stored:
            planned.append(planned_targets(first, teacher, costs))
            known = planned[-1].state == "finished"
            store = the_targets(first, teacher) if known and teacher is not None else None
            advance()
        assistant = None
        if job.assistant is not None:
            rows, assistant = _the_assistant(job, teacher if known else None, store, costs)
            planned += rows
            known = assistant is not None
        students = _the_students(job, teacher if known else None, store, assistant, costs)
        planned += students
        known = known and all(one.state == "finished" for one in students)
        advance()
        planned += _the_conclusion(job, teacher if known else None, store, assistant, costs)
        advance()
    return planned


def planned_teacher(job: Job, costs: Costs) -> PlannedStage:
    """What is to be done for the teacher, or for all teachers of an ensemble."""
    trained = [one for one in job.teachers if one.section.train is not None]
    if not trained:
        return PlannedStage("teacher", "finished", about_teacher(job))
    stages = teacher_stages(job)
    left = [one for one, here in zip(trained, stages, strict=True) if not here.finished]
    state = "unfinished" if any(here.begun for here in stages) else "to do"
    seconds = _sum([costs.teacher(one) for one in left]) if left else None
    size = sum(weights_bytes(one.model) for one in trained)
    return PlannedStage("teacher", state if left else "finished", about_teacher(job), seconds, size)


def planned_targets(job: Job, teacher: Trained | None, costs: Costs) -> PlannedStage:
    """What is to be done for the soft targets; ``teacher`` where it is there already."""
    wanted, count = job.recipe.targets, len(job.task.pool)
    if wanted.store is not None:
        return PlannedStage("targets", "finished", about_targets(job))
    state = "to do" if teacher is None else _state(targets_stage(job, teacher))
    codec = job.codecs.codecs[-1]
    views = asked_views(job, job.teacher)[1]
    size = int(views * count * answers_each(job, codec) * bytes_per_target(codec, job.splits.answers.width))
    seconds = None if state == "finished" else costs.targets()
    return PlannedStage("targets", state, about_targets(job), seconds, size)


def _the_assistant(
    job: Job, teacher: Trained | None, store: Store | None, costs: Costs
) -> tuple[list[PlannedStage], Assistant | None]:
    """What is to be done for the assistant; itself where all of that is done. ``teacher`` where it is there, with its answers."""
    assert job.assistant is not None
    model = job.assistant.student(job.recipe.seed)
    state = "to do" if teacher is None else _state(assistant_stage(job, teacher, store))
    trained = train_assistant(job, teacher, store) if teacher is not None and state == "finished" else None
    seconds = None if trained is not None else costs.assistant(job.assistant)
    about = about_student(job.assistant, ASSISTANT)
    planned = [PlannedStage(ASSISTANT, state, about, seconds, weights_bytes(model))]
    if not job.live:
        students = taught_by(job, model)
        row = planned_targets(students, trained, Costs(students, costs.measure))
        planned.append(replace(row, detail=f"{row.detail}, asked of the assistant"))
    if teacher is None or any(one.state != "finished" for one in planned):
        return planned, None
    return planned, the_assistant(job, teacher, store)


def _the_students(
    job: Job, teacher: Trained | None, store: Store | None, assistant: Assistant | None, costs: Costs
) -> list[PlannedStage]:
    recipe, size = job.recipe, weights_bytes(job.student(job.recipe.seed))
    if job.assistant is not None and assistant is None:  # not trained yet: what it costs to ask is known all the same
        costs = Costs(taught_by(job, job.assistant.student(recipe.seed)), costs.measure)
    arms = None
    if teacher is not None:
        job, arms = arms_of(job, teacher, store, assistant)
        costs = Costs(job, costs.measure)
    planned = []
    for name in dict.fromkeys(name for name, _ in members(job)):
        stages = [] if arms is None else [stage_of(job, arms[name], seed) for seed in job.seeds]
        finished = sum(stage.finished for stage in stages)
        state = "finished" if stages and finished == len(stages) else "to do"
        if state == "to do" and (finished or any(stage.begun for stage in stages)):
            state = "unfinished"
        one = None if state == "finished" else costs.student(name)
        seconds = None if one is None else one * (recipe.seeds - finished)
        detail = f"{about_student(job, name)}, {recipe.seeds} seed(s), {finished} finished"
        planned.append(PlannedStage(name, state, detail, seconds, recipe.seeds * size))
    return planned


def _the_conclusion(
    job: Job, teacher: Trained | None, store: Store | None, assistant: Assistant | None, costs: Costs
) -> list[PlannedStage]:
    names = CONCLUSION
    if teacher is None:
        about = costs.conclusion()
        planned = [PlannedStage(name, "to do", "", about[name]) for name in names]
        return [*planned[:-1], *_the_formats(job, [], costs), *_further(job, None, costs), planned[-1]]
    learning, arms = arms_of(job, teacher, store, assistant)
    trained: dict[str, list[Trained]] = {}
    for name, seed in members(job):
        trained.setdefault(name, []).append(train_member(learning, arms[name], seed))
    evaluation = evaluate_stage(job, teacher, tested_of(trained, assistant))
    export = export_stage(job, teacher, trained)
    formats = format_stages(job, export)
    student = trained["student"][best_on_validation(job, trained["student"])]
    further = None
    if all(stage.finished for stage in formats.values()):
        further = further_of(learning, arms["student"], student, export, formats)
    stages = (evaluation, export, report_stage(job, evaluation, export, formats, further or {}))
    about = costs.conclusion() if not all(stage.finished for stage in stages) else {}
    planned = [
        PlannedStage(name, _state(stage), "", None if stage.finished else about[name])
        for name, stage in zip(names, stages, strict=True)
    ]
    more = [*_the_formats(job, [*formats.values()], costs), *_further(job, further, costs)]
    return [*planned[:-1], *more, planned[-1]]


def _the_formats(job: Job, stages: list[Stage], costs: Costs) -> list[PlannedStage]:
    """The formats as one line; none where the recipe asks for no more than the one that is always there."""
    names = job.recipe.export.more
    if not names:
        return []
    finished = sum(stage.finished for stage in stages)
    state = "finished" if stages and finished == len(stages) else "to do"
    if state == "to do" and (finished or any(stage.begun for stage in stages)):
        state = "unfinished"
    seconds = costs.before.other(FORMATS)
    left = None if state == "finished" or seconds is None else seconds * (len(names) - finished)
    return [PlannedStage(FORMATS, state, f"{', '.join(names)}; {finished} finished", left)]


def _further(job: Job, further: Mapping[str, Further] | None, costs: Costs) -> list[PlannedStage]:
    """What is to be done where a format loses too much; None: that is not known yet."""
    wanted = job.recipe.export.quantization_aware
    if wanted is None:
        return []
    if further is None:
        return [PlannedStage(QUANTIZATION_AWARE, "to do", where_needed(job.recipe))]
    stages = further_stages(further)
    if not stages:
        return [PlannedStage(QUANTIZATION_AWARE, "finished", not_needed(job.recipe))]
    left = [one for one in stages if not one.finished]
    state = "finished" if not left else "unfinished" if any(one.begun for one in stages) else "to do"
    return [
        PlannedStage(QUANTIZATION_AWARE, state, about(job), costs.before.other(QUANTIZATION_AWARE) if left else None)
    ]


def _sum(seconds: list[float | None]) -> float | None:
    return None if None in seconds else sum(one for one in seconds if one is not None)


def _state(stage: Stage) -> str:
    return "finished" if stage.finished else "unfinished" if stage.begun else "to do"
