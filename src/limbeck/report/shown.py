"""How a picture or a text is put into a page.

Everything here is what the data says, untrusted: it is escaped where a page is written from it, as
:mod:`limbeck.report.html` does by itself.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

SIDE = 96  # pixels: the largest picture that is put into the page
WIDE = 1.5  # times as wide as high, or the other way round: such a picture may have a side of 2 * SIDE
HEAVY = 6_000  # bytes of PNG above which a picture is reduced to a palette
EXCERPT = 400  # characters of a text, or of both sides of a pair, that are shown


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture: ``pixels_HWC`` uint8, of one, three or four channels."""

    pixels_HWC: np.ndarray

    @property
    def wide(self) -> bool:
        """Whether it is much wider than high, so that a card gives it all its width."""
        height, width = self.pixels_HWC.shape[:2]
        return width >= WIDE * height

    @property
    def uri(self) -> str:
        """A PNG as a data URI."""
        return self._encoded[0]

    @property
    def coarse(self) -> bool:
        """Whether it has so few pixels that they are shown as squares."""
        return self._encoded[1]

    @cached_property
    def _encoded(self) -> tuple[str, bool]:
        pixels_HWC = np.asarray(self.pixels_HWC, dtype=np.uint8)
        if pixels_HWC.ndim == 3 and pixels_HWC.shape[2] not in (3, 4):
            pixels_HWC = pixels_HWC[:, :, 0]
        picture = Image.fromarray(pixels_HWC)
        coarse = max(picture.size) <= SIDE
        side = 2 * SIDE if max(picture.size) >= WIDE * min(picture.size) else SIDE
        picture.thumbnail((side, side))  # only ever smaller
        content = _png(picture)
        if len(content) > HEAVY and picture.mode == "RGB":
            content = _png(picture.quantize(64))
        return "data:image/png;base64," + base64.b64encode(content).decode(), coarse


@dataclass(frozen=True)
class Text:
    """A text, or both sides of a pair."""

    sides: tuple[str, ...]

    @property
    def excerpts(self) -> tuple[str, ...]:
        """The sides, each with its part of the room: see :func:`excerpt`."""
        return tuple(excerpt(side, EXCERPT // len(self.sides)) for side in self.sides)


Shown = Picture | Text


def excerpt(text: str, most: int = EXCERPT) -> str:
    """The text with its white space made single, cut off after a whole word with an ellipsis where it is longer."""
    text = " ".join(text[: 8 * most].split())
    if len(text) <= most:
        return text
    return (text[:most].rsplit(" ", 1)[0] if " " in text[:most] else text[:most]) + " …"


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()
