"""Quantisation-aware distillation: a student whose file in few bits loses too much goes on learning, with rounded weights and activations.

It is taught by the same stored soft targets and the same objective; what comes of it is put back into the plain student and quantised as
before. Of the two files the one is kept that is better on validation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from .. import progress
from ..deploy.formats import FORMATS
from ..deploy.parity import lost
from ..errors import BadInput
from ..evaluation.kinds import KINDS
from ..evaluation.wording import counted
from ..models.fake_quantization import ACTIVATION_LEVELS, MOMENTUM, ROW_LEVELS, fake_quantised
from ..models.sparsity import zeros_held
from ..sections.train import Train
from .evaluate import TestSplit
from .export import exporter_of
from .formats import CALIBRATION, STUDENT, calibration_examples, deploy_as, format_stage
from .job import Job
from .known import Known
from .stages import QUANTIZATION_AWARE, Stage, stage
from .students import Arm, plan_of
from .training_stage import Trained, gone_on, named, train_stage
from .versions import TRAINING_VERSION

RATE = 0.1
"""Of the student's peak learning rate: it is to move as far as the rounding, and no further."""


@dataclass(frozen=True)
class Further:
    """A format in 8 bits or less, before and after the student went on for it.

    Attributes:
        before: the stage of its file of the student as it was.
        training: the stage in which the student went on; None where it need not.
        after: the stage of the file that came of it, likewise.
    """

    before: Stage
    training: Stage | None = None
    after: Stage | None = None

    @property
    def stages(self) -> list[Stage]:
        """Those that came after the format's own."""
        return [one for one in (self.training, self.after) if one is not None]

    def chosen(self, kind: str) -> Stage:
        """The stage of the file that is better on validation examples, by the kind's first figure, then by its loss."""
        if self.after is None or "problem" in self.after.facts():
            return self.before
        return max((self.after, self.before), key=partial(_worth, kind))


def quantization_aware(
    job: Job,
    test: TestSplit,
    teacher: Trained,
    arm: Arm,
    student: Trained,
    export: Stage,
    formats: Mapping[str, Stage],
    known: Known,
    models: Sequence[Stage],
) -> dict[str, Further]:
    """For each format in 8 bits or less that holds the student: the student goes on where that loses more than the recipe lets it.

    ``job`` is that of the students, and ``arm`` the student's; ``formats`` are finished, and ``models`` are the stages of all that
    was trained. One training serves all formats that keep weights alike.
    """
    found = further_of(job, arm, student, export, formats)
    for number, name in enumerate(formats):
        here, after = (found[name].training, found[name].after) if name in found else (None, None)
        if here is None or after is None:
            continue
        if not here.finished:
            progress.note(
                f"{name} loses {_lost(formats[name].facts()):.2f} points on validation: the student goes on, {about(job)}."
            )
        known.note(here, number, [*models, export], about(job))
        trained = go_on(job, here, arm, student)
        known.note(after, number, [export, here], name)
        rounded = _rounding(job, here.ingredients["levels"], sparse=student.dense is not None)
        deploy_as(job, test, name, after, export, teacher, student, further=trained.model, rounded=rounded)
    return found


def further_of(job: Job, arm: Arm, student: Trained, export: Stage, formats: Mapping[str, Stage]) -> dict[str, Further]:
    """For each format in 8 bits or less that holds the student, all finished, what there is to do further, or was done; touches nothing."""
    wanted, found = job.recipe.export.quantization_aware, dict[str, Further]()
    if wanted is None:
        return found
    for name in job.recipe.export.quantised:
        facts = formats[name].facts()
        if "problem" in facts:
            continue
        found[name] = Further(formats[name])
        if _lost(facts) > wanted.when:
            here = further_stage(job, name, arm, student)
            found[name] = Further(formats[name], here, format_stage(job, name, export, here.fingerprint))
    return found


def about(job: Job) -> str:
    """What is trained, in words."""
    wanted = job.recipe.export.quantization_aware
    assert wanted is not None
    return f"{job.recipe.student.model}, {counted(wanted.epochs, 'epoch')}, rounded as its file is"


def further_stage(job: Job, name: str, arm: Arm, student: Trained) -> Stage:
    """The stage in which a student goes on for a format."""
    recipe, of = job.recipe, FORMATS[name]
    ingredients = {
        "version": TRAINING_VERSION,
        "model": named(recipe.student.model, recipe.student.knobs),
        "student": student.fingerprint,
        "train": _plan(job, arm).model_dump(mode="json"),
        "views": recipe.views.model_dump(mode="json"),
        "view_seed": recipe.seed,
        "seed": student.seed,
        "data": job.splits.labelled if arm.teacher is None else job.splits.fingerprint,
        "normalisation": job.task.input_facts(None),
        "levels": [of.weight_levels, ROW_LEVELS, ACTIVATION_LEVELS if of.rounds_activations else None],
        "momentum": MOMENTUM,
        "calibration": [recipe.seed, CALIBRATION],
        **arm.ingredients,
    }
    return stage(job.out, QUANTIZATION_AWARE, ingredients)


