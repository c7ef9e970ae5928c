"""What the drafts of all tasks share. No torch."""

from __future__ import annotations

from typing import Any

import yaml

# Below this what is measured is mostly chance.
FEW_TO_MEASURE = 200


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
