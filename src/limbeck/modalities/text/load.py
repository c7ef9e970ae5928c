"""From a recipe's texts to the splits of a run: read, labelled, carved, tokenised once.

Shapes: N examples.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import datasets
import torch
from torch import Tensor

from ...data.columns import check_columns
from ...data.examples import HeldOut, check_every_class
from ...data.group_columns import read_groups, without_group
from ...data.groups import Groups, taken
from ...data.ids import Text, example_ids, text_ids
from ...data.labels import check_answers, notes_on, one_each
from ...data.reading import Rows, notes_of
from ...data.split_roles import DEFAULT_TEST, choose, find_split, unused
from ...data.splits import arrange
from ...errors import BadInput
from ...files import fingerprint
from ...nlp.columns import find_text, read_texts
from ...nlp.sentences import sentences_of
from ...nlp.sources import open_texts
from ...nlp.tokenizer import Tokeniser
from ...nlp.tokens import TextExamples, Vocabulary, from_tokens, letters_ids
from ...progress import Bar
from .columns import TextColumns, find_text_columns, label_headings, other_texts, read_text_labels, text_classes
from .examples import TextSplits
from .recipe import TextData, TextTransfer

_FEWEST_WORDS = 4


@dataclass(frozen=True)
class TextPart:
    """A stored split: N texts, labels (N,) or (N, K) or None, hashes (N,) of each text and of its letters alone."""

    texts: tuple[Text, ...]
    labels: Tensor | None
    content: Tensor
    alike: Tensor
    split: str
    tokenise: Tokeniser
    notes: list[str]  # gains a sentence where texts are cut off
    groups: Groups | None = None

    @staticmethod
    def of(
        texts: Sequence[Text],
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

    def to_train_on(self) -> TextExamples:
        """As all others."""
        return self.examples()

    def examples(self) -> TextExamples:
        """The part tokenised, with ids that tell duplicates apart."""
        tokens, segments, cut = self.tokenise(self.texts, self.split)
        if cut:
            self.notes.append(
                f"split '{self.split}': {cut} of {len(self)} texts are cut off after {self.tokenise.max_length} tokens; "
                "data.max_length sets how many."
            )
        ids = example_ids(self.content, self.labels)
        return from_tokens(tokens, self.labels, ids, self.texts, self.groups, segments)


def load_texts(
    data: TextData, tokenizer: Any, progress: Bar | None = None, *, at_hand: Rows | None = None
) -> TextSplits:
    """Find the texts, tokenise train, validation and transfer, and shut the test split away.

    ``tokenizer`` is the teacher's; see :class:`Tokeniser`. Copies of a text, which may differ in case, spacing and
    punctuation, are carved to one side and noted where splits that were given share some. Nothing of a test split that
    the data gives is read before it is opened, except where there is a transfer set: then its texts are hashed, without
    their labels, so that none of them gets into the transfer set. ``at_hand``: the splits, ``transfer`` among them, where
    they are there and need not be found.

    Raises ``BadInput`` for whatever is wrong with the data: not found, unreadable, not UTF-8, without the named splits
    or columns, with an empty text, with labels out of range, with a class missing from train.
    """
    if at_hand is None:
        rows = open_texts(data.name, data.config, labels=partial(label_headings, text=data.text, label=data.label))
    else:
        rows = {name: split for name, split in at_hand.items() if name != "transfer"}
    train_rows, validation_rows, test_rows = choose(rows, data)
    named = [
        name for given in (data.text, data.label) for name in ((given,) if isinstance(given, str) else given or ())
    ]
    features = without_group(train_rows.features, data.group, *named)
    columns = find_text_columns(features, data.text, data.label)
    for split, name in ((validation_rows, data.validation), (test_rows, data.test)):
        if split is not None:
            test, source = split is test_rows, data.name
            check_columns(
                split, columns.texts, columns.labels, train_rows, name or DEFAULT_TEST, test=test, source=source
            )
    classes = text_classes(train_rows, columns.label)
    pair = columns.text if isinstance(columns.text, tuple) else None
    tokenise = Tokeniser(tokenizer, data.max_length, progress, pairs=pair is not None)
    labelled_by = f"column '{columns.label}'" if isinstance(columns.label, str) else "data.label"
    notes = (
        notes_of(rows) + _on_columns(train_rows, columns, data, tokenise.vocabulary) + notes_on(classes, labelled_by)
    )
    cut: list[str] = []

    def labelled(split: datasets.Dataset, name: str, said: list[str]) -> TextPart:
        check_answers(split, name)
        labels = read_text_labels(split, columns.label, classes, name)
        if name == data.train:
            check_every_class(labels, classes, name)
            said += one_each(labels, columns.label)
        texts, kept = _not_empty(read_texts(split, columns.text, name), name, columns.texts, data.on_empty, said)
        of_test = said if split is test_rows else None
        # a side of pairs may group them: those of one premise
        taken_columns = columns.all if pair is None else columns.all[2:]
        groups = read_groups(split, data.group, name, not_column=taken_columns, instead_of_refusing=of_test)
        said_of_length = cut if said is notes else said
        return TextPart.of(texts, labels[kept], name, tokenise, said_of_length, taken(groups, kept))

    train = labelled(train_rows, data.train, notes)
    validation = None
    if validation_rows is not None:
        validation = labelled(validation_rows, data.validation or "validation", notes)
    notes += unused(rows, data)

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
        transfer = _transfer(data.transfer, at_hand, pair, data.group, tokenise, notes, cut)
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
    if pair is not None and validation is None and data.group is None:
        cut += _shared_sides(*taught, pair)
    known = vars(arranged) | {
        "fingerprint": _fingerprint(arranged.fingerprint, *taught, arranged.transfer),
        "labelled": _fingerprint(arranged.labelled, *taught),
        "notes": (*arranged.notes, *cut),
    }
    return TextSplits(
        **known, vocabulary=tokenise.vocabulary, tokenizer=tokenizer, max_length=data.max_length, pair=pair
    )


def _shared_sides(train: TextExamples, validation: TextExamples, pair: tuple[str, str]) -> list[str]:
    """A note where pairs on two sides of a carving have a side in common."""
    known = [{text[side] for text in train.texts} for side in (0, 1)]
    shared = [sum(text[side] in known[side] for text in validation.texts) for side in (0, 1)]
    if not max(shared):
        return []
    name = pair[shared.index(max(shared))]
    return [
        f"{max(shared)} of {len(validation)} validation pairs, which are carved from train, have the {name} of a training "
        f"pair; data.group: {name} keeps such pairs in one split."
    ]


def _on_columns(rows: datasets.Dataset, columns: TextColumns, data: TextData, vocabulary: Vocabulary) -> list[str]:
    """What a person should know of how the columns are read: of pairs, and of texts that are left aside unasked."""
    if len(columns.texts) == 2:
        first, second = columns.texts
        note = f"each example is a pair, '{first}' first and '{second}' second."
        if vocabulary.separator is None and not vocabulary.segments:
            note += " Beware: the teacher's tokenizer puts nothing between the two, so no model sees where one ends."
        return [note]
    if data.text is None and (others := other_texts(rows, columns)):
        named = ", ".join(f"'{name}'" for name in others)
        return [
            f"the texts are those of column '{columns.text}'; {named} {'holds' if len(others) == 1 else 'hold'} texts too, and "
            f"{'is' if len(others) == 1 else 'are'} not read (data.text: [{others[0]}, {columns.text}] would read pairs)."
        ]
    return []


def _not_empty(
    texts: Sequence[Text], split: str, columns: tuple[str, ...], on_empty: str, notes: list[str]
) -> tuple[Sequence[Text], Tensor]:
    """The texts that say something, on both sides where they are pairs, and the rows (N,) they stood in."""
    parts = [_sides_of(text) for text in texts]
    empty = [row for row, sides in enumerate(parts) if not all(side.strip() for side in sides)]
    if not empty:
        return texts, torch.arange(len(texts))
    what = "the text" if len(columns) == 1 else next(c for c, side in zip(columns, parts[empty[0]]) if not side.strip())
    if on_empty == "refuse":
        raise BadInput(
            f"split '{split}', row {empty[0]} (counted from 0): {what} is empty ({len(empty)} of {len(texts)} are): mend it or take it "
            "out, or set data.on_empty: skip to leave such texts out."
        )
    named = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
    whose = "texts" if len(columns) == 1 else "pairs lack a side"
    are = "are empty and left out" if len(columns) == 1 else "and are left out"
    notes.append(f"split '{split}': {len(empty)} of {len(texts)} {whose} {are}: row {named} (counted from 0).")
    if len(empty) == len(texts):
        raise BadInput(f"split '{split}' holds nothing but empty texts: name another column (data.text).")
    gone = set(empty)
    kept = [row for row in range(len(texts)) if row not in gone]
    return [texts[row] for row in kept], torch.tensor(kept)


def _transfer(
    transfer: TextTransfer,
    at_hand: Rows | None,
    pair: tuple[str, str] | None,
    group: str | None,
    tokenise: Tokeniser,
    notes: list[str],
    cut: list[str],
) -> TextPart:
    """Each text once; of those that are alike the one with the smallest hash, whatever the order they come in."""
    source = at_hand or open_texts(transfer.name, transfer.config, "data.transfer.name")
    rows = find_split(source, transfer.split, "data.transfer.split", transfer.name)
    column = find_text(rows.features, transfer.text or pair, None, "data.transfer.text")
    texts = read_texts(rows, column, "transfer")
    whole = len(texts)
    groups = read_groups(rows, group, "transfer") if group in rows.features else None
    rows_of = list(enumerate(texts))
    if transfer.sentences:
        rows_of = [(row, sentence) for row, text in rows_of if isinstance(text, str) for sentence in sentences_of(text)]
    found, fewest = len(rows_of), _FEWEST_WORDS if transfer.sentences else 1
    rows_of = [(row, text) for row, text in rows_of if min(len(side.split()) for side in _sides_of(text)) >= fewest]
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
    of_what = "sentences" if transfer.sentences else "pairs" if pair else "texts"
    fewer = f"with fewer than {fewest} word{'s' if fewest > 1 else ''}{' on a side' if pair else ''}"
    gone = ((found - len(part), fewer), (len(part) - len(once), "that are there already"))
    left_out = " and ".join(f"{count} {why}" for count, why in gone if count)
    said = f"the transfer set holds {len(once)} {of_what} of {whole} {'pairs' if pair else 'texts'}"
    notes.append(f"{said}; left out are {left_out}." if left_out else f"{said}.")
    return once


def _sides_of(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text


def _fingerprint(examples: str, *splits: TextExamples | None) -> str:
    """That of ids and labels, with tokens and their segments, in the order of the ids."""
    hashed = hashlib.sha256()
    for part in splits:
        if part is not None:
            ordered = part.take(torch.argsort(part.ids))
            hashed.update(ordered.offsets.numpy().tobytes())
            hashed.update(ordered.tokens.numpy().tobytes())
            if ordered.segments is not None:
                hashed.update(ordered.segments.numpy().tobytes())
    return fingerprint({"examples": examples, "tokens": hashed.hexdigest()})
