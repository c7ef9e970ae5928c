"""SST-2: students of about 1/4, 1/10 and 1/50 of a BERT-family teacher's parameters, and what a transfer set adds.

    LIMBECK_DATA=... python benchmarks/sst2.py --jobs 2 --threads 2

Runs `recipes/sst2.yaml` as `limbeck run` does, once for each student, in one folder, so that the teacher is trained once
and asked once for all of them; then the smallest transformer without the transfer set. Per size: student and baseline (the same
student from the same first weights, learning from the labels alone), 3 seeds, with what share of the teacher's accuracy
is kept; int8 against float32, as deployed; latency at batch 1 in ONNX Runtime on one thread, as ratios to the teacher,
all models in turns. The settings were chosen on validation (`tune_on_validation.py`, see docs/results.md). Without the
transfer set the student makes 6 passes over the labelled texts alone; the best one is kept.

Stages are kept, so a call that was stopped goes on, and one that was finished only prints. About an hour on two cores.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from common import arguments, print_conditions, print_table

from limbeck.pipeline import run as pipeline
from limbeck.recipe.read import read

SMALL = "1/50"
SHRUNK = "student={{model: shrunk, layers: 4, hidden: {}, vocabulary: used, min_count: 5}}"
SIZES = {
    "1/4": [],
    "1/10": [SHRUNK.format(128)],
    SMALL: [SHRUNK.format(32)],
}
WITHOUT = [*SIZES[SMALL], "data.transfer=null", "train.epochs=6"]


def mean_sd(figure: dict[str, Any], factor: float = 100, digits: int = 2) -> str:
    """A figure over seeds as the results have it."""
    spread = "" if figure["sd"] is None else f" ± {factor * figure['sd']:.{digits}f}"
    return f"{factor * figure['mean']:.{digits}f}{spread}"


def ahead(results: dict[str, Any]) -> str:
    """Student minus baseline in points of accuracy, with its 95 % interval."""
    gained = results["comparison"]["baseline"]["accuracy"]
    return f"{100 * gained['difference']:+.2f} ({100 * gained['low']:+.2f} to {100 * gained['high']:+.2f})"


def quality(size: str, results: dict[str, Any]) -> list[str]:
    student, baseline = results["student"], results["baseline"]
    return [
        size,
        f"{student['parameters']:,}",
        f"{results['ratios']['parameters']:.1f}x",
        *(mean_sd(one["metrics"]["accuracy"]) for one in (student, baseline)),
        f"{100 * results['ratios']['accuracy_kept']:.1f}",
        ahead(results),
        *(mean_sd(one["metrics"]["nll"], 1, 3) for one in (student, baseline)),
        *(mean_sd(one["metrics"]["ece"], 100, 1) for one in (student, baseline)),
        mean_sd(results["fidelity"]["agreement"], 100, 1),
    ]


def cost(size: str, results: dict[str, Any]) -> list[str]:
    student, int8 = results["student"], results["export"]["int8"]

    def faster(name: str, of: dict[str, Any], length: str) -> str:
        measured = results["speed"]["by_length"][length]
        if measured["disturbed"]:
            return "the machine was busy"
        return f"{of['latency_by_length'][length]['p50']:.3f} ({measured['speedup'][name]['ratio']:.1f}x)"

    return [
        size,
        f"{student['bytes'] / 1e6:.2f}",
        f"{int8['bytes'] / 1e6:.2f}",
        f"{100 * int8['accuracy_float32']:.2f}",
        f"{100 * int8['accuracy']:.2f}",
        f"{100 * (int8['accuracy'] - int8['accuracy_float32']):+.2f}",
        *(faster("student", student, length) for length in ("32", "128")),
        *(faster("int8", int8, length) for length in ("32", "128")),
    ]


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/sst2.yaml"))
    parser.add_argument("--out", type=Path, default=Path("runs/sst2"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", nargs="+", choices=[*SIZES, "without"], default=[*SIZES, "without"])
    asked = parser.parse_args()
    began = time.monotonic()
    found = {}
    for name, overrides in (*SIZES.items(), ("without", WITHOUT)):
        if name in asked.only:
            recipe = read(asked.recipe, overrides)
            found[name] = pipeline.run(recipe, out=asked.out, jobs=asked.jobs, threads=asked.threads)
    results = next(iter(found.values()))
    teacher = results["teacher"]
    told = {name: mean_sd(teacher["metrics"][name], *how) for name, how in FIGURES.items()}
    print(
        f"Teacher: {teacher['parameters']:,} parameters, accuracy {told['accuracy']} %, NLL {told['nll']}, ECE {told['ece']} %; "
        f"{teacher['bytes'] / 1e6:.1f} MB, {teacher['latency_by_length']['32']['cpu_p50']:.2f} ms of processor time at 32 "
        f"tokens and {teacher['latency_by_length']['128']['cpu_p50']:.2f} at 128.\n"
    )
    sizes = {name: one for name, one in found.items() if name in SIZES}
    columns = [
        "size",
        "parameters",
        "fewer",
        "accuracy, %",
        "no teacher",
        "of the teacher's, %",
        "student - no teacher",
    ]
    columns += ["NLL", "no teacher", "ECE, %", "no teacher", "agreement, %"]
    print_table(columns, [quality(name, one) for name, one in sizes.items()])
    columns = ["size", "ONNX, MB", "int8, MB", "accuracy of the ONNX file, %", "of int8", "points"]
    columns += ["latency, ms at 32 tokens (faster)", "at 128", "int8 at 32", "at 128"]
    print()
    print_table(columns, [cost(name, one) for name, one in sizes.items()])
    if "without" in found and SMALL in found:
        rows = [
            [title, *(mean_sd(one["student"]["metrics"][name], *how) for name, how in FIGURES.items()), ahead(one)]
            for title, one in (("with the transfer set", found[SMALL]), ("without", found["without"]))
        ]
        print()
        print_table([f"{SMALL}, student", "accuracy, %", "NLL", "ECE, %", "student - no teacher"], rows)
    seconds = {name: one["timings"] for name, one in found.items()}
    pass_ = results["targets"]
    parts = [
        f"{name}: student {timings['student']['seconds'] / timings['student']['runs']:.0f} s, no teacher "
        f"{timings['baseline']['seconds'] / timings['baseline']['runs']:.0f}"
        for name, timings in seconds.items()
    ]
    print(
        f"\nTeacher trained in {teacher['runs'][0]['seconds']:.0f} s; asked about {pass_['examples']:,} texts in "
        f"{pass_['seconds']:.0f} s ({pass_['asked']['precision']}). Training of one, in seconds: {'; '.join(parts)}."
    )
    print_conditions("0 to 2", began)


FIGURES: dict[str, tuple[float, int]] = {"accuracy": (100, 2), "nll": (1, 3), "ece": (100, 1)}  # factor, digits

if __name__ == "__main__":
    main()
