"""The story of a comparison: one teacher, one store of soft targets, and a grid of students trained from it.

Every student is a stage of a run (:mod:`limbeck.arms`), in the same folders under the same fingerprints: what is
finished is not trained again, whoever asked for it first. A sweep sees validation alone; the test split is opened once,
for all rows together, after the last student is trained.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from . import __version__, progress, stages
from .arms import ARMS, Arm, member_stage, the_arms, train_member
from .comparison_file import Comparison, Row, resolved
from .composition import objective_of
from .conclusion import TestSplit, evaluate, test_reads
from .deploy.measure import parameters
from .errors import BadInput, Interrupted, did_you_mean
from .evaluation.grid import RowEvidence, rows_section
from .evaluation.results import Predictions, RunEvidence, environment, run_metrics
from .files import write_json, write_text
from .job import Job, asked_live, deployed_with, job_from_models, job_from_recipe, use_threads
from .modalities import modality_of
from .parallel import Done, in_processes
from .pass_cost import targets_section
from .recipe import Recipe
from .recipe_file import resolved_yaml
from .report.comparison import write_page
from .report.tables import csv_text, latex_text
from .stages import Stage, publish, stage
from .targets.store import Store
from .teachers import Teachers
from .teaching import beware, given_store, the_targets, the_teacher
from .trained import Trained, begun
from .training.history import kept

# Bumped by hand when the meaning of the figures changes.
COMPARE_VERSION = 2
SCHEMA_VERSION = 1
STAGES = ("teacher", "targets", *ARMS, "evaluate", "compare")
PRODUCTS = ("compare.json", "compare.csv", "compare.tex", "compare.html")


@dataclass(frozen=True)
class Member:
    """One training run of the grid."""

    title: str
    arm: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Choice:
    """What a row came to by validation alone."""

    recipe: Recipe
    chosen: str  # in words
    trials: list[dict[str, Any]]  # "settings", "accuracy", "nll", "seconds" of each


@dataclass(frozen=True)
class Asked:
    """Training runs to be done in another process."""

    comparison: Comparison
    members: Sequence[Member]
    out: Path
    trust_code: bool
    device: str
    threads: int


class Bench:
    """What all rows share: the data, the teacher's job, the device."""

    def __init__(
        self,
        comparison: Comparison,
        splits: Any,
        *,
        out: Path,
        trust_code: bool,
        device: str,
        force: tuple[str, ...] = (),
    ) -> None:
        # the first row has no teacher, so that this job asks for nothing but a teacher that is trained
        recipe = comparison.rows[0].recipe
        self.job = job_from_recipe(recipe, splits, out=out, trust_code=trust_code, device=device, force=force)
        self.trust_code, self.device = trust_code, device
        self._jobs: dict[str, Job] = {}
        self._latest: tuple[Member, Job, Arm] | None = None

    def job_of(self, recipe: Recipe) -> Job:
        """The job of one row, with its own student and objective. Raises `BadInput` where these do not fit.

        To be asked for before the teacher is trained: its stage is named by the student that an untrained one gives.
        """
        key = recipe.model_dump_json()
        if key not in self._jobs:
            self._jobs[key] = self._job_of(recipe)
        return self._jobs[key]

    def _job_of(self, recipe: Recipe) -> Job:
        objective = objective_of(recipe.objective, self.job.splits)
        if objective.needs.teacher_features or objective.finds_layers:  # only logits are stored
            live = recipe.targets.model_copy(update={"live": True, "average": False, "store": None})
            recipe = recipe.model_copy(update={"targets": live})
        base = self.job
        teachers = Teachers(base.teacher, base.task.teacher_normalisation, base.teachers)
        job = job_from_models(
            recipe,
            base.splits,
            out=base.out,
            teacher=teachers,
            student=base.modality.student_of(recipe, base.splits, teachers, trust_code=self.trust_code),
            objective=lambda: objective_of(recipe.objective, base.splits),
            device=self.device,
            force=base.force,
        )
        # a stage that several rows share is made anew once for all of them
        return dataclasses.replace(job, task=base.task, accelerator=base.accelerator, redone=base.redone)

    def arm_of(self, member: Member, teacher: Trained) -> tuple[Job, Arm]:
        """What a student learns from; the latest is kept, since the seeds of a row come one after the other."""
        if self._latest is not None and dataclasses.replace(self._latest[0], seed=member.seed) == member:
            return self._latest[1:]
        job = self.job_of(member.recipe)
        arm = the_arms(job, teacher, the_targets(job, teacher))[member.arm]
        self._latest = (member, job, arm)
        return job, arm

    def stage_of(self, member: Member, teacher: Trained) -> Stage:
        """The stage of a student, set aside first where it is to be made anew."""
        job, arm = self.arm_of(member, teacher)
        return begun(job, member_stage(job, arm, member.seed))

    def train(self, member: Member, teacher: Trained) -> Trained:
        """A student: trained, or as it was trained before."""
        job, arm = self.arm_of(member, teacher)
        return train_member(job, arm, member.seed, f"{member.title}, seed {member.seed}")


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
    use_threads(threads)
    bench = open_bench(comparison, out=out, trust_code=trust_code, device=device, force=force)
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
            choices = [choose(row, found) for row, found in zip(comparison.rows, in_trials, strict=True)]
            finals = [[members_of(row, one.recipe)] for row, one in zip(comparison.rows, choices, strict=True)]
            trained = _grouped(train, finals, teacher)
        except KeyboardInterrupt:
            raise Interrupted("stopped; run the same command to go on from there.") from None
        return _conclude(comparison, bench, teacher, choices, trained)


