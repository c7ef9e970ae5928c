"""What a store answers, whatever its codec: as dense logits, or as a distribution to be compared.

Shapes: B answers, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import BadInput
from ..interfaces import DenseLogits, RaggedLogits, TopK
from .asking import Ask
from .codecs import Answer, Rows
from .store import Store


def dense_answers(store: Store, ids_N: Tensor) -> Ask:
    """Asks a store in place of its teacher, for positions in ``ids_N``.

    Raises :class:`BadInput` where the store's codec keeps only a part of an answer.
    """
    if store.codec.kind is not DenseLogits:
        raise BadInput(
            f"the store {store.path} keeps answers as {store.codec.name}, which is only a part of what the teacher said, and "
            "no other codec can be made of it: convert the dense store that it came from, or ask the teacher again."
        )

    def ask(index_B: Tensor, view: int) -> Tensor | RaggedLogits:
        ids_B = ids_N[index_B]
        answer = gathered(store, ids_B, view)
        assert isinstance(answer, DenseLogits)
        if not store.ragged:
            return answer.logits
        lengths_B = store.lengths(ids_B, torch.full_like(ids_B, view))
        there_BL = torch.arange(answer.logits.shape[1]) < lengths_B[:, None]
        return RaggedLogits(answer.logits[there_BL], lengths_B)

    return ask


def reencoded(store: Store, logits_BC: Tensor, ids_B: Tensor, view: int) -> Answer:
    """What the store would answer if it had been cast from these logits: through its codec and back."""
    rows = Rows(ids_B.cpu(), view, torch.zeros(len(ids_B), dtype=torch.int64))
    return store.codec.decode(store.codec.encode(logits_BC, rows), store.classes)


def gathered(store: Store, ids_B: Tensor, view: int) -> Answer:
    """What the store answers for a view of these examples."""
    return store.gather(ids_B, torch.full_like(ids_B, view))


def distribution(answer: Answer, classes: int) -> Tensor:
    """The probabilities that an answer states at temperature 1: float64 (B, C + 1), the last for all it does not name.

    Where a kind of answer holds at other temperatures only, at the one nearest to 1.
    """
    if isinstance(answer, DenseLogits):
        return torch.nn.functional.pad(answer.logits.double().softmax(-1), (0, 1))
    if isinstance(answer, TopK):
        nearest = min(range(len(answer.temperatures)), key=lambda i: abs(answer.temperatures[i] - 1))
        padded = answer.ids < 0
        logits = (answer.logits.double() / answer.temperatures[nearest]).masked_fill(padded, -torch.inf)
        probs = torch.cat([logits, answer.log_rest[..., nearest : nearest + 1].double()], -1).softmax(-1)
        named, rest = probs[..., :-1], probs[..., -1:]
    else:
        padded = answer.ids < 0
        counts = answer.counts.double().masked_fill(padded, 0)
        named = counts / counts.sum(-1, keepdim=True)
        rest = torch.zeros_like(named[..., :1])
    # an id that is padding goes where its probability, 0, does no harm
    places = torch.cat([answer.ids.long().masked_fill(padded, classes), torch.full_like(rest, classes).long()], -1)
    out = torch.zeros(*named.shape[:-1], classes + 1, dtype=torch.float64, device=named.device)
    return out.scatter_add(-1, places, torch.cat([named, rest], -1))


def difference(one: Answer, other: Answer, classes: int) -> Tensor:
    """How far two answers of one kind are apart at temperature 1: total variation distance, float64 (B,), 0 to 1.

    Where two classes are all but equally likely, rounding decides which of them is the last of the k that a
    :class:`TopK` names. What it does not name is no likelier than the last that it does, so of a class that only one of
    the two names, that much may be what the other counts among the rest; only what is beyond is a difference.
    """
    p_BC, q_BC = distribution(one, classes), distribution(other, classes)
    if isinstance(one, TopK) and isinstance(other, TopK):
        p_BC, q_BC = _explained(p_BC, q_BC, _least(other, q_BC)), _explained(q_BC, p_BC, _least(one, p_BC))
    return (p_BC - q_BC).abs().sum(-1) / 2


def _least(answer: TopK, probs_BC: Tensor) -> Tensor:
    """The probability (B, 1) of the least likely class that is named."""
    named_Bk = probs_BC.gather(-1, answer.ids.long().clamp(min=0)).masked_fill(answer.ids < 0, torch.inf)
    return named_Bk.amin(-1, keepdim=True)


def _explained(p_BC: Tensor, q_BC: Tensor, least_B1: Tensor) -> Tensor:
    """``p`` with as much of the classes that ``q`` does not name among the rest as ``q`` may have there."""
    moved_BC = torch.where(q_BC[..., :-1] == 0, p_BC[..., :-1].minimum(least_B1), 0)
    moved_BC = moved_BC * (q_BC[..., -1:] / moved_BC.sum(-1, keepdim=True)).nan_to_num().clamp(max=1)
    return torch.cat([p_BC[..., :-1] - moved_BC, p_BC[..., -1:] + moved_BC.sum(-1, keepdim=True)], -1)
