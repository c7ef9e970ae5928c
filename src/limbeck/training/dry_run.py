"""One dry run before the first step, from whose shapes an objective makes what it trains itself: adapters, banks."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager

import accelerate.utils
from accelerate import Accelerator
from torch import nn

from ..interfaces import Batch, Needs, Output, Source, Target, Task, Teacher
from ..models.capture import Capture
from ..models.inference import untouched
from ..objectives.modules import Objective, Sum


def has_to_build(objective: Objective) -> bool:
    """Whether any of its parts makes something in :meth:`Objective.build`; most do not, and need no dry run."""
    makers = (type(part).build for part in objective.modules() if isinstance(part, Objective))
    return any(build not in (Objective.build, Sum.build) for build in makers)


def of_one_batch(
    model: nn.Module,
    task: Task,
    source: Source,
    teacher: Teacher | None,
    needs: Needs,
    parts: int,
    precision: AbstractContextManager,
) -> tuple[Output, Target, Batch]:
    """What both models say of the first part of the first batch, features included; neither model is changed by it.

    Every process gets the same. The student answers in evaluation mode, so that batch norm counts nothing twice.
    """
    with untouched(model), precision:
        batch = source.next(0, model, 0, parts)
        with Capture(model, needs.features) as features:
            output = task.forward(model, batch)
        target = teacher(batch, needs) if teacher is not None else Target()
    return dataclasses.replace(output, features=features) if features else output, target, batch


def broadcast(module: nn.Module, accelerator: Accelerator) -> None:
    """Gives every process the first one's parameters and buffers, as the wrapped model has them."""
    if accelerator.num_processes > 1:
        accelerate.utils.broadcast([*(p.data for p in module.parameters()), *module.buffers()])
