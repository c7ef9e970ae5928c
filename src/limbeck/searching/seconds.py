"""Where the seconds of a search went, and what the same students would have cost without stored answers and without rungs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..pipeline.stages import finished_in
from .finalists import Control, Finalist
from .trials import Trial


def seconds_section(
    out: Path,
    trials: Mapping[str, Sequence[Trial]],
    finalists: Sequence[Finalist],
    controls: Mapping[int, Control],
    batch_size: int,
) -> dict[str, Any]:
    """The section ``seconds`` of ``search.json``.

    A stage that several trials share counts once. What a live teacher would have cost is an estimate from what was recorded:
    each student's seconds a step over all its steps, and for every example of these the seconds of one answer in the teacher's
    pass, which is its cheapest way to answer. ``batch_size`` is the recipe's, where a trial has none of its own.
    """
    made = [(folder.parent.name, done["facts"]) for folder, done in finished_in(out)]
    teacher = sum(facts["seconds"] for stage, facts in made if stage == "teacher")
    passes = [facts for stage, facts in made if stage == "targets"]
    of_pass = sum(facts["seconds"] for facts in passes)
    assistants = sum(facts["seconds"] for stage, facts in made if stage == "assistant")
    answers = sum(facts.get("targets", 0) for facts in passes)
    trained = {arm: _distinct(found) for arm, found in trials.items()}
    students, in_full = sum(one.seconds for one in trained["student"]), _in_full(trained["student"])
    asking = of_pass / answers if answers else None
    live = None
    if asking is not None:
        seen = sum(one.total_steps * one.values.get("train.batch_size", batch_size) for one in trained["student"])
        live = in_full + asking * seen + assistants
    return {
        "teacher": teacher,
        "pass": of_pass,
        "assistants": assistants,
        "students": students,
        "controls": sum(one.seconds for one in trained["baseline"]),
        "finalists": _of_runs(finalists) + sum(run.seconds for control in controls.values() for run in control.runs),
        "students_in_full": in_full,
        "controls_in_full": _in_full(trained["baseline"]),
        "students_live_in_full": live,
        "over_live": (of_pass + assistants + students) / live if live else None,
        "over_in_full": students / in_full if in_full else None,
    }


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """One trial a training, that which went furthest."""
    found: dict[str, Trial] = {}
    for one in trials:
        if one.stage is not None and one.steps and (one.stage not in found or one.steps > found[one.stage].steps):
            found[one.stage] = one
    return list(found.values())


def _in_full(trials: Sequence[Trial]) -> float:
    """What these would have taken without rungs; one that finished took what it took, its patience included."""
    return sum(one.seconds if one.quality is not None else one.seconds / one.steps * one.total_steps for one in trials)


def _of_runs(finalists: Sequence[Finalist]) -> float:
    """Of all students and controls that the finalists' runs trained."""
    found = 0.0
    for one in finalists:
        if one.results is not None:
            timings = one.results["timings"]
            found += sum(timings[arm]["seconds"] for arm in ("student", "baseline", "smoothed") if arm in timings)
    return found
