"""Which of a data set's splits play which part in a run."""

from __future__ import annotations

from typing import Protocol

import datasets

from limbeck.errors import BadInput, did_you_mean

from .sources import Rows

DEFAULT_TEST = "test"
_TEST_NAMES = ("test", "testing")
_VALIDATION_NAMES = ("validation", "valid", "val", "dev")


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
    if data.validation is not None:
        if data.validation == data.test or data.validation.lower() in _TEST_NAMES:
            raise BadInput(
                f"data.validation: '{data.validation}' is the test split, which cannot be used for "
                "selection: name another split, or leave validation out to have it carved from train."
            )
        if data.validation == data.train:
            raise BadInput(
                f"data.validation: '{data.validation}' is the training split, which cannot be used for "
                "selection: name another split, or leave validation out to have it carved from train."
            )
    if data.test == data.train:
        raise BadInput(
            f"data.test: '{data.test}' is the training split: name another, or leave it out to have it carved."
        )
    train = find_split(rows, data.train, "data.train", data.name)
    validation = None
    if data.validation is not None:
        validation = find_split(rows, data.validation, "data.validation", data.name)
    if data.test is None or (data.test == DEFAULT_TEST and data.test not in rows):
        return train, validation, None
    return train, validation, find_split(rows, data.test, "data.test", data.name)


def find_split(rows: Rows, name: str, field: str, source: str) -> datasets.Dataset:
    """The split called ``name``. Raises ``BadInput`` naming ``field`` where it is not there, or empty."""
    if name not in rows:
        raise BadInput(f"{field}: '{source}' has no split '{name}'; it has {', '.join(rows)}.{_near(name, rows)}")
    if not len(rows[name]):
        raise BadInput(f"{field}: split '{name}' of '{source}' is empty: it needs at least one example.")
    return rows[name]


def unused_validation(rows: Rows) -> list[str]:
    """A note where the data has a validation split that nobody asked for."""
    unused = [name for name in _VALIDATION_NAMES if name in rows]
    return [f"the data's own split '{unused[0]}' is not used: data.validation: {unused[0]} would."] if unused else []


def _near(name: str, rows: Rows) -> str:
    hint = did_you_mean(name, rows)
    return hint if "Did you mean" in hint else ""
