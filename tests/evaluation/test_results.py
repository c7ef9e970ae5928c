"""results.json is what its stored predictions say, and the verdict claims no more than the figures do."""

from __future__ import annotations

import copy
import json
import math
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.evaluation.classes import FIGURES, classification, fidelity, fit_temperature, kept
from limbeck.evaluation.keep import Kept
from limbeck.evaluation.results import ModelEvidence, RunEvidence, assemble, environment
from limbeck.evaluation.verdict import findings, headline, verdict
from limbeck.interfaces import Answers

CLASSES = ["cat", "dog", "<b>", "owl", "eel", "yak", "emu"]
LABELS = {"test": torch.arange(70) % 7, "validation": torch.arange(49) % 7}


SPEED = {"reference": "teacher", "disturbed": False, "speedup": {"student": {"ratio": 23.5}}}


def predictions(split: str, skill: float, seed: int) -> Kept:
    labels_N = LABELS[split]
    noise_NC = torch.randn(len(labels_N), 7, generator=torch.Generator().manual_seed(seed))
    return kept(noise_NC + skill * torch.nn.functional.one_hot(labels_N, 7), labels_N)


def evidence(model: str, skill: float, seeds: range, seconds: float, size: int) -> ModelEvidence:
    runs = [
        RunEvidence(s, predictions("test", skill, 100 * s + size), predictions("validation", skill, s), seconds)
        for s in seeds
    ]
    cost = {"parameters": size, "macs": 10 * size, "latency_ms": {"p50": size / 100, "p95": size / 50}}
    return ModelEvidence(model, runs, cost)


def parts(seeds: int = 3, **changes) -> dict:
    return {
        "name": "digits",
        "task": "image-classification",
        "answers": Answers("classes", 7, tuple(CLASSES)),
        "data": {"name": "digits", "example": "image", "classes": CLASSES, "train": 10, "notes": ()},
        "teacher": evidence("wrn_16_2", 4.0, range(1), 200.0, 2500),
        "student": evidence("convnet", 2.5, range(seeds), 40.0, 100),
        "baseline": evidence("convnet", 2.0, range(seeds), 30.0, 100),
        "smoothed": evidence("convnet", 2.0, range(seeds), 30.0, 100),
        "speed": SPEED,
        "export": {"path": Path("student.onnx"), "parity": {"max_abs_difference": np.float32(1e-6)}},
        "timings": {"targets": {"seconds": 10.0, "runs": 1}},
        "fingerprints": {},
        "recipe": {"seeds": seeds, "loss": math.nan},
        "test_reads": [],
    } | changes


@pytest.fixture(scope="module")
def results() -> dict:
    return assemble(**parts())


def test_every_figure_can_be_computed_again_from_the_stored_predictions(results):
    given = parts()
    for role in ("teacher", "student", "baseline", "smoothed"):
        for run, said in zip(given[role].runs, results[role]["runs"], strict=True):
            temperature = fit_temperature(run.validation["answer"], run.validation["labels"])
            scaled = classification(run.test["answer"].double() / temperature, run.test["labels"])
            plain = classification(run.test["answer"], run.test["labels"])
            assert {name: said["metrics"][name] for name in plain} == plain
            assert said["metrics"]["nll_scaled"] == scaled["nll"]
            assert said["metrics"]["ece_scaled"] == scaled["ece"]
            hits = run.test["answer"].numpy().argmax(axis=1) == run.test["labels"].numpy()
            assert said["metrics"]["accuracy"] == hits.mean()
        means = [run["metrics"]["accuracy"] for run in results[role]["runs"]]
        assert results[role]["metrics"]["accuracy"]["mean"] == pytest.approx(np.mean(means))
        recall = [row["accuracy"] for row in results[role]["per_class"]]
        assert np.mean(recall) == pytest.approx(np.mean(means))  # the classes are of one size here
    teacher_NC = given["teacher"].runs[0].test["answer"]
    kls = [fidelity({**run.test, "teacher": teacher_NC})["kl"] for run in given["student"].runs]
    assert results["fidelity"]["kl"]["mean"] == pytest.approx(np.mean(kls))
    gained = results["student"]["metrics"]["nll"]["mean"] - results["baseline"]["metrics"]["nll"]["mean"]
    assert results["comparison"]["baseline"]["nll"]["difference"] == pytest.approx(gained)


