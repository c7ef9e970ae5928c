"""What is concluded from the trained rows of a comparison: test for all at once, cost, tables and page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from ..deploy.measure import parameters
from ..evaluation.figure import plain
from ..evaluation.kinds import KINDS
from ..evaluation.results import RunEvidence, environment, run_metrics
from ..models.identity import architecture
from ..pipeline.evaluate import kept_of, test_reads
from ..pipeline.job import Job
from ..pipeline.objective import deployed_with
from ..pipeline.targets import targets_section, the_targets
from ..pipeline.training_stage import Trained
from ..targets.store.store import Store
from ..version import __version__
from .bench import Bench, Choice
from .cost import Measured
from .figures import RowEvidence, compared, rows_section
from .file import Comparison, Row
from .front import costs, milliseconds, with_fronts

# Bumped by hand when the meaning of the figures changes.
COMPARE_VERSION = 3
SCHEMA_VERSION = 1


def results_of(
    comparison: Comparison,
    bench: Bench,
    teacher: Trained,
    choices: Sequence[Choice],
    by_row: dict[str, list[Trained]],
    answers: dict[str, Tensor],
    cost: Measured,
    names: dict[str, str],
) -> dict[str, Any]:
    """``names`` are those of the rows' architectures, by the row's key."""
    job = bench.job
    by = KINDS[job.splits.answers.kind]

    def run(key: str, one: Trained) -> RunEvidence:
        test, validation = (kept_of(by, answers, split, key) for split in ("test", "validation"))
        return RunEvidence(one.seed, test, validation, one.seconds)

    taught = run("teacher", teacher)
    evidence = []
    for row, choice in zip(comparison.rows, choices, strict=True):
        ones = by_row[row.key]
        runs = [run(f"{row.key}-{one.seed}", one) for one in ones]
        facts = _facts(bench, row, choice, ones) | cost.of(names[row.key])
        evidence.append(RowEvidence(row.student, row.name, runs, facts))
    # a row without a teacher, for an objective may deploy more than the student
    models = {row.student: (row.recipe.student, by_row[row.key][0].model) for row in reversed(comparison.rows)}
    models = {name: models[name] for name in comparison.students}
    return {
        "schema_version": SCHEMA_VERSION,
        "limbeck_version": __version__,
        "name": comparison.name,
        "task": job.task.name,
        **named(job),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "name": comparison.recipe.data.name,
            "classes": list(job.splits.classes),
            "train": len(job.splits.train),
            "validation": len(job.splits.validation),
            "test": len(answers["test/labels"]),
            **job.modality.data_facts(job.splits, job.task),
            "notes": list(job.notes),
        },
        "teacher": {
            "model": comparison.recipe.teacher.title,
            "metrics": run_metrics(by, taught),
            "seconds": teacher.seconds,
            **cost.of("teacher"),
            "cost": costs(cost.of("teacher"), cost.speed),
        },
        "students": {
            name: {
                "model": section.model,
                "knobs": section.knobs,
                **(found := cost.of(architecture(model))),
                "cost": costs(found, cost.speed),
            }
            for name, (section, model) in models.items()
        },
        "targets": _targets(comparison, bench, teacher, by_row),
        "speed": cost.speed,
        "ms": milliseconds(cost.speed),
        "tokens": cost.length,
        "tuning": comparison.tuning,
        "against": comparison.against,
        "rows": with_fronts(rows_section(by, evidence, taught.test, comparison.against), cost.speed, compared(by)),
        "recipe": comparison.recipe.model_dump(mode="json"),
        "comparison": comparison.file.model_dump(mode="json"),
        "environment": environment(),
        "test_reads": test_reads(job.out),
    }


def named(job: Job) -> dict[str, Any]:
    """What the answers are, and what their figures are: fields of ``compare.json``."""
    answers, by = job.splits.answers, KINDS[job.splits.answers.kind]
    units = job.modality.data_facts(job.splits, job.task).get("unit") or ()
    return {
        "answers": {"kind": answers.kind, "width": answers.width, "names": list(answers.names)},
        "figures": plain(by.FIGURES, units),
        "fidelity_figures": plain(by.FIDELITY, units),
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
        settings[choice.recipe.labels_alone]["label_smoothing"] = row.recipe.baseline.label_smoothing
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
