"""Which of a data set's splits play which part in a run."""

from __future__ import annotations

from typing import Protocol

import datasets

from ..errors import BadInput, did_you_mean
from .reading import Rows, rows_text
from .split_names import canonical

DEFAULT_TEST = "test"


class Named(Protocol):
    """A recipe's data, as far as it names splits."""

    @property
    def name(self) -> str: ...
    @property
    def train(self) -> str: ...
    @property
    def validation(self) -> str | None: ...
    @property
    def test(self) -> str | None: ...


def choose(rows: Rows, data: Named) -> tuple[datasets.Dataset, datasets.Dataset | None, datasets.Dataset | None]:
    """Train, validation and test rows; None for a split to be carved.

    Raises ``BadInput`` where a split is not there, is empty, or would play two parts.
    """
    train_name = resolved(rows, data.train)
    test_name = None if data.test is None else resolved(rows, data.test)
    if data.validation is not None:
        meant = resolved(rows, data.validation)
        if meant == test_name or canonical(data.validation) == "test":
            raise BadInput(
                f"data.validation: '{data.validation}' is the test split, which cannot be used for "
                "selection: name another split, or leave validation out to have it carved from train."
            )
        if meant == train_name:
            raise BadInput(
                f"data.validation: '{data.validation}' is the training split, which cannot be used for "
                "selection: name another split, or leave validation out to have it carved from train."
            )
    if test_name == train_name:
        raise BadInput(
            f"data.test: '{data.test}' is the training split: name another, or leave it out to have it carved."
        )
    train = find_split(rows, data.train, "data.train", data.name)
    validation = None
    if data.validation is not None:
        validation = find_split(rows, data.validation, "data.validation", data.name)
    if data.test is None or (data.test == DEFAULT_TEST and test_name not in rows):
        return train, validation, None
    return train, validation, find_split(rows, data.test, "data.test", data.name)


def find_split(rows: Rows, name: str, field: str, source: str) -> datasets.Dataset:
    """The split called ``name``, or by another form of it. Raises ``BadInput`` naming ``field`` where it is not there, or empty."""
    found = resolved(rows, name)
    if found not in rows:
        raise BadInput(f"{field}: '{source}' has no split '{name}'; it has {', '.join(rows)}.{_near(name, rows)}")
    if not len(rows[found]):
        raise BadInput(f"{field}: split '{found}' of '{source}' is empty: it needs at least one example.")
    return rows[found]


def resolved(rows: Rows, name: str) -> str:
    """The split that ``name`` means: itself, else the only one whose name is a form of the same (``val``, ``Validation``)."""
    if name in rows:
        return name
    alike = [other for other in rows if canonical(name) and canonical(other) == canonical(name)]
    return alike[0] if len(alike) == 1 else name


def own_validation(rows: Rows) -> str | None:
    """The data's own validation split, where it has one."""
    found = resolved(rows, "validation")
    return found if found in rows else None


def unused(rows: Rows, data: Named) -> list[str]:
    """A note for each split of the data that plays no part in a run, though there it is."""
    asked = [name for name in (data.train, data.validation, data.test) if name is not None]
    left = [name for name in rows if name not in {resolved(rows, one) for one in asked}]
    own, notes = own_validation(rows), []
    if own in left and data.validation is None:
        notes.append(f"the data's own split '{own}' is not used: data.validation: {own} would.")
        left.remove(own)
    said = ", ".join(f"'{name}' ({rows_text(len(rows[name]))})" for name in left)
    return [*notes, f"of the data's own splits these are not used: {said}."] if left else notes


def _near(name: str, rows: Rows) -> str:
    hint = did_you_mean(name, rows)
    return hint if "Did you mean" in hint else ""
