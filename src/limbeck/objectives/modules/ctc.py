"""Objectives on recordings, under CTC: the labels, the teacher frame by frame, and what the teacher heard.

How many frames an utterance has is said by the batch's mask (B, L), true at its first frames. Class 0 is the blank. Shapes: B
utterances, L frames, V classes, T labels, K transcripts.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ...interfaces import Batch, DenseLogits, Hypotheses, Needs, Output, Target, Term, TopK
from .. import functional
from ..catalogue.entry import SYMBOLS
from ..functional.common import check_class_ids
from ..functional.frames import frames_near
from ..schedules import Scheduled
from .base import Objective, examples, labels_of, logits_of, number
from .kl import OnProbabilities

BLANK = 0


class CTC(Objective):
    """CTC with the labels; see :func:`limbeck.objectives.functional.ctc`.

    The count of its term is that of the labels of utterances that have enough frames for them; an utterance without labels, all
    of them -100, is one that nobody transcribed.
    """

    needs = Needs(labels=True)
    reads = SYMBOLS

    def __init__(self, weight: Scheduled = 1.0) -> None:
        super().__init__(number(weight))
        self.name = "ctc"

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        logits, labels, lengths_B = (
            logits_of(student),
            labels_of(batch, self.name),
            frames_of(batch, self.name, student),
        )
        symbols_B = functional.ctc_symbols(labels, lengths_B, blank=BLANK)
        check_class_ids(labels, logits.shape[-1])
        values_B = functional.ctc_sequence_kd_utterances(logits, labels, symbols_B, lengths=lengths_B, blank=BLANK)
        return {self.name: Term(self.scheduled(self.weight) * values_B.sum(), symbols_B.clamp(min=0).sum())}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        symbols_B = functional.ctc_symbols(labels_of(batch, self.name), frames_of(batch, self.name), blank=BLANK)
        return {self.name: symbols_B.clamp(min=0).sum()}

    def extra_repr(self) -> str:
        return f"weight={self.weight}"


class CTCFrameKD(OnProbabilities):
    """``T² KL(teacher || student)`` at the frames that ``keep_blanks`` selects, over the number of all frames.

    See :func:`limbeck.objectives.functional.ctc_frame_kd`, which divides by the number of those selected: the teacher's answer
    tells it, and a term's count must be known before.
    """

    squared = True
    reads = SYMBOLS

    def __init__(self, temperature: Scheduled = 1.0, keep_blanks: int | None = None, weight: Scheduled = 1.0) -> None:
        super().__init__("ctc_frame_kd", functional.kd_positions, temperature=temperature, weight=weight)
        if keep_blanks is not None and keep_blanks < 0:
            raise ValueError(f"keep_blanks must be None or a number of frames, not {keep_blanks}")
        self.needs = Needs(target=(DenseLogits, TopK))
        self.keep_blanks = keep_blanks

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        total = super().total(
            student, target, self._selected(student, target, batch), weight=self.scheduled(self.weight)
        )
        return {self.name: Term(total, self.counts(batch)[self.name])}

    def reading(self, student: Output, target: Target, batch: Batch) -> functional.Reading | None:
        return super().reading(student, target, self._selected(student, target, batch))

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {self.name: frames_of(batch, self.name).sum()}

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, keep_blanks={self.keep_blanks}, weight={self.weight}"

    def _selected(self, student: Output, target: Target, batch: Batch) -> Batch:
        """The batch whose mask are the frames that are compared. Raises ``ValueError`` where the two models' differ in number."""
        frames_of(batch, self.name, student)
        kept = next(column for column in target.columns if isinstance(column, self.needs.target))
        if kept.logits.shape[:2] != logits_of(student).shape[:2]:
            raise ValueError(
                f"{self.name} compares frame by frame, and the student gives {logits_of(student).shape[1]} of them where the teacher "
                f"gives {kept.logits.shape[1]}: give both the same stride, or take ctc_sequence_kd, which needs no alignment"
            )
        if self.keep_blanks is None or batch.mask is None:
            return batch
        best_BL1 = kept.logits.detach().argmax(dim=-1, keepdim=True)
        said_BL = (best_BL1 if isinstance(kept, DenseLogits) else kept.ids.gather(-1, best_BL1))[..., 0]
        return replace(batch, mask=frames_near(said_BL != BLANK, batch.mask, self.keep_blanks))


class CTCSequenceKD(Objective):
    """CTC on the teacher's transcripts; see :func:`limbeck.objectives.functional.ctc_sequence_kd`.

    Of each utterance the weighted mean over its transcripts is divided by their length, weighted likewise, and multiplied by
    how much the utterance counts; the count of the term is the number of utterances. A transcript that no alignment gives is
    left out, and its weight goes to the others.
    """

    needs = Needs(target=(Hypotheses,))
    reads = SYMBOLS

    def __init__(self, weight: Scheduled = 1.0) -> None:
        super().__init__(number(weight))
        self.name = "ctc_sequence_kd"

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        logits, lengths_B, heard = logits_of(student), frames_of(batch, self.name, student), target.get(Hypotheses)
        fits_BK = functional.ctc_fits(heard.symbols, heard.lengths, lengths_B, classes=logits.shape[-1], blank=BLANK)
        there_BK = fits_BK & (heard.lengths >= 0)
        weights_BK = heard.weights.detach().float().masked_fill(~there_BK, 0.0)
        lengths_BK = heard.lengths.masked_fill(~there_BK, -1)
        values_B = functional.ctc_sequence_kd_utterances(
            logits, heard.symbols, lengths_BK, lengths=lengths_B, weights=weights_BK, blank=BLANK
        )
        sure_B = heard.weights.detach().float().masked_fill(heard.lengths < 0, 0.0).sum(dim=-1)
        told_B = weights_BK.sum(dim=-1).clamp(min=1e-30)
        symbols_B = ((weights_BK * lengths_BK.clamp(min=0)).sum(dim=-1) / told_B).clamp(min=1)
        total = (sure_B * values_B / symbols_B).sum()
        return {self.name: Term(self.scheduled(self.weight) * total, examples(batch))}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {self.name: examples(batch)}

    def extra_repr(self) -> str:
        return f"weight={self.weight}"


def frames_of(batch: Batch, name: str, student: Output | None = None) -> Tensor:
    """How many frames each utterance has, int64 (B,). Raises ``ValueError`` where the batch does not say, or the student differs."""
    if batch.mask is None:
        raise ValueError(
            f"{name} has to know how many frames each utterance has: give the batch a mask (B, L), true at its frames"
        )
    if student is not None and logits_of(student).shape[:-1] != batch.mask.shape:
        raise ValueError(
            f"{name} is for frames, logits (B, L, V) with L as in the mask {tuple(batch.mask.shape)}, and the student gives "
            f"{tuple(logits_of(student).shape)}"
        )
    return batch.mask.sum(dim=1)
