"""Whose class is whose: the labels that a text model names, and those that the data names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import BadInput

_UNNAMED = re.compile(r"(label[\s_-]*)?\d+", re.IGNORECASE)


class LabelMap(NamedTuple):
    """Where the data's classes are among a model's outputs."""

    order: tuple[int, ...]  # order[c] is the model's output for the data's class c
    note: str | None  # what had to be taken for granted, as a sentence; None where every name was found


def map_labels(model_names: Sequence[str], data_names: Sequence[str], *, role: str = "teacher") -> LabelMap:
    """The model's output for each of the data's classes, found by name: case, spaces, ``_`` and ``-`` do not matter.

    ``LABEL_0``, ``LABEL_1`` ... (what a configuration says where nobody named the labels) and bare numbers are no
    names. Where one side has no names, and they are not the other's in another order, the positions are taken for the same, and
    ``note`` says so. ``role`` is how
    messages speak of the model.

    Raises:
        BadInput: the numbers of classes differ, or the names do not match one to one.
    """
    both = f"The {role}'s labels: {listed(model_names)}. The data's: {listed(data_names)}."
    if len(model_names) != len(data_names):
        raise BadInput(
            f"the {role} knows {len(model_names)} labels and the data has {len(data_names)}; they must be the same "
            f"ones. {both}"
        )
    place = {_folded(name): output for output, name in enumerate(model_names)}
    wanted = [_folded(name) for name in data_names]
    if len(place) == len(model_names) and len(set(wanted)) == len(wanted) and place.keys() == set(wanted):
        return LabelMap(tuple(place[name] for name in wanted), None)
    if unnamed(model_names) or unnamed(data_names):
        order = tuple(range(len(data_names)))
        which = role if unnamed(model_names) else "data"
        return LabelMap(order, f"The {which} does not name its labels, so they were matched by position. {both}")
    raise BadInput(
        f"the {role}'s labels and the data's cannot be matched by name. {both} Rename the labels in the data, or "
        f"id2label in the {role}'s config.json, where you know which is which."
    )


def unnamed(names: Sequence[str]) -> bool:
    """Whether these are numbers and not names: ``LABEL_0``, ``LABEL_1`` ... or ``0``, ``1`` ..."""
    return all(_UNNAMED.fullmatch(name.strip()) for name in names)


def by_position(title: str, names: Sequence[str]) -> list[str]:
    """What is taken for granted of a teacher, ``title``, that does not name the classes ``names`` of the data."""
    if unnamed(names):
        return []
    return [
        f"Nothing says which class each output of {title} stands for: they are taken to be {listed(names, 5)}, in this order."
    ]


def same_name(name: str, other: str) -> bool:
    """Whether two names are the same but for case, spaces, ``_`` and ``-``."""
    return _folded(name) == _folded(other)


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def listed(names: Sequence[str], most: int = 20) -> str:
    """The names in quotes, the first ``most`` of them."""
    said = ", ".join(repr(name) for name in names[:most])
    return said + (f" and {len(names) - most} more" if len(names) > most else "")
