"""How well sets of labels are told, where an example may have several. Shapes: N examples, C classes."""

from __future__ import annotations

import torch
from torch import Tensor


def f1_by_class(told_NC: Tensor, true_NC: Tensor) -> Tensor:
    """2 TP / (2 TP + FP + FN) of each class, (C,) float64; 0 for a class that is neither told nor true anywhere."""
    hits_C, misses_C = (told_NC & true_NC).sum(0), (told_NC ^ true_NC).sum(0)
    return 2 * hits_C.double() / (2 * hits_C + misses_C).clamp(min=1)


def scores(told_NC: Tensor, true_NC: Tensor) -> dict[str, float]:
    """``accuracy`` (the share of examples with exactly the right labels), ``micro_f1`` and ``macro_f1``.

    ``told_NC`` and ``true_NC`` are bool. Micro counts every example and class alike; macro is the mean over classes.
    """
    hits, misses = int((told_NC & true_NC).sum()), int((told_NC ^ true_NC).sum())
    return {
        "accuracy": (told_NC == true_NC).all(dim=1).double().mean().item(),
        "micro_f1": 2 * hits / max(2 * hits + misses, 1),
        "macro_f1": torch.mean(f1_by_class(told_NC, true_NC)).item(),
    }
