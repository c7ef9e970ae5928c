"""Claims about ids and splits: stable, disjoint, and a test split that is opened once."""

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data.examples import HeldOut
from limbeck.data.ids import carve, example_ids
from limbeck.errors import BadInput
from limbeck.modalities.image.examples import Examples
from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data, Transfer
from limbeck.vision.inputs import content_ids
from tests.helpers.written_images import CORRUPT, many, picture, png, refused, split, write


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    monkeypatch.delenv("LIMBECK_DATA", raising=False)


def test_limit_takes_the_smallest_ids_of_train_and_leaves_the_others_alone():
    whole, some = load(Data(name="digits")), load(Data(name="digits", limit=200))
    assert torch.equal(some.validation.ids, whole.validation.ids)
    assert sorted(some.train.ids.tolist()) == sorted(whole.train.ids.tolist())[:200]


# Ids and splits


def test_ids_and_fingerprint_do_not_depend_on_the_order_of_rows(tmp_path):
    rows = datasets.concatenate_datasets([many(), many(7)])
    turned = rows.select(np.random.default_rng(0).permutation(len(rows)))
    first = load(Data(name=write(tmp_path / "a", train=rows)))
    second = load(Data(name=write(tmp_path / "b", train=turned)))
    assert first.fingerprint == second.fingerprint
    assert (first.mean, first.std) == (second.mean, second.std)
    at = second.train.position_of(first.train.ids)
    assert torch.equal(second.train.images[at], first.train.images)
    assert torch.equal(second.train.labels[at], first.train.labels)


def test_the_fingerprint_sees_labels_pixels_and_class_names(tmp_path):
    cells, labels = [png(seed) for seed in range(80)], [0, 1] * 40
    relabelled = [1, 0] * 40
    other = [*cells[:-1], png(999)]
    renamed = datasets.ClassLabel(names=["cat", "fox"])
    sets = [
        split(cells, labels),
        split(cells, relabelled),
        split(other, labels),
        split(cells, labels, renamed),
    ]
    prints = {load(Data(name=write(tmp_path / str(n), train=rows))).fingerprint for n, rows in enumerate(sets)}
    assert len(prints) == 4


pixels_strategy = st.lists(st.integers(0, 3), min_size=1, max_size=40)


@given(pixels_strategy, st.randoms())
@settings(max_examples=50, deadline=None)
def test_ids_are_unique_and_stable_under_reordering(values, random):
    labels = torch.tensor([value % 2 for value in values])
    images = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1)
    ids = example_ids(content_ids(images), labels)
    order = torch.tensor(random.sample(range(len(values)), len(values)))
    turned = example_ids(content_ids(images[order]), labels[order])
    assert len(set(ids.tolist())) == len(values)
    assert sorted(zip(ids.tolist(), values)) == sorted(zip(turned.tolist(), [values[at] for at in order]))


@given(pixels_strategy, pixels_strategy)
@settings(max_examples=50, deadline=None)
def test_more_examples_move_no_example_and_no_id(values, added):
    old = content_ids(torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1))
    new = content_ids(torch.tensor(values + added, dtype=torch.uint8).view(-1, 1, 1, 1))
    assert torch.equal(example_ids(old, None), example_ids(new, None)[: len(values)])
    assert torch.equal(carve(old, 0.3, "validation"), carve(new, 0.3, "validation")[: len(values)])


def test_carving_takes_its_share_independently_of_other_carvings():
    content = content_ids(torch.arange(40_000, dtype=torch.float32).view(-1, 1, 1, 1))
    for fraction in (0.05, 0.1, 0.5):
        share = carve(content, fraction, "test").double().mean()
        assert abs(float(share) - fraction) < 4 * (fraction * (1 - fraction) / 40_000) ** 0.5
    test, validation = carve(content, 0.1, "test"), carve(content, 0.1, "validation")
    assert abs(float((test & validation).double().mean()) - 0.01) < 4 * (0.01 / 40_000) ** 0.5
    assert not (carve(content, 0.1, "test") & ~carve(content, 0.2, "test")).any()


def test_type_and_shape_are_part_of_the_content():
    bytes_N = torch.zeros(1, 1, 2, 8, dtype=torch.uint8)
    ids = {int(content_ids(bytes_N)), int(content_ids(bytes_N.view(1, 1, 4, 4)))}
    ids.add(int(content_ids(torch.zeros(1, 1, 2, 2))))
    assert len(ids) == 3


def test_copies_of_an_image_fall_on_the_same_side(tmp_path):
    rows = many(120)
    copies = datasets.concatenate_datasets([rows, rows, rows])
    splits = load(Data(name=write(tmp_path / "set", train=copies), validation_fraction=0.3))
    held = [content_ids(part.images) for part in (splits.train, splits.validation, splits.test.open("figures"))]
    assert sum(len(part) for part in held) == 360
    seen: set[int] = set()
    for part in held:
        assert not seen & set(part.tolist())
        seen |= set(part.tolist())


def test_a_given_validation_split_that_overlaps_train_is_noted(tmp_path):
    name = write(tmp_path / "set", train=many(), validation=many(20, 70), test=many(8, 900))
    splits = load(Data(name=name, validation="validation"))
    assert len(splits.train) == 80
    assert splits.notes[1:] == ("10 of 80 training images stand in the validation split too.",)


