"""Pictures of which it matters what their pixels become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write(root: Path, make, split: str = "train", count: int = 20) -> None:
    """``make(number of the class, seed)`` gives an image or an array."""
    for number, name in enumerate(("cat", "dog")):
        folder = root / split / name
        folder.mkdir(parents=True)
        for index in range(count):
            made = make(number, 1000 * number + index)
            (made if isinstance(made, Image.Image) else Image.fromarray(made)).save(folder / f"{index:03d}.png")


def grey(bits: int):
    def make(number: int, seed: int) -> np.ndarray:
        values = np.random.default_rng(seed).integers(0, 1 << bits, (8, 8)).astype(np.uint16)
        values[0, 0] = (1 << bits) - 1 - number
        return values

    return make


def shape_in_alpha(colour: int):
    def make(number: int, seed: int) -> Image.Image:
        image = Image.new("RGBA", (8, 8), (colour, colour, colour, 0))
        image.putalpha(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)))
        return image

    return make
