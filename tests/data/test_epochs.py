"""Batches of an epoch: every example once, in steps and parts of equal size."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from limbeck.data.examples import pooled
from limbeck.modalities.image.arrays import from_arrays
from limbeck.modalities.image.examples import joined
from limbeck.modalities.image.task import ImageClassification
from limbeck.objectives.functional import IGNORED
from limbeck.vision.inputs import Normalisation
from limbeck.vision.sections import Views

NOBODY = nn.Identity()
IMAGES = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(60) % 3
SPLITS = from_arrays((IMAGES[:40], LABELS[:40]), (IMAGES[40:50], LABELS[40:50]), (IMAGES[50:], LABELS[50:]))
TASK = ImageClassification(
    SPLITS, normalisation=Normalisation((0.5,), (0.25,)), teacher_normalisation=None, view_seed=0
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 45), st.integers(0, 3), st.integers(0, 9))
def test_an_epoch_is_every_example_once(count, batch_size, epoch, seed):
    examples = SPLITS.train.take(torch.arange(count))
    source = TASK.source(examples, views=Views(), seed=seed, batch_size=batch_size)
    steps = source.steps_per_epoch()
    batches = [source.next(epoch * steps + place, NOBODY) for place in range(steps)]
    sizes = [len(batch.ids) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    assert 1 <= min(sizes) <= max(sizes) <= batch_size
    assert sorted(torch.cat([batch.ids for batch in batches]).tolist()) == sorted(examples.ids.tolist())
    assert all((batch.view == epoch).all() for batch in batches)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 45), st.integers(1, 6), st.integers(0, 30))
def test_the_parts_are_the_batch(batch_size, parts, step):
    views = Views(shift=0.2, flip=True)
    whole = TASK.source(SPLITS.train, views=views, seed=1, batch_size=batch_size).next(step, NOBODY)
    source = TASK.source(SPLITS.train, views=views, seed=1, batch_size=batch_size)
    pieces = [source.next(step, NOBODY, part, parts) for part in range(parts)]
    for name in ("ids", "view", "labels", "inputs"):
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(whole, name))
    sizes = [len(piece.ids) for piece in pieces]
    assert max(sizes) - min(sizes) <= 1


def test_a_step_does_not_depend_on_those_before():
    source = TASK.source(SPLITS.train, views=Views(shift=0.2), seed=1, batch_size=7)
    forwards = [source.next(step, NOBODY) for step in range(13)]
    for step in (12, 0, 7, 6, 3):
        again = source.next(step, NOBODY)
        assert torch.equal(again.ids, forwards[step].ids)
        assert torch.equal(again.inputs, forwards[step].inputs)
    other = dataclasses.replace(source, seed=2).next(0, NOBODY)
    assert not torch.equal(other.ids, forwards[0].ids)


def test_labels_and_pixels_are_those_of_the_id():
    batch = TASK.source(SPLITS.train, views=Views(), seed=3, batch_size=11).next(2, NOBODY)
    where = SPLITS.train.position_of(batch.ids)
    assert torch.equal(batch.labels, SPLITS.train.labels[where])
    expected = (SPLITS.train.images[where].float() / 255 - 0.5) / 0.25
    torch.testing.assert_close(batch.inputs, expected)


def test_a_transfer_set_joins_without_labels_and_without_what_is_known():
    known = SPLITS.train.take(torch.arange(5))
    transfer = joined(SPLITS.validation, known, None)
    both = pooled(dataclasses.replace(SPLITS, transfer=transfer), "cpu", joined)
    assert torch.equal(both.ids, torch.cat([SPLITS.train.ids, SPLITS.validation.ids]))
    assert (both.labels[-10:] == IGNORED).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 32, 48, 224])
def test_views_that_are_made_at_a_time_cut_neither_a_block_nor_a_batch(channels, size):
    images = torch.randint(0, 256, (9, channels, size, size), dtype=torch.uint8)
    parts = [(images[at : at + 3], torch.arange(3)) for at in (0, 3, 6)]
    grey = Normalisation((0.5,) * channels, (0.25,) * channels)
    splits = from_arrays(*parts)
    task = ImageClassification(splits, normalisation=grey, teacher_normalisation=None, view_seed=0)
    number = task.views_at_once
    assert 512 <= number <= 4096
    assert 4096 % number == 0
    assert number == 512 or number * 4 * channels * size**2 <= 2**24
