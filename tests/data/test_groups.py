"""Claims about groups, none of which is split, and about the classes that a split lacks, as a person's files bring them."""

import csv
import io
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from limbeck.data.groups import Groups
from limbeck.errors import BadInput
from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data, Transfer
from limbeck.modalities.text.recipe import TextTransfer
from tests.helpers.textual import load as load_text
from tests.helpers.textual import sentence


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8))


def png(seed: int) -> dict:
    file = io.BytesIO()
    picture(seed).save(file, format="png")
    return {"bytes": file.getvalue(), "path": None}


def table(folder: Path, **splits: dict) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in splits.items():
        rows = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
        rows.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return str(folder)


def patients(count: int, start: int = 0, each: int = 6) -> dict:
    """Images of two classes, of patients with numbers, ``each`` images of one."""
    rows = range(start, start + count)
    return {
        "image": [png(row) for row in rows],
        "label": ["ill" if row % 2 else "well" for row in rows],
        "patient": [row // each for row in rows],
    }


def names_in(examples) -> set[str]:
    assert examples.groups is not None
    assert len(examples.groups) == len(examples)
    return set(examples.groups.present)


def test_no_group_of_a_table_is_split_and_without_the_field_nothing_changes(tmp_path):
    columns = patients(240)
    name = table(tmp_path / "set", train=columns)
    splits = load(Data(name=name, label="label", group="patient"))
    test = splits.test.open("figures")
    sides = [names_in(part) for part in (splits.train, splits.validation, test)]
    assert set.union(*sides) == {str(number) for number in range(40)}
    assert sum(map(len, sides)) == 40
    assert (
        "data.group: 240 training images in 40 groups, of which none is split; the largest, '9', holds 6."
        in splits.notes
    )
    assert any("by a hash of their group" in note for note in splits.notes)

    # the same whatever the order of the rows
    order = np.random.default_rng(1).permutation(240).tolist()
    shuffled = {key: [values[row] for row in order] for key, values in columns.items()}
    again = load(Data(name=table(tmp_path / "other", train=shuffled), label="label", group="patient"))
    assert again.fingerprint == splits.fingerprint
    # a column of groups is no second column of labels, and without the field it is not read
    assert load(Data(name=name, group="patient")).classes == ("ill", "well")
    plain = load(Data(name=name, label="label"))
    assert plain.train.groups is None
    assert plain.fingerprint != splits.fingerprint


def test_a_picture_that_two_groups_share_joins_them(tmp_path):
    columns = patients(240)
    for number in range(39):  # a chain: the first picture of each patient is the last of the one before
        columns["image"][6 * number + 6] = columns["image"][6 * number + 5]
    name = table(tmp_path / "set", train=columns)
    with pytest.raises(BadInput, match=r"in 1 group, none of which is split, leaves none in it"):
        load(Data(name=name, label="label", group="patient"))


def folder_of_tracks(root: Path, tracks: int = 12, frames: int = 5, start: int = 0) -> str:
    """``CLASS/0000T_0000F.png``, as of traffic signs: tracks are numbered within each class."""
    for label, sign in enumerate(("stop", "yield")):
        (root / sign).mkdir(parents=True)
        for track in range(tracks):
            for frame in range(frames):
                seed = start + 10_000 * label + 100 * track + frame
                picture(seed).save(root / sign / f"{track:05d}_{frame:05d}.png")
    return str(root)


def test_a_pattern_finds_the_group_in_a_files_path(tmp_path):
    name = folder_of_tracks(tmp_path / "signs")
    splits = load(Data(name=name, group=r"(\w+/\d+)_\d+"))
    sides = [names_in(part) for part in (splits.train, splits.validation, splits.test.open("figures"))]
    assert set.union(*sides) == {f"{sign}/{track:05d}" for sign in ("stop", "yield") for track in range(12)}
    assert sum(map(len, sides)) == 24
    # tracks of one number in both classes are one group where the pattern says so; all that matches, without parentheses
    joined = load(Data(name=name, group=r"\d{5}(?=_)"))
    assert sorted(joined.train.groups.names) == [f"{track:05d}" for track in range(12)]


def test_a_pattern_that_takes_every_file_by_itself_is_said_to_group_nothing(tmp_path):
    name = folder_of_tracks(tmp_path / "signs")
    alone, tracks = (load(Data(name=name, group=one)).notes for one in (r"(\w+/\d+_\d+)", r"(\w+/\d+)_"))
    said = "is in a group of its own"
    assert (sum(said in note for note in alone), sum(said in note for note in tracks)) == (1, 0)


def test_a_folder_below_a_class_is_a_group_in_given_splits_too(tmp_path):
    for part, people in (("train", range(8)), ("test", range(6, 10))):
        for sign in ("a", "b"):
            for person in people:
                folder = tmp_path / part / sign / f"person_{person}"
                folder.mkdir(parents=True)
                for shot in range(3):
                    seed = hash((part == "test", sign == "a", person, shot)) % 2**32
                    picture(seed).save(folder / f"{shot}.png")
    splits = load(Data(name=str(tmp_path), group=r"person_(\d+)"))
    assert not names_in(splits.train) & names_in(splits.validation)
    test = splits.test.open("figures")
    assert names_in(test) == {"6", "7", "8", "9"}
    assert splits.test.notes == [
        "the test split shares 2 of its 4 groups with the training data ('6', '7'; 12 of its 24 images): its figures flatter "
        "a model that knows a group."
    ]
    assert not any("shares" in note for note in splits.notes)


def test_groups_that_cannot_be_are_refused(tmp_path):
    columns = patients(24)
    name = table(tmp_path / "set", train=columns)

    def refused(pattern: str, **data) -> None:
        with pytest.raises(BadInput, match=pattern):
            load(Data(**{"name": name, "label": "label", **data}))

    refused("split 'train' has no column 'patiant'. Did you mean 'patient'", group="patiant")
    refused("column 'label' is read as images, texts or labels", group="label")
    columns["patient"][5] = None
    name = table(tmp_path / "gap", train=columns)
    refused(r"'train', row 5 \(counted from 0\): column 'patient' \(data.group\) names no group", group="patient")
    name = folder_of_tracks(tmp_path / "signs", 2, 2)
    refused(r"'person_' is no column .* not found in the path of 8 of 8 files .* such as stop/00000_00000.png", group="person_", label=None)  # fmt: skip
    refused("no regular expression for paths", group="(person", label=None)


def test_transfer_examples_of_held_out_groups_are_left_out(tmp_path):
    name = table(tmp_path / "set", train=patients(240))
    more = {key: values for key, values in patients(240, 1000).items() if key != "label"}
    more["patient"] = list(range(40)) * 6
    transfer = table(tmp_path / "more", train=more)
    splits = load(Data(name=name, label="label", group="patient", transfer=Transfer(name=transfer)))
    assert splits.transfer is not None
    assert names_in(splits.transfer) == names_in(splits.train)
    held = 40 - len(names_in(splits.train))
    assert any(
        f"{6 * held} of 240 transfer images are of groups of validation or test" in note for note in splits.notes
    )
    del more["patient"]
    unknown = Transfer(name=table(tmp_path / "unknown", train=more))
    splits = load(Data(name=name, label="label", group="patient", transfer=unknown))
    assert len(splits.transfer or ()) == 240
    assert any("the transfer images have no group (data.group)" in note for note in splits.notes)


def written(path: Path, rows: list[dict]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_authors_of_texts_stay_on_one_side(tmp_path):
    rows = [{"text": sentence(row), "label": "ab"[row % 2], "author": f"author {row % 20}"} for row in range(200)]
    rows[7]["text"], rows[8]["text"] = "the same words", "The same words!"
    name = written(tmp_path / "texts.csv", rows)
    splits = load_text(name, group="author", test=None)
    test = splits.test.open("figures")
    sides = [names_in(part) for part in (splits.train, splits.validation, test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 20
    assert any({"author 7", "author 8"} <= side for side in sides)
    for part in (splits.train, splits.validation, test):
        for row, text in enumerate(part.texts):
            if text.startswith("take") or " take " in text:
                number = int(text.split()[-1])
                assert part.groups.names[int(part.groups.codes[row])] == f"author {number % 20}"
    with pytest.raises(BadInput, match="no column 'writer'"):
        load_text(name, group="writer", test=None)
    more = [
        {"text": f"Here is sentence number {row}. And the second one of {row}!", "author": f"author {row % 20}"}
        for row in range(100)
    ]
    other = written(tmp_path / "more.csv", more)
    again = load_text(
        name, group="author", test=None, transfer=TextTransfer(name=str(other), sentences=True, text="text")
    )
    assert names_in(again.transfer) == names_in(again.train)
    for row, text in enumerate(again.transfer.texts):
        number = int(re.findall(r"\d+", text)[0])
        assert again.transfer.groups.names[int(again.transfer.groups.codes[row])] == f"author {number % 20}"


def test_the_classes_that_a_split_lacks_are_named_in_notes(tmp_path):
    columns = patients(200)
    columns["label"] = ["common"] * 190 + ["rare"] * 6 + ["twice"] * 2 + ["once", "also once"]
    train = {key: columns[key] for key in ("image", "label")}
    splits = load(Data(name=table(tmp_path / "set", train=train)))
    held = splits.test.open("figures")
    counts = {
        name: [int((part.labels == label).sum()) for part in (splits.train, splits.validation, held)]
        for label, name in enumerate(splits.classes)
    }
    assert counts == {"common": [154, 17, 19], "rare": [4, 1, 1], "twice": [1, 0, 1], "once": [1, 0, 0], "also once": [1, 0, 0]}  # fmt: skip
    said = "\n".join(splits.notes)
    assert "the test split is carved from train within classes: 21 examples by a hash of their content" in said
    assert (
        "the test split has no example of 2 of 5 classes ('also once', 'once'): its figures say nothing of them."
        in said
    )
    assert "the validation split has no example of 3 of 5 classes ('also once', 'once', 'twice')" in said

    given = {"image": [png(5000), png(5001)], "label": ["common", "rare"]}
    splits = load(Data(name=table(tmp_path / "given", train=train, test=given)))
    splits.test.open("figures")
    assert splits.test.notes == [
        "the test split has no example of 3 of 5 classes ('also once', 'once', 'twice'): its figures say nothing of them."
    ]


def test_groups_by_hand():
    groups = Groups.of(["b", "a", "b", "c"])
    assert groups.names == ("a", "b", "c")
    assert groups.codes.tolist() == [1, 0, 1, 2]
    assert groups.present == {"a": 1, "b": 2, "c": 1}
    part = groups.take(groups.codes == 1)
    assert part.present == {"b": 2}
    assert part.hashes.unique().numel() == 1
    assert groups.shared_with(part) == ["b"]
    assert part.shared_with(Groups.of(["c"])) == []
