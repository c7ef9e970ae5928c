"""Mixup and CutMix: each rendering is mixed with that of a partner, and so are their labels.

The partner and the share are pure functions of (seed, view, id) over the ids of the store, not of the batch,
so that teacher and student see the same mix. Shapes: B batch, C channels, H height, W width, N examples, K
classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from ..data import draws as tables
from ..data.draws import Draws
from ..interfaces import IGNORED
from .intensity import box
from .sections import Views

# From a store's ids to their positions in order of the ids. Sorting 60,000 ids costs more than rendering a
# batch.
_positions_by_id = WeakIdKeyDictionary()


def partners(ids_N: Tensor, draws: Draws) -> Tensor:
    """Positions (B,) in the store of whom each example is mixed with: uniform over all ids, itself included.

    The same id is drawn however the store is ordered.
    """
    by_id_N = _positions_by_id.get(ids_N)
    if by_id_N is None:
        by_id_N = torch.argsort(ids_N, stable=True)
        _positions_by_id[ids_N] = by_id_N
    return by_id_N[draws.integers("mix.partner", len(ids_N))]


def mix(images_BCHW: Tensor, partners_BCHW: Tensor, spec: Views, draws: Draws) -> tuple[Tensor, Tensor]:
    """The mixed images and the share (B,) of each that is its own.

    Mixup (Zhang et al., 2018, arXiv:1710.09412) adds the two images, weighted λ and 1 - λ, λ ~ Beta(a, a).
    CutMix (Yun et al., 2019, arXiv:1905.04899) pastes a box of the partner, of area 1 - λ, around a
    uniform pixel; the share is corrected for what of the box falls outside. With both, a coin decides for
    each example.
    """
    if not spec.cutmix:
        return _mixup(images_BCHW, partners_BCHW, spec.mixup, draws)
    if not spec.mixup:
        return _cutmix(images_BCHW, partners_BCHW, spec.cutmix, draws)
    blended_BCHW, blended_share_B = _mixup(images_BCHW, partners_BCHW, spec.mixup, draws)
    pasted_BCHW, pasted_share_B = _cutmix(images_BCHW, partners_BCHW, spec.cutmix, draws)
    paste_B = draws.integers("mix.which", 2) == 1
    mixed_BCHW = torch.where(paste_B[:, None, None, None], pasted_BCHW, blended_BCHW)
    return mixed_BCHW, torch.where(paste_B, pasted_share_B, blended_share_B)


def mix_labels(labels_B: Tensor, partner_labels_B: Tensor, share_B: Tensor, classes: int) -> Tensor:
    """Probabilities (B, K): ``share`` on the example's own class, the rest on its partner's.

    A row of zeros, which is no label, where one of the two has none: of a mix, half a label is none.
    """
    known_B = (labels_B != IGNORED) & (partner_labels_B != IGNORED)
    own_BK, partners_BK = (F.one_hot(labels.where(known_B, 0), classes) for labels in (labels_B, partner_labels_B))
    return (own_BK * share_B[:, None] + partners_BK * (1 - share_B)[:, None]) * known_B[:, None]


def mix_numbers(labels_BD: Tensor, partner_labels_BD: Tensor, share_B: Tensor) -> Tensor:
    """Numbers (B, D), weighted as the images are; NaN where one of the two has none."""
    return labels_BD * share_B[:, None] + partner_labels_BD * (1 - share_B)[:, None]


def _mixup(images_BCHW: Tensor, partners_BCHW: Tensor, a: float, draws: Draws) -> tuple[Tensor, Tensor]:
    share_B = draws.pick("mixup.share", tables.symmetric_beta(a, images_BCHW.device))
    share_B111 = share_B[:, None, None, None]
    return images_BCHW * share_B111 + partners_BCHW * (1 - share_B111), share_B


def _cutmix(images_BCHW: Tensor, partners_BCHW: Tensor, a: float, draws: Draws) -> tuple[Tensor, Tensor]:
    height, width = images_BCHW.shape[-2:]
    side_B = (1 - draws.pick("cutmix.share", tables.symmetric_beta(a, images_BCHW.device))).sqrt()
    h_B, w_B = (side_B * height).to(torch.int64), (side_B * width).to(torch.int64)
    top_B = draws.integers("cutmix.y", height) - h_B // 2
    left_B = draws.integers("cutmix.x", width) - w_B // 2
    bottom_B, right_B = (top_B + h_B).clamp(max=height), (left_B + w_B).clamp(max=width)
    top_B, left_B = top_B.clamp(min=0), left_B.clamp(min=0)
    pasted_BCHW = torch.where(box(images_BCHW, top_B, bottom_B, left_B, right_B), partners_BCHW, images_BCHW)
    pasted_area_B = (bottom_B - top_B) * (right_B - left_B)
    return pasted_BCHW, 1 - pasted_area_B.to(torch.float32) / (height * width)
