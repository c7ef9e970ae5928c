"""``results.json``: what a run found out, as one plain dictionary (docs/results-schema.md has every field).

Built from stored logits alone, so anyone can compute it again.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..version import __version__
from . import fidelity as one_label_fidelity
from . import losses, metrics, multilabel
from .compare import calibration_bootstrap, mean_sd, paired_bootstraps, within_possible

SCHEMA_VERSION = 2
COST_FIELDS = (
    "parameters",
    "macs",
    "bytes",
    "latency_ms",
    "throughput_per_s",
    "peak_memory_mb",
    "anonymous_memory_mb",
    "energy_mj",
    "latency_by_length",
)


@dataclass(frozen=True)
class Predictions:
    """What a model said of a split."""

    logits_NC: Tensor
    labels_N: Tensor


@dataclass(frozen=True)
class RunEvidence:
    """One trained model of one seed: its predictions, and how long it trained."""

    seed: int
    test: Predictions
    validation: Predictions
    seconds: float  # of training; 0 for a model that came ready-made


@dataclass(frozen=True)
class ModelEvidence:
    """One model over its seeds. ``cost`` holds ``COST_FIELDS`` as measured; what is missing becomes None."""

    model: str
    runs: Sequence[RunEvidence]
    cost: Mapping[str, Any]


def _figures(labels: Tensor) -> Any:
    """The module whose functions fit such labels: (N,) class numbers, or (N, C) where an example may have several."""
    return multilabel if labels.ndim == 2 else metrics


def run_metrics(run: RunEvidence) -> dict[str, float]:
    """Test figures of one run, with NLL and ECE also after a temperature fitted on its validation split."""
    by = _figures(run.test.labels_N)
    temperature = by.fit_temperature(run.validation.logits_NC, run.validation.labels_N)
    scaled = by.classification(run.test.logits_NC.double() / temperature, run.test.labels_N)
    return by.classification(run.test.logits_NC, run.test.labels_N) | {
        "nll_scaled": scaled["nll"],
        "ece_scaled": scaled["ece"],
        "temperature": temperature,
    }


def model_section(
    name: str, runs: Sequence[RunEvidence], cost: Mapping[str, Any], classes: Sequence[str]
) -> dict[str, Any]:
    """The section of one model: its metrics over seeds, per class, cost and runs."""
    flat = [run_metrics(run) for run in runs]
    by = _figures(runs[0].test.labels_N)
    rows = [by.per_class(run.test.logits_NC, run.test.labels_N, classes) for run in runs]
    return {
        "model": name,
        "metrics": {figure: mean_sd([one[figure] for one in flat]) for figure in flat[0]},
        "per_class": [
            same_class[0] | {"accuracy": _mean([row["accuracy"] for row in same_class])}
            for same_class in zip(*rows, strict=True)
        ],
        **dict.fromkeys(COST_FIELDS),
        **cost,
        "runs": [
            {
                "seed": run.seed,
                "metrics": metrics,
                "validation": by.classification(run.validation.logits_NC, run.validation.labels_N),
                "seconds": run.seconds,
            }
            for run, metrics in zip(runs, flat, strict=True)
        ],
    }


def fidelity_section(runs: Sequence[RunEvidence], teacher: Predictions) -> dict[str, Any]:
    """How closely the runs follow the teacher on test, over seeds; a figure that has no examples is None."""
    of = multilabel.fidelity if teacher.labels_N.ndim == 2 else one_label_fidelity.fidelity
    flat = [of(run.test.logits_NC, teacher.logits_NC, run.test.labels_N) for run in runs]
    section: dict[str, Any] = {}
    for figure in flat[0]:
        values = [value for one in flat if (value := one[figure]) is not None]
        section[figure] = mean_sd(values) if values else None
    return section


def comparison_sections(
    student: Sequence[RunEvidence], controls: Mapping[str, Sequence[RunEvidence]], teacher: RunEvidence
) -> dict[str, dict[str, Any]]:
    """Differences with intervals over seeds and test examples: the student minus each control and minus the teacher.

    ``teacher_minus_baseline`` is the teacher minus the control ``baseline``, where there is one. The controls are paired
    by seed; the teacher is one model, the same for all seeds. Of each pair: ``accuracy``, ``nll``, ``ece``, and
    ``balanced_accuracy`` where more than half of the test examples are of one class. Raises ``ValueError`` for other seeds.
    """
    for others in controls.values():
        if [run.seed for run in student] != [other.seed for other in others]:
            raise ValueError("both sides of a comparison need the same seeds in the same order")
    taught = [teacher] * len(student)
    pairs = {role: (student, others) for role, others in controls.items()} | {"teacher": (student, taught)}
    if "baseline" in controls:
        pairs["teacher_minus_baseline"] = (taught, controls["baseline"])
    labels = teacher.test.labels_N
    by = _figures(labels)

    def stacked(runs: Sequence[RunEvidence], score: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
        return np.stack([score(run.test.logits_NC, run.test.labels_N).numpy() for run in runs])

    scores: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"accuracy": by.correct, "nll": by.negative_log_likelihood}
    if labels.ndim == 1 and commonest(labels, None)["share"] > 0.5:
        scores["balanced_accuracy"] = lambda logits, of: metrics.balanced(metrics.correct(logits, of), of)
    wanted = [(role, name) for role in pairs for name in scores]
    found = paired_bootstraps(
        [
            stacked(a, scores[name]) - stacked(b, scores[name])
            for a, b, name in ((*pairs[role], name) for role, name in wanted)
        ]
    )
    sections: dict[str, dict[str, Any]] = {role: {} for role in pairs}
    for (role, name), one in zip(wanted, found, strict=True):
        sections[role][name] = one if name == "nll" else within_possible(one)
    for role, (a, b) in pairs.items():
        sections[role]["ece"] = calibration_bootstrap(stacked(a, by.calibration_gaps), stacked(b, by.calibration_gaps))
    return sections


def losses_section(
    student: Sequence[RunEvidence],
    baseline: Sequence[RunEvidence],
    teacher: RunEvidence,
    classes: Sequence[str],
    groups: losses.Groups | None,
) -> dict[str, Any]:
    """Who paid: classes and groups against the baseline and against the teacher, and the examples that were lost."""
    labels = teacher.test.labels_N.cpu()
    by = _figures(labels)

    def right(runs: Sequence[RunEvidence], of: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
        return np.stack([of(run.test.logits_NC, run.test.labels_N).cpu().numpy().astype(np.int64) for run in runs])

    sides = {"student": student, "baseline": baseline, "teacher": [teacher]}
    right_SN = {role: right(runs, by.correct) for role, runs in sides.items()}
    if labels.ndim == 2:
        answers_SNC = {role: right(runs, multilabel.right) for role, runs in sides.items()}
        asked_NC = np.ones(labels.shape, dtype=bool)
    else:
        answers_SNC = {role: of_SN[:, :, None] for role, of_SN in right_SN.items()}
        asked_NC = labels[:, None].numpy() == np.arange(len(classes))
    others = ("baseline", "teacher")
    return {
        "classes": {
            other: losses.by_class(answers_SNC["student"], answers_SNC[other], asked_NC, classes) for other in others
        },
        "groups": groups
        and {"column": groups.column, "count": len(set(groups.of_N))}
        | {other: losses.by_group(right_SN["student"], right_SN[other], groups) for other in others},
        "examples": losses.lost_examples(right_SN["student"], right_SN["teacher"][0]),
    }


def commonest(labels: Tensor, classes: Sequence[str] | None) -> dict[str, Any]:
    """``{"labels", "share"}``: the class (of label sets, the set) that most test examples have, and their share."""
    sets, counts = labels.cpu().unique(dim=0, return_counts=True)
    most = sets[int(counts.argmax())]
    numbers = most.nonzero()[:, 0].tolist() if labels.ndim == 2 else [int(most)]
    names = None if classes is None else [classes[number] for number in numbers]
    return {"labels": names, "share": int(counts.max()) / len(labels)}


def _lacking(labels: Tensor, classes: Sequence[str]) -> list[str]:
    """The classes of which a split has no example."""
    count_C = labels.sum(dim=0) if labels.ndim == 2 else torch.bincount(labels, minlength=len(classes))
    return [name for name, count in zip(classes, count_C.tolist(), strict=True) if not count]


def assemble(
    *,
    name: str,
    task: str,
    data: Mapping[str, Any],
    teacher: ModelEvidence,
    student: ModelEvidence,
    baseline: ModelEvidence,
    smoothed: ModelEvidence | None,
    export: Mapping[str, Any] | None,
    timings: Mapping[str, Mapping[str, Any]],
    fingerprints: Mapping[str, Any],
    recipe: Mapping[str, Any],
    test_reads: Sequence[Any],
    members: Sequence[ModelEvidence] = (),
    speed: Mapping[str, Any] | None = None,
    targets: Mapping[str, Any] | None = None,
    groups: losses.Groups | None = None,
    learnt_from_teacher: bool = True,
    created: str | None = None,
) -> dict[str, Any]:
    """The whole of ``results.json``: JSON values only, no NaN (a figure that is not finite becomes None).

    ``data`` holds ``classes`` (names in label order) among its fields. ``targets`` says what was stored of the teacher's
    answers, how it was asked and what that cost, None where it was asked live; ``learnt_from_teacher`` whether the student
    learnt from this teacher at all, without which no share of its accuracy or time says anything. ``groups`` says to which
    group each test example belongs, None where nothing does. ``timings`` gives each stage
    ``seconds`` (all its runs together) and ``runs``. ``members`` are the teachers of an ensemble, one run each. ``speed`` is how
    latencies compare (:class:`limbeck.deploy.costs.Latencies`), None where nothing was exported.

    Raises ``ValueError`` where models were not tested on the same labels.
    """
    controls = {"baseline": baseline} | ({"smoothed": smoothed} if smoothed else {})
    _check_same_test([teacher, student, *controls.values(), *members])
    sections = {
        role: model_section(evidence.model, evidence.runs, evidence.cost, data["classes"])
        for role, evidence in ({"teacher": teacher, "student": student} | controls).items()
    }
    sections["teacher"]["members"] = [
        {"model": member.model, "seed": run.seed, "metrics": run_metrics(run), "seconds": run.seconds}
        for member in members
        for run in member.runs
    ]
    answers = teacher.runs[0].test
    comparisons = comparison_sections(
        student.runs, {role: control.runs for role, control in controls.items()}, teacher.runs[0]
    )
    labels = {"validation": teacher.runs[0].validation.labels_N, "test": answers.labels_N}
    of_data = {
        "commonest": commonest(answers.labels_N, data["classes"]),
        "lacking": {split: found for split, of in labels.items() if (found := _lacking(of.cpu(), data["classes"]))},
    }
    return _plain(
        {
            "schema_version": SCHEMA_VERSION,
            "limbeck_version": __version__,
            "name": name,
            "task": task,
            "created": created or datetime.now(UTC).isoformat(timespec="seconds"),
            "data": {**data, **of_data},
            "teacher": sections["teacher"],
            "student": sections["student"],
            "baseline": sections["baseline"],
            "smoothed": sections.get("smoothed"),
            "fidelity": fidelity_section(student.runs, answers),
            "fidelity_baseline": fidelity_section(baseline.runs, answers),
            "comparison": {"smoothed": None} | comparisons,
            "losses": losses_section(student.runs, baseline.runs, teacher.runs[0], data["classes"], groups),
            "ratios": ratios(sections["teacher"], sections["student"], speed)
            | ({} if learnt_from_teacher else {"accuracy_kept": None}),
            "speed": speed,
            "export": export,
            "targets": targets,
            "learnt_from_teacher": learnt_from_teacher,
            "timings": timings,
            "student_over_teacher_seconds": _student_over_teacher_seconds(student, teacher, timings)
            if learnt_from_teacher
            else None,
            "fingerprints": fingerprints,
            "recipe": recipe,
            "environment": environment(),
            "test_reads": test_reads,
        }
    )


def ratios(
    teacher: Mapping[str, Any], student: Mapping[str, Any], speed: Mapping[str, Any] | None
) -> dict[str, float | None]:
    """Teacher over student for ``parameters``, ``macs``, ``bytes`` and ``latency``; None: not measured.

    ``latency`` is None as well where the measurement was disturbed: what is shown at first sight is never of that.
    ``accuracy_kept`` is the student's mean accuracy over the teacher's.
    """
    cost = {field: _ratio(teacher[field], student[field]) for field in ("parameters", "macs", "bytes")}
    told = speed if speed and speed["reference"] == "teacher" and not speed["disturbed"] else None
    return cost | {
        "latency": told["speedup"]["student"]["ratio"] if told else None,
        "accuracy_kept": _ratio(student["metrics"]["accuracy"]["mean"], teacher["metrics"]["accuracy"]["mean"]),
    }


def environment() -> dict[str, Any]:
    """The machine and the versions behind the figures."""
    packages = ("torch", "onnxruntime", "numpy", "datasets", "accelerate")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": _cores(),
        "torch_threads": torch.get_num_threads(),
        "versions": {package: _version(package) for package in packages},
    }


def _student_over_teacher_seconds(
    student: ModelEvidence, teacher: ModelEvidence, timings: Mapping[str, Mapping[str, Any]]
) -> float | None:
    """One student's training and the teacher's whole pass over the data, over the teacher's training."""
    one_student = statistics.fmean(run.seconds for run in student.runs)
    teacher_pass = timings.get("targets", {}).get("seconds") or 0.0
    return _ratio(one_student + teacher_pass, teacher.runs[0].seconds)


def _check_same_test(models: Sequence[ModelEvidence]) -> None:
    labels_N = models[0].runs[0].test.labels_N.cpu()
    for model in models:
        for run in model.runs:
            if not torch.equal(run.test.labels_N.cpu(), labels_N):
                raise ValueError(f"{model.model}, seed {run.seed}, was tested on other labels than the teacher")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _ratio(top: float | None, bottom: float | None) -> float | None:
    return top / bottom if top is not None and bottom else None


def _plain(value: Any) -> Any:
    """``value`` in types that JSON knows; floats that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (np.ndarray, Tensor)):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    # What this process may use, which in a container is less than what the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
