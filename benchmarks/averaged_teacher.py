"""What one teacher, averaged over several views of an example, adds: to itself, and to its students.

    OMP_NUM_THREADS=1 python benchmarks/averaged_teacher.py --threads 1 --set train.epochs=12
    LIMBECK_DATA=... python benchmarks/averaged_teacher.py --recipe recipes/fashion_mnist.yaml

- The teacher itself, on the test split, read once: asked about the image as it is; about one view of it; and about
  1, 2, 4 ... views whose probabilities are averaged (the image as it is among them, or not). Views are the recipe's, drawn as
  for soft targets.
- Its students: from the same store of `targets.views` views, each view answered with what the teacher said of that very
  view (`average: false`), or every view answered with the mean over all of them (`average: true`, and the student then sees
  endless views). Same students, seeds and epochs; only what they are told differs. `three_ways.py` has the same two
  beside live targets and the common mistakes.

The teacher has as many seeds as the students: a teacher is trained for each, with its own store, so that ± holds the noise
of the teacher too. Stages are kept in the run folder, so a second call only prints. With 12 epochs
about a minute for digits on one core.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from common import arguments, job_of, mean_sd, print_conditions, print_table
from torch import Tensor

from limbeck.evaluation.classes import classification
from limbeck.modalities.image.examples import Examples
from limbeck.modalities.image.load import load
from limbeck.pipeline import stages
from limbeck.pipeline.evaluate import TestSplit
from limbeck.pipeline.job import Job, use_threads
from limbeck.pipeline.students import the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.pipeline.training_stage import Trained
from limbeck.recipe.read import read
from limbeck.vision.sections import Views

Figures = dict[str, float]


@torch.no_grad()
def said(job: Job, teacher: Trained, test: Examples, view: int | None) -> Tensor:
    """Log-probabilities (N, C), float64, of the test images at a view; None: as they are."""
    model, parts = teacher.model.to(job.accelerator.device).eval(), []
    views, at = (Views(), 0) if view is None else (job.recipe.views, view)
    for index_B in torch.arange(len(test), device=test.ids.device).split(500):
        batch = job.task.batch(test, index_B, torch.full_like(index_B, at), views)
        parts.append(job.task.answer(model, batch).double().log_softmax(1).cpu())
    return torch.cat(parts)


def averaged(log_probs: list[Tensor]) -> Tensor:
    """The logarithm of the mean probability."""
    return torch.stack(log_probs).logsumexp(0) - math.log(len(log_probs))


def of_the_teacher(job: Job, teacher: Trained, test: Examples, most: int) -> dict[str, Figures]:
    """Test figures of each way to ask one teacher."""
    assert test.labels is not None
    labels_N = test.labels.cpu()
    as_it_is, each = said(job, teacher, test, None), [said(job, teacher, test, view) for view in range(most)]
    ways = {"the image as it is": as_it_is, "one view": each[0]}
    for count in [2**k for k in range(1, most.bit_length()) if 2**k <= most]:
        ways[f"mean of {count} views"] = averaged(each[:count])
        ways[f"mean of the image and {count - 1} views"] = averaged([as_it_is, *each[: count - 1]])
    return {name: classification(log_probs_NC, labels_N) for name, log_probs_NC in ways.items()}


def with_average(job: Job, average: bool) -> Job:
    """The same job, its teacher's stored answers averaged over views or not."""
    targets = job.recipe.targets.model_copy(update={"average": average, "live": False})
    return replace(job, recipe=job.recipe.model_copy(update={"targets": targets}))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--most", type=int, default=16, help="test-time views, at most")
    asked = parser.parse_args()
    use_threads(asked.threads)
    began = time.monotonic()
    recipe = read(asked.recipe, asked.set)
    splits, out = load(recipe.data), asked.out or Path("runs") / f"averaged_teacher-{recipe.name}"
    teachers: list[dict[str, Figures]] = []
    students: dict[str, list[tuple[Figures, float]]] = {"stored": [], "averaged": [], "no teacher": []}
    seeds = range(recipe.seed, recipe.seed + recipe.seeds)
    trained: list[tuple[Job, Trained, dict[str, Trained]]] = []
    with stages.claimed(out):
        for seed in seeds:
            job = job_of(asked, splits, out, [f"seed={seed}", "seeds=1", "targets.live=false", "targets.average=false"])
            teacher = the_teacher(job)
            ones = {}
            for name, average in (("stored", False), ("averaged", True)):
                of = with_average(job, average)
                ones[name] = train_member(of, the_arms(of, teacher, the_targets(of, teacher))["student"], seed, name)
            arms = the_arms(job, teacher, the_targets(job, teacher))
            ones["no teacher"] = train_member(job, arms["baseline"], seed, "no teacher")
            trained.append((job, teacher, ones))
        # test is read once every model is there
        test = TestSplit(trained[0][0]).open("teachers averaged over views").to(trained[0][0].accelerator.device)
        assert test.labels is not None
        for job, teacher, ones in trained:
            teachers.append(of_the_teacher(job, teacher, test, asked.most))
            for name, one in ones.items():
                logits_NC = job.task.logits(one.model.to(job.accelerator.device), test)
                students[name].append((classification(logits_NC, test.labels.cpu()), one.seconds))
    rows = [[f"teacher, {name}", *_cells([one[name] for one in teachers])] for name in teachers[0]]
    rows += [[f"student, {name}", *_cells([figures for figures, _ in found])] for name, found in students.items()]
    print_table(["who", "accuracy, %", "NLL", "ECE, %"], rows)
    print(f"\n{recipe.targets.views} views stored; students: {recipe.student.model}, {recipe.train.epochs} epochs.")
    print_conditions(f"{seeds[0]} to {seeds[-1]}, of teacher and student alike", began)


def _cells(figures: list[Figures]) -> list[str]:
    accuracy, nll, ece = ([one[name] for one in figures] for name in ("accuracy", "nll", "ece"))
    return [mean_sd(accuracy, scale=100), mean_sd(nll, 4), mean_sd(ece, scale=100)]


if __name__ == "__main__":
    main()
