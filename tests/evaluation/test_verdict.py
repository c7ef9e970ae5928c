"""What is said of a regression, in full; of classifications ``test_results.py`` says it."""

from __future__ import annotations

import json
import re

import pytest
import torch

from limbeck.evaluation.keep import Kept
from limbeck.evaluation.results import ModelEvidence, RunEvidence, assemble
from limbeck.evaluation.values import kept
from limbeck.evaluation.verdict import verdict
from limbeck.interfaces import Answers
from tests.evaluation.test_results import parts


def numbers(teacher: float, student: float, baseline: float) -> dict:
    """Results of a regression of which each model's errors have these deviations; the labels' is 2."""
    draw = torch.Generator().manual_seed(0)

    def split(count: int, noise: float) -> Kept:
        labels_N1 = 2 * torch.randn(count, 1, generator=torch.Generator().manual_seed(count))
        return kept(labels_N1 + noise * torch.randn(count, 1, generator=draw), labels_N1)

    def model(noise: float, seeds: int) -> ModelEvidence:
        runs = [RunEvidence(seed, split(400, noise), split(100, noise), 1.0) for seed in range(seeds)]
        return ModelEvidence("net", runs, {"parameters": 100 if seeds > 1 else 1000})

    return assemble(
        **parts(
            answers=Answers("values", 1, ("angle",)),
            data={"example": "image", "test": 400},
            teacher=model(teacher, 1),
            student=model(student, 3),
            baseline=model(baseline, 3),
            smoothed=None,
            speed=None,
        )
    )


def test_a_regression_is_told_by_its_error():
    found = numbers(teacher=0.3, student=0.4, baseline=0.6)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [figure["name"] for figure in found["figures"]] == ["rmse", "mse", "mae", "r2", "correlation"]
    assert [row["number"] for row in found["student"]["per_number"]] == ["angle"]
    assert found["losses"] is None
    ratio = found["ratios"]["student_over_teacher"]["ratio"]
    assert ratio == pytest.approx(4 / 3, rel=0.1)
    said = verdict(found)
    assert re.match(
        rf"The student has 1/10 of the teacher's parameters and has {ratio:.2f}x its RMSE \(0\.\d{{3}} ± 0\.\d+ vs 0\.\d{{3}}\)\.",
        said,
    )
    assert re.search(
        r"better by more than the noise in RMSE -0\.\d+ \(-0\.\d+ to -0\.\d+\), mean absolute error -0", said
    )
    assert "accuracy" not in said
    assert "Against the teacher" in said


def test_a_regression_that_is_no_better_than_the_mean_is_no_success():
    said = verdict(numbers(teacher=0.3, student=2.3, baseline=2.2))
    assert re.search(
        r"It is no better than always answering the mean \(RMSE 2\.\d+ ± [\d.]+ vs 2\.\d+\), so what it keeps", said
    )
    said = verdict(numbers(teacher=2.4, student=0.3, baseline=0.3))
    assert "The teacher itself is no better than always answering the mean (RMSE 2" in said
    assert "The teacher itself is worse than the student that nobody taught, by more than the noise: RMSE +2" in said


def test_what_is_shown_of_neither_model_is_said_once():
    said = verdict(numbers(teacher=1.95, student=1.93, baseline=2.0))
    told = r"Neither is shown to be better than always answering the mean \(RMSE 1\.\d+ ± [\d.]+ and 1\.\d+ vs [12]\.\d+\) on 400 test"
    assert re.search(told, said)
    assert said.count("always answering the mean") == 1
