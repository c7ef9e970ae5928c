"""Splits from what a Python program holds: arrays, tensors, or any map-style PyTorch ``Dataset``.

Shapes: N examples, C channels (1 or 3), H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from ...data.examples import HeldOut
from ...errors import BadInput
from ...vision.decode import Form, Seen, allocate, notes_on_reading
from ...vision.pixels import AS_USUAL, DEEP_BITS, Preparation, bits_in_use, looked_at, natural_channels, pixels
from .array_labels import ClassLabels, Labels, NumberLabels, label_of
from .examples import Examples, Splits
from .splits import Part, assemble

Given = tuple[Any, Any] | Dataset
"""``(images, labels)`` or a map-style data set of ``(image, label)``."""

_CHANNELS = (1, 3)
_REREAD = 16


def from_arrays(
    train: Given,
    validation: Given | None = None,
    test: Given | None = None,
    *,
    classes: Sequence[str] | None = None,
    transfer: Any = None,
    validation_fraction: float = 0.1,
    numbers: NumberLabels | None = None,
) -> Splits:
    """The splits of a run from a person's own data; what is None of validation and test is carved from train.

    ``train``, ``validation`` and ``test`` are each ``(images, labels)`` or a map-style ``Dataset`` of
    ``(image, label)``; ``transfer`` is images alone, or the same with labels that are ignored. Images are
    NumPy or torch, (N, H, W), (N, H, W, C) or (N, C, H, W), as integers 0 to 255 or floats in [0, 1]; where
    both layouts would fit, a tensor is taken for (N, C, H, W) and an array for (N, H, W, C). A ``Dataset``
    gives PIL images, arrays or tensors, without random transforms. Labels are integers, from 0
    where there are names. ``classes`` are the names of the classes; the data set's own ``classes``, or the numbers in
    their order, where not given. ``test``
    is read when it is opened.

    Of a regression ``numbers`` says how its labels are called, and they are floats (N,) or (N, D), or a number or several an item.

    Raises ``BadInput`` where images are normalised or otherwise not in range, where their number differs from
    the labels', where a data set answers the same index in two ways, and as ``limbeck.modalities.image.load.load`` does.
    """
    if not 0 < validation_fraction < 0.9:
        raise BadInput(f"validation_fraction is {validation_fraction}: it must lie between 0 and 0.9.")
    for name, other in (("validation", validation), ("test", test)):
        if other is not None and other is train:
            raise BadInput(f"{name} is the training data itself: give other examples, or None to carve it.")
    if test is not None and test is validation:
        raise BadInput(
            "validation is the test data itself, which cannot be used for selection: give other examples, or "
            "None to have validation carved from train."
        )
    seen = Seen()
    kind = numbers or ClassLabels(classes)
    images, labels = _read_split(train, "train", how := _how_of(train, "train"), seen, kind)
    labels, notes = kind.learn(train, labels)
    notes += _notes(seen, "train", images, how, trains=True)
    train_part = Part.of(images, labels)

    def labelled(given: Given, split: str, notes: list[str]) -> Part:
        seen = Seen()
        images_of, labels_of = _read_split(given, split, how, seen, kind)
        notes += _notes(seen, split, images_of, how)
        _check_alike(images_of, images, split)
        return Part.of(images_of, kind.of_split(labels_of, split))

    def read_test(notes: list[str]) -> Examples:
        assert test is not None
        part = labelled(test, "test", notes)
        if shared := int(torch.isin(part.content, train_part.content).sum()):
            notes.append(f"{shared} of {len(part)} test images stand in the training data too.")
        return part.examples()

    transfer_part = None
    if transfer is not None:
        seen = Seen()
        transfer_images = _read_images(transfer, how, seen)
        notes += _notes(seen, "transfer", transfer_images, how)
        _check_alike(transfer_images, images, "transfer")
        transfer_part = Part.of(transfer_images, None)
    return assemble(
        train_part,
        None if validation is None else labelled(validation, "validation", notes),
        None if test is None else HeldOut(read_test, count=_count(test)),
        transfer_part,
        classes=() if isinstance(kind, NumberLabels) else kind.classes,
        numbers=numbers.names if numbers else (),
        unit=numbers.unit if numbers else (),
        fraction=validation_fraction,
        notes=notes,
        how=how,
    )


def _how_of(train: Any, split: str) -> Preparation:
    """How the images of a data set are prepared: where the first is grey of more than 8 bits, by the bits that all use."""
    if not _is_dataset(train, split) or not len(train):
        return AS_USUAL
    peaks = (_peak(train[row]) for row in range(len(train)))
    if (first := next(peaks)) is None:
        return AS_USUAL
    bits = bits_in_use(max([first, *(peak for peak in peaks if peak is not None)]))
    return AS_USUAL if bits == DEEP_BITS else Preparation(bits=bits)


def _peak(item: Any) -> int | None:
    image = _first_of(item)
    deep = isinstance(image, Image.Image) and (image.mode == "I" or image.mode.startswith("I;16"))
    return int(np.asarray(image).max()) if deep else None


def _notes(seen: Seen, split: str, images: Tensor, how: Preparation, trains: bool = False) -> list[str]:
    return notes_on_reading(seen, split, len(images), Form.of(images), how, trains=trains, guessed=False)


def _read_split(given: Given, split: str, how: Preparation, seen: Seen, kind: Labels) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) uint8 or float32, and labels (N,) int64 or (N, D) float32."""
    if _is_dataset(given, split):
        images, labels = _read_dataset(given, split, how, seen, kind)
        assert labels is not None
        return images, labels
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise BadInput(
            f"{split} is of type {type(given).__name__}: it must be (images, labels) or a map-style PyTorch "
            "Dataset of (image, label)."
        )
    images = images_of(given[0], split)
    labels = kind.of_array(given[1], split)
    if len(images) != len(labels):
        raise BadInput(f"{split} has {len(images)} images and {len(labels)} labels: it needs one for each.")
    return images, labels


