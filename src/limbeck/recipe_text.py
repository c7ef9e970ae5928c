"""The recipe's sections that are of texts alone: where they come from, and how they are varied. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from .recipe_section import Section


class TextTransfer(Section):
    """Texts without labels that the teacher answers and the student learns from, beside the training set."""

    name: str
    """A Hugging Face data set, or a local folder or file of CSV, JSONL or parquet."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    split: str = "train"
    """The split to use; its labels, if any, are ignored."""
    text: str | None = None
    """Column of the texts; found by type and name where not given."""
    sentences: bool = False
    """Cut the texts into sentences, and leave out those of fewer than four words."""
    limit: PositiveInt | None = None
    """Use at most so many texts (those with the smallest ids)."""


class TextData(Section):
    """Where the texts come from."""

    name: str
    """A Hugging Face data set, or a local folder or file of CSV, JSONL or parquet."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    train: str = "train"
    """Name of the training split."""
    validation: str | None = None
    """Name of the validation split; where there is none, it is carved from train by a fixed hash of the text."""
    test: str | None = "test"
    """Name of the test split, read once, at the end; where the data has none, it is carved from train likewise."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.9)
    """Share of the training examples carved off for validation (and for test, where the data has none)."""
    text: str | None = None
    """Column of the texts; found by type and name where not given."""
    label: str | tuple[str, ...] | None = None
    """Column of the labels; a text may have several where it is a column of lists, or where several columns of 0 and 1
    are named. Found by type and name where not given."""
    max_length: PositiveInt = 128
    """Tokens of a text, special ones included; longer texts are cut off there."""
    on_empty: Literal["refuse", "skip"] = "refuse"
    """What to do with an empty text: stop and name it, or leave it out and say so."""
    limit: PositiveInt | None = None
    """Use at most so many training examples (those with the smallest ids): for trying a recipe out."""
    transfer: TextTransfer | None = None
    """A transfer set: unlabelled texts for the soft targets."""

    @model_validator(mode="after")
    def _labels(self) -> TextData:
        if isinstance(self.label, tuple) and len(set(self.label)) < max(len(self.label), 1):
            raise ValueError("label names one column, or several columns of 0 and 1 that all differ")
        return self


class WordViews(Section):
    """How a text is varied, token by token; special tokens never are. View 0 is the text as it is.

    Whatever is random is computed from (seed, view, example id, place in the text), so a stored soft target belongs to
    the very tokens that the student sees.
    """

    replace: float = Field(default=0.0, ge=0, le=1)
    """Probability that a token is replaced by another, drawn as often as it occurs in the training texts."""
    mask: float = Field(default=0.0, ge=0, le=1)
    """Probability that a token is replaced by the tokenizer's mask token."""
    drop: float = Field(default=0.0, ge=0, lt=1)
    """Probability that a token is left out."""
