"""Where a data set is found, and what is said of a place that holds none."""

import os
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest

from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data, Transfer
from tests.helpers.written_images import many, picture, refused, split, write, write_image_folder


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    monkeypatch.delenv("LIMBECK_DATA", raising=False)


def test_a_mirror_stands_for_a_hub_name(tmp_path, monkeypatch):
    write(tmp_path / "mirrors" / "pets", train=many())
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path / "mirrors"))
    assert load(Data(name="somebody/pets", config="plain")).classes == ("cat", "dog")


FASHION = Path(os.environ.get("LIMBECK_DATA") or Path(__file__).parents[3] / "shared/data") / "fashion_mnist"


@pytest.mark.skipif(not FASHION.is_dir(), reason="Fashion-MNIST is not here")
def test_real_fashion_mnist_reads_as_its_own_decoder_reads_it(tmp_path, monkeypatch):
    whole = datasets.Dataset.from_parquet(str(next(FASHION.glob("train-*"))))
    some = whole.select(range(300))
    splits = load(Data(name=write(tmp_path / "fashion", train=some)))
    assert len(splits.classes) == 10
    by_content = {tuple(np.asarray(row["image"]).ravel().tolist()): row["label"] for row in some}
    for image, label in zip(splits.train.images, splits.train.labels):
        assert by_content[tuple(image.flatten().tolist())] == int(label)


def test_a_missing_folder_is_named(tmp_path):
    refused(r"data\.name: there is no folder \./nowhere", name="./nowhere")
    refused("there is no folder", name=str(tmp_path / "gone"))
    (tmp_path / "a.parquet").write_bytes(b"")
    refused("is a file: name the folder", name=str(tmp_path / "a.parquet"))


def test_an_unknown_hub_name_without_a_network_is_refused_at_once(monkeypatch):
    # The address of documentation (RFC 2606): it resolves nowhere, with or without a network.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://hub.invalid")
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    refused(r"'no-one/no-data-set'.*hub cannot be reached.*LIMBECK_DATA", name="no-one/no-data-set")


def test_a_mirror_folder_that_is_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path / "gone"))
    refused("LIMBECK_DATA is .*gone", name="somebody/pets")


def test_folders_that_hold_no_data(tmp_path):
    (tmp_path / "empty").mkdir()
    refused("holds neither images nor data files", name=str(tmp_path / "empty"))
    (tmp_path / "flat").mkdir()
    picture(1).save(tmp_path / "flat" / "one.png")
    refused("one.png lies directly in", name=str(tmp_path / "flat"))
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "train.parquet").write_bytes(b"PAR1 not really")
    refused(r"data\.name: the data set '.*garbage/train.parquet' cannot be read", name=str(tmp_path / "garbage"))


def test_an_empty_split_is_named(tmp_path):
    write_image_folder(tmp_path / "folder" / "train")
    (tmp_path / "folder" / "test" / "cat").mkdir(parents=True)
    refused("data.test: split 'test' of .* is empty", name=str(tmp_path / "folder"))
    refused("data.name: split 'train' of .* is empty", name=write(tmp_path / "set", train=split([], [])))
    refused("data.name: split 'test' of .* is empty", name=write(tmp_path / "held", train=many(), test=split([], [])))


def test_a_missing_split_lists_those_there_are(tmp_path):
    name = write(tmp_path / "set", train=many(), validation=many(8))
    refused(
        r"data\.train: .* no split 'tain'; it has train, validation. Did you mean 'train'",
        name=name,
        train="tain",
    )
    refused(r"data\.validation: .* no split 'holdout'", name=name, validation="holdout")
    refused(r"data\.test: .* no split 'tests'", name=name, test="tests")
    refused(r"data\.transfer\.split: .* no split 'more'", name=name, transfer=Transfer(name=name, split="more"))
