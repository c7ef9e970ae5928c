"""What is loaded: pixels, labels and names, the same whichever way a data set was written."""

import datasets
import numpy as np
import pytest
import torch

from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data
from tests.helpers.written_images import many, picture, png, split, write, write_image_folder


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    monkeypatch.delenv("LIMBECK_DATA", raising=False)


# What is loaded


def test_digits_are_split_in_three_and_scaled_to_bytes():
    splits = load(Data(name="digits"))
    test = splits.test.open("figures")
    assert splits.train.images.shape[1:] == (1, 8, 8)
    assert splits.train.images.dtype == torch.uint8
    assert int(splits.train.images.max()) == 255
    assert splits.classes == tuple("0123456789")
    assert len(splits.train) + len(splits.validation) + len(test) == 1797
    ids = torch.cat([splits.train.ids, splits.validation.ids, test.ids])
    assert len(torch.unique(ids)) == 1797
    scaled = splits.train.images.double() / 255
    assert splits.mean[0] == pytest.approx(float(scaled.mean()), abs=1e-6)
    assert splits.std[0] == pytest.approx(float(scaled.std(correction=0)), abs=1e-6)


def test_pixels_labels_and_names_of_a_parquet_data_set(tmp_path):
    name = write(tmp_path / "set", train=many(), validation=many(20, 500), test=many(10, 900))
    splits = load(Data(name=name, validation="validation"))
    assert splits.classes == ("cat", "dog")
    assert (len(splits.train), len(splits.validation)) == (80, 20)
    for row in (0, 1, 79):
        assert np.array_equal(splits.train.images[row, 0].numpy(), np.asarray(picture(row)))
    assert splits.train.labels.tolist() == [row % 2 for row in range(80)]
    assert len(splits.notes) == 1  # where the splits come from
    test = splits.test.open("figures")
    assert np.array_equal(test.images[3, 0].numpy(), np.asarray(picture(903)))


def test_image_folder_with_and_without_split_folders(tmp_path):
    plain = load(Data(name=write_image_folder(tmp_path / "plain")))
    assert plain.classes == ("cat", "dog")
    assert len(plain.train) + len(plain.validation) + plain.test.count == 80
    write_image_folder(tmp_path / "both" / "train")
    write_image_folder(tmp_path / "both" / "val", count=5, start=300)
    write_image_folder(tmp_path / "both" / "test", classes=("dog",), count=3, start=600)
    both = load(Data(name=str(tmp_path / "both"), validation="validation"))
    assert (len(both.train), len(both.validation), both.test.count) == (80, 10, 3)
    assert both.test.open("figures").labels.tolist() == [1, 1, 1]


def test_a_class_named_train_is_a_class(tmp_path):
    splits = load(Data(name=write_image_folder(tmp_path / "vehicles", ("bus", "train"))))
    assert splits.classes == ("bus", "train")


def test_image_folder_and_parquet_of_the_same_pictures_are_the_same_data(tmp_path):
    folder = write_image_folder(tmp_path / "folder")
    seeds = list(range(40)) + [1000 + index for index in range(40)]
    parquet = write(tmp_path / "parquet", train=split([png(seed) for seed in seeds], [0] * 40 + [1] * 40))
    assert load(Data(name=folder)).fingerprint == load(Data(name=parquet)).fingerprint


def test_texts_and_plain_integers_are_labels_too(tmp_path):
    labels = ["n02", "n01"] * 40
    texts = split([png(seed) for seed in range(80)], labels, datasets.Value("string"))
    splits = load(Data(name=write(tmp_path / "texts", train=texts, test=texts)))
    assert splits.classes == ("n01", "n02")
    assert splits.test.open("figures").labels.tolist() == [1, 0] * 40
    numbers = split([png(seed) for seed in range(80)], [2, 0, 1, 0] * 20, datasets.Value("int32"))
    assert load(Data(name=write(tmp_path / "numbers", train=numbers))).classes == ("0", "1", "2")
