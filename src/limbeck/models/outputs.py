"""What a model answers with: logits are wanted; other answers are told from them.

Probabilities, a single value for two classes,
and answers that are no function of the input.

Shapes: N examples, C classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..sections.outline import Outline
from .inference import ask

# Examples that a model is asked about to tell logits from probabilities.
ASKED = 32


FEWEST = 8  # answers that it takes to tell probabilities from logits
ROUNDING = 0.01  # of a sum of probabilities, in half precision
# How far two answers to the same example may be apart, as a share of the range of all answers. Asked in the same batch, only
# sums in another order differ; in another batch, other kernels with other roundings may be used, down to those of
# quantised models, which round by the largest value in a batch.
AGAIN = {torch.float64: 1e-3, torch.float32: 1e-3}
AGAIN_HALF = 0.02
IN_ANOTHER_BATCH = 0.05


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


def refuse_changing(model: nn.Module, inputs: Tensor, name: str, outline: Outline) -> None:
    """Asks about the same inputs (B, ...) twice, and about the first by itself and the others without it; ``model`` is untouched.

    ``name`` is how messages speak of the model, ``outline`` what an input is called.

    Raises:
        BadInput: the answers differ by more than rounding, or it fails on a single input.
    """
    example = outline.example
    first = ask(model, inputs)
    kinds = [first.dtype, *(parameter.dtype for parameter in model.parameters())]
    half = any(kind not in AGAIN for kind in kinds if kind.is_floating_point)
    # A constant in all answers is rounded by its own size.
    eps = max(torch.finfo(kind).eps for kind in kinds if kind.is_floating_point)
    apart, range_ = _apart(first, ask(model, inputs), AGAIN_HALF if half else AGAIN[first.dtype], 4 * eps)
    if apart:
        raise BadInput(
            f"the {name} answers the same {example} in two ways: asked twice, its logits differ by up to {apart:.3g}, where all "
            f"its answers lie within {range_:.3g}. Something in it is random, such as dropout that is not off in eval(): "
            "leave that out."
        )
    try:
        single = ask(model, inputs[:1])
    except Exception as error:  # a model of any kind fails in any way
        words = " ".join(str(error).split())[:240] or type(error).__name__
        raise BadInput(f"the {name} fails on a batch of one {example}: {words}") from error
    if single.shape != (1, *first.shape[1:]):
        raise BadInput(
            f"the {name} answers a batch of one {example} with the shape {tuple(single.shape)}; {(1, *first.shape[1:])} is wanted."
        )
    apart, range_ = _apart(first, torch.cat([single, ask(model, inputs[1:])]), IN_ANOTHER_BATCH, 16 * eps)
    if apart:
        raise BadInput(
            f"the {name}'s answer to {outline.article} {example} depends on the other {outline.examples} of its batch: asked "
            f"about one {example} by itself and about {len(first)} together, its logits differ by up to {apart:.3g}, where all its answers lie within "
            f"{range_:.3g}. Each {example} is to be answered by itself: leave out what is taken over the batch, such as its mean."
        )


def _apart(a_NC: Tensor, b_NC: Tensor, share: float, large: float) -> tuple[float, float]:
    """The largest difference, 0 where rounding explains it, and the range of the finite answers."""
    a_NC, b_NC = a_NC.double(), b_NC.double()
    finite = a_NC[a_NC.isfinite()]
    range_, largest = (float(finite.max() - finite.min()), float(finite.abs().max())) if len(finite) else (0.0, 0.0)
    same = (a_NC == b_NC) | (a_NC.isnan() & b_NC.isnan())
    apart = float(torch.where(same, 0.0, (a_NC - b_NC).abs()).nan_to_num(nan=torch.inf).max())
    return (0.0 if apart <= share * range_ + large * largest else apart), range_


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
