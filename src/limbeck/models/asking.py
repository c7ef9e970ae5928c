"""Asking a model without leaving a trace on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


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


def ask(model: nn.Module, images_BCHW: Tensor) -> Any:
    """What ``model`` answers in evaluation mode, on the device where its weights are."""
    with untouched(model):
        return model(images_BCHW.to(device_of(model)))
