"""What ``limbeck init`` writes for driving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import BadInput, not_installed
from ...sections.drafting import Drafted, flow
from . import OUTLINES
from .families import MLP

PLANNER = "planner"


def plainly(teacher: str, data: str) -> bool:
    """Whether data plainly is an environment to drive in: by its name, or since a planner is to teach."""
    return (teacher == PLANNER or data.startswith("highway-")) and not Path(data).expanduser().exists()


def draft(task: str, teacher: str, data: str, student: str | None, given: Mapping[str, Any]) -> Drafted:
    """The recipe: the planner teaches, the student drives. Raises :class:`BadInput` for another teacher, or no such environment."""
    try:
        from .simulator import World
    except ModuleNotFoundError as missing:
        raise not_installed("simulated drives", missing, str(OUTLINES[task].extra)) from missing
    if teacher != PLANNER:
        raise BadInput(f"--teacher {teacher}: who drives is taught by {PLANNER}; give --teacher {PLANNER}.")
    World(data)
    values = {
        "task": task,
        "data": {"name": data, **given, "rollouts": {}},
        "teacher": OUTLINES[task].smallest["teacher"],
        "student": {"model": student or MLP},
    }
    said = (
        "Its student drives in rounds, and the planner says of each state what it would have done (data.rollouts).",
    )
    return Drafted("".join(f"{field}: {flow(value)}\n" for field, value in values.items()), said, ())