def further_stages(further: Mapping[str, Further]) -> list[Stage]:
    """All that came after the formats' own, each once."""
    return list({here.folder: here for one in further.values() for here in one.stages}.values())


def chosen_files(job: Job, formats: Mapping[str, Stage], further: Mapping[str, Further]) -> dict[str, Stage]:
    """Of each format the stage of its file: that of the student that went on, where it is better."""
    kind = job.splits.answers.kind
    return {name: further[name].chosen(kind) if name in further else here for name, here in formats.items()}


def further_sections(job: Job, further: Mapping[str, Further]) -> dict[str, Any]:
    """What the results say of each format: see ``docs/results-schema.md``."""
    return {name: _section(job.splits.answers.kind, one) for name, one in further.items()}


def _section(kind: str, further: Further) -> dict[str, Any]:
    before, first = further.before.facts(), KINDS[kind].FIGURES[0]
    exact = before["parity"][f"{first.name}_float32"]
    said = {
        "n": before["parity"]["n"],
        "lost": _lost(before),
        "went_on": further.after is not None,
        "validation": {"float32": exact, "before": before["parity"][first.name]},
        "test": {"float32": before["metrics_float32"], "before": before["metrics"]},
    }
    if further.training is None or further.after is None:
        return said
    after, training = further.after.facts(), further.training
    said |= {
        "epochs": training.ingredients["train"]["epochs"],
        "seconds": training.facts()["seconds"],
        "fingerprint": training.fingerprint,
        "taken": further.chosen(kind) is further.after,
    }
    if "problem" in after:
        return said | {"problem": after["problem"]}
    said["validation"]["after"] = after["parity"][first.name]
    said["test"]["after"] = after["metrics"]
    return said | {"lost_after": lost(first, exact, after["parity"][first.name])}


def go_on(job: Job, here: Stage, arm: Arm, student: Trained) -> Trained:
    """The student of an arm, gone on in its stage (:func:`further_stage`)."""
    return train_stage(
        job,
        here,
        title=f"{arm.name}, rounded",
        build=lambda: copy.deepcopy(student.model),
        objective=arm.objective(),
        plan=_plan(job, arm),
        views=job.recipe.views,
        seed=student.seed,
        teacher=arm.teacher,
        view_of=arm.view_of,
        learning=_rounding(job, here.ingredients["levels"], sparse=student.dense is not None),
    )


def _rounding(
    job: Job, levels: Sequence[Any], *, sparse: bool
) -> Callable[[nn.Module], AbstractContextManager[nn.Module]]:
    """What a student learns within, and is held to its file within: rounded as that is, over ranges that begin with those of
    calibration examples. Of one that is ``sparse`` the zeros stay."""
    of_weights, _, of_activations = levels

    @contextmanager
    def learning(model: nn.Module) -> Iterator[nn.Module]:
        graphs = exporter_of(job, None).graphs(model, STUDENT)
        dynamic = any(graph.int8 for graph in graphs.values())
        rounded = fake_quantised(
            model,
            levels=of_weights,
            activations="none" if of_activations is None else "dynamic" if dynamic else "static",
            calibrate=lambda: list(job.task.answers_to(model, calibration_examples(job))),
        )
        with rounded, zeros_held(model) if sparse else nullcontext():
            yield model

    return learning


def _plan(job: Job, arm: Arm) -> Train:
    wanted = job.recipe.export.quantization_aware
    assert wanted is not None
    return gone_on(plan_of(job, arm.name), wanted.epochs, RATE)


def _lost(facts: Mapping[str, Any]) -> float:
    """What a file lost on validation, by its stage's facts."""
    if "lost" not in facts["parity"]:
        raise BadInput(
            "export.quantization_aware: what files in 8 bits or less lose on validation was not measured when they were made: run again "
            "with --force formats to make them anew."
        )
    return float(facts["parity"]["lost"])


def _worth(kind: str, here: Stage) -> tuple[float, float]:
    first, loss = KINDS[kind].FIGURES[:2]
    parity = here.facts()["parity"]
    return first.sign * parity[first.name], loss.sign * parity[loss.name]
