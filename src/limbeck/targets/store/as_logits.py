"""What a store answers, whatever its codec: as dense logits, or as a distribution to be compared.

Shapes: B answers, P rows (as many, or all their positions), C classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...errors import BadInput
from ...interfaces import DenseLogits, RaggedLogits, Sampled, TopK, Values
from ...interfaces.task import Ask
from ..codecs import Rows
from .store import Store


def dense_answers(store: Store, ids_N: Tensor) -> Ask:
    """Asks a store in place of its teacher, for positions in ``ids_N``; a store of sequences answers with sequences.

    Numbers of a regression are answered as they are, with their deviations after them where the store has some.

    Raises :class:`BadInput` where the store's codec keeps only a part of an answer.
    """
    kind = store.plan["codec"]["name"]
    if store.codec.kind not in (DenseLogits, Values):
        raise BadInput(
            f"the store {store.path} keeps answers as {kind}, which is only a part of what the teacher said, and no other "
            "codec can be made of it: convert the dense store that it came from, or ask the teacher again."
        )

    def ask(index_B: Tensor, view: int) -> Tensor | RaggedLogits:
        stored = store.encoded(ids_N[index_B], torch.full_like(index_B, view))
        answer = store.codec.decode(stored.columns, store.classes)
        if isinstance(answer, Values):
            return answer.values if answer.spread is None else torch.cat([answer.values, answer.spread], dim=1)
        assert isinstance(answer, DenseLogits)
        return answer.logits if stored.length_B is None else RaggedLogits(answer.logits, stored.length_B)

    return ask


def reencoded(store: Store, logits_PC: Tensor, rows: Rows) -> Any:
    """What the store would answer if it had been cast from these logits: through its codec and back."""
    return store.codec.decode(store.codec.encode(logits_PC, rows), store.classes)


def gathered(store: Store, ids_B: Tensor, view: int) -> Any:
    """What the store answers for a view of these examples."""
    return store.gather(ids_B, torch.full_like(ids_B, view))


def distribution(answer: Any, classes: int) -> Tensor:
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
    elif isinstance(answer, Sampled):
        padded = answer.ids < 0
        counts = answer.counts.double().masked_fill(padded, 0)
        named = counts / counts.sum(-1, keepdim=True)
        rest = torch.zeros_like(named[..., :1])
    else:
        raise TypeError(f"no distribution is known of {type(answer).__name__}")
    # an id that is padding goes where its probability, 0, does no harm
    places = torch.cat([answer.ids.long().masked_fill(padded, classes), torch.full_like(rest, classes).long()], -1)
    out = torch.zeros(*named.shape[:-1], classes + 1, dtype=torch.float64, device=named.device)
    return out.scatter_add(-1, places, torch.cat([named, rest], -1))
