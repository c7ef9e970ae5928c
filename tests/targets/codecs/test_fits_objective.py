"""Who can learn from what a codec keeps, and who cannot."""

import re

import pytest

from limbeck.objectives.modules import DIST, DKD, KD, CrossEntropy, ForwardKL
from limbeck.objectives.schedules import Linear
from limbeck.targets.codecs import Dense, Int8, SampleCodec, TopKCodec
from limbeck.targets.codecs.fits_objective import misfit

# ------------------------------------------------------------------------------------------------ who learns from it


@pytest.mark.parametrize(
    ("codec", "objective", "words"),
    [
        (TopKCodec(2), DKD() + CrossEntropy(), "dkd needs the logits of all classes, and the codec topk"),
        (SampleCodec(), CrossEntropy() + DIST(), "dist needs the logits of all classes.*kd and forward_kl"),
        (SampleCodec(), 0.5 * KD(4.0), "the draws hold at 1, and kd uses 4"),
        (SampleCodec(temperature=4.0), KD(Linear(4.0, 2.0)), "kd uses 4 to 2"),
        (TopKCodec(2), ForwardKL(0.5), "from 1 to 8, and forward_kl uses 0.5"),
        (TopKCodec(2), KD(Linear(1.0, 16.0)), "kd uses 1 to 16"),
    ],
)
def test_an_objective_that_cannot_learn_from_it_is_refused(codec, objective, words):
    assert re.search(words, misfit(codec, objective))
    assert misfit(Dense(), objective) is misfit(Int8(), objective) is None


def test_an_objective_that_can_is_not():
    assert misfit(TopKCodec(2), KD(Linear(1.0, 8.0)) + CrossEntropy() + ForwardKL(3.0)) is None
    assert misfit(SampleCodec(temperature=4.0), KD(4.0) + CrossEntropy()) is None
    assert misfit(TopKCodec(2), CrossEntropy()) is None
    assert "dense or int8" in misfit(TopKCodec(2), KD(), average=True)
