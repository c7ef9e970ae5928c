"""Who paid is found where somebody did, and seldom where nobody did."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.evaluation import label_sets
from limbeck.evaluation.losses import Groups, by_class, by_group, lost_examples
from limbeck.evaluation.paid import paid, too_few
from limbeck.evaluation.results import RunEvidence, losses_section


def test_examples_lost_and_gained_by_hand():
    teacher_N = np.array([1, 1, 1, 1, 0, 0])
    student_SN = np.array([[1, 0, 0, 1, 1, 0], [1, 0, 1, 1, 0, 0]])
    found = lost_examples(student_SN, teacher_N)
    assert (found["teacher_right"], found["teacher_wrong"], found["lost_by_all"]) == (4, 2, 1)
    assert found["lost"]["mean"] == 1.5
    assert found["lost_share"]["mean"] == 0.375
    assert found["gained"]["mean"] == 0.5
    assert lost_examples(student_SN, 0 * teacher_N)["lost_share"] is None


def test_the_class_that_lost_is_named_and_what_is_too_small_is_not():
    # 'a' loses 12 of 20, 'b' all of its 4, 'c' one and wins one back, 'd' has no example.
    labels_N = np.repeat([0, 1, 2], [20, 4, 20])
    difference_N = np.repeat([-1, 0, -1, -1, 1, 0], [12, 8, 4, 1, 1, 18])
    asked_NC = labels_N[:, None] == np.arange(4)
    other_N = np.ones(44, dtype=int)
    other_N[difference_N == 1] = 0
    rows = by_class((other_N + difference_N)[None, :, None], other_N[None, :, None], asked_NC, ["a", "b", "c", "d"])
    assert [row["finding"] for row in rows] == ["lost", None, None, None]
    assert [row["difference"] for row in rows] == [-0.6, -1.0, 0.0, None]
    # McNemar: 2 / 2 ** 12, 2 / 2 ** 4, 1; Holm: times 3, 2, 1
    assert [row["p_holm"] for row in rows] == [pytest.approx(3 / 2**11), pytest.approx(2 / 2**3), 1.0, None]
    assert not too_few(8, 3)  # 3 * 2 / 2 ** 8 = 0.023
    assert too_few(6, 3)  # 3 * 2 / 2 ** 6 = 0.094


def answers(rng: np.random.Generator, skill_C: np.ndarray, labels_N: np.ndarray, shared_N: np.ndarray) -> np.ndarray:
    """(3, N): right answers of three seeds; examples are hard for everybody, a seed is better at some classes."""
    of_seed_SC = rng.normal(0, 0.6, (3, len(skill_C)))
    own_SN = rng.normal(0, 0.7, (3, len(labels_N)))
    return (skill_C[labels_N] + of_seed_SC[:, labels_N] + shared_N + own_SN > 0).astype(np.int64)


def test_of_a_hundred_tables_where_nobody_paid_hardly_any_names_one_and_a_payer_is_found():
    rng = np.random.default_rng(0)
    classes, tables = 8, 150
    labels_N = rng.integers(0, classes, 320)
    asked_NC = labels_N[:, None] == np.arange(classes)
    names = [str(c) for c in range(classes)]
    false = found = 0
    for _ in range(tables):
        shared_N = rng.normal(0, 1.0, 320)
        skill_C = np.full(classes, 1.5)
        other = answers(rng, skill_C, labels_N, shared_N)[:, :, None]
        rows = by_class(answers(rng, skill_C, labels_N, shared_N)[:, :, None], other, asked_NC, names)
        false += any(row["finding"] for row in rows)
        skill_C[3] = -2.5
        rows = by_class(answers(rng, skill_C, labels_N, shared_N)[:, :, None], other, asked_NC, names)
        found += rows[3]["finding"] == "lost"
    assert false / tables <= 0.085  # 5 of 100, and two standard errors
    assert found / tables > 0.5


def test_groups_are_tested_like_classes_and_neither_one_nor_very_many():
    right_SN = np.ones((1, 30), dtype=int)
    worse_SN = right_SN.copy()
    worse_SN[0, :10] = 0
    of_N = ["ward"] * 12 + ["clinic"] * 18
    rows = by_group(worse_SN, right_SN, Groups("place", of_N))
    assert rows is not None
    assert [(row["group"], row["examples"], row["finding"]) for row in rows] == [
        ("clinic", 18, None),
        ("ward", 12, "lost"),
    ]
    assert by_group(worse_SN, right_SN, Groups("place", ["ward"] * 30)) is None
    many = by_group(np.ones((1, 60)), np.ones((1, 60)), Groups("patient", [str(n) for n in range(60)]))
    assert many is None


def test_several_labels_are_tested_answer_by_answer():
    """The student never says the second of two labels, which the teacher and the untaught student know."""
    labels_NC = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]).repeat(8, 1)
    knows_NC = 8.0 * labels_NC - 4
    student_NC = knows_NC.clone()
    student_NC[:, 1] = -4.0

    def run(logits_NC: torch.Tensor) -> RunEvidence:
        both = label_sets.kept(logits_NC, labels_NC)
        return RunEvidence(0, both, both, 1.0)

    of_N = ["x", "y", "z"] * 8
    found = losses_section(
        label_sets, [run(student_NC)], [run(knows_NC)], run(knows_NC), ["joy", "fear"], Groups("page", of_N)
    )
    assert [row["finding"] for row in found["classes"]["baseline"]] == [None, "lost"]
    assert found["classes"]["teacher"][1]["difference"] == pytest.approx(-2 / 3)
    assert [row["difference"] for row in found["groups"]["teacher"]] == [-1.0, -1.0, 0.0]
    assert (found["examples"]["teacher_right"], found["examples"]["lost"]["mean"]) == (24, 16)
    said = [text for _, _, text in paid(found, "text")]
    assert said[0] == (
        "Classes that lost more than the noise, corrected for there being 2: against the student without a teacher 'fear' "
        "(-66.7 points), against the teacher 'fear' (-66.7 points)."
    )
    assert said[2] == (
        "Of the 24 test texts that the teacher had right the student lost 16 (66.7 %); it had none wrong."
    )
