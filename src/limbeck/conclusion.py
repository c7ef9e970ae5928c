"""What is concluded from trained models: evaluation on test, export with its parity gate, results and report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from . import progress
from .data.examples import Examples
from .deploy.energy import energy_per_inference
from .deploy.export import export_onnx, image_metadata
from .deploy.measure import compare_latency, macs, measure_onnx, parameters
from .deploy.parity import check_parity, require
from .deploy.standalone import write_standalone
from .evaluation.results import ModelEvidence, Predictions, RunEvidence, assemble
from .evaluation.verdict import verdict
from .files import atomic_path, write_json
from .job import Job, coarse
from .models.onnx_file import OnnxModel
from .pass_cost import asked_in, fingerprint_of, targets_section
from .report.evidence import Evidence
from .report.page import write_report
from .stages import Stage, publish, stage
from .targets.store import Store
from .teachers import Together
from .trained import Trained, begun, normalisation

EVALUATION_VERSION = 1
EXPORT_VERSION = 1
REPORT_VERSION = 1

# Parity is checked on so many test images at most: enough to see one disagreement in a thousand several times over.
PARITY_IMAGES = 5000


@dataclass
class TestSplit:
    """The test split, opened at most once in a run, when the first stage that is not finished asks for it."""

    job: Job
    examples: Examples | None = field(default=None)

    def open(self, purpose: str) -> Examples:
        """The test examples; every opening is written to ``test_reads.json`` before it happens."""
        if self.examples is None:
            self.job.splits.test.record_with(self._record)
            self.examples = self.job.splits.test.open(purpose)
        return self.examples

    def _record(self, purpose: str) -> None:
        reads = test_reads(self.job.out)
        reads.append({"when": datetime.now(UTC).isoformat(timespec="seconds"), "purpose": purpose})
        write_json(self.job.out / "test_reads.json", reads)


def test_reads(out: Path) -> list[dict[str, str]]:
    """When and for what the test split was read in a run folder, first to last."""
    path = out / "test_reads.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def conclude(job: Job, teacher: Trained, store: Store | None, arms: dict[str, list[Trained]]) -> dict[str, Any]:
    """Evaluates, exports, measures and reports; returns the results."""
    test = TestSplit(job)
    chosen = best_on_validation(arms["student"])
    evaluation, answers = evaluate(job, test, teacher, arms)
    export = export_and_measure(job, test, export_stage(job, teacher, arms), teacher, arms["student"][chosen])
    return report(job, test, teacher, arms, chosen, store, evaluation, answers, export)


def best_on_validation(students: Sequence[Trained]) -> int:
    """Which seed's student is exported: the most accurate on validation, then the one with the lowest loss."""
    last = [one.history[-1] for one in students]
    return max(range(len(last)), key=lambda i: (last[i]["validation_accuracy"], -last[i]["validation_nll"]))


def evaluate(
    job: Job, test: TestSplit, teacher: Trained, arms: dict[str, list[Trained]]
) -> tuple[Stage, dict[str, Tensor]]:
    """Logits of every model on validation and test, stored so that each figure can be computed again."""
    models, teachers = _models(teacher, arms), _teachers(teacher)
    here = begun(job, evaluate_stage(job, teacher, arms))
    path = here.folder / "answers.safetensors"
    if here.finished:
        here.facts()
        return here, load_file(path)
    here.prepare()
    examples = test.open("evaluation")
    validation = job.splits.validation
    assert examples.labels is not None
    assert validation.labels is not None
    answers = {
        "test/labels": examples.labels,
        "test/ids": examples.ids,
        "validation/labels": validation.labels,
    }
    with progress.bar(len(models), "evaluate") as advance:
        for name, one in models.items():
            as_teacher = name in teachers
            one.model.to(job.accelerator.device)
            for split, of in (("test", examples), ("validation", validation)):
                of = of.to(job.accelerator.device)
                answers[f"{split}/{name}"] = job.task.logits(one.model, of, as_teacher=as_teacher)
            advance()
    with atomic_path(path) as temporary:
        # not save_file, whose error for a full disk is not an OSError
        temporary.write_bytes(safetensors_bytes({name: value.cpu().contiguous() for name, value in answers.items()}))
    here.finish({"examples": len(examples)}, ["answers.safetensors"])
    return here, answers


