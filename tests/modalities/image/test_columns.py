"""Columns that cannot be told, and labels that cannot be."""

import datasets
import pyarrow.parquet as parquet
import pytest

from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data
from tests.helpers.written_images import CLASSES, many, png, refused, split, write, write_image_folder


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    monkeypatch.delenv("LIMBECK_DATA", raising=False)


@pytest.mark.parametrize("value", [-1, 2, 7])
def test_labels_out_of_range_are_named(tmp_path, value):
    plain = datasets.Dataset.from_dict({"image": [png(seed) for seed in range(80)]}).cast_column(
        "image", datasets.Image()
    )
    labels = [0, 1] * 39 + [0, value]
    rows = plain.add_column("label", labels)
    if value == -1:
        refused(r"row 79 \(counted from 0\): label -1 is out of range", name=write(tmp_path / "set", train=rows))
    # A ClassLabel column that states fewer classes than its values, as a careless writer leaves it.
    table = rows.data.table
    schema = split([png(0)], [0]).data.table.schema
    careless = table.replace_schema_metadata(schema.metadata)
    (tmp_path / "careless").mkdir()
    parquet.write_table(careless, tmp_path / "careless" / "train.parquet")
    pattern = rf"split 'train', row 79 \(counted from 0\): label {value} is out of range.*with 2 classes labels must lie in 0 to 1"
    refused(pattern, name=str(tmp_path / "careless"))


def test_a_label_that_is_not_there_is_named(tmp_path):
    rows = split([png(seed) for seed in range(80)], [0, 1] * 39 + [0, None])
    refused(
        r"'train', row 79 \(counted from 0\): column 'label' holds no label", name=write(tmp_path / "set", train=rows)
    )


def test_a_class_missing_from_train_is_named(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog", "emu"])
    rows = split([png(seed) for seed in range(80)], [0, 2] * 40, kind)
    refused(r"no example of 1 of 3 classes \('dog'\)", name=write(tmp_path / "set", train=rows))
    texts = split([png(seed) for seed in range(80)], ["a", "b"] * 40, datasets.Value("string"))
    other = split([png(seed) for seed in range(8)], ["a", "c"] * 4, datasets.Value("string"))
    name = write(tmp_path / "texts", train=texts, validation=other)
    refused(r"'validation', row 1 \(counted from 0\): class 'c' is missing", name=name, validation="validation")
    write_image_folder(tmp_path / "images" / "train")
    write_image_folder(tmp_path / "images" / "test", classes=("cat", "gnu"), count=2)
    refused("class 'gnu' of .*test is missing", name=str(tmp_path / "images"))


def test_columns_that_cannot_be_told_are_listed(tmp_path):
    cells, labels = [png(seed) for seed in range(80)], [0, 1] * 40
    two = split(cells, labels, coarse=(labels, CLASSES))
    name = write(tmp_path / "labels", train=two)
    refused(r"label, coarse may all be labels: name one with data\.label", name=name)
    assert load(Data(name=name, label="coarse")).classes == ("cat", "dog")
    refused("data.label: there is no column 'coarser'. Did you mean 'coarse'", name=name, label="coarser")
    name = write(tmp_path / "images", train=split(cells, labels, mask=(cells, datasets.Image())))
    refused(r"2 columns hold images: name one with data\.image; the columns are image \(Image\)", name=name)
    assert len(load(Data(name=name, image="mask")).train)
    none = datasets.Dataset.from_dict({"text": ["a"] * 80, "label": labels})
    name = write(tmp_path / "none", train=none)
    refused(r"no column holds images: .* text \(string\), label \(int64\)", name=name)
    refused("data.image: column 'label' holds no images", name=name, image="label")


def test_splits_that_number_their_classes_differently(tmp_path):
    kind = datasets.ClassLabel(names=["dog", "cat"])
    other = split([png(seed) for seed in range(8)], [0, 1] * 4, kind)
    datasets.DatasetDict({"train": many(), "validation": other}).save_to_disk(tmp_path / "set")
    refused("split 'validation' numbers its classes", name=str(tmp_path / "set"), validation="validation")
