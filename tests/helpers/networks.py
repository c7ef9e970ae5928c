"""Networks made by name for data of some shape."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from limbeck.errors import BadInput
from limbeck.sections.teacher import Model
from limbeck.vision.build import build

DIGITS = SimpleNamespace(classes=10, channels=1, size=8)


CIFAR = SimpleNamespace(classes=100, channels=3, size=32)


def made(name: str, data: SimpleNamespace = DIGITS, seed: int = 0, trust_code: bool = False, **knobs) -> nn.Module:
    return build(Model(model=name, **knobs), **vars(data), trust_code=trust_code, seed=seed)


def refusal(name: str, **knobs) -> str:
    with pytest.raises(BadInput) as caught:
        made(name, **knobs)
    return str(caught.value)
