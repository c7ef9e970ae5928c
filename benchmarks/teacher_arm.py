"""The students with a teacher that `limbeck search` tries, for benchmarks that ask about these alone: no controls, no finalists.

One process trains, one student at a time; what is asked, measured, trained and stopped is what a search does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from limbeck.evaluation.figure import Figure
from limbeck.evaluation.kinds import KINDS
from limbeck.files import fingerprint
from limbeck.pipeline import stages
from limbeck.searching.attempt import PROPOSALS, Common, begin, goes_further, weighed
from limbeck.searching.bench import Bench
from limbeck.searching.crew import Alone
from limbeck.searching.ledger import Ledger
from limbeck.searching.own import first_points
from limbeck.searching.space import space_of
from limbeck.searching.study import Study
from limbeck.searching.trials import Trial
from limbeck.sections.recipe import Recipe
from limbeck.sections.search import Search


@dataclass(frozen=True)
class Ground:
    """A folder with a trained teacher and measured costs, in which one study or several are held."""

    recipe: Recipe
    out: Path
    bench: Bench
    ledger: Ledger


@contextmanager
def opened(asked: argparse.Namespace, recipe: Recipe, out: Path) -> Iterator[Ground]:
    """The folder of a recipe, its teacher trained; nobody else is at work in it."""
    bench = Bench(recipe, out=out, trust_code=asked.trust_code, device=asked.device, threads=asked.threads)
    with stages.claimed(out), Ledger(out / "search" / "costs.jsonl") as ledger:
        bench.teacher_of(bench.job)
        yield Ground(recipe, out, bench, ledger)


def study_of(ground: Ground, name: str, settings: Search) -> Common:
    """A study of so many ``settings.trials``, in a journal of its own; it is taken up where it was left."""
    recipe, bench = ground.recipe.model_copy(update={"search": settings}), ground.bench
    space = space_of(recipe)
    first = KINDS[bench.job.splits.answers.kind].FIGURES[0]
    about = {
        **recipe.model_dump(mode="json", exclude={"name", "seeds"}),
        "search": settings.model_dump(mode="json", include={"space", "budget", "rungs", "sampler"}),
        "data": bench.job.splits.fingerprint,
    }
    study = Study(
        ground.out / "search" / f"{name}.log",
        arm="student",
        about=fingerprint(about),
        directions=["maximize" if first.sign > 0 else "minimize", *["minimize" for _ in weighed(settings)]],
        constraints=tuple(sorted(settings.budget)),
        sampler=settings.sampler,
        seed=recipe.seed,
    )
    if not study.begun:
        study.begin_with(first_points(space, recipe, bench.architecture_of))
    deadline = float("inf")
    studies, spaces = {study.arm: study}, {study.arm: space}
    return Common(
        recipe, settings, bench, Alone(bench), ground.ledger, studies, spaces, None, settings.trials, deadline
    )


def tried(common: Common, seconds_left: Callable[[Sequence[Trial]], float] = lambda _: float("inf")) -> list[Trial]:
    """Tries students until there are enough, or no seconds are left after those that were tried."""
    study = common.studies["student"]
    while study.tried < common.trials and study.begun < PROPOSALS * common.trials:
        left = seconds_left(study.trials)
        if left <= 0:
            break
        now = replace(common, deadline=time.monotonic() + left)
        work = begin(now, study)
        while work is not None:
            now.crew.begin(0, work.candidate, work.until)
            _, answer = now.crew.next()
            if not goes_further(now, work, answer):
                break
    return study.trials


def distinct(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that were trained, one for each training: of those that share it the one that went furthest."""
    found: dict[str, Trial] = {}
    for one in trials:
        if one.stage is not None and one.steps and (one.stage not in found or one.steps > found[one.stage].steps):
            found[one.stage] = one
    return list(found.values())


def shown(figure: Figure, value: float) -> str:
    """A figure with its unit: ``97.31 %``."""
    return f"{figure.number(value)} {figure.unit}".rstrip()
