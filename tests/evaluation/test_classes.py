"""Metrics and fidelity against plain NumPy loops in float64, known values, and the hard cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from limbeck.errors import BadInput
from limbeck.evaluation.classes import (
    classification,
    confusion,
    correct,
    fidelity,
    fit_temperature,
    kept,
    log_probabilities,
    negative_log_likelihood,
    per_class,
    reliability,
)

INF = math.inf


def random_split(examples: int, classes: int, seed: int, scale: float = 2.0):
    draw = torch.Generator().manual_seed(seed)
    logits_NC = scale * torch.randn(examples, classes, generator=draw)
    return logits_NC, torch.randint(classes, (examples,), generator=draw)


def softmax(row: np.ndarray) -> np.ndarray:
    powers = np.exp(row - row.max())
    return powers / powers.sum()


def classification_by_loop(logits_NC: np.ndarray, labels_N: np.ndarray, bins: int = 15) -> dict[str, float]:
    examples, classes = logits_NC.shape
    hits = top5 = nll = brier = 0.0
    in_bin: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
    for row, label in zip(logits_NC, labels_N, strict=True):
        probs = softmax(row)
        best_first = sorted(range(classes), key=lambda c: (-row[c], c))
        hit = best_first[0] == label
        hits += hit
        top5 += label in best_first[:5]
        nll -= math.log(probs[label])
        brier += sum((probs[c] - (c == label)) ** 2 for c in range(classes))
        for number in range(bins):
            if number / bins < probs.max() <= (number + 1) / bins:
                in_bin[number].append((probs.max(), hit))
    ece = sum(
        abs(np.mean([hit for _, hit in held]) - np.mean([sure for sure, _ in held])) * len(held) / examples
        for held in in_bin
        if held
    )
    hit_N = [row.argmax() == label for row, label in zip(logits_NC, labels_N, strict=True)]
    recalls = [
        np.mean([hit for hit, one in zip(hit_N, labels_N, strict=True) if one == c]) for c in set(labels_N.tolist())
    ]
    figures = {"accuracy": hits / examples, "nll": nll / examples, "ece": ece, "brier": brier / examples}
    figures["balanced_accuracy"] = float(np.mean(recalls))
    return figures | ({"top5": top5 / examples} if classes > 5 else {})


def fidelity_by_loop(student_NC: np.ndarray, teacher_NC: np.ndarray, labels_N: np.ndarray) -> dict:
    kl = 0.0
    agree: dict[bool, list[bool]] = {True: [], False: []}
    for student, teacher, label in zip(student_NC, teacher_NC, labels_N, strict=True):
        p, q = softmax(teacher), softmax(student)
        kl += sum(p[c] * math.log(p[c] / q[c]) for c in range(len(p)))
        agree[bool(teacher.argmax() == label)].append(bool(student.argmax() == teacher.argmax()))
    return {
        "agreement": float(np.mean(agree[True] + agree[False])),
        "kl": kl / len(labels_N),
        "agreement_where_teacher_wrong": float(np.mean(agree[False])) if agree[False] else None,
        "agreement_where_teacher_right": float(np.mean(agree[True])) if agree[True] else None,
    }


def close(found: dict, expected: dict) -> bool:
    assert [name for name in found if found[name] is None] == [n for n in expected if expected[n] is None]
    known = {name: value for name, value in expected.items() if value is not None}
    return {name: found[name] for name in known} == pytest.approx(known, rel=1e-9, abs=1e-12)


shapes = {"examples": st.integers(1, 40), "classes": st.integers(1, 12), "seed": st.integers(0, 2**31)}


@settings(max_examples=60, deadline=None)
@given(**shapes, scale=st.sampled_from([0.0, 0.1, 2.0, 20.0]))
def test_classification_equals_a_plain_loop(examples, classes, seed, scale):
    logits_NC, labels_N = random_split(examples, classes, seed, scale)
    expected = classification_by_loop(logits_NC.double().numpy(), labels_N.numpy())
    assert classification(logits_NC, labels_N) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(**shapes)
def test_fidelity_equals_a_plain_loop(examples, classes, seed):
    student_NC, labels_N = random_split(examples, classes, seed)
    teacher_NC, _ = random_split(examples, classes, seed + 1)
    expected = fidelity_by_loop(student_NC.double().numpy(), teacher_NC.double().numpy(), labels_N.numpy())
    assert close(fidelity(kept(student_NC, labels_N, teacher_NC)), expected)


def test_ece_equals_torchmetrics_where_no_confidence_is_one():
    logits_NC, labels_N = random_split(500, 10, seed=3)
    theirs = multiclass_calibration_error(logits_NC.double(), labels_N, num_classes=10, n_bins=15, norm="l1")
    assert classification(logits_NC, labels_N)["ece"] == pytest.approx(theirs.item(), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(**shapes)
def test_the_order_of_examples_and_of_classes_does_not_matter(examples, classes, seed):
    logits_NC, labels_N = random_split(examples, classes, seed)
    figures = classification(logits_NC, labels_N)
    draw = torch.Generator().manual_seed(seed)
    order_N, order_C = torch.randperm(examples, generator=draw), torch.randperm(classes, generator=draw)
    assert classification(logits_NC[order_N], labels_N[order_N]) == pytest.approx(figures, rel=1e-12, abs=1e-12)
    renamed_N = order_C.argsort()[labels_N]
    assert classification(logits_NC[:, order_C], renamed_N) == pytest.approx(figures, rel=1e-12, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(**shapes)
def test_classes_ruled_out_change_nothing_but_top5(examples, classes, seed):
    logits_NC, labels_N = random_split(examples, classes, seed)
    padded_NC = torch.cat([logits_NC, torch.full((examples, 7), -INF)], dim=1)
    figures = classification(logits_NC, labels_N)
    padded = classification(padded_NC, labels_N)
    assert {name: padded[name] for name in figures} == pytest.approx(figures, rel=1e-12, abs=1e-12)
    other_NC = torch.cat([logits_NC.flip(0), torch.full((examples, 7), -INF)], dim=1)
    expected = fidelity(kept(logits_NC, labels_N, logits_NC.flip(0)))
    assert close(fidelity(kept(padded_NC, labels_N, other_NC)), expected)


def test_known_values():
    evens_NC = torch.zeros(4, 10)
    figures = classification(evens_NC, torch.tensor([0, 4, 5, 9]))
    # A tie goes to the lower class: class 0 is named, classes 0 to 4 are the top five.
    assert figures == pytest.approx(
        {"accuracy": 0.25, "balanced_accuracy": 0.25, "top5": 0.5, "nll": math.log(10), "ece": 0.15, "brier": 0.9},
        abs=1e-12,
    )
    three_to_one_NC = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]], dtype=torch.float64)
    figures = classification(three_to_one_NC, torch.tensor([0, 1]))
    assert "top5" not in figures
    assert figures == pytest.approx(
        {
            "accuracy": 0.5,
            "balanced_accuracy": 0.5,
            "nll": -(math.log(0.75) + math.log(0.25)) / 2,
            "ece": 0.25,
            "brier": (0.125 + 1.125) / 2,
        }
    )


def test_kl_is_not_symmetric_and_runs_from_teacher_to_student():
    even_NC, sure_NC = torch.zeros(1, 2), torch.tensor([[math.log(9.0), 0.0]], dtype=torch.float64)
    label_N = torch.tensor([0])
    assert fidelity(kept(even_NC, label_N, sure_NC))["kl"] == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert fidelity(kept(sure_NC, label_N, even_NC))["kl"] == pytest.approx(-0.5 * math.log(4 * 0.09))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_kl_is_exactly_zero_for_equal_logits_and_small_for_shifted_ones(scale):
    logits_NC, labels_N = random_split(50, 10, seed=1, scale=scale)
    logits_NC[:, 3] = -INF
    assert fidelity(kept(logits_NC, labels_N, logits_NC.clone()))["kl"] == 0.0
    assert abs(fidelity(kept(logits_NC.double() + 5, labels_N, logits_NC))["kl"]) < 1e-11


def test_extreme_logits_stay_exact_and_finite():
    logits_NC = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
    figures = classification(logits_NC, torch.tensor([0, 0]))
    assert figures["nll"] == pytest.approx(1e4)
    assert figures["brier"] == pytest.approx(1.0)
    # Confidence exactly 1 belongs to the last bin with all others: half of them right.
    assert figures["ece"] == pytest.approx(0.5)
    assert reliability(logits_NC, torch.tensor([0, 0]))[-1]["count"] == 2


def test_a_label_or_class_ruled_out_costs_much_but_not_infinitely():
    ruled_out_NC, open_NC = torch.tensor([[0.0, -INF]]), torch.tensor([[0.0, 0.0]])
    label_N = torch.tensor([1])
    worst = -math.log(np.finfo(np.float64).tiny)
    assert classification(ruled_out_NC, label_N)["nll"] == pytest.approx(worst)
    assert fidelity(kept(ruled_out_NC, label_N, open_NC))["kl"] == pytest.approx(0.5 * worst - math.log(2))
    assert fidelity(kept(open_NC, label_N, ruled_out_NC))["kl"] == pytest.approx(math.log(2))


def test_agreement_is_none_where_there_is_no_such_example():
    logits_NC = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    right = fidelity(kept(logits_NC.flip(1), torch.tensor([0, 1]), logits_NC))
    assert right["agreement_where_teacher_wrong"] is None
    assert right["agreement_where_teacher_right"] == 0.0
    wrong = fidelity(kept(logits_NC, torch.tensor([1, 0]), logits_NC))
    assert wrong["agreement_where_teacher_right"] is None
    assert wrong["agreement_where_teacher_wrong"] == 1.0


def test_confusion_has_labels_in_rows_and_per_class_is_its_diagonal():
    logits_NC, labels_N = random_split(200, 4, seed=5)
    labels_N[labels_N == 2] = 1  # a class without examples
    counts_CC = confusion(logits_NC, labels_N, 4)
    by_loop = np.zeros((4, 4), dtype=int)
    for row, label in zip(logits_NC, labels_N, strict=True):
        by_loop[label, row.argmax()] += 1
    assert counts_CC.tolist() == by_loop.tolist()
    rows = per_class(logits_NC, labels_N, ["a", "b", "c", "d"])
    assert [row["class"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["support"] for row in rows] == by_loop.sum(axis=1).tolist()
    assert rows[2]["accuracy"] is None
    assert rows[1]["accuracy"] == by_loop[1, 1] / by_loop[1].sum()


def test_reliability_bins_are_open_below_and_closed_above():
    halves_NC = torch.zeros(3, 2, dtype=torch.float64)  # confidence exactly 1/2, the edge of two bins
    lower, upper = reliability(halves_NC, torch.tensor([0, 0, 1]), bins=2)
    assert lower == {"low": 0.0, "high": 0.5, "confidence": 0.5, "accuracy": pytest.approx(2 / 3), "count": 3}
    assert upper == {"low": 0.5, "high": 1.0, "confidence": None, "accuracy": None, "count": 0}


def test_per_example_scores_average_to_the_figures():
    logits_NC, labels_N = random_split(77, 6, seed=2)
    figures = classification(logits_NC, labels_N)
    assert correct(logits_NC, labels_N).mean().item() == pytest.approx(figures["accuracy"])
    assert negative_log_likelihood(logits_NC, labels_N).mean().item() == pytest.approx(figures["nll"])


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_temperature_recovers_a_known_scale(scale):
    logits_NC, _ = random_split(40_000, 5, seed=9, scale=1.5)
    draw = torch.Generator().manual_seed(4)
    labels_N = torch.multinomial(torch.softmax(logits_NC, dim=1), 1, generator=draw)[:, 0]
    assert fit_temperature(scale * logits_NC, labels_N) == pytest.approx(scale, rel=0.03)


@settings(max_examples=25, deadline=None)
@given(**shapes, ruled_out=st.booleans())
def test_no_other_temperature_has_a_lower_nll(examples, classes, seed, ruled_out):
    logits_NC, labels_N = random_split(examples, classes, seed)
    if ruled_out:
        logits_NC[0] = -INF
        logits_NC[0, 0] = 0.0
    temperature = fit_temperature(logits_NC, labels_N)
    assert 0.01 <= temperature <= 100

    def nll(t: float) -> float:
        return classification(logits_NC.double() / t, labels_N)["nll"]

    others = [0.01, 0.1, 0.9 * temperature, 1.0, 1.1 * temperature, 10.0, 100.0]
    assert all(nll(temperature) <= nll(min(max(other, 0.01), 100.0)) + 1e-9 for other in others)


def test_temperature_of_logits_that_say_nothing_is_one():
    assert fit_temperature(torch.zeros(5, 3), torch.tensor([0, 1, 2, 0, 1])) == 1.0


def test_half_precision_logits_are_evaluated_in_float64():
    logits_NC, labels_N = random_split(64, 10, seed=8)
    assert log_probabilities(logits_NC.half(), labels_N).dtype == torch.float64
    exact = classification(logits_NC.half().double(), labels_N)
    assert classification(logits_NC.half(), labels_N) == exact


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), "no examples"),
        (torch.tensor([[0.0, 1.0], [math.nan, 0.0]]), torch.tensor([0, 1]), "row 1"),
        (torch.tensor([[0.0, INF]]), torch.tensor([0]), "\\+inf"),
        (torch.tensor([[-INF, -INF]]), torch.tensor([0]), "nothing but -inf"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "0 to 2"),
        (torch.zeros(2, 3), torch.tensor([-1, 2]), "-1 to 2"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_a_sentence(logits, labels, words):
    for measure in (classification, reliability, fit_temperature, correct):
        with pytest.raises(BadInput, match=words):
            measure(logits, labels)
    with pytest.raises(BadInput, match=words):
        fidelity(kept(torch.zeros_like(logits), labels, logits))
