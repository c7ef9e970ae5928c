"""Limbeck: knowledge distillation as a finished tool.

``import limbeck`` is quick: torch is imported when something that needs it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import functional
    from .api import Distilled, distill
    from .errors import BadInput, LimbeckError
    from .objectives.modules import (
        CRD,
        DIST,
        DKD,
        JSD,
        KD,
        NKD,
        PKD,
        RKD,
        TAID,
        TTM,
        ULD,
        WTTM,
        AdaptiveKL,
        AlphaBeta,
        AttentionMaps,
        AttentionTransfer,
        BinaryCrossEntropy,
        BinaryKD,
        CrossEntropy,
        FitNets,
        ForwardKL,
        HiddenStates,
        MiniLM,
        MSELogits,
        Objective,
        PolicyKL,
        ReverseKL,
        ReviewKD,
        SimilarityPreserving,
        SimKD,
        SkewForwardKL,
        SkewReverseKL,
        StandardizedKD,
        TinyBERT,
        TotalVariation,
        ValueRelations,
    )
    from .objectives.schedules import Cosine, Linear, Progress, Step
    from .recipe import Preprocess, Targets, Train, Views
    from .trainer import DistillationTrainer as DistillationTrainer  # not in __all__: it needs the extra `text`

__all__ = [
    "CRD",
    "DIST",
    "DKD",
    "JSD",
    "KD",
    "NKD",
    "PKD",
    "RKD",
    "TAID",
    "TTM",
    "ULD",
    "WTTM",
    "AdaptiveKL",
    "AlphaBeta",
    "AttentionMaps",
    "AttentionTransfer",
    "BadInput",
    "BinaryCrossEntropy",
    "BinaryKD",
    "Cosine",
    "CrossEntropy",
    "Distilled",
    "FitNets",
    "ForwardKL",
    "HiddenStates",
    "LimbeckError",
    "Linear",
    "MSELogits",
    "MiniLM",
    "Objective",
    "PolicyKL",
    "Preprocess",
    "Progress",
    "ReverseKL",
    "ReviewKD",
    "SimKD",
    "SimilarityPreserving",
    "SkewForwardKL",
    "SkewReverseKL",
    "StandardizedKD",
    "Step",
    "Targets",
    "TinyBERT",
    "TotalVariation",
    "Train",
    "ValueRelations",
    "Views",
    "distill",
    "functional",
]

_ROOMS = {
    "api": ("distill", "Distilled"),
    "errors": ("BadInput", "LimbeckError"),
    "functional": ("functional",),
    "objectives.modules": (
        "CRD",
        "DIST",
        "DKD",
        "JSD",
        "KD",
        "NKD",
        "PKD",
        "RKD",
        "TAID",
        "TTM",
        "ULD",
        "WTTM",
        "AdaptiveKL",
        "AlphaBeta",
        "AttentionMaps",
        "AttentionTransfer",
        "BinaryCrossEntropy",
        "BinaryKD",
        "CrossEntropy",
        "FitNets",
        "ForwardKL",
        "HiddenStates",
        "MSELogits",
        "MiniLM",
        "Objective",
        "PolicyKL",
        "ReverseKL",
        "ReviewKD",
        "SimKD",
        "SimilarityPreserving",
        "SkewForwardKL",
        "SkewReverseKL",
        "StandardizedKD",
        "TinyBERT",
        "TotalVariation",
        "ValueRelations",
    ),
    "objectives.schedules": ("Cosine", "Linear", "Progress", "Step"),
    "recipe": ("Preprocess", "Targets", "Train", "Views"),
    "trainer": ("DistillationTrainer", "trainer"),
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'limbeck' has no attribute '{name}'")
    module = import_module(f".{_HOMES[name]}", __name__)
    return module if name in ("functional", "trainer") else getattr(module, name)
