"""The objectives as modules for the training loop, each a thin form of a function in :mod:`limbeck.objectives.functional`."""

from .base import Objective, Sum
from .binary import BinaryCrossEntropy, BinaryKD
from .crd import CRD
from .divergences import (
    JSD,
    TAID,
    AdaptiveKL,
    AlphaBeta,
    ReverseKL,
    SkewForwardKL,
    SkewReverseKL,
    TotalVariation,
)
from .features import RKD, AttentionTransfer, FitNets, SimilarityPreserving, SimKD
from .kl import KD, ForwardKL
from .logits import DIST, DKD, NKD, TTM, ULD, WTTM, CrossEntropy, MSELogits, PolicyKL, StandardizedKD
from .review import ReviewKD
from .transformer_layers import AttentionMaps, HiddenStates, ValueRelations
from .transformer_methods import PKD, MiniLM, TinyBERT

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
    "Sum",
    "TinyBERT",
    "TotalVariation",
    "ValueRelations",
]
