"""Views: the renderings of an example, each a pure function of (seed, example id, view).

The same (id, view) gives the same pixels, bit for bit, whatever the batch it stands in and however the store
is ordered; CPU and GPU agree in every draw, and in pixels within rounding. That is what lets a stored soft
target belong to the very pixels that the student sees.

The knobs of :class:`limbeck.sections.recipe.Views` act in this order. Each has its own draws, so that setting one
leaves the others as they were. Lengths are in pixels, on images of H x W; outside of the image is black.

================  ==========================================================================================
``pad_crop: p``   moved by whole pixels, uniform in -p ... p along each axis
``shift: s``      moved by fractions of pixels, uniform between -s and s times the side, along each axis
``flip``          mirrored left and right with probability 1/2; numbers of ``flip_turns`` then change their sign
``resized_crop``  area uniform between the two shares, shape w / h log-uniform between the two ratios, cut to
                  the image where longer; place uniform inside of the image; scaled to H x W
``affine``        angle, angle of shear (along x) and scale factor, each uniform, around the centre
``color``         factors of brightness, contrast and saturation, each uniform in 1 - x ... 1 + x, in this
                  order, clipped to [0, 1] after each
``erase: q``      with probability q, a rectangle of area uniform in 2-33 %, shape log-uniform in 0.3-3.3 and
                  uniform place inside of the image is filled with uniform noise, the same in all channels
``cutout: n``     a black n x n square around a uniform pixel, cut at the border
``mixup: a``      λ ~ Beta(a, a); partner uniform over the store, rendered at the same view, all of the above
``cutmix: a``     λ ~ Beta(a, a); box of sides √(1 - λ) H and √(1 - λ) W around a uniform pixel, cut at the
                  border; with mixup too, each example takes one of the two with probability 1/2
================  ==========================================================================================

Shapes: B batch, C channels, H height, W width, N examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..data.draws import Draws
from . import geometric as geometry
from . import intensity as appearance
from . import mix as mixing
from .sections import Views


class ImageStore(Protocol):
    """Images with labels and stable ids, all on one device."""

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8, or float32 in [0, 1]."""
        ...

    @property
    def labels(self) -> Tensor | None:
        """(N,) int64 class ids, or (N, D) float32 numbers; None for a transfer set."""
        ...

    @property
    def ids(self) -> Tensor:
        """(N,) int64, all different."""
        ...


@dataclass(frozen=True)
class Rendered:
    """A batch of renderings."""

    images_BCHW: Tensor  # float32 in [0, 1]
    # (B,) int64 class ids, (B, classes) float32 probabilities where mixed; (B, D) numbers; None: unlabelled
    labels: Tensor | None


def render(
    spec: Views,
    seed: int,
    images: ImageStore,
    index_B: Tensor,
    view_B: Tensor | int,
    classes: int | None,
    turned_D: Tensor | None = None,
) -> Rendered:
    """Renders the examples at positions ``index_B`` of the store, each in its view, on the store's device.

    ``view_B`` is int64 (B,), or one view for all; ``classes`` is needed only to mix labels. An empty spec
    gives the images as they are, on a 0-1 scale. ``turned_D`` (D,) bool says of numbers whose sign a mirror image turns.
    Mixed, numbers are weighted as the images are. Raises ``ValueError`` where labels are to be mixed and ``classes`` is None.
    """
    view_B = torch.as_tensor(view_B, device=index_B.device).expand(index_B.shape)
    draws = Draws(seed, images.ids[index_B], view_B)
    labels_B = None if images.labels is None else _labels(spec, images.labels[index_B], draws, turned_D)
    if not (spec.mixup or spec.cutmix):
        return Rendered(_unmixed(spec, images, index_B, draws), labels_B)

    partner_B = mixing.partners(images.ids, draws)
    both_ids = torch.cat([draws.ids_B, images.ids[partner_B]])
    both_draws = Draws(seed, both_ids, view_B.repeat(2))
    both = _unmixed(spec, images, torch.cat([index_B, partner_B]), both_draws)
    own_BCHW, partners_BCHW = both.chunk(2)
    mixed_BCHW, share_B = mixing.mix(own_BCHW, partners_BCHW, spec, draws)
    if images.labels is None or labels_B is None:
        return Rendered(mixed_BCHW, None)
    if images.labels.is_floating_point():
        both_labels = images.labels[torch.cat([index_B, partner_B])]
        own_BD, partners_BD = _labels(spec, both_labels, both_draws, turned_D).chunk(2)
        return Rendered(mixed_BCHW, mixing.mix_numbers(own_BD, partners_BD, share_B))
    if classes is None:
        raise ValueError("classes is needed to mix labels")
    return Rendered(mixed_BCHW, mixing.mix_labels(labels_B, images.labels[partner_B], share_B, classes))


def _labels(spec: Views, labels: Tensor, draws: Draws, turned_D: Tensor | None) -> Tensor:
    """The labels of renderings that are not mixed yet: numbers change their sign where the image is mirrored."""
    if turned_D is None or not spec.flip:
        return labels
    return torch.where(geometry.mirrored(draws)[:, None] & turned_D, -labels, labels)


def _unmixed(spec: Views, images: ImageStore, index_B: Tensor, draws: Draws) -> Tensor:
    """All knobs but mixup and CutMix: float32 (B, C, H, W)."""
    pixels_BCHW = images.images.index_select(0, index_B)
    if geometry.needs_warp(spec):
        pixels_BCHW = geometry.warp(_on_unit_scale(pixels_BCHW), spec, draws)
    else:
        pixels_BCHW = _on_unit_scale(geometry.crop_and_flip(pixels_BCHW, spec, draws))
    if spec.color is not None:
        pixels_BCHW = appearance.jitter(pixels_BCHW, spec.color, draws)
    if spec.erase:
        pixels_BCHW = appearance.erase(pixels_BCHW, spec.erase, draws)
    if spec.cutout:
        pixels_BCHW = appearance.cutout(pixels_BCHW, spec.cutout, draws)
    return pixels_BCHW


def _on_unit_scale(pixels_BCHW: Tensor) -> Tensor:
    if pixels_BCHW.dtype == torch.uint8:
        return pixels_BCHW.to(torch.float32).div_(255)
    return pixels_BCHW.to(torch.float32)
