"""A trained student of which most weights are set to zero, and which goes on with them held: in the arms of the teacher and of the controls.

It is taught as before, by the same stored soft targets. What it was before is a stage of its own, which a recipe without ``sparsity`` comes to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..data.epochs import ViewOf
from ..deploy.compressed import taken_by
from ..deploy.export import Exporter
from ..deploy.formats import FORMATS
from ..deploy.latency import compare_latency
from ..evaluation.kinds import KINDS
from ..models.sparsity import set_to_zero, zeros_held, zeros_in, zeros_wanted
from ..objectives.modules import Objective
from ..sections.recipe import Recipe
from ..sections.sparsity import Sparsity
from ..sections.train import Train
from ..targets.live_teacher import LiveTeacher
from ..targets.stored_teacher import StoredTeacher
from ..training.history import field as recorded
from .job import Job
from .stages import Stage
from .training_stage import Trained, gone_on, train_stage

RATE = 1.0
"""Of the student's peak learning rate: what is left has to make up for what is gone (Renda et al. 2020, "Comparing Rewinding and Fine-tuning in
Neural Network Pruning")."""


def epochs_more(recipe: Recipe, plan: Train) -> int:
    """For how many epochs a student, or a control whose plan has more or fewer of them, goes on; 0 where the recipe asks for none."""
    wanted = recipe.sparsity
    return 0 if wanted is None else max(1, round(wanted.epochs * plan.epochs / recipe.train.epochs))


def train_sparse(
    job: Job,
    here: Stage,
    wanted: Sparsity,
    dense: Trained,
    *,
    title: str,
    objective: Callable[[], Objective],
    plan: Train,
    teacher: LiveTeacher | StoredTeacher | None,
    view_of: ViewOf,
) -> Trained:
    """The stage in which a trained student, or a control, goes on; its history and seconds are those of both stages.

    Raises :class:`limbeck.errors.BadInput` where so many of its weights cannot be zero.
    """
    made = train_stage(
        job,
        here,
        title=f"{title}, sparse",
        build=lambda: set_to_zero(copy.deepcopy(dense.model), wanted.share),
        objective=objective(),
        plan=gone_on(plan, epochs_more(job.recipe, plan), RATE),
        views=job.recipe.views,
        seed=dense.seed,
        teacher=teacher,
        view_of=view_of,
        learning=zeros_held,
    )
    before = dense.history[-1]
    later = [
        {**one, "epoch": before["epoch"] + one["epoch"], "seconds": before["seconds"] + one["seconds"]}
        for one in made.history
    ]
    return replace(made, history=[*dense.history, *later], seconds=dense.seconds + made.seconds, dense=dense)


def beside_dense(
    exporter: Exporter, dense: Trained, folder: Path, path: str, files: Sequence[str], lengths: Sequence[int]
) -> dict[str, Any]:
    """What those in ONNX take when they are compressed of the ``files`` that were written of a student, beside the same student before.

    Returns ``files``, by format what :func:`limbeck.deploy.compressed.taken_by` says, ``dense``, which is that of the float32 file of the
    student before, and ``time_over_dense``: how many times as long the file at ``path`` takes as that one, in turns at batch 1 and the first of
    the ``lengths``, as :func:`limbeck.deploy.timing.ratio` has it, and whether it was ``disturbed``.
    """
    ours = [name for name in files if name.endswith(".onnx")]
    small = [name for name in ours if name.endswith(FORMATS["onnx-int8"].suffix)]
    with TemporaryDirectory() as other:
        there = exporter.export(dense.model.to("cpu").eval(), "student", Path(other), variants=False)
        theirs = [name for name in there.files if name.endswith(".onnx")]
        timed = compare_latency({"sparse": folder / path, "dense": there.path}, length=lengths[0] if lengths else 1)
        told = taken_by(Path(other), theirs, FORMATS["onnx"])
    taken = {"onnx": [name for name in ours if name not in small], "onnx-int8": small}
    return {
        "files": {name: taken_by(folder, some, FORMATS[name]) for name, some in taken.items() if some},
        "dense": told,
        "time_over_dense": timed["speedup"]["dense"] | {"disturbed": timed["disturbed"]},
    }


def sparsity_section(job: Job, student: Trained, export: Stage, formats: Mapping[str, Stage]) -> dict[str, Any]:
    """What the results say of the exported student, whose stage ``export`` is, and those of its ``formats``; nothing where nothing is to be zero.

    See ``docs/results-schema.md``.
    """
    wanted, dense = job.recipe.sparsity, student.dense
    if wanted is None or dense is None:
        return {}
    zeros, weights = zeros_in(student.model)
    figure, *_ = KINDS[job.splits.answers.kind].FIGURES
    measured, found = export.facts()["sparsity"], {name: one.facts() for name, one in formats.items()}
    files = measured["files"] | {name: one["compressed"] for name, one in found.items() if "compressed" in one}
    return {
        "sparsity": {
            "share": wanted.share,
            "zeros": zeros,
            "weights": weights,
            "reached": zeros == zeros_wanted(weights, wanted.share),
            "epochs": len(student.history) - len(dense.history),
            "validation": {
                "before": dense.history[-1][recorded(figure)],
                "after": student.history[-1][recorded(figure)],
            },
            "files": files,
            "dense": measured["dense"],
            "time_over_dense": measured["time_over_dense"],
        }
    }
