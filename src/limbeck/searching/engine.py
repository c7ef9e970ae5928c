"""The story of a search: costs first, then rungs; a study of students with a teacher, and one of the same students without.

One process asks and tells (:mod:`limbeck.searching.study`), this one or others train (:mod:`limbeck.searching.crew`). The two studies
take turns, so that whenever a search ends as many students were tried without a teacher as with one. Killed anywhere, the same
command goes on: what is measured is in the ledger, what was decided in the journals, and what was trained in checkpoints and
finished stages.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import progress
from ..deploy.measure import parameters
from ..errors import BadInput, Interrupted
from ..evaluation.kinds import KINDS
from ..files import fingerprint, write_text
from ..pipeline import stages
from ..pipeline.training_stage import Trained
from ..recipe.read import resolved_yaml
from ..sections.recipe import Recipe
from ..sections.search import Search, seconds_of
from .attainable import require_attainable
from .attempt import Common, Work, begin, goes_further, weighed
from .bench import Bench, Given
from .budget import nothing_fits
from .costs import Costs, candidate_of, cost_of, require_counters
from .crew import Alone, Asked, Crew, Processes
from .device import Profile
from .dimensions import Space
from .ledger import Ledger
from .own import first_points
from .plan import check_folder
from .precision import FURTHER, PREFER, format_of, with_precision
from .space import control_space, space_of
from .study import Study
from .to_device import for_device
from .trials import CANNOT_BE, UNTRAINED, Trial


@dataclass(frozen=True)
class Searched:
    """What was tried.

    Attributes:
        recipe: that was searched.
        out: its folder.
        bench: on which they were trained.
        teacher: the recipe's own, trained.
        crew: who trained them.
        trials: with a teacher (``student``), and without (``baseline``).
    """

    recipe: Recipe
    out: Path
    bench: Bench
    teacher: Trained
    crew: Crew
    trials: dict[str, list[Trial]]


@contextmanager
def students_tried(
    recipe: Recipe,
    *,
    out: Path,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
    jobs: int = 1,
    profile: Profile | None = None,
    given: Given | None = None,
) -> Iterator[Searched]:
    """Tries students as the recipe's section of the search says. Those who trained stay for as long as the result is in use.

    ``jobs`` candidates are trained at a time, each in a process of its own with its share of ``threads``; ``profile`` has the
    costs on another machine; ``given`` are models and data of a program, which are trained in this process alone.

    Raises :class:`limbeck.errors.LimbeckError` in sentences: a recipe, a model or a folder that cannot be used, or a budget that no
    student fits.
    """
    recipe = with_precision(recipe) if profile is None else for_device(recipe, profile)
    settings = recipe.search or Search()
    space = space_of(recipe)
    spaces = {"student": space, "baseline": control_space(space, recipe)}
    check_folder(out, recipe)  # before the data is read, which may take a while
    if profile is None:
        require_counters(settings.budget)
    bench = Bench(recipe, out=out, trust_code=trust_code, device=device, threads=threads, given=given)
    for note in bench.job.notes:
        progress.note(note)
    share = max(1, (threads or torch.get_num_threads()) // jobs)
    crew: Crew = Alone(bench) if jobs == 1 else Processes(Asked(recipe, out, trust_code, device, share), jobs)
    with closing(crew):
        teacher, tried = _tried(recipe, settings, spaces, bench, crew, profile, out)
        yield Searched(recipe, out, bench, teacher, crew, tried)


def _tried(
    recipe: Recipe,
    settings: Search,
    spaces: Mapping[str, Space],
    bench: Bench,
    crew: Crew,
    profile: Profile | None,
    out: Path,
) -> tuple[Trained, dict[str, list[Trial]]]:
    with stages.claimed(out), Ledger(out / "search" / "costs.jsonl") as ledger:
        if profile is None and settings.budget and not (out / "search" / "journal.log").exists():
            _require_attainable(recipe, settings, spaces["student"], bench, ledger)
        studies = {arm: _study(recipe, settings, bench, out, one, arm, profile) for arm, one in spaces.items()}
        for arm, study in studies.items():
            if not study.begun:
                study.begin_with(first_points(spaces[arm], recipe, bench.architecture_of, teacher=arm == "student"))
        write_text(out / "search.recipe.yaml", resolved_yaml(recipe))
        try:
            teacher = bench.teacher_of(bench.job)
            spent = sum(study.seconds for study in studies.values()) / crew.places
            left = math.inf if settings.time is None else seconds_of(settings.time) - spent
            deadline = time.monotonic() + left
            _try_all(Common(recipe, settings, bench, crew, ledger, studies, spaces, profile, settings.trials, deadline))
        except KeyboardInterrupt:
            raise Interrupted("stopped; run the same command to go on from there.") from None
        tried = {arm: study.trials for arm, study in studies.items()}
    if tried["student"] and all(trial.fate == CANNOT_BE for trial in tried["student"]):
        raise BadInput(f"no student of the space can be trained; of the first: {tried['student'][0].why}")
    if settings.budget and all(trial.fate in UNTRAINED for trial in tried["student"]):
        measured = {(one.architecture, one.format): (_named(one), one.cost) for one in tried["student"] if one.cost}
        raise BadInput(nothing_fits(settings.budget, [*measured.values()]))
    return teacher, tried


def _require_attainable(recipe: Recipe, settings: Search, space: Space, bench: Bench, ledger: Ledger) -> None:
    wanted = {*weighed(settings), "parameters"}

    def cost(one: Recipe) -> Costs:
        job = bench.job_of(one)
        return cost_of(job, candidate_of(job), ledger, wanted, settings.budget, format=format_of(one))

    require_attainable(recipe, space, settings.budget, lambda one: parameters(candidate_of(bench.job_of(one))), cost)


def _study(
    recipe: Recipe, settings: Search, bench: Bench, out: Path, space: Space, arm: str, profile: Profile | None
) -> Study:
    better = KINDS[bench.job.splits.answers.kind].FIGURES[0].better
    # how many are tried, and what is done with them afterwards, may change from one command to the next
    about: dict[str, Any] = {
        **recipe.model_dump(mode="json", exclude={"name", "seeds"}),
        "search": settings.model_dump(mode="json", include={"budget", "rungs", "sampler"}) | {"space": _said(settings)},
        "varies": [repr(one) for one in space.dimensions],  # which another version may see otherwise
        "data": bench.job.splits.fingerprint,
        "profile": None if profile is None else profile.figures,
    }
    if bench.given is not None:  # which no name tells from another
        about["models"] = bench.job.code
    return Study(
        out / "search" / ("journal.log" if arm == "student" else "control.log"),
        arm=arm,
        about=fingerprint(about),
        directions=["maximize" if better == "more" else "minimize", *["minimize" for _ in weighed(settings)]],
        constraints=tuple(sorted(settings.budget)),
        sampler=settings.sampler,
        seed=recipe.seed,
    )


def _said(settings: Search) -> dict[str, Any]:
    """What was said of the space; of precision not that it is the recipe's own, as it was when there was nothing to say of it."""
    space = settings.model_dump(mode="json")["space"]
    return {path: said for path, said in space.items() if said is not None or path not in (PREFER, FURTHER)}


