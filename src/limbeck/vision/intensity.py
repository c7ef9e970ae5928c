"""What changes a rendering's pixels where they stand: colour, erasing, cutout.

All functions take and give float32 images in [0, 1]. Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import randomness
from ..data import draws as tables
from ..data.draws import Draws
from .sections import ColorJitter

_ERASED_AREA = (0.02, 0.33)
_ERASED_RATIO = (0.3, 1 / 0.3)
_LUMA = (0.299, 0.587, 0.114)


def jitter(images_BCHW: Tensor, spec: ColorJitter, draws: Draws) -> Tensor:
    """Brightness, then contrast (around the image's mean grey), then saturation (around the pixel's grey)."""
    if spec.brightness:
        images_BCHW = (images_BCHW * _factor("color.brightness", spec.brightness, draws)).clamp_(0, 1)
    if spec.contrast:
        # The mean is taken in whole numbers: a float sum depends on the order in which it is added up, and
        # that on the batch.
        whole_B1HW = (_grey(images_BCHW) * 2.0**16).round().to(torch.int64)
        mean_B111 = whole_B1HW.sum((1, 2, 3), keepdim=True).to(torch.float32) / (whole_B1HW[0].numel() * 2.0**16)
        images_BCHW = _blend(mean_B111, images_BCHW, _factor("color.contrast", spec.contrast, draws))
    if spec.saturation and images_BCHW.shape[1] == len(_LUMA):
        factor_B111 = _factor("color.saturation", spec.saturation, draws)
        images_BCHW = _blend(_grey(images_BCHW), images_BCHW, factor_B111)
    return images_BCHW


def erase(images_BCHW: Tensor, probability: float, draws: Draws) -> Tensor:
    """With ``probability``, replaces a rectangle (2-33 % of the area, log-uniform shape) by grey noise."""
    height, width = images_BCHW.shape[-2:]
    area_B = draws.between("erase.area", *_ERASED_AREA) * float(height * width)
    ratio_B = draws.pick("erase.ratio", tables.log_uniform(*_ERASED_RATIO, area_B.device))
    h_B = (area_B / ratio_B).sqrt().round().clamp(1, height)
    w_B = (area_B * ratio_B).sqrt().round().clamp(1, width)
    top_B = (draws.uniform("erase.y") * (height - h_B + 1)).floor()
    left_B = (draws.uniform("erase.x") * (width - w_B + 1)).floor()
    inside_B1HW = box(images_BCHW, top_B, top_B + h_B, left_B, left_B + w_B)
    erased_B111 = (draws.uniform("erase") < probability)[:, None, None, None]
    return torch.where(inside_B1HW & erased_B111, _noise(height, width, draws), images_BCHW)


def cutout(images_BCHW: Tensor, side: int, draws: Draws) -> Tensor:
    """Blanks a square around a uniform pixel; what falls outside of the image is lost, as in the paper.

    DeVries and Taylor, 2017 (arXiv:1708.04552).
    """
    height, width = images_BCHW.shape[-2:]
    top_B = draws.integers("cutout.y", height) - side // 2
    left_B = draws.integers("cutout.x", width) - side // 2
    return images_BCHW.masked_fill(box(images_BCHW, top_B, top_B + side, left_B, left_B + side), 0.0)


def box(images_BCHW: Tensor, top_B: Tensor, bottom_B: Tensor, left_B: Tensor, right_B: Tensor) -> Tensor:
    """bool (B, 1, H, W): the pixels from top to bottom and left to right, the last ones left out."""
    height, width = images_BCHW.shape[-2:]
    y_H = torch.arange(height, device=images_BCHW.device)
    x_W = torch.arange(width, device=images_BCHW.device)
    rows_BH = (y_H >= top_B[:, None]) & (y_H < bottom_B[:, None])
    columns_BW = (x_W >= left_B[:, None]) & (x_W < right_B[:, None])
    return (rows_BH[:, :, None] & columns_BW[:, None, :])[:, None]


def _factor(knob: str, spread: float, draws: Draws) -> Tensor:
    return draws.between(knob, 1 - spread, 1 + spread)[:, None, None, None]


def _blend(from_BCHW: Tensor, to_BCHW: Tensor, factor_B111: Tensor) -> Tensor:
    # Not torch.lerp: it may fuse the multiplication and the addition, differently on each device.
    return (from_BCHW + (to_BCHW - from_BCHW) * factor_B111).clamp_(0, 1)


def _grey(images_BCHW: Tensor) -> Tensor:
    """(B, 1, H, W): luma of colour images, the mean channel of others."""
    channels = images_BCHW.split(1, dim=1)
    weights = _LUMA if len(channels) == len(_LUMA) else (1 / len(channels),) * len(channels)
    grey_B1HW = channels[0] * weights[0]
    for channel_B1HW, weight in zip(channels[1:], weights[1:]):
        grey_B1HW = grey_B1HW + channel_B1HW * weight
    return grey_B1HW


def _noise(height: int, width: int, draws: Draws) -> Tensor:
    """Grey noise (B, 1, H, W) in 256 steps: seven pixels from each hash."""
    device = draws.ids_B.device
    each_B = randomness.bits(draws.seed, draws.ids_B, draws.view_B, "erase.noise")
    count = torch.arange(-(-height * width // 7), device=device)
    words = randomness.bits(draws.seed, each_B[:, None], count, "erase.noise.pixel")
    bytes_ = (words[:, :, None] >> torch.arange(0, 56, 8, device=device)) & 255
    noise = bytes_.flatten(1)[:, : height * width].to(torch.float32) / 255
    return noise.view(-1, 1, height, width)
