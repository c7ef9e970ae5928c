"""``results.json``: what a run found out, as one plain dictionary (docs/results-schema.md has every field).

Built from stored logits alone, so anyone can compute it again.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..interfaces import Answers, Values
from ..version import __version__
from . import losses, parts, spread
from .figure import plain
from .intervals import mean_sd, paired_bootstraps, sums_bootstrap, within_possible
from .keep import Kept
from .kinds import KINDS

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
class RunEvidence:
    """One trained model of one seed: what is kept of its answers (:mod:`limbeck.evaluation.kinds`), and how long it trained."""

    seed: int
    test: Kept
    validation: Kept
    seconds: float  # of training; 0 for a model that came ready-made


@dataclass(frozen=True)
class ModelEvidence:
    """One model over its seeds. ``cost`` holds ``COST_FIELDS`` as measured; what is missing becomes None."""

    model: str
    runs: Sequence[RunEvidence]
    cost: Mapping[str, Any]


def run_metrics(by: ModuleType, run: RunEvidence) -> dict[str, float]:
    """Test figures of one run, of the kind ``by``, also with what is fitted on its validation split."""
    return by.figures(run.test, run.validation)


def model_section(
    by: ModuleType, name: str, runs: Sequence[RunEvidence], cost: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """The section of one model: its metrics over seeds, per class or number, cost and runs."""
    flat = [run_metrics(by, run) for run in runs]
    return {
        "model": name,
        "metrics": {figure: mean_sd([one[figure] for one in flat]) for figure in flat[0]},
        **({by.ROWS: by.rows([run.test for run in runs], names)} if by.ROWS else {}),
        **dict.fromkeys(COST_FIELDS),
        **cost,
        "runs": [
            {
                "seed": run.seed,
                "metrics": metrics,
                "validation": by.figures(run.validation),
                "seconds": run.seconds,
            }
            for run, metrics in zip(runs, flat, strict=True)
        ],
    }


def by_split(run: RunEvidence) -> dict[str, Kept]:
    """What is kept of a run, by the split's name."""
    return {"validation": run.validation, "test": run.test}


def beside(by: ModuleType, kept: Kept, teacher: Kept) -> Kept:
    """What is kept of a model, with the teacher's answers; they are in it already where answers are not kept whole."""
    return {**kept, "teacher": teacher["answer"]} if by.WHOLE else kept


def fidelity_section(by: ModuleType, runs: Sequence[RunEvidence], teacher: Kept) -> dict[str, Any]:
    """How closely the runs follow the teacher on test, over seeds; a figure that has no examples is None."""
    flat = [by.fidelity(beside(by, run.test, teacher)) for run in runs]
    section: dict[str, Any] = {}
    for figure in flat[0]:
        values = [value for one in flat if (value := one[figure]) is not None]
        section[figure] = mean_sd(values) if values else None
    return section


def comparison_sections(
    by: ModuleType,
    student: Sequence[RunEvidence],
    controls: Mapping[str, Sequence[RunEvidence]],
    teacher: RunEvidence,
) -> dict[str, dict[str, Any]]:
    """Differences with intervals over seeds and test examples: the student minus each control and minus the teacher.

    ``teacher_minus_baseline`` is the teacher minus the control ``baseline``, where there is one. The controls are paired
    by seed; the teacher is one model, the same for all seeds. Of each pair the figures that the kind of answer compares.
    Raises ``ValueError`` for other seeds.
    """
    for others in controls.values():
        if [run.seed for run in student] != [other.seed for other in others]:
            raise ValueError("both sides of a comparison need the same seeds in the same order")
    taught = [teacher] * len(student)
    pairs = {role: (student, others) for role, others in controls.items()} | {"teacher": (student, taught)}
    if "baseline" in controls:
        pairs["teacher_minus_baseline"] = (taught, controls["baseline"])

    def stacked(runs: Sequence[RunEvidence], figure: str) -> np.ndarray:
        return np.stack([by.scores(run.test, figure).numpy() for run in runs])

    figures = by.compared(teacher.test)
    wanted = [(role, name) for role in pairs for name in figures if name not in by.SUMS]
    differences = [stacked(pairs[role][0], name) - stacked(pairs[role][1], name) for role, name in wanted]
    found = dict(zip(wanted, paired_bootstraps(differences), strict=True)) if wanted else {}
    for role, (a, b) in pairs.items():
        for name in set(figures) & set(by.SUMS):
            found[role, name] = sums_bootstrap(stacked(a, name), stacked(b, name), by.SUMS[name])
    known = {figure.name: figure for figure in by.FIGURES}

    def reached(runs: Sequence[RunEvidence], figure: str) -> float:
        scores = stacked(runs, figure)
        of = by.SUMS.get(figure)
        return float((scores.mean(axis=1) if of is None else of(scores.sum(axis=1), scores.shape[1])).mean())

    return {
        role: {
            name: within_possible(found[role, name], *known[name].possible(reached(others, name))) for name in figures
        }
        for role, (_, others) in pairs.items()
    }


