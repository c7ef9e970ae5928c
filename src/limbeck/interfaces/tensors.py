"""Batch, Output, Target and its kinds, Needs, Term: what numeric code hands round.

Shapes: B batch, C classes, L positions, V vocabulary, H hidden. Tensors in numeric code carry them as suffixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor, nn

# The label of an example that has none; objectives that need labels leave it out of total and count.
IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """What the loop hands round: the same for teacher, student and objective."""

    ids: Tensor  # (B,) int64: stable example ids
    view: Tensor  # (B,) int64: which rendering of each example this is
    inputs: Any  # what the student sees
    # (B,) class ids, (B, C) probabilities (mixes) or, of several labels, a 0 or 1 each; (B, D) numbers of a regression, NaN
    # where there is none; None for a transfer set
    labels: Tensor | None = None
    mask: Tensor | None = None  # (B, L) bool: the positions whose answers count; None: all of them
    teacher_inputs: Any = None  # where the teacher needs its own (normalisation, resolution); None: inputs
    # (B, L) bool: the input's positions that hold something (no padding), for features of each; None: those of `mask`
    positions: Tensor | None = None


@dataclass(frozen=True)
class Output:
    """What the student says of a batch."""

    logits: Tensor | None = None  # (B, C), (B, L, V) ...; None where a fused objective takes hidden + head
    values: Tensor | None = None  # (B, ...) regression
    hidden: Tensor | None = None
    head: nn.Module | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)  # by module path, only what was asked for


@dataclass(frozen=True)
class DenseLogits:
    """One kind of teacher's answer: logits (..., C), each row known up to a constant; temperature-free."""

    logits: Tensor


@dataclass(frozen=True)
class RaggedLogits:
    """A teacher's logits for every position of some sequences, one sequence after another."""

    logits: Tensor  # (P, C), P the sum of the lengths
    lengths: Tensor  # (B,) int64


@dataclass(frozen=True)
class TopK:
    """One kind of teacher's answer: its k largest logits, and the mass of all other classes at some temperatures.

    Never renormalised: what the k do not hold is in ``log_rest``.
    """

    ids: Tensor  # (..., k) integers; negative: padding
    logits: Tensor  # (..., k) float32, each row known up to the constant that log_rest allows for
    log_rest: Tensor  # (..., R) log-sum-exp, over the other classes, of logits / T for each T of the ladder
    temperatures: tuple[float, ...]  # (R,) the ladder, ascending


@dataclass(frozen=True)
class Sampled:
    """One kind of teacher's answer: classes drawn from its distribution at one temperature, and how often each was."""

    ids: Tensor  # (..., n) integers; negative: padding; a class may stand more than once
    counts: Tensor  # (..., n), how many of the draws fell to each; need not be whole
    temperature: float  # at which the draws (or the weights) hold
    weights: Tensor | None = None  # (..., n) importance weights p_T / r where drawn from a proposal r


@dataclass(frozen=True)
class Values:
    """One kind of teacher's answer: numbers, in the units of the labels."""

    values: Tensor  # (..., D)
    spread: Tensor | None = None  # (..., D) deviation over an ensemble's members or over views, where there are several


@dataclass(frozen=True)
class Hypotheses:
    """One kind of teacher's answer: what it heard in each utterance, K transcripts with how much each weighs."""

    symbols: Tensor  # (B, K, T) int64, without blanks; what stands beyond a transcript's length says nothing
    lengths: Tensor  # (B, K) int64; 0: it heard nothing; negative: there is no such transcript
    weights: Tensor  # (B, K) float32, at least 0; an utterance's add up to how much it counts, 1 at most


@dataclass(frozen=True)
class Inside:
    """Where the parts of a transformer are: module paths, with ``{}`` for a layer's number."""

    layers: int
    heads: int
    embeddings: str
    layer: str
    attention: str  # the self-attention module of a layer
    parts: tuple[str, str, str]  # names of its query, key and value projections


@dataclass(frozen=True)
class Features:
    """One kind of teacher's answer: what its inner modules gave, by module path."""

    values: Mapping[str, Tensor]


Column = TypeVar("Column")


@dataclass(frozen=True)
class Target:
    """What the teacher said: columns of one kind each. An objective takes the kind that suits it best."""

    columns: tuple[Any, ...] = ()

    def get(self, kind: type[Column]) -> Column:
        """The column of that kind. Raises ``KeyError`` naming what there is instead."""
        for column in self.columns:
            if isinstance(column, kind):
                return column
        there = ", ".join(type(column).__name__ for column in self.columns) or "nothing"
        raise KeyError(f"the objective needs {kind.__name__}, but the teacher's answer holds {there}")


@dataclass(frozen=True)
class Needs:
    """What an objective asks of the loop."""

    labels: bool = False
    target: tuple[type, ...] = ()  # kinds of target it can take, best first; empty: no teacher needed
    features: tuple[str, ...] = ()  # module paths of the student
    teacher_features: tuple[str, ...] = ()
    spread: bool = False  # whether the teacher's numbers must have their deviation beside them

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            labels=self.labels or other.labels,
            target=self.target + tuple(kind for kind in other.target if kind not in self.target),
            features=tuple(dict.fromkeys(self.features + other.features)),
            teacher_features=tuple(dict.fromkeys(self.teacher_features + other.teacher_features)),
            spread=self.spread or other.spread,
        )


@dataclass(frozen=True)
class Term:
    """One named part of a loss: a sum over positions, and how many positions stand behind it.

    The loop divides totals by counts over the whole global batch, so that padding, micro-batches and processes do
    not change the loss.
    """

    total: Tensor  # scalar
    count: Tensor  # scalar
