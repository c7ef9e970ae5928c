"""The recipe's ``targets.codec``: how an answer of the teacher is kept. No torch.

A section's fields are the settings of the codec of that name in :mod:`limbeck.targets.codecs`, with the same defaults.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from ..errors import did_you_mean
from .section import SECTION, WORD, Positive, Section, Width


class TopK(Section):
    """The k largest logits, and the mass of all others at a ladder of temperatures; never renormalised."""

    k: Width = 8
    """How many classes are kept one by one."""
    temperatures: tuple[Positive, ...] = Field(default=(1.0, 1.5, 2.0, 4.0, 8.0), min_length=1)
    """Where the mass of the others is kept; at one in between it is interpolated, and outside there is none."""

    @model_validator(mode="after")
    def _distinct(self) -> TopK:
        if len(set(self.temperatures)) < len(self.temperatures):
            raise ValueError("no two temperatures may be alike")
        return self


class Sample(Section):
    """Classes drawn from the teacher's distribution: an unbiased estimate of all of it in a few bytes, for one temperature."""

    draws: int = Field(default=255, ge=1, le=255)
    """What the counts add up to; more make them finer, and take no more room."""
    temperature: Positive = 1.0
    """T of the distribution; the objective must use the same."""
    proposal: Positive | None = None
    """Draw at this temperature, a higher one, and keep an importance weight with each class, in two bytes."""
    width: Width = 18
    """How many classes are kept, a quarter of them with their counts: 18 take 40 bytes where there are 50,000. More, less noise."""

    @model_validator(mode="after")
    def _fits(self) -> Sample:
        if self.proposal is not None and self.proposal <= self.temperature:
            raise ValueError(
                f"proposal is {self.proposal:g} and temperature {self.temperature:g}: draws at a temperature that is no higher "
                "visit rare classes no more often, or too rarely. Give a proposal above the temperature, or none"
            )
        return self


class Auto(Section):
    """The cheapest of ``dense``, ``int8`` and ``topk`` (k of 1, 2, 4, 8 ...) that is exact enough and fits the objective."""

    mean_kl: Positive = 1e-3
    """Largest mean KL from the teacher to what is kept, in nats at T = 1, on a sample of its answers."""


class Hypotheses(Section):
    """What a teacher of speech heard: its most probable transcripts, each with its weight."""

    best: int = Field(default=4, ge=1, le=64)
    """How many transcripts of each example are kept."""
    longest: int = Field(default=128, ge=1, le=32_767)
    """The most symbols that one may have; each takes a byte, or two where there are more than 256."""
    beam: int = Field(default=16, ge=1, le=1024)
    """How many beginnings of transcripts the search for them keeps at each frame."""

    @model_validator(mode="after")
    def _wide_enough(self) -> Hypotheses:
        if self.beam < self.best:
            raise ValueError(
                f"beam is {self.beam} and best {self.best}: a search finds no more transcripts than it keeps"
            )
        return self


class CodecSection(Section):
    """A codec with settings: one of these. ``dense`` and ``int8`` have none and are given as a word."""

    topk: TopK | None = None
    """The largest logits and the mass of the others: ``{topk: {k: 8}}``."""
    sample: Sample | None = None
    """Draws: ``{sample: {width: 18, temperature: 4}}``."""
    hypotheses: Hypotheses | None = None
    """Transcripts, for ``ctc_sequence_kd``: ``{hypotheses: {best: 4}}``; what it takes where nothing is said."""
    auto: Auto | None = None
    """The cheapest that is exact enough: ``{auto: {mean_kl: 1.0e-3}}``."""

    @model_validator(mode="after")
    def _one(self) -> CodecSection:
        if sum(value is not None for value in (self.topk, self.sample, self.hypotheses, self.auto)) != 1:
            raise ValueError(
                "a codec is dense, int8, or a section of one of topk, sample, hypotheses and auto, such as {topk: {k: 8}}"
            )
        return self

    @property
    def chosen(self) -> TopK | Sample | Hypotheses | Auto:
        """The one that was given."""
        one = self.topk or self.sample or self.hypotheses or self.auto
        assert one is not None
        return one


_WORDS = ("dense", "int8", "float32", "float16")


def _kind(value: Any) -> str:
    return SECTION if isinstance(value, dict | CodecSection) else WORD


def _known_word(value: Any) -> Any:
    """Says of a wrong word what would be right: the codecs with settings are known by name too."""
    if isinstance(value, str) and value not in _WORDS:
        if value in CodecSection.model_fields:
            raise ValueError(f"'{value}' has settings: {_example(value)}; {{{value}: {{}}}} takes the defaults")
        near = did_you_mean(value, [*_WORDS, *CodecSection.model_fields])
        raise ValueError(
            f"{value!r} is not one of dense, int8, float32, float16, or a section of topk, sample, hypotheses or auto.{near}"
        )
    return value


def _example(name: str) -> str:
    return {
        "topk": "{topk: {k: 8}}",
        "sample": "{sample: {width: 18, temperature: 4}}",
        "hypotheses": "{hypotheses: {best: 4}}",
    }.get(name, "{auto: {mean_kl: 1.0e-3}}")


Codec = Annotated[
    Annotated[Literal["dense", "int8", "float32", "float16"], BeforeValidator(_known_word), Tag(WORD)]
    | Annotated[CodecSection, Tag(SECTION)],
    Discriminator(_kind),
]
"""A word, or a section."""