def test_results_are_json_without_nan_and_the_schema_page_names_every_field(results):
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert results["recipe"]["loss"] is None
    page = (Path(__file__).parents[2] / "docs" / "results-schema.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    student = results["student"]
    fields = [
        results,
        student,
        student["metrics"],
        student["runs"][0],
        student["per_class"][0],
        results["fidelity"],
        results["comparison"],
        results["comparison"]["baseline"]["nll"],
        results["losses"],
        results["losses"]["classes"]["teacher"][0],
        results["losses"]["examples"],
        results["ratios"],
        results["environment"],
    ]
    assert {field for section in fields for field in section} <= named


def test_ratios_and_seconds_are_of_the_teacher_to_one_student(results):
    assert results["ratios"]["parameters"] == 25
    assert results["ratios"]["latency"] == 23.5  # as measured in turns, and not one median over the other
    assert results["ratios"]["bytes"] is None
    share = results["student"]["metrics"]["accuracy"]["mean"] / results["teacher"]["metrics"]["accuracy"]["mean"]
    assert results["ratios"]["accuracy_kept"] == share
    assert results["student_over_teacher_seconds"] == pytest.approx((40 + 10) / 200)
    ready_made = assemble(**parts(teacher=evidence("timm/x", 4.0, range(1), 0.0, 2500)))
    assert ready_made["student_over_teacher_seconds"] is None


def test_what_was_measured_on_a_busy_machine_is_no_ratio_and_no_part_of_the_verdict():
    busy = assemble(**parts(speed=SPEED | {"disturbed": True}))
    assert busy["ratios"]["latency"] is None
    assert busy["speed"]["speedup"] == SPEED["speedup"]  # told, but not put forward
    assert "1/25 of the teacher's parameters" in verdict(busy)
    assert "faster" not in verdict(busy)
    alone = assemble(**parts(speed=SPEED | {"reference": "student", "speedup": {}}))  # a teacher that is not exported
    assert alone["ratios"]["latency"] is None
    assert assemble(**parts(speed=None))["ratios"]["latency"] is None


def test_without_the_smoothed_control_its_places_hold_none():
    results = assemble(**parts(smoothed=None))
    assert results["smoothed"] is None
    assert results["comparison"]["smoothed"] is None


def test_models_tested_on_other_labels_or_seeds_are_refused():
    student = evidence("convnet", 2.5, range(3), 40.0, 100)
    test = student.runs[1].test
    shuffled = RunEvidence(1, kept(test["answer"], test["labels"].flip(0)), student.runs[1].validation, 1.0)
    mixed = ModelEvidence("convnet", [student.runs[0], shuffled, student.runs[2]], student.cost)
    with pytest.raises(ValueError, match="seed 1, was tested on other labels"):
        assemble(**parts(student=mixed))
    with pytest.raises(ValueError, match="same seeds"):
        assemble(**parts(baseline=evidence("convnet", 2.0, range(1, 4), 30.0, 100)))


def test_environment_says_machine_and_versions():
    found = environment()
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["cores"] >= 1
    assert found["cpu"]


def interval(difference: float, low: float, high: float, seeds: int) -> dict:
    return {"difference": difference, "low": low, "high": high, "level": 0.95, "seeds": seeds}


def story(difference=0.0035, low=0.001, high=0.006, seeds=5, nll=(-0.02, -0.03, -0.01), **ratios) -> dict:
    figures = {"student": (0.924, 0.001 if seeds > 1 else None), "teacher": (0.94, None), "baseline": (0.9205, None)}
    return {
        "task": "image-classification",
        "data": {"example": "image"},
        "answers": {"kind": "classes", "width": 2, "names": ["a", "b"]},
        "figures": [asdict(figure) for figure in FIGURES[:4]],
        "ratios": {
            "parameters": 25.2,
            "bytes": 20.0,
            "latency": 21.0,
            "student_over_teacher": {"figure": "accuracy", "ratio": 0.983},
        }
        | ratios,
        **{role: {"metrics": {"accuracy": {"mean": m, "sd": sd, "n": seeds}}} for role, (m, sd) in figures.items()},
        "comparison": {
            "baseline": {
                "accuracy": interval(difference, low, high, seeds),
                "nll": interval(*nll, seeds),
                "ece": interval(0.001, -0.002, 0.004, seeds),
            },
        },
    }


def test_the_verdict_in_full():
    assert verdict(story()) == (
        "The student has 1/25 of the teacher's parameters, answers 21x faster and keeps 98.3 % of its accuracy "
        "(92.4 ± 0.1 vs 94.0). Against the same student trained without a teacher (95 % intervals over 5 seeds): better by "
        "more than the noise in accuracy +0.35 points (+0.10 to +0.60) and NLL -0.020 (-0.030 to -0.010); no difference "
        "that stands out from the noise in ECE +0.10 points (-0.20 to +0.40)."
    )


@pytest.mark.parametrize(
    ("figures", "says", "never"),
    [
        (
            {"low": -0.001},
            "stands out from the noise in accuracy +0.35",
            "noise in accuracy +0.35 points (-0.10 to +0.60) and N",
        ),
        ({"low": 0.0}, "stands out from the noise in accuracy", "better by more than the noise in accuracy"),
        (
            {"difference": -0.004, "low": -0.006, "high": -0.002},
            "worse by more than the noise in accuracy -0.40 points",
            "?",
        ),
        (
            {"low": -0.01, "nll": (0.92, 0.79, 1.06)},
            "worse by more than the noise in NLL +0.920 (+0.790 to +1.060)",
            "better",
        ),
        ({"difference": -0.00001, "low": -0.001, "high": 0.001}, "accuracy 0.00 points", "-0.00"),
        ({"seeds": 1}, "the noise between seeds is unknown", "than the noise in"),
        ({"seeds": 2}, "2 seeds, wide because two say little of others", "unknown"),
        ({"seeds": 1}, "(92.4 vs 94.0)", "±"),
        ({"parameters": 0.5, "latency": 0.8}, "has 2x the teacher's parameters, answers 1.2x slower", "faster"),
        ({"parameters": 1.25}, "has 80 % of the teacher's parameters", "1/"),
        ({"parameters": 1.0}, "has as many parameters as the teacher", "1/"),
        ({"latency": 1.01}, "answers no faster and keeps", "21x"),
        ({"latency": None}, "has 1/25 of the teacher's parameters and keeps", "faster"),
        ({"parameters": None}, "1/20 of the teacher's bytes", "25"),
        ({"parameters": None, "bytes": None}, "answers 21x faster than the teacher and keeps", "1/"),
        ({"parameters": None, "bytes": None, "latency": None}, "student keeps 98.3 % of the teacher's", "x "),
        (
            {"student_over_teacher": {"ratio": None}},
            "has an accuracy of 92.4 ± 0.1 %; the teacher is never right",
            "keeps",
        ),
    ],
)
def test_the_verdict_claims_no_more_than_the_figures(figures, says, never):
    said = verdict(copy.deepcopy(story(**figures)))
    assert says in said
    assert never not in said


def test_what_got_worse_is_no_better_for_what_got_better():
    kinds = [one.kind for one in findings(story(nll=(0.92, 0.79, 1.06)))]
    assert kinds == ["worse"]
    assert [one.kind for one in findings(story())] == ["better"]
    assert [one.kind for one in findings(story(low=-0.1, nll=(0.0, -0.1, 0.1)))] == ["level"]


@pytest.mark.parametrize(
    ("accuracy", "nll", "said"),
    [
        (
            (-0.02, -0.03, -0.01),
            (0.0, -0.1, 0.1),
            "is worse than the student that nobody taught, by more than the noise",
        ),
        ((-0.02, -0.05, 0.01), (0.0, -0.1, 0.1), "is not ahead of the student that nobody taught (94.0 % vs 92.0"),
        ((0.02, 0.01, 0.03), (0.5, 0.4, 0.6), "probabilities, which the student learns from, are worse"),
        ((0.02, -0.01, 0.03), (0.5, -0.4, 0.6), None),
    ],
)
def test_a_teacher_that_is_no_better_than_the_untaught_student_is_said(accuracy, nll, said):
    results = story()
    measures = {"accuracy": interval(*accuracy, 5), "nll": interval(*nll, 5)}
    results["comparison"]["teacher_minus_baseline"] = measures
    doubts = [one.text for one in findings(results) if one.kind == "doubt"]
    assert len(doubts) == (said is not None)
    assert said is None or said in doubts[0]


def shares(accuracy: float, supports: tuple[int, int], recalls: tuple[float, float] | None = None) -> dict:
    rows = [{"class": name, "support": n} for name, n in zip("ab", supports)]
    if recalls:
        rows = [row | {"accuracy": recall} for row, recall in zip(rows, recalls)]
    return {"metrics": {"accuracy": {"mean": accuracy, "sd": None, "n": 1}}, "per_class": rows}


def test_nothing_is_kept_of_a_teacher_that_is_no_better_than_the_commonest_class():
    # 501 of 1000: two standard errors are 2 * sqrt(0.501 * 0.499 / 1000) = 0.0316
    for accuracy, level, unshown in ((0.499, True, False), (0.532, False, True), (0.533, False, False)):
        said = verdict(
            story() | {"data": {"classes": ["a", "b"], "example": "image"}, "teacher": shares(accuracy, (499, 501))}
        )
        assert ("no better than always naming the commonest class" in said) is level
        assert ("not shown to be better" in said) is unshown
        assert ("keeps" in said.split("so what")[0]) is not level
        assert ("means nothing" in said) is level
        if level:
            assert said.startswith(
                "The student has 1/25 of the teacher's parameters and answers 21x faster. The teacher itself is no better than always "
                "naming the commonest class (49.9 % vs 50.1), so what the student keeps of it means nothing; train it longer."
            )
        if unshown:
            assert (
                "(92.4 ± 0.1 vs 53.2). The teacher is not shown to be better than always naming the commonest class (53.2 % vs 50.1) "
                "on 1,000 test images. Against" in said
            )


def test_a_student_that_is_no_better_than_the_commonest_class_is_no_success():
    # 10 of 14, two standard errors 0.241
    told = story(latency=None) | {"teacher": shares(1.0, (10, 4))}
    assert headline(told | {"student": shares(10 / 14, (10, 4), (1.0, 0.0))}) == (
        "The student has 1/25 of the teacher's parameters. It answers 'a' for everything and is no better than always naming the "
        "commonest class (71.4 % vs 71.4), so what it keeps of the teacher's 100.0 % means nothing."
    )
    assert headline(told | {"student": shares(9 / 14, (10, 4), (0.8, 0.25))}) == (
        "The student has 1/25 of the teacher's parameters. It is no better than always naming the commonest class (64.3 % vs 71.4), "
        "so what it keeps of the teacher's 100.0 % means nothing."
    )
    assert headline(told | {"student": shares(11 / 14, (10, 4), (0.9, 0.5))}).endswith(
        "The student is not shown to be better than always naming the commonest class (78.6 % vs 71.4) on 14 test images."
    )
    assert "commonest" not in headline(told | {"student": shares(1.0, (10, 4), (1.0, 1.0))})
    untaught = told | {"learnt_from_teacher": False, "student": shares(10 / 14, (10, 4), (1.0, 0.0))}
    assert "It answers 'a' for everything" in headline(untaught)
    # of several labels, exactly right less often than nothing is, yet it tells one of them
    several = {"commonest": {"labels": [], "share": 0.9}, "test": 100, "multi_label": True}
    useful = shares(0.88, (10, 4))
    useful["metrics"]["macro_f1"] = {"mean": 0.5, "sd": None, "n": 1}
    assert "commonest" not in headline(told | {"data": several, "teacher": useful, "student": useful})


def test_two_seeds_that_cannot_tell_say_so():
    said = " ".join(one.text for one in findings(story(difference=-0.1562, low=-1.0, high=1.0, seeds=2)))
    assert "two seeds cannot tell of accuracy -15.62 points (-100.00 to +100.00), nearly all that is possible." in said
    assert "stands out from the noise in ECE" in said


def test_the_verdict_reads_assembled_results(results):
    assert verdict(results).startswith("The student has 1/25 of the teacher's parameters, answers 24x faster")
    assert "one seed" in verdict(assemble(**parts(seeds=1)))
    assert verdict(results) == verdict(json.loads(json.dumps(results)))
    about = [one.about for one in findings(results)]
    assert about[:3] == ["No teacher", "Smoothed", "Teacher"]
    assert about[-2:] == ["Classes", "Examples"]


def test_one_class_with_most_of_the_split_and_classes_that_a_split_lacks_are_said():
    labels_N = torch.tensor([0] * 8 + [1, 2])
    never_NC = torch.tensor([[2.0, 1.0, 0.0, -9.0]]).expand(10, 4)  # always the commonest
    knows_NC = 4.0 * torch.nn.functional.one_hot(labels_N, 4)
    validation = kept(knows_NC[:8], labels_N[:8])

    def model(logits_NC: torch.Tensor, seeds: int) -> ModelEvidence:
        runs = [RunEvidence(seed, kept(logits_NC, labels_N), validation, 1.0) for seed in range(seeds)]
        return ModelEvidence("net", runs, {})

    data = {"example": "image", "classes": ["ok", "worn", "broken\x1b", "lost"], "test": 10}
    found = assemble(
        **parts(
            data=data,
            answers=Answers("classes", 4, tuple(data["classes"])),
            teacher=model(knows_NC, 1),
            student=model(never_NC, 2),
            baseline=model(never_NC, 2),
            smoothed=None,
        )
    )
    assert found["data"]["commonest"] == {"labels": ["ok"], "share": 0.8}
    assert found["data"]["lacking"] == {"validation": ["worn", "broken\x1b", "lost"], "test": ["lost"]}
    assert found["student"]["metrics"]["accuracy"]["mean"] == 0.8
    of_three = found["student"]["metrics"]["balanced_accuracy"]["mean"]  # classes, not four
    assert of_three == pytest.approx(1 / 3)
    cost = found["comparison"]["teacher"]["balanced_accuracy"]
    assert cost["difference"] == pytest.approx(1 / 3 - 1)
    assert cost["low"] <= cost["difference"] <= cost["high"] <= 0
    said = verdict(found)
    assert (
        "It answers 'ok' for everything and is no better than always naming the commonest class (80.0 ± 0.0 % vs 80.0)"
        in said
    )
    assert "80.0 % of the test images are 'ok', so accuracy says little" in said
    assert "The test split has no image of 'lost': nothing is known of how such images are answered." in said
    assert "'broken\\x1b'" in said
    assert "\x1b" not in said
