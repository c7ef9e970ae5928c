"""What a student and its teacher cost, in the words of a draft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..progress import bytes_text


@dataclass(frozen=True)
class Size:
    """What a model costs."""

    parameters: int
    macs: int | None  # multiply-accumulates of one example; None: not counted
    example: str = "an image"  # what one example is
    file_bytes: int | None = None  # of a file that is used as it is

    def __str__(self) -> str:
        kept = f"{bytes_text(4 * self.parameters)} as float32"
        if self.file_bytes is not None:
            kept = f"a file of {bytes_text(self.file_bytes)}"
        macs = "MACs not counted" if self.macs is None else f"{_count_text(self.macs)} MACs {self.example}"
        return f"{self.parameters:,} parameters, {kept}, {macs}"


def size_of(model: Any, example: Any, what: str = "an image") -> Size:
    """A module's size; ``example`` is an image (1, C, H, W), or a text's inputs by name, (1, L) each."""
    from .measure import macs, parameters

    return Size(parameters(model), macs(model, example), what)


def size_sentences(teacher: str, of_teacher: Size | None, student: str, of_student: Size | None) -> tuple[str, ...]:
    """Both sizes, and how much smaller the student is; None: the model is not known, or its code not trusted yet."""
    unknown = "its size is not known before the model can be built"
    said = [f"teacher {teacher}: {of_teacher or unknown}.", f"student {student}: {of_student or unknown}."]
    if of_teacher is not None and of_student is not None:
        times = of_teacher.parameters / max(1, of_student.parameters)
        said.append(
            f"The student has 1/{times:.3g} of the teacher's parameters."
            if times > 1
            else "The student has no fewer parameters than the teacher."
        )
    return tuple(said)


def _count_text(count: int) -> str:
    """`812`, `36.1 thousand`, `2.4 million`."""
    for word, size in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {word}"
    return str(count)
