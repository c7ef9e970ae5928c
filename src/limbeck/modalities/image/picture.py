"""A picture cropped, recoloured and scaled as a model sees it; needs nothing of ours, and is copied into ``predict.py``."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

EXIF_ORIENTATION = 0x0112
ALPHA_MODES = ("RGBA", "RGBa", "LA", "PA")
GREY_MODES = ("1", "L", "LA")
MOST_PIXELS = 1 << 24
"""What is scaled has at most so many pixels, an input of the model too; images of a batch together likewise."""


def upright(image: Image.Image) -> Image.Image:
    """The (first) picture of an open file, decoded, upright; ``ValueError``, and what Pillow raises, where that cannot be."""
    image.load()
    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported")
    if is_deep(image) and (lowest := np.asarray(image).min()) < 0:
        raise ValueError(f"its pixels go down to {lowest}: grey values start from 0")
    turned = image.format != "PNG" and image.getexif().get(EXIF_ORIENTATION, 1) != 1
    return ImageOps.exif_transpose(image) if turned else image


def keep(image: Image.Image, rows: tuple[int, int] | None, columns: tuple[int, int] | None) -> Image.Image:
    """The rows and columns of an upright picture that the model sees; ``ValueError`` where it has fewer."""
    (upper, lower), (left, right) = rows or (0, image.height), columns or (0, image.width)
    if lower > image.height or right > image.width:
        raise ValueError(
            f"an image is {image.width}x{image.height}, and the model sees what lies within {right}x{lower}."
        )
    return image.crop((left, upper, right, lower)) if rows or columns else image


def is_deep(image: Image.Image) -> bool:
    """Whether the picture is grey of more than 8 bits."""
    return image.mode == "I" or image.mode.startswith("I;16")


def recolour(image: Image.Image, channels: int, bits: int = 16, background: int | None = None) -> Image.Image:
    """The picture in 8 bits as grey (1 channel) or RGB (3), on its background."""
    if is_deep(image):
        # Pillow's own conversion would clip at 255 instead.
        values_HW = np.asarray(image) >> (bits - 8)
        image = Image.fromarray(values_HW.clip(0, 255).astype(np.uint8))
    elif background is not None and (image.mode in ALPHA_MODES or "transparency" in image.info):
        image = lay_on(image, background)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def lay_on(image: Image.Image, background: int) -> Image.Image:
    """The picture composited onto a grey level, as grey or RGB; one that is opaque throughout as it is."""
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema()[0] == 255:
        return image
    ground = Image.new("RGBA", rgba.size, (background, background, background, 255))
    return Image.alpha_composite(ground, rgba).convert("L" if image.mode in GREY_MODES else "RGB")


def cover(image: Image.Image, height: int, width: int) -> Image.Image:
    """Scaled until it just covers ``height`` x ``width``, then cropped at the centre.

    Where that would make more than ``MOST_PIXELS``, as of very unequal sides, only what stays is scaled.
    """
    if image.size == (width, height):
        return image
    scale = max(width / image.width, height / image.height)
    scaled = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, upper = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    if scaled[0] * scaled[1] <= MOST_PIXELS:
        image = image.resize(scaled, Image.Resampling.BICUBIC)
        return image.crop((left, upper, left + width, upper + height))
    across, down = image.width / scaled[0], image.height / scaled[1]
    box = (left * across, upper * down, (left + width) * across, (upper + height) * down)
    return image.resize((width, height), Image.Resampling.BICUBIC, box)
