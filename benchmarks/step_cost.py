"""What a step costs: distilling from stored targets over plain training, and the loop over a bare one.

    OMP_NUM_THREADS=1 python benchmarks/step_cost.py

Four ways take the same number of steps in every round, one after the other (turned round every other time), in one
process on one thread; the ratios are of the same round, by wall time and by CPU time of the process:

- distilled / plain: `fit` with KD and cross-entropy from a store of soft targets, looked up by example and view, over
  `fit` with cross-entropy. Both render their views at every step.
- loop / bare: `fit` over a hand-written PyTorch loop (forward, cross-entropy, backward, fused SGD, zero_grad; nothing
  scheduled, printed or checked). Both get the same batches, rendered beforehand by the same source, so what differs
  is the loop. After a few steps of both, the weights are checked to be equal but for rounding.

Time is taken from the first request for a batch to the last: so many whole steps, in either loop, without preparation,
validation and the last checkpoint (others come every 20 s at most, and held to 5 % of the time). Its progress bar is in
where stderr is a terminal. The targets are an untrained teacher's, since looking a number up costs the same whatever it
is. Students: wrn_10_2 on digits, and, where $LIMBECK_DATA/fashion_mnist exists, convnet of width 16 on 4,096 of its
images. About 5 minutes on one core of 2.5 GHz.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from common import arguments, print_conditions, print_table
from torch import nn

from limbeck.interfaces import Batch
from limbeck.models.identity import identity
from limbeck.pipeline.job import Job, open_job
from limbeck.pipeline.students import Arm, the_arms
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.training_stage import Trained
from limbeck.recipe.read import read
from limbeck.sections.recipe import Recipe
from limbeck.training.loop import Training, fit
from limbeck.training.optimizer import optimizer_for

RECIPES = Path(__file__).parent.parent / "recipes"
TRAIN = "epochs: 1, learning_rate: 0.01, schedule: constant, warmup_epochs: 0"
SHARED = ["teacher={model: convnet, train: {}}", "targets={views: 4}"]
CASES = {
    "wrn_10_2, digits": ("digits_all_labels", ["student={model: wrn_10_2}", f"train={{{TRAIN}, batch_size: 64}}"]),
    "convnet 16, fashion_mnist": (
        "fashion_mnist",
        ["data.limit=4096", "student={model: convnet, width: 16}", f"train={{{TRAIN}, batch_size: 128}}"],
    ),
}
Timed = tuple[float, float]  # seconds by wall, by CPU
Render = Callable[[int, nn.Module], Batch]


@dataclass
class Steps:
    """One epoch of ``count`` whole steps, and a last one that only ends them; notes when each batch is asked for."""

    count: int
    of: Render
    asked: list[Timed] = field(default_factory=list)

    def steps_per_epoch(self) -> int:
        return self.count + 1

    def next(self, step: int, student: nn.Module, part: int = 0, parts: int = 1) -> Batch:
        self.asked.append((time.perf_counter(), time.process_time()))
        return self.of(step, student)

    @property
    def taken(self) -> Timed:
        """Seconds of the whole steps."""
        (wall, cpu), (wall_end, cpu_end) = self.asked[0], self.asked[self.count]
        return wall_end - wall, cpu_end - cpu


def by_fit(job: Job, arm: Arm, source: Steps, model: nn.Module, folder: Path) -> Timed:
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        training = Training("", model, job.task, source, arm.objective(), arm.teacher, job.recipe.train, 0, Path(fresh))
        fit(training, job.accelerator)
    return source.taken


def by_hand(job: Job, source: Steps, model: nn.Module) -> Timed:
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = optimizer_for([model], job.recipe.train)
    for group in optimizer.param_groups:
        group["lr"] = job.recipe.train.learning_rate
    for step in range(source.steps_per_epoch()):
        batch = source.next(step, model)
        assert batch.labels is not None
        F.cross_entropy(model(batch.inputs), batch.labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return source.taken


def measure(recipe: Recipe, rounds: int, steps: int, folder: Path) -> list[dict[str, Timed]]:
    """Seconds of each way in each round."""
    job = open_job(recipe, out=folder, device="cpu")
    teacher = Trained(
        job.teacher, 0, 0.0, "untrained", identity(job.teacher, job.task.probe(job.task.teacher_sees)), []
    )
    arms = the_arms(job, teacher, the_targets(job, teacher))

    def rendering(arm: Arm) -> Render:
        size = recipe.train.batch_size
        return job.task.source(job.task.train, views=recipe.views, seed=0, batch_size=size, view_of=arm.view_of).next

    def fitted(name: str, count: int, render: Render, model: nn.Module) -> Timed:
        return by_fit(job, arms[name], Steps(count, render), model, folder)

    render = rendering(arms["baseline"])
    batches = [render(step, job.teacher) for step in range(steps + 1)]

    def ready(step: int, student: nn.Module) -> Batch:
        return batches[step]

    bare, looped, few = job.student(0), job.student(0), min(steps, 3)
    by_hand(job, Steps(few, ready), bare)
    fitted("baseline", few, ready, looped)
    for one, other in zip(bare.parameters(), looped.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    ways: dict[str, Callable[[], Timed]] = {
        "bare": lambda: by_hand(job, Steps(steps, ready), job.student(0)),
        "loop": lambda: fitted("baseline", steps, ready, job.student(0)),
        "plain": lambda: fitted("baseline", steps, rendering(arms["baseline"]), job.student(0)),
        "distilled": lambda: fitted("student", steps, rendering(arms["student"]), job.student(0)),
    }
    names = list(ways)
    ways["distilled"]()  # warm-up
    return [{name: ways[name]() for name in (names if i % 2 == 0 else names[::-1])} for i in range(rounds)]


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began, rows = time.monotonic(), []
    for title, (name, overrides) in CASES.items():
        if not name.startswith("digits") and not (Path(os.environ.get("LIMBECK_DATA", "")) / name).exists():
            continue
        recipe = read(RECIPES / f"{name}.yaml", [*SHARED, *overrides])
        with tempfile.TemporaryDirectory() as folder:
            found = measure(recipe, asked.rounds, asked.steps, Path(folder))
        for top, bottom in (("distilled", "plain"), ("loop", "bare")):
            wall, cpu = ([one[top][k] / one[bottom][k] for one in found] for k in (0, 1))
            step = statistics.median(one[bottom][0] for one in found) / asked.steps
            spread = f"{min(wall):.3f} - **{statistics.median(wall):.3f}** - {max(wall):.3f}"
            rows.append([title, f"{top} / {bottom}", f"{1000 * step:.1f}", spread, f"{statistics.median(cpu):.3f}"])
    print_table(["student", "ratio", "step of the latter, ms", "by wall: min - median - max", "by CPU: median"], rows)
    print_conditions(f"0; {asked.rounds} rounds of {asked.steps} steps", began)


if __name__ == "__main__":
    main()
