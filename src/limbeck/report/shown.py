"""How a picture, a text or a sound is put into a page.

Everything here is what the data says, untrusted: it is escaped where a page is written from it, as
:mod:`limbeck.report.html` does by itself.
"""

from __future__ import annotations

import base64
import io
import wave
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

SIDE = 96  # pixels: the largest picture that is put into the page
WIDE = 1.5  # times as wide as high, or the other way round: such a picture may have a side of 2 * SIDE
HEAVY = 6_000  # bytes of PNG above which a picture is reduced to a palette
EXCERPT = 400  # characters of a text, or of both sides of a pair, that are shown
LOUD = 48_000  # bytes of sound that can be played: 3 s at 8 kHz
LOWEST_RATE = 8_000  # Hz down to which it is halved before it is cut off
WAVEFORM = (320, 64)  # pixels
INK = (90, 120, 160, 255)  # on either ground of a page


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


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound: ``samples_S`` (S,) float32 in -1 to 1, at ``rate`` Hz. Its waveform is seen, and its beginning can be played."""

    samples_S: np.ndarray
    rate: int
    wide = True
    coarse = False

    @cached_property
    def uri(self) -> str:
        """Its waveform, as loud as it gets, as a PNG in a data URI: in each column from the least to the most of its samples."""
        width, height = WAVEFORM
        samples_S = self.samples_S / max(float(np.abs(self.samples_S).max(initial=0)), 1e-6)
        columns = np.array_split(samples_S, width) if len(samples_S) >= width else [samples_S[:1]] * width
        low_W, high_W = (np.array([end(one) for one in columns]) for end in (np.min, np.max))
        level_H = np.linspace(1, -1, height)[:, None]
        half = 1 / (height - 1)
        drawn_HW = (level_H >= low_W - half) & (level_H <= high_W + half)
        pixels_HWC = np.zeros((height, width, 4), np.uint8)
        pixels_HWC[drawn_HW] = INK
        return "data:image/png;base64," + base64.b64encode(_png(Image.fromarray(pixels_HWC).quantize(4))).decode()

    @cached_property
    def audio(self) -> str:
        """A WAV of 16 bits as a data URI, of :data:`LOUD` bytes at most: at half the rate where that is enough, then cut off."""
        samples_S, rate = self.samples_S, self.rate
        while 2 * len(samples_S) > LOUD and rate >= 2 * LOWEST_RATE:
            samples_S, rate = samples_S[: len(samples_S) // 2 * 2].reshape(-1, 2).mean(axis=1), rate // 2
        written = (np.clip(samples_S[: LOUD // 2], -1, 1) * 32767).round().astype("<i2")
        content = io.BytesIO()
        with wave.open(content, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(written.tobytes())
        return "data:audio/wav;base64," + base64.b64encode(content.getvalue()).decode()


Shown = Picture | Text | Sound


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
