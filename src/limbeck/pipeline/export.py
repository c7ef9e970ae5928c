"""Student and teacher exported, held to PyTorch, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import progress
from ..deploy.costs import latencies, lengths_up_to, running_cost
from ..deploy.export import Exporter
from ..deploy.measure import parameters
from ..modalities import outline_of
from ..models.ensemble import Together
from ..models.identity import coarse
from ..models.onnx_file import OnnxFile
from .evaluate import TestSplit, best_on_validation, normalisations, test_reads
from .in_use import in_use_stage, judge_in_use
from .job import Job
from .sparse import beside_dense
from .stages import Stage, stage
from .training_stage import Trained, begun
from .versions import EXPORT_VERSION


def export_and_measure(
    job: Job, test: TestSplit, wanted: Stage, teacher: Trained, student: Trained, arms: dict[str, list[Trained]]
) -> Stage:
    """ONNX of student and teacher, held to PyTorch's answers on test examples, then measured side by side.

    A teacher that is an ONNX file is measured as it is. An ensemble is not exported: nobody deploys it, and a member may
    be such a file.
    """
    here = begun(job, wanted)
    if here.finished:
        here.facts()
        return here
    here.prepare()
    exporter = exporter_of(job, test.open("parity of the export"))
    facts: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    variants: dict[str, Path] = {}
    made: list[str] = []
    ours: tuple[str, ...] = ()
    usual: tuple[int, ...] = ()
    longest: list[int] = []
    measured: dict[str, dict[str, float]] = {}
    with progress.bar(4, "export and measure") as advance:
        for role, one in (("teacher", teacher), ("student", student)):
            model = one.model.to("cpu").eval()
            facts[role] = {"parameters": parameters(model)}
            if isinstance(model, OnnxFile):
                if model.timed_as_it_is:
                    paths[role] = model.path
                    longest += [model.longest] if model.longest else []
            elif not isinstance(model, Together) and not exporter.graphs(model, role):  # what nobody deploys
                measured[role] = job.modality.measured(model, job.task, job.splits)
            elif not isinstance(model, Together):
                exported = exporter.export(model, role, here.folder, variants=role == "student")
                paths[role], variants = exported.path, {**variants, **exported.variants}
                usual = exported.lengths
                longest += [exported.longest] if exported.longest else []
                made += exported.files
                ours = exported.files if role == "student" else ours
                facts[role] |= exported.facts
                measured[role] = job.modality.measured(model, job.task, job.splits)
            advance()
        lengths = lengths_up_to(min([*usual[-1:], *longest], default=1), usual)
        found = latencies({**paths, **variants}, lengths, again="--force export")
        facts["speed"] = found.speed
        advance()
        for role, path in paths.items():
            facts[role] |= running_cost(path, found.of[role]["latency_ms"], lengths) | found.of[role]
        for name in variants:
            facts["student"][name] |= found.of[name]
        if student.dense is not None:
            facts["sparsity"] = beside_dense(
                exporter, student.dense, here.folder, facts["student"]["path"], ours, lengths
            )
        advance()
    used, files = judge_in_use(job, here, teacher, arms, student)
    told = {"measured": told} if (told := {role: one for role, one in measured.items() if one}) else {}
    here.finish(facts | told | used | {"test_reads": test_reads(job.out)}, [*made, *files])
    return here


def exporter_of(job: Job, examples: Any) -> Exporter:
    """What exports the models of a run, and holds them to PyTorch on these examples."""
    task = job.task
    return Exporter(
        job.modality, task, outline_of(task.name), run=job.name, examples=examples, limits=job.recipe.export
    )


def export_stage(job: Job, teacher: Trained, arms: dict[str, list[Trained]]) -> Stage:
    """The stage of the export: of the teacher and of the student that did best on validation."""
    student = arms["student"][best_on_validation(job, arms["student"])]
    ingredients = {
        "version": EXPORT_VERSION,
        "student": coarse(student.identity),
        "teacher": coarse(teacher.identity),
        "normalisation": normalisations(job),
        "classes": list(job.splits.classes),
        "limits": job.recipe.export.limits,
        "data": job.splits.fingerprint,
        **in_use_stage(job, arms),
        **({"measured_on": job.splits.measured_on} if job.splits.measured_on else {}),
    }
    return stage(job.out, "export", ingredients)
