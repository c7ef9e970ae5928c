"""From a recipe's texts to the splits of a run: read, labelled, carved, tokenised once.

Shapes: N examples.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import datasets
import torch
from torch import Tensor

from limbeck.errors import BadInput
from limbeck.files import fingerprint
from limbeck.recipe_text import TextData, TextTransfer

from .arrange import arrange
from .choice import DEFAULT_TEST, choose, find_split, unused_validation
from .examples import HeldOut, check_every_class
from .group_columns import read_groups, without_group
from .groups import Groups, taken
from .ids import example_ids, text_ids
from .images import Progress
from .reading import notes_of
from .sentences import sentences_of
from .text_columns import (
    TextColumns,
    find_text,
    find_text_columns,
    read_text_labels,
    read_texts,
    text_classes,
)
from .text_examples import TextExamples, TextSplits, Vocabulary, from_tokens
from .text_sources import open_texts

_FEWEST_WORDS = 4
_BATCH = 1000
_NO_LETTERS = re.compile(r"[\W_]+")


class Tokeniser:
    """A fast Hugging Face tokenizer, and where it cuts texts off.

    Args:
        tokenizer: what ``AutoTokenizer.from_pretrained`` gives.
        max_length: tokens of a text, special ones included.
        progress: ``limbeck.progress.bar`` or its like; None: silent.

    Raises:
        BadInput: the tokenizer is not fast, or ``max_length`` more than it was made for, or too few for any word.
    """

    def __init__(self, tokenizer: Any, max_length: int, progress: Progress | None = None) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise BadInput("the tokenizer has no fast form (tokenizer.json): save it with one, or take another.")
        if max_length > tokenizer.model_max_length:
            raise BadInput(
                f"data.max_length: {max_length} is more than the {tokenizer.model_max_length} tokens that the teacher's "
                "tokenizer is made for."
            )
        if max_length <= (special := tokenizer.num_special_tokens_to_add()):
            raise BadInput(f"data.max_length: {max_length} leaves no room beside {special} special tokens.")
        self.tokenizer, self.max_length, self.progress = tokenizer, max_length, progress
        self.vocabulary = Vocabulary.of(tokenizer)

    def __call__(self, texts: Sequence[str], split: str) -> tuple[list[list[int]], int]:
        """The tokens of each text, and how many texts were cut off."""
        tokens: list[list[int]] = []
        cut = 0
        report = self.progress(len(texts), f"tokenising {split}") if self.progress else nullcontext(lambda n=1: None)
        with report as advance:
            for start in range(0, len(texts), _BATCH):
                batch = list(texts[start : start + _BATCH])
                encoded = self.tokenizer(
                    batch,
                    truncation=True,
                    max_length=self.max_length,
                    return_attention_mask=False,
                    return_token_type_ids=False,
                )
                tokens += encoded["input_ids"]
                cut += sum(len(one) == self.max_length and bool(one.overflowing) for one in encoded.encodings)
                advance(len(batch))
        return tokens, cut


@dataclass(frozen=True)
class TextPart:
    """A stored split: N texts, labels (N,) or (N, K) or None, hashes (N,) of each text and of its letters alone."""

    texts: tuple[str, ...]
    labels: Tensor | None
    content: Tensor
    alike: Tensor
    split: str
    tokenise: Tokeniser
    notes: list[str]  # gains a sentence where texts are cut off
    groups: Groups | None = None

    @staticmethod
    def of(
        texts: Sequence[str],
        labels: Tensor | None,
        split: str,
        tokenise: Tokeniser,
        notes: list[str],
        groups: Groups | None = None,
    ) -> TextPart:
        """The part with its hashes."""
        return TextPart(
            tuple(texts), labels, text_ids(texts, split), letters_ids(texts), split, tokenise, notes, groups
        )

    def __len__(self) -> int:
        return len(self.texts)

    def where(self, keep: Tensor) -> TextPart:
        """The rows where ``keep`` (N,) bool holds."""
        if bool(keep.all()):
            return self
        return dataclasses.replace(
            self,
            texts=tuple(self.texts[row] for row in keep.nonzero().flatten().tolist()),
            labels=None if self.labels is None else self.labels[keep],
            content=self.content[keep],
            alike=self.alike[keep],
            groups=taken(self.groups, keep),
        )

    def examples(self) -> TextExamples:
        """The part tokenised, with ids that tell duplicates apart."""
        tokens, cut = self.tokenise(self.texts, self.split)
        if cut:
            self.notes.append(
                f"split '{self.split}': {cut} of {len(self)} texts are cut off after {self.tokenise.max_length} tokens; "
                "data.max_length sets how many."
            )
        return from_tokens(tokens, self.labels, example_ids(self.content, self.labels), self.texts, self.groups)


def letters_ids(texts: Sequence[str]) -> Tensor:
    """A hash (N,) int64 of each text's letters and digits without case: equal where only spacing and the like differ."""
    # a text without any, such as ":-)", stands for itself
    reduced = [_NO_LETTERS.sub("", text.casefold()) or text.strip() for text in texts]
    return text_ids(reduced, "texts")


