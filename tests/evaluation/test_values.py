"""Figures of numbers: worked out by hand, and against scikit-learn and NumPy in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from limbeck.errors import BadInput
from limbeck.evaluation import values


def drawn(examples: int, numbers: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A student's numbers, the labels, and a teacher's; far from 0, where digits are easily lost."""
    draw = torch.Generator().manual_seed(seed)
    labels_ND = 1000 + 3 * torch.randn(examples, numbers, generator=draw, dtype=torch.float64)
    student_ND, teacher_ND = (
        labels_ND + noise * torch.randn(examples, numbers, generator=draw, dtype=torch.float64) for noise in (2, 1)
    )
    return student_ND, labels_ND, teacher_ND


def test_figures_by_hand():
    kept = values.kept(torch.tensor([[1.0], [2.0], [6.0]]), torch.tensor([[1.0], [4.0], [4.0]]))
    found = values.figures(kept)  # errors 0, -2, 2; the labels' mean is 3, their squares about it 4, 1, 1
    assert found["mse"] == pytest.approx(8 / 3)
    assert found["rmse"] == pytest.approx(math.sqrt(8 / 3))
    assert found["mae"] == pytest.approx(4 / 3)
    assert found["r2"] == pytest.approx(1 - 8 / 6)
    assert found["correlation"] == pytest.approx((-2 * -2 + -1 * 1 + 3 * 1) / math.sqrt(14 * 6))
    assert values.commonest(kept["labels"]) == pytest.approx(math.sqrt(2))  # always 3
    assert values.scores(kept, "mse").tolist() == [0.0, 4.0, 4.0]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 2**31))
def test_figures_equal_scikit_learn_and_numpy(examples, numbers, seed):
    student_ND, labels_ND, teacher_ND = drawn(examples, numbers, seed)
    kept = values.kept(student_ND, labels_ND, teacher_ND)
    found, close = values.figures(kept), values.fidelity(kept)
    a, b, t = student_ND.numpy(), labels_ND.numpy(), teacher_ND.numpy()

    def correlation(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean([np.corrcoef(x[:, d], y[:, d])[0, 1] for d in range(numbers)]))

    assert found["mse"] == pytest.approx(mean_squared_error(b, a))
    assert found["rmse"] == pytest.approx(math.sqrt(mean_squared_error(b, a)))
    assert found["mae"] == pytest.approx(mean_absolute_error(b, a))
    assert found["r2"] == pytest.approx(r2_score(b, a), rel=1e-6)
    assert found["correlation"] == pytest.approx(correlation(a, b), rel=1e-6, abs=1e-9)
    assert close["rmse_to_teacher"] == pytest.approx(math.sqrt(mean_squared_error(t, a)))
    assert close["correlation_with_teacher"] == pytest.approx(correlation(a, t), rel=1e-6, abs=1e-9)
    assert close["error_correlation"] == pytest.approx(correlation(a - b, t - b), rel=1e-6, abs=1e-9)
    nearer = ((a - b) ** 2).sum(1) < ((t - b) ** 2).sum(1)
    assert close["nearer_than_teacher"] == nearer.mean()
    for figure in values.SUMS:
        scores_NM = values.scores(kept, figure).numpy()
        assert values.SUMS[figure](scores_NM.sum(0), examples) == pytest.approx(found[figure], rel=1e-6, abs=1e-9)
    for figure in ("mse", "mae"):
        assert values.scores(kept, figure).mean().item() == pytest.approx(found[figure])
    rows = values.rows([kept, kept], [f"n{d}" for d in range(numbers)])
    assert np.mean([row["rmse"] ** 2 for row in rows]) == pytest.approx(found["mse"])
    assert np.mean([row["r2"] for row in rows]) == pytest.approx(found["r2"])


def test_what_does_not_vary_has_no_correlation():
    answer_ND, labels_ND = torch.tensor([[0.1, 5.0], [0.1, 5.0]]), torch.tensor([[1.0, 5.0], [2.0, 5.0]])
    kept = values.kept(answer_ND, labels_ND, labels_ND)
    assert values.figures(kept)["correlation"] == 0.0  # one that always answers the same tells nothing
    assert values.rows([kept], ["x", "y"])[1]["r2"] is None
    assert values.fidelity(kept)["error_correlation"] is None  # the teacher errs nowhere
    constant = values.kept(answer_ND, torch.full((2, 2), 3.0))
    assert set(values.figures(constant)) == {"rmse", "mse", "mae"}
    assert values.compared(constant) == ("rmse", "mae")


def test_answers_are_alike_within_a_hundredth_of_their_spread():
    a_ND = torch.tensor([[0.0, 100.0], [2.0, 102.0]])  # deviation 1 each
    near_ND, off_ND = a_ND + 0.009, a_ND + torch.tensor([[0.0, 0.0], [0.0, 0.02]])
    assert values.alike(a_ND, a_ND) == (0.0, 1.0)
    assert values.alike(a_ND, near_ND) == (pytest.approx(0.009, rel=1e-3), 1.0)
    assert values.alike(a_ND, off_ND) == (pytest.approx(0.02, rel=1e-3), 0.5)
    assert values.alike(a_ND, a_ND * math.nan) == (math.inf, 0.0)
    assert values.alike(a_ND[:1], a_ND[:1] * (1 + 1e-6))[1] == 1.0
    assert values.alike(10 * a_ND, 10 * near_ND)[0] == pytest.approx(0.009, rel=1e-3)  # whatever the unit


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(BadInput, match="row 1 has a number that is not finite"):
        values.figures(values.kept(torch.tensor([[0.0], [math.nan]]), torch.zeros(2, 1)))
    with pytest.raises(BadInput, match="nothing to evaluate"):
        values.figures(values.kept(torch.zeros(0, 1), torch.zeros(0, 1)))
    with pytest.raises(ValueError, match="do not fit"):
        values.figures(values.kept(torch.zeros(2, 1), torch.zeros(2, 2)))