def test_a_validation_split_left_unused_is_noted(tmp_path):
    name = write(tmp_path / "set", train=many(), validation=many(20, 500))
    assert any("data.validation: validation would" in note for note in load(Data(name=name)).notes)


def test_transfer_examples_have_no_labels_and_stand_in_no_other_split(tmp_path):
    name = write(tmp_path / "set", train=many(100))
    pool = write(tmp_path / "pool", train=many(130))
    splits = load(Data(name=name, transfer=Transfer(name=pool)))
    assert splits.transfer.labels is None
    assert {tuple(image.flatten().tolist()) for image in splits.transfer.images} == {
        tuple(np.asarray(picture(seed)).ravel().tolist()) for seed in range(100, 130)
    }
    assert "100 of 130 transfer images" in splits.notes[-1]
    fewer = load(Data(name=name, transfer=Transfer(name=pool, limit=7)))
    assert sorted(fewer.transfer.ids.tolist()) == sorted(splits.transfer.ids.tolist())[:7]
    assert fewer.fingerprint != splits.fingerprint


def test_a_transfer_folder_needs_no_classes(tmp_path):
    (tmp_path / "loose").mkdir()
    for seed in range(9):
        picture(5000 + seed).save(tmp_path / "loose" / f"{seed}.png")
    splits = load(Data(name=write(tmp_path / "set", train=many()), transfer=Transfer(name=str(tmp_path / "loose"))))
    assert len(splits.transfer) == 9


# The test split is held out


def test_the_test_split_opens_once_and_tells_the_recorder(tmp_path):
    splits = load(Data(name=write(tmp_path / "set", train=many(), test=many(8, 76))))
    purposes: list[str] = []
    splits.test.record_with(purposes.append)
    assert not splits.test.opened
    assert len(splits.test.open("figures")) == 8
    assert splits.test.notes == ["4 of 8 test images stand in the training data too."]
    with pytest.raises(RuntimeError, match=r"already opened for 'figures'.*'more figures'"):
        splits.test.open("more figures")
    assert purposes == ["figures"]


def test_a_carved_test_split_opens_once_too():
    splits = load(Data(name="digits"))
    splits.test.open("figures")
    with pytest.raises(RuntimeError, match="already opened"):
        splits.test.open("figures")


def test_nothing_of_the_test_split_is_read_before_it_is_opened(tmp_path):
    wrong = split([png(500), CORRUPT, png(502)], [0, 1, -1])
    splits = load(Data(name=write(tmp_path / "labels", train=many(), test=wrong)))
    with pytest.raises(BadInput, match=r"'test', row 2 \(counted from 0\): label -1"):
        splits.test.open("figures")
    corrupt = split([png(500), CORRUPT, png(502)], [0, 1, 1])
    splits = load(Data(name=write(tmp_path / "image", train=many(), test=corrupt)))
    assert splits.test.count == 3
    with pytest.raises(BadInput, match=r"'test', row 1 \(broken.png\)"):
        splits.test.open("figures")


def test_a_failed_opening_counts_as_one():
    def read(notes):
        raise BadInput("no")

    held = HeldOut(read)
    with pytest.raises(BadInput):
        held.open("figures")
    with pytest.raises(RuntimeError):
        held.open("figures")


@pytest.mark.parametrize("test", ["test", None])
def test_the_test_split_cannot_select(tmp_path, test):
    name = write(tmp_path / "set", train=many(), test=many(8))
    refused("is the test split, which cannot be used for selection", name=name, validation="test", test=test)


def test_a_split_cannot_play_two_parts(tmp_path):
    name = write(tmp_path / "set", train=many(), holdout=many(8))
    refused("'train' is the training split, which cannot be used for sel", name=name, validation="train")
    refused("data.test: 'train' is the training split", name=name, test="train")
    refused("'holdout' is the test split", name=name, validation="holdout", test="holdout")


def test_a_limit_that_loses_a_class_says_so():
    refused("no example of .* left after data.limit: 3", name="digits", limit=3)


def test_a_split_too_small_to_carve(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog", "emu"])
    rows, test = (split([png(start + seed) for seed in range(3)], [0, 1, 2], kind) for start in (0, 100))
    refused(
        "a validation split of 0.001 carved from 3 training examples leaves none in it",
        name=write(tmp_path / "set", train=rows, test=test),
        validation_fraction=0.001,
    )


def test_a_transfer_set_with_nothing_new(tmp_path):
    name = write(tmp_path / "set", train=many())
    refused("transfer set holds no image that the other", name=name, transfer=Transfer(name=name))


# Examples


def test_examples_find_their_ids():
    ids = torch.tensor([9, 2, 5])
    examples = Examples(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2]), ids)
    assert examples.position_of(torch.tensor([5, 9])).tolist() == [2, 0]
    taken = examples.take(torch.tensor([2, 0]))
    assert (taken.ids.tolist(), taken.labels.tolist()) == ([5, 9], [2, 0])
    for absent in (1, 7, 100):
        with pytest.raises(KeyError, match=str(absent)):
            examples.position_of(torch.tensor([5, absent]))


def test_two_examples_of_one_id_are_refused():
    with pytest.raises(BadInput, match="rows 0 and 2 have the same example id 4"):
        Examples(torch.zeros(3, 1, 2, 2), None, torch.tensor([4, 1, 4]))
