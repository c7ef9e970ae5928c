"""What a modality is, in words: what help texts, drafts, documentation and reports call it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outline:
    """A task of a modality, as a person is told of it.

    Attributes:
        title: what it is called: "Text classification".
        about: a paragraph, for the head of its chapter in ``docs/recipe.md``.
        article, example, examples: what one example is called, and several: "an", "image", "images".
        smallest: the smallest recipe, as plain values; without ``task``.
        student_file: the exported student, in the folder of a finished run.
        students: kinds of student that only its recipes know.
        positions: what the length of an example is counted in ("tokens"); None where all examples have one size.
        look_first: at what, where a teacher's answers make no sense of the data: the end of a sentence.
        in_use: how models are judged where their answers to examples say little of what they are worth: "by driving"; None where they say all.
        extra: what is installed with Limbeck for it, as in ``pip install limbeck[text]``; None: nothing more.
    """

    title: str
    about: str
    article: str
    example: str
    examples: str
    smallest: Mapping[str, Any]
    student_file: str
    students: tuple[str, ...] = ()
    positions: str | None = None
    in_use: str | None = None
    extra: str | None = None
    look_first: str = "whether its labels are the data's, and stand in their order"

    @property
    def teacher_file(self) -> str:
        """The exported teacher, in the same folder; not there where an ensemble or a file taught."""
        return self.student_file.replace("student", "teacher", 1)
