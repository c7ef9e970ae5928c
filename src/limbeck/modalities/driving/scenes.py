"""Episodes as pictures that move: the planner above, the student below, from the same seed, with what each decides.

SVG alone, without a script: positions are a list of values of an animation, so that a page stays whole by itself. Shapes: T moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ...interfaces.in_use import Drawing
from ...report.svg import tag, text
from .actions import ACTIONS
from .episodes import Episode
from .simulator import World

WIDTH, LANE = 720.0, 18.0
BEHIND, AHEAD = 30.0, 90.0  # metres that are seen
PER_METRE = WIDTH / (BEHIND + AHEAD)
EACH, REST = 0.5, 2.0  # seconds of a decision, and of the end before it begins again
SIGNS = dict(zip(ACTIONS, ("↑", "·", "↓", "+", "−"), strict=True))
CELL = 20.0
HEAD, STRIP, APART = 20.0, 26.0, 14.0


@dataclass(frozen=True)
class Replayed:
    """Where all were at each decision, and at the end: ``own`` (T + 1) and ``others`` (of each car as many) of (x, y) in metres; ``lanes``: how many."""

    own: list[tuple[float, float]]
    others: list[list[tuple[float, float]]]
    lanes: int
    lane: float


def scenes(world: World, planner: Sequence[Episode], student: Sequence[Episode]) -> Iterator[Drawing]:
    """Two seeds at most: one in which the student crashes and the planner does not, and one in which neither does; else the first."""
    pairs = list(zip(planner, student, strict=True))
    falls = [pair for pair in pairs if pair[1].crashed and not pair[0].crashed]
    stays = [pair for pair in pairs if not pair[1].crashed and not pair[0].crashed]
    found = [("The student crashes", falls[:1]), ("Both arrive", stays[:1])]
    chosen = [(title, one[0]) for title, one in found if one] or [("The first episode", pairs[0])]
    for title, (first, second) in chosen:
        apart = parting(first, second)
        when = (
            "They decide alike to the end."
            if apart is None
            else f"They first decide otherwise in decision {apart + 1}, where the line is."
        )
        how = [
            f"the {name} {'crashes in decision ' + str(len(one.actions_T)) if one.crashed else 'drives to the end'}"
            for name, one in (("planner", first), ("student", second))
        ]
        caption = f"{when} {how[0][:1].upper()}{how[0][1:]}, {how[1]}. A decision takes half a second here: {', '.join(f'{SIGNS[one]} {one}' for one in ACTIONS)}."
        yield Drawing(
            f"{title}: seed {first.seed}",
            caption,
            str(_drawn(world, [("planner", "teacher", first), ("student", "student", second)], apart)),
        )


def parting(first: Episode, second: Episode) -> int | None:
    """The first decision in which two episodes differ; None where there is none."""
    return next(
        (step for step, (a, b) in enumerate(zip(first.actions_T, second.actions_T, strict=False)) if a != b), None
    )


def replayed(world: World, episode: Episode) -> Replayed:
    """An episode driven once more, which needs its seed and its decisions alone."""
    env: Any = world.environment()
    env.reset(seed=episode.seed)
    cars = [one for one in env.road.vehicles if one is not env.vehicle]
    lanes = env.road.network.all_side_lanes(env.vehicle.lane_index)
    own, others = [], [[] for _ in cars]
    for action in (*episode.actions_T.tolist(), None):
        own.append(tuple(env.vehicle.position.tolist()))
        for kept, one in zip(others, cars, strict=True):
            kept.append(tuple(one.position.tolist()))
        if action is not None:
            env.step(action)
    return Replayed(own, others, len(lanes), float(env.road.network.get_lane(lanes[0]).width))


def _drawn(world: World, drivers: Sequence[tuple[str, str, Episode]], apart: int | None) -> Markup:
    longest = max(len(one.actions_T) for _, _, one in drivers)
    parts, top = [], 0.0
    for name, role, episode in drivers:
        replay = replayed(world, episode)
        parts.append(_panel(name, role, episode, replay, longest, top))
        road = replay.lanes * LANE
        if apart is not None:
            x = apart * CELL
            parts.append(
                tag("line", class_="parting", x1=x, x2=x, y1=top + HEAD + road + 3, y2=top + HEAD + road + STRIP)
            )
        top += HEAD + road + STRIP + APART
    width = max(WIDTH, longest * CELL)
    label = f"{' and '.join(name for name, *_ in drivers)} drive from the same seed"
    return tag("svg", *parts, class_="chart scene", viewBox=f"0 0 {width:g} {top:g}", role="img", aria_label=label)


def _panel(name: str, role: str, episode: Episode, replay: Replayed, longest: int, top: float) -> Markup:
    count, road = len(episode.actions_T), replay.lanes * LANE
    seconds = longest * EACH + REST
    times = ";".join(_short(min(step * EACH / seconds, 1.0)) for step in range(count + 1)) + ";1"

    def moves(values: Sequence[str]) -> Markup:
        return tag(
            "animateTransform",
            attributeName="transform",
            type="translate",
            values=";".join((*values, values[-1])),
            keyTimes=times,
            dur=f"{seconds:g}s",
            repeatCount="indefinite",
        )

    def across(y: float) -> float:
        return top + HEAD + (y / replay.lane + 0.5) * LANE

    ends = f", crash in decision {count}" if episode.crashed else ", to the end"
    lines = [
        tag("line", class_="grid", x1=0, x2=WIDTH, y1=top + HEAD + k * LANE, y2=top + HEAD + k * LANE)
        for k in range(replay.lanes + 1)
    ]
    cars = []
    for places in replay.others:
        away = [x - own_x for (x, _), (own_x, _) in zip(places, replay.own, strict=True)]
        if not any(-BEHIND - 10 < one < AHEAD + 10 for one in away):
            continue
        values = [
            f"{_short((min(max(one, -200), 300) + BEHIND) * PER_METRE)},{_short(across(y))}"
            for one, (_, y) in zip(away, places, strict=True)
        ]
        cars.append(tag("g", _car("other"), moves(values), transform=f"translate({values[0]})"))
    values = [f"{_short(BEHIND * PER_METRE)},{_short(across(y))}" for _, y in replay.own]
    own = tag("g", _car("own"), moves(values), transform=f"translate({values[0]})")
    if episode.crashed:
        at = tag(
            "animate",
            attributeName="opacity",
            values="0;1;1",
            keyTimes=f"0;{_short(count * EACH / seconds)};1",
            calcMode="discrete",
            dur=f"{seconds:g}s",
            repeatCount="indefinite",
        )
        x, y = values[-1].split(",")
        cars.append(tag("circle", at, class_="crash", cx=x, cy=y, r=16, opacity=0))
    strip = top + HEAD + road + 16
    cells = [
        text((step + 0.5) * CELL, strip, SIGNS[ACTIONS[action]], "middle", class_="sign")
        for step, action in enumerate(episode.actions_T.tolist())
    ]
    if episode.crashed:
        cells.append(text((count + 0.5) * CELL, strip, "✕", "middle", class_="sign crashed"))
    head = tag(
        "rect",
        tag(
            "animate",
            attributeName="x",
            values=";".join(_short(min(k, count - 1) * CELL) for k in range(count + 1))
            + f";{_short((count - 1) * CELL)}",
            keyTimes=times,
            calcMode="discrete",
            dur=f"{seconds:g}s",
            repeatCount="indefinite",
        ),
        class_="now",
        x=0,
        y=strip - 13,
        width=CELL,
        height=18,
        rx=3,
    )
    seen = tag(
        "svg",
        *lines,
        *cars,
        own,
        x=0,
        y=0,
        width=WIDTH,
        height=top + HEAD + road,
        viewBox=f"0 0 {WIDTH:g} {top + HEAD + road:g}",
    )
    return tag("g", text(0, top + 13, f"{name}{ends}", class_="title"), seen, head, *cells, class_=role)


def _car(kind: str) -> Markup:
    length, width = 5 * PER_METRE, LANE * 0.5
    return tag("rect", class_=f"car {kind}", x=-length / 2, y=-width / 2, width=length, height=width, rx=3)


def _short(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".") if abs(number) <= 1 else f"{number:.0f}"
