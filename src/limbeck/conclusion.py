"""What is concluded from trained models: evaluation on test, export with its parity gate, results and report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from . import progress, stages
from .deploy.costs import latencies, lengths_up_to, running_cost
from .deploy.measure import parameters
from .evaluation import test_reads as record
from .evaluation.losses import Groups
from .evaluation.results import ModelEvidence, Predictions, RunEvidence, assemble
from .evaluation.verdict import findings, headline
from .files import atomic_path, sha256_file, write_json
from .job import Job, coarse, deployed_with
from .modalities import Deploying
from .models.onnx_file import OnnxModel
from .pass_cost import fingerprint_of, learnt_from, targets_section
from .report.evidence import Evidence
from .report.page import write_report
from .stages import Stage, publish, stage
from .targets.store import Store
from .teachers import Together
from .trained import Trained, begun, taken_over

EVALUATION_VERSION = 2
EXPORT_VERSION = 2
REPORT_VERSION = 2

CONCLUSION = ("evaluate", "export", "report")


@dataclass
class TestSplit:
    """The test split, opened at most once in a run, when the first stage that is not finished asks for it."""

    job: Job
    examples: Any = field(default=None)

    def open(self, purpose: str) -> Any:
        """The test examples; every opening is written to the run's record before it happens."""
        if self.examples is None:
            self.job.splits.test.record_with(self._record)
            self.examples = self.job.splits.test.open(purpose)
        return self.examples

    def _record(self, purpose: str) -> None:
        reading = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "purpose": purpose}
        record.write(self.job.out / record.NAME, [*test_reads(self.job.out), reading])


def test_reads(out: Path) -> list[record.Reading]:
    """When and for what the test split was read in a run folder, first to last; where the record is damaged, it is mended."""
    vouched = [found for done in stages.finished_in(out) if (found := _vouched(*done)) is not None]
    evaluated = any((out / "stages" / "evaluate").glob("*/done.json"))
    readings, problem = record.known(out / record.NAME, vouched, evaluated)
    if problem is not None:
        progress.note(problem)
        record.write(out / record.NAME, readings)
    return readings


def _vouched(folder: Path, done: dict[str, Any]) -> list[record.Reading] | None:
    """The readings that a finished stage knew of: in its facts, or, of an earlier version, in the results that it wrote."""
    if "test_reads" in done["facts"]:
        found = done["facts"]["test_reads"]
    else:
        names = [name for name in ("results.json", "compare.json") if name in done["files"]]
        whole = [
            path for name in names if (path := folder / name).is_file() and sha256_file(path) == done["files"][name]
        ]
        found = json.loads(whole[0].read_text(encoding="utf-8")).get("test_reads") if whole else None
    return found if record.are_readings(found) else None


def conclude(
    job: Job, teacher: Trained, store: Store | None, arms: dict[str, list[Trained]], steps: progress.Steps
) -> dict[str, Any]:
    """Evaluates, exports, measures and reports; returns the results."""
    test = TestSplit(job)
    test_reads(job.out)  # a record that was lost or damaged is noticed, whether or not it grows
    chosen = best_on_validation(arms["student"])
    finished = taken_over(job, evaluate_stage(job, teacher, arms))
    steps.next(f"evaluate: {len(_models(teacher, arms))} models on validation and test{finished}")
    evaluation, answers = evaluate(job, test, teacher, arms)
    wanted = export_stage(job, teacher, arms)
    steps.next(f"export: student and teacher, parity and speed{taken_over(job, wanted)}")
    export = export_and_measure(job, test, wanted, teacher, arms["student"][chosen])
    steps.next(f"report{taken_over(job, report_stage(job, evaluation, export))}")
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
    here.finish({"examples": len(examples), "test_reads": test_reads(job.out)}, ["answers.safetensors"])
    return here, answers


def export_and_measure(job: Job, test: TestSplit, wanted: Stage, teacher: Trained, student: Trained) -> Stage:
    """ONNX of student and teacher, held to PyTorch's answers on test examples, then measured side by side.

    A teacher that is an ONNX file is measured as it is. An ensemble is not exported: nobody deploys it, and a member may
    be such a file.
    """
    limits = job.recipe.export
    here = begun(job, wanted)
    if here.finished:
        here.facts()
        return here
    here.prepare()
    examples = test.open("parity of the export")
    facts: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    variants: dict[str, Path] = {}
    made: list[str] = []
    longest = max(job.modality.LENGTHS, default=1)
    with progress.bar(4, "export and measure") as advance:
        for role, one in (("teacher", teacher), ("student", student)):
            model = one.model.to("cpu").eval()
            facts[role] = {"parameters": parameters(model)}
            if isinstance(model, OnnxModel):
                if (
                    model.batch is None and None not in model.takes[1:]
                ):  # one image of a known size can be set beside it
                    paths[role] = model.path
            elif not isinstance(model, Together):
                name = f"{job.name} {role}"
                wanted_of = Deploying(role, name, model, job.task, examples, here.folder, limits)
                deployed = job.modality.deploy(wanted_of)
                paths[role], variants = deployed.path, {**variants, **deployed.variants}
                longest = min(longest, deployed.longest or longest)
                made += deployed.files
                facts[role] |= deployed.facts
            advance()
        lengths = lengths_up_to(longest, job.modality.LENGTHS)
        found = latencies({**paths, **variants}, lengths, again="--force export")
        facts["speed"] = found.speed
        advance()
        for role, path in paths.items():
            facts[role] |= running_cost(path, found.of[role]["latency_ms"], lengths) | found.of[role]
        for name in variants:
            facts["student"][name] |= found.of[name]
        advance()
    here.finish(facts | {"test_reads": test_reads(job.out)}, made)
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
        examples = test.open("what the report shows")
        results = _results(job, examples, teacher, arms, store, answers, export)
        write_json(here.folder / "results.json", results)
        write_report(_evidence(job, examples, arms, chosen, answers, results, teacher), here.folder / "report.html")
        here.finish({"test_reads": results["test_reads"]}, ["results.json", "report.html"])
    here.facts()
    for name in ("results.json", "report.html"):
        publish(here.folder / name, job.out / name)
    student = arms["student"][chosen]
    weights = job.out / "stages" / "student" / student.fingerprint / "model.safetensors"
    results = json.loads((here.folder / "results.json").read_text(encoding="utf-8"))
    job.modality.publish(export.folder, weights, job.out, results)
    return results | {"out": str(job.out)}


