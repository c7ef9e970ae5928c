"""Telling models apart: by the bytes of their weights, and by what they answer.

A state dict does not show an activation function, so a digest alone would take two different models for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import BadInput
from ..text_pairs import SEGMENTS
from .asking import Inputs, ask
from .weights import tensors_of

_PROBES = 4


class Identity(TypedDict):
    """What a fingerprint records of a model; plain JSON."""

    weights: str  # SHA-256, hex
    probe: list[float]  # the logits of the probe batch, row by row, to six significant digits


def identity(model: nn.Module, probe_inputs: Inputs) -> Identity:
    """The digest of the weights, and the answer to a fixed batch, which depends on nothing but what the model takes.

    Raises:
        BadInput: the answer is not a tensor, or is not finite.
    """
    answer = probe(model, probe_inputs)
    if not bool(torch.isfinite(answer).all()):
        raise BadInput("the model's answer to a batch of noise is not finite: its weights hold NaN or infinity.")
    values = answer.double().flatten().tolist()
    return {"weights": digest(model), "probe": [float(f"{value:.6g}") for value in values]}


def digest(model: nn.Module) -> str:
    """SHA-256 over the state dict, buffers included: names, dtypes, shapes, bytes; not memory layout."""
    state = tensors_of(model)
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def probe_images(channels: int, size: int) -> Tensor:
    """Fixed noise in [0, 1), (4, channels, size, size) float32; the same on every machine."""
    pixels = torch.arange(_PROBES * channels * size * size)
    return randomness.uniform(0, pixels, 0, "models.probe").view(_PROBES, channels, size, size)


def probe_texts(vocabulary: int, length: int, segments: int = 0) -> dict[str, Tensor]:
    """Fixed tokens and a mask, (4, length) int64, every text one shorter than the last; the same on every machine.

    With so many kinds of ``segments`` a text has all of them, one after another.
    """
    places = torch.arange(_PROBES * length)
    tokens = (randomness.uniform(0, places, 0, "models.probe").double() * vocabulary).long().clamp(max=vocabulary - 1)
    there = torch.arange(length) < (length - torch.arange(_PROBES)).clamp(min=1)[:, None]
    inputs = {"input_ids": tokens.view(_PROBES, length), "attention_mask": there.long()}
    if segments:
        inputs[SEGMENTS] = (torch.arange(length) * segments // length).expand(_PROBES, length).contiguous()
    return inputs


def probe(model: nn.Module, inputs: Inputs) -> Tensor:
    """What ``model`` answers to ``inputs`` in evaluation mode, float32 on the CPU; it is untouched.

    Raises:
        BadInput: it does not answer with a tensor.
    """
    answer = ask(model, inputs)
    if not isinstance(answer, Tensor):
        raise BadInput(f"the model answers with a {type(answer).__name__} and not with a tensor of logits.")
    return answer.detach().float().cpu()


def same_probe(a: Sequence[float], b: Sequence[float], tolerance: float = 1e-3) -> bool:
    """Whether two probes agree but for rounding: within ``tolerance`` times the largest magnitude."""
    if len(a) != len(b):
        return False
    scale = max((abs(value) for value in (*a, *b)), default=0.0)
    return all(abs(x - y) <= tolerance * scale + 1e-6 for x, y in zip(a, b))
