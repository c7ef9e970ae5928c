"""What the drafts of all tasks share. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

# Below this what is measured is mostly chance.
FEW_TO_MEASURE = 200


@dataclass(frozen=True)
class Drafted:
    """A recipe's text, and what a person should know of it."""

    text: str
    said: tuple[str, ...]  # sizes, and what was chosen and why, in sentences
    warnings: Sequence[str]  # what to beware of


def knob_lines(knobs: Mapping[str, tuple[str, str]], there: Mapping[str, Any]) -> list[str]:
    """Comments that show a student's knobs: by name the range and what it means; ``there`` are those that are set."""
    lines = ["# Its knobs; change them here, or with limbeck run RECIPE --set student.KNOB=VALUE:"]
    for name, (allowed, meaning) in knobs.items():
        here = f"; {flow(there[name])} here" if name in there else ""
        lines.append(f"#   {name}: {allowed}{here}. {meaning}")
    return lines


def coarse(what: str, validation: int | None, test: int | None) -> list[str]:
    """A sentence for each split that is too small to measure by; ``what`` is its examples, in words."""
    return [
        f"{count:,} {split} {what} measure coarsely: one of them is {100 / max(1, count):.1f} points of "
        "accuracy, so small differences mean nothing."
        for split, count in (("validation", validation), ("test", test))
        if count is not None and count < FEW_TO_MEASURE
    ]


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")
