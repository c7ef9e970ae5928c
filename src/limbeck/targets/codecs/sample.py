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
# Probabilities are held as whole numbers, the largest class's being this: sums of whole numbers are exact, so neither
# device nor batch changes a draw. A class below half of 1 / ONE of the largest is never drawn.
ONE = 2**38


@dataclass(frozen=True)
class SampleCodec:
    """D draws from the teacher's probabilities at one temperature, kept as at most W classes with their counts.

    Random sampling knowledge distillation (Anshumann et al. 2025, "Sparse Logit Sampling"): counts / draws is an
    unbiased estimate of the whole distribution, so the gradient of the cross-entropy with it is that of KD, on average,
    from a handful of classes. Three things make it small and sure:

    * The draws are stratified: the j-th falls at random into the j-th of D equal parts of the distribution (its classes in
      order of id). Each class is still drawn D p times on average, and never off by two or more, where independent draws
      are off by sqrt(D p).
    * Rows have one width, W. Where more than W classes were drawn, W of the D draws are kept, evenly spaced among the
      sorted draws from a random start. Each draw is kept with probability W / D whatever was drawn, so the mean over what
      is kept is, on average, the mean over all: unbiased still, at more noise for the rows with the flattest answers. (To
      stop drawing at W classes, or to drop the rarest, would be biased against rare classes.) The counts of a row add up
      to its number of draws, D or W.
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
        drawn_ND = _stratified(below_NC / (self.proposal or self.temperature), uniform_ND[:, : self.draws])
        ids_NW, counts_NW = _counted(drawn_ND, uniform_ND[:, self.draws :], width)
        there_NW = counts_NW > 0
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


def _stratified(scaled_NC: Tensor, uniform_ND: Tensor) -> Tensor:
    """One class from each of D equal parts of softmax(scaled): (N, D) int64, ascending. The largest of a row is 0."""
    mass_NC = (scaled_NC.exp() * ONE).round().to(torch.int64)
    below_NC = mass_NC.cumsum(1)
    whole_N1 = below_NC[:, -1:]
    draws = uniform_ND.shape[1]
    place_ND = (torch.arange(draws, device=uniform_ND.device) + uniform_ND) / draws
    point_ND = (place_ND * whole_N1).to(torch.int64).minimum(whole_N1 - 1)
    return torch.searchsorted(below_NC, point_ND, right=True)


def _counted(drawn_ND: Tensor, start_N1: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Ascending draws as classes (N, W) and how often each came (N, W); a class of count 0 is 0."""
    draws = drawn_ND.shape[1]
    if width < draws:
        every_W = torch.arange(width, device=drawn_ND.device) + start_N1
        spaced_NW = drawn_ND.gather(1, (every_W * (draws / width)).to(torch.int64).clamp(max=draws - 1))
        fits_N = 1 + (drawn_ND[:, 1:] != drawn_ND[:, :-1]).sum(1) <= width
        # a row that does not fit is written as W draws and then copies of the last, which count nothing
        padded_ND = torch.cat([spaced_NW, spaced_NW[:, -1:].expand(-1, draws - width)], dim=1)
        drawn_ND = drawn_ND.where(fits_N[:, None], padded_ND)
        number_N1 = torch.where(fits_N, draws, width)[:, None]
    else:
        number_N1 = torch.full_like(start_N1, draws, dtype=torch.int64)
    new_ND = torch.cat([torch.ones_like(drawn_ND[:, :1]), (drawn_ND[:, 1:] != drawn_ND[:, :-1]).long()], dim=1)
    slot_ND = new_ND.cumsum(1) - 1
    counts = (torch.arange(draws, device=drawn_ND.device) < number_N1).long()
    ids_NW = torch.zeros(len(drawn_ND), width, dtype=torch.int64, device=drawn_ND.device).scatter_(1, slot_ND, drawn_ND)
    return ids_NW, torch.zeros_like(ids_NW).scatter_add_(1, slot_ND, counts)
