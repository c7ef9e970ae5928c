"""Claims about sending the unsure to the teacher, against loops that do it example by example."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.evaluation import classes, escalation, label_sets, values
from limbeck.evaluation.escalation import SHARES, section, threshold_for
from limbeck.evaluation.results import RunEvidence


def run_of(by: ModuleType, seed: int, sharp: float, count: int = 120) -> RunEvidence:
    """A model's answers to both splits, the better the larger ``sharp`` is."""

    def split(part: int) -> Any:
        truth = torch.Generator().manual_seed(100 + part)
        draw = torch.Generator().manual_seed(10 * seed + part)
        if by is label_sets:
            labels = torch.randint(0, 2, (count, 4), generator=truth)
            logits = sharp * (2.0 * labels - 1) + torch.randn(count, 4, generator=draw)
        else:
            labels = torch.randint(0, 4, (count,), generator=truth)
            logits = sharp * torch.nn.functional.one_hot(labels, 4) + torch.randn(count, 4, generator=draw)
        return by.kept(logits, labels)

    return RunEvidence(seed, split(0), split(1), 1.0)


def sure_of(by: ModuleType, logits_C: Tensor) -> float:
    """How sure a model is of one example, by its probabilities one by one."""
    numbers = logits_C.double().numpy()
    if by is classes:
        return float(max(np.exp(numbers) / np.exp(numbers).sum()))
    yes = 1 / (1 + np.exp(-numbers))
    return min(max(p, 1 - p) for p in yes)


def is_right(by: ModuleType, logits_C: Tensor, label: Tensor) -> bool:
    if by is classes:
        return int(logits_C.argmax()) == int(label)
    return all(bool(x > 0) == bool(y) for x, y in zip(logits_C, label))


@pytest.mark.parametrize("by", [classes, label_sets])
def test_the_curve_is_what_asking_one_by_one_gives(by: ModuleType) -> None:
    students, teacher = [run_of(by, seed, 1.5) for seed in (1, 2, 3)], run_of(by, 9, 3.0)
    found = section(by, students, teacher, 1, (0.5, 20.0))
    assert found is not None
    for point, share in zip(found["curve"], SHARES, strict=True):
        sent, right = [], []
        for student in students:
            sure = sorted(sure_of(by, one) for one in student.validation["answer"])
            allowed = int(share * len(sure) + 1e-9)
            for own, theirs, label in zip(student.test["answer"], teacher.test["answer"], student.test["labels"]):
                up = allowed == len(sure) or (allowed > 0 and sure_of(by, own) < sure[allowed] - 1e-12)
                sent.append(up)
                right.append(is_right(by, theirs if up else own, label))
        assert point["sent"]["mean"] == pytest.approx(np.mean(sent))
        assert point["accuracy"]["mean"] == pytest.approx(np.mean(right))
        assert point["ms"]["mean"] == pytest.approx(0.5 + 20.0 * np.mean(sent))
        assert point["ms"]["low"] <= point["ms"]["mean"] <= point["ms"]["high"]
        for beside in ("student", "teacher", "random"):
            one = point[f"minus_{beside}"]
            assert one["low"] <= one["difference"] <= one["high"]
        gained = point["accuracy"]["mean"] - found["curve"][0]["accuracy"]["mean"]
        assert point["minus_student"]["difference"] == pytest.approx(gained, abs=1e-12)
    first, last = found["curve"][0], found["curve"][-1]
    assert (first["sent"]["mean"], last["sent"]["mean"]) == (0.0, 1.0)
    assert last["accuracy"]["mean"] == pytest.approx(float(by.right(teacher.test)[0].double().mean()))
    assert max(one["minus_random"]["low"] for one in found["curve"]) > 0  # being unsure tells who is wrong
    assert found["seed"] == 2


def test_the_table_for_a_server_is_of_validation_and_of_the_exported_student() -> None:
    students, teacher = [run_of(classes, seed, 1.5) for seed in (1, 2)], run_of(classes, 9, 3.0)
    found = section(classes, students, teacher, 1, (None, 20.0))
    assert found is not None
    table, sure = found["validation"], classes.sureness(students[1].validation).numpy()
    assert len(table["threshold"]) == 101
    for percent, threshold, share in zip(range(101), table["threshold"], table["share"], strict=True):
        assert share == (sure < threshold).mean() <= percent / 100 + 1e-9
    assert table["share"][100] == 1.0
    assert table["accuracy"][100] == pytest.approx(float(classes.right(teacher.validation)[0].mean()))
    assert {one["ms"] for one in found["curve"]} == {None}


def test_ties_stay_with_the_student() -> None:
    assert threshold_for(np.array([0.5, 0.5, 0.5, 0.9]), 0.25) == 0.5
    assert threshold_for(np.array([0.5, 0.5, 0.5, 0.9]), 0.75) == 0.9
    assert threshold_for(np.ones(4), 1.0) > 1.0
    assert threshold_for(np.array([0.5, 0.9]), 0.0) == threshold_for(np.array([0.5, 0.9]), 0.4) == 0.0


def test_numbers_are_not_sent_on() -> None:
    kept = values.kept(torch.zeros(5, 1), torch.zeros(5, 1))
    run = RunEvidence(0, kept, kept, 1.0)
    assert section(values, [run], run, 0, (1.0, 2.0)) is None


def test_what_is_random_in_it_is_the_same_every_time() -> None:
    students, teacher = [run_of(classes, 1, 1.0)], run_of(classes, 9, 3.0)
    assert section(classes, students, teacher, 0, (1, 2)) == section(classes, students, teacher, 0, (1, 2))
    assert escalation.DRAWS >= 1000
