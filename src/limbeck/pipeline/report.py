"""``results.json`` and ``report.html``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .. import progress
from ..deploy import on_device
from ..deploy.measure import parameters
from ..deploy.on_device import SCRIPT
from ..deploy.standalone import write_standalone
from ..evaluation import escalation
from ..evaluation.kinds import KINDS
from ..evaluation.losses import Groups
from ..evaluation.results import ModelEvidence, RunEvidence, assemble, json_values, model_section
from ..evaluation.verdict import findings, headline, on_examples
from ..files import fingerprint, publish, write_json
from ..modalities import outline_of
from ..report.evidence import Evidence
from ..report.page import write_report
from ..targets.store.store import Store
from .assistant import Assistant
from .device import ADOPTED, device_section
from .diagnose import ROLES, section_of
from .evaluate import TestSplit, kept_of, teachers_of, test_reads
from .formats import formats_section, publish_formats
from .in_use import drawings_of
from .job import Job
from .licences import licences
from .objective import deployed_with
from .quantization_aware import Further, chosen_files, further_sections
from .sparse import sparsity_section
from .stages import ASSISTANT, Stage, stage
from .targets import fingerprint_of, learnt_from, targets_section
from .training_stage import Trained, begun
from .versions import REPORT_VERSION


def report(
    job: Job,
    test: TestSplit,
    teacher: Trained,
    assistant: Assistant | None,
    arms: dict[str, list[Trained]],
    chosen: int,
    store: Store | None,
    evaluation: Stage,
    answers: dict[str, Tensor],
    export: Stage,
    formats: Mapping[str, Stage],
    went_on: Mapping[str, Further],
) -> dict[str, Any]:
    """``results.json``, ``report.html`` and the products at the top of the run folder."""
    here = begun(job, report_stage(job, evaluation, export, formats, went_on))
    device = device_section(job, export)
    if device is None and (job.out / ADOPTED).is_file():
        progress.note(f"{job.out / ADOPTED} is of other files than the run's: the report leaves its figures out.")
    files = chosen_files(job, formats, went_on)
    if not here.finished:
        here.prepare()
        examples = test.open("what the report shows")
        results = _results(job, examples, teacher, assistant, arms, chosen, store, answers, export)
        results |= formats_section(job, files, results, further_sections(job, went_on))
        results |= sparsity_section(job, arms["student"][chosen], export, files)
        results |= {} if device is None else {"device": device}
        write_json(here.folder / "results.json", results)
        write_report(
            _evidence(job, examples, arms, chosen, answers, results, teacher, export), here.folder / "report.html"
        )
        here.finish({"test_reads": results["test_reads"]}, ["results.json", "report.html"])
    here.facts()
    for name in ("results.json", "report.html"):
        publish(here.folder / name, job.out / name)
    student = arms["student"][chosen]
    weights = job.out / "stages" / "student" / student.fingerprint / "model.safetensors"
    results = json.loads((here.folder / "results.json").read_text(encoding="utf-8"))
    job.modality.publish(export.folder, weights, job.out, results)
    publish_formats(job, files, export)
    write_standalone(on_device.__name__, job.out / SCRIPT)
    return results | {"out": str(job.out)}


def _results(
    job: Job,
    examples: Any,
    teacher: Trained,
    assistant: Assistant | None,
    arms: dict[str, list[Trained]],
    chosen: int,
    store: Store | None,
    answers: dict[str, Tensor],
    export: Stage,
) -> dict[str, Any]:
    facts = export.facts()
    recipe, teachers = job.recipe, teachers_of(teacher)
    by = KINDS[job.splits.answers.kind]

    def evidence(model: str, name: str, ones: Sequence[Trained], cost: dict[str, Any]) -> ModelEvidence:
        runs = []
        for one in ones:
            key = name if name in teachers else f"{name}-{one.seed}"
            test, validation = (kept_of(by, answers, split, key) for split in ("test", "validation"))
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
    targets = targets_section(job, store, len(arms["student"]) if assistant is None else 1)
    if store is not None and targets is not None:
        if targets["seconds"] is not None:
            timings["targets"] = {"seconds": targets["seconds"], "runs": 1}
        fingerprints["targets"] = fingerprint_of(job, store)
    between: dict[str, Any] = {}
    if assistant is not None:
        one, said = assistant.trained, targets_section(assistant.job, assistant.store, len(arms["student"]))
        found = evidence(recipe.assistant.model, ASSISTANT, [one], {"parameters": parameters(one.model)})
        between[ASSISTANT] = json_values(
            model_section(by, found.model, found.runs, found.cost, job.splits.answers.names)
        )
        between[ASSISTANT]["targets"] = said
        timings[ASSISTANT] = {"seconds": one.seconds, "runs": 1}
        fingerprints[ASSISTANT] = one.fingerprint
        if assistant.store is not None and said is not None:
            timings[f"{ASSISTANT}_targets"] = {"seconds": said["seconds"], "runs": 1}
            fingerprints[f"{ASSISTANT}_targets"] = fingerprint_of(assistant.job, assistant.store)
    for arm, ones in arms.items():
        timings[arm] = {"seconds": sum(one.seconds for one in ones), "runs": len(ones)}
        fingerprints[arm] = [one.fingerprint for one in ones]
    data = {
        "name": recipe.data.name,
        "example": outline_of(job.task.name).example,
        "classes": list(job.splits.classes),
        "train": len(job.splits.train),
        "validation": len(job.splits.validation),
        "test": len(answers["test/labels"]),
        "transfer": 0 if job.splits.transfer is None else len(job.splits.transfer),
        **job.modality.data_facts(job.splits, job.task),
        "notes": [*job.notes, *([larger] if (larger := deployed_with(job.objective())) else [])],
    }
    taught, pupils = evidence(recipe.teacher.title, "teacher", [teacher], teacher_cost), by_arm["student"]
    ms = tuple(cost.get("latency_ms", {}).get("p50") for cost in (student_cost, teacher_cost))
    unsure = escalation.section(by, pupils.runs, taught.runs[0], chosen, (ms[0], ms[1]))
    from_teacher = learnt_from(job, store, teacher.identity)
    results = assemble(
        name=job.name,
        task=job.task.name,
        answers=job.splits.answers,
        data=data,
        teacher=taught,
        members=[evidence(one.title, name, [one], {}) for name, one in teachers.items() if one is not teacher],
        weights=recipe.teacher.weights if teacher.members else None,
        student=pupils,
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
        learnt_from_teacher=from_teacher,
        timings=timings,
        fingerprints=fingerprints,
        recipe=recipe.model_dump(mode="json"),
        test_reads=test_reads(job.out),
    )
    measured = {name: facts[name] for name in ("measured", "in_use") if name in facts}
    told = {
        "diagnosis": _diagnosis(job, teacher, arms, chosen, answers, from_teacher),
        "escalation": json_values(unsure),
    }
    return results | measured | between | told | {"licenses": licences(recipe)}


def _diagnosis(
    job: Job,
    teacher: Trained,
    arms: dict[str, list[Trained]],
    chosen: int,
    answers: dict[str, Tensor],
    from_teacher: bool,
) -> dict[str, Any]:
    """Why the exported student stays behind its teacher: what both say of what it learnt from is asked for here."""
    names = _exported(arms, chosen)
    validation = {
        role: answers[f"validation/{names[role]}"] for role in ROLES if f"validation/{names[role]}" in answers
    }
    validation["labels"] = answers["validation/labels"]
    return section_of(job, validation, teacher, arms["student"][chosen], from_teacher=from_teacher)


def _exported(arms: dict[str, list[Trained]], chosen: int) -> dict[str, str]:
    """What the answers of the teacher, of the exported student and of the baseline of its seed are kept under."""
    seed = arms["student"][chosen].seed
    return {"teacher": "teacher", "student": f"student-{seed}", "baseline": f"baseline-{seed}"}


def _evidence(
    job: Job,
    examples: Any,
    arms: dict[str, list[Trained]],
    chosen: int,
    answers: dict[str, Tensor],
    results: dict[str, Any],
    teacher: Trained,
    export: Stage,
) -> Evidence:
    by, of = KINDS[job.splits.answers.kind], _exported(arms, chosen)
    return Evidence(
        results=results,
        outline=outline_of(job.task.name),
        headline=headline(results),
        findings=findings(results),
        on_examples=on_examples(results),
        drawings=drawings_of(export),
        kind=job.splits.answers.kind,
        names=job.splits.answers.names,
        labels=answers["test/labels"].numpy(),
        answers={role: answers[f"test/{name}"].numpy() for role, name in of.items()} if by.WHOLE else {},
        kept={} if by.WHOLE else {role: _arrays(kept_of(by, answers, "test", name)) for role, name in of.items()},
        show=job.modality.show(examples),
        histories={"teacher": teacher.history} | {arm: ones[chosen].history for arm, ones in arms.items()},
        temperature=job.temperature,
    )


def _arrays(kept: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: found.numpy() for name, found in kept.items()}


def report_stage(
    job: Job, evaluation: Stage, export: Stage, formats: Mapping[str, Stage], went_on: Mapping[str, Further]
) -> Stage:
    """The stage of the report."""
    more: dict[str, Any] = {}
    if formats:
        more["formats"] = {name: one.fingerprint for name, one in formats.items()}
    if further := {name: [here.fingerprint for here in one.stages] for name, one in went_on.items() if one.stages}:
        more["quantization_aware"] = further
    if (device := device_section(job, export)) is not None:
        more["device"] = fingerprint(device)
    ingredients = {
        "version": REPORT_VERSION,
        "name": job.name,
        # without what is not there: an objective more in the catalogue is no other recipe
        "recipe": job.recipe.model_dump(mode="json", exclude_none=True),
        "evaluate": evaluation.fingerprint,
        "export": export.fingerprint,
        **more,
    }
    return stage(job.out, "report", ingredients)
