"""Where each pixel of a rendering comes from: crop, shift, mirror, scale, rotate.

Crop and mirror alone move whole pixels and change none (:func:`crop_and_flip`). As soon as another knob is
set, all of them are composed into one affine map, and the image is interpolated once (:func:`warp`): what one
knob moves out of the frame, another may bring back. Outside of the image is black.

The arithmetic is elementwise on purpose: a matrix product may add in another order for another batch size,
and the same example would get other pixels. Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import draws as tables
from ..data.draws import Draws
from .sections import Affine, ResizedCrop, Views

# x' = a x + b y + c, y' = d x + e y + f: from a rendered pixel to its source, in pixels from the centre.
Number = Tensor | float  # (B,), or the same for all
Map = tuple[Number, Number, Number, Number, Number, Number]


def needs_warp(spec: Views) -> bool:
    """Whether a knob is set that moves pixels by fractions."""
    return spec.shift > 0 or spec.resized_crop is not None or spec.affine is not None


def crop_and_flip(images_BCHW: Tensor, spec: Views, draws: Draws) -> Tensor:
    """Pads with black and crops back, then mirrors: exact, in the images' own type."""
    batch, channels, height, width = images_BCHW.shape
    pad = spec.pad_crop
    if not pad:
        mirrored_B111 = mirrored(draws)[:, None, None, None]
        return torch.where(mirrored_B111, images_BCHW.flip(-1), images_BCHW) if spec.flip else images_BCHW
    top_B, left_B = draws.integers("crop.y", 2 * pad + 1), draws.integers("crop.x", 2 * pad + 1)
    device = images_BCHW.device
    padded = F.pad(images_BCHW, (pad, pad, pad, pad)).view(-1, width + 2 * pad)
    # Rows are copied whole, and only their columns are picked one by one: the fastest way on a CPU.
    plane_BC1 = torch.arange(batch * channels, device=device).view(batch, channels, 1) * (height + 2 * pad)
    row_BCH = plane_BC1 + (torch.arange(height, device=device) + top_B[:, None])[:, None, :]
    rows = padded.index_select(0, row_BCH.view(-1)).view(batch, channels, height, -1)
    column_BW = torch.arange(width, device=device).expand(batch, -1)
    if spec.flip:
        column_BW = torch.where(mirrored(draws)[:, None], column_BW.flip(-1), column_BW)
    column_BW = column_BW + left_B[:, None]
    return rows.gather(3, column_BW[:, None, None, :].expand(-1, channels, height, -1))


def warp(images_BCHW: Tensor, spec: Views, draws: Draws) -> Tensor:
    """All geometric knobs at once, with one bilinear interpolation of float32 images."""
    height, width = images_BCHW.shape[-2:]
    y_H1 = (torch.arange(height, device=images_BCHW.device) - (height - 1) / 2)[:, None]
    x_W = torch.arange(width, device=images_BCHW.device) - (width - 1) / 2
    a, b, c, d, e, f = (_column(part, images_BCHW) for part in _source(spec, height, width, draws))
    x_BHW = a * x_W + b * y_H1 + c
    y_BHW = d * x_W + e * y_H1 + f
    grid_BHW2 = torch.stack([x_BHW * (2 / width), y_BHW * (2 / height)], dim=-1)
    warped_BCHW = F.grid_sample(images_BCHW, grid_BHW2, padding_mode="zeros", align_corners=False)
    return warped_BCHW.clamp_(0, 1)


def _source(spec: Views, height: int, width: int, draws: Draws) -> Map:
    """The map from the rendering back to the stored image: the knobs in the order of their fields."""
    source: Map = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    if pad := spec.pad_crop:
        x_B, y_B = draws.integers("crop.x", 2 * pad + 1) - pad, draws.integers("crop.y", 2 * pad + 1) - pad
        source = _after(source, (1.0, 0.0, x_B, 0.0, 1.0, y_B))
    if spec.shift:
        x_B = draws.between("shift.x", -spec.shift, spec.shift) * width
        y_B = draws.between("shift.y", -spec.shift, spec.shift) * height
        source = _after(source, (1.0, 0.0, x_B, 0.0, 1.0, y_B))
    if spec.flip:
        sign_B = 1.0 - 2.0 * mirrored(draws).to(torch.float32)
        source = _after(source, (sign_B, 0.0, 0.0, 0.0, 1.0, 0.0))
    if spec.resized_crop is not None:
        source = _after(source, _resized_crop(spec.resized_crop, height, width, draws))
    if spec.affine is not None:
        source = _after(source, _affine(spec.affine, draws))
    return source


def _resized_crop(spec: ResizedCrop, height: int, width: int, draws: Draws) -> Map:
    area_B = draws.between("resized_crop.area", *spec.scale) * float(height * width)
    ratio_B = draws.pick("resized_crop.ratio", tables.log_uniform(*spec.ratio, area_B.device))
    # A crop longer than the image is cut to its side.
    w_B, h_B = (area_B * ratio_B).sqrt().clamp(max=width), (area_B / ratio_B).sqrt().clamp(max=height)
    x_B = (draws.uniform("resized_crop.x") - 0.5) * (width - w_B)
    y_B = (draws.uniform("resized_crop.y") - 0.5) * (height - h_B)
    return (w_B * (1 / width), 0.0, x_B, 0.0, h_B * (1 / height), y_B)


def _affine(spec: Affine, draws: Draws) -> Map:
    device = draws.ids_B.device
    cos_B, sin_B = draws.pick("affine.angle", tables.rotation(spec.degrees, device)).unbind(1)
    shear_B = draws.pick("affine.shear", tables.tangent(spec.shear, device))
    inverse_B = 1 / draws.between("affine.scale", 1 - spec.scale, 1 + spec.scale)
    # The image is scaled, sheared along x, then rotated; the source is found by undoing that.
    unsheared: Map = (inverse_B, -shear_B * inverse_B, 0.0, 0.0, inverse_B, 0.0)
    return _after(unsheared, (cos_B, sin_B, 0.0, -sin_B, cos_B, 0.0))


def _after(outer: Map, inner: Map) -> Map:
    """The map that takes a point through ``inner``, then through ``outer``."""
    a, b, c, d, e, f = outer
    p, q, r, s, t, u = inner
    return (
        a * p + b * s,
        a * q + b * t,
        a * r + b * u + c,
        d * p + e * s,
        d * q + e * t,
        d * r + e * u + f,
    )


def mirrored(draws: Draws) -> Tensor:
    """Which of the examples (B,) bool the knob ``flip`` mirrors."""
    return draws.integers("flip", 2) == 1


def _column(part: Number, like: Tensor) -> Tensor:
    """(B,) or a number, as a float32 (B, 1, 1)."""
    part_B = torch.as_tensor(part, dtype=torch.float32, device=like.device).expand(len(like))
    return part_B[:, None, None]
