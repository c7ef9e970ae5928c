"""What the page works out of logits over classes: confidence against accuracy, confusion, who is right where."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Bins(NamedTuple):
    """Predictions grouped by confidence, in bins of equal width; a bin without predictions holds zeros."""

    confidence: np.ndarray  # (bins,) mean confidence
    accuracy: np.ndarray  # (bins,) share that is right
    size: np.ndarray  # (bins,) how many answers

    def calibration_error(self) -> float:
        """The expected calibration error: the mean gap of confidence and accuracy, weighted by size."""
        return float((np.abs(self.confidence - self.accuracy) * self.size).sum() / max(1, self.size.sum()))


class Accord(NamedTuple):
    """How a model's answers stand to the teacher's: counts of test examples, which add up to N."""

    both_right: int
    only_teacher_right: int
    only_model_right: int
    same_mistake: int
    different_mistakes: int


def log_softmax(logits_NC: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Log-probabilities (N, C) of logits that may hold -inf; float64."""
    scaled_NC = logits_NC.astype(np.float64) / temperature
    shifted_NC = scaled_NC - scaled_NC.max(axis=1, keepdims=True)
    return shifted_NC - np.log(np.exp(shifted_NC).sum(axis=1, keepdims=True))


def entropy(log_probs_NC: np.ndarray) -> np.ndarray:
    """Entropy in nats, (N,)."""
    return -(np.exp(log_probs_NC) * _finite(log_probs_NC)).sum(axis=1)


def divergence(teacher_log_probs_NC: np.ndarray, student_log_probs_NC: np.ndarray) -> np.ndarray:
    """KL(teacher || student) in nats, (N,); large, not infinite, where the student rules a class out."""
    gap_NC = _finite(teacher_log_probs_NC) - _finite(student_log_probs_NC)
    return (np.exp(teacher_log_probs_NC) * gap_NC).sum(axis=1)


def reliability(log_probs_NC: np.ndarray, labels_N: np.ndarray, bins: int = 15) -> Bins:
    """Confidence against accuracy of the top answers."""
    confidence_N = np.exp(log_probs_NC.max(axis=1))
    right_N = log_probs_NC.argmax(axis=1) == labels_N
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    size = np.bincount(bin_N, minlength=bins)
    at_least_one = np.maximum(size, 1)
    return Bins(
        confidence=np.bincount(bin_N, weights=confidence_N, minlength=bins) / at_least_one,
        accuracy=np.bincount(bin_N, weights=right_N, minlength=bins) / at_least_one,
        size=size,
    )


def confusion(answers_N: np.ndarray, labels_N: np.ndarray, classes: int) -> np.ndarray:
    """Counts (C, C): row the true class, column the answer."""
    return np.bincount(labels_N * classes + answers_N, minlength=classes * classes).reshape(classes, classes)


def accord(teacher_N: np.ndarray, model_N: np.ndarray, labels_N: np.ndarray) -> Accord:
    """Who is right where, from top answers (N,) and labels (N,)."""
    teacher_right, model_right = teacher_N == labels_N, model_N == labels_N
    both_wrong = ~teacher_right & ~model_right
    return Accord(
        both_right=int((teacher_right & model_right).sum()),
        only_teacher_right=int((teacher_right & ~model_right).sum()),
        only_model_right=int((~teacher_right & model_right).sum()),
        same_mistake=int((both_wrong & (teacher_N == model_N)).sum()),
        different_mistakes=int((both_wrong & (teacher_N != model_N)).sum()),
    )


def _finite(log_probs_NC: np.ndarray) -> np.ndarray:
    """-inf becomes a number so small that its probability is zero, since 0 * -inf has no value."""
    return np.maximum(log_probs_NC, -1e4)
