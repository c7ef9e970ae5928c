"""Splits from what a Python program holds: sounds of one length as an array, a list of sounds, or any map-style ``Dataset``.

Shapes: N sounds, S samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from ...data.examples import HeldOut
from ...data.splits import arrange
from ...errors import BadInput
from .audio import of_array
from .decode import Sounds, content_of
from .examples import Clips, Splits
from .load import Part, of_clips

Given = Any
"""``(sounds, labels)`` or a map-style data set of ``(samples, label)``."""


def from_arrays(
    train: Given,
    validation: Given | None = None,
    test: Given | None = None,
    *,
    rate: int,
    seconds: float,
    classes: Sequence[str] | None = None,
    transfer: Any = None,
    validation_fraction: float = 0.1,
) -> Splits:
    """The splits of a run from a person's own sounds; what is None of validation and test is carved from train.

    ``train``, ``validation`` and ``test`` are each ``(sounds, labels)`` or a map-style data set of ``(samples, label)``;
    ``transfer`` is sounds alone, or the same with labels that are ignored. Sounds are an array or tensor (N, S), or a list of (S,)
    each, mono, floats in -1 to 1 or 16-bit integers, at ``rate`` Hz; a model hears windows of ``seconds``. Labels are integers
    from 0; ``classes`` their names, the numbers in their order where not given. ``test`` is read when it is opened.

    Raises ``BadInput`` where sounds or labels are none, or their numbers differ.
    """
    train_part = _part(*_labelled(train, "train"), rate=rate, split="train")
    assert train_part.labels is not None
    names = classes if classes is not None else [str(c) for c in range(int(train_part.labels.max()) + 1)]

    def read_test(notes: list[str]) -> Clips:
        part = _part(*_labelled(test, "test"), rate=rate, split="test")
        if shared := int(torch.isin(part.content, train_part.content).sum()):
            notes.append(f"{shared} of {len(part)} test sounds stand in the training data too.")
        return part.examples()

    arranged = arrange(
        train_part,
        None if validation is None else _part(*_labelled(validation, "validation"), rate=rate, split="validation"),
        None if test is None else HeldOut(read_test, count=count_of(test)),
        None if transfer is None else _part(alone(transfer), None, rate=rate, split="transfer"),
        what="sound",
        classes=tuple(names),
        fraction=validation_fraction,
        notes=[],
    )
    return of_clips(arranged_facts=vars(arranged), rate=rate, seconds=seconds, counted={})


def _part(sounds: Iterable[Any], labels_N: Tensor | None, *, rate: int, split: str) -> Part:
    """A split of sounds as they are at hand."""
    read = sounds_of(sounds, rate, split)
    if labels_N is not None and labels_N.shape != read.lengths.shape:
        raise BadInput(
            f"{split} has {len(read.lengths)} sounds and labels of shape {tuple(labels_N.shape)}: it needs a whole number for each."
        )
    return Part.of(read, labels_N, rate)


def sounds_of(sounds: Iterable[Any], rate: int, split: str) -> Sounds:
    """Sounds of a program, each (S,) at ``rate``. Raises ``BadInput`` where there is none, or one is no sound."""
    read = [_read(one, rate, f"split '{split}', row {row}") for row, one in enumerate(sounds)]
    if not read:
        raise BadInput(f"split '{split}' is empty: it needs at least one example.")
    lengths_N = torch.tensor([len(one) for one, _ in read])
    content_N = torch.tensor([content for _, content in read])
    samples = torch.from_numpy(np.concatenate([one for one, _ in read]))
    return Sounds(samples, lengths_N, content_N, torch.arange(len(read)))


def _read(given: Any, rate: int, where: str) -> tuple[np.ndarray, int]:
    """Its samples (S,) float32, and the hash of its content."""
    if not isinstance(given, (np.ndarray, Tensor)) or given.ndim != 1:
        shape = getattr(given, "shape", None)
        found = type(given).__name__ if shape is None else f"of shape {tuple(shape)}"
        raise BadInput(f"{where}: the samples are {found}; an array or a tensor (samples,), mono, is right.")
    try:
        sound = of_array(given.detach().cpu().numpy() if isinstance(given, Tensor) else given, rate)
    except BadInput as error:
        raise BadInput(f"{where}: the sound cannot be used: {error}.") from None
    return sound.samples, content_of(sound)


def _labelled(given: Given, split: str) -> tuple[Iterable[Any], Tensor]:
    """Sounds, and labels (N,) int64."""
    sounds, labels = answered_sounds(given, split, "label")
    labels_N = torch.as_tensor(np.asarray(labels))
    if labels_N.is_floating_point() or labels_N.is_complex() or labels_N.dtype == torch.bool:
        raise BadInput(f"the labels of {split} are {str(labels_N.dtype)[6:]}: whole numbers from 0 are right.")
    return sounds, labels_N.long()


def answered_sounds(given: Given, split: str, answer: str) -> tuple[Any, Any]:
    """Sounds, and the ``answer`` of each, as they stand."""
    if isinstance(given, tuple) and len(given) == 2:
        return given
    pairs = list(_items(given, split, answer))
    if not all(isinstance(one, (tuple, list)) and len(one) == 2 for one in pairs):
        raise BadInput(f"{split}: each item must be (samples, {answer}); or give (sounds, {answer}s).")
    return [one[0] for one in pairs], [one[1] for one in pairs]


def alone(given: Any) -> Iterable[Any]:
    """The sounds of a transfer set, whatever stands beside them."""
    if isinstance(given, tuple) and len(given) == 2:
        given = given[0]
    return [one[0] if isinstance(one, tuple) else one for one in _items(given, "transfer", "label")]


def _items(given: Any, split: str, answer: str) -> Iterator[Any]:
    if isinstance(given, IterableDataset):
        raise BadInput(f"{split} is an IterableDataset: a map-style Dataset is needed.")
    if isinstance(given, (str, Mapping)) or not hasattr(given, "__getitem__") or not hasattr(given, "__len__"):
        raise BadInput(
            f"{split} is of type {type(given).__name__}: it must be (sounds, {answer}s) or a map-style PyTorch Dataset of (samples, "
            f"{answer})."
        )
    return (given[row] for row in range(len(given)))


def count_of(given: Any) -> int:
    """How many examples a split has, which is not read."""
    return len(given[0]) if isinstance(given, tuple) else len(given)
