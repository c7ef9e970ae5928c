"""Claims about labels as people write them: what is a class number, what a name, and what is neither."""

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pytest
import torch

from limbeck.data.labels import class_names, names_of, notes_on, read_labels
from limbeck.errors import BadInput
from limbeck.modalities.image.arrays import from_arrays
from limbeck.modalities.text.columns import read_text_labels, text_classes
from limbeck.models.labels import map_labels
from tests.helpers.textual import load, sentence


def table(labels: list, kind=None) -> datasets.Dataset:
    features = None if kind is None else datasets.Features({"label": kind})
    return datasets.Dataset.from_dict({"label": labels}, features=features)


def read(labels: list, kind=None) -> tuple[tuple[str, ...], list[int]]:
    rows = table(labels, kind)
    classes = class_names(rows, "label")
    return classes, read_labels(rows, "label", classes, "train").tolist()


def refused(pattern: str, labels: list, kind=None) -> None:
    with pytest.raises(BadInput, match=pattern):
        read(labels, kind)


def csv(path: Path, label, count: int = 60, heading: str = "label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"text,{heading}\n" + "".join(f"{sentence(row)},{label(row)}\n" for row in range(count)), "utf-8")
    return path


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        ([1, 0, 2, 1], ("0", "1", "2"), [1, 0, 2, 1]),
        ([2, 1, 2], ("1", "2"), [1, 0, 1]),
        ([5, 10, 9, 1], ("1", "5", "9", "10"), [1, 3, 2, 0]),
        ([4, 2, 4], ("2", "4"), [1, 0, 1]),
        ([1, -1], ("-1", "1"), [1, 0]),
        ([2.0, 1.0, 3.0], ("1", "2", "3"), [1, 0, 2]),
        ([0.0, 1.0], ("0", "1"), [0, 1]),
        (["10", "9", "1"], ("1", "9", "10"), [2, 1, 0]),
        (["b", "10", "9"], ("10", "9", "b"), [2, 0, 1]),
        ([True, False], ("False", "True"), [1, 0]),
    ],
)
def test_numbers_from_0_are_class_numbers_and_others_are_names(labels, classes, numbers):
    assert read(labels) == (classes, numbers)


def test_quantities_and_names_of_examples_are_no_labels():
    refused(
        r"row 1 \(counted from 0\): column 'label' holds 3\.5, which is a quantity and no class: of images task: image-regression learns it",
        [3.0, 3.5],
    )
    prices = [1000 + 37 * row for row in range(150)]
    refused(
        r"holds 150 different labels in 300 examples, which look like quantities \(of images task: image-regression learns them\)",
        prices * 2,
    )
    assert len(read(prices * 10)[0]) == 150  # ten of each may be classes
    refused("look like names of the examples: name a column of classes", [f"id {row}" for row in range(150)])
    refused("look like names of the examples", list(range(150)))
    refused(
        r"holds numbers from 0 to 4 and no example of 3 of 5 classes \('1', '2', '3'\).*where the numbers are names",
        [0, 4],
    )
    refused(r"no example of 999999998 of 1000000000 classes \('1', .*, '5', \.\.\.\)", [0, 10**9 - 1])
    assert len(read([f"kind {row}" for row in range(150)] * 2)[0]) == 150


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_no_label_is_named_with_its_row(nothing):
    refused(r"split 'train', row 2 \(counted from 0\): column 'label' holds no label", ["a", "b", nothing])
    refused(r"row 1 \(counted from 0\): column 'label' holds no label", [1.0, float("nan"), 2.0])
    refused(r"row 3 \(counted from 0\): label -1 is out of range: beside 0, 1, 2 it commonly marks", [0, 1, 2, -1])


@pytest.mark.parametrize(
    ("labels", "kind", "said"),
    [
        ([0.0, float("inf")], "float64", r"row 1 .*holds inf, which is a quantity"),
        ([0.0, 1e300], "float64", r"row 1 .*holds 1e\+300, which is too large"),
        ([0, 1, -100, 1], "int64", r"row 2 .*label -100 is out of range: beside 0, 1"),
        ([0, -1, 1, -100], "int64", r"row 1 .*label -1 is out of range: beside 0, 1"),
    ],
)
def test_numbers_that_no_class_has_are_named_with_their_row(labels, kind, said):
    refused(said, labels, datasets.Value(kind))


def test_a_number_beyond_64_bits_is_named_with_its_row():
    rows = datasets.Dataset(pyarrow.table({"label": pyarrow.array([0, 2**63], pyarrow.uint64())}))  # pyright: ignore
    with pytest.raises(BadInput, match=r"row 1 .*holds 9223372036854775808, which is too large"):
        class_names(rows, "label")


