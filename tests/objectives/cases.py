"""Cases for the objectives on logits, and the plain float64 arithmetic that their references are written in.

A reference works on lists of Python floats, row by row, from the paper's formula; nothing of it comes from src/.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

EXACT = torch.float64
IGNORED = -100
RELATIVE = {torch.float32: 1e-6, EXACT: 1e-12}


def normal(*shape, seed=0, scale=1.0, dtype=EXACT):
    """Normal numbers that are the same in every run."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def log_softmax(row, temperature=1.0):
    """log softmax(row / T) of a list of floats."""
    scaled = [value / temperature for value in row]
    top = max(scaled)
    total = math.log(math.fsum(math.exp(value - top) for value in scaled))
    return [value - top - total for value in scaled]


def softmax(row, temperature=1.0):
    return [math.exp(value) for value in log_softmax(row, temperature)]


@dataclass(frozen=True)
class Case:
    """A batch: student and teacher (N, C) float32 arrays, mask (N,), labels (N,) with -100 among them."""

    student: np.ndarray
    teacher: np.ndarray
    mask: np.ndarray
    labels: np.ndarray

    @property
    def counts(self):
        return self.mask & (self.labels != IGNORED)

    @property
    def largest(self):
        """The largest finite logit: rounding is relative to it, for it stands in an exponent."""
        return max(float(np.abs(array[np.isfinite(array)]).max()) for array in (self.student, self.teacher))

    def tensors(self, dtype):
        """student, teacher as tensors, and labels= and mask= for a function."""
        pair = torch.tensor(self.student, dtype=dtype), torch.tensor(self.teacher, dtype=dtype)
        return pair, {"labels": torch.tensor(self.labels), "mask": torch.tensor(self.mask)}

    def mean(self, value_of):
        """Mean over the rows that count of ``value_of(student_row, teacher_row, label)``; 0 where none does."""
        rows = zip(self.student.tolist(), self.teacher.tolist(), self.labels.tolist(), self.counts, strict=True)
        values = [value_of(student, teacher, label) for student, teacher, label, counted in rows if counted]
        return math.fsum(values) / len(values) if values else 0.0


@st.composite
def cases(draw, ruled_out=("nobody", "teacher", "both"), largest=1e3, least_classes=1, most_classes=7):
    """Cases of 1 to 6 rows; ``ruled_out`` says whose logits may be -inf (never the label's, never a whole row)."""
    positions = draw(st.integers(1, 6))
    classes = draw(st.integers(least_classes, most_classes))
    scale = draw(st.sampled_from([s for s in (0.0, 1e-6, 1e-2, 1.0, 30.0, 1e3) if s <= largest]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    student, teacher = scale * rng.standard_normal((2, positions, classes))
    who = draw(st.sampled_from(ruled_out))
    out = rng.random((positions, classes)) < draw(st.sampled_from([0.3, 1.0]))
    out[np.arange(positions), rng.integers(0, classes, positions)] = False
    if who == "nobody":
        out[:] = False
    if who in ("teacher", "both"):
        teacher[out] = -np.inf
    if who in ("student", "both"):
        student[out] = -np.inf
    mask = rng.random(positions) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    labels = np.array([rng.choice(np.flatnonzero(~row)) for row in out])
    labels[rng.random(positions) < draw(st.sampled_from([0.0, 0.4]))] = IGNORED
    return Case(student.astype(np.float32), teacher.astype(np.float32), mask, labels)


def assert_is_reference(value, expected, dtype, *, size=None):
    """1e-6 relative in float32, 1e-12 in float64; ``size`` is that of what was summed up, which rounding goes by."""
    assert value.dtype == dtype
    assert value.shape == ()
    relative = RELATIVE[dtype]
    assert value.item() == pytest.approx(expected, rel=relative, abs=relative * (1 if size is None else 1 + size))
