"""Whether an objective can learn from what a codec keeps: said before the teacher is asked anything."""

from __future__ import annotations

from functools import cache

from ...interfaces import DenseLogits, Hypotheses, Sampled, TopK, Values
from ...objectives import modules, schedules
from ...objectives.catalogue.entry import YES_OR_NO
from ...objectives.modules import Objective
from .base import Codec
from .dense import Dense
from .numbers import Numbers
from .sample import SampleCodec
from .topk import TopKCodec


def misfit(codec: Codec, objective: Objective | None = None, *, average: bool = False) -> str | None:
    """A sentence for why the objective cannot learn from the codec's answers, and what would do; None where it can."""
    if reads_sigmoids(objective):
        return _why_not_sigmoids(codec, average)
    if (codec.kind is Values) != reads_numbers(objective) and objective is not None and asks(objective):
        return _why_not_numbers(codec)
    if codec.kind is not Hypotheses and hears(objective) and (codec.kind is Sampled or average):
        what = "targets.average: its mean over views" if average else f"targets.codec: a draw of the codec {codec.name}"
        return f"{what} is no answer in which transcripts could be found. Leave it out, or take the codec dense."
    if codec.kind in (DenseLogits, Values):
        return None
    if average:
        return (
            f"targets.average: the mean over views needs the logits of all classes, and the codec {codec.name} does not "
            "keep them. Leave out targets.average, or take the codec dense or int8."
        )
    parts = [] if objective is None else [part for _, part in objective.weighted]
    return next((why for part in parts if DenseLogits in part.needs.target and (why := _why(codec, part))), None)


def reads_sigmoids(objective: Objective | None) -> bool:
    """Whether the objective reads the teacher's logits as a yes or no for each class, so that no constant may be lost."""
    parts = [] if objective is None else [part for _, part in objective.weighted]
    return any(part.reads == YES_OR_NO and DenseLogits in part.needs.target for part in parts)


def reads_numbers(objective: Objective | None) -> bool:
    """Whether the objective reads the teacher's answers as the numbers of a regression."""
    return any(Values in part.needs.target for _, part in ([] if objective is None else objective.weighted))


def hears(objective: Objective | None) -> bool:
    """Whether any part of it learns from transcripts that the teacher heard."""
    return any(Hypotheses in part.needs.target for _, part in ([] if objective is None else objective.weighted))


def hears_alone(objective: Objective | None) -> bool:
    """Whether nothing else of the teacher is asked for, so that transcripts are all that need be kept."""
    parts = [] if objective is None else [part for _, part in objective.weighted if part.needs.target]
    return bool(parts) and all(part.needs.target == (Hypotheses,) for part in parts)


def no_deviation(codec: Codec | None, objective: Objective | None, averaged: int = 1) -> str | None:
    """A sentence where the objective weighs by the deviation of the teacher's numbers, and there is none; None where there is.

    ``codec``: of the stored answers; None: of a live teacher that is no ensemble. ``averaged``: over how many stored views of
    each example the answer is the mean.
    """
    if objective is None or not objective.needs.spread or averaged > 1 or (isinstance(codec, Numbers) and codec.spread):
        return None
    named = " and ".join(part.title for _, part in objective.weighted if part.needs.spread)
    return (
        f"objective: {named} weighs the teacher's numbers by their deviation, and there is none: it takes a teacher of several "
        "(teacher.ensemble), or several views of each example and their mean (targets.views: 8, targets.average: true). Or take "
        "mse_values, which weighs all alike."
    )


def asks(objective: Objective) -> bool:
    """Whether any part of it takes the teacher's answers."""
    return any(part.needs.target for _, part in objective.weighted)


def _why_not_numbers(codec: Codec) -> str:
    if codec.kind is Values:
        return f"targets.codec: {codec.name} keeps the numbers of a regression, and the objective learns from logits. Take dense."
    return (
        f"targets.codec: the codec {codec.name} keeps logits up to a constant, and the objective learns from a teacher's numbers. "
        "Take float32, or float16 where three digits are enough."
    )


def _why_not_sigmoids(codec: Codec, average: bool) -> str | None:
    if average:
        return (
            "targets.average: it takes the mean of softmax probabilities, and binary_kd reads a yes or no for each class. "
            "Leave out targets.average."
        )
    if isinstance(codec, Dense) and not codec.centred:
        return None
    kept = "the store's logits" if isinstance(codec, Dense) else f"the logits of the codec {codec.name}"
    return (
        f"targets.codec: binary_kd reads a yes or no for each class, and {kept} are kept up to a constant, as for a "
        "softmax. Take the codec dense and ask the teacher anew, or targets.live."
    )


def _why(codec: Codec, part: Objective) -> str | None:
    name = part.title
    if codec.kind not in part.needs.target:
        return (
            f"targets.codec: {name} needs the logits of all classes, and the codec {codec.name} does not keep them. Take "
            f"the codec dense or int8, or one of the objectives that learn from {codec.name}: {_learners(codec.kind)}."
        )
    wanted = schedules.extremes(getattr(part, "temperature", 1.0))
    if isinstance(codec, SampleCodec) and any(temperature != codec.temperature for temperature in wanted):
        return (
            f"targets.codec.sample.temperature: the draws hold at {codec.temperature:g}, and {name} uses "
            f"{_range(wanted)}. Give both the same temperature (one number, not a schedule), or take another codec."
        )
    if isinstance(codec, TopKCodec) and any(
        not codec.temperatures[0] <= temperature <= codec.temperatures[-1] for temperature in wanted
    ):
        return (
            f"targets.codec.topk.temperatures: they reach from {codec.temperatures[0]:g} to {codec.temperatures[-1]:g}, "
            f"and {name} uses {_range(wanted)}. Add it to them."
        )
    return None


def _range(temperatures: tuple[float, ...]) -> str:
    return " to ".join(f"{temperature:g}" for temperature in dict.fromkeys(temperatures))


@cache
def _learners(kind: type) -> str:
    """The names of the objectives that take answers of that kind."""
    assert kind in (TopK, Sampled, Hypotheses)
    every = (modules.CTCSequenceKD(),) if kind is Hypotheses else (modules.KD(), modules.ForwardKL())
    return " and ".join(made.name for made in every if kind in made.needs.target)