def load_texts(data: TextData, tokenizer: Any, progress: Progress | None = None) -> TextSplits:
    """Find the texts, tokenise train, validation and transfer, and shut the test split away.

    ``tokenizer`` is the teacher's; see :class:`Tokeniser`. Copies of a text, which may differ in case, spacing and
    punctuation, are carved to one side and noted where splits that were given share some. Nothing of a test split that
    the data gives is read before it is opened, except where there is a transfer set: then its texts are hashed, without
    their labels, so that none of them gets into the transfer set.

    Raises ``BadInput`` for whatever is wrong with the data: not found, unreadable, not UTF-8, without the named splits
    or columns, with an empty text, with labels out of range, with a class missing from train.
    """
    rows = open_texts(data.name, data.config)
    train_rows, validation_rows, test_rows = choose(rows, data)
    named = (data.label,) if isinstance(data.label, str) else data.label or ()
    features = without_group(train_rows.features, data.group, data.text, *named)
    columns = find_text_columns(features, data.text, data.label)
    for split, name in ((validation_rows, data.validation), (test_rows, data.test)):
        if split is not None:
            _check_columns(split, columns, train_rows, name or DEFAULT_TEST)
    classes = text_classes(train_rows, columns.label)
    tokenise = Tokeniser(tokenizer, data.max_length, progress)
    notes = notes_of(rows)
    cut: list[str] = []

    def labelled(split: datasets.Dataset, name: str, said: list[str]) -> TextPart:
        labels = read_text_labels(split, columns.label, classes, name)
        if name == data.train:
            check_every_class(labels, classes, name)
        texts, kept = _not_empty(read_texts(split, columns.text, name), name, data.on_empty, said)
        of_test = said if split is test_rows else None
        groups = read_groups(split, data.group, name, not_column=columns.all, instead_of_refusing=of_test)
        said_of_length = cut if said is notes else said
        return TextPart.of(texts, labels[kept], name, tokenise, said_of_length, taken(groups, kept))

    train = labelled(train_rows, data.train, notes)
    validation = None
    if validation_rows is not None:
        validation = labelled(validation_rows, data.validation or "validation", notes)
    else:
        notes += unused_validation(rows)

    test = None
    if test_rows is not None:
        test_name, given = data.test or DEFAULT_TEST, test_rows

        def read_test(said: list[str]) -> TextExamples:
            part = labelled(given, test_name, said)
            if shared := int(torch.isin(part.alike, train.alike).sum()):
                said.append(f"{shared} of {len(part)} test texts stand in the training data too.")
            return part.examples()

        test = HeldOut(read_test, count=len(test_rows))

    transfer = kept_out = None
    if data.transfer is not None:
        transfer = _transfer(data.transfer, data.group, tokenise, notes, cut)
        if test_rows is not None:
            kept_out = letters_ids(read_texts(test_rows, columns.text, data.test or DEFAULT_TEST))
    arranged = arrange(
        train,
        validation,
        test,
        transfer,
        what="text",
        classes=classes,
        fraction=data.validation_fraction,
        limit=data.limit,
        transfer_limit=data.transfer.limit if data.transfer else None,
        not_in_transfer=kept_out,
        notes=notes,
    )
    taught = (arranged.train, arranged.validation)
    known = vars(arranged) | {
        "fingerprint": _fingerprint(arranged.fingerprint, *taught, arranged.transfer),
        "labelled": _fingerprint(arranged.labelled, *taught),
        "notes": (*arranged.notes, *cut),
    }
    return TextSplits(**known, vocabulary=tokenise.vocabulary, tokenizer=tokenizer, max_length=data.max_length)