def losses_section(
    by: ModuleType,
    student: Sequence[RunEvidence],
    baseline: Sequence[RunEvidence],
    teacher: RunEvidence,
    names: Sequence[str],
    groups: losses.Groups | None,
) -> dict[str, Any] | None:
    """Who paid: classes and groups against the baseline and against the teacher, and the examples that were lost.

    None where answers are not right or wrong.
    """
    sides = {"student": student, "baseline": baseline, "teacher": [teacher]}
    found = {role: [by.right(run.test) for run in runs] for role, runs in sides.items()}
    if found["teacher"][0] is None:
        return None

    def right(role: str, part: int) -> np.ndarray:
        return np.stack([one[part].cpu().numpy().astype(np.int64) for one in found[role]])

    right_SN, answers_SNC = ({role: right(role, part) for role in sides} for part in (0, 1))
    asked_NC = found["teacher"][0][2].numpy()
    others = ("baseline", "teacher")
    return {
        "classes": {
            other: losses.by_class(answers_SNC["student"], answers_SNC[other], asked_NC, names) for other in others
        },
        "groups": groups
        and {"column": groups.column, "count": len(set(groups.of_N))}
        | {other: losses.by_group(right_SN["student"], right_SN[other], groups) for other in others},
        "examples": losses.lost_examples(right_SN["student"], right_SN["teacher"][0]),
    }


