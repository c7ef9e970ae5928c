"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from ..sections.train import Train


def learning_rate(plan: Train, step: int, steps_per_epoch: int) -> float:
    """The rate used by a step (counted from 0): linear warm-up, then the plan's schedule."""
    peak = plan.peak
    warmup = plan.warmup_epochs * steps_per_epoch
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if plan.schedule == "cosine":
        length = max(plan.epochs * steps_per_epoch - warmup, 1)
        return peak * 0.5 * (1 + math.cos(math.pi * min((step - warmup) / length, 1.0)))
    if plan.schedule == "steps":
        passed = sum(step >= milestone * steps_per_epoch for milestone in plan.milestones)
        return peak * plan.gamma**passed
    return peak
