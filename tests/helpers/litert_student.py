"""The student whose files lie in ``tests/deploy/litert``, where ``benchmarks/litert.py`` wrote them: the converter has an environment of
several GB of its own, which tests do not make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import nn

from limbeck.interfaces import Exportable, Input
from limbeck.interfaces.exportable import BATCH
from limbeck.modalities.image.export import exportable, image_metadata
from limbeck.models.seeding import seeded
from limbeck.vision.convnet import ConvNet

FOLDER = Path(__file__).parents[1] / "deploy" / "litert"


def student() -> Exportable:
    """The digits' student, trained for a moment on every second image."""
    model = ConvNet(10, 1, 8, width=8)
    model.load_state_dict(load_file(FOLDER / "student.safetensors"))
    form = {"channels": 1, "height": 8, "width": 8, "mean": (0.5,), "std": (0.5,)}
    return exportable(model.eval(), image_metadata(name="digits", classes=[*"0123456789"], **form))


def linear() -> Exportable:
    """A network of linear layers alone, such as a driver, of which the converter takes one example only."""
    with seeded(0):
        layers = nn.Sequential(nn.Linear(25, 8), nn.ReLU(), nn.Linear(8, 5)).eval()
    state = Input(torch.linspace(-1, 1, 50).view(2, 25), (BATCH, 25))
    return Exportable("Linear", layers, {"state": state}, (BATCH, 5), {})


def images() -> np.ndarray:
    """All of them, (1797, 1, 8, 8)."""
    images_N64 = np.asarray(load_digits(return_X_y=True)[0])
    return (images_N64.astype(np.float32) / 8 - 1).reshape(-1, 1, 8, 8)
