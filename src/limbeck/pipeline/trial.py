"""Both models and the objective tried on two examples, before anything is trained."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import nn

from ..errors import BadInput
from ..interfaces import Batch, DenseLogits, Features, Hypotheses, Needs, Output, RaggedLogits, Target, Values
from ..models.capture import Capture
from ..models.ensemble import with_spread
from ..models.inference import Inputs, ask, device_of, moved, untouched
from ..objectives.modules import Objective
from ..sections.recipe import Recipe
from ..targets.codecs import Rows
from ..targets.codecs.from_recipe import Candidates
from ..targets.hearing import hypotheses_of
from ..targets.live_teacher import as_target, padded
from ..targets.store.padding import each_tensor
from .simkd import simkd_in, taught_as_one, with_teachers_classifier


def try_out(
    objective: Objective,
    teacher: nn.Module,
    student: nn.Module,
    task: Any,
    recipe: Recipe,
    kept: Candidates | None,
) -> None:
    """Asks both models about two examples, and the objective about what they say: a misfit shows before any training.

    ``kept`` says how the teacher's answers will be kept, where they will be.
    """
    batch = two_examples(task.learnt_by(student), recipe)
    if (wanted := simkd_in(objective)) is not None:
        student = with_teachers_classifier(wanted, copy.deepcopy(student), teacher, batch, recipe.seed)
        objective = taught_as_one(objective)
    needs = objective.needs
    target = Target()
    answer, features = _answer(student, batch.inputs, needs.features, "student")
    numbers = task.answers.kind == "values"
    output = Output(None if numbers else answer, answer if numbers else None, features=features)
    if needs.target and task.answers.ragged:
        target = _of_recordings(teacher, task, batch, needs, kept)
    elif needs.target or needs.teacher_features:
        inputs = batch.inputs if batch.teacher_inputs is None else batch.teacher_inputs
        asked = with_spread(teacher, needs.spread)
        answer, features = _answer(asked, inputs, needs.teacher_features, "teacher")
        said = as_target(answer, task.answers)
        if kept is not None:
            rows = Rows(batch.ids, 0, torch.zeros_like(batch.ids))
            columns = kept.codecs[0].encode(answer, rows)
            said = kept.codecs[0].decode(columns, task.answers.width)
        if (
            needs.spread and isinstance(said, Values) and said.spread is None
        ):  # that over views is known once all are stored
            said = Values(said.values, torch.zeros_like(said.values))
        target = Target((said, Features(features)) if features else (said,))
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            objective.build(output, target, batch, task.pool.ids.cpu())
            objective(output, target, batch)
    except ValueError as error:
        raise BadInput(f"objective: {error}") from error


def two_examples(task: Any, recipe: Recipe) -> Batch:
    """The first examples at view 0, on the CPU: from what models say of them an objective learns their shapes."""
    index_B = torch.arange(min(2, len(task.pool)), device=task.pool.ids.device)
    batch = task.batch(task.pool, index_B, torch.zeros_like(index_B), recipe.views)
    there = {one.name: getattr(batch, one.name) for one in dataclasses.fields(batch)}
    on_cpu = {name: moved(value, "cpu") for name, value in there.items() if value is not None}
    return dataclasses.replace(batch, **on_cpu)


def _of_recordings(teacher: nn.Module, task: Any, batch: Batch, needs: Needs, kept: Candidates | None) -> Target:
    """What the teacher answers at the positions of two examples, and the transcripts that are heard in it, as they will be kept."""
    device = device_of(teacher)
    given = {"inputs": batch.inputs, "teacher_inputs": batch.teacher_inputs}
    here = dataclasses.replace(batch, **{name: moved(one, device) for name, one in given.items() if one is not None})
    with untouched(teacher):
        said = task.answer(teacher, here)
    said = RaggedLogits(said.logits.float().cpu(), said.lengths.cpu())
    columns: list[Any] = []
    if needs.target != (Hypotheses,):
        logits_BLV = padded(said, None)
        column: Any = DenseLogits(logits_BLV)
        if kept is not None:
            places = torch.zeros(logits_BLV.shape[:2].numel(), dtype=torch.int64)
            encoded = kept.codecs[0].encode(logits_BLV.flatten(0, 1), Rows(places, 0, places))
            decoded = kept.codecs[0].decode(encoded, task.answers.width)
            column = each_tensor(decoded, lambda tensor: tensor.unflatten(0, logits_BLV.shape[:2]))
        columns.append(column)
    if Hypotheses in needs.target:
        columns.append(hypotheses_of(said, 2, 4))
    return Target(tuple(columns))


def _answer(
    model: nn.Module, inputs: Inputs, paths: tuple[str, ...], name: str
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits and features on the CPU, in evaluation mode. Raises :class:`BadInput` where there are no such features."""
    try:
        with Capture(model, paths) as features:
            logits = ask(model, inputs)
    except ValueError as error:
        raise BadInput(f"the {name}'s features: {error}") from error
    return logits.float().cpu(), {path: value.cpu() for path, value in features.items()}
