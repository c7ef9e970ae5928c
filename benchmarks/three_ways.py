"""Three ways to get soft targets, on one recipe: live; stored with the student's own views; stored once, without.

    python benchmarks/three_ways.py
    LIMBECK_DATA=... python benchmarks/three_ways.py --recipe recipes/fashion_mnist.yaml --teacher-from runs/fashion_mnist

- live: the teacher is asked at every step about the very pixels the student sees; endless views.
- stored: the teacher is asked once about so many views (`targets.views`), and the student sees those.
- averaged: the same store, each view answered with the mean over all views of the example.
- mismatched: the common mistake. The teacher is asked once about each image as it is, and that answer is given
  whatever view of it the student sees.
- no teacher: the same student from labels alone, for scale.

One teacher serves all. Ways take turns seed by seed, so that what else the machine does hits all alike. Accuracy, NLL
and agreement with the teacher are of the test split, read once at the end for all of them; nothing was chosen by it.
Seconds are of one student's training; asking the teacher beforehand stands beside them, training it is left out.
Stages are kept in the run folder, so a second call only prints. About 4 minutes for digits on 2 cores.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import arguments, borrow_teacher, job_of, mean_sd, print_conditions, print_table
from torch import Tensor

from limbeck.evaluation.classes import classification, fidelity, kept
from limbeck.interfaces import Batch, Needs, Target
from limbeck.modalities.image.load import load
from limbeck.pipeline import stages
from limbeck.pipeline.evaluate import TestSplit
from limbeck.pipeline.job import Job, use_threads
from limbeck.pipeline.students import Arm, the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.pipeline.training_stage import Trained
from limbeck.recipe.read import read
from limbeck.targets.store.store import Store
from limbeck.targets.stored_teacher import StoredTeacher
from limbeck.vision.sections import Views

WAYS = ("live", "stored", "averaged", "mismatched", "no teacher")


class AskedOnce(StoredTeacher):
    """Answers every view with what the teacher said of the image as it is: wrong, and widely done."""

    def __call__(self, batch: Batch, needs: Needs) -> Target:
        return Target((self.store.gather(batch.ids, torch.zeros_like(batch.view)),))

    def view_of(self, ids_B: Tensor, epoch: int) -> Tensor:
        return torch.full_like(ids_B, epoch)


def varied(job: Job, **targets: Any) -> Job:
    """The same job, its teacher asked otherwise."""
    recipe = job.recipe
    return replace(job, recipe=recipe.model_copy(update={"targets": recipe.targets.model_copy(update=targets)}))


def seconds_of(store: Store) -> float:
    """How long the store's cast took."""
    return json.loads((store.path.parent / "done.json").read_text(encoding="utf-8"))["facts"]["seconds"]


def the_ways(job: Job, teacher: Trained, wanted: list[str]) -> dict[str, tuple[Job, Arm, float]]:
    """Each way's job, arm and seconds of asking beforehand."""
    ways: dict[str, tuple[Job, Arm, float]] = {}
    live = varied(job, live=True, average=False)
    unlearned = the_arms(live, teacher, None)
    if "live" in wanted:
        ways["live"] = (live, unlearned["student"], 0.0)
    for name, average in (("stored", False), ("averaged", True)):
        if name in wanted:
            stored = varied(job, live=False, average=average)
            store = the_targets(stored, teacher)
            assert store is not None
            ways[name] = (stored, the_arms(stored, teacher, store)["student"], seconds_of(store))
    if "mismatched" in wanted:
        once = varied(job, live=False, average=False, views=1)
        plain = replace(once, recipe=once.recipe.model_copy(update={"views": Views()}))
        store = the_targets(plain, teacher)
        assert store is not None
        arm = the_arms(once, teacher, store)["student"]
        arm = replace(arm, ingredients=arm.ingredients | {"asked": "once, without views"}, teacher=AskedOnce(store))
        ways["mismatched"] = (once, arm, seconds_of(store))
    if "no teacher" in wanted:
        ways["no teacher"] = (job, unlearned["baseline"], 0.0)
    return ways


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--teacher-from", type=Path, metavar="RUN", help="take the finished teacher of this run")
    asked = parser.parse_args()
    use_threads(asked.threads)
    began = time.monotonic()
    recipe = read(asked.recipe, asked.set)
    out = asked.out or Path("runs") / f"three_ways-{recipe.name}"
    job = job_of(asked, load(recipe.data), out)
    with stages.claimed(out):
        if asked.teacher_from:
            borrow_teacher(asked.teacher_from, out)
        teacher = the_teacher(job)
        ways = the_ways(job, teacher, asked.ways)
        trained: dict[str, list[Trained]] = {name: [] for name in ways}
        for seed in job.seeds:
            for name, (of, arm, _) in ways.items():
                trained[name].append(train_member(of, arm, seed))
        test = TestSplit(job).open("three ways of soft targets").to(job.accelerator.device)
        assert test.labels is not None
        teacher.model.to(job.accelerator.device)
        by_teacher = job.task.logits(teacher.model, test, as_teacher=True)
        rows = []
        for name, ones in trained.items():
            answers = [job.task.logits(one.model.to(job.accelerator.device), test) for one in ones]
            figures = [classification(answer, test.labels) for answer in answers]
            agreement = [fidelity(kept(answer, test.labels, by_teacher))["agreement"] or 0.0 for answer in answers]
            row = [name, mean_sd([one["accuracy"] for one in figures], scale=100)]
            row += [mean_sd([one["nll"] for one in figures], 4), mean_sd(agreement, scale=100)]
            row += [mean_sd([one.seconds for one in ones], 1), f"{ways[name][2]:.1f}"]
            rows.append(row)
    print_table(["way", "accuracy, %", "NLL", "agreement, %", "training, s", "asking beforehand, s"], rows)
    known = classification(by_teacher, test.labels)
    print(f"\nTeacher: {100 * known['accuracy']:.2f} %, NLL {known['nll']:.4f}; {recipe.targets.views} views stored.")
    print_conditions(f"{job.seeds[0]} to {job.seeds[-1]}", began)


if __name__ == "__main__":
    main()
