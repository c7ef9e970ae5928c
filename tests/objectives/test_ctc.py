"""CTC: plain references (all alignments written out), blanks, and what cannot be aligned."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import (
    ctc_fits,
    ctc_frame_kd,
    ctc_frames,
    ctc_sequence_kd,
    ctc_sequence_kd_utterances,
    kd,
    sequence_kd,
    word_kd,
)
from tests.objectives.cases import EXACT, IGNORED, assert_is_reference, log_softmax, normal
from tests.objectives.sequence_cases import PRECISIONS, SCALES, reference_ctc

# ------------------------------------------------------------------------------------------------ CTC: frames


def reference_frames(teacher, lengths, mask, blank, keep):
    """(utterance, frame) of all that are compared, by the definition."""
    for b, length in enumerate(lengths):
        there = [t for t in range(length) if mask[b, t]]
        spikes = [t for t in there if max(range(len(teacher[b, t])), key=teacher[b, t].__getitem__) != blank]
        for t in there:
            if keep is None or any(abs(t - spike) <= keep for spike in spikes):
                yield b, t


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 0, 1, 2, 9]), st.integers(0, 2), PRECISIONS)
def test_ctc_frame_kd_is_the_reference(seed, keep, blank, dtype):
    rng = np.random.default_rng(seed)
    student, teacher = rng.standard_normal((2, 3, 7, 3)).astype(np.float32)
    teacher[..., blank] += 1.5
    lengths, mask = rng.integers(0, 8, 3), rng.random((3, 7)) < 0.8
    values = []
    for b, t in reference_frames(teacher, lengths, mask, blank, keep):
        log_q, log_p = (log_softmax(logits[b, t].tolist(), 2.0) for logits in (student, teacher))
        values.append(4 * math.fsum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q)))
    given_ = torch.tensor(student, dtype=dtype), torch.tensor(teacher, dtype=dtype)
    for logits in given_:
        logits[torch.arange(7) >= torch.tensor(lengths)[:, None]] = math.nan
    where = {"lengths": torch.tensor(lengths), "mask": torch.tensor(mask), "blank": blank, "keep_blanks": keep}
    value = ctc_frame_kd(*given_, temperature=2.0, **where)
    assert_is_reference(value, math.fsum(values) / max(len(values), 1), dtype, size=8)
    assert ctc_frames(given_[1], **where).sum() == len(values)


def test_the_forms_of_blank_handling_differ_as_published():
    """One spike among blanks: all frames, the spike alone, the spike and one neighbour on either side."""
    teacher = torch.zeros(1, 6, 3, dtype=EXACT)
    teacher[..., 0] = 5.0
    teacher[0, 2] = torch.tensor([0.0, 5.0, 0.0])
    student = normal(1, 6, 3, seed=1).requires_grad_()
    for keep, frames in ((None, range(6)), (0, [2]), (1, [1, 2, 3]), (2, range(5)), (100, range(6))):
        value = ctc_frame_kd(student, teacher, keep_blanks=keep)
        (gradient,) = torch.autograd.grad(value, student)
        assert gradient[0].abs().sum(1).nonzero()[:, 0].tolist() == list(frames)
    silent = torch.zeros(1, 6, 3, dtype=EXACT)
    silent[..., 0] = 5.0
    nothing = ctc_frame_kd(student, silent, keep_blanks=1)
    assert nothing == 0
    assert (torch.autograd.grad(nothing, student)[0] == 0).all()
    assert torch.allclose(ctc_frame_kd(student, teacher, temperature=3.0), kd(student, teacher, temperature=3.0))


# ------------------------------------------------------------------------------------------------ CTC: sequences


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SCALES, st.integers(0, 2), st.booleans(), st.booleans(), PRECISIONS)
def test_ctc_sequence_kd_is_the_sum_over_alignments(seed, scale, blank, weighted, leave_out, dtype):
    rng = np.random.default_rng(seed)
    student = (scale * rng.standard_normal((3, 4, 3))).astype(np.float32)
    if scale == 1.0:
        student[rng.random((3, 4, 3)) < 0.2] = -np.inf
        student[..., blank] = 0.0
    hypotheses = (blank + rng.integers(1, 3, (3, 2, 3))) % 3
    sizes, lengths = rng.integers(-1, 4, (3, 2)), rng.integers(0, 5, 3)
    weights, mask = rng.random((3, 2)) * (rng.random((3, 2)) < 0.8), rng.random(3) < 0.8
    if not weighted:
        weights[:] = 1
    values = []
    for b in range(3):
        losses = []
        for labels, size, weight in zip(hypotheses[b].tolist(), sizes[b], weights[b]):
            repeats = sum(first == second for first, second in itertools.pairwise(labels[: max(size, 0)]))
            if size >= 0 and weight > 0 and not (leave_out and size + repeats > lengths[b]):
                losses.append((weight, reference_ctc(student[b, : lengths[b]].tolist(), labels[:size], blank)))
        if mask[b] and losses:
            values.append(sum(weight * loss for weight, loss in losses) / sum(weight for weight, _ in losses))
    expected = sum(values) / max(len(values), 1)

    logits = torch.tensor(student, dtype=dtype)
    logits[torch.arange(4) >= torch.tensor(lengths)[:, None]] = math.nan
    logits.requires_grad_()
    padded = torch.tensor(hypotheses).masked_fill(torch.arange(3) >= torch.tensor(sizes)[..., None], IGNORED)
    value = ctc_sequence_kd(
        logits,
        padded,
        torch.tensor(sizes),
        lengths=torch.tensor(lengths),
        weights=torch.tensor(weights) if weighted else None,
        mask=torch.tensor(mask),
        blank=blank,
        zero_infinity=leave_out,
    )
    if expected == math.inf:
        assert value == math.inf
    else:
        assert_is_reference(value, expected, dtype, size=4 * (1 + 4 * scale))
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.isfinite().all()


def test_the_probabilities_of_all_transcripts_sum_to_one():
    logits = normal(1, 3, 3, seed=1, scale=2)
    every = [labels for size in range(4) for labels in itertools.product((1, 2), repeat=size)]
    total = 0.0
    for labels in every:
        hypothesis = torch.tensor([[*labels, *[0] * (3 - len(labels))]])
        total += math.exp(-ctc_sequence_kd(logits, hypothesis, torch.tensor([len(labels)])).item())
    assert total == pytest.approx(1, rel=1e-12)


def test_gradcheck_of_the_sequence_objectives():
    student, teacher = normal(2, 4, 3, seed=1).requires_grad_(), normal(2, 4, 3, seed=2)
    tokens, mask = torch.tensor([[0, 1, IGNORED, 2], [2, 1, 1, IGNORED]]), torch.tensor([[True] * 4, [True, False] * 2])
    hypotheses, sizes = torch.tensor([[[1, 2], [1, 1]], [[2, 0], [0, 0]]]), torch.tensor([[2, 2], [1, 0]])
    weights = torch.tensor([[0.7, 0.3], [0.5, 0.1]], dtype=EXACT)
    ruled_out = torch.zeros(2, 4, 3, dtype=EXACT)
    ruled_out[0, 1, 2] = ruled_out[1, 0, 1] = -math.inf
    lengths = torch.tensor([4, 3])
    for function in (
        lambda s: word_kd(s, teacher, labels=tokens, mask=mask, temperature=2.0, shift=True),
        lambda s: sequence_kd(s, tokens, mask=mask, weights=weights[:, 0]),
        lambda s: ctc_frame_kd(s, teacher, lengths=lengths, keep_blanks=1, temperature=2.0),
        lambda s: ctc_sequence_kd(s, hypotheses, sizes, weights=weights, lengths=lengths),
        lambda s: ctc_sequence_kd(s + ruled_out, hypotheses, sizes, weights=weights, lengths=lengths),
    ):
        assert torch.autograd.gradcheck(function, (student,))


def test_what_cannot_be_aligned_is_infinite_and_left_out_only_when_asked():
    student = normal(3, 3, 4, seed=1).requires_grad_()
    hypotheses = torch.tensor([[[1, 2, 3], [1, 1, 0]], [[2, 2, 3], [1, 2, 0]], [[1, 0, 2], [4, 3, 1]]])
    sizes = torch.tensor([[3, 2], [3, 2], [3, 2]])  # then: too many labels with their blanks; a blank; an unknown label
    frames = torch.full((3,), 3)
    fits = ctc_fits(hypotheses, sizes, frames, classes=4)
    assert fits.tolist() == [[True, True], [False, True], [False, False]]
    assert ctc_fits(hypotheses, torch.full_like(sizes, -1), frames, classes=4).all()
    assert not ctc_fits(hypotheses, torch.full_like(sizes, 4), frames + 9, classes=4).any()  # longer than it is

    values = ctc_sequence_kd_utterances(student, hypotheses, sizes)
    assert values.isinf().tolist() == [False, True, True]
    loud = ctc_sequence_kd(student, hypotheses, sizes)
    assert loud == math.inf
    left_out = ctc_sequence_kd(student, hypotheses, sizes, zero_infinity=True)
    alone = ctc_sequence_kd(student[1:2], hypotheses[1:2, 1], sizes[1:2, 1])
    assert torch.allclose(left_out, (values[0] + alone) / 2)  # the third utterance has nothing left, and does not count
    # the buggy form counts what it zeroes
    assert not torch.allclose(values.masked_fill(values.isinf(), 0.0).mean(), left_out)
    for value in (loud, left_out):
        (gradient,) = torch.autograd.grad(value, student)
        assert gradient.isfinite().all()
        assert (gradient[2] == 0).all()
    # torch's own, for the same hypothesis
    value = F.ctc_loss(student[1:2].log_softmax(2).transpose(0, 1), hypotheses[1, :1], (3,), (3,), reduction="none")
    assert torch.autograd.grad(value.sum(), student)[0][1].isnan().all()


def test_what_the_student_rules_out_is_infinite_without_a_gradient():
    student = torch.zeros(2, 3, 3, dtype=EXACT)
    student[0, :, 1] = -math.inf
    student.requires_grad_()
    values = ctc_sequence_kd_utterances(student, torch.tensor([[1, 2], [1, 2]]), torch.tensor([2, 2]))
    assert values[0] == math.inf
    assert values[1].item() == pytest.approx(reference_ctc(student[1].tolist(), [1, 2], 0))
    (gradient,) = torch.autograd.grad(values.sum(), student)
    assert (gradient[0] == 0).all()
    assert gradient[1].abs().sum() > 0
    assert gradient.isfinite().all()


def test_empty_transcripts_frames_and_lists():
    student = normal(2, 3, 4, seed=1).requires_grad_()
    empty, none = torch.zeros(2, 1, 0, dtype=torch.int64), torch.zeros(2, 1, dtype=torch.int64)
    blanks = -student.log_softmax(2)[..., 0].sum(1)
    assert torch.allclose(ctc_sequence_kd_utterances(student, empty, none), blanks)
    without_frames = torch.tensor([0, 3])
    assert torch.allclose(
        ctc_sequence_kd_utterances(student, empty, none, lengths=without_frames),
        torch.stack([0 * blanks[0], blanks[1]]),
    )
    for value in (
        ctc_sequence_kd(student, empty, none, weights=torch.zeros(2, 1)),
        ctc_sequence_kd(student, empty, none, mask=torch.zeros(2, dtype=torch.bool)),
        ctc_sequence_kd(student, empty, none - 1),
        ctc_sequence_kd(student, empty[:, :0], none[:, :0]),
        ctc_sequence_kd(student[:, :0], empty, none),
        ctc_sequence_kd(student[:0], empty[:0], none[:0]),
        ctc_frame_kd(student[:, :0], student[:, :0].detach(), keep_blanks=1),
    ):
        assert value == 0
        assert (torch.autograd.grad(value, student)[0] == 0).all()
    assert ctc_sequence_kd(student[:, :0], torch.ones(2, 1, dtype=torch.int64), torch.ones(2)) == math.inf


def test_n_best_weights_are_normalised_within_an_utterance():
    student = normal(2, 4, 3, seed=1)
    hypotheses, sizes = torch.tensor([[[1, 2], [2, 1]], [[1, 1], [2, 0]]]), torch.tensor([[2, 2], [2, 1]])
    weights = torch.tensor([[0.6, 0.2], [0.5, 0.5]], dtype=EXACT)
    single = [ctc_sequence_kd_utterances(student, hypotheses[:, k], sizes[:, k]) for k in range(2)]
    expected = torch.stack([0.75 * single[0][0] + 0.25 * single[1][0], (single[0][1] + single[1][1]) / 2])
    torch.testing.assert_close(ctc_sequence_kd_utterances(student, hypotheses, sizes, weights=weights), expected)
    equal = ctc_sequence_kd(student, hypotheses, sizes)
    order = torch.tensor([1, 0])
    torch.testing.assert_close(ctc_sequence_kd(student, hypotheses[:, order], sizes[:, order]), equal)
    torch.testing.assert_close(ctc_sequence_kd(student[order], hypotheses[order], sizes[order]), equal)
    torch.testing.assert_close(equal, (single[0] + single[1]).mean() / 2)
    longer = torch.cat([student, torch.full((2, 3, 3), math.nan, dtype=EXACT)], 1)
    torch.testing.assert_close(ctc_sequence_kd(longer, hypotheses, sizes, lengths=torch.tensor([4, 4])), equal)
