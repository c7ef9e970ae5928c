"""Telling models apart: by the bytes of their weights, by what they answer, and by what they are without them.

A state dict does not show an activation function, so a digest alone would take two different models for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..files import fingerprint
from .inference import Inputs, ask
from .weights import tensors_of

PROBES = 4


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


def architecture(model: nn.Module) -> str:
    """Names what a model is but for the values of its weights: its modules as they print themselves, and all shapes."""
    shapes = [[name, list(value.shape), str(value.dtype)] for name, value in model.state_dict().items()]
    return fingerprint(
        {"modules": repr(model), "class": f"{type(model).__module__}.{type(model).__qualname__}", "shapes": shapes}
    )


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


def coarse(model: Identity) -> dict[str, Any]:
    """A model's identity, its probe rounded so far that rounding on another machine does not show."""
    largest = max((abs(value) for value in model["probe"]), default=0.0) or 1.0
    return {"weights": model["weights"], "probe": [round(20 * value / largest) for value in model["probe"]]}
