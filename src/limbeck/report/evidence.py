"""What a report is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..interfaces.in_use import Drawing
from ..sections.outline import Outline
from .shown import Shown


@dataclass(frozen=True)
class Evidence:
    """All that the page shows. N test examples; C classes, or D numbers."""

    results: dict[str, Any]  # the contents of results.json; whatever is optional there may be missing or None
    outline: Outline  # what an example is called
    headline: str  # what the student is worth beside its teacher, a plain sentence
    kind: str  # of answer, as `limbeck.report.kinds` knows it
    names: tuple[str, ...]  # of the classes or numbers, as the data says them: untrusted
    labels: np.ndarray  # (N,) int class numbers, (N, C) of 0 and 1 of label sets, (N, D) numbers, (N, T) symbols
    answers: Mapping[str, np.ndarray]  # teacher's, student's and baseline's, (N, C) logits or (N, D) numbers, float32
    histories: dict[str, list[dict[str, Any]]]  # per model, one entry an epoch; 'teacher' may be missing
    temperature: float | None = None  # of the distillation term; None where there is none
    findings: Sequence[tuple[str, str, str]] = ()  # (better, worse, level or doubt; about what; a sentence)
    on_examples: Sequence[
        tuple[str, str, str]
    ] = ()  # what is to be said of answers to examples, where models are judged in use
    drawings: Sequence[Drawing] = ()  # of models in use
    kept: Mapping[str, Mapping[str, np.ndarray]] = field(
        default_factory=dict
    )  # of them, where answers are not kept whole
    show: Callable[[int], Shown] | None = None  # a test example by its position; None where it cannot be shown
