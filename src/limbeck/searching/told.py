"""What a person sees of a search while it lasts: a line a trial."""

from __future__ import annotations

from collections.abc import Sequence

from .. import progress
from ..errors import shortened
from ..evaluation.figure import Figure
from .budget import cost_text
from .precision import FLOAT32
from .trials import CANNOT_BE, FAILED, Trial


def say(
    trial: Trial, front: Sequence[Trial], figure: Figure, costs: Sequence[str], standing: str, seconds_left: float
) -> None:
    """One line: what became of a trial, the best so far, the size of its arm's front, the time left; ``standing`` is how many were tried."""
    arm = "with a teacher" if trial.arm == "student" else "without"
    reached = trial.quality if trial.quality is not None else max(trial.rungs.items(), default=(0, None))[1]
    fate = trial.fate if trial.format == FLOAT32 else f"{trial.fate} in {trial.format}"
    parts = [fate] if reached is None else [fate, f"{figure.title} {_shown(figure, reached)}"]
    parts += [cost_text(name, trial.cost[name]) for name in costs if name in trial.cost]
    if trial.fate in (CANNOT_BE, FAILED):
        parts.append(shortened(trial.why.rstrip("."), 120))
    so_far = ""
    qualities = [one.quality for one in front if one.quality is not None]
    if qualities:
        best = max(qualities, key=lambda quality: figure.sign * quality)
        so_far = f"; best {_shown(figure, best)}, front of {len(front)}"
    left = f"; about {progress.seconds_text(seconds_left)} left" if seconds_left > 0 else ""
    progress.note(f"trial {trial.number} {arm} ({standing}): {', '.join(parts)}{so_far}{left}")


def _shown(figure: Figure, value: float) -> str:
    return f"{figure.number(value)} {figure.unit}".rstrip()
