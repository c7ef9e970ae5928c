"""results.json is what its stored predictions say, and the verdict claims no more than the figures do."""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.evaluation.fidelity import fidelity
from limbeck.evaluation.metrics import classification, fit_temperature
from limbeck.evaluation.results import ModelEvidence, Predictions, RunEvidence, assemble, environment
from limbeck.evaluation.verdict import verdict

CLASSES = ["cat", "dog", "<b>", "owl", "eel", "yak", "emu"]
LABELS = {"test": torch.arange(70) % 7, "validation": torch.arange(49) % 7}


def predictions(split: str, skill: float, seed: int) -> Predictions:
    labels_N = LABELS[split]
    noise_NC = torch.randn(len(labels_N), 7, generator=torch.Generator().manual_seed(seed))
    return Predictions(noise_NC + skill * torch.nn.functional.one_hot(labels_N, 7), labels_N)


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
        "data": {"name": "digits", "classes": CLASSES, "train": 10, "notes": ()},
        "teacher": evidence("wrn_16_2", 4.0, range(1), 200.0, 2500),
        "student": evidence("convnet", 2.5, range(seeds), 40.0, 100),
        "baseline": evidence("convnet", 2.0, range(seeds), 30.0, 100),
        "smoothed": evidence("convnet", 2.0, range(seeds), 30.0, 100),
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
            temperature = fit_temperature(run.validation.logits_NC, run.validation.labels_N)
            scaled = classification(run.test.logits_NC.double() / temperature, run.test.labels_N)
            plain = classification(run.test.logits_NC, run.test.labels_N)
            assert {name: said["metrics"][name] for name in plain} == plain
            assert said["metrics"]["nll_scaled"] == scaled["nll"]
            assert said["metrics"]["ece_scaled"] == scaled["ece"]
            hits = run.test.logits_NC.numpy().argmax(axis=1) == run.test.labels_N.numpy()
            assert said["metrics"]["accuracy"] == hits.mean()
        means = [run["metrics"]["accuracy"] for run in results[role]["runs"]]
        assert results[role]["metrics"]["accuracy"]["mean"] == pytest.approx(np.mean(means))
        recall = [row["accuracy"] for row in results[role]["per_class"]]
        assert np.mean(recall) == pytest.approx(np.mean(means))  # the classes are of one size here
    teacher_NC = given["teacher"].runs[0].test.logits_NC
    kls = [fidelity(run.test.logits_NC, teacher_NC, run.test.labels_N)["kl"] for run in given["student"].runs]
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
        results["ratios"],
        results["environment"],
    ]
    assert {field for section in fields for field in section} <= named


def test_ratios_and_seconds_are_of_the_teacher_to_one_student(results):
    assert results["ratios"]["parameters"] == 25
    assert results["ratios"]["latency"] == 25
    assert results["ratios"]["bytes"] is None
    kept = results["student"]["metrics"]["accuracy"]["mean"] / results["teacher"]["metrics"]["accuracy"]["mean"]
    assert results["ratios"]["accuracy_kept"] == kept
    assert results["student_over_teacher_seconds"] == pytest.approx((40 + 10) / 200)
    ready_made = assemble(**parts(teacher=evidence("timm/x", 4.0, range(1), 0.0, 2500)))
    assert ready_made["student_over_teacher_seconds"] is None


def test_without_the_smoothed_control_its_places_hold_none():
    results = assemble(**parts(smoothed=None))
    assert results["smoothed"] is None
    assert results["comparison"]["smoothed"] is None


def test_models_tested_on_other_labels_or_seeds_are_refused():
    student = evidence("convnet", 2.5, range(3), 40.0, 100)
    test = student.runs[1].test
    shuffled = RunEvidence(1, Predictions(test.logits_NC, test.labels_N.flip(0)), student.runs[1].validation, 1.0)
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


def story(difference=0.0035, low=0.001, high=0.006, seeds=5, **ratios) -> dict:
    return {
        "ratios": {"parameters": 25.2, "bytes": 20.0, "latency": 21.0, "accuracy_kept": 0.983} | ratios,
        "student": {"metrics": {"accuracy": {"mean": 0.924, "sd": 0.001 if seeds > 1 else None, "n": seeds}}},
        "teacher": {"metrics": {"accuracy": {"mean": 0.94, "sd": None, "n": 1}}},
        "comparison": {
            "baseline": {
                "accuracy": {
                    "difference": difference,
                    "low": low,
                    "high": high,
                    "level": 0.95,
                    "seeds": seeds,
                }
            }
        },
    }


def test_the_verdict_in_full():
    assert verdict(story()) == (
        "The student is 25x smaller and 21x faster than the teacher and keeps 98.3 % of its accuracy "
        "(92.4 ± 0.1 vs 94.0). Against the same student trained without a teacher it is +0.35 points "
        "(95 % interval +0.10 to +0.60 over 5 seeds): ahead by more than the noise."
    )


@pytest.mark.parametrize(
    ("figures", "says", "never"),
    [
        ({"low": -0.001}, "no difference that stands out from the noise", "ahead"),
        ({"low": 0.0}, "no difference that stands out", "ahead"),
        ({"difference": -0.004, "low": -0.006, "high": -0.002}, "-0.40 points", "ahead"),
        ({"difference": -0.004, "low": -0.006, "high": -0.002}, "behind by more than the noise", "no diff"),
        ({"difference": -0.00001, "low": -0.001, "high": 0.001}, "is 0.00 points", "-0.00"),
        ({"seeds": 1}, "the noise between seeds is unknown", "ahead"),
        ({"seeds": 1}, "(92.4 vs 94.0)", "±"),
        ({"parameters": 0.5, "latency": 0.8}, "2.0x larger and 1.2x slower than the teacher", "faster"),
        ({"latency": 1.01}, "25x smaller and no faster than the teacher", "21x"),
        ({"latency": None}, "is 25x smaller than the teacher and keeps", "faster"),
        ({"parameters": None}, "20x smaller", "25x"),
        ({"parameters": None, "bytes": None, "latency": None}, "student keeps 98.3 % of the teacher's", "x "),
        ({"accuracy_kept": None}, "the teacher is never right", "keeps"),
    ],
)
def test_the_verdict_claims_no_more_than_the_figures(figures, says, never):
    said = verdict(copy.deepcopy(story(**figures)))
    assert says in said
    assert never not in said


def test_nothing_is_kept_of_a_teacher_that_is_no_better_than_the_commonest_class():
    # 501 of 1000: two standard errors are 2 * sqrt(0.501 * 0.499 / 1000) = 0.0316
    for accuracy, nothing in ((0.499, True), (0.532, True), (0.533, False)):
        results = story() | {"data": {"classes": ["a", "b"]}}
        results["teacher"] = {
            "metrics": {"accuracy": {"mean": accuracy, "sd": None, "n": 1}},
            "per_class": [{"support": 499}, {"support": 501}],
        }
        said = verdict(results)
        assert ("no better than always naming the commonest class" in said) is nothing
        assert ("keeps" in said.split("so what")[0]) is not nothing
    results["teacher"]["metrics"]["accuracy"]["mean"] = 0.499
    assert verdict(results).startswith(
        "The student is 25x smaller and 21x faster than the teacher. The teacher itself is no better than always naming "
        "the commonest class (49.9 % vs 50.1), so what the student keeps of it means nothing; train it longer."
    )


def test_the_verdict_reads_assembled_results(results):
    assert verdict(results).startswith("The student is 25x smaller and 25x faster")
    assert "one seed" in verdict(assemble(**parts(seeds=1)))