def _read_images(given: Any, how: Preparation, seen: Seen) -> Tensor:
    """The images of a transfer set, whatever labels stand beside them."""
    if _is_dataset(given, "transfer"):
        return _read_dataset(given, "transfer", how, seen, None)[0]
    if isinstance(given, (tuple, list)) and len(given) == 2:
        given = given[0]
    return images_of(given, "transfer")


def images_of(given: Any, split: str) -> Tensor:
    """Images as (N, C, H, W) uint8 or float32 in [0, 1]. Raises ``BadInput`` naming ``split``."""
    if not isinstance(given, (np.ndarray, Tensor)):
        raise BadInput(
            f"the images of {split} are of type {type(given).__name__}: they must be a NumPy array or a tensor."
        )
    images = given.detach().cpu() if isinstance(given, Tensor) else _tensor(given, split)
    if images.ndim not in (3, 4):
        raise BadInput(
            f"the images of {split} have shape {tuple(images.shape)}: it must be (N, H, W), (N, H, W, C) or "
            "(N, C, H, W)."
        )
    if not len(images):
        raise BadInput(f"split '{split}' is empty: it needs at least one example.")
    if images.ndim == 3:
        images = images[:, None]
    else:
        first, last = images.shape[1] in _CHANNELS, images.shape[3] in _CHANNELS
        if not first and not last:
            raise BadInput(
                f"the images of {split} have shape {tuple(images.shape)}: one grey or three colour "
                "channels must come second or last."
            )
        if last and (not first or isinstance(given, np.ndarray)):
            images = images.permute(0, 3, 1, 2)
    return _in_range(images, split).contiguous()


def _tensor(array: np.ndarray, split: str) -> Tensor:
    if array.dtype.kind not in "fiu":
        raise BadInput(f"the images of {split} are {array.dtype}: they must be integers 0 to 255 or floats 0 to 1.")
    if array.dtype.kind != "f" and array.dtype != np.uint8:
        array = array.astype(np.int64)
    # A copy in native byte order where torch needs one (negative strides, a read-only map).
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), copy=True))


def _in_range(images: Tensor, split: str, row: int | None = None) -> Tensor:
    if images.dtype == torch.uint8:
        return images
    where = f"the images of {split}" if row is None else f"split '{split}', row {row}: the image's pixels"
    if not images.dtype.is_floating_point:
        low, high = int(images.min()), int(images.max())
        if images.dtype == torch.bool or low < 0 or high > 255:
            raise BadInput(f"{where} run from {low} to {high}: integers must lie in 0 to 255.")
        return images.to(torch.uint8)
    if not bool(images.isfinite().all()):
        raise BadInput(f"{where} hold NaN or infinity: floats must lie in 0 to 1.")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise BadInput(
            f"{where} run from {low:g} to {high:g}: floats must lie in 0 to 1. Give raw images, without "
            "normalisation; the mean and deviation are found and applied here."
        )
    return images.to(torch.float32)


