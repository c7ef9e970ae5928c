"""What an example's answer is: read off its splits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from limbeck.data.examples import HeldOut, SplitsOf
from limbeck.errors import BadInput
from limbeck.interfaces import Answers


@dataclass(frozen=True)
class Labelled:
    labels: Tensor
    groups = None

    @property
    def ids(self) -> Tensor:
        return torch.arange(len(self.labels))

    def __len__(self) -> int:
        return len(self.labels)


def splits(labels: Tensor, **facts) -> SplitsOf:
    some = Labelled(labels)
    known = {"classes": (), "fingerprint": "", "labelled": ""} | facts
    return SplitsOf(train=some, validation=some, test=HeldOut(lambda notes: some), transfer=None, **known)


def test_the_kind_of_answer_is_read_off_the_labels():
    assert splits(torch.tensor([0, 1]), classes=("a", "b")).answers == Answers("classes", 2, ("a", "b"))
    assert splits(torch.eye(2), classes=("a", "b")).answers == Answers("label_sets", 2, ("a", "b"))
    assert splits(torch.randn(3, 2), numbers=("x", "y")).answers == Answers("values", 2, ("x", "y"))


def test_numbers_must_be_finite():
    with pytest.raises(BadInput, match=r"split 'train', row 1 .*'y' is nan"):
        splits(torch.tensor([[0.0, 1.0], [2.0, torch.nan]]), numbers=("x", "y"))
