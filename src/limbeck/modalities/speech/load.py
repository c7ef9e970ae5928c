"""From the recipe's ``data`` to the splits of a run.

Shapes: N clips, T symbols.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import torch
from torch import Tensor

from ...data.columns import check_columns
from ...data.examples import HeldOut, check_every_class
from ...data.group_columns import read_groups, without_group
from ...data.groups import Groups, taken
from ...data.ids import example_ids
from ...data.labels import class_names, notes_on, read_labels
from ...data.reading import notes_of
from ...data.split_roles import DEFAULT_TEST, choose, find_split, unused
from ...data.splits import arrange
from ...errors import BadInput
from ...files import fingerprint
from ...progress import Bar
from .columns import TEXT_NAMES, find_audio, find_label, find_text
from .data_sections import Data, SpeechData, Transfer
from .decode import Sounds, Wanted, decode
from .examples import Clips, Splits, symbols_of
from .sources import lie_elsewhere, open_sounds, root_of
from .transcripts import alphabet_of, normalised, spelt

Counted = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Part:
    """A stored split, decoded: N clips with labels (N,), (N, T) or None, content hashes (N,), groups and transcripts of N or None."""

    sounds: Sounds
    starts: Tensor
    lengths: Tensor
    labels: Tensor | None
    content: Tensor
    rate: int
    groups: Groups | None = None
    texts: tuple[str, ...] | None = None

    @staticmethod
    def of(
        sounds: Sounds,
        labels: Tensor | None,
        rate: int,
        groups: Groups | None = None,
        texts: tuple[str, ...] | None = None,
    ) -> Part:
        """Of sounds, and what is known of each."""
        starts = sounds.lengths.cumsum(0) - sounds.lengths
        return Part(sounds, starts, sounds.lengths, labels, sounds.content, rate, groups, texts)

    def __len__(self) -> int:
        return len(self.content)

    @property
    def alike(self) -> Tensor:
        """The content: clips are alike where every sample is the same."""
        return self.content

    def where(self, keep: Tensor) -> Part:
        """The rows where ``keep`` (N,) bool holds."""
        if bool(keep.all()):
            return self
        texts = self.texts
        return dataclasses.replace(
            self,
            starts=self.starts[keep],
            lengths=self.lengths[keep],
            labels=None if self.labels is None else self.labels[keep],
            content=self.content[keep],
            groups=taken(self.groups, keep),
            texts=None if texts is None else tuple(texts[row] for row in keep.nonzero().flatten().tolist()),
        )

    def examples(self) -> Clips:
        """The part as clips, with ids that tell duplicates apart."""
        ids = example_ids(self.content, self.labels)
        return Clips(
            self.sounds.samples, self.starts, self.lengths, self.labels, ids, self.rate, self.groups, self.texts
        )

    def to_train_on(self) -> Clips:
        """As all others."""
        return self.examples()


@dataclass
class _Reader:
    """What reading a split of a recipe's data takes, once the training rows have said which columns hold what."""

    data: Data | SpeechData
    audio: str
    answer: str  # column of labels, or of transcripts
    root: Path | None
    wanted: Wanted
    progress: Bar | None
    classes: tuple[str, ...] = ()
    alphabet: tuple[str, ...] = ()
    counted: Counted = field(default_factory=dict)

    def part(self, rows: datasets.Dataset, split: str, notes: list[str], *, role: str) -> Part:
        """Labels and groups come before sounds: they are quick to read, and quick to be wrong."""
        of_test = role == "test"
        not_column = (self.audio,) if isinstance(self.data, SpeechData) else (self.audio, self.answer)
        said = notes if of_test else None
        where = {"image": self.audio, "root": "" if self.root is None else str(self.root), "instead_of_refusing": said}
        groups = read_groups(rows, self.data.group, split, not_column=not_column, **where)
        texts, labels, count, empty = None, None, len(rows), []
        kept = torch.arange(count)
        if isinstance(self.data, SpeechData):
            read = [normalised(text, self.data) for text in _texts(rows, self.answer)]
            if role == "train":
                self.alphabet = alphabet_of(read, self.data)
            found = spelt(read, self.alphabet, split, self.data, notes, of_test=of_test)
            kept = torch.tensor([row for row, text in enumerate(found) if text is not None], dtype=torch.int64)
            if count and not len(kept):
                raise BadInput(
                    f"split '{split}': every transcript has letters that the alphabet lacks, so that no clip is left: name another "
                    "data.alphabet, or column of transcripts."
                )
            texts = [text for text in found if text is not None]
            if empty := [row for row, text in enumerate(found) if text == ""]:
                which = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
                notes.append(
                    f"split '{split}': {len(empty):,} of {count:,} transcripts are empty: in their clips nothing is taken to be said "
                    f"(row {which}, counted from 0)."
                )
        else:
            labels = read_labels(rows, self.answer, self.classes, split)
            if role == "train":
                check_every_class(labels, self.classes, split)
        some = rows if len(kept) == count else rows.select(kept.tolist())
        wanted = self.wanted if role == "train" else dataclasses.replace(self.wanted, longest=None)
        sounds = decode(some, self.audio, split, wanted, self.root, self.progress)
        notes += sounds.notes
        self.counted[role] = sounds.counted | ({"unfit": count - len(kept)} if len(kept) < count else {})
        self.counted[role] |= {"empty": len(empty)} if empty else {}
        if role == "train" and sounds.counted.get("silent") == len(sounds.rows):
            raise BadInput(
                f"the {len(sounds.rows):,} clips of split '{split}' are all silent, so there is nothing to learn from: listen to the files."
            )
        at = kept[sounds.rows]
        assert wanted.rate is not None
        if texts is not None:
            said_of = tuple(texts[row] for row in sounds.rows.tolist())
            return Part.of(sounds, symbols_of(said_of, self.alphabet), wanted.rate, taken(groups, at), said_of)
        assert labels is not None
        return Part.of(sounds, labels[at], wanted.rate, taken(groups, at))