def open_bench(
    comparison: Comparison, *, out: Path, trust_code: bool, device: str, force: tuple[str, ...] = ()
) -> Bench:
    """The bench, with the jobs of all rows and trials, tried for fit; what a person should know is said."""
    recipe = comparison.recipe
    splits = modality_of(recipe).load(recipe, progress.bar)
    bench = Bench(comparison, splits, out=out, trust_code=trust_code, device=device, force=force)
    for note in bench.job.notes:
        progress.note(note)
    for row in comparison.rows:
        try:
            trials = [recipe for trial in row.trials for recipe in (trial.recipe, trial.short)]
            job, *_ = [bench.job_of(recipe) for recipe in (row.recipe, *trials)]
        except BadInput as error:
            raise BadInput(f"{row.student}, {row.title}: {error}") from None
        if job.recipe.targets.store is not None and job.asks_teacher:
            given_store(job)  # refused before anything is trained
        if job.needs.teacher_features and not row.recipe.targets.live:
            progress.note(f"{row.title}: {asked_live(job.objective())}.")
        if larger := deployed_with(job.objective()):
            progress.note(f"{row.title}: {larger}")
    return bench


def _share_of_members(asked: Asked, number: int, jobs: int, done: Done) -> None:
    """One process's part: every ``jobs``-th training run, starting with ``number``."""
    use_threads(asked.threads)
    recipe = asked.comparison.recipe
    splits = modality_of(recipe).load(recipe)
    bench = Bench(asked.comparison, splits, out=asked.out, trust_code=asked.trust_code, device=asked.device)
    ours = asked.members[number::jobs]
    for member in ours:
        bench.job_of(member.recipe)  # while the teacher is as it was when whoever asks built theirs
    teacher = the_teacher(bench.job)
    for member in ours:
        bench.train(member, teacher)
        done()


def members_of(row: Row, recipe: Recipe, what: str = "") -> list[Member]:
    """The training runs of a row under a recipe, seed by seed."""
    seeds = range(recipe.seed, recipe.seed + recipe.seeds)
    return [Member(f"{row.student}, {row.title}{what}", row.arm, recipe, seed) for seed in seeds]


def tried(row: Row) -> list[list[Member]]:
    """The training runs of a row's trials, trial by trial."""
    return [members_of(row, trial.short, f", {', '.join(trial.settings) or 'as given'}") for trial in row.trials]


def _grouped(
    train: Callable[[Sequence[Member], Trained], list[Trained]], groups: list[list[list[Member]]], teacher: Trained
) -> list[list[list[Trained]]]:
    """Trains all members of all groups, and gives the models in the same nesting."""
    found = iter(train([member for row in groups for group in row for member in group], teacher))
    return [[[next(found) for _ in group] for group in row] for row in groups]


def choose(row: Row, in_trials: list[list[Trained]]) -> Choice:
    """The trial with the best validation accuracy, then the lowest loss, by mean over its seeds; the first of equals."""
    if not row.trials:
        return Choice(row.recipe, "as given", [])
    trials = []
    for trial, ones in zip(row.trials, in_trials, strict=True):
        figures = [kept(one.history, trial.short.train) for one in ones]
        trials.append(
            {
                "settings": list(trial.settings),
                "accuracy": fmean(record["validation_accuracy"] for record in figures),
                "nll": fmean(record["validation_nll"] for record in figures),
                "seconds": sum(one.seconds for one in ones),
            }
        )
    best = max(range(len(trials)), key=lambda i: (trials[i]["accuracy"], -trials[i]["nll"]))
    return Choice(row.trials[best].recipe, ", ".join(row.trials[best].settings) or "as given", trials)


