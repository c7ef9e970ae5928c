"""How the images of a draft are varied. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Data whose classes a mirror image would change: letters, digits, signs.
_NO_FLIP = ("digit", "mnist", "svhn", "usps", "letter", "char", "glyph", "sign", "ocr", "gtsrb", "text")


def views_for(size: int, flips: bool) -> dict[str, Any]:
    """Crops by the image's size; and whether images are mirrored."""
    if size < 16:
        views: dict[str, Any] = {"shift": 0.1}
    elif size <= 64:
        views = {"pad_crop": max(2, size // 8)}
    else:
        views = {"resized_crop": {"scale": [0.35, 1.0]}}
    return {**views, "flip": flips}


def flip_for(name: str, classes: Sequence[str]) -> tuple[bool, str]:
    """Whether images are mirrored, and a sentence that says why, and how to change it.

    Names are all there is to go by, so whoever knows the images decides.
    """
    last = Path(name).name
    sided = next((one for one in classes if re.search(r"(?<![a-z])(left|right)(?![a-z])", one.lower())), None)
    sign = next((part for part in _NO_FLIP if part in last.lower()), None)
    if sided is not None:
        off = f"a class is called '{sided}'"
    elif len(classes) > 1 and all(len(one) == 1 for one in classes):
        off = f"the classes' names are single characters, '{classes[0]}' and so on"
    elif sign is not None and "fashion" not in last.lower():
        off = f"the data's name, '{last}', has '{sign}' in it"
    else:
        return True, (
            f"views.flip is on: neither the data's name, '{last}', nor those of its classes speak of letters, signs or sides. Where a "
            "mirror image would be of another class, say flip: false (or limbeck run RECIPE --set views.flip=false)."
        )
    return False, (
        f"views.flip is off: {off}, and a mirror image may be of another class. Where it would not be, say flip: true (or "
        "limbeck run RECIPE --set views.flip=true)."
    )
