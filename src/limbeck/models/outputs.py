"""What a model answers with: logits are wanted, and probabilities or a single value for two classes are told from them.

Shapes: N examples, C classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput

FEWEST = 8  # answers that it takes to tell probabilities from logits
ROUNDING = 0.01  # of a sum of probabilities, in half precision


def refuse_probabilities(answers_NC: Tensor, name: str, *, several: bool = False, ready: bool = True) -> str | None:
    """A sentence where answers look like probabilities and need not be; None where they are logits.

    Logits of a softmax, which are known up to a constant, do not all lie in 0 to 1 and sum to 1; log-probabilities are
    logits. ``several``: an example may have several labels, each of which has a logit of its own. ``ready``: the model is
    used as it comes; fresh logits may all be small and positive. ``name`` is how messages speak of the model.

    Raises:
        BadInput: they are probabilities.
    """
    answers_NC = answers_NC.detach().double()
    if len(answers_NC) < FEWEST or not bool(((answers_NC >= 0) & (answers_NC <= 1)).all()):
        return None
    count = len(answers_NC)
    if answers_NC.shape[1] > 1 and not several and bool(((answers_NC.sum(1) - 1).abs() < ROUNDING).all()):
        raise BadInput(
            f"the {name} answers with probabilities: of {count} examples, every answer lies in 0 to 1 and sums to 1. Logits "
            "are wanted: leave out its last softmax, or put a logarithm behind it (log_softmax)."
        )
    if not ready:
        return None
    if several:
        raise BadInput(
            f"the {name} answers with probabilities: of {count} examples, every answer for every label lies in 0 to 1. "
            "Logits are wanted: leave out its last sigmoid (or put torch.logit behind it)."
        )
    if answers_NC.shape[1] == 1:
        raise BadInput(
            f"the {name} has one output for two classes, and it is a probability: of {count} examples, it always lies in 0 "
            "to 1. Its logit is wanted: leave out its last sigmoid (or put torch.logit behind it)."
        )
    return (
        f"Every answer of the {name} to {count} examples lies in 0 to 1: where it ends in a sigmoid, leave that out, "
        "since what is wanted are logits."
    )


class OneLogit(nn.Module):
    """A model of one output for two classes: its logit z is (0, z) of the two, float as it was."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return of_two_classes(self.model(*args, **kwargs))


def of_two_classes(logit_N: Tensor) -> Tensor:
    """Logits (N, 2) of a logit (N,) or (N, 1): sigmoid(z) is what softmax(0, z) says of the second class."""
    logit_N1 = logit_N.reshape(len(logit_N), 1)
    return torch.cat([torch.zeros_like(logit_N1), logit_N1], dim=1)


def is_one_logit(answer: Any, examples: int, classes: int) -> bool:
    """Whether a model that was asked about so many examples gives one value for two classes."""
    return classes == 2 and isinstance(answer, Tensor) and answer.shape in {(examples,), (examples, 1)}


def of_one_logit(name: str, classes: tuple[str, ...]) -> str:
    """What is taken for granted of such a model, in a sentence."""
    return f"The {name} has one output for two classes: it is taken for the logit of '{classes[1]}' against '{classes[0]}'."