def load(data: Data | SpeechData, progress: Bar | None = None) -> Splits:
    """Find the clips, decode train, validation and transfer, and shut the test split away unread.

    ``progress`` is ``limbeck.progress.bar`` or its like; None: silent. A test split that the data gives is decoded when it is
    opened, and neither its sounds nor its labels are looked at before. Transfer clips that stand in train or validation are
    left out; those that stand in such a test split cannot be known.

    Raises ``BadInput`` for whatever is wrong with the data: not found, unreadable, empty, without the named splits or columns,
    with sounds that cannot be read, with labels out of range or letters that the alphabet lacks, with a class missing from
    train.
    """
    windowed = isinstance(data, Data)
    rows = open_sounds(data.name, data.config, label=data.label if isinstance(data, Data) else None)
    train_rows, validation_rows, test_rows = choose(rows, data)
    answer = data.label if isinstance(data, Data) else data.text
    # transcripts may group clips: those that say the same
    features = without_group(train_rows.features, data.group, data.audio, answer, *(() if windowed else TEXT_NAMES))
    audio = find_audio(features, data.audio)
    answer = (
        find_label(features, audio, data.label) if isinstance(data, Data) else find_text(features, audio, data.text)
    )
    for split, name in ((validation_rows, data.validation), (test_rows, data.test)):
        if split is not None:
            test, source = split is test_rows, data.name
            check_columns(split, [audio], [answer], train_rows, name or DEFAULT_TEST, test=test, source=source)
    classes = class_names(train_rows, answer) if isinstance(data, Data) else ()
    notes = [*notes_of(rows), *(notes_on(classes, f"column '{answer}'") if classes else [])]
    wanted = Wanted(
        data.rate,
        data.on_corrupt == "skip",
        window=data.seconds if windowed else None,
        longest=None if windowed else data.seconds,
    )
    reader = _Reader(data, audio, answer, root_of(data.name, data.config), wanted, progress, classes)
    train = reader.part(train_rows, data.train, notes, role="train")
    validation = None
    if validation_rows is not None:
        validation = reader.part(validation_rows, data.validation or "validation", notes, role="validation")
    notes += unused(rows, data)

    test = None
    if test_rows is not None:
        given = test_rows

        def read_test(said: list[str]) -> Clips:
            part = reader.part(given, data.test or DEFAULT_TEST, said, role="test")
            if shared := int(torch.isin(part.content, train.content).sum()):
                said.append(f"{shared} of {len(part)} test clips stand in the training data too.")
            return part.examples()

        test = HeldOut(read_test, count=len(test_rows))

    transfer, far = None, False
    if data.transfer is not None:
        transfer, far = _transfer(data.transfer, data.group, reader, notes)
    arranged = arrange(
        train,
        validation,
        test,
        transfer,
        what="clip",
        classes=classes,
        fraction=data.validation_fraction,
        alphabet=reader.alphabet,
        limit=data.limit,
        transfer_limit=data.transfer.limit if data.transfer else None,
        notes=notes,
    )
    facts = vars(arranged)
    if validation is None and data.group is None:
        facts = facts | {"notes": (*arranged.notes, *_said_on_both_sides(arranged.train, arranged.validation))}
    facts = facts | {"elsewhere": far or lie_elsewhere([train_rows, validation_rows, test_rows], audio, reader.root)}
    return of_clips(arranged_facts=facts, rate=train.rate, seconds=wanted.window, counted=reader.counted)