def _is_dataset(given: Any, split: str) -> bool:
    if isinstance(given, IterableDataset):
        raise BadInput(f"{split} is an IterableDataset: a map-style Dataset is needed.")
    if isinstance(given, list) and given and all(isinstance(one, tuple) and len(one) == 2 for one in given):
        return True  # a list of (image, label)
    arrays = (np.ndarray, Tensor, tuple, list, Mapping, str)
    return not isinstance(given, arrays) and hasattr(given, "__getitem__") and hasattr(given, "__len__")


def _read_dataset(
    given: Any, split: str, how: Preparation, seen: Seen, kind: Labels | None
) -> tuple[Tensor, Tensor | None]:
    count = len(given)
    if not count:
        raise BadInput(f"split '{split}' is empty: it needs at least one example.")
    # Several rows, since a coin toss (a flip) comes out the same way twice half of the time.
    for row in sorted({int(at) for at in np.linspace(0, count - 1, _REREAD)}):
        once, again = (_image_of(given[row], split, row, how) for _ in range(2))
        if once.shape != again.shape or not torch.equal(once, again):
            raise BadInput(
                f"{split} gives another image each time row {row} is read: turn its random transforms off, "
                "and ask for variation with views instead."
            )
    first = _image_of(given[0], split, 0, how)
    images = allocate((count, *first.shape), first.dtype)
    labels = []
    for row in range(count):
        item = given[row]
        image = _image_of(item, split, row, how, seen)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise BadInput(
                f"images differ: split '{split}', row {row} is {_described(image)}, while row 0 is "
                f"{_described(first)}: resize and convert them alike in the data set."
            )
        images[row] = image
        if kind is not None:
            labels.append(kind.of_item(label_of(item), split, row))
            if np.shape(labels[-1]) != np.shape(labels[0]):
                raise BadInput(
                    f"split '{split}', row {row}: the label has {len(labels[-1])} numbers, that of row 0 {len(labels[0])}."
                )
    return images, None if kind is None else kind.of_array(np.array(labels), split)


def _first_of(item: Any) -> Any:
    """The image among what a data set gives for a row."""
    if isinstance(item, Mapping):
        return item.get("image")
    return item[0] if isinstance(item, (tuple, list)) and item else item


def _image_of(item: Any, split: str, row: int, how: Preparation, seen: Seen | None = None) -> Tensor:
    """The image of a data set's item as (C, H, W); ``seen`` takes in what it was."""
    item = _first_of(item)
    if isinstance(item, Image.Image):
        try:
            image, look = looked_at(item, how)
        except ValueError as error:
            raise BadInput(f"split '{split}', row {row}: the image cannot be used: {error}.") from error
        array = pixels(image, natural_channels(image), None)
        if seen is not None:
            seen.take(row, look, array, converted=False)
        return torch.from_numpy(array.copy())
    if not isinstance(item, (np.ndarray, Tensor)):
        raise BadInput(
            f"split '{split}', row {row}: the image is of type {type(item).__name__}: each item must be "
            "(image, label) with a PIL image, an array or a tensor."
        )
    image = item.detach().cpu() if isinstance(item, Tensor) else _tensor(item, split)
    if image.ndim == 2:
        image = image[None]
    elif image.ndim == 3:
        first, last = image.shape[0] in _CHANNELS, image.shape[2] in _CHANNELS
        if last and (not first or isinstance(item, np.ndarray)):
            image = image.permute(2, 0, 1)
    if image.ndim != 3 or image.shape[0] not in _CHANNELS or not image.numel():
        raise BadInput(
            f"split '{split}', row {row}: the image has shape {tuple(item.shape)}: it must be (H, W), "
            "(H, W, C) or (C, H, W) with one or three channels."
        )
    return _in_range(image, split, row)


def _count(given: Any) -> int:
    return len(given[0]) if isinstance(given, (tuple, list)) else len(given)


def _check_alike(images: Tensor, train: Tensor, split: str) -> None:
    if images.shape[1:] != train.shape[1:] or images.dtype != train.dtype:
        raise BadInput(
            f"the images of {split} are {_described(images[0])} and those of train {_described(train[0])}: "
            "bring them to one size, one number of channels and one type."
        )


def _described(image: Tensor) -> str:
    channels, height, width = image.shape
    return f"{width}x{height} with {channels} channel{'s' if channels != 1 else ''} in {str(image.dtype)[6:]}"
