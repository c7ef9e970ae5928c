"""Pruned students against fresh ones that take as long: is a student better off with its teacher's weights?

    LIMBECK_DATA=... python benchmarks/pruning.py

A teacher, its stored soft targets, and for each size three students, each taught by the same targets for as many epochs:

- pruned: the teacher with channels taken out (`student: {pruned: {keep: ...}}`), its weights to begin with; by each of `--criteria`.
- same widths: that very network, from its seed. What it lacks is the weights alone.
- convnet: the fresh student of the usual family whose measured latency is nearest to the pruned one's: what one would have
  taken instead.

The widths are the same whatever the criterion. Latency is that of the untrained exports (weights do not change it), all timed in turns in
ONNX Runtime on one thread at batch 1, as CPU time, so that other work on the machine counts for less. Accuracy and NLL are of the test split,
read once, at the end, for all; nothing was chosen by it. Differences are of the same seeds, with the 95 % interval of Student's t.
Everything is kept in the run's folder: a call that was stopped goes on, and a second one only prints. About 10 minutes of CPU by magnitude alone, 4 more for each
further criterion.
"""

from __future__ import annotations

import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from common import arguments, job_of, mean_sd, print_conditions, print_table
from scipy.stats import t as students_t
from torch import nn

from limbeck.deploy.latency import compare_latency
from limbeck.deploy.measure import parameters
from limbeck.evaluation.classes import classification
from limbeck.files import write_json
from limbeck.modalities.image.load import load
from limbeck.modalities.image.task import ImageClassification
from limbeck.models.seeding import seeded
from limbeck.pipeline import stages
from limbeck.pipeline.evaluate import TestSplit
from limbeck.pipeline.job import Job, use_threads
from limbeck.pipeline.students import Arm, the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.recipe.read import read
from limbeck.searching.costs import candidate_of, exported
from limbeck.vision.resnet import initialise

SETTINGS = (
    "data.limit=8000",
    "teacher={model: wrn_10_2, train: {epochs: 8, batch_size: 128}}",
    "targets={views: 2}",
    "train={epochs: 3, batch_size: 128, learning_rate: 0.1}",
    "seeds=3",
)
KEEP = (0.5, 0.25, 0.1)
CRITERIA = ("magnitude", "taylor", "random")
WIDTHS = (8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96)
TIMED = 60.0  # seconds for all


def pruned(keep: float, criterion: str) -> str:
    return f"student={{pruned: {{keep: {keep}, criterion: {criterion}}}}}"


def convnet(width: int) -> str:
    return f"student={{model: convnet, width: {width}, depth: 4}}"


