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
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import BadInput
from ..progress import Bar
from .pixels import (
    AS_USUAL,
    DEEP_BITS,
    FEW_LEVELS,
    Look,
    Preparation,
    Size,
    bits_in_use,
    looked_at,
    natural_channels,
    pixels,
)

IN_MEMORY_BYTES = 4 << 30
_CHUNK = 256


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
    """What a recipe asks of images; ``form`` and the bits of ``how`` are the training images', once they are read."""

    size: Size | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    form: Form | None = None
    how: Preparation = AS_USUAL


@dataclass
class Decoded:
    """Images (N, C, H, W) uint8, the rows (N,) int64 they stood in, and how they were prepared.

    ``side`` is the shorter side, in pixels, of the largest file.
    """

    images: Tensor
    rows: Tensor
    how: Preparation
    side: int
    notes: list[str] = field(default_factory=list)


@dataclass
class Seen:
    """What was seen of some rows of a split, one after another."""

    bad: dict[int, str] = field(default_factory=dict)
    converted: int = 0  # to the other number of channels
    transparent: int = 0
    deep: list[int] = field(default_factory=list)  # rows of more than 8 bits of grey
    peak: int = 0  # their largest value
    deep_colour: int = 0
    brightest: int = 0  # of those, as Pillow gives them
    frames: int = 0  # rows of more than one
    poor: int = 0  # rows of deep grey that keep few of its levels
    poorest: tuple[int, int] = (256, 0)  # levels kept, and of how many
    side: int = 0  # the largest

    def take(self, row: int, look: Look, array: np.ndarray, converted: bool) -> None:
        self.converted += converted
        self.transparent += look.transparent
        if look.peak is not None:
            self.deep.append(row)
            self.peak = max(self.peak, look.peak)
        if look.deep_colour:
            self.deep_colour += 1
            self.brightest = max(self.brightest, int(array.max()))
        self.frames += look.frames > 1
        kept, held = look.levels
        if kept < FEW_LEVELS and held >= 2 * kept:
            self.poor += 1
            self.poorest = min(self.poorest, look.levels)
        self.side = max(self.side, look.side)

    def add(self, other: Seen) -> None:
        self.bad |= other.bad
        self.converted += other.converted
        self.transparent += other.transparent
        self.deep += other.deep
        self.peak = max(self.peak, other.peak)
        self.deep_colour += other.deep_colour
        self.brightest = max(self.brightest, other.brightest)
        self.frames += other.frames
        self.poor += other.poor
        self.poorest = min(self.poorest, other.poorest)
        self.side = max(self.side, other.side)


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


def decode(rows: datasets.Dataset, column: str, split: str, wanted: Wanted, progress: Bar | None = None) -> Decoded:
    """Decode the images of a split in threads.

    Raises ``BadInput`` naming the split and row where an image cannot be read (unless ``skip_corrupt``),
    where sizes differ and none is asked for, and where no image is left.
    """
    encoded = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    form, first = _find_form(encoded, column, split, wanted)
    images = allocate((len(rows), form.channels, form.height, form.width))
    into = images.numpy()

    def read(cells: list[dict[str, Any]], at: Sequence[int], how: Preparation) -> tuple[int, Seen]:
        seen = Seen()
        for row, cell in zip(at, cells):
            try:
                image, look = _open(cell, how)
                array = pixels(image, form.channels, wanted.size)
                if array.shape[1:] != (form.height, form.width):
                    raise _OtherSize(array.shape[2], array.shape[1])
                into[row] = array
                seen.take(row, look, array, natural_channels(image) != form.channels)
            except _OtherSize as error:
                raise _sizes_differ(split, row, str(error), form, first) from None
            # A decoder fed with arbitrary bytes may raise anything at all.
            except Exception as error:
                if not wanted.skip_corrupt:
                    raise _corrupt(split, row, cell, error) from error
                seen.bad[row] = _where(row, cell)
        return len(cells), seen

    def read_all(encoded: datasets.Dataset, at: Sequence[int], how: Preparation, advance: Callable[..., None]) -> Seen:
        seen = Seen()
        parts = ((cells, at[start : start + len(cells)], how) for start, cells in _chunks(encoded, column))
        with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
            for done, some in _in_order(pool, read, parts):
                seen.add(some)
                advance(done)
        return seen

    how = wanted.how
    with progress(len(rows), f"reading {split}") if progress else nullcontext(lambda n=1: None) as advance:
        seen = read_all(encoded, range(len(rows)), how, advance)
    # The training images settle how many bits are in use, which is known once all are read.
    if wanted.form is None and seen.deep and (bits := bits_in_use(seen.peak)) != DEEP_BITS:
        how = replace(how, bits=bits)
        again = read_all(encoded.select(seen.deep), seen.deep, how, lambda n=1: None)
        seen.poor, seen.poorest = again.poor, again.poorest
    kept = torch.arange(len(rows))
    if seen.bad:
        readable = torch.ones(len(rows), dtype=torch.bool)
        readable[list(seen.bad)] = False
        kept = kept[readable]
        images = gather(images, kept)
    notes = notes_on_reading(
        seen, split, len(rows), form, how, trains=wanted.form is None, guessed=wanted.channels is None
    )
    return Decoded(images, kept, how, seen.side, notes)


