"""Texts cut into sentences: by rule, so that everybody gets the same ones."""

from __future__ import annotations

import re

_BREAK = re.compile(r"<br\s*/?>|[\r\n]+", re.IGNORECASE)
_END = re.compile(r"""([.!?…]+["'”’)\]]*)\s+["'“‘(\[]*(?=(\S))""")
_LAST_WORD = re.compile(r"([\w.]+)$")
_ABBREVIATIONS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "jr",
        "sr",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "cf",
        "dept",
        "approx",
        "vol",
        "fig",
        "lt",
        "col",
        "gen",
        "sgt",
        "capt",
    ]
)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, in order, with each run of white space made one space; none for an empty text.

    A sentence ends at a line's end or ``<br>``, and at ``.``, ``!``, ``?`` or ``…`` (with what closes quotes and brackets
    after it) before white space and anything but a small letter; not after a full stop that belongs to an initial or a
    common English abbreviation.
    """
    sentences = []
    for line in _BREAK.split(text):
        line, start = " ".join(line.split()), 0
        for end in _END.finditer(line):
            if end[2].islower() or (end[1] == "." and _abbreviated(line[start : end.start()])):
                continue
            sentences.append(line[start : end.end(1)])
            start = end.end(1) + 1
        sentences.append(line[start:])
    return [sentence for sentence in sentences if sentence]


def _abbreviated(before: str) -> bool:
    word = _LAST_WORD.search(before)
    if word is None:
        return False
    last = word[1].rsplit(".", 1)[-1]  # "J.R" of "J.R. Tolkien"
    return word[1].lower() in _ABBREVIATIONS or (len(last) == 1 and last.isupper() and last != "I")
