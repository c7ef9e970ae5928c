"""The objectives as modules for the training loop, each a thin form of a function in :mod:`limbeck.objectives.functional`."""

from .base import Objective, Sum
from .logits import KD, CrossEntropy

__all__ = ["KD", "CrossEntropy", "Objective", "Sum"]
