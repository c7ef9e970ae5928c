"""A tiny untrained network, exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.deploy.graphs import of_file, of_module
from limbeck.deploy.metadata import said_by
from limbeck.deploy.parity import compared
from limbeck.interfaces import Exportable
from limbeck.modalities.image.export import export_onnx, exportable, image_metadata

HOSTILE = ("<script>alert(1)</script>", "a\x1b[31mred\nline", 'quo"te\\', "Übergröße 👟 \u202e")


COLOUR = {"channels": 3, "height": 12, "width": 12, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}


def small_network(channels: int, classes: int = len(HOSTILE), *, seed: int = 0) -> nn.Sequential:
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
            mean, variance = module.running_mean, module.running_var
            assert mean is not None
            assert variance is not None
            nn.init.normal_(mean, std=0.3)
            nn.init.uniform_(variance, 0.5, 2.0)
    head = model[-1]
    assert isinstance(head, nn.Linear)
    with torch.no_grad():  # so that every class is somewhere the answer
        nn.init.normal_(head.weight, std=3.0)
        head.bias -= model.eval()(torch.randn(64, channels, 12, 12)).mean(0)
    return model


def export(model: nn.Module, folder: Path, form: dict, name: str = "student.onnx") -> Path:
    metadata = image_metadata(name="tiny", classes=HOSTILE, **form)
    path = folder / name
    export_onnx(model, path, metadata)
    return path


def parity(
    graph: Exportable, path: Path, batches: Sequence[Mapping[str, Tensor]], max_abs: float, agreement: float
) -> dict[str, Any]:
    """How a graph's file answers batches of its inputs, beside the module itself."""
    expected, actual = (
        torch.cat([torch.from_numpy(ask({name: one[name].numpy() for name in graph.inputs})[0]) for one in batches])
        for ask in (of_module(graph), of_file(path))
    )
    return compared(expected, actual, path, kind="classes", max_abs=max_abs, agreement=agreement)


def image_parity(model: nn.Module, path: Path, images_BCHW: Tensor, max_abs: float, agreement: float) -> dict[str, Any]:
    """The same of a network of images."""
    graph = exportable(model, said_by(path))
    batches = [{"image": part} for part in images_BCHW.split(256)]
    return parity(graph, path, batches, max_abs, agreement)


@pytest.fixture(scope="module")
def colour(tmp_path_factory) -> tuple[nn.Module, Path]:
    model = small_network(3).train()
    return model, export(model, tmp_path_factory.mktemp("colour"), COLOUR)
