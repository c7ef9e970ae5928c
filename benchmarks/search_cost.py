"""What a search costs and what it misses: its students stopped at rungs, against the same students trained in full.

    LIMBECK_DATA=... python benchmarks/search_cost.py --threads 2
    python benchmarks/search_cost.py --recipe recipes/digits.yaml --trials 10

First the students with a teacher of `limbeck search` are tried, one at a time. Then every one that a rung stopped is trained on
from its checkpoint to its end, so that its seconds and its quality in full are known. Last, `--sample` of them, spread from the
quickest step to the slowest, are trained for two epochs from the store and two with the teacher asked live, epochs taking turns.

A student of the sample would take with a live teacher its own recorded seconds times that ratio. The rest take their recorded
seconds and, for every example of every step, what an answer costs by the sample's mean, in the seconds of its records. Training
the teacher is counted nowhere, its pass wherever stored answers are learnt from.

Fronts are of validation quality against the costs of the budget (latency, where there is none), on logarithmic axes from the
worst to the best of all students; the reference of the hypervolume is the worst of all of them on each axis, and, as one very
weak student moves that far off, once more with their median quality in place of the worst.

Stages are kept in the run folder, so a second call goes on, or only prints. Every pass in that folder counts, so begin with a new
one. It takes as long as all the students in full, whose seconds it prints, the teacher, and the costs of each architecture.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import arguments, print_conditions, print_table, spread
from fronts import covered, front, standing
from teacher_arm import Ground, distinct, opened, shown, study_of, tried

from limbeck import progress
from limbeck.pipeline.stages import finished_in
from limbeck.recipe.read import from_dict, read
from limbeck.searching.attempt import Common
from limbeck.searching.bench import SEED_OFFSET, Candidate
from limbeck.searching.crew import Failure, trained
from limbeck.searching.trials import FINISHED, Trial
from limbeck.sections.search import Search
from limbeck.training.history import field, kept

EPOCHS = 2  # of each student of the sample, each way


@dataclass(frozen=True)
class Full:
    """A trial at the end of its training.

    Attributes:
        quality: over validation.
        examples: that it learnt from, again and again, and that a live teacher would have answered.
    """

    trial: Trial
    quality: float
    seconds: float
    steps: int
    examples: int


@dataclass(frozen=True)
class Turns:
    """The same epochs of one student from the store and with a live teacher; seconds a step."""

    full: Full
    stored: float
    live: float

    @property
    def ratio(self) -> float:
        return self.live / self.stored

    @property
    def answer(self) -> float:
        """Seconds that a live answer adds for an example, on the machine as it was when the student was trained in full."""
        return (self.ratio - 1) * self.full.seconds / self.full.examples


def in_full(ground: Ground, common: Common, trials: Sequence[Trial]) -> list[Full]:
    """Each trial trained to its end; what a rung stopped goes on from there. One whose loss is no number in the end is left out."""
    found = []
    stopped = [one for one in trials if one.fate != FINISHED]
    for one in trials:
        title = f"trial {one.number} to its end"
        if one in stopped:
            title += f" ({stopped.index(one) + 1} of {len(stopped)})"
        candidate = Candidate(from_dict(one.recipe, f"trial {one.number}"), "student", title)
        begun = ground.bench.begin(candidate)
        assert begun.stage == one.stage
        answer = trained(ground.bench, candidate, None)
        if isinstance(answer, Failure):
            progress.note(f"{title}: left out, for {answer.why}")
            continue
        quality = kept(answer.history, begun.plan, common.figures)[field(common.figures[0])]
        if one in stopped:
            progress.note(f"{title}: {shown(common.figures[0], quality)}, {answer.seconds:.0f} s in all.")
        epochs, pool = len(answer.history), len(ground.bench.job.task.pool)
        found.append(Full(one, quality, answer.seconds, epochs * begun.steps_per_epoch, epochs * pool))
    return found


def in_turns(ground: Ground, full: Full) -> Turns:
    """Two epochs from the store and two with the teacher live, of a student with a seed of its own."""
    stored = from_dict(full.trial.recipe, "stored")
    live = from_dict({**full.trial.recipe, "targets": {"live": True}}, "live")
    seed = stored.seed + SEED_OFFSET + 1
    title = f"trial {full.trial.number} in turns"
    both = [Candidate(stored, "student", f"{title}, stored", seed), Candidate(live, "student", f"{title}, live", seed)]
    reached = [0.0, 0.0]
    for epoch in range(1, EPOCHS + 1):
        for which in (0, 1) if epoch % 2 else (1, 0):
            reached[which] = ground.bench.train(both[which], epoch).history[epoch - 1]["seconds"]
    steps = EPOCHS * ground.bench.begin(both[0]).steps_per_epoch
    found = Turns(full, *(seconds / steps for seconds in reached))
    progress.note(f"{title}: {1000 * found.stored:.1f} ms a step from the store, {1000 * found.live:.1f} ms live.")
    return found


def sampled(fulls: Sequence[Full], count: int) -> list[Full]:
    """So many, spread evenly from the quickest step to the slowest."""
    order = sorted(fulls, key=lambda one: one.seconds / one.steps)
    if count >= len(order):
        return order
    return [order[round(k * (len(order) - 1) / (count - 1))] for k in range(count)]


def print_seconds(ground: Ground, fulls: Sequence[Full], turns: Sequence[Turns]) -> None:
    """What the search took, over what the same students take in full, from the store and with a live teacher."""
    made = [(folder.parent.name, done["facts"]["seconds"]) for folder, done in finished_in(ground.out)]
    passes = [seconds for stage, seconds in made if stage == "targets"]
    here, stored = sum(one.trial.seconds for one in fulls), sum(one.seconds for one in fulls)
    answer = statistics.fmean(one.answer for one in turns)
    measured = {one.full.trial.number: one.ratio for one in turns}
    live = sum(
        one.seconds * measured[one.trial.number]
        if one.trial.number in measured
        else one.seconds + answer * one.examples
        for one in fulls
    )
    once = sum(passes)
    rows = [
        ["the teacher's pass" if len(passes) == 1 else f"{len(passes)} passes of the teacher", f"{once:.1f}"],
        ["students, stopped at rungs", f"{here:.1f}"],
        ["**pass and students: the search**", f"**{once + here:.1f}**"],
        ["the same students in full, from the store", f"{stored:.1f}"],
        ["the same students in full, a live teacher", f"{live:.1f}"],
    ]
    print_table(["", "seconds"], rows)
    print()
    over_live, over_full = (once + here) / live, (once + here) / (once + stored)
    rows = [
        ["over a live teacher, in full", f"**{over_live:.3f}**", "at most 0.10"],
        ["over the store without rungs, the pass on both sides", f"**{over_full:.3f}**", "at most 0.40"],
        ["the same without the pass: students alone", f"{here / stored:.3f}", ""],
        ["the same with the pass on the search's side alone", f"{(once + here) / stored:.3f}", ""],
    ]
    print_table(["the search", "share of the seconds", "asked"], rows)


def print_turns(turns: Sequence[Turns]) -> None:
    """The sample, each student with what a live teacher makes of its step."""
    rows = [
        [
            one.full.trial.number,
            one.full.trial.recipe["student"]["model"],
            f"{one.full.trial.parameters:,}",
            f"{1000 * one.full.seconds / one.full.steps:.2f}",
            f"{1000 * one.stored:.2f}",
            f"{1000 * one.live:.2f}",
            f"{one.ratio:.2f}",
            f"{1e6 * one.answer:.0f}",
        ]
        for one in turns
    ]
    columns = [
        "trial",
        "student",
        "parameters",
        "recorded, ms a step",
        "stored",
        "live",
        "live / stored",
        "µs an answer",
    ]
    print_table(columns, rows)
    print(
        f"\nLive over stored, min - median - max: {spread([one.ratio for one in turns], 2)}; "
        f"µs an answer: {spread([1e6 * one.answer for one in turns], 0)}, mean {1e6 * statistics.fmean(one.answer for one in turns):.0f}."
    )


def print_fates(common: Common, fulls: Sequence[Full]) -> None:
    """What became of the students, and what each rung gave away."""
    first = common.figures[0]
    rows = []
    for fate in sorted({one.trial.fate for one in fulls}):
        ones = [one for one in fulls if one.trial.fate == fate]
        best = max(ones, key=lambda one: first.sign * one.quality)
        rows.append(
            [
                fate,
                len(ones),
                f"{sum(one.trial.seconds for one in ones):.1f}",
                f"{sum(one.seconds for one in ones):.1f}",
                f"{shown(first, best.quality)} (trial {best.trial.number})",
            ]
        )
    print_table(["fate", "students", "seconds in the search", "seconds in full", "best in full"], rows)


def print_front(common: Common, fulls: Sequence[Full]) -> None:
    """The front that was found beside that of all in full."""
    first = common.figures[0]
    points = [standing(one.quality, one.trial.cost, common.costs, first.sign) for one in fulls]
    found = [point for point, one in zip(points, fulls, strict=True) if one.trial.fate == FINISHED]
    middle = statistics.median(point[0] for point in points)
    worst, top = (end(point[0] for point in points) for end in (min, max))
    above = (middle - worst) / (top - worst) if top > worst else 0.0
    rows = []
    for name, quality in (("the worst of all", 0.0), ("the worst, of quality the median", above)):
        part, whole = covered(found, points, quality), covered(points, points, quality)
        share = f"**{100 * part / whole:.2f} %**" if whole else "none has any"
        rows.append([name, f"{whole:.4f}", f"{part:.4f}", share, "at least 99 %" if quality == 0.0 else ""])
    print_table(["reference", "all in full", "found", "share", "asked"], rows)
    there = [fulls[place] for place in front(points)]
    lost = [f"{one.trial.number} ({one.trial.fate})" for one in there if one.trial.fate != FINISHED]
    print(
        f"\nQuality is {first.title} against {' and '.join(common.costs)}. Of the {len(there)} students on the front of all in "
        f"full, the rungs stopped {len(lost)}{': trial ' + ', '.join(lost) if lost else ''}."
    )
    ends = [one.quality for one in fulls if one.trial.fate == FINISHED]
    best = max((first.sign * quality for quality in ends), default=math.nan)
    print(
        f"Best quality found: {shown(first, first.sign * best)}; best of all in full: {shown(first, first.sign * top)} "
        f"(worst {shown(first, first.sign * worst)}, median {shown(first, first.sign * middle)})."
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(recipe=Path("recipes/fashion_mnist.yaml"))
    parser.add_argument("--trials", type=int, default=40, help="students")
    parser.add_argument("--sample", type=int, default=6, help="of them with a live teacher, at least 2")
    asked = parser.parse_args()
    began = time.monotonic()
    fashion = asked.recipe == parser.get_default("recipe")
    recipe = read(asked.recipe, [*(["data.limit=10000"] if fashion else []), *asked.set])
    out = asked.out or Path("runs") / f"search_cost-{recipe.name}"
    settings = (recipe.search or Search()).model_copy(update={"trials": asked.trials})
    with opened(asked, recipe, out) as ground:
        common = study_of(ground, "journal", settings)
        looked_at = tried(common)
        trials = distinct(looked_at)
        fulls = in_full(ground, common, trials)
        turns = [in_turns(ground, one) for one in sampled(fulls, max(2, asked.sample))]
    print_seconds(ground, fulls, turns)
    fates = ", ".join(f"{count} {fate}" for fate, count in Counter(one.fate for one in looked_at).items())
    print(f"\n{len(fulls)} students of {recipe.name} ({len(looked_at)} trials: {fates}); the sample in turns:\n")
    print_turns(turns)
    print()
    print_fates(common, fulls)
    print()
    print_front(common, fulls)
    budget = ", ".join(f"{name} {limit:g}" for name, limit in settings.budget.items()) or "none"
    rungs = ", ".join(f"{share:.3g}" for share in settings.rungs)
    data = len(ground.bench.job.task.pool)
    print(
        f"\nBudget: {budget}; rungs after {rungs} of the epochs; {data:,} examples; teacher {recipe.teacher.title}, "
        f"{recipe.targets.views} views; {out} kept."
    )
    print_conditions(f"{recipe.seed}", began)


if __name__ == "__main__":
    main()