def _try_all(common: Common) -> None:
    at_work: dict[int, Work] = {}
    waiting: Work | None = None  # for another trial of the same values, at work already: one stage has one trainer
    while True:
        for place in range(common.crew.places):
            if place in at_work:
                continue
            while waiting is None and (study := _whose_turn(common)) is not None:
                waiting = begin(common, study)
            if waiting is not None and not _is_trained(waiting, at_work):
                at_work[place], waiting = waiting, None
                _train(common, place, at_work[place])
        if not at_work:
            return
        place, answer = common.crew.next()
        work = at_work.pop(place)
        if goes_further(common, work, answer):
            at_work[place] = work
            _train(common, place, work)


def _train(common: Common, place: int, work: Work) -> None:
    common.crew.begin(place, work.candidate, work.until)


def _is_trained(waiting: Work, at_work: Mapping[int, Work]) -> bool:
    return any(work.begun.stage == waiting.begun.stage for work in at_work.values())


def _whose_turn(common: Common) -> Study | None:
    """The study that has tried less, where more is to be tried; with a teacher first."""
    if time.monotonic() >= common.deadline:
        return None
    studies = common.studies.values()
    left = [study for study in studies if study.tried < common.trials and study.begun < common.proposals]
    return min(left, key=lambda study: study.tried, default=None)


def _named(trial: Trial) -> str:
    said = [f"{path} {value}" for path, value in trial.values.items() if path.startswith(("student.", PREFER))]
    return ", ".join(said) or f"trial {trial.number}"
