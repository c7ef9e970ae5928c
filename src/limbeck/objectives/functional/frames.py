"""Frames of a recording: what a student is asked to match under CTC, whose labels stand at no frame of their own.

Shapes: B utterances, T frames, V classes, L labels, K hypotheses of an utterance.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...interfaces import IGNORED
from .common import at_least_float32, check_class_ids, log_probabilities, mean_over, silenced
from .responses import kd
from .sequences import check_sequence

__all__ = [
    "ctc",
    "ctc_fits",
    "ctc_frame_kd",
    "ctc_frames",
    "ctc_sequence_kd",
    "ctc_sequence_kd_utterances",
    "ctc_symbols",
]


def ctc(
    student_logits: Tensor, labels: Tensor, *, lengths: Tensor | None = None, mask: Tensor | None = None, blank: int = 0
) -> Tensor:
    """``-Σ log q(y | x) / Σ |y|``, q(y | x) the sum over all alignments of the labels y with the frames.

    Graves, Fernández, Gomez, Schmidhuber 2006, "Connectionist Temporal Classification", section 4.1. The sum over utterances
    is divided by that of their labels, so that each label counts alike; torch's ``mean`` divides within each utterance.
    Utterances without a label, and those whose frames are too few (:func:`ctc_symbols`), are in neither sum.

    Args:
        student_logits: (B, T, V).
        labels: (B, L) label ids without blanks, -100 beyond an utterance's own.
        lengths: (B,) frames of each utterance; None: T.
        mask: (B,) bool; true where an utterance counts.
        blank: the id of the blank label.

    Returns:
        Scalar, at least float32; 0 where no utterance counts.

    Raises:
        ValueError: shapes do not fit, or a label or the blank is no class.
    """
    if lengths is None:
        lengths = torch.full(student_logits.shape[:1], student_logits.shape[1], device=student_logits.device)
    symbols_B = ctc_symbols(labels, lengths, blank=blank)
    if mask is not None:
        symbols_B = symbols_B.where(mask, -1)
    check_class_ids(labels, student_logits.shape[-1])
    values_B = ctc_sequence_kd_utterances(student_logits, labels, symbols_B, lengths=lengths, blank=blank)
    return values_B.sum() / symbols_B.clamp(min=0).sum().clamp(min=1)


def ctc_symbols(labels: Tensor, lengths: Tensor, *, blank: int = 0) -> Tensor:
    """How many labels (B, L), -100 beyond its own, each utterance of ``lengths`` (B,) frames has: int64 (B,).

    -1 where there is nothing to learn: it has none, or no alignment gives them, since they, and the blanks between equal ones,
    are more than the frames, or since one of them is the blank.
    """
    symbols_B = (labels != IGNORED).sum(dim=-1)
    fits_B = ctc_fits(labels, symbols_B, lengths, classes=torch.iinfo(labels.dtype).max, blank=blank)
    return symbols_B.where((symbols_B > 0) & fits_B, -1)


def ctc_frame_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    lengths: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    blank: int = 0,
    keep_blanks: int | None = None,
) -> Tensor:
    """CTC at the frame level: :func:`~limbeck.objectives.functional.kd` over the frames that ``keep_blanks`` selects.

    A CTC model says blank at most frames, which drown the others in the mean. The published forms (Hilmes, Rossenbach,
    Schlüter 2025, "Analyzing the Importance of Blank for CTC-Based Knowledge Distillation") are all frames
    (``keep_blanks=None``), blank elimination (0: only frames where the teacher's most probable label is not blank), and
    symmetric selection (n: also the blank frames up to n before and after each of those). Student and teacher must
    spike at the same frames to gain by any of them; where they do not, see :func:`ctc_sequence_kd`.

    Args:
        student_logits: (B, T, V).
        teacher_logits: (B, T, V), frame by frame about the same audio; no gradient reaches it.
        lengths: (B,) frames of each utterance; None: T.
        mask: (B, T) bool; true where a frame counts. Other frames neither count nor make their neighbours count.
        temperature: > 0. The value carries its square.
        blank: the id of the blank label.
        keep_blanks: how many blank frames to keep on either side of a frame that is not; None: all.

    Returns:
        Scalar, at least float32: the mean over the selected frames, 0 where there is none.

    Raises:
        ValueError: shapes do not fit, or a setting is out of range.
    """
    _check_ctc(student_logits, blank, lengths)
    if student_logits.shape[:-1] != teacher_logits.shape[:-1]:
        raise ValueError(
            f"student logits {tuple(student_logits.shape)} and teacher logits {tuple(teacher_logits.shape)} must have the "
            "same utterances and frames: give both encoders the same stride or align them first, or use "
            "ctc_sequence_kd, which needs no alignment"
        )
    selected = ctc_frames(teacher_logits, lengths=lengths, mask=mask, blank=blank, keep_blanks=keep_blanks)
    return kd(student_logits, teacher_logits, mask=selected, temperature=temperature)


def ctc_frames(
    teacher_logits: Tensor,
    *,
    lengths: Tensor | None = None,
    mask: Tensor | None = None,
    blank: int = 0,
    keep_blanks: int | None = None,
) -> Tensor:
    """The frames that :func:`ctc_frame_kd` compares, (B, T) bool, by the teacher's logits (B, T, V)."""
    _check_ctc(teacher_logits, blank, lengths)
    if keep_blanks is not None and keep_blanks < 0:
        raise ValueError(f"keep_blanks must be None or a number of frames, not {keep_blanks}")
    there_BT = _frames(teacher_logits, lengths)
    if mask is not None:
        check_sequence(teacher_logits, mask=mask)
        there_BT = there_BT & mask
    if keep_blanks is None:
        return there_BT
    return frames_near(teacher_logits.detach().argmax(dim=-1) != blank, there_BT, keep_blanks)


def frames_near(spikes_BT: Tensor, there_BT: Tensor, keep_blanks: int) -> Tensor:
    """The frames at which something is said, and those up to ``keep_blanks`` before and after: (B, T) bool, of those there are."""
    near_BT = spikes_BT & there_BT
    if keep_blanks and near_BT.shape[-1]:
        near_BT = F.max_pool1d(near_BT.float(), 2 * keep_blanks + 1, stride=1, padding=keep_blanks) > 0
    return near_BT & there_BT


def ctc_sequence_kd(
    student_logits: Tensor,
    hypotheses: Tensor,
    hypothesis_lengths: Tensor,
    *,
    lengths: Tensor | None = None,
    weights: Tensor | None = None,
    mask: Tensor | None = None,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Tensor:
    """CTC at the sequence level: ``Σ_k w_k (-log q(y_k | x))``, q by CTC, over the teacher's n-best hypotheses y_k.

    Takashima, Li, Kawai 2018, "An Investigation of a Knowledge Distillation Method for CTC Acoustic Models". The student
    is free to place the labels where it likes, so the two need not share frames. Mean over utterances, not divided by
    the number of labels.

    A hypothesis that no alignment gives (more labels, and blanks between equal ones, than frames; a label that is blank
    or unknown) has an infinite loss and no gradient, and makes the result infinite: nothing is dropped in silence.
    With ``zero_infinity`` such hypotheses are left out instead and their weight goes to the others; :func:`ctc_fits`
    says which they are, so that they can be counted.

    Args:
        student_logits: (B, T, V).
        hypotheses: (B, K, L) label ids without blanks, or (B, L) for one each; what stands beyond their lengths is
            ignored.
        hypothesis_lengths: (B, K), or (B,); 0 is the empty transcript, negative that there is no such hypothesis.
        lengths: (B,) frames of each utterance; None: T.
        weights: (B, K), or (B,), not negative: the teacher's probabilities of the hypotheses, divided here by their sum
            over K; None: equal.
        mask: (B,) bool; true where an utterance counts. One without a hypothesis (of positive weight) does not count.
        blank: the id of the blank label.
        zero_infinity: whether to leave out what cannot be aligned.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes do not fit, or blank is not a class.
    """
    if mask is not None and mask.shape != student_logits.shape[:1]:
        raise ValueError(
            f"mask {tuple(mask.shape)} must have one value an utterance: {tuple(student_logits.shape[:1])}"
        )
    given = (student_logits, hypotheses, hypothesis_lengths, lengths, weights, mask, blank, zero_infinity)
    return mean_over(*_n_best(*given))


def ctc_sequence_kd_utterances(
    student_logits: Tensor,
    hypotheses: Tensor,
    hypothesis_lengths: Tensor,
    *,
    lengths: Tensor | None = None,
    weights: Tensor | None = None,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Tensor:
    """:func:`ctc_sequence_kd` of every utterance: (B,); 0 where it has no hypothesis."""
    given = (student_logits, hypotheses, hypothesis_lengths, lengths, weights, None, blank, zero_infinity)
    return _n_best(*given)[0]


def ctc_fits(
    hypotheses: Tensor, hypothesis_lengths: Tensor, lengths: Tensor, *, classes: int, blank: int = 0
) -> Tensor:
    """Which hypotheses some alignment gives: bool of the shape of hypothesis_lengths, true where there is none to align.

    Args:
        hypotheses: (B, K, L) or (B, L) label ids.
        hypothesis_lengths: (B, K) or (B,).
        lengths: (B,) frames.
        classes: V, the blank among them.
        blank: the id of the blank label.
    """
    places = torch.arange(hypotheses.shape[-1], device=hypotheses.device)
    inside = places < hypothesis_lengths.unsqueeze(-1)
    # between two equal labels there must be a blank
    repeats = (hypotheses[..., 1:] == hypotheses[..., :-1]) & inside[..., 1:]
    known = (hypotheses >= 0) & (hypotheses < classes) & (hypotheses != blank)
    needed = hypothesis_lengths.clamp(min=0) + repeats.sum(dim=-1)
    enough = needed <= lengths.view(-1, *([1] * (hypothesis_lengths.dim() - 1)))
    return enough & (known | ~inside).all(dim=-1) & (hypothesis_lengths <= hypotheses.shape[-1])


def _n_best(
    student_logits: Tensor,
    hypotheses: Tensor,
    hypothesis_lengths: Tensor,
    lengths: Tensor | None,
    weights: Tensor | None,
    mask: Tensor | None,
    blank: int,
    zero_infinity: bool,
) -> tuple[Tensor, Tensor]:
    """Value of every utterance and whether it counts, both (B,)."""
    _check_ctc(student_logits, blank, lengths)
    if hypotheses.dim() == 2:
        hypotheses, hypothesis_lengths = hypotheses.unsqueeze(1), hypothesis_lengths.unsqueeze(-1)
        weights = None if weights is None else weights.unsqueeze(-1)
    _check_hypotheses(student_logits, hypotheses, hypothesis_lengths, weights)
    batch, frames, classes = student_logits.shape
    if lengths is None:
        lengths = torch.full((batch,), frames, device=student_logits.device)
    weights_BK = torch.ones_like(hypothesis_lengths) if weights is None else weights.detach()
    there_BK = (hypothesis_lengths >= 0) & (weights_BK > 0)
    if mask is not None:
        there_BK = there_BK & mask.unsqueeze(-1)
    fits_BK = ctc_fits(hypotheses, hypothesis_lengths, lengths, classes=classes, blank=blank)
    if zero_infinity:
        there_BK = there_BK & fits_BK
    counts_B = there_BK.any(dim=-1)

    losses_BK = _ctc_losses(
        silenced(student_logits, _frames(student_logits, lengths) & counts_B.unsqueeze(-1)),
        hypotheses,
        hypothesis_lengths.masked_fill(~(there_BK & fits_BK), 0),
        lengths,
        blank,
    )
    losses_BK = losses_BK.masked_fill(there_BK & ~fits_BK, torch.inf).masked_fill(~there_BK, 0.0)
    weights_BK = weights_BK.to(losses_BK.dtype).masked_fill(~there_BK, 0.0)
    number_B1 = weights_BK.sum(dim=-1, keepdim=True)
    shares_BK = weights_BK / number_B1.masked_fill(number_B1 == 0, 1.0)
    return (shares_BK * losses_BK).sum(dim=-1), counts_B


def _ctc_losses(
    logits_BTV: Tensor, hypotheses: Tensor, hypothesis_lengths: Tensor, lengths: Tensor, blank: int
) -> Tensor:
    """``-log q(y_k | x)``, (B, K), for hypotheses that fit; inf where the student rules out all their alignments."""
    if not logits_BTV.numel() or not hypotheses.shape[1]:
        return at_least_float32(logits_BTV).sum() + torch.zeros(hypothesis_lengths.shape, device=logits_BTV.device)
    log_probs_TBV = log_probabilities(logits_BTV).transpose(0, 1)
    if log_probs_TBV.requires_grad:
        # the gradient of torch's CTC is NaN at classes that are ruled out; it is 0 there
        _no_gradient(log_probs_TBV, log_probs_TBV.detach() == -torch.inf)
    heard_B, labels = lengths.long().clamp(min=1), hypotheses.long().clamp(min=0)
    # one hypothesis after the other: together they would need K copies of the log-probabilities
    losses = [
        _ctc_loss(log_probs_TBV, labels[:, k], heard_B, hypothesis_lengths[:, k].long(), blank)
        for k in range(hypotheses.shape[1])
    ]
    # an utterance without frames has the empty transcript for certain
    return torch.stack(losses, dim=-1).masked_fill((lengths < 1).unsqueeze(-1), 0.0)


def _ctc_loss(log_probs_TBV: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, blank: int) -> Tensor:
    """torch's CTC loss, (B,), with no gradient in place of NaN where it is infinite."""
    log_probs_TBV = log_probs_TBV.view_as(log_probs_TBV)
    losses_B = F.ctc_loss(log_probs_TBV, labels, lengths, label_lengths, blank, reduction="none")
    if log_probs_TBV.requires_grad:
        _no_gradient(log_probs_TBV, losses_B.detach().isinf().unsqueeze(-1))
    return losses_B


def _no_gradient(tensor: Tensor, where: Tensor) -> None:
    """From now on the gradient that reaches a tensor is 0 there."""

    def silence(gradient: Tensor | None) -> Tensor | None:
        return None if gradient is None else gradient.masked_fill(where, 0.0)

    tensor.register_hook(silence)


def _frames(logits_BTV: Tensor, lengths: Tensor | None) -> Tensor:
    """Which frames there are, (B, T) bool."""
    places = torch.arange(logits_BTV.shape[1], device=logits_BTV.device)
    if lengths is None:
        return torch.ones(logits_BTV.shape[:2], dtype=torch.bool, device=logits_BTV.device)
    return places < lengths.unsqueeze(-1)


def _check_ctc(logits: Tensor, blank: int, lengths: Tensor | None) -> None:
    if logits.dim() != 3:
        raise ValueError(f"logits {tuple(logits.shape)} must be of frames of utterances: (B, T, V)")
    if not 0 <= blank < logits.shape[-1]:
        raise ValueError(
            f"blank must be one of the {logits.shape[-1]} classes, 0 to {logits.shape[-1] - 1}, not {blank}"
        )
    if lengths is not None and lengths.shape != logits.shape[:1]:
        raise ValueError(f"lengths {tuple(lengths.shape)} must have one value an utterance: {tuple(logits.shape[:1])}")


def _check_hypotheses(logits: Tensor, hypotheses: Tensor, lengths: Tensor, weights: Tensor | None) -> None:
    if hypotheses.dim() != 3 or hypotheses.shape[0] != logits.shape[0]:
        raise ValueError(
            f"hypotheses {tuple(hypotheses.shape)} must be (B, K, L), or (B, L) for one each, of {logits.shape[0]} utterances"
        )
    for name, column in (("hypothesis_lengths", lengths), ("weights", weights)):
        if column is not None and column.shape != hypotheses.shape[:2]:
            raise ValueError(
                f"{name} {tuple(column.shape)} must have one value a hypothesis: {tuple(hypotheses.shape[:2])}"
            )
