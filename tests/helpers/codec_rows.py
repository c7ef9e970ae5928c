"""Logits to be stored, and what a codec gives back of them. Shapes: N rows, C classes."""

import torch

from limbeck.targets.codecs import Rows


def normal(*shape, seed=0, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def rows_of(number, view=0, first=0):
    ids_N = torch.arange(first, first + number) * 7919 - 1000
    return Rows(ids_N, view, torch.zeros(number, dtype=torch.int64))


def kept(codec, logits_NC, rows=None):
    """What is read of what was written; the columns are those of the layout."""
    classes = logits_NC.shape[1]
    columns = codec.encode(logits_NC, rows or rows_of(len(logits_NC)))
    for column in codec.layout(classes):
        there = columns[column.name].numpy()
        assert (there.shape, there.dtype) == (column.shape(len(logits_NC)), column.dtype)
    assert len(columns) == len(codec.layout(classes))
    return codec.decode(columns, classes)


def zipf(classes, power=1.3):
    """Logits such as a language model's: shares fall with a power of the rank."""
    return -power * torch.arange(1, classes + 1, dtype=torch.float64).log()
