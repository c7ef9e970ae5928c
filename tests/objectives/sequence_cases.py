"""Texts and recordings of some length, for the objectives on sequences."""

import itertools
import math

import torch
from hypothesis import strategies as st

from tests.objectives.cases import EXACT, log_softmax

PRECISIONS = st.sampled_from([torch.float32, EXACT])


SCALES = st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e3])


def collapsed(alignment, blank):
    return tuple(label for label, _ in itertools.groupby(alignment) if label != blank)


def reference_ctc(logits, labels, blank):
    """-log of the sum over all alignments of the labels."""
    logs = [log_softmax(frame) for frame in logits]
    chances = [
        math.fsum(frame[label] for frame, label in zip(logs, alignment))
        for alignment in itertools.product(range(len(logits[0])) if logits else (), repeat=len(logits))
        if collapsed(alignment, blank) == tuple(labels)
    ]
    top = max(chances, default=-math.inf)
    return math.inf if top == -math.inf else -(top + math.log(math.fsum(math.exp(c - top) for c in chances)))
