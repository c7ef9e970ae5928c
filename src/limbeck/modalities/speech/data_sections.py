"""Where clips come from and how they are varied, as recipes say it. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ...sections.section import AnyViews, Count, Section

Seconds = Annotated[float, Field(gt=0, le=600)]
"""A stretch of sound."""
Rate = Annotated[int, Field(ge=1_000, le=384_000)]
"""Samples a second."""
Decibels = Annotated[float, Field(ge=-60, le=100)]
"""A ratio of powers."""

ENDINGS = frozenset([".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".voc", ".sph", ".nist"])  # fmt: skip
"""Of files that are read."""
ELSEWHERE = frozenset([".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka", ".mkv", ".amr", ".3gp", ".ape", ".wv", ".ac3", ".alac", ".mov"])  # fmt: skip
"""Of sounds that have to be converted first."""


class Transfer(Section):
    """Clips without labels that the teacher answers and the student learns from, beside the training set."""

    name: str
    """A Hugging Face data set, a local folder of one, or a folder of sounds."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    split: str = "train"
    """The split to use; its labels, if any, are ignored."""
    audio: str | None = None
    """Column of the sounds; found by its type where not given."""
    limit: Count | None = None
    """Use at most so many clips (those with the smallest ids)."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""


class Sounds(Section):
    """Where the clips come from."""

    name: str
    """A Hugging Face data set, a local folder of one, or a folder of sounds (one sub-folder a class, or a table beside them)."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    train: str = "train"
    """Name of the training split."""
    validation: str | None = None
    """Name of the validation split; where there is none, it is carved from train by a fixed hash of the id."""
    test: str | None = "test"
    """Name of the test split, read once, at the end; where the data has none, it is carved from train likewise."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.9)
    """Share of the training clips carved off for validation (and for test, where the data has none)."""
    audio: str | None = None
    """Column of the sounds, or of their files' paths; found by its type or name where not given."""
    group: str | None = None
    """What groups clips that must not be split between train, validation and test (a speaker, a recording): a column, or, of
    files, a regular expression whose parentheses find the group in the path, such as ``(speaker_[0-9]+)``."""
    rate: Rate | None = None
    """Samples a second that every clip is brought to; that of the first training clip where not given."""
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    """What to do with a clip that cannot be read or holds no sample: stop and name it, or leave it out and say so."""
    limit: Count | None = None
    """Use at most so many training clips (those with the smallest ids): for trying a recipe out."""
    transfer: Transfer | None = None
    """A transfer set: unlabelled clips for the soft targets."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""


class Data(Sounds):
    """Where the clips come from, each with a class."""

    label: str | None = None
    """Column of the labels; found by its type where not given."""
    seconds: Seconds = 1.0
    """The window that a decision is made on: a shorter clip is put in its middle, with silence about it, and of a longer one its
    middle is taken."""


class SpeechData(Sounds):
    """Where the clips come from, each with what is said in it."""

    text: str | None = None
    """Column of the transcripts; found by its type where not given."""
    alphabet: Annotated[str, Field(min_length=1)] | None = None
    """The letters that an answer is spelt in, the space among them; all that stand in the training transcripts where not given."""
    case: Literal["lower", "keep"] = "lower"
    """Whether transcripts are read in lower case, or as they are written."""
    replace: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    """What stands for other letters in transcripts, before all else but ``case``: ``{"&": "and", "-": " ", ",": ""}``."""
    on_unknown: Literal["refuse", "drop", "skip"] = "refuse"
    """What to do with letters that ``alphabet`` lacks: stop and name them, leave the letters out of their transcripts, or leave
    out the clips; what is left out is counted and named."""
    seconds: Seconds = 30.0
    """The longest clip that is trained on; longer ones are left out of train and transfer, and counted."""

    @model_validator(mode="after")
    def _each_letter_once(self) -> SpeechData:
        if self.alphabet is None:
            return self
        if twice := [letter for letter in self.alphabet if self.alphabet.count(letter) > 1]:
            raise ValueError(f"alphabet holds '{twice[0]}' twice: write each letter once")
        if self.case == "lower" and (high := [letter for letter in self.alphabet if letter != letter.lower()]):
            raise ValueError(
                f"alphabet holds '{high[0]}', and transcripts are read in lower case: write it in lower case, or set case: keep"
            )
        return self


class Noise(Section):
    """Background sound, added at a signal-to-noise ratio."""

    snr: tuple[Decibels, Decibels] = (5.0, 30.0)
    """The least and the most that the clip's power lies above the noise's, in dB; uniform between the two."""
    colour: Literal["white", "pink", "brown"] = "pink"
    """How its power falls with frequency: not at all, by 3 dB an octave, by 6."""
    files: str | None = None
    """A folder of recordings that it is cut from instead."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Share of the clips that it is added to."""

    @model_validator(mode="after")
    def _ordered(self) -> Noise:
        if self.snr[0] > self.snr[1]:
            raise ValueError("snr must be two ratios in dB, the least first, such as [5, 30]")
        return self


class SoundViews(AnyViews):
    """How a clip is varied. View 0 of an empty section is the clip as it is.

    Whatever is random is computed from (seed, view, clip id), so a stored soft target belongs to the very samples that the
    student hears.
    """

    shift: float = Field(default=0.0, ge=0, le=60)
    """Moved in its window by up to so many seconds either way; a transcribed clip begins up to so many seconds later."""
    gain: float = Field(default=0.0, ge=0, le=60)
    """Louder or softer by up to so many dB."""
    speed: float = Field(default=0.0, ge=0, le=0.5)
    """Played faster or slower by up to this share (0.1: between 0.9 and 1.1 times), which changes pitch too."""
    echo: float = Field(default=0.0, ge=0, le=5)
    """A room that takes up to so many seconds to fall silent (by 60 dB)."""
    noise: Noise | None = None
    """Background sound."""
    time_mask: float = Field(default=0.0, ge=0, le=60)
    """A stretch of up to so many seconds is silent."""
    frequency_mask: float = Field(default=0.0, ge=0, lt=1)
    """A band of up to this share of the mel scale is filtered out."""
    masks: int = Field(default=1, ge=1, le=8)
    """How many of each of the two."""
