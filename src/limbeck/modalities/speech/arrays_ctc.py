"""Splits of transcribed sounds from what a Python program holds.

Shapes: N sounds, S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...data.examples import HeldOut
from ...data.splits import arrange
from ...errors import BadInput
from .arrays import Given, alone, answered_sounds, count_of, sounds_of
from .data_sections import SpeechData
from .examples import Clips, Splits, symbols_of
from .load import Counted, Part, of_clips
from .transcripts import alphabet_of, normalised, spelt

_NAMED = 5


def from_transcribed(
    train: Given,
    validation: Given | None = None,
    test: Given | None = None,
    *,
    rate: int,
    data: SpeechData,
    transfer: Any = None,
) -> Splits:
    """The splits of a run from a person's own sounds with their transcripts; what is None of validation and test is carved from train.

    ``train``, ``validation`` and ``test`` are each ``(sounds, transcripts)`` or a map-style data set of ``(samples, transcript)``;
    ``transfer`` is sounds alone. Sounds are as :func:`limbeck.modalities.speech.arrays.from_arrays` has them, transcripts are read as
    ``data`` says; those of train and transfer that are longer than ``data.seconds`` are left out, counted and noted. ``test`` is read
    when it is opened; of it clips are left out whose transcripts have letters that the alphabet lacks.

    Raises ``BadInput`` where sounds or transcripts are none, their numbers differ, or a transcript has such letters.
    """
    notes, counted = list[str](), Counted()
    sounds, texts = _read(train, "train", data)
    alphabet = alphabet_of(texts, data)

    def part(sounds: Any, texts: Sequence[str] | None, split: str, *, longest: float | None) -> Part:
        read = sounds_of(sounds, rate, split)
        if texts is not None and len(texts) != len(read.lengths):
            raise BadInput(
                f"{split} has {len(read.lengths)} sounds and {len(texts)} transcripts: it needs one for each."
            )
        labels = None if texts is None else symbols_of(tuple(_spelt(texts, alphabet, split)), alphabet)
        found = Part.of(read, labels, rate, None, None if texts is None else tuple(texts))
        return found if longest is None else _short(found, longest, split, counted, notes)

    def read_test(notes: list[str]) -> Clips:
        sounds, texts = _read(test, "test", data)
        kept = [
            row
            for row, text in enumerate(spelt(texts, alphabet, "test", data, notes, of_test=True))
            if text is not None
        ]
        found = part([sounds[row] for row in kept], [texts[row] for row in kept], "test", longest=None)
        if shared := int(torch.isin(found.content, train_part.content).sum()):
            notes.append(f"{shared} of {len(found)} test sounds stand in the training data too.")
        return found.examples()

    train_part = part(sounds, texts, "train", longest=data.seconds)
    arranged = arrange(
        train_part,
        None if validation is None else part(*_read(validation, "validation", data), "validation", longest=None),
        None if test is None else HeldOut(read_test, count=count_of(test)),
        None if transfer is None else part(alone(transfer), None, "transfer", longest=data.seconds),
        what="sound",
        classes=(),
        alphabet=alphabet,
        fraction=data.validation_fraction,
        notes=notes,
    )
    return of_clips(arranged_facts=vars(arranged), rate=rate, seconds=None, counted=counted)


def _read(given: Given, split: str, data: SpeechData) -> tuple[Any, list[str]]:
    """Sounds, and transcripts as they are read."""
    sounds, texts = answered_sounds(given, split, "transcript")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput(
                f"split '{split}', row {row}: the transcript is of type {type(text).__name__}; a text is right."
            )
    return sounds, [normalised(text, data) for text in texts]


def _spelt(texts: Sequence[str], alphabet: Sequence[str], split: str) -> Sequence[str]:
    for row, text in enumerate(texts):
        if lacking := [letter for letter in text if letter not in alphabet]:
            raise BadInput(
                f"split '{split}', row {row}: the transcript has '{lacking[0]}', which the alphabet lacks: add it to alphabet, or take it "
                "out of the transcripts."
            )
    return texts


def _short(part: Part, longest: float, split: str, counted: Counted, notes: list[str]) -> Part:
    """The clips that are not too long to be trained on."""
    long = part.lengths > longest * part.rate
    if count := int(long.sum()):
        if count == len(part):
            raise BadInput(f"split '{split}': every clip is longer than {longest:g} s: give more seconds.")
        rows = long.nonzero().flatten().tolist()
        named = ", ".join(f"row {row}" for row in rows[:_NAMED]) + (", ..." if count > _NAMED else "")
        notes.append(
            f"split '{split}': {count:,} of {len(part):,} clips are longer than {longest:g} s (seconds), and are left out: {named}."
        )
        counted[split] = {"long": count}
    return part.where(~long)
