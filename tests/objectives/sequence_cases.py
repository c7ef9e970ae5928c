"""Texts and recordings of some length, for the objectives on sequences."""

import torch
from hypothesis import strategies as st

from tests.objectives.cases import EXACT

PRECISIONS = st.sampled_from([torch.float32, EXACT])


SCALES = st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e3])
