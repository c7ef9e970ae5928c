"""Time to so many students: the teacher asked once into a store, against a teacher that is asked live at every step.

    python benchmarks/many_students.py
    LIMBECK_DATA=... python benchmarks/many_students.py --recipe recipes/fashion_mnist.yaml --set data.limit=2000

Unless `--set` says otherwise, the teacher is a wrn_16_2 of 3 epochs (its worth does not matter here), the student a convnet
of 15 epochs, and 4 views are stored. Training the teacher is left out, since both ways need it. Measured are

- the teacher's pass: `targets.views` views of every example, into a store;
- so many students (`--measured`, 2) from the store, and as many with the teacher live; ways take turns seed by seed,
  turned round every other time.

For as many students as were measured the times are sums of what was measured; beyond that they are arithmetic: the pass (or
nothing) plus N times the mean student. The crossing point is the N from which the store is quicker. Validation accuracy
stands beside it, since a live teacher shows the student a new view each epoch, and a store one of those it has. Stages are
kept in the run folder, so a second call only prints. Under 5 minutes on one core of 2.5 GHz, either way.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from dataclasses import replace
from pathlib import Path

from common import arguments, job_of, mean_sd, print_conditions, print_table

from limbeck.modalities.image.load import load
from limbeck.pipeline import stages
from limbeck.pipeline.job import Job, use_threads
from limbeck.pipeline.students import the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.pipeline.training_stage import Trained
from limbeck.recipe.read import read
from limbeck.targets.store.store import Store

STUDENTS = (1, 2, 5, 10)
DEFAULTS = [
    "teacher={model: wrn_16_2, train: {epochs: 3, batch_size: 64}}",
    "student={model: convnet, width: 8}",
    "targets={views: 4}",
    "train={epochs: 15, batch_size: 64}",
]


def asked_live(job: Job, live: bool) -> Job:
    """The same job, its teacher asked at every step or once."""
    targets = job.recipe.targets.model_copy(update={"live": live})
    return replace(job, recipe=job.recipe.model_copy(update={"targets": targets}))


def seconds_of(store: Store) -> float:
    """How long the teacher's pass took."""
    return json.loads((store.path.parent / "done.json").read_text(encoding="utf-8"))["facts"]["seconds"]


def time_to(number: int, beforehand: float, ones: list[Trained]) -> float:
    """Seconds until so many students are there: as measured where there are enough, else by the mean."""
    seconds = [one.seconds for one in ones]
    if number <= len(seconds):
        return beforehand + sum(seconds[:number])
    return beforehand + number * statistics.fmean(seconds)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--measured", type=int, default=2, help="students trained in each way")
    asked = parser.parse_args()
    use_threads(asked.threads)
    began = time.monotonic()
    asked.set = [*DEFAULTS, *asked.set]
    recipe = read(asked.recipe, asked.set)
    out = asked.out or Path("runs") / f"many_students-{recipe.name}"
    job = job_of(asked, load(recipe.data), out, [f"seeds={asked.measured}"])
    trained: dict[str, list[Trained]] = {"stored": [], "live": []}
    with stages.claimed(out):
        teacher = the_teacher(job)
        jobs = {"stored": asked_live(job, False), "live": asked_live(job, True)}
        store = the_targets(jobs["stored"], teacher)
        assert store is not None
        arms = {"stored": the_arms(jobs["stored"], teacher, store), "live": the_arms(jobs["live"], teacher, None)}
        for turn, seed in enumerate(job.seeds):
            for name in list(jobs) if turn % 2 == 0 else list(jobs)[::-1]:
                title = f"student {turn + 1}/{asked.measured}, {name}"
                trained[name].append(train_member(jobs[name], arms[name]["student"], seed, title))
    once = seconds_of(store)
    rows = []
    for number in sorted({*STUDENTS, asked.measured}):
        stored, live = time_to(number, once, trained["stored"]), time_to(number, 0.0, trained["live"])
        how = "measured" if number <= asked.measured else "arithmetic"
        rows.append([number, how, f"{stored:.1f}", f"{live:.1f}", f"{live / stored:.2f}"])
    print_table(["students", "how", "stored, s", "live, s", "live / stored"], rows)
    each = {name: statistics.fmean(one.seconds for one in ones) for name, ones in trained.items()}
    saved = each["live"] - each["stored"]
    crossing = f"from {max(1, math.ceil(once / saved))} on" if saved > 0 else "never"
    print(
        f"\nThe teacher's pass, {recipe.targets.views} views of {len(job.task.pool):,} examples: {once:.1f} s. A student of "
        f"{recipe.train.epochs} epochs: {each['stored']:.1f} s from the store, {each['live']:.1f} s live. The store is "
        f"quicker {crossing} (the pass is as long as what {once / saved if saved > 0 else math.inf:.2f} students save)."
    )
    for name, ones in trained.items():
        print(
            f"Validation accuracy, {name}: {mean_sd([one.history[-1]['validation_accuracy'] for one in ones], 2, 100)} %."
        )
    print(f"Teacher {recipe.teacher.title}, student {recipe.student.model}; {recipe.data.name}.")
    print_conditions(f"{job.seeds[0]} to {job.seeds[-1]}", began)


if __name__ == "__main__":
    main()
