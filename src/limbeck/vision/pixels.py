"""One image as pixels of eight bits: upright, laid on a background, grey scaled by the bits in use, cropped, brought to size.

Shapes: C channels, H rows, W columns. :mod:`limbeck.modalities.image.predict` does the same without this package.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

BACKGROUNDS = {"white": 255, "grey": 128, "black": 0}
DEEP_BITS = 16
FEW_LEVELS = 16
"""Of a picture with fewer levels of grey little is to be seen."""
MOST_PIXELS = 1 << 24
"""An image scaled whole has at most so many; one of very unequal sides would have more, and is cropped first."""
LARGEST_SIZE = 4096
"""The largest side that images are brought to; its square is ``MOST_PIXELS``."""

Size = int | tuple[int, int]
"""The side in pixels of square images, or (height, width)."""

_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "PA")
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Preparation:
    """How encoded images become 8-bit ones.

    Attributes:
        background: grey level, 0 to 255, that transparent places are laid on.
        bits: how many bits of 16-bit grey are in use; None: all 16.
        rows, columns: first and last (not taken) that are kept of the upright picture, in its own pixels; None: all.
    """

    background: int = BACKGROUNDS["white"]
    bits: int | None = None
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None

    @property
    def ground(self) -> str:
        """The background in a word."""
        return next((name for name, level in BACKGROUNDS.items() if level == self.background), str(self.background))


AS_USUAL = Preparation()


@dataclass(frozen=True)
class Look:
    """What was seen of an encoded image.

    ``peak`` is the largest value of one with more than 8 bits of grey. ``deep_colour``: it has 16 bits a channel, of
    which Pillow gives the high byte. ``side`` is the shorter one, in pixels. ``frames``: of an animation, or pages.
    ``levels``: of more than 8 bits of grey, how many different values are kept, and how many the file holds.
    """

    side: int
    peak: int | None = None
    transparent: bool = False
    deep_colour: bool = False
    frames: int = 1
    levels: tuple[int, int] = (256, 256)


def upright(image: Image.Image, how: Preparation = AS_USUAL) -> Image.Image:
    """The image loaded, turned as its EXIF orientation says, without transparency, 16-bit grey brought to 8 bits."""
    return looked_at(image, how)[0]


def looked_at(image: Image.Image, how: Preparation) -> tuple[Image.Image, Look]:
    """The image as :func:`upright` gives it, and what was seen on the way.

    Raises ``ValueError`` for floating-point and for negative pixels, and whatever Pillow raises for a broken file.
    """
    deep_colour = image.mode not in ("I", "F") and not image.mode.startswith("I;16") and _has_16_bits(image)
    frames = _frames(image)
    image.load()
    if image.format != "PNG" and image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if how.rows is not None or how.columns is not None:
        image = cut_out(image, how)
    side = min(image.size)
    if image.mode == "I" or image.mode.startswith("I;16"):
        values_HW = np.asarray(image)
        if values_HW.min() < 0:
            raise ValueError(f"its pixels go down to {values_HW.min()}: grey values start from 0")
        grey_HW = (values_HW >> ((how.bits or DEEP_BITS) - 8)).clip(0, 255).astype(np.uint8)
        kept = int(np.count_nonzero(np.bincount(grey_HW.ravel())))
        # Sorting all values is slow, and only pictures with few levels left are asked.
        held = len(np.unique(values_HW)) if kept < FEW_LEVELS else kept
        look = Look(side, peak=int(values_HW.max()), frames=frames, levels=(kept, held))
        return Image.fromarray(grey_HW), look
    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported")
    flat = laid_on(image, how.background)
    return flat, Look(side, transparent=flat is not image, deep_colour=deep_colour, frames=frames)


def cut_out(image: Image.Image, how: Preparation) -> Image.Image:
    """The rows and columns of an upright image that are kept. Raises ``ValueError`` where it has fewer."""
    width, height = image.size
    (top, bottom), (left, right) = how.rows or (0, height), how.columns or (0, width)
    if bottom > height or right > width:
        raise ValueError(f"it is {width}x{height}, and data.crop takes what lies within {right}x{bottom}")
    return image.crop((left, top, right, bottom))


def laid_on(image: Image.Image, background: int) -> Image.Image:
    """A picture with transparent places composited onto a grey level, as L or RGB; any other as it is."""
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image
    rgba = image.convert("RGBA")
    lowest = rgba.getchannel("A").getextrema()[0]
    if lowest == 255:  # what is opaque throughout stays as it is, to the byte
        return image
    ground = Image.new("RGBA", rgba.size, (background, background, background, 255))
    return Image.alpha_composite(ground, rgba).convert("L" if image.mode in _GREY_MODES else "RGB")


def natural_channels(image: Image.Image) -> int:
    """1 for a grey image, else 3."""
    return 1 if image.mode in _GREY_MODES or image.mode.startswith("I;16") else 3


def bits_in_use(peak: int) -> int:
    """The bits of a sensor whose largest value is ``peak``: 8, 10, 12, 14, 16 and so on."""
    bits = max(8, peak.bit_length())
    return bits + bits % 2


def sides(size: Size) -> tuple[int, int]:
    """Height and width of such images."""
    return (size, size) if isinstance(size, int) else size


def size_of(height: int, width: int) -> Size:
    """One number where the two are equal."""
    return height if height == width else (height, width)


def pixels(image: Image.Image, channels: int, size: Size | None) -> np.ndarray:
    """An upright image as uint8 (C, H, W); resized (bicubic, antialiased) and centre-cropped to ``size``."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None and image.size[::-1] != sides(size):
        image = _covering(image, *sides(size))
    array = np.asarray(image)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _covering(image: Image.Image, height: int, width: int) -> Image.Image:
    """The middle of the image, scaled until it just covers ``height`` x ``width``; no more than ``MOST_PIXELS`` are ever made."""
    scale = max(width / image.width, height / image.height)
    across, down = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = (across - width) // 2, (down - height) // 2
    if across * down <= MOST_PIXELS:
        image = image.resize((across, down), Image.Resampling.BICUBIC)
        return image.crop((left, top, left + width, top + height))
    # The same crop in the image's own pixels, so that only what stays is scaled.
    x, y = image.width / across, image.height / down
    box = (left * x, top * y, (left + width) * x, (top + height) * y)
    return image.resize((width, height), Image.Resampling.BICUBIC, box)


def _frames(image: Image.Image) -> int:
    """How many pictures the file holds that an image not yet loaded comes from; 1 for a photograph with its previews."""
    if image.format == "MPO":
        return 1
    try:
        return getattr(image, "n_frames", 1)
    # What is broken behind the first picture may raise anything, and the first is what is read.
    except Exception:
        return 1


def _has_16_bits(image: Image.Image) -> bool:
    """Whether the file that an image not yet loaded comes from has 16 bits a channel."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