def _results(
    job: Job,
    examples: Any,
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

    student_cost = {name: value for name, value in facts["student"].items() if name not in ("parity", "int8", "path")}
    teacher_cost = {name: value for name, value in facts["teacher"].items() if name not in ("parity", "path")}

    def cost_of(ones: Sequence[Trained]) -> dict[str, Any]:
        """The exported student's, but for a control that lacks what is deployed with it and was not exported itself."""
        count = parameters(ones[0].model)
        return student_cost if count == student_cost["parameters"] else {"parameters": count}

    by_arm = {arm: evidence(recipe.student.model, arm, ones, cost_of(ones)) for arm, ones in arms.items()}
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
    data = {
        "name": recipe.data.name,
        "classes": list(job.splits.classes),
        "train": len(job.splits.train),
        "validation": len(job.splits.validation),
        "test": len(answers["test/labels"]),
        "transfer": 0 if job.splits.transfer is None else len(job.splits.transfer),
        **job.modality.data_facts(job.splits),
        "notes": [*job.notes, *([larger] if (larger := deployed_with(job.objective())) else [])],
    }
    return assemble(
        name=job.name,
        task=job.task.name,
        data=data,
        teacher=evidence(recipe.teacher.title, "teacher", [teacher], teacher_cost),
        members=[evidence(one.title, name, [one], {}) for name, one in teachers.items() if one is not teacher],
        student=by_arm["student"],
        baseline=by_arm["baseline"],
        smoothed=by_arm.get("smoothed"),
        export={
            "path": facts["student"]["path"],
            "parity": facts["student"]["parity"],
            **({"int8": facts["student"]["int8"]} if "int8" in facts["student"] else {}),
        },
        speed=facts["speed"],
        targets=targets,
        groups=Groups.of(str(recipe.data.group), examples.groups),
        learnt_from_teacher=learnt_from(job, store, teacher.identity),
        timings=timings,
        fingerprints=fingerprints,
        recipe=recipe.model_dump(mode="json"),
        test_reads=test_reads(job.out),
    )


def _evidence(
    job: Job,
    examples: Any,
    arms: dict[str, list[Trained]],
    chosen: int,
    answers: dict[str, Tensor],
    results: dict[str, Any],
    teacher: Trained,
) -> Evidence:
    seed = arms["student"][chosen].seed

    return Evidence(
        results=results,
        headline=headline(results),
        findings=findings(results),
        classes=job.splits.classes,
        labels_N=answers["test/labels"].numpy(),
        teacher_logits_NC=answers["test/teacher"].numpy(),
        student_logits_NC=answers[f"test/student-{seed}"].numpy(),
        baseline_logits_NC=answers[f"test/baseline-{seed}"].numpy(),
        what=job.modality.WHAT,
        **job.modality.shown(examples),
        histories={"teacher": teacher.history} | {arm: ones[chosen].history for arm, ones in arms.items()},
        temperature=job.temperature,
    )


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
        # without what is not there: an objective more in the catalogue is no other recipe
        "recipe": job.recipe.model_dump(mode="json", exclude_none=True),
        "evaluate": evaluation.fingerprint,
        "export": export.fingerprint,
    }
    return stage(job.out, "report", ingredients)


def _normalisations(job: Job) -> list[dict[str, Any]]:
    """What is done to the student's input and to the teacher's."""
    return [job.task.input_facts(None), job.task.input_facts(job.task.teacher_normalisation)]


def _teachers(teacher: Trained) -> dict[str, Trained]:
    """The teacher, and the members of an ensemble."""
    return {"teacher": teacher} | {f"teacher-{k}": member for k, member in enumerate(teacher.members)}


def _models(teacher: Trained, arms: dict[str, list[Trained]]) -> dict[str, Trained]:
    return _teachers(teacher) | {f"{arm}-{one.seed}": one for arm, ones in arms.items() for one in ones}