def several(labels: list) -> tuple[tuple[str, ...], list[list[float]]]:
    rows = table(labels)
    classes = text_classes(rows, "label")
    return classes, read_text_labels(rows, "label", classes, "train").tolist()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([[0, 1, 0], [1, 0, 0]], "lists of 3 zeros and ones"),
        ([[0.0, 1.0], [1.0, 0.0]], "lists of 2 zeros and ones"),
        ([[True, False], [False, True]], "lists of 2 zeros and ones"),
        ([[0, 1], [0, None]], r"row 1 .*a label is missing \(\[0, None\]\)"),
        ([[0, 1], [], [1, -100]], r"row 2 .*label -100 is out of range: beside 0, 1"),
        ([["a"], ["b", " "]], "row 1 .*a label is missing"),
        ([[0.5], [1.0, 2.0]], "row 0 .*holds 0.5, which is a quantity"),
    ],
)
def test_lists_that_name_no_classes_are_refused(labels, said):
    with pytest.raises(BadInput, match=said):
        several(labels)


def test_lists_of_whole_floats_and_of_flags_are_read_as_single_ones_are():
    assert several([[1.0, 2.0], [2.0]]) == (("1", "2"), [[1.0, 1.0], [0.0, 1.0]])
    assert several([[True], []]) == (("True",), [[1.0], [0.0]])
    assert several([[0, 1], [1]]) == (("0", "1"), [[1.0, 1.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("spelt", "classes"),
    [
        (("1", "01", "2"), ("01", "1", "2")),
        (("1e5", "100000", "7"), ("100000", "1e5", "7")),
        (("1E2", "2E2"), ("1E2", "2E2")),
        (("true", "false"), ("false", "true")),
        (("10", "9", "1"), ("1", "9", "10")),
        (("1.0", "3.0"), ("1", "3")),
        (("18446744073709551617", "2"), ("2", "18446744073709551617")),
    ],
)
@pytest.mark.parametrize(("heading", "asked"), [("label", None), ("stars", None), ("stars", "stars")])
def test_labels_of_csv_are_as_they_are_spelt(tmp_path, spelt, classes, heading, asked):
    path = csv(tmp_path / "some.csv", lambda row: spelt[row % len(spelt)], heading=heading)
    splits = load(path, label=asked)
    assert splits.classes == classes
    number = {sentence(row): classes.index(spelt[row % len(spelt)].removesuffix(".0")) for row in range(60)}
    assert splits.train.labels.tolist() == [number[text] for text in splits.train.texts]


@pytest.mark.parametrize("value", ["0.5", "inf", "1e-5"])
def test_quantities_in_csv_are_no_classes(tmp_path, value):
    with pytest.raises(BadInput, match=r"row 1 .*which is a quantity and no class"):
        load(csv(tmp_path / "some.csv", lambda row: value if row % 2 else "1"))


def test_flags_spelt_as_words_and_numbers_are_not_put_together(tmp_path):
    csv(tmp_path / "train-a.csv", lambda row: ("true", "false")[row % 2])
    csv(tmp_path / "train-b.csv", lambda row: row % 3)
    with pytest.raises(
        BadInput, match=r"train-a.csv and train-b.csv are both of split 'train', and column 'label' is string"
    ):
        load(tmp_path)


def test_a_class_in_another_case_is_named_beside_train_s():
    with pytest.raises(BadInput, match="class 'true' is missing from the training split, which has 'True': write both"):
        read_labels(table(["true"]), "label", class_names(table([True, False]), "label"), "test")


def test_labels_of_another_split_are_found_by_name():
    classes = class_names(table([1, 2, 5]), "label")
    assert read_labels(table([5.0, 1.0]), "label", classes, "test").tolist() == [2, 0]
    assert read_labels(table(["2", "5"]), "label", classes, "test").tolist() == [1, 2]
    with pytest.raises(
        BadInput, match=r"'test', row 1 \(counted from 0\): class '3' is missing from the training split"
    ):
        read_labels(table([1, 3]), "label", classes, "test")
    with pytest.raises(BadInput, match="class '0' is missing from the training split"):
        read_labels(table([0, 1]), "label", ("a", "b"), "test")
    with pytest.raises(BadInput, match="label 2 is out of range"):
        read_labels(table([0, 2]), "label", ("0", "1"), "test")


def test_classes_that_differ_in_case_blanks_or_form_are_noted():
    said = notes_on(("POS", "caf\u00e9", "cafe\u0301", "neg", "pos", "pos "), "column 'label'")
    assert len(said) == 2
    assert "'POS' and 'pos' and 'pos ' are 3 classes of column 'label'" in said[0]
    assert "write 'pos' for all of them" in said[0]
    assert "'caf\u00e9' and 'cafe\u0301' are 2 classes" in said[1]
    assert notes_on(("neg", "pos"), "column 'label'") == notes_on(("0", "1", "2"), "column 'label'") == []


def test_stars_from_1_to_5_are_classes_in_order_and_it_is_said(tmp_path):
    splits = load(csv(tmp_path / "stars.csv", lambda row: 1 + row % 5, heading="stars"), label="stars")
    assert splits.classes == ("1", "2", "3", "4", "5")
    for text, label in zip(splits.train.texts, splits.train.labels.tolist(), strict=True):
        assert label == int(text.split()[-1]) % 5
    assert any(
        "column 'stars' are numbers that do not run from 0, so they are names, in this order: 1, 2, 3, 4, 5" in note
        for note in splits.notes
    )
    from_0 = load(csv(tmp_path / "from_0.csv", lambda row: row % 5), label="label")
    assert not any("do not run from 0" in note for note in from_0.notes)


def test_labels_of_arrays_need_not_run_from_0():
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (120, 8, 8), dtype=np.uint8), np.arange(120) % 3
    given, shifted = from_arrays((images, labels)), from_arrays((images, 8 + labels), test=(images[:6], 8 + labels[:6]))
    assert given.classes == ("0", "1", "2")
    assert shifted.classes == ("8", "9", "10")
    assert "train are numbers that do not run from 0, so they are names, in this order: 8, 9, 10" in shifted.notes[0]
    test = shifted.test.open("figures")
    assert test.labels.tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(BadInput, match=r"'validation', row 0 .*class '7' is missing"):
        from_arrays((images, 8 + labels), validation=(images[:1], np.array([7])))
    with pytest.raises(BadInput, match="label 3 is out of range"):
        from_arrays((images, 1 + labels), classes=("a", "b", "c"))
    with pytest.raises(BadInput, match="every example is of class '4': a classifier needs two classes at least"):
        from_arrays((images, 4 + 0 * labels))


def test_lists_of_numbers_and_of_one_label_each(tmp_path):
    path = tmp_path / "some.jsonl"
    rows = [{"text": sentence(row), "labels": [7 + row % 3] + [10] * (row % 2)} for row in range(48)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    splits = load(path)
    assert splits.classes == ("7", "8", "9", "10")
    for text, flags in zip(splits.train.texts, splits.train.labels, strict=True):
        row = int(text.split()[-1])
        assert flags.nonzero().flatten().tolist() == [row % 3] + [3] * (row % 2)
    # as doccano writes one label a text
    path.write_text("".join(json.dumps({"text": sentence(row), "label": ["ab"[row % 2]]}) + "\n" for row in range(48)))
    assert any(
        "each has exactly one: where that is always so, a column of one label each" in note for note in load(path).notes
    )


def test_rejected_answers_of_an_annotation_tool_are_no_labels(tmp_path):
    path = tmp_path / "prodigy.jsonl"
    rows = [{"text": sentence(row), "label": "ab"[row % 2], "answer": "accept"} for row in range(48)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert load(path, label="label").classes == ("a", "b")
    rows[5]["answer"], rows[7]["answer"] = "reject", "ignore"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(BadInput, match="column 'answer' is not 'accept' in 2 of 48 rows"):
        load(path, label="label")


def test_a_single_class_is_refused(tmp_path):
    with pytest.raises(BadInput, match="split 'train': every example is of class 'a'"):
        load(csv(tmp_path / "some.csv", lambda row: "a"))


def test_a_test_table_without_labels_is_pointed_to_transfer_and_to_null(tmp_path):
    csv(tmp_path / "train.csv", lambda row: "ab"[row % 2])
    (tmp_path / "Test.csv").write_text("id,text\n" + "".join(f"{row},{sentence(100 + row)}\n" for row in range(9)))
    with pytest.raises(
        BadInput,
        match=r"split 'test' has no column 'label' \(it has id, text\), and without labels nothing can be tested: data\.test: null "
        r"has a test split carved from train, and data\.transfer: \{name: .*, split: test\} has the student learn",
    ):
        load(tmp_path)
    from limbeck.modalities.text.recipe import TextTransfer

    splits = load(tmp_path, test=None, transfer=TextTransfer(name=str(tmp_path), split="test"))
    assert len(splits.transfer) == 9
    assert len(splits.train) + len(splits.validation) + splits.test.count == 60


def test_texts_that_are_numbers_in_one_split_are_named(tmp_path):
    csv(tmp_path / "train.csv", lambda row: "ab"[row % 2])
    (tmp_path / "test.csv").write_text("text,label\n007,a\n12,b\n")
    with pytest.raises(
        BadInput, match="split 'test': column 'text' holds int64 where train's holds string: write both alike"
    ):
        load(tmp_path)


def test_a_teacher_s_numbers_in_another_order_are_names():
    assert map_labels(("5", "4", "3"), ("3", "4", "5")).order == (2, 1, 0)
    by_place = map_labels(("1 star", "2 stars", "3 stars"), ("1", "2", "3"))
    assert by_place.order == (0, 1, 2)
    assert "The data does not name its labels, so they were matched by position" in (by_place.note or "")


def test_many_names_are_sorted_as_numbers():
    numbers = [str(number) for number in torch.randperm(30).tolist()]
    assert names_of(numbers, "label") == tuple(map(str, range(30)))