def assemble(
    *,
    name: str,
    task: str,
    answers: Answers,
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
    weights: Sequence[float] | None = None,
    speed: Mapping[str, Any] | None = None,
    targets: Mapping[str, Any] | None = None,
    groups: losses.Groups | None = None,
    learnt_from_teacher: bool = True,
    created: str | None = None,
) -> dict[str, Any]:
    """The whole of ``results.json``: JSON values only, no NaN (a figure that is not finite becomes None).

    ``answers`` says of what kind the models' answers are; of numbers ``data`` may say what they are in, ``unit``. ``targets`` says what was stored of the teacher's
    answers, how it was asked and what that cost, None where it was asked live; ``learnt_from_teacher`` whether the student
    learnt from this teacher at all, without which no share of its accuracy or time says anything. ``groups`` says to which
    group each test example belongs, None where nothing does. ``timings`` gives each stage
    ``seconds`` (all its runs together) and ``runs``. ``members`` are the teachers of an ensemble, one run each, and ``weights`` how much
    each counts (None: alike). ``speed`` is how latencies compare (:class:`limbeck.deploy.costs.Latencies`), None where nothing was exported.

    Raises ``ValueError`` where models were not tested on the same labels.
    """
    controls = {"baseline": baseline} | ({"smoothed": smoothed} if smoothed else {})
    _check_same_test([teacher, student, *controls.values(), *members])
    by = KINDS[answers.kind]
    sections = {
        role: model_section(by, evidence.model, evidence.runs, evidence.cost, answers.names)
        for role, evidence in ({"teacher": teacher, "student": student} | controls).items()
    }
    sections["teacher"]["members"] = [
        {"model": member.model, "seed": run.seed, "metrics": run_metrics(by, run), "seconds": run.seconds}
        for member in members
        for run in member.runs
    ]
    taught = teacher.runs[0]
    if members and by.TARGET is Values:
        ensemble = [by_split(member.runs[0]) for member in members]
        sections["teacher"]["spread"] = spread.section(by_split(taught), ensemble, weights, answers.names)
    comparisons = comparison_sections(
        by, student.runs, {role: control.runs for role, control in controls.items()}, taught
    )
    units = data.get("unit") or ()
    tested = {
        "teacher": [taught.test],
        "student": [one.test for one in student.runs],
        "baseline": [one.test for one in baseline.runs],
    }
    fidelity = fidelity_section(by, student.runs, taught.test)
    return json_values(
        {
            "schema_version": SCHEMA_VERSION,
            "limbeck_version": __version__,
            "name": name,
            "task": task,
            "created": created or datetime.now(UTC).isoformat(timespec="seconds"),
            "answers": {"kind": answers.kind, "width": answers.width, "names": answers.names},
            "figures": plain([one for one in by.FIGURES if one.name in sections["student"]["metrics"]], units),
            "fidelity_figures": plain([one for one in by.FIDELITY if one.name in fidelity], units),
            "data": {**data, **by.about_labels(by_split(taught), answers.names)},
            "teacher": sections["teacher"],
            "student": sections["student"],
            "baseline": sections["baseline"],
            "smoothed": sections.get("smoothed"),
            "fidelity": fidelity,
            "fidelity_baseline": fidelity_section(by, baseline.runs, taught.test),
            "comparison": {"smoothed": None} | comparisons,
            "losses": losses_section(by, student.runs, baseline.runs, taught, answers.names, groups),
            "parts": parts.section(by, tested, groups, answers.names),
            "ratios": ratios(by, sections["teacher"], sections["student"], speed, learnt_from_teacher),
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
    by: ModuleType,
    teacher: Mapping[str, Any],
    student: Mapping[str, Any],
    speed: Mapping[str, Any] | None,
    learnt_from_teacher: bool,
) -> dict[str, Any]:
    """Teacher over student for ``parameters``, ``macs``, ``bytes`` and ``latency``; None: not measured.

    ``latency`` is None as well where the measurement was disturbed: what is shown at first sight is never of that.
    ``student_over_teacher`` is the other way round: of the first figure, which it names, the student's mean over the
    teacher's; ``accuracy_kept`` is the same of an accuracy. Both None where nothing was learnt from this teacher.
    """
    cost = {field: _ratio(teacher[field], student[field]) for field in ("parameters", "macs", "bytes")}
    told = speed if speed and speed["reference"] == "teacher" and not speed["disturbed"] else None
    first = by.FIGURES[0].name
    share = (
        _ratio(student["metrics"][first]["mean"], teacher["metrics"][first]["mean"]) if learnt_from_teacher else None
    )
    return cost | {
        "latency": told["speedup"]["student"]["ratio"] if told else None,
        "accuracy_kept": share if first == "accuracy" else None,
        "student_over_teacher": {"figure": first, "ratio": share},
    }


def environment() -> dict[str, Any]:
    """The machine and the versions behind the figures."""
    packages = ("torch", "onnxruntime", "numpy", "datasets", "accelerate")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": _cores(),
        "torch_threads": torch.get_num_threads(),
        "versions": {package: _version(package) for package in packages},
    }


def _student_over_teacher_seconds(
    student: ModelEvidence, teacher: ModelEvidence, timings: Mapping[str, Mapping[str, Any]]
) -> float | None:
    """One student's training and the teacher's whole pass over the data, over the teacher's training; an assistant counts in whole."""
    one_student = statistics.fmean(run.seconds for run in student.runs)
    before = sum(timings.get(name, {}).get("seconds") or 0.0 for name in ("targets", "assistant", "assistant_targets"))
    return _ratio(one_student + before, teacher.runs[0].seconds)


def _check_same_test(models: Sequence[ModelEvidence]) -> None:
    labels = models[0].runs[0].test.get("labels")
    for model in models:
        for run in model.runs:
            if labels is not None and not torch.equal(run.test["labels"].cpu(), labels.cpu()):
                raise ValueError(f"{model.model}, seed {run.seed}, was tested on other labels than the teacher")


def _ratio(top: float | None, bottom: float | None) -> float | None:
    return top / bottom if top is not None and bottom else None


def json_values(value: Any) -> Any:
    """``value`` in types that JSON knows; floats that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): json_values(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_values(one) for one in value]
    if isinstance(value, (np.ndarray, Tensor)):
        return json_values(value.tolist())
    if isinstance(value, np.generic):
        return json_values(value.item())
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