def _conclude(
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
    ingredients = {
        "version": COMPARE_VERSION,
        "name": comparison.name,
        "recipe": comparison.recipe.model_dump(mode="json"),
        "against": comparison.against,
        "rows": [
            [row.key, row.title, choice.recipe.objective.model_dump(mode="json"), choice.chosen, choice.trials]
            for row, choice in zip(rows, choices, strict=True)
        ],
        "evaluate": evaluation.fingerprint,
    }
    here = begun(job, stage(job.out, "compare", ingredients))
    if not here.finished:
        here.prepare()
        results = _results(comparison, bench, teacher, choices, by_row, answers)
        write_json(here.folder / "compare.json", results)
        write_text(here.folder / "compare.csv", csv_text(results))
        write_text(here.folder / "compare.tex", latex_text(results))
        write_page(results, here.folder / "compare.html")
        here.finish({"test_reads": results["test_reads"]}, PRODUCTS)
    here.facts()
    for name in PRODUCTS:
        publish(here.folder / name, job.out / name)
    return json.loads((here.folder / "compare.json").read_text(encoding="utf-8")) | {"out": str(job.out)}


def _results(
    comparison: Comparison,
    bench: Bench,
    teacher: Trained,
    choices: Sequence[Choice],
    by_row: dict[str, list[Trained]],
    answers: dict[str, Tensor],
) -> dict[str, Any]:
    job = bench.job

    def run(key: str, one: Trained) -> RunEvidence:
        test, validation = (
            Predictions(answers[f"{split}/{key}"], answers[f"{split}/labels"]) for split in ("test", "validation")
        )
        return RunEvidence(one.seed, test, validation, one.seconds)

    taught = run("teacher", teacher)
    evidence = []
    for row, choice in zip(comparison.rows, choices, strict=True):
        ones = by_row[row.key]
        runs = [run(f"{row.key}-{one.seed}", one) for one in ones]
        evidence.append(RowEvidence(row.student, row.name, runs, _facts(bench, row, choice, ones)))
    # a row without a teacher, for an objective may deploy more than the student
    models = {row.student: (row.recipe.student, by_row[row.key][0].model) for row in reversed(comparison.rows)}
    models = {name: models[name] for name in comparison.students}
    return {
        "schema_version": SCHEMA_VERSION,
        "limbeck_version": __version__,
        "name": comparison.name,
        "task": job.task.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "name": comparison.recipe.data.name,
            "classes": list(job.splits.classes),
            "train": len(job.splits.train),
            "validation": len(job.splits.validation),
            "test": len(answers["test/labels"]),
            **job.modality.data_facts(job.splits),
            "notes": list(job.notes),
        },
        "teacher": {
            "model": comparison.recipe.teacher.title,
            "parameters": parameters(teacher.model),
            "metrics": run_metrics(taught),
            "seconds": teacher.seconds,
        },
        "students": {
            name: {"model": section.model, "knobs": section.knobs, "parameters": parameters(model)}
            for name, (section, model) in models.items()
        },
        "targets": _targets(comparison, bench, teacher, by_row),
        "tuning": comparison.tuning,
        "against": comparison.against,
        "rows": rows_section(evidence, taught.test, comparison.against),
        "recipe": comparison.recipe.model_dump(mode="json"),
        "comparison": comparison.file.model_dump(mode="json"),
        "environment": environment(),
        "test_reads": test_reads(job.out),
    }


def _targets(
    comparison: Comparison, bench: Bench, teacher: Trained, by_row: dict[str, list[Trained]]
) -> list[dict[str, Any]]:
    """What each store cost, and over how many trainings it was spread, trials among them; mostly there is one."""
    stores: dict[Path, tuple[Job, Store]] = {}
    students: dict[Path, int] = {}
    for row in comparison.rows:
        for recipe, count in (
            (row.recipe, len(by_row[row.key])),
            *((trial.recipe, trial.short.seeds) for trial in row.trials),
        ):
            job = bench.job_of(recipe)
            store = the_targets(job, teacher)
            if store is not None:
                stores[store.path] = job, store
                students[store.path] = students.get(store.path, 0) + count
    sections = (targets_section(job, store, students[path]) for path, (job, store) in stores.items())
    return [section for section in sections if section is not None]


def _facts(bench: Bench, row: Row, choice: Choice, ones: Sequence[Trained]) -> dict[str, Any]:
    """What a person wants to know of a row beside its figures."""
    job = bench.job_of(choice.recipe)
    settings = choice.recipe.objective.model_dump(mode="json", exclude_none=True)
    if row.arm == "smoothed":
        settings["cross_entropy"]["label_smoothing"] = row.recipe.baseline.label_smoothing
    asked = "none" if not job.asks_teacher else "live" if job.live else "stored"
    larger = deployed_with(job.objective()) is not None
    return {
        "title": f"{row.title} ({parameters(ones[0].model):,} parameters)" if larger else row.title,
        "kind": "objective" if row.arm == "student" else "control",
        "teacher": asked,
        "settings": settings,
        "chosen": choice.chosen,
        "trials": choice.trials,
        "fingerprints": {str(one.seed): one.fingerprint for one in ones},
    }
