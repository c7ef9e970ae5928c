"""What a candidate is worth as it is deployed: written in 8 bits or less, asked about the validation split, and gone on where that loses too much"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..deploy.formats import FORMATS
from ..deploy.formats.format import Format
from ..deploy.parity import lost
from ..errors import BadInput, Interrupted, LimbeckError
from ..evaluation.kinds import KINDS
from ..evaluation.wording import counted
from ..pipeline.formats import STUDENT, written_as
from ..pipeline.job import Job
from ..pipeline.quantization_aware import further_stage, go_on
from ..pipeline.students import Arm, plan_of
from ..pipeline.training_stage import Trained
from ..training.history import field, kept
from .precision import format_of


@dataclass(frozen=True)
class Deployed:
    """What the file of a trained candidate came to.

    Attributes:
        quality, loss: the first two figures over the validation split, of what the file answers.
        further: epochs for which the student went on with rounded weights, whether or not the file that came of it is the better one.
        seconds: that took.
        why: what became of it, as a sentence.
    """

    quality: float
    loss: float
    further: int
    seconds: float
    why: str


def as_deployed(job: Job, arm: Arm, student: Trained) -> Deployed:
    """What a student, trained to its end, is worth in the format of its recipe, of the validation examples that trained it to be chosen.

    As a run does (:mod:`limbeck.pipeline.quantization_aware`), it goes on where its file loses more than the recipe lets it, and of the two
    files the better one counts. Raises :class:`BadInput` where the format cannot hold it.
    """
    format, wanted = FORMATS[format_of(job.recipe)], job.recipe.export.quantization_aware
    first, loss, *_ = figures = KINDS[job.splits.answers.kind].FIGURES
    exact = kept(student.history, plan_of(job, arm.name), figures)[field(first)]
    before = _figures(job, format, student.model)
    worse = lost(first, exact, before[first.name])
    said = f"in {format.name} it loses {worse:.2f} {'points' if first.share else '%'}"
    if wanted is None or worse <= wanted.when:
        return Deployed(before[first.name], before[loss.name], 0, 0.0, f" As deployed, {said}.")
    trained = go_on(job, further_stage(job, format.name, arm, student), arm, student)
    after = _figures(job, format, trained.model)
    ours, theirs = ((first.sign * one[first.name], loss.sign * one[loss.name]) for one in (after, before))
    best = after if ours >= theirs else before
    came = f"{lost(first, exact, after[first.name]):.2f} after {counted(wanted.epochs, 'epoch')} with rounded weights"
    return Deployed(
        best[first.name], best[loss.name], wanted.epochs, trained.seconds, f" As deployed, {said}, and {came}."
    )


def _figures(job: Job, format: Format, model: nn.Module) -> Mapping[str, float]:
    by, examples = KINDS[job.splits.answers.kind], job.splits.validation
    model = model.to("cpu").eval()
    try:
        with tempfile.TemporaryDirectory() as folder:
            _, paths = written_as(job, format, model, Path(folder))
            file = {name: format.ask(path) for name, path in paths.items()}
            answers = job.modality.answered(file, model, job.task, STUDENT, examples)
    except LimbeckError as error:
        # what is wrong with the machine is no fault of the candidate
        if isinstance(error, Interrupted) or isinstance(error.__cause__, OSError):
            raise
        raise BadInput(*error.lines if isinstance(error, BadInput) else (str(error),)) from None
    return by.figures(by.kept(answers, examples.labels.cpu(), None, job.splits.answers.names))
