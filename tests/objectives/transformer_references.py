"""The inside of transformers as plain float64 loops."""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from limbeck.objectives.functional import attention_kl, attention_mse, cls_mse, hidden_cosine, hidden_mse, relation_kl
from tests.objectives.cases import EXACT, normal

# ------------------------------------------------------------------------------- what holds for every function


@dataclass(frozen=True)
class Kind:
    """A function with tensors of its shapes, of B examples and L positions."""

    function: object
    shapes: object  # (B, L) -> shapes of student and teacher

    def tensors(self, batch, length, dtype=EXACT):
        return [normal(*shape, seed=seed, dtype=dtype) for seed, shape in enumerate(self.shapes(batch, length), 1)]


def same(shape_of):
    return lambda batch, length: (shape_of(batch, length),) * 2


def hidden(batch, length):
    return batch, length, 6


def heads(batch, length):
    return batch, 2, length, length


KINDS = {
    "hidden_mse": Kind(hidden_mse, same(hidden)),
    "hidden_cosine": Kind(hidden_cosine, same(hidden)),
    "cls_mse": Kind(cls_mse, same(hidden)),
    "attention_mse": Kind(attention_mse, same(heads)),
    "attention_kl": Kind(attention_kl, same(heads)),
    "relation_kl": Kind(functools.partial(relation_kl, heads=2), lambda b, n: ((b, n, 6), (b, n, 4))),
}


MASK = torch.tensor([[True, True, False], [True, True, True], [False, False, False], [True, False, False]])


def padded(tensor, more, fill):
    """``more`` positions behind: behind the last dimensions of scores (B, A, L, L), behind the second of others."""
    return F.pad(tensor, (0, more, 0, more) if tensor.dim() == 4 else (0, 0, 0, more), value=fill)
