"""Encoded sounds into one run of samples, and what of them a person should know.

Shapes: N clips, P samples of all of them one after another.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor

from ...data.ids import number
from ...errors import BadInput
from ...progress import Bar
from .audio import Decoded, of_array, read

SILENT = 1e-4
"""A clip whose samples lie this close together (80 dB below full scale) says nothing."""
_CHUNK = 64
_NAMED = 5


@dataclass
class Wanted:
    """What a recipe asks of its clips; ``rate`` is the first training clip's, once that is read, where nobody named one."""

    rate: int | None = None
    skip_corrupt: bool = False
    window: float | None = None  # seconds that are heard of each
    longest: float | None = None  # seconds; longer ones are left out


@dataclass
class Sounds:
    """Clips as they were read: samples (P,), lengths (N,), content hashes (N,), the rows (N,) int64 they stood in."""

    samples: Tensor
    lengths: Tensor
    content: Tensor
    rows: Tensor
    notes: list[str] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)


def content_of(sound: Decoded) -> int:
    """A hash of a clip: its samples as they were recorded, before any change of rate, and that rate.

    It is the same at whatever rate a recipe wants its clips, and on every machine for formats without loss.
    """
    hashed = hashlib.blake2b(f"sound {sound.original_rate}".encode(), digest_size=8)
    hashed.update(sound.original.astype("<f4", copy=False).tobytes())
    return number(hashed)


def is_silent(samples: np.ndarray) -> bool:
    """Whether there is nothing to hear."""
    return float(samples.max() - samples.min()) < SILENT


def decode(
    rows: datasets.Dataset, column: str, split: str, wanted: Wanted, root: Path | None, progress: Bar | None = None
) -> Sounds:
    """The sounds of a split, read in threads; paths start at ``root``.

    Raises ``BadInput`` naming split, row and file of a sound that cannot be read (unless ``skip_corrupt``), and where none is
    left.
    """
    seen = _Seen(stated=getattr(rows.features[column], "sampling_rate", None))
    kept: list[tuple[int, np.ndarray, int]] = []
    with (
        progress(len(rows), f"reading {split}") if progress else nullcontext(lambda n=1: None) as advance,
        ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool,
    ):
        for start, cells in _chunks(rows, column):
            if wanted.rate is None:
                wanted.rate = _rate_of(cells, start, split, wanted, root)
            rate = wanted.rate
            work = ((cell, rate, root) for cell in cells)
            for row, (cell, sound) in enumerate(zip(cells, pool.map(_opened, work)), start):
                if isinstance(sound, BadInput):
                    if not wanted.skip_corrupt:
                        raise _corrupt(split, row, cell, root, sound)
                    seen.add("corrupt", _where(row, cell, root))
                elif seen.take(_where(row, cell, root), sound, wanted):
                    kept.append((row, sound.samples, content_of(sound)))
                advance(1)
    if not kept:
        raise BadInput(
            f"split '{split}' holds no sound that can be used: {' '.join(seen.notes(split, len(rows), wanted))}"
        )
    return Sounds(
        torch.from_numpy(np.concatenate([samples for _, samples, _ in kept])),
        torch.tensor([len(samples) for _, samples, _ in kept]),
        torch.tensor([content for _, _, content in kept]),
        torch.tensor([row for row, _, _ in kept]),
        seen.notes(split, len(rows), wanted),
        {reason: len(those) for reason, those in seen.named.items()},
    )


