"""What a temperature makes of a teacher's answers: how much they still tell, and how much of what moves the student is theirs"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..interfaces import Batch, DenseLogits, Output, Target
from ..objectives.modules import Objective

LADDER = (1.0, 2.0, 4.0, 8.0, 16.0)
"""The temperatures that a run's own is set beside."""


def entropy(logits_NC: Tensor, temperature: float) -> float:
    """The mean entropy of softened answers, as a share of the largest there is, log C."""
    softened = torch.distributions.Categorical(logits=logits_NC.double() / temperature)
    return float(softened.entropy().mean() / torch.tensor(logits_NC.shape[1]).log())


def teachers_share(
    objective: Objective, logits_NC: Tensor, labels_N: Tensor | None, temperature: float
) -> float | None:
    """The teacher's share of what moves a student that knows nothing yet, were the temperature so; None without labels' part.

    That is the gradient of the loss by the student's logits, all of them 0: the sum over examples of the norm of that from the
    parts that ask the teacher, over the same and that from the parts that ask labels alone. Softened answers pull with 1/T²
    (Hinton et al. 2015, section 2), which some objectives make up for by a factor T², and others do not.
    ``labels_N`` holds IGNORED where an example has none.
    """
    pulls = {True: torch.zeros_like(logits_NC), False: torch.zeros_like(logits_NC)}
    some = torch.zeros(len(logits_NC), dtype=torch.int64)
    batch = Batch(some, some, None, labels_N)
    for weight, part in objective.weighted:
        if part.needs.features or part.needs.teacher_features:
            continue
        of_teacher = bool(part.needs.target)
        if not of_teacher and labels_N is None:
            continue
        student_NC = torch.zeros_like(logits_NC, requires_grad=True)
        said = Target((DenseLogits(logits_NC),)) if of_teacher else Target()
        terms = _at(part, temperature)(Output(logits=student_NC), said, batch)
        loss = sum(weight * term.total / torch.as_tensor(term.count).clamp(min=1) for term in terms.values())
        if isinstance(loss, Tensor) and loss.requires_grad:
            pulls[of_teacher] += torch.autograd.grad(loss, student_NC)[0]
    teachers, labels = (float(pulls[whose].norm(dim=1).sum()) for whose in (True, False))
    return teachers / (teachers + labels) if teachers > 0 and labels > 0 else None


def beside(temperature: float) -> Sequence[float]:
    """The run's own temperature and the ladder's, from cold to hot."""
    return sorted({temperature, *LADDER})


def _at(part: Objective, temperature: float) -> Objective:
    """The part as it would be at another temperature; itself where it has none."""
    settings = getattr(part, "settings", {})
    if "temperature" not in settings:
        return part
    changed: Any = copy.deepcopy(part)
    changed.settings = {**settings, "temperature": temperature}
    return changed
