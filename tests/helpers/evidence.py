"""Evidence of a run that was never made, and a page taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from limbeck.evaluation import classes as classes_of_answers
from limbeck.evaluation.figure import plain
from limbeck.modalities import outline_of
from limbeck.report import Evidence
from limbeck.report.shown import Picture

FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def make_evidence(classes: tuple[str, ...] = FASHION, count: int = 2000, seed: int = 0) -> Evidence:
    """Logits like trained networks': neighbouring classes alike, students noisier than their teacher."""
    rng = np.random.default_rng(seed)
    number = len(classes)
    labels_N = rng.integers(0, number, count)
    distance_CC = np.abs(np.arange(number)[:, None] - np.arange(number)[None, :])
    likeness_CC = 7.0 * np.exp(-distance_CC / 1.2)
    hard_N1 = rng.gamma(2.0, 0.9, (count, 1))
    shared_NC = rng.normal(size=(count, number)) * hard_N1

    def logits_NC(noise: float, sharpness: float) -> np.ndarray:
        own_NC = rng.normal(size=(count, number)) * noise
        return ((likeness_CC[labels_N] + shared_NC + own_NC) * sharpness).astype(np.float32)

    teacher_NC, student_NC, baseline_NC = logits_NC(0.2, 1.6), logits_NC(0.7, 1.0), logits_NC(0.9, 1.4)

    def picture(position: int) -> Picture:
        draw = np.random.default_rng(position)
        y, x = np.mgrid[0:28, 0:28] / 27
        shade = np.exp(-(((x - draw.uniform(0.3, 0.7)) / 0.2) ** 2) - ((y - draw.uniform(0.3, 0.7)) / 0.3) ** 2)
        return Picture((255 * shade).astype(np.uint8)[:, :, None])

    def history(epochs: int, floor: float) -> list[dict[str, Any]]:
        return [
            {
                "epoch": epoch + 1,
                "train_loss": floor * 3 + 1.4 * 0.8**epoch,
                "validation_accuracy": 1 - floor - 0.5 * 0.72**epoch,
                "validation_nll": floor * 3 + 1.2 * 0.75**epoch,
                "learning_rate": 0.1,
                "seconds": 3.0,
            }
            for epoch in range(epochs)
        ]

    def metrics(logits_NC: np.ndarray, n: int) -> dict[str, Any]:
        accuracy = float((logits_NC.argmax(1) == labels_N).mean())
        sd = 0.0021 if n > 1 else None
        return {
            "accuracy": {"mean": accuracy, "sd": sd, "n": n},
            "top5": {"mean": 0.998, "sd": sd, "n": n},
            "nll": {"mean": 0.25, "sd": sd, "n": n},
            "ece": {"mean": 0.0123, "sd": sd, "n": n},
            "brier": {"mean": 0.131, "sd": sd, "n": n},
        }

    def model(logits_NC: np.ndarray, name: str, size: int, latency: float, n: int) -> dict[str, Any]:
        found = metrics(logits_NC, n)
        flat = {key: value["mean"] for key, value in found.items()}
        return {
            "model": name,
            "metrics": found,
            "per_class": [{"class": c, "accuracy": 0.9, "support": 10} for c in classes],
            "parameters": size,
            "macs": size * 310,
            "bytes": size * 4 + 9000,
            "latency_ms": {
                "p50": latency,
                "p95": latency * 1.2,
                "n": 500,
                "disturbed": 3,
                "cpu_p50": latency * 0.99,
            },
            "throughput_per_s": 1000 / latency,
            "peak_memory_mb": 41.0 + size / 1e5,
            "energy_mj": {"value": latency * 12, "kind": "estimate", "how": "15 W times the latency"},
            "runs": [{"seed": s, "metrics": flat, "seconds": 131.0} for s in range(n)],
        }

    results: dict[str, Any] = {
        "name": "fashion_mnist",
        "task": "image-classification",
        "created": "2025-06-01 12:30 UTC",
        "data": {
            "name": "zalando-datasets/fashion_mnist", "classes": number, "train": 54000, "validation": 6000,
            "test": count, "transfer": None, "image": [1, 28, 28], "about": "images 1×28×28",
            "notes": ["a validation split was carved"],
        },
        "figures": plain(classes_of_answers.FIGURES),
        "fidelity_figures": plain(classes_of_answers.FIDELITY),
        "teacher": model(teacher_NC, "wrn_16_4", 2_748_218, 3.9, 1),
        "student": model(student_NC, "convnet, width 12", 27_112, 0.11, 5),
        "baseline": model(baseline_NC, "convnet, width 12", 27_112, 0.11, 5),
        "smoothed": model(baseline_NC, "convnet, width 12", 27_112, 0.11, 5),
        "fidelity": {
            "agreement": {"mean": 0.941, "sd": 0.002, "n": 5},
            "kl": 0.081,
            "agreement_where_teacher_wrong": 0.52,
        },
        "fidelity_baseline": {"agreement": 0.921, "kl": 0.163, "agreement_where_teacher_wrong": 0.43},
        "comparison": {
            "baseline": {
                "accuracy": {"difference": 0.0041, "low": 0.0017, "high": 0.0065},
                "nll": {"difference": -0.0129, "low": -0.019, "high": -0.0071},
            },
            "smoothed": {
                "accuracy": {"difference": 0.0012, "low": -0.0011, "high": 0.0036},
                "nll": {"difference": -0.051, "low": -0.058, "high": -0.043},
            },
        },
        "ratios": {"parameters": 101.4, "bytes": 93.5, "latency": 35.4},
        "speed": {"disturbed": False, "note": None},
        "export": {
            "path": "student.onnx",
            "parity": {"max_abs_difference": 3.3e-6, "agreement": 1.0, "n": 1000, "passed": True},
        },
        "timings": {
            "teacher": {"seconds": 2710}, "targets": {"seconds": 341.5}, "student": {"seconds": 655},
            "export": {"seconds": 8.1},
        },
        "student_over_teacher_seconds": 0.37,
        "recipe": {"task": "image-classification", "student": {"model": "convnet", "width": 12}, "seeds": 5},
        "environment": {"python": "3.11.9", "torch": "2.10.0", "processor": "x86_64, 2 cores"},
        "fingerprints": {"teacher": "0123456789abcdef"},
        "test_reads": [{"purpose": "evaluate", "at": "2025-06-01 12:29 UTC"}],
    }  # fmt: skip
    return Evidence(
        results=results,
        outline=outline_of("image-classification"),
        headline="The student has 101 times fewer parameters than its teacher and answers 35 times faster; it "
        "keeps 97.9 % of the accuracy. The same network without the teacher is 0.41 points behind.",
        kind="classes",
        names=classes,
        labels=labels_N,
        answers={"teacher": teacher_NC, "student": student_NC, "baseline": baseline_NC},
        show=picture,
        histories={
            "teacher": history(12, 0.06),
            "student": history(30, 0.09),
            "baseline": history(30, 0.095),
            "smoothed": history(30, 0.094),
        },
        temperature=4.0,
    )


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return make_evidence()
