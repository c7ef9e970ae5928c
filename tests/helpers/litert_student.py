"""The student whose files lie in ``tests/deploy/litert``, where ``benchmarks/litert.py`` wrote them: the converter has an environment of
several GB of its own, which tests do not make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from limbeck.interfaces import Exportable
from limbeck.modalities.image.export import exportable, image_metadata
from limbeck.vision.convnet import ConvNet

FOLDER = Path(__file__).parents[1] / "deploy" / "litert"


def student() -> Exportable:
    """The digits' student, trained for a moment on every second image."""
    model = ConvNet(10, 1, 8, width=8)
    model.load_state_dict(load_file(FOLDER / "student.safetensors"))
    form = {"channels": 1, "height": 8, "width": 8, "mean": (0.5,), "std": (0.5,)}
    return exportable(model.eval(), image_metadata(name="digits", classes=[*"0123456789"], **form))


def images() -> np.ndarray:
    """All of them, (1797, 1, 8, 8)."""
    images_N64 = np.asarray(load_digits(return_X_y=True)[0])
    return (images_N64.astype(np.float32) / 8 - 1).reshape(-1, 1, 8, 8)
