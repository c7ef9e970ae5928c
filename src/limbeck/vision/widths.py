"""The widths of a pruned network: what its modules are told of their shapes, kept with it, and put into a freshly built one.

A module that was pruned has other attributes (``in_channels``, ``groups``, ``num_features``) and other shapes of its weights
than its constructor gave it, so that no freshly built network takes its state dict. The shapes are those of the weights themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput

Widths = dict[str, dict[str, Any]]
"""By the path of a module, its attributes that differ from those of the whole network: whole numbers, or lists of them."""


def widths_of(whole: nn.Module, pruned: nn.Module) -> Widths:
    """How the modules of a pruned network differ from those of the network that it was made of."""
    modules, found = dict(whole.named_modules()), {}
    for path, module in pruned.named_modules():
        before, after = _numbers(modules[path]), _numbers(module)
        if changed := {name: value for name, value in after.items() if before.get(name) != value}:
            found[path] = {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}
    return found


def with_widths(model: nn.Module, widths: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> nn.Module:
    """The same freshly built network, its modules told their ``widths``, with weights of the shapes in ``state``.

    Raises:
        BadInput: these are not widths of such a network; ``where`` they stand is for the message.
    """
    modules = dict(model.named_modules())
    for path, said in widths.items():
        known = _numbers(modules[path]) if path in modules else {}
        for name, value in said.items() if isinstance(said, Mapping) else [("", None)]:
            given = tuple(value) if isinstance(value, list) else value
            if name not in known or type(given) is not type(known[name]) or not _whole(given):
                raise BadInput(f"{where} says of '{path}' what is no width of such a network ({name}: {value!r}).")
            setattr(modules[path], name, given)
    for path, module in modules.items():
        for name, value in [*module._parameters.items(), *module._buffers.items()]:
            shape = state[key].shape if (key := f"{path}.{name}".lstrip(".")) in state else None
            if value is None or shape is None or shape == value.shape:
                continue
            empty = torch.zeros(shape, dtype=value.dtype)
            if isinstance(value, nn.Parameter):
                module._parameters[name] = nn.Parameter(empty)
            else:
                module._buffers[name] = empty
    return model


def _numbers(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_") and _whole(value)}


def _whole(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(type(one) is int and one > 0 for one in value)
    return type(value) is int and value > 0
