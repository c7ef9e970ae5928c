"""What to say when a loss is not a number: the step, the examples, and what is likely to blame."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import LimbeckError
from ..interfaces import Batch, Features, Target, Task, Teacher
from ..objectives.modules import Objective


class NotFinite(LimbeckError):
    """A loss or a teacher's answer was NaN or infinite."""


def explain(
    *,
    title: str,
    step: int,
    steps_per_epoch: int,
    batch: Batch,
    model: nn.Module,
    task: Task,
    teacher: Teacher | None,
    objective: Objective,
) -> NotFinite:
    """Runs the bad batch once more, part by part, and puts what it finds into sentences.

    The updates have been stopped since that step, so the model is the one that gave the bad loss.
    """
    where = f"{title}: the loss of step {step} (epoch {step // steps_per_epoch + 1}) is not finite"
    model.eval()
    with torch.no_grad():
        if bad := _bad_rows(batch.inputs):
            return NotFinite(f"{where}: the input itself is not, for {_name(batch, bad)}. Look at those examples.")
        if teacher is not None:
            target = teacher(batch, objective.needs)
            logits = _logits_of(target)
            # -inf is an honest answer (a class ruled out); NaN and +inf are not
            if bad := _bad_rows(logits.masked_fill(logits == -torch.inf, 0.0)) if logits is not None else []:
                return NotFinite(
                    f"{where}: the teacher's own answer is not, for {_name(batch, bad)}. Likely causes: the teacher's "
                    "weights hold NaN, its precision is too narrow (try float32), or its input is normalised differently "
                    "(teacher.preprocess)."
                )
            for path, features in _features_of(target).items():
                if bad := _bad_rows(features):
                    return NotFinite(
                        f"{where}: the teacher's features at '{path}' are not, for {_name(batch, bad)}. Likely causes: the "
                        "teacher's precision is too narrow (try float32), or its input is normalised differently "
                        "(teacher.preprocess)."
                    )
        logits = task.forward(model, batch).logits
        bad = _bad_rows(logits) if logits is not None else []
    causes = "the learning rate is too high (lower train.learning_rate, or raise train.warmup_epochs)"
    if bad and len(bad) < len(batch.ids):
        return NotFinite(f"{where}: the student's answer is not, for {_name(batch, bad)}. Likely causes: {causes}.")
    return NotFinite(
        f"{where}; its batch holds {_name(batch, range(len(batch.ids)))}. Likely causes: {causes}, gradients explode "
        "(set train.clip_norm), or the precision is too narrow (train.precision: float32)."
    )


def _logits_of(target: Target) -> Tensor | None:
    return next((column.logits for column in target.columns if hasattr(column, "logits")), None)


def _features_of(target: Target) -> Mapping[str, Tensor]:
    return next((column.values for column in target.columns if isinstance(column, Features)), {})


def _bad_rows(values: object) -> list[int]:
    if isinstance(values, Mapping):
        return sorted({row for value in values.values() for row in _bad_rows(value)})
    if not isinstance(values, Tensor) or not values.is_floating_point():
        return []
    return (~values.flatten(1).isfinite().all(dim=1)).nonzero().flatten().tolist()


def _name(batch: Batch, rows: object) -> str:
    chosen = list(rows)  # type: ignore[call-overload]
    ids = batch.ids[chosen[:8]].tolist()
    more = f" and {len(chosen) - 8} more" if len(chosen) > 8 else ""
    return f"example{'s' if len(chosen) > 1 else ''} {', '.join(map(str, ids))}{more}"