def export_and_measure(job: Job, test: TestSplit, wanted: Stage, teacher: Trained, student: Trained) -> Stage:
    """ONNX of student and teacher, held to PyTorch's answers on test images, then measured side by side.

    A teacher that is an ONNX file is measured as it is. An ensemble is not exported: nobody deploys it, and a member may
    be such a file.
    """
    limits = job.recipe.export
    here = begun(job, wanted)
    if here.finished:
        here.facts()
        return here
    here.prepare()
    images = test.open("parity of the export")
    facts: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    made: list[str] = []
    with progress.bar(4, "export and measure") as advance:
        for role, one in (("teacher", teacher), ("student", student)):
            model = one.model.to("cpu").eval()
            facts[role] = {"parameters": parameters(model)}
            if isinstance(model, OnnxModel):
                if model.batch is None:  # a fixed number of images cannot be set beside one image
                    paths[role] = model.path
            elif not isinstance(model, Together):
                normalise = job.task.normalisation if role == "student" else None
                normalise = normalise or job.task.teacher_normalisation or job.task.normalisation
                inputs = normalise(_unit(images.images[:PARITY_IMAGES].cpu())).contiguous()
                made.append(f"{role}.onnx")
                paths[role] = here.folder / made[-1]
                metadata = image_metadata(
                    name=f"{job.name} {role}",
                    classes=job.splits.classes,
                    channels=inputs.shape[1],
                    height=inputs.shape[2],
                    width=inputs.shape[3],
                    mean=normalise.mean,
                    std=normalise.std,
                )
                export_onnx(model, inputs[:1], paths[role], metadata)
                parity = check_parity(
                    model, paths[role], inputs, max_abs=limits.max_abs_difference, agreement=limits.agreement
                )
                require(parity, paths[role])
                facts[role] |= {"parity": parity, "macs": macs(model, inputs[:1])}
            advance()
        # in turns, so that whatever else the machine does hits both alike
        side_by_side = compare_latency(paths)
        advance()
        for role, path in paths.items():
            cost = measure_onnx(path)
            latency = side_by_side["latency_ms"][role]
            energy = energy_per_inference(path, latency_ms=latency["p50"])
            facts[role] |= {
                "bytes": cost["bytes"],
                "latency_ms": latency,
                "throughput_per_s": cost["throughput_per_s"],
                "peak_memory_mb": cost["peak_memory_mb"],
                "energy_mj": {"value": energy["value_mj"], "kind": energy["kind"], "how": energy["how"]},
                "runtime": cost["runtime"],
                "threads": cost["threads"],
            }
        advance()
    here.finish(facts, made)
    return here


def report(
    job: Job,
    test: TestSplit,
    teacher: Trained,
    arms: dict[str, list[Trained]],
    chosen: int,
    store: Store | None,
    evaluation: Stage,
    answers: dict[str, Tensor],
    export: Stage,
) -> dict[str, Any]:
    """``results.json``, ``report.html`` and the products at the top of the run folder."""
    here = begun(job, report_stage(job, evaluation, export))
    if not here.finished:
        here.prepare()
        images = test.open("pictures in the report")
        results = _results(job, teacher, arms, store, answers, export)
        write_json(here.folder / "results.json", results)
        write_report(_evidence(job, images, arms, chosen, answers, results, teacher), here.folder / "report.html")
        here.finish({}, ["results.json", "report.html"])
    here.facts()
    for name in ("results.json", "report.html"):
        publish(here.folder / name, job.out / name)
    publish(export.folder / "student.onnx", job.out / "student.onnx")
    if (export.folder / "teacher.onnx").exists():
        publish(export.folder / "teacher.onnx", job.out / "teacher.onnx")
    else:  # that of another teacher, before
        (job.out / "teacher.onnx").unlink(missing_ok=True)
    student = arms["student"][chosen]
    publish(
        job.out / "stages" / "student" / student.fingerprint / "model.safetensors",
        job.out / "student.safetensors",
    )
    write_standalone(job.out / "predict.py")
    return json.loads((job.out / "results.json").read_text(encoding="utf-8")) | {"out": str(job.out)}


