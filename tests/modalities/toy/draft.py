"""What ``limbeck init`` writes for points."""

from collections.abc import Mapping
from typing import Any

from limbeck.sections.drafting import Drafted, flow

from . import OUTLINES


def plainly(teacher: str, data: str) -> bool:
    """There is one teacher, and one data set."""
    return (teacher, data) == ("net", "corners")


def draft(task: str, teacher: str, data: str, student: str | None, given: Mapping[str, Any]) -> Drafted:
    """The smallest recipe."""
    values = {"task": task, **OUTLINES[task].smallest, "data": {"name": data, **given}}
    return Drafted("".join(f"{field}: {flow(value)}\n" for field, value in values.items()), (), ())
