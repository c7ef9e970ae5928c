"""How the drivers of a run drive, as its page tells it: closed loop, all on the same seeds, beside drivers that do not look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from torch import nn

from ...evaluation.wording import counted, listed
from ...interfaces.in_use import InUse, Row, Table
from ...models.inference import ask
from ...progress import Bar
from .actions import ACTIONS
from .episodes import SIMPLE, Episode, Plans
from .examples import Splits
from .headway import MOST, SHORT, Headway, headway_of
from .judge import BAD, FIGURES, beside, judged, regrets
from .measured import driver_for, judged_drive
from .recipe import ControlRecipe
from .scenes import scenes
from .simulator import World
from .task import Control
from .teacher_sections import PlannerTeacher

PLANNER = "planner"
TITLES = {
    "teacher": PLANNER,
    "student": "student",
    "baseline": "no teacher",
    "smoothed": "smoothed labels",
}
ALONE = "the same network without a teacher's values"
MISLEADS = (
    "Figures on states alone mislead. In many states the planner's two best actions are worth nearly the same, and whichever of them it "
    "names counts as the right one: even its own values, asked once more, break such ties otherwise. Who takes the other drives as well. "
    "And the states are those that somebody else drove to."
)
BANDS = (SHORT, 3.0, 6.0)  # seconds to a collision between which states are told apart
_SHOWN = ("collisions", "reward", "speed", "short_headway", "lane_changes")
_HEADINGS = {
    "collisions": ("Collisions", "of episodes"),
    "reward": ("Reward", "of an episode"),
    "speed": ("Speed", "m/s"),
    "short_headway": (f"Under {SHORT:g} s", "to a collision, of decisions"),
    "lane_changes": ("Lane changes", "of an episode"),
}


@dataclass(frozen=True)
class Who:
    """A driver: ``role`` of the run or None, and its episodes, of each of its trainings."""

    role: str | None
    title: str
    drives: Sequence[Sequence[Episode]]


def in_use(models: Mapping[str, Sequence[nn.Module]], task: Control, splits: Splits, progress: Bar | None) -> InUse:
    """All models of the run, by role, and those that do not look, on the judge's seeds."""
    recipe = task.recipe
    world = World(recipe.data.name, recipe.data.settings)
    headway, period = headway_of(world), recipe.judge.period_ms / 1e3
    titles = {**TITLES}
    everyone = list[Who]()
    if not isinstance(recipe.teacher, PlannerTeacher):  # whom all are set beside, whoever teaches
        titles["teacher"] = f"teacher, {recipe.teacher.title}"
        everyone.append(Who(None, PLANNER, [judged_drive(Plans(), recipe, progress, f"{PLANNER} drives")]))
    for role, ones in models.items():
        title = titles[role]
        drives = [judged_drive(driver_for(one), recipe, progress, f"{title} drives") for one in ones]
        everyone.append(Who(role, title, drives))
    everyone += [
        Who(None, name, [judged_drive(driver, recipe, progress, f"{name} drives")]) for name, driver in SIMPLE.items()
    ]
    by_role = {one.role: one for one in everyone if one.role is not None}
    planner, student = next(one for one in everyone if one.title == PLANNER), by_role["student"]
    figures = {one.title: _figures(one, planner, headway, period) for one in everyone}
    gain = beside(student.drives, by_role["baseline"].drives, period, headway) if "baseline" in by_role else None
    if gain is not None:
        figures[student.title]["beside_baseline"] = _ends(gain)
    lies = _regret(models, splits, headway)
    return InUse(
        headline=_headline(figures, recipe),
        findings=tuple(_findings(figures, gain, student)),
        tiles=tuple(_tiles(figures, recipe)),
        tables=(
            _driving(everyone, figures, recipe, headway),
            _actions(everyone),
            *((lies,) if lies is not None else ()),
        ),
        misleads=MISLEADS,
        figures={
            "episodes": recipe.judge.episodes,
            "period_ms": recipe.judge.period_ms,
            "units": {
                name: {"title": one.title, "unit": one.unit, "better": one.better} for name, one in FIGURES.items()
            },
            "drivers": figures,
        },
        drawings=tuple(scenes(world, planner.drives[0], student.drives[0])),
    )


def _figures(who: Who, planner: Who, headway: Headway | None, period: float) -> dict[str, Any]:
    """Means over trainings and episodes, with the deviation of the trainings' means where there are several, and how much more than the planner."""
    each = [judged(one, period, headway) for one in who.drives]
    found: dict[str, Any] = {"role": who.role, "trainings": len(each), "figures": {}}
    for name in FIGURES:
        if name in each[0]:
            means = [one[name]["mean"] for one in each]
            spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
            found["figures"][name] = {"mean": float(np.mean(means)), "sd": spread, "se": each[0][name]["se"]}
    found["decision_ms"] = {
        which: float(np.mean([one["decision_ms"][which] for one in each])) for which in ("median", "p99")
    }
    found["actions"] = dict(zip(ACTIONS, _shares(who).tolist(), strict=True))
    if who is not planner:
        found["beside_planner"] = _ends(beside(who.drives, planner.drives, period, headway))
    return found


