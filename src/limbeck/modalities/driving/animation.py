"""Episodes as one picture that moves: a driver above the other, from the same seed, decision by decision. Stands alone"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

EACH_MS, LAST_MS = 400, 3000
SCALE = 0.8
STRIP = 16  # pixels above a driver's picture, in which its name and its decision stand
PAPER, INK, DIFFERS, CRASH = (250, 250, 250), (40, 40, 40), (194, 78, 0), (179, 38, 30)
COLOURS = 48


def animated(drivers: Sequence[tuple[str, Sequence[np.ndarray], Sequence[str], bool]]) -> bytes:
    """A GIF of drivers one above the other, each (name, frames (H, W, 3) uint8, what was decided in each but the last,
    whether it ends in a crash).

    Where one has ended its last frame stays. From the first decision on in which they differ a decision is in colour.
    """
    longest = max(len(frames) for _, frames, _, _ in drivers)
    said = [decisions for _, _, decisions, _ in drivers]
    apart = next((step for step, ones in enumerate(zip(*said)) if len(set(ones)) > 1), longest)
    pages = []
    for step in range(longest):
        rows = [_row(*driver, step, apart) for driver in drivers]
        page = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), PAPER)
        top = 0
        for row in rows:
            page.paste(row, (0, top))
            top += row.height
        pages.append(page.quantize(COLOURS))
    file = io.BytesIO()
    lasts = [EACH_MS] * (longest - 1) + [LAST_MS]
    pages[0].save(file, "GIF", save_all=True, append_images=pages[1:], duration=lasts, loop=0)
    return file.getvalue()


def _row(
    name: str, frames: Sequence[np.ndarray], decisions: Sequence[str], crashed: bool, step: int, apart: int
) -> Image.Image:
    """A driver's picture at a step, with what it decided there above it."""
    last = len(frames) - 1
    picture = Image.fromarray(np.asarray(frames[min(step, last)], np.uint8))
    size = (round(picture.width * SCALE), round(picture.height * SCALE))
    row = Image.new("RGB", (size[0], size[1] + STRIP), PAPER)
    row.paste(picture.resize(size), (0, STRIP))
    pen = ImageDraw.Draw(row)
    ended = crashed and step >= last
    doing = decisions[step] if step < last else "crash" if ended else "end"
    pen.text((4, 2), f"{name}: {doing}", CRASH if ended else DIFFERS if step >= apart else INK)
    if ended:
        pen.rectangle((0, STRIP, size[0] - 1, size[1] + STRIP - 1), outline=CRASH, width=2)
    return row
