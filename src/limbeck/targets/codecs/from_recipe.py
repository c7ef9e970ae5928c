"""The codec that a recipe asks for, held against the data and the objective before the teacher is asked anything."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...errors import BadInput
from ...objectives.modules import Objective
from ...sections.codec import Auto, CodecSection, Hypotheses, Sample
from ...sections.targets import Targets
from .base import Codec
from .cheapest import candidates
from .dense import Dense, Int8
from .fits_objective import hears_alone, misfit, no_deviation, reads_numbers, reads_sigmoids
from .hypotheses import HypothesesCodec
from .numbers import PRECISIONS, Numbers
from .sample import SampleCodec
from .topk import TopKCodec


class Candidates(NamedTuple):
    """The codecs that may be used, the one of fewest bytes first: one, unless the teacher's answers are to decide."""

    codecs: tuple[Codec, ...]
    mean_kl: float | None = None  # the bound by which the first that keeps it is chosen

    @property
    def ingredient(self) -> Any:
        """What the fingerprint of the targets holds of it."""
        each = [{"name": codec.name, "settings": dict(codec.settings)} for codec in self.codecs]
        if self.mean_kl is not None:
            return {"mean_kl": self.mean_kl, "among": each}
        return each[0] if each[0]["settings"] else each[0]["name"]


def asked_codecs(
    wanted: Targets, classes: int, seed: int, objective: Objective | None = None, *, several: bool = False
) -> Candidates:
    """What ``targets.codec`` stands for. ``several``: of several teachers, whose deviation is kept where it is asked for.

    Raises :class:`BadInput` where it does not fit the number of classes, the objective, or ``targets.average``.
    """
    section = wanted.codec.chosen if isinstance(wanted.codec, CodecSection) else wanted.codec
    if section == "dense" and reads_numbers(objective):
        section = PRECISIONS[0]
    if section == "dense" and hears_alone(objective):
        section = Hypotheses()
    if isinstance(section, Auto) and reads_numbers(objective):
        raise BadInput(
            "targets.codec.auto: it compares distributions over classes, and a teacher's numbers are none: take float32 or float16."
        )
    if isinstance(section, Auto):
        return Candidates(candidates(classes, objective, average=wanted.average), section.mean_kl)
    if isinstance(section, str) and section in PRECISIONS:
        codec: Codec = Numbers(section, spread=several and objective is not None and objective.needs.spread)
    elif isinstance(section, str):
        codec = Int8() if section == Int8.name else Dense(centred=not reads_sigmoids(objective))
    elif isinstance(section, Hypotheses):
        codec = HypothesesCodec(section.best, section.longest, section.beam, wide=classes > 256)
    elif isinstance(section, Sample):
        codec = SampleCodec(**section.model_dump(), seed=seed)
    else:
        codec = TopKCodec(section.k, section.temperatures)
    try:
        codec.layout(classes)
    except ValueError as error:
        raise BadInput(f"targets.codec.{codec.name}: {error}.") from None
    why = misfit(codec, objective, average=wanted.average)
    if why := why or no_deviation(codec, objective, wanted.views if wanted.average else 1):
        raise BadInput(why)
    return Candidates((codec,))
