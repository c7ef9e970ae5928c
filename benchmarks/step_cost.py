"""What a step costs: distilling from stored targets over plain training, and the loop over a bare one.

    OMP_NUM_THREADS=1 python benchmarks/step_cost.py

Two ratios for each student, of rounds in which all four ways take the same number of steps, one after the other
(the order is turned round every other time), in one process on one thread:

- distilled / plain: `fit` with KD and cross-entropy from a store of soft targets (looked up by example and view),
  over `fit` with cross-entropy. Both render their views at every step; the optimiser, schedule and model are alike.
- loop / bare: `fit` over a hand-written PyTorch loop (forward, cross-entropy, backward, fused SGD, zero_grad; a
  constant rate, nothing printed, nothing checked). Both are fed the same batches, rendered beforehand by the same
  source, and make their own optimiser, so what differs is the loop. That both train alike is checked: the weights
  after the warm-up agree.

`fit` is timed as a whole call: preparation and the checkpoint at the end are in; validation is not, the task's
being replaced by one that does nothing. Wall time is of perf_counter, CPU time of the process. The targets are those
of an untrained teacher, since looking a number up costs the same whatever it is. `fit` shows its progress bar where
stderr is a terminal.

Students: wrn_10_2 on digits (8x8), and, where $LIMBECK_DATA/fashion_mnist exists, convnet of width 16 on 4,096 of its
images. About 5 minutes on one core of 2.5 GHz.
"""

from __future__ import annotations

import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import arguments, print_conditions, print_table
from torch import nn

from limbeck.arms import Arm, the_arms
from limbeck.data.load import load
from limbeck.interfaces import Batch
from limbeck.job import Job, job_from_recipe
from limbeck.models.identity import identity
from limbeck.recipe_file import from_dict
from limbeck.teaching import the_targets
from limbeck.trained import Trained, teacher_shape
from limbeck.training.loop import Training, fit

TRAIN = {"epochs": 1, "learning_rate": 0.01, "schedule": "constant", "warmup_epochs": 0}
DIGITS = {
    "data": {"name": "digits"},
    "views": {"shift": 0.1, "affine": {"degrees": 10, "scale": 0.1}},
    "teacher": {"model": "convnet"},
    "targets": {"views": 8},
    "student": {"model": "wrn_10_2"},
    "train": TRAIN | {"batch_size": 64},
}
FASHION = {
    "data": {"name": "zalando-datasets/fashion_mnist", "limit": 4096},
    "views": {"pad_crop": 2, "flip": True},
    "teacher": {"model": "convnet"},
    "targets": {"views": 6},
    "student": {"model": "convnet", "width": 16},
    "train": TRAIN | {"batch_size": 128},
}
Timed = tuple[float, float]  # seconds by wall, by CPU


@dataclass
class Steps:
    """A source of so many steps: one epoch."""

    count: int
    of: Callable[[int, nn.Module], Batch]

    def steps_per_epoch(self) -> int:
        return self.count

    def next(self, step: int, student: nn.Module, part: int = 0, parts: int = 1) -> Batch:
        return self.of(step, student)


def timed(work: Callable[[], object]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def by_fit(job: Job, arm: Arm, source: Steps, model: nn.Module, folder: Path) -> Timed:
    task = copy.copy(job.task)
    task.validation = lambda model, **_: {"accuracy": 0.0, "nll": 0.0}  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        training = Training(
            "", model, task, source, arm.objective(), arm.teacher, job.recipe.train, 0, Path(fresh)
        )
        return timed(lambda: fit(training, job.accelerator))


def by_hand(job: Job, batches: list[Batch], model: nn.Module) -> Timed:
    plan = job.recipe.train

    def loop() -> None:
        model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        decayed = [p for p in model.parameters() if p.dim() >= 2]
        others = [p for p in model.parameters() if p.dim() < 2]
        groups = [
            {"params": decayed, "weight_decay": plan.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        assert plan.learning_rate is not None
        optimizer = torch.optim.SGD(
            groups, lr=plan.learning_rate, momentum=plan.momentum, nesterov=True, fused=True
        )
        for batch in batches:
            assert batch.labels is not None
            loss = F.cross_entropy(model(batch.inputs), batch.labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return timed(loop)


def measure(values: dict[str, Any], rounds: int, steps: int, folder: Path) -> list[dict[str, Timed]]:
    """Seconds of each way in each round."""
    recipe = from_dict(values)
    job = job_from_recipe(recipe, load(recipe.data), out=folder, trust_code=False, device="cpu", force=())
    teacher = Trained(job.teacher, 0, 0.0, "untrained", identity(job.teacher, *teacher_shape(job)), [])
    arms = the_arms(job, teacher, the_targets(job, teacher))
    batch_size = recipe.train.batch_size

    def rendered(arm: Arm) -> Callable[[int, nn.Module], Batch]:
        source = job.task.source(
            job.task.train, views=recipe.views, seed=0, batch_size=batch_size, view_of=arm.view_of
        )
        return source.next

    plain, student = arms["baseline"], arms["student"]
    ahead = [rendered(plain)(step, job.teacher) for step in range(steps)]
    few = 3
    bare, looped = job.student(0), job.student(0)
    by_hand(job, ahead[:few], bare)
    by_fit(job, plain, Steps(few, lambda step, _: ahead[step]), looped, folder)
    for one, other in zip(bare.parameters(), looped.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    ways: dict[str, Callable[[], Timed]] = {
        "bare": lambda: by_hand(job, ahead, job.student(0)),
        "loop": lambda: by_fit(job, plain, Steps(steps, lambda step, _: ahead[step]), job.student(0), folder),
        "plain": lambda: by_fit(job, plain, Steps(steps, rendered(plain)), job.student(0), folder),
        "distilled": lambda: by_fit(job, student, Steps(steps, rendered(student)), job.student(0), folder),
    }
    by_fit(job, student, Steps(few, rendered(student)), job.student(0), folder)
    names = list(ways)
    return [{name: ways[name]() for name in (names if i % 2 == 0 else names[::-1])} for i in range(rounds)]


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    cases = {"wrn_10_2, digits": DIGITS}
    if (Path(os.environ.get("LIMBECK_DATA", "/nowhere")) / "fashion_mnist").exists():
        cases["convnet 16, fashion_mnist"] = FASHION
    rows = []
    for title, values in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            found = measure(values, asked.rounds, asked.steps, Path(folder))
        for top, bottom in (("distilled", "plain"), ("loop", "bare")):
            wall, cpu = ([one[top][k] / one[bottom][k] for one in found] for k in (0, 1))
            step = statistics.median(one[bottom][0] for one in found) / asked.steps
            spread = f"{min(wall):.3f} - **{statistics.median(wall):.3f}** - {max(wall):.3f}"
            rows.append(
                [title, f"{top} / {bottom}", f"{1000 * step:.1f}", spread, f"{statistics.median(cpu):.3f}"]
            )
    print_table(
        ["student", "ratio", "step of the latter, ms", "by wall: min - median - max", "by CPU: median"], rows
    )
    print_conditions(f"0; {asked.rounds} rounds of {asked.steps} steps", began)


if __name__ == "__main__":
    main()
