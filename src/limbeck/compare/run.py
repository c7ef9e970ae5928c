"""The story of a comparison: one teacher, one store of soft targets, and a grid of students trained from it.

Every student is a stage of a run (:mod:`limbeck.pipeline.students`), in the same folders under the same fingerprints: what is
finished is not trained again, whoever asked for it first. A sweep sees validation alone; the test split is opened once,
for all rows together, after the last student is trained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import BadInput, Interrupted, did_you_mean
from ..files import publish, write_json, write_text
from ..models.identity import architecture
from ..pipeline import stages
from ..pipeline.evaluate import TestSplit, evaluate, test_reads
from ..pipeline.parallel import Done, in_processes
from ..pipeline.stages import ARMS, stage
from ..pipeline.targets import the_targets
from ..pipeline.teacher import beware, the_teacher
from ..pipeline.training_stage import Trained, begun
from ..recipe.read import resolved_yaml
from .bench import Bench, Choice, Member, choose, members_of, open_bench, tried
from .cost import measured
from .file import Comparison, resolved
from .page import write_page
from .results import COMPARE_VERSION, named, results_of
from .tables import csv_text, latex_text

PRODUCTS = ("compare.json", "compare.csv", "compare.tex", "compare.html")

STAGES = ("teacher", "targets", *ARMS, "evaluate", "measure", "compare")


@dataclass(frozen=True)
class Asked:
    """Training runs to be done in another process."""

    comparison: Comparison
    members: Sequence[Member]
    out: Path
    trust_code: bool
    device: str
    threads: int


def compare(
    comparison: Comparison,
    *,
    out: Path,
    trust_code: bool = False,
    force: tuple[str, ...] = (),
    device: str = "auto",
    threads: int | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Does what a comparison file asks and returns the results (``compare.json``).

    ``force`` names stages of :data:`STAGES` to be made anew: of all rows that have them, trials and all. Beside it come ``compare.csv`` (a line a row and seed), ``compare.tex`` and ``compare.html``. ``jobs`` students are
    trained at a time, each in a process of its own with its share of ``threads``.

    Raises :class:`limbeck.errors.LimbeckError` in sentences; nothing is written where a row is refused.
    """
    for name in force:
        if name not in STAGES:
            raise BadInput(f"--force {name}: a comparison has no such stage.{did_you_mean(name, STAGES)}")
    if force:
        force = (*force, "compare")  # else the tables would go on telling what was measured before
    bench = open_bench(comparison, out=out, trust_code=trust_code, device=device, force=force, threads=threads)
    share = max(1, (threads or torch.get_num_threads()) // jobs)

    def train(members: Sequence[Member], teacher: Trained) -> list[Trained]:
        if jobs > 1:
            waiting = [member for member in members if not bench.stage_of(member, teacher).finished]
            asked = Asked(comparison, waiting, out, trust_code, device, share)
            in_processes(_share_of_members, asked, min(jobs, len(waiting)), len(waiting), "students")
        return [bench.train(member, teacher) for member in members]

    with stages.claimed(out):
        write_text(out / "compare.recipe.yaml", resolved_yaml(comparison.recipe))
        write_text(out / "compare.yaml", resolved(comparison, "compare.recipe.yaml"))
        try:
            teacher = the_teacher(bench.job)
            for job in [job for row in comparison.rows if (job := bench.job_of(row.recipe)).asks_teacher][:1]:
                beware(job, teacher)
            for row in comparison.rows:
                the_targets(bench.job_of(row.recipe), teacher)
            in_trials = _grouped(train, [tried(row) for row in comparison.rows], teacher)
            choices = [
                choose(bench.job.splits.answers.kind, row, found)
                for row, found in zip(comparison.rows, in_trials, strict=True)
            ]
            finals = [[members_of(row, one.recipe)] for row, one in zip(comparison.rows, choices, strict=True)]
            trained = _grouped(train, finals, teacher)
        except KeyboardInterrupt:
            raise Interrupted("stopped; run the same command to go on from there.") from None
        return conclude(comparison, bench, teacher, choices, trained)


def _share_of_members(asked: Asked, number: int, jobs: int, done: Done) -> None:
    """One process's part: every ``jobs``-th training run, starting with ``number``."""
    bench = Bench(
        asked.comparison,
        out=asked.out,
        trust_code=asked.trust_code,
        device=asked.device,
        threads=asked.threads,
        quiet=True,
    )
    ours = asked.members[number::jobs]
    for member in ours:
        bench.job_of(member.recipe)  # while the teacher is as it was when whoever asks built theirs
    teacher = the_teacher(bench.job)
    for member in ours:
        bench.train(member, teacher)
        done()


def _grouped(
    train: Callable[[Sequence[Member], Trained], list[Trained]], groups: list[list[list[Member]]], teacher: Trained
) -> list[list[list[Trained]]]:
    """Trains all members of all groups, and gives the models in the same nesting."""
    found = iter(train([member for row in groups for group in row for member in group], teacher))
    return [[[next(found) for _ in group] for group in row] for row in groups]


def conclude(
    comparison: Comparison,
    bench: Bench,
    teacher: Trained,
    choices: Sequence[Choice],
    trained: list[list[list[Trained]]],
) -> dict[str, Any]:
    """Reads test for all rows at once, and writes what came out."""
    job, rows = bench.job, comparison.rows
    by_row = {row.key: ones for row, (ones,) in zip(rows, trained, strict=True)}
    test_reads(job.out)  # a record that was lost or damaged is noticed, whether or not it grows
    evaluation, answers = evaluate(job, TestSplit(job), teacher, by_row)
    built = {row.key: by_row[row.key][0].model for row in rows}
    names = {key: architecture(model) for key, model in built.items()}
    cost = measured(job, teacher.model, {names[key]: model for key, model in built.items()})
    ingredients = {
        "version": COMPARE_VERSION,
        "name": comparison.name,
        "recipe": comparison.recipe.model_dump(mode="json", exclude_none=True),
        "against": comparison.against,
        "rows": [
            [
                row.key,
                row.title,
                choice.recipe.objective.model_dump(mode="json", exclude_none=True),
                choice.chosen,
                choice.trials,
            ]
            for row, choice in zip(rows, choices, strict=True)
        ],
        "evaluate": evaluation.fingerprint,
        "measure": cost.stage,
    }
    here = begun(job, stage(job.out, "compare", ingredients))
    if not here.finished:
        here.prepare()
        results = results_of(comparison, bench, teacher, choices, by_row, answers, cost, names)
        write_json(here.folder / "compare.json", results)
        write_text(here.folder / "compare.csv", csv_text(results))
        write_text(here.folder / "compare.tex", latex_text(results))
        write_page(results, here.folder / "compare.html")
        here.finish({"test_reads": results["test_reads"]}, PRODUCTS)
    here.facts()
    for name in PRODUCTS:
        publish(here.folder / name, job.out / name)
    results = json.loads((here.folder / "compare.json").read_text(encoding="utf-8"))
    return named(job) | results | {"out": str(job.out)}  # an older file does not name its figures
