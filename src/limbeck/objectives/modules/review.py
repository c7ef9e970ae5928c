"""Knowledge review (Chen et al. 2021): every layer of the teacher teaches all layers of the student up to its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...interfaces import Batch, Output, Target
from .. import functional
from ..schedules import Scheduled
from .features import OnFeatures, Paths, as_map, check_built, convolution, sum_of

# Width of the fused maps, unless the student's deepest map is narrower still.
WIDEST = 512


class ReviewKD(OnFeatures):
    """The student's maps, fused from the deepest to the shallowest, equal the teacher's at several scales.

    The sum over the levels of the hierarchical context loss (:func:`limbeck.objectives.functional.review_hcl`) between
    what the level's :class:`Fusion` gives and the teacher's map. The student's maps are brought to the teacher's sizes by
    repeating the nearest place, as in the paper. Vectors (B, D), such as ``fc:in`` as a last level, are maps of one place.

    Published settings: cross-entropy of weight 1 beside it; weight 5 (wide ResNets, r32x4 to r8x4), 8 (to ShuffleNetV2),
    1 (r110 to r32, ImageNet) or 0.6 (r56 to r20), warmed up over 20 of 240 epochs: ``weight=Linear(0, 5, epochs=20)``.
    The authors take maps before the ReLU, and the pooled features as a last level.

    Args:
        student: module paths, from shallow to deep.
        teacher: as many paths of the teacher, from shallow to deep.
        weight: factor of the term.
    """

    def __init__(self, student: Paths, teacher: Paths, weight: Scheduled = 5.0) -> None:
        super().__init__("reviewkd", student, teacher, weight)
        self.fusions = nn.ModuleList()

    def build(self, student: Output, target: Target, batch: Batch, ids_N: Tensor) -> None:
        maps = [(as_map(ours), as_map(theirs)) for ours, theirs in self.pairs(student, target)]
        middle = min(WIDEST, maps[-1][0].shape[1])
        self.fusions = nn.ModuleList(
            Fusion(ours.shape[1], middle, theirs.shape[1], deepest=level == len(maps) - 1).to(ours.device, ours.dtype)
            for level, (ours, theirs) in enumerate(maps)
        )

    def value(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        check_built(self, self.fusions)
        values, deeper = [], None
        for (ours, theirs), fusion in zip(reversed(pairs), reversed(self.fusions), strict=True):
            theirs = as_map(theirs)
            answer, deeper = fusion(as_map(ours), deeper, theirs.shape[2:])
            values.append(functional.review_hcl(answer, theirs))
        return sum_of(values)


class Fusion(nn.Module):
    """Attention-based fusion: a level's map with what comes from the deeper levels, place by place.

    A 1x1 convolution with batch norm brings the map to ``middle`` channels; two attention maps (1x1 convolution and
    sigmoid of both together) weigh it and the deeper one; the sum, at the teacher's size, goes on to the next shallower
    level, and through a 3x3 convolution with batch norm to the teacher's width.
    """

    def __init__(self, in_channels: int, middle: int, out_channels: int, *, deepest: bool) -> None:
        super().__init__()
        self.narrow = nn.Sequential(*convolution(in_channels, middle, 1))
        self.attention = None if deepest else nn.Conv2d(2 * middle, 2, 1)
        self.widen = nn.Sequential(*convolution(middle, out_channels, 3))

    def forward(self, maps_BCHW: Tensor, deeper_BMHW: Tensor | None, size: torch.Size) -> tuple[Tensor, Tensor]:
        """The answer (B, out, *size), and the fused map (B, middle, *size) for the next shallower level."""
        fused_BMHW = self.narrow(maps_BCHW)
        if self.attention is not None and deeper_BMHW is not None:
            deeper_BMHW = _resized(deeper_BMHW, fused_BMHW.shape[2:])
            both = torch.cat([fused_BMHW, deeper_BMHW], dim=1)
            own_B1HW, other_B1HW = self.attention(both).sigmoid().split(1, dim=1)
            fused_BMHW = fused_BMHW * own_B1HW + deeper_BMHW * other_B1HW
        fused_BMHW = _resized(fused_BMHW, size)
        return self.widen(fused_BMHW), fused_BMHW


def _resized(maps_BCHW: Tensor, size: torch.Size) -> Tensor:
    return maps_BCHW if maps_BCHW.shape[2:] == size else F.interpolate(maps_BCHW, tuple(size), mode="nearest")