@dataclass
class _Seen:
    """What was seen of some clips, each by where it stood."""

    stated: int | None = None  # the rate that the column's type says
    named: dict[str, list[str]] = field(default_factory=dict)
    rates: Counter[int] = field(default_factory=Counter)
    channels: int = 1
    longest: float = 0.0

    def add(self, reason: str, where: str) -> None:
        self.named.setdefault(reason, []).append(where)

    def take(self, where: str, sound: Decoded, wanted: Wanted) -> bool:
        """Whether it is kept."""
        seconds = len(sound.samples) / sound.rate
        self.longest = max(self.longest, seconds)
        if wanted.longest is not None and seconds > wanted.longest:
            self.add("long", where)
            return False
        if sound.original_rate != sound.rate:
            self.rates[sound.original_rate] += 1
            self.add("resampled", where)
        if self.stated is not None and sound.original_rate != self.stated:
            self.add("otherwise", where)
        if sound.channels > 1:
            self.channels = max(self.channels, sound.channels)
            self.add("mixed", where)
        if wanted.window is not None and seconds > wanted.window:
            self.add("cut", where)
        if is_silent(sound.samples):
            self.add("silent", where)
        return True

    def notes(self, split: str, count: int, wanted: Wanted) -> list[str]:
        rates = ", ".join(f"{rate:,}" for rate in sorted(self.rates))
        said = {
            "corrupt": "cannot be read and are left out: {}",
            "long": f"are longer than {wanted.longest or 0:g} s (data.seconds), up to {self.longest:.4g} s, and are left out: {{}}",
            "resampled": f"are of {rates} samples a second and were brought to {wanted.rate or 0:,} (libsoxr, high quality; data.rate)",
            "otherwise": f"are not of {self.stated or 0:,} samples a second, as their column's type says, and are read at their own rate: {{}}",
            "mixed": f"have up to {self.channels} channels, of which the mean is taken",
            "cut": f"are longer than the window of {wanted.window or 0:g} s (data.seconds), up to {self.longest:.4g} s: their middle is taken",
            "silent": "are silent: {}",
        }
        found = []
        for reason, text in said.items():
            if those := self.named.get(reason):
                named = ", ".join(those[:_NAMED]) + (", ..." if len(those) > _NAMED else "")
                found.append(f"split '{split}': {len(those):,} of {count:,} clips {text.format(named)}.")
        return found


def _chunks(rows: datasets.Dataset, column: str) -> Iterator[tuple[int, list[Any]]]:
    cells = rows.select_columns([column])
    if isinstance(rows.features[column], datasets.Audio):
        cells = cells.cast_column(column, datasets.Audio(decode=False))
    start = 0
    for table in cells.with_format("arrow").iter(batch_size=_CHUNK):
        some = table[column].to_pylist()  # pyright: ignore[reportCallIssue, reportArgumentType]
        yield start, some
        start += len(some)


def _opened(work: tuple[Any, int | None, Path | None]) -> Decoded | BadInput:
    cell, rate, root = work
    try:
        return _open(cell, rate, root)
    except BadInput as error:
        return error


def _open(cell: Any, rate: int | None, root: Path | None) -> Decoded:
    if isinstance(cell, str):
        cell = {"path": cell}
    elif isinstance(cell, bytes):
        cell = {"bytes": cell}
    cell = cell or {}
    if cell.get("array") is not None:
        if cell.get("sampling_rate") is None:
            raise BadInput("its samples come without a sampling_rate")
        return of_array(np.asarray(cell["array"]), int(cell["sampling_rate"]), rate)
    stated = cell.get("sampling_rate")
    if cell.get("bytes") is not None:
        return read(cell["bytes"], rate, stated=stated)
    if not cell.get("path"):
        raise BadInput("there is no sound")
    path = Path(cell["path"])
    if root is not None and not (root / path).is_file():
        raise BadInput(f"there is no such file; relative paths start at {root}")
    return read(path if root is None else root / path, rate, stated=stated)


def _rate_of(cells: list[Any], start: int, split: str, wanted: Wanted, root: Path | None) -> int | None:
    """The rate of the first that can be read; None where none of them can."""
    for row, cell in enumerate(cells, start):
        try:
            return _open(cell, None, root).original_rate
        except BadInput as error:
            if not wanted.skip_corrupt:
                raise _corrupt(split, row, cell, root, error) from error
    return None


def _where(row: int, cell: Any, root: Path | None) -> str:
    path = cell if isinstance(cell, str) else cell.get("path") if isinstance(cell, dict) else None
    if path and root is not None and Path(path).is_relative_to(root):
        path = Path(path).relative_to(root)
    return f"row {row} ({path})" if path else f"row {row}"


def _corrupt(split: str, row: int, cell: Any, root: Path | None, error: BadInput) -> BadInput:
    return BadInput(
        f"split '{split}', {_where(row, cell, root)}: the sound cannot be used: {error}. Mend it or take it out, or set "
        "data.on_corrupt: skip to leave such clips out."
    )
