"""Encoded images into one tensor of pixels.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import prod
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from limbeck.errors import BadInput

Progress = Callable[[int, str], AbstractContextManager[Callable[..., None]]]
"""``limbeck.progress.bar`` or its like."""

IN_MEMORY_BYTES = 4 << 30
_CHUNK = 256
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True)
class Form:
    """What every image of a data set is made into."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @staticmethod
    def of(images: Tensor) -> Form:
        """The form of images (N, C, H, W)."""
        return Form(*images.shape[1:])


@dataclass
class Wanted:
    """What a recipe asks of images; ``form`` is that of the training images, once they are read."""

    size: int | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    form: Form | None = None


@dataclass
class Decoded:
    """Images (N, C, H, W) uint8 and the rows (N,) int64 they stood in."""

    images: Tensor
    rows: Tensor
    notes: list[str] = field(default_factory=list)


class _OtherSize(Exception):
    """An image of another size than the rest."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"{width}x{height}")


def allocate(shape: Sequence[int], dtype: torch.dtype = torch.uint8) -> Tensor:
    """An uninitialised tensor, kept in a file of the temporary folder above ``IN_MEMORY_BYTES``.

    The file has no name any more when this returns, so the disk space is freed with the tensor. Raises
    ``BadInput`` where the temporary folder lacks room.
    """
    size = prod(shape) * dtype.itemsize
    if size <= IN_MEMORY_BYTES:
        return torch.empty(tuple(shape), dtype=dtype)
    folder = tempfile.gettempdir()
    if (free := shutil.disk_usage(folder).free) < size:
        raise BadInput(
            f"the decoded images take {size / 2**30:.1f} GB and {folder} has {free / 2**30:.1f} GB free: set "
            "TMPDIR to a folder with more room, or make images smaller with data.size."
        )
    with tempfile.NamedTemporaryFile(dir=folder, prefix="limbeck-images-") as file:
        os.truncate(file.name, size)
        return torch.from_file(file.name, shared=True, size=prod(shape), dtype=dtype).view(tuple(shape))


def gather(images: Tensor, index: Tensor) -> Tensor:
    """``images[index]``, held as ``allocate`` holds it."""
    gathered = allocate((len(index), *images.shape[1:]), images.dtype)
    for start in range(0, len(index), 4096):
        gathered[start : start + 4096] = images[index[start : start + 4096]]
    return gathered


def upright(image: Image.Image) -> Image.Image:
    """The image loaded, turned as its EXIF orientation says, with 16-bit grey brought to 8 bits."""
    image.load()
    if image.format != "PNG" and image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported")
    return image


def natural_channels(image: Image.Image) -> int:
    """1 for a grey image, else 3."""
    return 1 if image.mode in _GREY_MODES or image.mode.startswith("I;16") else 3


def pixels(image: Image.Image, channels: int, size: int | None) -> np.ndarray:
    """An upright image as uint8 (C, H, W); resized (bicubic, antialiased) and centre-cropped to ``size``."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None and image.size != (size, size):
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        image = image.crop((left, top, left + size, top + size))
    array = np.asarray(image)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def decode(
    rows: datasets.Dataset, column: str, split: str, wanted: Wanted, progress: Progress | None = None
) -> Decoded:
    """Decode the images of a split in threads.

    Raises ``BadInput`` naming the split and row where an image cannot be read (unless ``skip_corrupt``),
    where sizes differ and none is asked for, and where no image is left.
    """
    encoded = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    form, first, channels = _find_form(encoded, column, split, wanted)
    images = allocate((len(rows), form.channels, form.height, form.width))
    into = images.numpy()
    bad: dict[int, str] = {}
    converted = 0

    def work(start: int, cells: list[dict[str, Any]]) -> tuple[int, int, dict[int, str]]:
        failed: dict[int, str] = {}
        other_channels = 0
        for row, cell in enumerate(cells, start):
            try:
                image = _open(cell)
                other_channels += natural_channels(image) != form.channels
                array = pixels(image, form.channels, wanted.size)
                if array.shape[1:] != (form.height, form.width):
                    raise _OtherSize(array.shape[2], array.shape[1])
                into[row] = array
            except _OtherSize as error:
                raise _sizes_differ(split, row, str(error), form, first) from None
            # A decoder fed with arbitrary bytes may raise anything at all.
            except Exception as error:
                if not wanted.skip_corrupt:
                    raise _corrupt(split, row, cell, error) from error
                failed[row] = _where(row, cell)
        return len(cells), other_channels, failed

    report = progress(len(rows), f"reading {split}") if progress else nullcontext(lambda n=1: None)
    with report as advance, ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
        for done, other_channels, failed in _in_order(pool, work, _chunks(encoded, column)):
            converted += other_channels
            bad.update(failed)
            advance(done)
    notes = []
    kept = torch.arange(len(rows))
    if bad:
        readable = torch.ones(len(rows), dtype=torch.bool)
        readable[list(bad)] = False
        kept = kept[readable]
        images = gather(images, kept)
        named = ", ".join(list(bad.values())[:5]) + (", ..." if len(bad) > 5 else "")
        notes.append(f"split '{split}': {len(bad)} of {len(rows)} images cannot be read and are left out: {named}.")
    if converted and channels is None:
        kind, other = ("grey", "colour") if form.channels == 1 else ("colour", "grey")
        notes.append(
            f"split '{split}': {converted} of {len(rows)} images are {other} and were made {kind} like "
            "the first; data.channels settles which is wanted."
        )
    return Decoded(images, kept, notes)


