"""Students that are their teacher with channels taken out: which teacher, and what its weights are judged by.

Shapes: N calibration examples, B of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ...errors import BadInput
from ...interfaces.modality import Teachers
from ...models.outputs import OneLogit
from ...randomness import order
from ...vision.inputs import Normalisation
from ...vision.pixels import sides
from ...vision.prune import pruned, record_of, share_of_channels
from .examples import Splits, shape_of
from .recipe import ImageRecipe, RegressionRecipe, made_of

CALIBRATION = 256
"""Training examples that a loss is measured on, of each seed its own."""
_AT_ONCE = 64


def pruned_student(
    recipe: ImageRecipe | RegressionRecipe, splits: Splits, teachers: Teachers
) -> Callable[[int], nn.Module]:
    """What makes the pruned student for a seed, of the teacher as it is when it is called."""
    wanted, at = recipe.student.pruned, made_of(recipe)
    assert wanted is not None
    assert at is not None, "a recipe with such a student has a teacher by name"
    member = teachers.members[at]
    if isinstance(member.model, OneLogit):
        raise BadInput(
            "student.pruned: the teacher has one output for two classes, and a student has one for each: give a teacher of two "
            "outputs, or name a student (student.model)."
        )
    channels, size = shape_of(splits)
    example_BCHW = torch.full((2, channels, *sides(size)), 0.5)
    shares: list[float] = []  # once for all seeds: it does not depend on weights

    def student(seed: int) -> nn.Module:
        if not shares:
            shares.append(share_of_channels(member.model, wanted, example_BCHW))
        return pruned(
            member.model,
            wanted,
            example_BCHW,
            share=shares[0],
            seed=seed,
            gradients=lambda model: calibrate(model, splits, member.sees, seed),
        )

    return student


def calibrate(model: nn.Module, splits: Splits, sees: Normalisation | None, seed: int) -> None:
    """Leaves in the parameters of ``model`` the gradients of its mean loss on 256 training examples that ``seed`` names.

    The loss is what labels teach: the cross-entropy, or of numbers the squared error in units of their deviation. ``sees`` is what the
    model's input goes through, the data's own mean and deviation where it is None.
    """
    train, normalise = splits.train, sees or Normalisation(splits.mean, splits.std)
    assert train.labels is not None
    chosen_N = order(seed, 0, train.ids)[:CALIBRATION]
    for index_B in chosen_N.split(_AT_ONCE):
        images_BCHW, labels = train.images[index_B].cpu(), train.labels[index_B].cpu()
        seen_BCHW = normalise(images_BCHW if images_BCHW.is_floating_point() else images_BCHW.float() / 255)
        answer = model(seen_BCHW)
        if splits.answers.kind == "values":
            spread_D = train.labels.cpu().std(0, correction=0).clamp_min(1e-12)
            loss = ((answer - labels) / spread_D).square().sum()
        else:
            loss = F.cross_entropy(answer, labels, reduction="sum")
        (loss / len(chosen_N)).backward()
    for one in model.parameters():
        if one.grad is None:  # it took no part
            one.grad = torch.zeros_like(one)


def notes_on_pruned(student: nn.Module) -> list[str]:
    """What stayed of the teacher, in a sentence; nothing of other students."""
    record = record_of(student)
    if record is None:
        return []
    return [
        f"The student is its teacher, pruned: {record.after:,} of {record.before:,} parameters stay "
        f"({record.after / record.before:.1%}), in at most {record.share:.1%} of the channels of every layer."
    ]


def seen_otherwise(recipe: ImageRecipe | RegressionRecipe, teachers: Teachers) -> list[str]:
    """A sentence where a pruned student sees its input prepared otherwise than the weights are used to that it begins with."""
    at = made_of(recipe)
    if recipe.student.pruned is None or at is None or teachers.members[at].sees is None:
        return []
    return [
        "The pruned student begins with weights of a teacher whose images are prepared by teacher.preprocess; its own are prepared by "
        "the data's mean and deviation, which it gets used to in training."
    ]
