"""Classes that a teacher gives no chance at all, logits of -inf: whether an objective can learn from such answers.

Shapes: B answers, C classes.
"""

from __future__ import annotations

import torch

from ..interfaces import Batch, DenseLogits, Output, Target
from ..objectives.modules import Objective
from .store.as_logits import dense_answers
from .store.store import Store

_AT_ONCE = 4096


def cannot_learn_from_minus_infinity(objective: Objective) -> str | None:
    """The first of its parts whose value or gradient is not finite where a teacher's logit is -inf; None where all are.

    Each part that takes dense logits is tried on two answers.
    """
    teacher_BC = torch.tensor([[0.5, -torch.inf, 1.5], [1.0, 0.0, -torch.inf]])
    batch = Batch(ids=torch.arange(2), view=torch.zeros(2, dtype=torch.int64), inputs=None, labels=torch.tensor([0, 0]))
    for _, part in objective.weighted:
        if DenseLogits not in part.needs.target or part.needs.features or part.needs.teacher_features:
            continue
        student_BC = torch.tensor([[1.0, 0.0, 0.5], [0.0, 2.0, 1.0]], requires_grad=True)
        with torch.enable_grad():
            terms = part(Output(logits=student_BC), Target((DenseLogits(teacher_BC),)), batch)
            loss = torch.stack([term.total for term in terms.values()]).sum()
            (slope_BC,) = torch.autograd.grad(loss, student_BC)
        if not (loss.isfinite() and slope_BC.isfinite().all()):
            return part.title
    return None


def first_impossible(store: Store) -> tuple[int, int] | None:
    """Id and class of the first -inf that a store of dense logits holds, one row an example; None where there is none."""
    if store.codec.kind is not DenseLogits or store.ragged:
        return None
    ids_N = torch.from_numpy(store.ids)
    ask = dense_answers(store, ids_N)
    for view in range(store.views):
        for index_B in torch.arange(len(ids_N)).split(_AT_ONCE):
            logits_BC = ask(index_B, view)
            assert isinstance(logits_BC, torch.Tensor)
            found = (logits_BC == -torch.inf).nonzero()
            if len(found):
                row, place = found[0].tolist()
                return int(ids_N[index_B[row]]), place
    return None
