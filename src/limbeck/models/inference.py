"""Asking a model without leaving a trace on it.

*Inputs* are what a model is called with: a tensor of images (B, C, H, W), or named tensors (B, L) such as
``input_ids`` and ``attention_mask``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Tensor | Mapping[str, Tensor]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Within: ``eval()`` and no gradient. Afterwards every module's mode and every buffer is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are, or its buffers; the CPU where it has neither."""
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def ask(model: nn.Module, inputs: Inputs) -> Any:
    """What ``model`` answers in evaluation mode, on the device where its weights are; see :func:`answered`."""
    with untouched(model):
        return answered(model, moved(inputs, device_of(model)))


def answered(model: Callable[..., Any], inputs: Inputs) -> Any:
    """What ``model`` answers: to named inputs with an output that has ``logits``, as Hugging Face's do, these."""
    if isinstance(inputs, Tensor):
        return model(inputs)
    answer = model(**inputs)
    return answer if isinstance(answer, Tensor) else getattr(answer, "logits", answer)


def moved(inputs: Inputs, device: torch.device | str) -> Inputs:
    """The inputs on a device."""
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    return {name: value.to(device) for name, value in inputs.items()}


def examples_in(inputs: Inputs) -> int:
    """B."""
    return len(inputs) if isinstance(inputs, Tensor) else len(next(iter(inputs.values())))


def parts_of(inputs: Inputs, size: int) -> Iterator[Inputs]:
    """The inputs in parts of ``size`` examples, the last of what is left."""
    if isinstance(inputs, Tensor):
        yield from inputs.split(size)
        return
    names = list(inputs)
    for values in zip(*(value.split(size) for value in inputs.values()), strict=True):
        yield dict(zip(names, values))
