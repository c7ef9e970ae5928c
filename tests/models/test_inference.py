"""A model that is asked has to fit the data, and is left as it was."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import BadInput
from limbeck.models.identity import digest
from limbeck.models.inference import untouched
from limbeck.vision.build import check_fits
from tests.helpers.networks import CIFAR, DIGITS, made

# Fitting the data


class Asked(nn.Module):
    """Answers whatever it is given to answer, and counts its calls in a buffer."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images_BCHW: Tensor) -> object:
        self.calls += 1
        return self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (torch.zeros(2, 100), "the teacher answers 100 classes, the data has 10"),
        (torch.zeros(2, 10, 4, 4), "(2, 10, 4, 4)"),
        ((torch.zeros(2, 3), torch.zeros(2, 10)), "answers with a tuple"),
        ((torch.zeros(2, 3), torch.zeros(2, 10)), "return self.model(images)[1]"),
        ([torch.zeros(2, 10)], "return self.model(images)[0]"),
        ({"loss": None, "logits": torch.zeros(2, 10)}, "return self.model(images)['logits']"),
        (SimpleNamespace(logits=torch.zeros(2, 10)), "return self.model(images).logits"),
        ({"boxes": torch.zeros(2, 4)}, "a tensor of logits (images, classes)."),
        (
            torch.zeros(2, 10, dtype=torch.complex64),
            "answers with complex64 numbers; logits are floating-point numbers",
        ),
        (torch.full((2, 10), float("nan")), "NaN"),
    ],
)
def test_a_model_whose_answers_do_not_fit_is_refused(answer: object, said: str):
    with pytest.raises(BadInput) as caught:
        check_fits(Asked(answer), **vars(DIGITS), name="teacher")
    assert said in str(caught.value)


def test_a_model_that_fails_on_the_shape_is_refused_with_its_own_words():
    with pytest.raises(BadInput, match=r"the student fails on .* 1x8x8 .*3 channels"):
        check_fits(made("resnet8", CIFAR), **vars(DIGITS), name="student")


def test_asking_leaves_modes_and_buffers_as_they_were():
    model = nn.Sequential(made("convnet"), Asked(torch.zeros(2, 10)), nn.Dropout()).train()
    model[0].stem.eval()
    before = digest(model)
    modes = [module.training for module in model.modules()]
    check_fits(model, **vars(DIGITS), name="student")
    assert digest(model) == before
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(RuntimeError), untouched(model):
        model(torch.zeros(1))
    assert [module.training for module in model.modules()] == modes
