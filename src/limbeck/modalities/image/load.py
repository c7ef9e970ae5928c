"""From the recipe's ``data`` to the splits of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import torch

from ...data.columns import check_columns
from ...data.examples import HeldOut, check_every_class
from ...data.group_columns import read_groups, without_group
from ...data.groups import Groups, taken
from ...data.ids import example_ids
from ...data.labels import class_names, notes_on, read_labels
from ...data.reading import notes_of
from ...data.split_roles import DEFAULT_TEST, choose, find_split, own_validation, resolved, unused
from ...progress import Bar
from ...vision.decode import Form, Wanted, decode
from ...vision.inputs import content_ids
from ...vision.pixels import BACKGROUNDS, Preparation
from ...vision.sources import open_images
from .columns import Columns, find_columns, find_image
from .examples import Examples, Splits
from .recipe import Data, Transfer
from .splits import Part, assemble


def load(data: Data, progress: Bar | None = None) -> Splits:
    """Find the data set, decode train, validation and transfer, and shut the test split away unread.

    ``progress`` is ``limbeck.progress.bar`` or its like; None: silent. A test split that the data gives is
    decoded when it is opened, and neither its images nor its labels are looked at before. Transfer examples
    that stand in train or validation are left out; those that stand in such a test split cannot be known.

    Raises ``BadInput`` for whatever is wrong with the data: not found, unreadable, empty, without the named
    splits or columns, with images that are corrupt or of several sizes, with labels out of range, with a
    class missing from train.
    """
    rows = open_images(data.name, data.config, label=data.label)
    train_rows, validation_rows, test_rows = choose(rows, data)
    columns = find_columns(
        without_group(train_rows.features, data.group, data.image, data.label), data.image, data.label
    )
    classes = class_names(train_rows, columns.label)
    for split, name in ((validation_rows, data.validation), (test_rows, data.test)):
        if split is not None:
            test, source = split is test_rows, data.name
            check_columns(
                split, [columns.image], [columns.label], train_rows, name or DEFAULT_TEST, test=test, source=source
            )
    notes = [*notes_of(rows), *notes_on(classes, f"column '{columns.label}'")]
    wanted = wanted_of(data)

    def groups_of(split: datasets.Dataset, name: str, said: list[str] | None = None) -> Groups | None:
        pair = (columns.image, columns.label)
        how = {"image": columns.image, "root": data.name, "instead_of_refusing": said}
        return read_groups(split, data.group, name, not_column=pair, **how)

    # Labels and groups come before images: they are quick to read, and quick to be wrong.
    train_groups = groups_of(train_rows, data.train)
    train_labels = read_labels(train_rows, columns.label, classes, data.train)
    check_every_class(train_labels, classes, data.train)
    decoded = decode(train_rows, columns.image, data.train, wanted, progress)
    train = Part.of(decoded.images, train_labels[decoded.rows], taken(train_groups, decoded.rows))
    notes += decoded.notes
    wanted.form, wanted.how, side = Form.of(train.images), decoded.how, decoded.side

    validation = None
    if validation_rows is not None:
        name = data.validation or "validation"
        labels = read_labels(validation_rows, columns.label, classes, name)
        groups = groups_of(validation_rows, name)
        decoded = decode(validation_rows, columns.image, name, wanted, progress)
        validation = Part.of(decoded.images, labels[decoded.rows], taken(groups, decoded.rows))
        notes += decoded.notes
    notes += unused(rows, data)

    test = None
    if test_rows is not None:
        test_name = data.test or DEFAULT_TEST
        test = _held_out(test_rows, columns, classes, test_name, wanted, train.content, groups_of, progress)

    transfer = None
    if data.transfer is not None:
        transfer, transfer_notes = _transfer(data.transfer, data.group, wanted, progress)
        notes += transfer_notes
    return assemble(
        train,
        validation,
        test,
        transfer,
        classes=classes,
        fraction=data.validation_fraction,
        limit=data.limit,
        transfer_limit=data.transfer.limit if data.transfer else None,
        notes=notes,
        how=wanted.how,
        side=side,
    )


def own_fields(data: Data) -> dict[str, Any]:
    """The fields that a recipe for this data needs: ``validation`` where there is such a split, ``test`` None where its has no labels.

    Raises ``BadInput`` as :func:`load` does.
    """
    rows = open_images(data.name, data.config, label=data.label)
    fields: dict[str, Any] = {}
    if (own := own_validation(rows)) is not None:
        fields["validation"] = own
    train, test = resolved(rows, data.train), resolved(rows, DEFAULT_TEST)
    if train in rows and test in rows:
        features = without_group(rows[train].features, data.group, data.image, data.label)
        if find_columns(features, data.image, data.label).label not in rows[test].features:
            fields["test"] = None
    return fields


def wanted_of(data: Data) -> Wanted:
    """What a recipe asks of its images."""
    return Wanted(
        size=data.size,
        channels=data.channels,
        skip_corrupt=data.on_corrupt == "skip",
        how=Preparation(
            BACKGROUNDS[data.background],
            rows=None if data.crop is None else data.crop.rows,
            columns=None if data.crop is None else data.crop.columns,
        ),
    )


def _held_out(
    rows: datasets.Dataset,
    columns: Columns,
    classes: tuple[str, ...],
    name: str,
    wanted: Wanted,
    train_content: torch.Tensor,
    groups_of: Callable[[datasets.Dataset, str, list[str]], Groups | None],
    progress: Bar | None,
) -> HeldOut[Examples]:
    def read(notes: list[str]) -> Examples:
        labels = read_labels(rows, columns.label, classes, name)
        decoded = decode(rows, columns.image, name, wanted, progress)
        notes += decoded.notes
        content = content_ids(decoded.images)
        if shared := int(torch.isin(content, train_content).sum()):
            notes.append(f"{shared} of {len(content)} test images stand in the training data too.")
        labels = labels[decoded.rows]
        groups = taken(groups_of(rows, name, notes), decoded.rows)
        return Examples(decoded.images, labels, example_ids(content, labels), groups)

    return HeldOut(read, count=len(rows))


def _transfer(transfer: Transfer, group: str | None, wanted: Wanted, progress: Bar | None) -> tuple[Part, list[str]]:
    source = open_images(transfer.name, transfer.config, "data.transfer.name", labelled=False)
    rows = find_split(source, transfer.split, "data.transfer.split", transfer.name)
    column = find_image(rows.features, None, "data.image")
    decoded = decode(rows, column, f"transfer {transfer.split}", wanted, progress)
    # Where nothing groups them, that is noted when the splits are arranged.
    groups = read_groups(rows, group, "transfer", image=column, root=transfer.name, instead_of_refusing=[])
    return Part.of(decoded.images, None, taken(groups, decoded.rows)), decoded.notes