def _check_columns(rows: datasets.Dataset, columns: TextColumns, train: datasets.Dataset, name: str) -> None:
    for column in columns.all:
        if column not in rows.features:
            raise BadInput(f"split '{name}' has no column '{column}': every split needs the columns that train has.")
        names, train_names = (_names(split.features[column]) for split in (rows, train))
        if names != train_names:
            raise BadInput(
                f"split '{name}' numbers its classes otherwise than the training split (column '{column}'): give all "
                "splits the same class names in the same order."
            )


def _names(kind: Any) -> list[str] | None:
    return getattr(getattr(kind, "feature", kind), "names", None)


def _not_empty(texts: list[str], split: str, on_empty: str, notes: list[str]) -> tuple[list[str], Tensor]:
    """The texts that say something, and the rows (N,) they stood in."""
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if not empty:
        return texts, torch.arange(len(texts))
    if on_empty == "refuse":
        raise BadInput(
            f"split '{split}', row {empty[0]} (counted from 0): the text is empty ({len(empty)} of {len(texts)} are): mend it or take it "
            "out, or set data.on_empty: skip to leave such texts out."
        )
    named = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
    notes.append(
        f"split '{split}': {len(empty)} of {len(texts)} texts are empty and left out: row {named} (counted from 0)."
    )
    if len(empty) == len(texts):
        raise BadInput(f"split '{split}' holds nothing but empty texts: name another column (data.text).")
    gone = set(empty)
    kept = [row for row in range(len(texts)) if row not in gone]
    return [texts[row] for row in kept], torch.tensor(kept)


def _transfer(
    transfer: TextTransfer, group: str | None, tokenise: Tokeniser, notes: list[str], cut: list[str]
) -> TextPart:
    """Each text once; of those that are alike the one with the smallest hash, whatever the order they come in."""
    source = open_texts(transfer.name, transfer.config, "data.transfer.name")
    rows = find_split(source, transfer.split, "data.transfer.split", transfer.name)
    texts = read_texts(rows, find_text(rows.features, transfer.text, None, "data.transfer.text"), "transfer")
    whole = len(texts)
    groups = read_groups(rows, group, "transfer") if group in rows.features else None
    rows_of = list(enumerate(texts))
    if transfer.sentences:
        rows_of = [(row, sentence) for row, text in rows_of for sentence in sentences_of(text)]
    found, fewest = len(rows_of), _FEWEST_WORDS if transfer.sentences else 1
    rows_of = [(row, text) for row, text in rows_of if len(text.split()) >= fewest]
    texts = [text for _, text in rows_of]
    groups = taken(groups, torch.tensor([row for row, _ in rows_of], dtype=torch.int64))
    if not texts:
        what = f"sentences of {fewest} words or more" if transfer.sentences else "texts"
        raise BadInput(f"data.transfer: split '{transfer.split}' of '{transfer.name}' holds no {what}: name another.")
    part = TextPart.of(texts, None, "transfer", tokenise, cut, groups)
    first = torch.zeros(len(part), dtype=torch.bool)
    by_content = torch.argsort(part.content, stable=True)
    order = by_content[torch.argsort(part.alike[by_content], stable=True)]
    first[order] = torch.cat([torch.ones(1, dtype=torch.bool), part.alike[order].diff() != 0])
    once = part.where(first)
    notes.append(
        f"the transfer set holds {len(once)} {'sentences' if transfer.sentences else 'texts'} of {whole} texts; left out "
        f"are {found - len(part)} with fewer than {fewest} word{'s' if fewest > 1 else ''} and {len(part) - len(once)} "
        "that are there already."
    )
    return once


def _fingerprint(examples: str, *splits: TextExamples | None) -> str:
    """That of ids and labels, with the tokens, in the order of the ids."""
    hashed = hashlib.sha256()
    for part in splits:
        if part is not None:
            ordered = part.take(torch.argsort(part.ids))
            hashed.update(ordered.offsets.numpy().tobytes())
            hashed.update(ordered.tokens.numpy().tobytes())
    return fingerprint({"examples": examples, "tokens": hashed.hexdigest()})
