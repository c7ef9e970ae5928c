"""What a network of images is given: normalisation, content ids, a probe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import randomness
from ..data.ids import number
from ..models.identity import PROBES
from .pixels import Size, sides


def content_ids(images: Tensor) -> Tensor:
    """A hash (N,) int64, at least 0, of each image, by type, shape and pixels (N, C, H, W)."""
    head = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape[1:])}".encode()
    started = hashlib.blake2b(head, digest_size=8)
    content = torch.empty(len(images), dtype=torch.int64)
    pixels = images.numpy()
    for row in range(len(images)):
        hashed = started.copy()
        hashed.update(pixels[row].tobytes())
        content[row] = number(hashed)
    return content


def probe_images(channels: int, size: Size) -> Tensor:
    """Fixed noise in [0, 1), (4, channels, height, width) float32; the same on every machine."""
    height, width = sides(size)
    pixels = torch.arange(PROBES * channels * height * width)
    return randomness.uniform(0, pixels, 0, "models.probe").view(PROBES, channels, height, width)


@dataclass(frozen=True)
class Normalisation:
    """What a model wants done to images on a 0-1 scale: (x - mean) / std per channel, at a size."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: Size | None = None  # None: as the images are

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        if self.size is not None and images_BCHW.shape[-2:] != sides(self.size):
            images_BCHW = F.interpolate(
                images_BCHW, sides(self.size), mode="bilinear", antialias=True, align_corners=False
            )
        mean = images_BCHW.new_tensor(self.mean).view(1, -1, 1, 1)
        std = images_BCHW.new_tensor(self.std).view(1, -1, 1, 1)
        return ((images_BCHW - mean) / std).contiguous(memory_format=torch.channels_last)


class Prepared(nn.Module):
    """A model with what its input goes through, which is kept with the state."""

    settings: Tensor

    def __init__(self, model: nn.Module, sees: Normalisation) -> None:
        super().__init__()
        self.model, self.sees = model, sees
        size = sees.size if isinstance(sees.size, tuple) else [sees.size or 0]
        settings = torch.tensor([*sees.mean, *sees.std, *size], dtype=torch.float32)
        self.register_buffer("settings", settings)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.model(self.sees(images_BCHW))
