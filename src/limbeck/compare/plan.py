"""What a comparison would do: which trainings are finished, which are to be done, and about how long they take."""

from __future__ import annotations

from pathlib import Path

from ..pipeline.check import planned_targets, planned_teacher
from ..pipeline.plan import PlannedStage
from ..pipeline.teacher import the_teacher
from ..pipeline.timing import Costs, student_seconds, weights_bytes
from ..pipeline.training_stage import Trained
from ..sections.recipe import Recipe
from .bench import Bench, Member, choose, members_of, open_bench, tried
from .file import Comparison, Row


def plan(
    comparison: Comparison,
    out: Path,
    *,
    measure: bool = False,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
    jobs: int = 1,
) -> list[PlannedStage]:
    """Looks at the data and the folder, and writes nothing. With ``measure`` a few steps of each model are timed.

    Otherwise seconds are those of stages made before. What a stage is made from is only known once the stages before it are
    finished: behind an unfinished teacher, or unfinished soft targets, all is "to do". Seconds are of the clock, with ``jobs``
    students at a time.
    """
    bench = open_bench(comparison, out=out, trust_code=trust_code, device=device, threads=threads)
    planned = [planned_teacher(bench.job, Costs(bench.job, measure))]
    known = planned[0].state == "finished"
    teacher = the_teacher(bench.job) if known else None
    for row in comparison.rows:
        job = bench.job_of(row.recipe)
        if job.asks_teacher and not job.live:
            planned.append(planned_targets(job, teacher, Costs(job, measure)))
            known = known and planned[-1].state == "finished"
            break
    epochs: dict[str, float | None] = {}
    for row in comparison.rows:
        planned.append(_row(bench, row, teacher if known else None, epochs, jobs, measure))
    return planned


def _row(
    bench: Bench, row: Row, teacher: Trained | None, epochs: dict[str, float | None], jobs: int, measure: bool
) -> PlannedStage:
    """``epochs`` remembers what an epoch takes: of each student, and of each row with a live teacher."""
    job = bench.job_of(row.recipe)
    trials = [one for trial in tried(row) for one in trial]
    finals = members_of(row, _chosen(bench, row, trials, teacher))
    left = [one for one in (*trials, *finals) if not _finished(bench, one, teacher)]
    count, student = len(trials) + len(finals), job.student(row.recipe.seed)
    seconds = None
    if left:
        live = job.asks_teacher and job.live  # then an epoch costs what this very objective and its teacher cost
        key = row.key if live else row.student
        if key not in epochs:
            whole = student_seconds(job) if measure else Costs(job, measure).student("student")
            epochs[key] = None if whole is None else whole / row.recipe.train.epochs
        one = epochs[key]
        seconds = None if one is None else one * sum(each.recipe.train.epochs for each in left) / jobs
    state = "to do" if len(left) == count else "unfinished" if left else "finished"
    tuning = f", {len(trials)} more to choose settings" if trials else ""
    detail = f"{len(finals)} seed(s){tuning}; {count - len(left)} of {count} finished"
    return PlannedStage(f"{row.student}, {row.title}", state, detail, seconds, count * weights_bytes(student))


def _chosen(bench: Bench, row: Row, trials: list[Member], teacher: Trained | None) -> Recipe:
    """What the trials came to; the row as given where they are not all finished."""
    if teacher is None or not all(_finished(bench, one, teacher) for one in trials):
        return row.recipe
    return choose(
        bench.job.splits.answers.kind, row, [[bench.train(one, teacher) for one in trial] for trial in tried(row)]
    ).recipe


def _finished(bench: Bench, member: Member, teacher: Trained | None) -> bool:
    return teacher is not None and bench.stage_of(member, teacher).finished
