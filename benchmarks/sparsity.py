"""Zeros in a student, for size under compression: what they save, and what they cost.

    LIMBECK_DATA=... python benchmarks/sparsity.py

A teacher, its stored soft targets, a student of them, and the same student with a share of its weights at zero and trained on with them held
(`sparsity: {share: ...}`), of the same seeds. Accuracy and NLL are of the test split, read once, at the end, for all; differences to the student
without zeros are of the same seeds, with the 95 % interval of Student's t. Sizes are of the first seed's files, float32 and 8 bits, as they are
and compressed (gzip at level 9, zstd at level 19). Its float32 files are timed in turns in ONNX Runtime, one thread, batch 1, as CPU time.
Everything is kept in the run's folder: a call that was stopped goes on. About two minutes of CPU.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from common import arguments, job_of, mean_sd, print_conditions, print_table
from pruning import compared

from limbeck.deploy.compressed import taken_by
from limbeck.deploy.formats import FORMATS
from limbeck.deploy.latency import compare_latency
from limbeck.evaluation.classes import classification
from limbeck.modalities.image.load import load
from limbeck.modalities.image.task import ImageClassification
from limbeck.models.sparsity import zeros_in
from limbeck.pipeline import stages
from limbeck.pipeline.evaluate import TestSplit
from limbeck.pipeline.export import exporter_of
from limbeck.pipeline.formats import captured
from limbeck.pipeline.job import Job, use_threads
from limbeck.pipeline.students import the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.pipeline.training_stage import Trained
from limbeck.recipe.read import read

SHARES = (0.0, 0.5, 0.8, 0.9, 0.95)
FILES = ("onnx", "onnx-int8")


def written(job: Job, student: Trained, folder: Path) -> dict[str, dict[str, Any]]:
    """The student's file in each of two formats: what it takes, and its path."""
    folder.mkdir()
    model = student.model.cpu().eval()
    ((name, graph),) = exporter_of(job, None).graphs(model, "student").items()
    calibration = captured(job, {name: graph}, model)[name]
    found = {}
    for of in FILES:
        path = folder / f"{name}{FORMATS[of].suffix}"
        FORMATS[of].write(graph, path, () if FORMATS[of].exact else calibration)
        found[of] = taken_by(folder, [path.name], FORMATS[of]) | {"path": path}
    return found


def kilobytes(taken: dict[str, Any]) -> list[str]:
    return [f"{taken[name] / 1000:.1f}" for name in ("bytes", "gzip", "zstd")]


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(recipe=Path("recipes/digits.yaml"), out=Path("runs/sparsity"), threads=1)
    asked = parser.parse_args()
    use_threads(asked.threads)
    began = time.monotonic()
    splits = load(read(asked.recipe, asked.set).data)
    jobs = {share: job_of(asked, splits, asked.out, [f"sparsity={{share: {share}}}"] * bool(share)) for share in SHARES}
    first = jobs[SHARES[0]]
    with stages.claimed(asked.out):
        teacher = the_teacher(first)
        store = the_targets(first, teacher)
        trained = {
            share: [train_member(job, the_arms(job, teacher, store)["student"], seed) for seed in job.seeds]
            for share, job in jobs.items()
        }
        task, test = first.task, TestSplit(first).open("zeros")
        assert test.labels is not None
        assert isinstance(task, ImageClassification)
        figures = {
            share: [classification(task.logits(one.model, test), test.labels) for one in ones]
            for share, ones in trained.items()
        }
        with tempfile.TemporaryDirectory() as folder:
            files = {share: written(jobs[share], ones[0], Path(folder) / str(share)) for share, ones in trained.items()}
            paths = {str(share): one["onnx"]["path"] for share, one in files.items()}
            timed = compare_latency(paths, seconds=20)["latency_ms"]
    rows, weights = [], 0
    for share, ones in figures.items():
        zeros, weights = zeros_in(trained[share][0].model)
        gap = [
            compared([one[of] for one in ones], [one[of] for one in figures[SHARES[0]]], scale, higher=higher)
            for of, scale, higher in (("accuracy", 100, True), ("nll", 1, False))
        ]
        rows.append(
            [
                f"{zeros / weights:.1%}",
                mean_sd([one["accuracy"] for one in ones], scale=100),
                *(gap if share else ["-", "-"]),
                f"{timed[str(share)]['cpu_p50'] / timed[str(SHARES[0])]['cpu_p50']:.2f}",
            ]
        )
    print_table(["zeros", "accuracy, %", "accuracy, points", "NLL", "time, times"], rows)
    print()
    rows = [
        [row[0], *(size for of in FILES for size in kilobytes(files[share][of]))]
        for share, row in zip(SHARES, rows, strict=True)
    ]
    print_table(["zeros", "float32, kB", "gzip", "zstd", "int8, kB", "gzip", "zstd"], rows)
    print(f"\n{weights:,} weights of products and convolutions.")
    print_conditions(f"{first.seeds[0]} to {first.seeds[-1]}", began)


if __name__ == "__main__":
    main()
