"""The learning rate as a function of the step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.sections.train import Train
from limbeck.training.schedule import learning_rate


def rates(plan, steps_per_epoch=10):
    return [learning_rate(plan, step, steps_per_epoch) for step in range(plan.epochs * steps_per_epoch)]


def test_warm_up_then_cosine():
    values = rates(Train(epochs=5, learning_rate=1.0, warmup_epochs=1))
    assert values[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert values[9] == pytest.approx(10 / 11)
    assert values[10] == max(values) == 1.0
    assert values[30] == pytest.approx(0.5)
    assert values[10:] == sorted(values[10:], reverse=True)
    assert 0 < values[-1] < 0.002


def test_milestones():
    plan = Train(epochs=4, learning_rate=1.0, warmup_epochs=0, schedule="steps", milestones=(2, 3), gamma=0.1)
    assert rates(plan) == pytest.approx([1.0] * 20 + [0.1] * 10 + [0.01] * 10)


def test_constant_and_the_peaks_that_are_assumed():
    assert rates(Train(epochs=2, schedule="constant", warmup_epochs=0)) == [0.1] * 20
    assert rates(Train(epochs=2, schedule="constant", warmup_epochs=0, optimizer="adamw")) == [0.002] * 20


@given(
    st.integers(1, 20),
    st.floats(0, 30),
    st.sampled_from(["cosine", "steps", "constant"]),
    st.floats(1e-6, 10),
    st.integers(1, 12),
)
def test_never_negative_and_never_above_the_peak(epochs, warmup, schedule, peak, steps_per_epoch):
    milestones = (1, 3) if schedule == "steps" else ()
    plan = Train(epochs=epochs, warmup_epochs=warmup, schedule=schedule, milestones=milestones, learning_rate=peak)
    values = rates(plan, steps_per_epoch)
    assert all(0 < value <= peak * (1 + 1e-12) for value in values)
    rising = [step for step in range(len(values)) if step < warmup * steps_per_epoch]
    assert all(values[step] < values[step + 1] for step in rising[:-1])
