"""Claims about folders of images as people and programs leave them: which folder plays which part, and what is said."""

from __future__ import annotations

import re
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from limbeck.errors import BadInput
from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data, Transfer
from limbeck.vision.image_files import readable
from limbeck.vision.sources import open_images


class Maker:
    """Writes pictures that all differ."""

    def __init__(self, root: Path) -> None:
        self.root, self.made = root, 0

    def __call__(self, folder: str, count: int = 3, name: str = "{:03d}.png", **how) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            self.made += 1
            pixels = np.random.default_rng(self.made).integers(0, 256, (6, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(self.root / folder / name.format(index), **how)

    def file(self, name: str, text: str = "") -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)


@pytest.fixture
def make(tmp_path) -> Maker:
    return Maker(tmp_path / "photos")


def read(make: Maker) -> tuple[dict[str, dict[str, int]], str]:
    """How many images each class of each split has, and the notes."""
    rows = open_images(str(make.root), None)
    counts = {}
    for split, those in rows.items():
        names = those.features["label"].names
        labels = np.asarray(those.with_format("arrow")[:]["label"].to_pylist(), dtype=int)
        counts[split] = {name: int((labels == number).sum()) for number, name in enumerate(names)}
    return counts, " ".join(rows.notes)


def refused(make: Maker, pattern: str) -> None:
    with pytest.raises(BadInput, match=pattern) as caught:
        open_images(str(make.root), None)
    assert str(caught.value).startswith("data.name: ")
    assert str(caught.value).endswith(".")


CSV = "file,label\n000.png,1\n"


# Splits and classes


@pytest.mark.parametrize(
    ("train", "test", "validation"),
    [
        ("Train", "Test", "Val"),
        ("TRAINING", "TESTING", "DEV"),
        ("training_set", "test_set", "validation_set"),
        ("train_images", "test_images", "val_images"),
        ("images-train", "images-test", "images-val"),
        ("seg_train/seg_train", "seg_test/seg_test", "seg_val/seg_val"),
        ("animals10/train", "animals10/test", "animals10/valid"),
        ("train2017", "test2017", "val2017"),
    ],
)
def test_splits_are_known_by_the_forms_of_their_names_whatever_lies_beside(train, test, validation, make):
    make(f"{train}/circle", 6)
    make(f"{train}/square", 5)
    make(f"{test}/circle", 2)
    make(f"{test}/square", 3)
    make(f"{validation}/square", 1)
    make.file("labels.csv", CSV)
    make.file("README.md", "# Shapes")
    make.file("annotations/instances.json", "{}")
    counts, notes = read(make)
    assert counts == {
        "train": {"circle": 6, "square": 5},
        "validation": {"circle": 0, "square": 1},
        "test": {"circle": 2, "square": 3},
    }
    assert f"train has 11 rows ({train}); validation has 1 row ({validation}); test has 5 rows ({test})." in notes
    assert "labels.csv lies beside folders of images and is not read" in notes
    assert "they are no images that Pillow reads: 1 .json, 1 .md." in notes


def test_class_folders_beside_a_table_are_classes_whatever_they_are_called(make):
    for name in ("test_tube", "beaker", "train_ticket"):
        make(name, 4, "test_{:03d}.png")
    make.file("labels.csv", CSV)
    make.file("beaker/notes.tsv", CSV)
    counts, notes = read(make)
    assert counts == {"train": {"beaker": 4, "test_tube": 4, "train_ticket": 4}}
    assert "no folder is named after a split, so all are train: train has 12 rows." in notes
    assert "labels.csv, beaker/notes.tsv lie beside folders of images and are not read" in notes


def test_metadata_is_read_as_the_datasets_library_reads_it(make):
    make("one", 3)
    make("two", 3)
    lines = [
        f"{folder}/{index:03d}.png,{'left' if index else 'right'}" for folder in ("one", "two") for index in range(3)
    ]
    make.file("metadata.csv", "\n".join(["file_name,side", *lines]))
    refused(make, r"the classes could be the folders \(one, two\) or a column of the metadata \(side\)")
    rows = open_images(str(make.root), None, label="side")["train"]
    assert sorted(rows["side"]) == ["left"] * 4 + ["right"] * 2


def metadata(make: Maker, where: str, files: dict[str, str]) -> None:
    lines = [f"{file},{label}" for file, label in files.items()]
    make.file(f"{where}/metadata.csv", "\n".join(["file_name,label", *lines]) + "\n")


@pytest.mark.parametrize(("train", "test"), [("Training", "Testing"), ("Train_set", "Test_set")])
def test_metadata_in_folders_of_splits_are_of_these_splits(train, test, make):
    for split, count in ((train, 3), (test, 2)):
        make(f"{split}/a", count)
        make(f"{split}/b", count)
        files = {f"{folder}/{index:03d}.png": folder for folder in "ab" for index in range(count)}
        metadata(make, split, files)
    rows = open_images(str(make.root), None)
    assert {split: sorted(those["label"]) for split, those in rows.items()} == {
        "train": ["a"] * 3 + ["b"] * 3,
        "test": ["a"] * 2 + ["b"] * 2,
    }
    make("tset", 2)
    metadata(make, "tset", {"000.png": "a", "001.png": "b"})
    refused(make, "'tset' is nearly 'test'")


def test_metadata_above_folders_of_splits_are_parted_by_where_the_images_lie(make):
    make("train", 4)
    make("test", 2)
    names = {
        f"{split}/{index:03d}.png": "ab"[index % 2] for split, n in (("train", 4), ("test", 2)) for index in range(n)
    }
    metadata(make, ".", names)
    rows = open_images(str(make.root), None)
    assert {split: those["label"][:] for split, those in rows.items()} == {"train": ["a", "b"] * 2, "test": ["a", "b"]}
    there = make.root / ".." / make.root.name
    assert {split: len(those) for split, those in open_images(str(there), None).items()} == {"train": 4, "test": 2}
    make("pred", 1)
    metadata(make, ".", names | {"pred/000.png": "a"})
    assert "images lie in the folder of no split: 1 row of metadata.csv" in " ".join(
        open_images(str(make.root), None).notes
    )


def test_a_split_without_metadata_has_no_labels_and_may_be_learnt_from(make):
    make("train", 20)
    make("test", 4)
    metadata(make, "train", {f"{index:03d}.png": "ab"[index % 2] for index in range(20)})
    with pytest.raises(BadInput, match=r"split 'test' has no column 'label' .* data\.transfer"):
        load(Data(name=str(make.root)))
    splits = load(Data(name=str(make.root), test=None, transfer=Transfer(name=str(make.root), split="test")))
    assert splits.transfer is not None
    assert len(splits.transfer) == 4


def test_metadata_of_several_images_a_row_are_read(make):
    make("", 4)
    make.file("metadata.csv", "file_name,mask_file_name,label\n000.png,001.png,a\n002.png,003.png,b\n")
    assert set(open_images(str(make.root), None)["train"].column_names) == {"image", "mask", "label"}


def test_images_that_metadata_lack_or_list_twice_are_said(make):
    make("", 5)
    lines = ["000.png,a", "001.png,b", "002.png,a", "000.png,a"]
    make.file("metadata.csv", "\n".join(["file_name,label", *lines]) + "\n")
    notes = " ".join(open_images(str(make.root), None).notes)
    assert "2 of 5 images are left out, since the metadata do not list them: 003.png, 004.png." in notes
    assert "1 of 4 rows list an image that stands in another row" in notes
    make.file("metadata.csv", "\n".join(["file_name,label", *lines, "001.png,a"]) + "\n")
    refused(make, r"001\.png twice, as 'b' and as 'a' \(column 'label'\)")


def test_tables_with_images_inside_and_class_folders_are_not_chosen_between(make):
    make("cat")
    make("dog")
    inside = datasets.Dataset.from_dict(
        {"image": [str(make.root / "cat" / "000.png")], "label": [0]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )
    inside.to_parquet(make.root / "all.parquet")
    refused(make, r"holds folders of images \(cat, dog\) and tables with images inside \(all\.parquet\)")


def test_a_stray_empty_class_is_none_and_said(make):
    for split in ("train", "test"):
        make(f"{split}/cat")
        make(f"{split}/dog")
    (make.root / "test" / "misc").mkdir()
    make.file("train/labels/000.txt", "0 0.5 0.5 1 1")
    counts, notes = read(make)
    assert counts == {"train": {"cat": 3, "dog": 3}, "test": {"cat": 3, "dog": 3}}
    assert "hold no images and so are no classes: train/labels, test/misc." in notes
    assert "2 classes, after their folders: cat, dog." in notes


def test_a_class_of_pictures_that_are_not_read_is_refused(make):
    make("cat")
    make("dog")
    make.file("horse/IMG_0001.HEIC")
    refused(make, r"horse holds \.heic files, which Pillow does not read: convert them")


def test_images_below_a_class_are_of_that_class_and_said(make):
    make("animal/cat")
    make("animal/dog")
    make("vehicle/car")
    make("vehicle", 2)
    counts, notes = read(make)
    assert counts == {"train": {"animal": 6, "vehicle": 5}}
    assert "own sub-folders are of that class: animal (cat, dog), vehicle (car)." in notes


def test_what_is_neither_split_nor_class_is_left_out_and_counted(make):
    for split in ("train", "test"):
        make(f"{split}/cat")
        make(f"{split}/dog")
    make("pred", 4)
    make("val", 7)
    make("", 1, "preview.png")
    counts, notes = read(make)
    assert set(counts) == {"train", "test"}
    assert "left out, since they are named after no split: pred (4 images)." in notes
    assert (
        "left out, since they hold images without a folder for each class (which data.transfer can use): val (7 images)."
        in notes
    )
    assert "left out, since they lie outside the splits: 1 image." in notes


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        (["trian/cat", "trian/dog", "test/cat"], "'trian' is nearly 'train'"),
        (["train/cat", "train/dog", "tset/cat"], "'tset' is nearly 'test'"),
        (["train/cat", "train/dog", "Training/cat"], "two folders for split 'train', 'Training' and 'train'"),
        (["train", "test"], "'test' and 'train' in .*photos look like splits and hold images directly"),
        (["train2017", "val2017"], "'train2017' and 'val2017' in .* hold images directly"),
        (["Test/cat", "Test/dog", "lernen/cat", "lernen/dog"], "Test is named after a split .* no folder beside it"),
        (["train/images", "test/images"], "train holds one folder of images, 'images', so there is one class"),
        (["cat"], "photos holds one folder of images, 'cat', so there is one class"),
        (["train/cat", "train/dog", "test/Cat"], r"class 'Cat' of .*test is missing from the training split.*Did you mean 'cat'"),
        (["cat", "dog", ""], "000.png lies directly in"),
        (["fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog"], "each of fold1, fold2 holds the folders cat, dog, so either"),
        (["train/p1/cat", "train/p1/dog", "train/p2/cat", "train/p2/dog", "test/p1/cat"], "each of p1, p2 holds"),
        (["train/a", "train/b", "test_old/a", "test_new/a"], "test_new and 'test_old' beside it could both be split 'test'"),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_refused(folders, sentence, make):
    for folder in folders:
        make(folder)
    with pytest.raises(BadInput, match=sentence):
        open_images(str(make.root), None)


def test_classes_may_hold_folders_of_the_same_names(make):
    for folder in ("cat/left", "cat/right", "dog/left", "dog/right"):
        make(folder)
    counts, notes = read(make)
    assert list(counts["train"]) == ["cat", "dog"]
    assert "sub-folders are of that class: cat (left, right)" in notes


def test_a_class_may_be_called_train(make):
    make("train/2019")
    make("train", 2)
    make("bus")
    counts, _ = read(make)
    assert counts == {"train": {"bus": 3, "train": 5}}


# What is left behind, and what Pillow reads


def test_what_systems_leave_behind_is_left_out_at_every_depth_and_counted(make):
    clean = Maker(make.root.parent / "clean")
    for one in (clean, make):
        for split in ("train", "test"):
            one(f"{split}/circle", 20)
            one(f"{split}/square", 20)
    for folder in ("", "train/", "train/circle/", "train/circle/deeper/"):
        make(f"{folder}.ipynb_checkpoints", 1, "000-checkpoint.png")
        make(f"{folder}__MACOSX/circle", 1, "._{:03d}.png")
        make(f"{folder}@eaDir", 1, "SYNOPHOTO_THUMB_M.png")
        make.file(f"{folder}Thumbs.db")
        make.file(f"{folder}.DS_Store")
    make("$RECYCLE.BIN/S-1-5-21", 2)
    make("lost+found", 2)
    make("train/square", 1, "._000.png", format="png")
    make("train/square", 1, "000.png~", format="png")
    make.file("test/desktop.ini")
    counts, notes = read(make)
    assert counts == read(clean)[0]
    for said in ("4 .ipynb_checkpoints", "4 __MACOSX", "4 @eaDir", "4 Thumbs.db", "4 .DS_Store"):
        assert said in notes
    assert re.search(r"since systems and programs leave such behind: .* and 2 more\.", notes)
    ours = load(Data(name=str(make.root)))
    assert ours.fingerprint == load(Data(name=str(clean.root))).fingerprint
    assert any("leave such behind" in note for note in ours.notes)


def test_whatever_pillow_reads_is_read_and_the_rest_is_counted(make):
    make("cat", 2, "{:03d}.jfif", format="jpeg")
    make("cat", 2, "{:03d}.AVIF")
    make("cat", 2, "{:03d}.jp2")
    make("dog", 2, "{:03d}.tga")
    make("dog", 2, "scan{:03d}", format="png")
    make("dog", 2, "scan.{:03d}", format="png")
    make.file("dog/notes", "no image")
    make.file("dog/a.xml")
    make.file("dog/b.xml")
    make.file("cat/film.mp4")
    make.file("cat/IMG_1.HEIC")
    counts, notes = read(make)
    assert "does not read such images (convert them to PNG or JPEG): 1 .heic." in notes
    assert counts == {"train": {"cat": 6, "dog": 6}}
    assert "left out, since they are no images that Pillow reads: 2 .xml, 1 .mp4, 1 without an ending." in notes
    assert {".jpg", ".jpe", ".mpo", ".apng", ".psd", ".qoi"} <= readable()
    assert not {".pdf", ".eps", ".mpg", ".h5", ".csv"} & readable()


def test_links_in_a_circle_end(make):
    make("cat")
    make("dog")
    (make.root / "cat" / "again").symlink_to(make.root)
    (make.root / "bird").symlink_to(make.root / "dog")
    assert read(make)[0] == {"train": {"bird": 3, "cat": 3, "dog": 3}}


def test_a_transfer_set_needs_no_classes_wherever_its_images_lie(make):
    make("data/cat", 20)
    make("data/dog", 20)
    make("more", 5)
    make("more/2019/may", 4)
    make.file("more/list.csv", CSV)
    make("splits/train", 3)
    make("splits/test", 2)
    data = {"name": str(make.root / "data")}
    mixed = load(Data(**data, transfer=Transfer(name=str(make.root / "more"))))
    assert mixed.transfer is not None
    assert len(mixed.transfer) == 9
    some = load(Data(**data, transfer=Transfer(name=str(make.root / "splits"))))
    assert some.transfer is not None
    assert len(some.transfer) == 3