def _said_on_both_sides(train: Clips, validation: Clips) -> list[str]:
    """A note where transcripts stand on two sides of a carving."""
    known = set(train.texts or ())
    shared = sum(text in known for text in validation.texts or ())
    return [
        f"{shared:,} of {len(validation):,} validation clips, which are carved from train, say what a training clip says; data.group "
        "with the column of transcripts keeps such clips in one split."
    ] if shared else []  # fmt: skip


def of_clips(*, arranged_facts: dict, rate: int, seconds: float | None, counted: Counted) -> Splits:
    """The splits that ``arrange`` made as those of clips at a rate, in a window of so many seconds, both of which are fingerprinted."""
    samples = None if seconds is None else max(1, round(seconds * rate))
    heard = {"rate": rate, "samples": samples}
    prints = {name: fingerprint({"examples": arranged_facts[name], **heard}) for name in ("fingerprint", "labelled")}
    return Splits(**{**arranged_facts, **prints}, rate=rate, samples=samples, counted=counted)


def _transfer(transfer: Transfer, group: str | None, reader: _Reader, notes: list[str]) -> tuple[Part, bool]:
    """The transfer set, and whether it names files elsewhere."""
    source = open_sounds(transfer.name, transfer.config, "data.transfer.name", labelled=False)
    rows = find_split(source, transfer.split, "data.transfer.split", transfer.name)
    column = find_audio(rows.features, transfer.audio, "data.transfer.audio")
    root = root_of(transfer.name, transfer.config, "data.transfer.name")
    sounds = decode(rows, column, "transfer", reader.wanted, root, reader.progress)
    notes += sounds.notes
    reader.counted["transfer"] = sounds.counted
    # Where nothing groups them, that is noted when the splits are arranged.
    where = {"image": column, "root": "" if root is None else str(root), "instead_of_refusing": []}
    groups = read_groups(rows, group, "transfer", **where)
    assert reader.wanted.rate is not None
    return Part.of(sounds, None, reader.wanted.rate, taken(groups, sounds.rows)), lie_elsewhere([rows], column, root)


def _texts(rows: datasets.Dataset, column: str) -> list[str]:
    cells = rows.select_columns([column]).with_format("arrow")[:][column].to_pylist()  # pyright: ignore
    return [cell or "" for cell in cells]
