"""CTC in a training loop: totals and counts of a batch against sums over all alignments, in float64; what is left out; sentences."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from limbeck.interfaces import Batch, DenseLogits, Hypotheses, Output, Target, TopK
from limbeck.objectives import functional
from limbeck.objectives.modules import CTC, KD, CTCFrameKD, CTCSequenceKD
from tests.objectives.cases import IGNORED, log_softmax, normal
from tests.objectives.sequence_cases import reference_ctc

CLASSES, FRAMES = 4, 5
LENGTHS = [5, 4, 3, 2, 5, 4]
# a word, equal neighbours, more than the frames hold, as many as they hold but for a blank between, nobody's, a blank
LABELS = [[1, 2, 3], [2, 2], [1, 2, 3, 1], [3, 3], [], [1, 0]]
LEARNT = (0, 1)  # the utterances that have labels which their frames hold
STUDENT, TEACHER = normal(6, FRAMES, CLASSES, seed=1, scale=2), normal(6, FRAMES, CLASSES, seed=2, scale=2)


def batch(rows=slice(None), labels=LABELS):
    lengths = torch.tensor(LENGTHS)[rows]
    padded = torch.full((6, 4), IGNORED)
    for row, known in zip(padded, labels):
        row[: len(known)] = torch.tensor(known, dtype=torch.int64)
    ids = torch.arange(6)[rows]
    return Batch(ids, torch.zeros_like(ids), None, padded[rows], torch.arange(FRAMES) < lengths[:, None])


def with_padding(logits, value):
    return logits.masked_fill(torch.arange(FRAMES)[:, None] >= torch.tensor(LENGTHS)[:, None, None], value)


def of(objective, student, target=None, given=None):
    given = batch() if given is None else given
    terms = objective(Output(logits=student), target or Target(), given)
    for name, term in terms.items():
        assert term.count == objective.counts(given)[name]
    return terms


def heard(K=3):
    """Three transcripts an utterance: one that no frames hold, one too few, weights that add up to less than 1."""
    symbols = torch.tensor([[[1, 2, 3], [1, 2, 9], [3, 3, 3]]]).expand(6, 3, 3).clone()
    lengths = torch.tensor([[3, 2, 3]]).expand(6, 3).clone()
    lengths[4] = torch.tensor([0, 1, -1])
    lengths[5] = -1
    weights = torch.tensor([[0.5, 0.25, 0.05]]).expand(6, 3)
    return Hypotheses(symbols[:, :K], lengths[:, :K], weights[:, :K])


def test_every_label_counts_alike_and_what_frames_do_not_hold_does_not_count():
    term = of(CTC(weight=0.5), with_padding(STUDENT, math.nan))["ctc"]
    values = [reference_ctc(STUDENT[b, : LENGTHS[b]].tolist(), LABELS[b], 0) for b in LEARNT]
    assert term.count == sum(len(LABELS[b]) for b in LEARNT)
    assert term.total.item() == pytest.approx(0.5 * math.fsum(values), rel=1e-12)
    given = batch()
    mean = functional.ctc(STUDENT, given.labels, lengths=torch.tensor(LENGTHS))
    assert mean.item() == pytest.approx(math.fsum(values) / 5, rel=1e-12)
    nobody = functional.ctc(STUDENT, given.labels, lengths=torch.tensor(LENGTHS), mask=torch.zeros(6, dtype=torch.bool))
    assert (nobody.item(), functional.ctc(STUDENT[4:], given.labels[4:]).item()) == (0, 0)


def test_the_teachers_transcripts_by_their_weights_and_lengths():
    term = of(CTCSequenceKD(weight=2.0), with_padding(STUDENT, math.nan), Target((heard(),)))["ctc_sequence_kd"]
    expected = 0.0
    for b in range(6):
        told = []
        for labels, size, weight in zip(
            *(column[b].tolist() for column in (heard().symbols, heard().lengths, heard().weights))
        ):
            needed = size + sum(one == other for one, other in itertools.pairwise(labels[: max(size, 0)]))
            if size >= 0 and needed <= LENGTHS[b]:
                told.append((weight, size, reference_ctc(STUDENT[b, : LENGTHS[b]].tolist(), labels[:size], 0)))
        there = sum(w for w, size in zip(heard().weights[b].tolist(), heard().lengths[b].tolist()) if size >= 0)
        if told:
            over = sum(weight for weight, _, _ in told)
            mean, length = (sum(one[0] * one[k] for one in told) / over for k in (2, 1))
            expected += there * mean / max(length, 1)
    assert term.count == 6
    assert term.total.item() == pytest.approx(2 * expected, rel=1e-6)  # weights are float32


@pytest.mark.parametrize("keep", [None, 0, 1])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_frames_of_a_teacher_kept_whole_or_in_part(keep, temperature):
    objective = CTCFrameKD(temperature=temperature, keep_blanks=keep, weight=3.0)
    whole = of(objective, with_padding(STUDENT, math.nan), Target((DenseLogits(TEACHER),)))["ctc_frame_kd"]
    kept = functional.ctc_frames(TEACHER, lengths=torch.tensor(LENGTHS), keep_blanks=keep)
    values = []
    for b, t in kept.nonzero().tolist():
        log_q, log_p = (log_softmax(one[b, t].tolist(), temperature) for one in (STUDENT, TEACHER))
        values.append(temperature**2 * math.fsum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q)))
    assert len(values) < 23 or keep is None
    assert (whole.count, whole.total.item()) == (sum(LENGTHS), pytest.approx(3 * math.fsum(values), rel=1e-12))
    # all classes but one, the rest of which is that one
    best = TEACHER.topk(CLASSES - 1)
    rest = TEACHER.topk(1, largest=False).values
    sparse = TopK(best.indices, best.values, torch.cat([rest, rest / 2], dim=2), (1.0, 2.0))
    both = of(objective + KD(temperature) + objective, STUDENT, Target((sparse,)))
    for name in ("ctc_frame_kd", "ctc_frame_kd_2"):
        assert both[name].count == sum(LENGTHS)
        torch.testing.assert_close(both[name].total, whole.total)


def test_slopes_and_how_a_batch_is_cut():
    # utterances of a blank's and of labels that no frames hold have none
    teacher = Target((DenseLogits(TEACHER), heard()))
    for objective in (CTC(), CTCFrameKD(keep_blanks=1), CTCSequenceKD()):
        student = STUDENT.clone().requires_grad_()
        (term,) = of(objective, student, teacher).values()
        assert torch.autograd.gradcheck(lambda s, o=objective: next(iter(of(o, s, teacher).values())).total, (student,))
        parts = []
        for rows in (slice(2), slice(2, 6)):
            said = heard()
            target = Target(
                (DenseLogits(TEACHER[rows]), Hypotheses(said.symbols[rows], said.lengths[rows], said.weights[rows]))
            )
            parts += of(objective, STUDENT[rows], target, batch(rows)).values()
        assert sum(part.count for part in parts) == term.count
        torch.testing.assert_close(parts[0].total + parts[1].total, term.total)


def test_bug_of_log_softmax_rounded_by_autocast():
    logits = (30 * normal(1, 5, 4, seed=3)).to(torch.bfloat16)
    labels = torch.tensor([[1, 2]])
    exact = functional.ctc(logits.double(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        ours = functional.ctc(logits, labels)
        usual = (
            torch.nn.functional.ctc_loss(
                logits.log_softmax(2).transpose(0, 1).float(), labels, (5,), (2,), reduction="sum"
            )
            / 2
        )
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(exact.item(), rel=1e-5)
    assert usual.item() != pytest.approx(exact.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("objective", "given", "sentence"),
    [
        (CTC(), replace(batch(), mask=None), r"ctc has to know how many frames .* give the batch a mask \(B, L\)"),
        (CTC(), replace(batch(), labels=None), "ctc needs labels, and the data has none"),
        (CTC(), batch(labels=[[4]]), "the label at position 0 is 4: class ids of 4 classes"),
        (
            CTCFrameKD(),
            replace(batch(), mask=batch().mask[:, :4]),
            r"as in the mask \(6, 4\), and the student gives \(6, 5, 4\)",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(objective, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        objective(Output(logits=STUDENT), Target((DenseLogits(TEACHER),)), given)


def test_frames_that_the_teacher_does_not_have():
    with pytest.raises(
        ValueError, match="the student gives 5 of them where the teacher gives 3: give both the same stride"
    ):
        of(CTCFrameKD(), STUDENT, Target((DenseLogits(TEACHER[:, :3]),)))
    with pytest.raises(ValueError, match="keep_blanks must be None or a number of frames, not -1"):
        CTCFrameKD(keep_blanks=-1)
