"""What models are worth where they are used, of tasks whose answers to examples say little of that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .. import progress
from ..files import write_json
from ..interfaces.in_use import Drawing
from ..modalities import outline_of
from ..models.identity import coarse
from .job import Job
from .stages import Stage
from .training_stage import Trained

DRAWINGS = "drawings.json"


def in_use_stage(job: Job, arms: Mapping[str, Sequence[Trained]]) -> dict[str, Any]:
    """What an export's stage is known by besides, where it judges models in use: all who are judged."""
    if outline_of(job.task.name).in_use is None:
        return {}
    return {"in_use": {name: [coarse(one.identity) for one in ones] for name, ones in arms.items()}}


def judge_in_use(
    job: Job, here: Stage, teacher: Trained, arms: Mapping[str, Sequence[Trained]], exported: Trained
) -> tuple[dict[str, Any], list[str]]:
    """The facts of it, and the names of the files in the stage's folder; neither where answers to examples tell all."""
    if outline_of(job.task.name).in_use is None:
        return {}, []
    models = {"teacher": [teacher.model.to("cpu").eval()]}
    for name, ones in arms.items():
        first = sorted(ones, key=lambda one: one is not exported)
        models[name] = [one.model.to("cpu").eval() for one in first]
    found = job.modality.in_use(models, job.task, job.splits, progress.bar)
    if found is None:
        return {}, []
    write_json(here.folder / DRAWINGS, [[one.title, one.caption, one.svg] for one in found.drawings])
    return {"in_use": found.plain}, [DRAWINGS]


def drawings_of(export: Stage) -> list[Drawing]:
    """The pictures that the stage kept."""
    path = export.folder / DRAWINGS
    return [Drawing(*one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []
