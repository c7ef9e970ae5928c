"""What is kept of a split does not depend on how its examples came to be asked."""

from __future__ import annotations

import pytest
import torch

from limbeck.evaluation import classes, sequences
from limbeck.evaluation.keep import keep


def test_batches_in_any_order_come_back_in_the_splits():
    logits_NC, labels_N = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 3
    order_N = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    kept = keep(classes, ((index_B, logits_NC[index_B]) for index_B in order_N.split(2)), labels_N)
    assert torch.equal(kept["answer"], logits_NC)
    assert torch.equal(kept["labels"], labels_N)


def test_a_teacher_answers_beside_its_student_batch_by_batch():
    logits_NLV = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    labels_NL = torch.randint(5, (4, 3), generator=torch.Generator().manual_seed(1))
    parts = [(index_B, logits_NLV[index_B]) for index_B in (torch.tensor([2, 0]), torch.tensor([3, 1]))]
    whole = sequences.kept(logits_NLV, labels_NL, logits_NLV.flip(-1))
    flipped = [(index_B, answer.flip(-1)) for index_B, answer in parts]
    kept = keep(sequences, parts, labels_NL, flipped)
    assert all(torch.equal(kept[name], whole[name]) for name in whole)
    with pytest.raises(ValueError, match="the same batches in the same order"):
        keep(sequences, parts, labels_NL, flipped[::-1])