def _results(
    job: Job,
    teacher: Trained,
    arms: dict[str, list[Trained]],
    store: Store | None,
    answers: dict[str, Tensor],
    export: Stage,
) -> dict[str, Any]:
    facts = export.facts()
    recipe, teachers = job.recipe, _teachers(teacher)

    def evidence(model: str, name: str, ones: Sequence[Trained], cost: dict[str, Any]) -> ModelEvidence:
        runs = []
        for one in ones:
            key = name if name in teachers else f"{name}-{one.seed}"
            test, validation = (
                Predictions(answers[f"{split}/{key}"], answers[f"{split}/labels"]) for split in ("test", "validation")
            )
            runs.append(RunEvidence(one.seed, test, validation, one.seconds))
        return ModelEvidence(model, runs, cost)

    student_cost = {name: value for name, value in facts["student"].items() if name != "parity"}
    teacher_cost = {name: value for name, value in facts["teacher"].items() if name != "parity"}
    by_arm = {arm: evidence(recipe.student.model, arm, ones, student_cost) for arm, ones in arms.items()}
    timings: dict[str, dict[str, Any]] = {"teacher": {"seconds": teacher.seconds, "runs": len(teacher.members) or 1}}
    fingerprints: dict[str, Any] = {"data": job.splits.fingerprint, "teacher": teacher.fingerprint}
    if teacher.members:
        fingerprints["teacher"] = [member.fingerprint for member in teacher.members]
    targets = targets_section(job, store, len(arms["student"]))
    if store is not None and targets is not None:
        if targets["seconds"] is not None:
            timings["targets"] = {"seconds": targets["seconds"], "runs": 1}
        fingerprints["targets"] = fingerprint_of(job, store)
    for arm, ones in arms.items():
        timings[arm] = {"seconds": sum(one.seconds for one in ones), "runs": len(ones)}
        fingerprints[arm] = [one.fingerprint for one in ones]
    _, channels, height, width = job.splits.train.images.shape
    data = {
        "name": recipe.data.name,
        "classes": list(job.splits.classes),
        "train": len(job.splits.train),
        "validation": len(job.splits.validation),
        "test": len(answers["test/labels"]),
        "transfer": 0 if job.splits.transfer is None else len(job.splits.transfer),
        "image": [channels, height, width],
        "notes": list(job.splits.notes),
    }
    return assemble(
        name=job.name,
        task=job.task.name,
        data=data,
        teacher=evidence(recipe.teacher.title, "teacher", [teacher], teacher_cost),
        members=[evidence(one.title, name, [one], {}) for name, one in teachers.items() if one is not teacher],
        asked=asked_in(job, store),
        student=by_arm["student"],
        baseline=by_arm["baseline"],
        smoothed=by_arm.get("smoothed"),
        export={"path": "student.onnx", "parity": facts["student"]["parity"]},
        targets=targets,
        timings=timings,
        fingerprints=fingerprints,
        recipe=recipe.model_dump(mode="json"),
        test_reads=test_reads(job.out),
    )


def _evidence(
    job: Job,
    images: Examples,
    arms: dict[str, list[Trained]],
    chosen: int,
    answers: dict[str, Tensor],
    results: dict[str, Any],
    teacher: Trained,
) -> Evidence:
    seed = arms["student"][chosen].seed

    def image(position: int) -> np.ndarray:
        one_CHW = images.images[position].cpu()
        if one_CHW.is_floating_point():
            one_CHW = (one_CHW * 255).round().clamp(0, 255).to(torch.uint8)
        return one_CHW.permute(1, 2, 0).numpy()

    return Evidence(
        results=results,
        verdict=verdict(results),
        classes=job.splits.classes,
        labels_N=answers["test/labels"].numpy(),
        teacher_logits_NC=answers["test/teacher"].numpy(),
        student_logits_NC=answers[f"test/student-{seed}"].numpy(),
        baseline_logits_NC=answers[f"test/baseline-{seed}"].numpy(),
        image=image,
        histories={"teacher": teacher.history} | {arm: ones[chosen].history for arm, ones in arms.items()},
        temperature=job.temperature,
    )


def _unit(images: Tensor) -> Tensor:
    """Images on a 0-1 scale."""
    return images if images.is_floating_point() else images.float() / 255


def evaluate_stage(job: Job, teacher: Trained, arms: dict[str, list[Trained]]) -> Stage:
    """The stage of the evaluation: it depends on every model's weights."""
    ingredients = {
        "version": EVALUATION_VERSION,
        "data": job.splits.fingerprint,
        "test": [job.recipe.data.test, job.splits.test.count],
        "models": {name: coarse(one.identity) for name, one in _models(teacher, arms).items()},
        "normalisation": _normalisations(job),
    }
    return stage(job.out, "evaluate", ingredients)


def export_stage(job: Job, teacher: Trained, arms: dict[str, list[Trained]]) -> Stage:
    """The stage of the export: of the teacher and of the student that did best on validation."""
    student, limits = arms["student"][best_on_validation(arms["student"])], job.recipe.export
    ingredients = {
        "version": EXPORT_VERSION,
        "student": coarse(student.identity),
        "teacher": coarse(teacher.identity),
        "normalisation": _normalisations(job),
        "classes": list(job.splits.classes),
        "limits": limits.model_dump(mode="json"),
        "data": job.splits.fingerprint,
    }
    return stage(job.out, "export", ingredients)


def report_stage(job: Job, evaluation: Stage, export: Stage) -> Stage:
    """The stage of the report."""
    ingredients = {
        "version": REPORT_VERSION,
        "name": job.name,
        "recipe": job.recipe.model_dump(mode="json"),
        "evaluate": evaluation.fingerprint,
        "export": export.fingerprint,
    }
    return stage(job.out, "report", ingredients)


def _normalisations(job: Job) -> list[dict[str, Any]]:
    """What is done to the student's input and to the teacher's."""
    return [normalisation(job), normalisation(job, job.task.teacher_normalisation)]


def _teachers(teacher: Trained) -> dict[str, Trained]:
    """The teacher, and the members of an ensemble."""
    return {"teacher": teacher} | {f"teacher-{k}": member for k, member in enumerate(teacher.members)}


def _models(teacher: Trained, arms: dict[str, list[Trained]]) -> dict[str, Trained]:
    return _teachers(teacher) | {f"{arm}-{one.seed}": one for arm, ones in arms.items() for one in ones}
