"""From transcripts as they were written to symbols of an alphabet: what is mapped because a recipe says so, and what does not fit."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from ...errors import BadInput
from .data_sections import SpeechData

BLANK = ""
"""The name of class 0."""
_NAMED = 8


def normalised(text: str, data: SpeechData) -> str:
    """A transcript as the recipe wants it read: composed (NFC), in its case, with its replacements, and single spaces."""
    text = unicodedata.normalize("NFC", text)
    if data.case == "lower":
        text = text.lower()
    for letters, instead in data.replace.items():
        text = text.replace(letters.lower() if data.case == "lower" else letters, instead)
    return " ".join(text.split())


def alphabet_of(texts: Sequence[str], data: SpeechData) -> tuple[str, ...]:
    """The blank, then the letters that the recipe names, or those of the training transcripts, sorted.

    Raises ``BadInput`` where there is none.
    """
    letters = tuple(data.alphabet) if data.alphabet is not None else tuple(sorted(set("".join(texts))))
    if not letters:
        raise BadInput("data.text: every training transcript is empty: name another column.")
    return (BLANK, *letters)


def spelt(
    texts: Sequence[str],
    alphabet: tuple[str, ...],
    split: str,
    data: SpeechData,
    notes: list[str],
    *,
    of_test: bool = False,
) -> list[str | None]:
    """The transcripts in letters of the alphabet; None for a clip that is left out since its own has others.

    Raises ``BadInput`` where there are such and the recipe does not say what is to become of them; of a test split, which is
    read when all else is done, those clips are left out.
    """
    known = set(alphabet)
    lacking = Counter(letter for text in texts for letter in text if letter not in known)
    if not lacking:
        return list(texts)
    rows = [row for row, text in enumerate(texts) if not set(text) <= known]
    named = ", ".join(f"'{letter}' {count:,} times" for letter, count in lacking.most_common(_NAMED))
    named += ", ..." if len(lacking) > _NAMED else ""
    said = (
        f"split '{split}': {len(rows):,} of {len(texts):,} transcripts have letters that the alphabet lacks ({named})"
    )
    where = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
    if data.on_unknown == "drop":
        notes.append(f"{said}, which are left out of them: row {where} (counted from 0).")
        return [" ".join("".join(letter for letter in text if letter in known).split()) for text in texts]
    if data.on_unknown == "skip" or of_test:
        notes.append(f"{said} and are left out with their clips: row {where} (counted from 0).")
        gone = set(rows)
        return [None if row in gone else text for row, text in enumerate(texts)]
    letter = lacking.most_common(1)[0][0]
    raise BadInput(
        f"{said}, first in row {rows[0]} (counted from 0): write {{{_quoted(letter)}: ...}} into data.replace to have them read as "
        "others, add them to data.alphabet, or set data.on_unknown: drop (to leave the letters out) or skip (to leave the clips out)."
    )


def _quoted(letter: str) -> str:
    return f'"{letter}"' if letter != '"' else "'\"'"
