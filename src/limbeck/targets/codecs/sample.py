"""Classes drawn from the teacher's distribution, and how often each was. Shapes: N rows, C classes, D draws, W width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ... import randomness
from ...interfaces import Sampled
from .base import Column, Rows, in_chunks, to_float16, wide
from .ids import id_column, pack, unpack

MOST_DRAWS = 255  # a count is one byte
# Probabilities are held as whole numbers, the largest class's being 2 to this: sums of whole numbers are exact, so neither
# device nor batch changes a draw. A class below half of the smallest such share of the largest is never drawn. With more
# than 65,536 classes it is less, so that their sum times the width stays below 2 ** 63.
MOST_BITS, BITS_OF_ALL = 38, 54


@dataclass(frozen=True)
class SampleCodec:
    """D draws from the teacher's probabilities at one temperature, kept as at most W classes with their counts.

    Random sampling knowledge distillation (Anshumann et al. 2025, "Sparse Logit Sampling"): counts / draws is an
    unbiased estimate of the whole distribution, so the gradient of the cross-entropy with it is that of KD, on average,
    from a handful of classes. Three things make it small and sure:

    * Rows have one width, W, and a distribution over more classes is first thinned to W of them: those above a threshold t
      keep their mass, and of the others so many are chosen that the slots are filled, class c with probability p_c / t, and
      each takes mass t (Horvitz and Thompson 1952; chosen systematically, as Madow 1949). The masses still sum to 1, and
      each is right on average. What is large is thus known exactly, and no slot is wasted on a class twice.
    * The draws are stratified: the j-th falls at random into the j-th of D equal parts of the thinned distribution (its
      classes in order of id). Each class is drawn D times its mass on average, and never off by two or more, where
      independent draws are off by sqrt(D p). The counts of a row add up to D.
    * All draws are pure functions of (seed, id, view, position, draw).

    With ``proposal``, draws are made at that temperature, and with each class log(p / r) is kept, the weight that makes
    the estimate one of p at ``temperature``: a proposal above it visits rare classes more often.

    Bytes of a row: W (1 + bytes of an id), and 2 W more with a proposal.

    Args:
        draws: D, 1 to 255.
        temperature: T of the distribution that is estimated; an objective must use the same.
        proposal: T that the draws are made at, where it is another.
        width: W; a quarter of D where not given, for some 12 different classes come in 50 draws from a language model.
        seed: of the draws.

    Raises:
        ValueError: draws, temperature, proposal or width out of range.
    """

    draws: int = 50
    temperature: float = 1.0
    proposal: float | None = None
    width: int | None = None
    seed: int = 0

    name: ClassVar[str] = "sample"
    kind: ClassVar[type] = Sampled

    def __post_init__(self) -> None:
        if not 1 <= self.draws <= MOST_DRAWS:
            raise ValueError(f"draws must be between 1 and {MOST_DRAWS}, not {self.draws}")
        for name, value in (("temperature", self.temperature), ("proposal", self.proposal)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")
        if self.width is not None and not 1 <= self.width <= self.draws:
            raise ValueError(f"width must be between 1 and the number of draws, {self.draws}, not {self.width}")

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "draws": self.draws,
            "temperature": self.temperature,
            "proposal": self.proposal,
            "width": self.width,
            "seed": self.seed,
        }

    def layout(self, classes: int) -> tuple[Column, ...]:
        width = self._width(classes)
        columns = id_column(width, classes), Column("counts", np.dtype(np.uint8), width)
        return columns if self.proposal is None else (*columns, Column("log_weights", np.dtype(np.float16), width))

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        return in_chunks(self._encode, logits_NC, rows)

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> Sampled:
        counts_NW = columns["counts"].to(torch.float32)
        ids_NW = unpack(columns["ids"], classes).masked_fill(counts_NW == 0, -1)
        weights = columns["log_weights"].to(torch.float32).exp() if self.proposal is not None else None
        return Sampled(ids=ids_NW, counts=counts_NW, temperature=self.temperature, weights=weights)

    def _width(self, classes: int) -> int:
        return min(-(-self.draws // 4) if self.width is None else self.width, classes)

    def _encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        classes = logits_NC.shape[1]
        width = self._width(classes)
        below_NC = wide(logits_NC)
        below_NC = below_NC - below_NC.amax(1, keepdim=True)
        uniform_ND = _uniform(self.seed, rows, self.draws + 1).to(below_NC.device)
        mass_NC = _masses(below_NC / (self.proposal or self.temperature), classes)
        ids_NW, mass_NW = _thinned(mass_NC, uniform_ND[:, self.draws :], width)
        counts_NW = _stratified(mass_NW, uniform_ND[:, : self.draws])
        there_NW = counts_NW > 0
        ids_NW = ids_NW.masked_fill(~there_NW, 0)
        columns = {"ids": pack(ids_NW, classes), "counts": counts_NW.to(torch.uint8)}
        if self.proposal is not None:
            log_p_NC, log_r_NC = ((below_NC / t).log_softmax(1) for t in (self.temperature, self.proposal))
            log_weights_NW = log_p_NC.gather(1, ids_NW) - log_r_NC.gather(1, ids_NW)
            columns["log_weights"] = to_float16(log_weights_NW.masked_fill(~there_NW, 0.0))
        return columns


def _uniform(seed: int, rows: Rows, number: int) -> Tensor:
    """(N, number) float64 in [0, 1), by (seed, id, view, position, draw)."""
    row_N = randomness.bits(seed, rows.ids_N, rows.view, "targets.sample")
    row_N = randomness.bits(seed, row_N, rows.position_N.to(row_N.device), "targets.sample.position")
    draw_D = torch.arange(number, device=row_N.device)
    return randomness.uniform(seed, row_N[:, None], draw_D, "targets.sample.draw").to(torch.float64)


def _masses(scaled_NC: Tensor, classes: int) -> Tensor:
    """softmax(scaled) as whole numbers (N, C) int64, up to a factor. The largest of a row of ``scaled`` is 0."""
    one = 2.0 ** min(MOST_BITS, BITS_OF_ALL - (classes - 1).bit_length())
    return (scaled_NC.exp() * one).round().to(torch.int64)


def _thinned(mass_NC: Tensor, start_N1: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """At most W classes (N, W), ascending, with masses (N, W) that are a row's, up to a factor of the row, on average.

    A slot that is not needed has mass 0.
    """
    classes = mass_NC.shape[1]
    if width >= classes:
        return torch.arange(classes, device=mass_NC.device).expand_as(mass_NC), mass_NC
    largest = mass_NC.topk(width, dim=1)
    place_W = torch.arange(width, device=mass_NC.device)
    # with the first h classes kept as they are, the others' mass is shared by the W - h slots that are left
    rest_NW = mass_NC.sum(1, keepdim=True) - (largest.values.cumsum(1) - largest.values)
    enough_NW = largest.values * (width - place_W) <= rest_NW
    kept_N1 = enough_NW.to(torch.uint8).argmax(1, keepdim=True)
    rest_N1, slots_N1 = rest_NW.gather(1, kept_N1), width - kept_N1
    is_kept_NW = place_W < kept_N1
    others_NC = mass_NC.scatter(1, largest.indices, largest.values.masked_fill(is_kept_NW, 0))
    nth_NW = (place_W - kept_N1).clamp(min=0)
    point_NW = ((nth_NW + start_N1) * rest_N1 / slots_N1).to(torch.int64).minimum(rest_N1 - 1).clamp(min=0)
    chosen_NW = torch.searchsorted(others_NC.cumsum(1), point_NW, right=True).clamp(max=classes - 1)
    # all masses times W - h, so that an equal share of the rest is a whole number
    ids_NW = torch.where(is_kept_NW, largest.indices, chosen_NW)
    mass_NW = torch.where(is_kept_NW, largest.values * slots_N1, rest_N1)
    ids_NW, order_NW = ids_NW.sort(1)
    return ids_NW, mass_NW.gather(1, order_NW)


def _stratified(mass_NW: Tensor, uniform_ND: Tensor) -> Tensor:
    """How often each of W classes (N, W) comes in D draws, one from each of D equal parts of their masses."""
    below_NW = mass_NW.cumsum(1)
    whole_N1 = below_NW[:, -1:]
    draws = uniform_ND.shape[1]
    place_ND = (torch.arange(draws, device=uniform_ND.device) + uniform_ND) / draws
    point_ND = (place_ND * whole_N1).to(torch.int64).minimum(whole_N1 - 1)
    drawn_ND = torch.searchsorted(below_NW, point_ND, right=True)
    return torch.zeros_like(mass_NW).scatter_add_(1, drawn_ND, torch.ones_like(drawn_ND))
