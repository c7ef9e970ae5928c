"""A tiny untrained network, exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck.modalities.image.export import export_onnx, image_metadata

HOSTILE = ("<script>alert(1)</script>", "a\x1b[31mred\nline", 'quo"te\\', "Übergröße 👟 \u202e")


COLOUR = {"channels": 3, "height": 12, "width": 12, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}


def small_network(channels: int, classes: int = len(HOSTILE), *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    width = 6
    model = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2, groups=width),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * width, classes),
    )
    for module in model:
        if isinstance(module, nn.BatchNorm2d):  # statistics that folding has to take into account
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    head = model[-1]
    with torch.no_grad():  # so that every class is somewhere the answer
        nn.init.normal_(head.weight, std=3.0)
        head.bias -= model.eval()(torch.randn(64, channels, 12, 12)).mean(0)
    return model


def export(model: nn.Module, folder: Path, form: dict, name: str = "student.onnx") -> Path:
    metadata = image_metadata(name="tiny", classes=HOSTILE, **form)
    path = folder / name
    export_onnx(model, torch.zeros(1, form["channels"], form["height"], form["width"]), path, metadata)
    return path


@pytest.fixture(scope="module")
def colour(tmp_path_factory) -> tuple[nn.Module, Path]:
    model = small_network(3).train()
    return model, export(model, tmp_path_factory.mktemp("colour"), COLOUR)