def notes_on_reading(
    seen: Seen, split: str, count: int, form: Form, how: Preparation, *, trains: bool, guessed: bool
) -> list[str]:
    """What a person should know of how a split was read; ``guessed``: nobody asked for these channels."""
    notes, of = [], f"of {count} images"
    if seen.bad:
        named = ", ".join(list(seen.bad.values())[:5]) + (", ..." if len(seen.bad) > 5 else "")
        notes.append(f"split '{split}': {len(seen.bad)} {of} cannot be read and are left out: {named}.")
    if seen.converted and guessed:
        kind, other = ("grey", "colour") if form.channels == 1 else ("colour", "grey")
        notes.append(
            f"split '{split}': {seen.converted} {of} are {other} and were made {kind} like "
            f"the {'first' if trains else 'training images'}; data.channels settles which is wanted."
        )
    if seen.transparent:
        notes.append(
            f"split '{split}': {seen.transparent} {of} are transparent in places and are laid on {how.ground} "
            "(data.background)."
        )
    if seen.deep:
        bits = how.bits or DEEP_BITS
        notes.append(
            f"split '{split}': {len(seen.deep)} {of} are grey of more than 8 bits and "
            + (
                f"use {bits} bits (the largest value is {seen.peak})"
                if trains
                else "are read as the training images are"
            )
            + f": {(1 << bits) - 1} is white."
        )
        if seen.peak >> bits:
            notes.append(
                f"split '{split}': its largest grey value is {seen.peak}; what is above {(1 << bits) - 1} is cut."
            )
    if seen.poor:
        kept, held = seen.poorest
        notes.append(
            f"split '{split}': {seen.poor} {of} keep fewer than {FEW_LEVELS} levels of grey though their files hold more (one "
            f"keeps {kept} of {held}): where that matters, bring their values to 0 to 255 yourself, such as by subtracting the "
            "least."
        )
    if seen.frames:
        notes.append(f"split '{split}': {seen.frames} {of} have several frames or pages, of which the first is read.")
    if seen.deep_colour:
        dark = "" if seen.brightest > 127 else (
            f"; the largest is {seen.brightest} of 255, so fewer than 16 bits are in use and most of them are lost: "
            "convert these to 8 bits yourself"
        )  # fmt: skip
        notes.append(
            f"split '{split}': {seen.deep_colour} {of} have 16 bits a channel in colour, of which the upper 8 are read{dark}."
        )
    return notes


def _find_form(encoded: datasets.Dataset, column: str, split: str, wanted: Wanted) -> tuple[Form, str]:
    """The form of the split's images, and where it comes from in words."""
    if wanted.form is not None:
        return wanted.form, f"the training images are {wanted.form}"
    for start, cells in _chunks(encoded, column):
        for row, cell in enumerate(cells, start):
            try:
                image, _ = _open(cell, wanted.how)
                channels = wanted.channels or natural_channels(image)
                array = pixels(image, channels, wanted.size)
            # As above.
            except Exception as error:
                if not wanted.skip_corrupt:
                    raise _corrupt(split, row, cell, error) from error
                continue
            form = Form(*array.shape)
            return form, f"row {row} is {form}"
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


def _open(cell: dict[str, Any] | None, how: Preparation) -> tuple[Image.Image, Look]:
    if not cell or (cell["bytes"] is None and not cell["path"]):
        raise ValueError("there is no image")
    # A file is opened and closed here: PIL would keep it open until the image is collected.
    if cell["bytes"] is None:
        with Image.open(cell["path"]) as image:
            return looked_at(image, how)
    return looked_at(Image.open(io.BytesIO(cell["bytes"])), how)


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