def _find_form(encoded: datasets.Dataset, column: str, split: str, wanted: Wanted) -> tuple[Form, str, int | None]:
    """The form of the split's images, where it comes from in words, and the channels if anybody asked."""
    if wanted.form is not None:
        return wanted.form, f"the training images are {wanted.form}", wanted.form.channels
    for start, cells in _chunks(encoded, column):
        for row, cell in enumerate(cells, start):
            try:
                image = _open(cell)
                channels = wanted.channels or natural_channels(image)
                array = pixels(image, channels, wanted.size)
            # As above.
            except Exception as error:
                if not wanted.skip_corrupt:
                    raise _corrupt(split, row, cell, error) from error
                continue
            form = Form(*array.shape)
            return form, f"row {row} is {form}", wanted.channels
    raise BadInput(f"split '{split}' holds no image that can be read: name another data set or column (data.image).")


def _chunks(encoded: datasets.Dataset, column: str) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    start = 0
    for table in encoded.with_format("arrow").iter(batch_size=_CHUNK):
        cells = table[column].to_pylist()  # pyright: ignore[reportCallIssue, reportArgumentType]
        yield start, cells
        start += len(cells)


def _in_order(pool: ThreadPoolExecutor, work: Callable, parts: Iterator) -> Iterator:
    """``work(*part)`` for each part, with few parts in flight, so that encoded images do not pile up."""
    waiting: list[Future] = []
    try:
        for part in parts:
            waiting.append(pool.submit(work, *part))
            if len(waiting) > 16:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()


def _open(cell: dict[str, Any] | None) -> Image.Image:
    if not cell or (cell["bytes"] is None and not cell["path"]):
        raise ValueError("there is no image")
    # A file is opened and closed here: PIL would keep it open until the image is collected.
    if cell["bytes"] is None:
        with Image.open(cell["path"]) as image:
            return upright(image)
    return upright(Image.open(io.BytesIO(cell["bytes"])))


def _where(row: int, cell: dict[str, Any] | None) -> str:
    path = (cell or {}).get("path")
    return f"row {row} ({path})" if path else f"row {row}"


def _corrupt(split: str, row: int, cell: dict[str, Any] | None, error: Exception) -> BadInput:
    reason = "it is no image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
    return BadInput(
        f"split '{split}', {_where(row, cell)}: the image cannot be read ({reason}): mend it or take "
        "it out, or set data.on_corrupt: skip to leave such images out."
    )


def _sizes_differ(split: str, row: int, found: str, form: Form, first: str) -> BadInput:
    return BadInput(
        f"images differ in size: split '{split}', row {row} is {found}, while {first}: set data.size "
        f"(such as {min(form.height, form.width)}) to bring them all to one size."
    )
