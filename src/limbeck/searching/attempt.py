"""One trial, from what is asked to its fate: made a recipe, measured, trained from rung to rung."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import Interrupted, LimbeckError
from ..evaluation.figure import Figure
from ..evaluation.kinds import KINDS
from ..sections.recipe import Recipe
from ..sections.search import Search
from ..training.history import ended, field, kept
from . import trials as fates
from .bench import Begun, Bench, Candidate, Reached
from .budget import cost_text, violations
from .candidates import recipe_with
from .costs import Costs, candidate_of, cost_of
from .crew import Crew, Failure
from .device import Profile
from .dimensions import Space, asked
from .front import axes, front_of
from .ledger import Ledger
from .precision import format_of, formats_in
from .rungs import Standing, as_good, goes_on, rung_epochs
from .study import Asked, Study
from .told import say

# So many proposals are looked at for each student that is to be tried.
PROPOSALS = 4


@dataclass(frozen=True)
class Common:
    """All that the trials of a search share.

    Attributes:
        studies: by arm, with their ``spaces``.
        profile: figures from another machine, where costs are not measured here.
        trials: how many are to be tried of each arm.
        deadline: by the monotonic clock, after which none is begun.
    """

    recipe: Recipe
    settings: Search
    bench: Bench
    crew: Crew
    ledger: Ledger
    studies: Mapping[str, Study]
    spaces: Mapping[str, Space]
    profile: Profile | None
    trials: int
    deadline: float

    @property
    def figures(self) -> tuple[Figure, Figure]:
        """What students are chosen by, and their loss."""
        first, loss, *_ = KINDS[self.bench.job.splits.answers.kind].FIGURES
        return first, loss

    @property
    def costs(self) -> tuple[str, ...]:
        """What quality is weighed against."""
        return weighed(self.settings)

    @property
    def formats(self) -> tuple[str, ...]:
        """In which candidates are deployed."""
        return formats_in(self.recipe)

    @property
    def seconds_left(self) -> float:
        """Until all trials are done, by those that are."""
        tried = sum(study.tried for study in self.studies.values())
        begun = sum(study.begun for study in self.studies.values())
        all_tried, all_begun = (len(self.studies) * most for most in (self.trials, self.proposals))
        shares = (all_tried - tried) / max(1, tried), (all_begun - begun) / max(1, begun)
        left = min(shares) * sum(study.seconds for study in self.studies.values()) / self.crew.places
        return max(0.0, min(left, self.deadline - time.monotonic()))

    @property
    def proposals(self) -> int:
        """How many are looked at of each arm: a tight budget leaves most out before they are tried."""
        return PROPOSALS * self.trials


@dataclass
class Work:
    """A trial that is trained."""

    study: Study
    question: Asked
    candidate: Candidate
    begun: Begun
    over: dict[str, float]  # by how much each limit of the budget is exceeded; none is
    facts: dict[str, Any]
    targets: tuple[int, ...]  # epochs: those of the rungs, then the last
    rung: int = 1  # on the way to

    @property
    def until(self) -> int:
        """The epoch to whose end it is trained next."""
        return self.targets[self.rung - 1]


def weighed(settings: Search) -> tuple[str, ...]:
    """The costs that quality is weighed against: those of the budget, or the usual one."""
    return tuple(sorted(axes(settings.budget)))


def begin(common: Common, study: Study) -> Work | None:
    """Asks what to try next and what it costs; None where its fate was sealed by that."""
    question = study.ask(partial(asked, common.spaces[study.arm]))
    facts: dict[str, Any] = {}
    try:
        recipe = recipe_with(common.recipe, question.values, teacher=study.arm == "student")
        facts |= {"recipe": recipe.model_dump(mode="json"), "format": format_of(recipe)}
        costs = _cost(common, recipe)
        facts |= {"cost": costs.cost, "architecture": costs.architecture}
        facts |= {"parameters": int(costs.cost["parameters"])} if "parameters" in costs.cost else {}
        if costs.problem is not None:
            _end(common, study, question, facts, fates.CANNOT_BE, costs.problem)
            return None
        budget = common.settings.budget
        over = violations(costs.cost, budget)
        if beyond := [name for name in over if over[name] > 0]:
            why = "; ".join(f"{cost_text(name, costs.cost[name])}, and {budget[name]:g} are allowed" for name in beyond)
            _end(common, study, question, facts, fates.OVER_BUDGET, f"{why}.{_scattered(costs)}", over)
            return None
        arm = "smoothed" if study.arm == "baseline" and recipe.smoothed else study.arm
        what = "with" if study.arm == "student" else "without"
        candidate = Candidate(recipe, arm, f"trial {study.begun} {what} a teacher")
        begun = common.bench.begin(candidate)
    except LimbeckError as error:
        # what is wrong with the machine, or was asked by a person, is no fault of the candidate
        if isinstance(error, Interrupted) or isinstance(error.__cause__, OSError):
            raise
        _end(common, study, question, facts, fates.CANNOT_BE, str(error))
        return None
    plan = begun.plan
    facts |= {"stage": begun.stage, "rungs": {}, "total_steps": plan.epochs * begun.steps_per_epoch}
    facts["why"] = _scattered(costs)
    return Work(
        study, question, candidate, begun, over, facts, (*rung_epochs(common.settings.rungs, plan.epochs), plan.epochs)
    )


def goes_further(common: Common, work: Work, answer: Reached | Failure) -> bool:
    """Whether a trial that came to a rung, or to its end, is trained further; if not, its fate is told."""
    if isinstance(answer, Failure):
        _end_work(common, work, fates.FAILED, answer.why)
        return False
    first, loss = common.figures
    plan = work.begun.plan
    # one that was further when its process was killed is looked at as it was at the rung
    history = answer.history[: work.until]
    record = kept(history, plan, common.figures)
    quality = record[field(first)]
    work.facts |= {"seconds": history[-1]["seconds"], "steps": len(history) * work.begun.steps_per_epoch}
    if math.isnan(quality):
        why = f"at the end of epoch {len(history)} its {first.title} is no number: its answers are not finite."
        _end_work(common, work, fates.FAILED, why)
        return False
    if ended(history, plan, common.figures):
        work.facts |= {"quality": quality, "loss": record[field(loss)]}
        if (file := answer.deployed) is not None:
            further = file.further * work.begun.steps_per_epoch
            work.facts |= {"quality": file.quality, "loss": file.loss, "float32": quality, "further": file.further}
            work.facts |= {name: work.facts[name] + further for name in ("steps", "total_steps")}
            work.facts["seconds"] += file.seconds
            work.facts["why"] += file.why
        if math.isnan(work.facts["quality"]):
            _end_work(common, work, fates.FAILED, f"as deployed its {first.title} is no number.")
            return False
        early = f"; its patience was out before {plan.epochs}" if len(history) < plan.epochs else ""
        _end_work(common, work, fates.FINISHED, f"trained for {len(history)} epochs{early}.")
        return False
    work.facts["rungs"][work.rung] = quality
    mine = _standing(common, quality, work.facts["cost"])
    # looked at before it is rounded: by who is to be rounded alike
    alike = [trial for trial in work.study.trials if trial.format == work.facts["format"]]
    reached = [trial for trial in alike if work.rung in trial.rungs]
    others = [_standing(common, trial.rungs[work.rung], trial.cost) for trial in reached]
    if goes_on(mine, others):
        work.rung += 1
        return True
    alike_too = "" if len(common.formats) == 1 else f"in {work.facts['format']} "
    why = (
        f"at the end of epoch {len(history)} of {plan.epochs}, {as_good(mine, others)} of the {len(others)} trials {alike_too}that came so far "
        f"were at least as good in {first.title} and in cost."
    )
    _end_work(common, work, fates.stopped_at(work.rung), why)
    return False


def _cost(common: Common, recipe: Recipe) -> Costs:
    job = common.bench.job_of(recipe)
    model = candidate_of(job)
    wanted, budget = {*common.costs, "parameters"}, common.settings.budget
    return cost_of(job, model, common.ledger, wanted, budget, common.profile, common.crew.paused, format_of(recipe))


def _scattered(costs: Costs) -> str:
    return " Its latency scattered round the limit to the last, and was held to it by its median." * costs.undecided


def _standing(common: Common, quality: float, cost: Mapping[str, float]) -> Standing:
    return Standing(common.figures[0].sign * quality, tuple(cost[name] for name in common.costs))


def _end_work(common: Common, work: Work, fate: str, why: str) -> None:
    _end(common, work.study, work.question, work.facts, fate, why + work.facts["why"], work.over)


def _end(
    common: Common,
    study: Study,
    question: Asked,
    facts: Mapping[str, Any],
    fate: str,
    why: str,
    over: Mapping[str, float] | None = None,
) -> None:
    """Tells what became of a trial, and says it to whoever watches."""
    objectives = None
    if fate == fates.FINISHED:
        objectives = [facts["quality"], *(facts["cost"][name] for name in common.costs)]
    told = {**facts, "fate": fate, "why": why}
    trial = study.tell(question, told, objectives=objectives, violations=over)
    figure = common.figures[0]
    front = front_of(study.trials, common.settings.budget, figure.sign)
    say(trial, front, figure, common.costs, f"{study.tried} of {common.trials}", common.seconds_left)