def timed(made: dict[str, Job], kept: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of CPU time and parameters of each student, and of the teacher; measured once, and kept."""
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        paths, counts = {}, {}
        for name, job in made.items():
            model = candidate_of(job)
            (place := Path(folder) / name.replace(" ", "_")).mkdir()
            paths[name], counts[name] = exported(job, model, place).path, parameters(model)
        job = next(iter(made.values()))
        (place := Path(folder) / "teacher").mkdir()
        paths["teacher"], counts["teacher"] = exported(job, job.teacher, place).path, parameters(job.teacher)
        found = compare_latency(paths, seconds=TIMED)["latency_ms"]
    known = {name: {"ms": found[name]["cpu_p50"], "parameters": counts[name]} for name in paths}
    write_json(kept, known)
    return known


def from_its_seed(build: Callable[[int], nn.Module], seed: int) -> nn.Module:
    """The same network without the weights that it begins with."""
    model = copy.deepcopy(build(seed))
    with seeded(seed):
        for module in model.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        initialise(model)
    return model


def compared(ours: Sequence[float], theirs: Sequence[float], scale: float, *, higher: bool) -> str:
    """The mean difference of the same seeds, its interval, and what that is."""
    gaps = [scale * (a - b) for a, b in zip(ours, theirs, strict=True)]
    mean, digits = statistics.fmean(gaps), 2 if scale > 1 else 3
    if len(gaps) < 2:
        return f"{mean:+.{digits}f}"
    half = float(students_t.ppf(0.975, len(gaps) - 1)) * statistics.stdev(gaps) / len(gaps) ** 0.5
    better = mean if higher else -mean
    word = "not told apart" if abs(mean) <= half else "ahead" if better > 0 else "behind"
    return f"{mean:+.{digits}f} ({mean - half:+.{digits}f} to {mean + half:+.{digits}f}): {word}"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--criteria", nargs="+", default=["magnitude"], choices=CRITERIA, help="magnitude by default")
    parser.set_defaults(recipe=Path("recipes/fashion_mnist.yaml"), out=Path("runs/pruning"), threads=1)
    asked = parser.parse_args()
    asked.set = [*SETTINGS, *asked.set]
    use_threads(asked.threads)
    began = time.monotonic(), time.process_time()
    splits = load(read(asked.recipe, asked.set).data)

    def job(student: str) -> Job:
        return job_of(asked, splits, asked.out, [student])

    made = {f"pruned {keep}": job(pruned(keep, CRITERIA[0])) for keep in KEEP}
    made |= {f"convnet {width}": job(convnet(width)) for width in WIDTHS}
    with stages.claimed(asked.out):
        costs = timed(made, asked.out / "latency.json")
        tried: dict[str, tuple[Job, Arm]] = {}
        pairs: dict[str, tuple[str, ...]] = {}
        first = made[f"pruned {KEEP[0]}"]
        teacher = the_teacher(first)
        store = the_targets(first, teacher)

        def of_trained(student: str) -> tuple[Job, Arm]:
            """With a teacher that is trained, of which a pruned student is made."""
            one = job(student)
            return one, the_arms(one, the_teacher(one), store)["student"]

        for keep in KEEP:
            cost, fresh = costs[f"pruned {keep}"], f"same widths {keep}"
            alike = min((f"convnet {width}" for width in WIDTHS), key=lambda one: abs(costs[one]["ms"] - cost["ms"]))
            names = [f"pruned {keep}, {criterion}" for criterion in asked.criteria]
            for number, (name, criterion) in enumerate(zip(names, asked.criteria, strict=True)):
                tried[name], costs[name] = of_trained(pruned(keep, criterion)), cost
                pairs[name] = (fresh, alike, *names[number + 1 :])
            one, arm = tried[names[0]]
            ingredients = {**arm.ingredients, "start": "its seed"}
            tried[fresh] = one, replace(arm, ingredients=ingredients, build=partial(from_its_seed, arm.build))
            costs[fresh] = cost
            tried[alike] = of_trained(convnet(int(alike.split()[1])))
        trained: dict[str, list[Any]] = {name: [] for name in tried}
        for seed in first.seeds:
            for name, (one, arm) in tried.items():
                trained[name].append(train_member(one, arm, seed, f"{name}, seed {seed}"))
        test = TestSplit(first).open("pruned students against fresh ones")
        task = first.task
        assert test.labels is not None
        assert isinstance(task, ImageClassification)
        figures = {
            name: [classification(task.logits(one.model, test), test.labels) for one in ones]
            for name, ones in trained.items()
        }
        known = classification(task.logits(teacher.model, test, as_teacher=True), test.labels)
    rows = [["teacher", f"{100 * known['accuracy']:.2f}", f"{known['nll']:.4f}"]]
    for name, ones in figures.items():
        rows.append(
            [name, mean_sd([one["accuracy"] for one in ones], scale=100), mean_sd([one["nll"] for one in ones], 4)]
        )
    for row in rows:
        row += [f"{costs[row[0]]['ms']:.4f}", f"{costs[row[0]]['parameters']:,}"]
    print_table(["student", "accuracy, %", "NLL", "CPU ms", "parameters"], rows)
    rows = []
    for name, others in pairs.items():
        for other in others:
            accuracy, nll = (
                compared([one[of] for one in figures[name]], [one[of] for one in figures[other]], scale, higher=higher)
                for of, scale, higher in (("accuracy", 100, True), ("nll", 1, False))
            )
            rows.append([name, other, f"{costs[name]['ms'] / costs[other]['ms']:.2f}", accuracy, nll])
    print()
    print_table(["", "against", "latency, times", "accuracy, points", "NLL"], rows)
    seconds = sum(one.seconds for ones in trained.values() for one in ones) + teacher.seconds
    print(f"\nTraining took {seconds:.0f} s in all; this call {time.process_time() - began[1]:.0f} s of CPU.")
    print_conditions(f"{first.seeds[0]} to {first.seeds[-1]}", began[0])


if __name__ == "__main__":
    main()
