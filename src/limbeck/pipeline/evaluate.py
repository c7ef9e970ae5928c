"""Every model's answers on validation and test; the test split, opened once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from .. import progress
from ..evaluation import test_reads as record
from ..evaluation.keep import Kept, keep
from ..evaluation.kinds import KINDS
from ..files import atomic_path, sha256_file
from ..models.identity import coarse
from ..training.history import reached
from . import stages
from .job import Job
from .stages import Stage, stage
from .training_stage import Trained, begun
from .versions import EVALUATION_VERSION


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


def best_on_validation(job: Job, students: Sequence[Trained]) -> int:
    """Which seed's student is exported: the best on validation by the first figure, then by the loss."""
    return best_of_histories(job, [student.history for student in students])


def best_of_histories(job: Job, histories: Sequence[list[dict[str, float]]]) -> int:
    """The same of the records of their trainings."""
    figures = KINDS[job.splits.answers.kind].FIGURES
    return max(range(len(histories)), key=lambda i: reached(histories[i][-1], figures))


def evaluate(
    job: Job, test: TestSplit, teacher: Trained, arms: dict[str, list[Trained]]
) -> tuple[Stage, dict[str, Tensor]]:
    """What is kept of every model's answers to validation and test, stored so that each figure can be computed again."""
    models, teachers = models_of(teacher, arms), teachers_of(teacher)
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
    by, device = KINDS[job.splits.answers.kind], job.accelerator.device
    with progress.bar(len(models), "evaluate") as advance:
        for name, one in models.items():
            for split, of in (("test", examples), ("validation", validation)):
                labels, of = of.labels.cpu(), of.to(device)
                parts = job.task.answers_to(one.model.to(device), of, as_teacher=name in teachers)
                beside = None if by.WHOLE else job.task.answers_to(teacher.model.to(device), of, as_teacher=True)
                answers |= stored(by, keep(by, parts, labels, beside, job.splits.answers.names), f"{split}/{name}")
            advance()
    with atomic_path(path) as temporary:
        # not save_file, whose error for a full disk is not an OSError
        temporary.write_bytes(safetensors_bytes({name: value.cpu().contiguous() for name, value in answers.items()}))
    here.finish({"examples": len(examples), "test_reads": test_reads(job.out)}, ["answers.safetensors"])
    return here, answers


def stored(by: ModuleType, kept: Kept, name: str) -> dict[str, Tensor]:
    """The tensors of ``answers.safetensors`` of one model and split: its answers, or what is kept in place of them."""
    return {name: kept["answer"]} if by.WHOLE else {f"{name}/{column}": found for column, found in kept.items()}


def kept_of(by: ModuleType, answers: Mapping[str, Tensor], split: str, model: str) -> Kept:
    """What :func:`stored` was given, of a model and split."""
    if by.WHOLE:
        return by.kept(answers[f"{split}/{model}"], answers[f"{split}/labels"])
    start = f"{split}/{model}/"
    return {name.removeprefix(start): found for name, found in answers.items() if name.startswith(start)}


def evaluate_stage(job: Job, teacher: Trained, arms: dict[str, list[Trained]]) -> Stage:
    """The stage of the evaluation: it depends on every model's weights."""
    ingredients = {
        "version": EVALUATION_VERSION,
        "data": job.splits.fingerprint,
        "test": [job.recipe.data.test, job.splits.test.count],
        "models": {name: coarse(one.identity) for name, one in models_of(teacher, arms).items()},
        "normalisation": normalisations(job),
    }
    return stage(job.out, "evaluate", ingredients)


def normalisations(job: Job) -> list[dict[str, Any]]:
    """What is done to the student's input and to the teacher's."""
    return [job.task.input_facts(None), job.task.input_facts(job.task.teacher_sees)]


def teachers_of(teacher: Trained) -> dict[str, Trained]:
    """The teacher, and the members of an ensemble."""
    return {"teacher": teacher} | {f"teacher-{k}": member for k, member in enumerate(teacher.members)}


def models_of(teacher: Trained, arms: dict[str, list[Trained]]) -> dict[str, Trained]:
    return teachers_of(teacher) | {f"{arm}-{one.seed}": one for arm, ones in arms.items() for one in ones}
