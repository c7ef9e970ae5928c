"""From the recipe's ``data`` to the splits of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import datasets
import torch

from ...data.columns import check_columns
from ...data.examples import HeldOut
from ...data.group_columns import read_groups
from ...data.groups import Groups, taken
from ...data.ids import example_ids
from ...data.reading import notes_of
from ...data.split_roles import DEFAULT_TEST, choose, find_split, own_validation, resolved, unused
from ...errors import BadInput
from ...progress import Bar
from ...vision.decode import Form, Wanted, decode, gather
from ...vision.elsewhere import names_files_elsewhere
from ...vision.inputs import content_ids
from ...vision.pixels import BACKGROUNDS, Preparation
from ...vision.sources import open_images
from .columns import find_image
from .examples import Examples, Splits
from .labelling import Labelling, labelling_of, open_labelled
from .recipe import Data, NumberData, Transfer
from .splits import Beside, Part, assemble


def load(data: Data, progress: Bar | None = None) -> Splits:
    """Find the data set, decode train, validation and transfer, and shut the test split away unread.

    ``progress`` is ``limbeck.progress.bar`` or its like; None: silent. A test split that the data gives is
    decoded when it is opened, and neither its images nor its labels are looked at before. Transfer examples
    that stand in train or validation are left out; those that stand in such a test split cannot be known.

    Raises ``BadInput`` for whatever is wrong with the data: not found, unreadable, empty, without the named
    splits or columns, with images that are corrupt or of several sizes, with labels out of range, with a
    class missing from train.
    """
    rows = open_labelled(data)
    train_rows, validation_rows, test_rows = choose(rows, data)
    labelling = labelling_of(train_rows, data)
    for split, name in ((validation_rows, data.validation), (test_rows, data.test)):
        if split is not None:
            test, source = split is test_rows, data.name
            check_columns(
                split, [labelling.image], labelling.columns, train_rows, name or DEFAULT_TEST, test=test, source=source
            )
    notes = [*notes_of(rows), *labelling.notes]
    wanted = wanted_of(data)

    def groups_of(split: datasets.Dataset, name: str, said: list[str] | None = None) -> Groups | None:
        used = (labelling.image, *labelling.columns)
        how = {"image": labelling.image, "root": data.name, "instead_of_refusing": said}
        return read_groups(split, data.group, name, not_column=used, **how)

    # Labels and groups come before images: they are quick to read, and quick to be wrong.
    train_groups = groups_of(train_rows, data.train)
    train_labels = labelling.read(train_rows, data.train)
    labelling.check(train_labels, data.train)
    decoded = decode(train_rows, labelling.image, data.train, wanted, progress)
    train = Part.of(decoded.images, train_labels[decoded.rows], taken(train_groups, decoded.rows))
    notes += decoded.notes
    wanted.form, wanted.how, side = Form.of(train.images), decoded.how, decoded.side
    if isinstance(data, NumberData) and data.cameras:
        train = replace(train, beside=_beside(train_rows, data, train, decoded.rows, wanted, progress, notes))

    validation = None
    if validation_rows is not None:
        name = data.validation or "validation"
        labels = labelling.read(validation_rows, name)
        groups = groups_of(validation_rows, name)
        decoded = decode(validation_rows, labelling.image, name, wanted, progress)
        validation = Part.of(decoded.images, labels[decoded.rows], taken(groups, decoded.rows))
        notes += decoded.notes
    notes += unused(rows, data)

    test = None
    if test_rows is not None:
        test_name = data.test or DEFAULT_TEST
        test = _held_out(test_rows, labelling, test_name, wanted, train.content, groups_of, progress)

    transfer, far_transfer = None, False
    if data.transfer is not None:
        transfer, transfer_notes, far_transfer = _transfer(data.transfer, data.group, wanted, progress)
        notes += transfer_notes
    splits = assemble(
        train,
        validation,
        test,
        transfer,
        classes=labelling.classes,
        fraction=data.validation_fraction,
        numbers=labelling.numbers,
        limit=data.limit,
        transfer_limit=data.transfer.limit if data.transfer else None,
        notes=notes,
        how=wanted.how,
        side=side,
        unit=_units(data, labelling),
    )
    columns = [labelling.image, *((data.cameras or {}) if isinstance(data, NumberData) else ())]
    read = [train_rows, validation_rows, test_rows]
    elsewhere = far_transfer or names_files_elsewhere(read, columns, data.name, data.config, "data.name")
    return replace(splits, elsewhere=elsewhere)


def own_fields(data: Data) -> dict[str, Any]:
    """The fields that a recipe for this data needs: ``validation`` where there is such a split, ``test`` None where its has no labels.

    Raises ``BadInput`` as :func:`load` does.
    """
    rows = open_labelled(data)
    fields: dict[str, Any] = {}
    if (own := own_validation(rows)) is not None:
        fields["validation"] = own
    train, test = resolved(rows, data.train), resolved(rows, DEFAULT_TEST)
    if train in rows and test in rows:
        columns = labelling_of(rows[train], data).columns
        if any(column not in rows[test].features for column in columns):
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


def _units(data: Data, labelling: Labelling) -> tuple[str, ...]:
    """What the numbers are in: nothing, one for all, or one each."""
    if not isinstance(data, NumberData) or data.unit is None:
        return ()
    units = (data.unit,) if isinstance(data.unit, str) else tuple(data.unit)
    if len(units) not in (1, len(labelling.numbers)):
        raise BadInput(
            f"data.unit: {len(units)} were given for {len(labelling.numbers)} numbers: give one for all, or one each."
        )
    return units


def _beside(
    rows: datasets.Dataset,
    data: NumberData,
    train: Part,
    of_train: torch.Tensor,
    wanted: Wanted,
    progress: Bar | None,
    notes: list[str],
) -> Beside:
    """The pictures of the further cameras of the training frames, which stood in the rows ``of_train`` (N,)."""
    assert train.labels is not None
    each = []
    for column, camera in (data.cameras or {}).items():
        find_image(rows.features, column, "data.cameras")
        add = camera.added
        if len(add) not in (1, train.labels.shape[1]):
            raise BadInput(
                f"data.cameras.{column}.add: {len(add)} values were given for {train.labels.shape[1]} numbers."
            )
        decoded = decode(rows, column, f"{data.train}, camera {column}", wanted, progress)
        notes += decoded.notes
        place = torch.searchsorted(of_train, decoded.rows).clamp(max=len(of_train) - 1)
        there = of_train[place] == decoded.rows  # its frame may have been left out
        frame = place[there]
        images = decoded.images if bool(there.all()) else gather(decoded.images, there.nonzero().flatten())
        each.append(Beside.of(column, images, train.labels[frame] + torch.tensor(add), frame))
    notes.append(
        f"data.cameras: {sum(len(one.frame) for one in each)} further training images of the same frames "
        f"({', '.join(data.cameras or {})}), with the label that each camera's correction gives."
    )
    return Beside.joined(each)


def _held_out(
    rows: datasets.Dataset,
    labelling: Labelling,
    name: str,
    wanted: Wanted,
    train_content: torch.Tensor,
    groups_of: Callable[[datasets.Dataset, str, list[str]], Groups | None],
    progress: Bar | None,
) -> HeldOut[Examples]:
    def read(notes: list[str]) -> Examples:
        labels = labelling.read(rows, name)
        decoded = decode(rows, labelling.image, name, wanted, progress)
        notes += decoded.notes
        content = content_ids(decoded.images)
        if shared := int(torch.isin(content, train_content).sum()):
            notes.append(f"{shared} of {len(content)} test images stand in the training data too.")
        labels = labels[decoded.rows]
        groups = taken(groups_of(rows, name, notes), decoded.rows)
        return Examples(decoded.images, labels, example_ids(content, labels), groups)

    return HeldOut(read, count=len(rows))


def _transfer(
    transfer: Transfer, group: str | None, wanted: Wanted, progress: Bar | None
) -> tuple[Part, list[str], bool]:
    """The transfer set, notes on it, and whether it names files elsewhere."""
    source = open_images(transfer.name, transfer.config, "data.transfer.name", labelled=False)
    rows = find_split(source, transfer.split, "data.transfer.split", transfer.name)
    column = find_image(rows.features, None, "data.image")
    decoded = decode(rows, column, f"transfer {transfer.split}", wanted, progress)
    far = names_files_elsewhere([rows], [column], transfer.name, transfer.config, "data.transfer.name")
    # Where nothing groups them, that is noted when the splits are arranged.
    groups = read_groups(rows, group, "transfer", image=column, root=transfer.name, instead_of_refusing=[])
    return Part.of(decoded.images, None, taken(groups, decoded.rows)), decoded.notes, far
