"""A picture made smaller by the student itself, before anything else: the first lever on a device that has little time."""

from __future__ import annotations

from torch import nn


def smaller(downscale: int) -> nn.Module | None:
    """Averages squares of ``downscale`` by ``downscale`` pixels; None where it is 1, so that such a network has no part more.

    (B, C, H, W) to (B, C, H // downscale, W // downscale): rows and columns that fill no square are left out. What the
    network is given stays as large as the data is, so that soft targets of these pictures are this student's too.
    """
    return None if downscale == 1 else nn.AvgPool2d(downscale)
