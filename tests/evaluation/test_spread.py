"""What an ensemble's deviation says of its error: worked out by hand, and against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.evaluation import spread, values


def test_the_deviation_by_hand():
    answers = [torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 5.0]]), torch.tensor([[8.0, 5.0]])]
    # about 4: 9, 1, 16; weighted 2:1:1 about 13/4 the squares are 5.0625, 0.0625 and 22.5625
    assert spread.deviation(answers).tolist() == [[pytest.approx((26 / 3) ** 0.5), 0.0]]
    assert spread.deviation(answers, (2, 1, 1))[0, 0].item() == pytest.approx((32.75 / 4) ** 0.5)


def test_what_it_says_by_hand():
    labels_N1 = torch.zeros(4, 1)
    kept = values.kept(torch.tensor([[1.0], [-3.0], [0.0], [6.0]]), labels_N1)
    (row,) = spread.rows(kept, torch.tensor([[1.0], [2.0], [0.0], [2.5]]), ["angle"])
    assert (row["number"], row["within_1"], row["within_2"]) == (
        "angle",
        0.5,
        0.75,
    )  # 3 is beyond 2, 6 beyond twice 2.5
    assert row["rmse"] == pytest.approx(11.5**0.5)
    assert row["deviation"] == pytest.approx((11.25 / 4) ** 0.5)
    # about the means 2.5 and 1.375: errors -1.5, 0.5, -2.5, 3.5; deviations -0.375, 0.625, -1.375, 1.125
    assert row["correlation"] == pytest.approx(8.25 / (21 * 3.6875) ** 0.5)
    assert [part["count"] for part in row["parts"]] == [1, 1, 1, 1]
    assert [part["rmse"] for part in row["parts"]] == [0, 1, 3, 6]  # the surest first


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**31))
def test_it_equals_numpy_and_parts_hold_every_example_once(members, examples, numbers, seed):
    drawn = np.random.default_rng(seed).normal(1000, 3, (members + 1, examples, numbers))
    answers, labels_ND = [torch.from_numpy(one) for one in drawn[:-1]], torch.from_numpy(drawn[-1])
    deviation_ND = spread.deviation(answers)
    np.testing.assert_allclose(deviation_ND.numpy(), drawn[:-1].std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(spread.deviation(answers, [2.0] * members).numpy(), deviation_ND.numpy(), rtol=1e-9)
    error_ND = np.abs(drawn[:-1].mean(axis=0) - drawn[-1])
    kept = values.kept(torch.from_numpy(drawn[:-1].mean(axis=0)), labels_ND)
    for d, row in enumerate(spread.rows(kept, deviation_ND, [f"n{d}" for d in range(numbers)])):
        assert row["within_2"] == np.mean(error_ND[:, d] <= 2 * deviation_ND.numpy()[:, d])
        if examples > 2:
            wanted = np.corrcoef(error_ND[:, d], deviation_ND.numpy()[:, d])[0, 1]
            assert row["correlation"] == pytest.approx(wanted, rel=1e-6, abs=1e-9)
        counts = [part["count"] for part in row["parts"]]
        assert sum(counts) == examples
        assert max(counts) - min(counts) <= 1
        total = sum(part["count"] * part["rmse"] ** 2 for part in row["parts"])
        assert total / examples == pytest.approx(row["rmse"] ** 2)
        deviations = [part["deviation"] for part in row["parts"]]
        assert deviations == sorted(deviations)


def test_members_that_agree_tell_nothing():
    kept = values.kept(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1))
    (row,) = spread.rows(kept, spread.deviation([kept["answer"]] * 2), ["angle"])
    assert (row["deviation"], row["correlation"], row["within_2"]) == (0.0, None, 0.0)