def _ends(more: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    return {name: {end: float(one[end]) for end in ("difference", "low", "high")} for name, one in more.items()}


def _shares(who: Who) -> np.ndarray:
    taken_T = np.concatenate([episode.actions_T for one in who.drives for episode in one])
    return np.bincount(taken_T, minlength=len(ACTIONS)) / len(taken_T)


def _mean(figures: Mapping[str, Any], who: str, name: str) -> float:
    return figures[who]["figures"][name]["mean"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _ms(value: float) -> str:
    return f"{value:.3g} ms"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _interval(one: Mapping[str, float], scale: float, digits: int) -> str:
    difference, low, high = (_signed(scale * one[end], digits) for end in ("difference", "low", "high"))
    return f"{difference} ({low} to {high})"


def _headline(figures: Mapping[str, Any], recipe: ControlRecipe) -> str:
    planner, student, other = (TITLES[role] for role in ("teacher", "student", "baseline"))
    ours, theirs = (_mean(figures, who, "collisions") for who in (student, planner))
    against = [f"the planner in {_percent(theirs)}"]
    if other in figures:
        against.append(f"{ALONE} in {_percent(_mean(figures, other, 'collisions'))}")
    said = f"The student ends {_percent(ours)} of {counted(recipe.judge.episodes, 'episode')} in a collision, {listed(against)}."
    reward = _mean(figures, planner, "reward")
    kept = (
        f"It has {100 * _mean(figures, student, 'reward') / reward:.1f} % of the planner's reward" if reward > 0 else ""
    )
    fast, slow = (figures[who]["decision_ms"]["median"] for who in (student, planner))
    speed = (
        f"decides {slow / fast:,.0f} times as fast"
        if fast < slow
        else f"takes {fast / slow:.1f} times as long to decide"
    )
    return f"{said} {f'{kept} and' if kept else 'It'} {speed}."


def _findings(figures: Mapping[str, Any], gain: Mapping[str, Any] | None, student: Who) -> Any:
    more = figures[student.title]["beside_planner"]
    yield _found("Planner", "the planner", more)
    if gain is not None:
        yield _found("No teacher", ALONE, _ends(gain))
    simple = [
        f"{name} ends {_percent(_mean(figures, name, 'collisions'))} in a collision, at a reward of {_mean(figures, name, 'reward'):.1f}"
        for name in SIMPLE
    ]
    yield ("level", "Not looking", f"Drivers that do not look, on the same seeds: {listed(simple)}.")
    if len(student.drives) == 1:
        yield (
            "doubt",
            "One training",
            "One training of each network: intervals are over episodes alone, and trainings differ.",
        )


def _found(about: str, whom: str, more: Mapping[str, Mapping[str, float]]) -> tuple[str, str, str]:
    """What stands out of the episodes' noise, in collisions and in reward, beside another driver on the same seeds."""
    signs = []
    for name, better in (("collisions", -1), ("reward", 1)):
        low, high = more[name]["low"], more[name]["high"]
        signs.append(better if low > 0 else -better if high < 0 else 0)
    kind = "worse" if -1 in signs else "better" if 1 in signs else "level"
    noise = "stands out from" if any(signs) else "does not stand out from"
    return (
        kind,
        about,
        f"Beside {whom}, paired by seed: collisions {_interval(more['collisions'], 100, 0)} points, reward "
        f"{_interval(more['reward'], 1, 2)}; that {noise} the noise of episodes (95 % intervals).",
    )


def _tiles(figures: Mapping[str, Any], recipe: ControlRecipe) -> Any:
    planner, student, other = (TITLES[role] for role in ("teacher", "student", "baseline"))
    several = [("planner", planner), *([("no teacher", other)] if other in figures else [])]

    def beside_it(name: str, show: Any) -> str:
        return ", ".join(f"{short} {show(_mean(figures, who, name))}" for short, who in several)

    yield (
        _percent(_mean(figures, student, "collisions")),
        "of episodes end in a collision",
        beside_it("collisions", _percent),
    )
    yield (
        f"{_mean(figures, student, 'reward'):.1f}",
        "reward of an episode",
        beside_it("reward", lambda v: f"{v:.1f}"),
    )
    yield (f"{_mean(figures, student, 'speed'):.1f} m/s", "mean speed", beside_it("speed", lambda v: f"{v:.1f}"))
    late = _mean(figures, student, "missed_deadlines")
    missed = f"{_percent(late)} missed" if late else "none missed"
    yield (
        _ms(figures[student]["decision_ms"]["p99"]),
        "slowest hundredth of decisions",
        f"planner {_ms(figures[planner]['decision_ms']['p99'])}; deadline {recipe.judge.period_ms:g} ms: {missed}",
    )


def _driving(
    everyone: Sequence[Who], figures: Mapping[str, Any], recipe: ControlRecipe, headway: Headway | None
) -> Table:
    shown = [name for name in _SHOWN if headway is not None or "headway" not in name]

    def cell(who: Who, name: str) -> tuple[str, str]:
        found = figures[who.title]["figures"][name]
        share = FIGURES[name].unit == "%"
        text = _percent(found["mean"]) if share else f"{found['mean']:.1f}"
        return (text, "" if found["sd"] is None else f"± {100 * found['sd'] if share else found['sd']:.1f}")

    def beside_planner(who: Who, name: str, scale: float, digits: int) -> tuple[str, str]:
        more = figures[who.title].get("beside_planner")
        if more is None:
            return ("–", "")
        difference, interval = _interval(more[name], scale, digits).split(" ", 1)
        return (difference, interval)

    rows = [
        Row(
            who.role,
            who.title,
            [
                *(cell(who, name) for name in shown),
                (
                    _ms(figures[who.title]["decision_ms"]["median"]),
                    f"p99 {_ms(figures[who.title]['decision_ms']['p99'])}",
                ),
                beside_planner(who, "collisions", 100, 0),
                beside_planner(who, "reward", 1, 1),
            ],
        )
        for who in everyone
    ]
    columns = [
        *(_HEADINGS[name] for name in shown),
        ("Decision", "median, one thread"),
        ("More collisions", "points, than the planner"),
        ("More reward", "than the planner"),
    ]
    lead = (
        f"Closed loop, {counted(recipe.judge.episodes, 'episode')} each on the same seeds, on which no state was collected and by which nothing "
        "was chosen. In brackets 95 % intervals, paired by seed; ± is one standard deviation over trainings. Look at speed and reward beside "
        "collisions: who is always slower never arrives."
    )
    return Table("How they drive", lead, columns, rows)


def _actions(everyone: Sequence[Who]) -> Table:
    rows = [Row(who.role, who.title, [(_percent(share), "") for share in _shares(who)]) for who in everyone[:-2]]
    return Table(
        "What they decide", "Shares of their decisions in those episodes.", [(one, "") for one in ACTIONS], rows
    )


def _regret(models: Mapping[str, Sequence[nn.Module]], splits: Splits, headway: Headway | None) -> Table | None:
    """Where decisions cost most, in validation states: those that the planner drove to, and those that a student did."""
    if headway is None:
        return None
    held = splits.validation
    states_NF, values_NA = held.states_NF.cpu().numpy(), held.values_NA.cpu().numpy()
    arms = {role: models[role][0] for role in ("student", "baseline") if role in models}
    cost = {
        role: regrets(values_NA, ask(one, held.states_NF.cpu()).argmax(1).cpu().numpy()) for role, one in arms.items()
    }
    seconds_N = headway.seconds(states_NF)
    ends = (0.0, *BANDS, np.inf)
    rows = []
    for low, high in pairwise(ends):
        here_N = (seconds_N >= low) & (seconds_N < high)
        if here_N.any():
            title = (
                f"under {high:g} s"
                if low == 0
                else f"{low:g} to {high:g} s"
                if high < MOST
                else f"{low:g} s and more, or nobody ahead"
            )
            cells = [(f"{here_N.sum():,}", "")]
            for regret_N in cost.values():
                whole = regret_N.sum()
                part = f"{_percent(regret_N[here_N].sum() / whole)} of all" if whole > 0 else ""
                cells += [(f"{regret_N[here_N].mean():.2f}", part), (_percent((regret_N[here_N] > BAD).mean()), "")]
            rows.append(Row(None, title, cells))
    lead = (
        "By the time to a collision with the car ahead, in validation states. Regret is what the planner says its best action is worth more "
        f"than the one that was taken, in rewards of a second; a bad decision costs more than {BAD:g}. It says nothing of "
        "the states that a network would drive itself to."
    )
    columns = [
        ("States", ""),
        *(
            column
            for role in cost
            for column in (
                (f"Regret, {'student' if role == 'student' else 'no teacher'}", "mean"),
                ("Bad", "of decisions"),
            )
        ),
    ]
    return Table("Where the regret lies", lead, columns, rows)
