"""A profile as a file that somebody gives: read, and its figures checked. No torch"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BadInput, shown
from ..files import near
from .profile import OF_A_FILE, Figures


def profile_in(path: Path, kinds: Mapping[str, type], whose: str) -> dict[str, Any]:
    """What a profile says.

    Args:
        kinds: the fields that it must have, and what they are.
        whose: which ``measure.py`` writes such a profile, for messages.

    Raises:
        BadInput: it is not there, cannot be read, is no such profile, or was measured on an emulated machine.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"--device {path}: there is no such file.{near(path)}") from None
    except OSError as error:
        raise BadInput(f"--device {path}: it cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not all(isinstance(said.get(name), kind) for name, kind in kinds.items()):
        raise BadInput(f"--device {path}: it is not a profile. {whose}")
    if said.get("emulated"):
        raise BadInput(
            f"--device {path}: it was measured on a machine that is emulated ({shown(str(said.get('machine')))} on a processor of "
            "another kind), which shows that a file runs there and not how fast: measure on the device itself."
        )
    return said


def checked_figures(path: Path, name: str, known: Any) -> Figures:
    """The figures of a file that say something; an estimate of energy says nothing.

    Raises :class:`limbeck.errors.BadInput` for what is no number; ``name`` is what it is of, in words.
    """
    found: Figures = {}
    for one, figure in known.items() if isinstance(known, Mapping) else ():
        if one not in OF_A_FILE or not isinstance(figure, Mapping) or figure.get("value", 0) is None:
            continue
        if one == "energy_mj" and figure.get("kind", "measured") != "measured":
            continue
        numbers = ("value", "low", "high") if one == "latency_ms" else ("value",)
        if not all(_is_cost(figure.get(number)) for number in numbers):
            raise BadInput(f"--device {path}: {one} of {name} is not a number of at least 0: measure it again.")
        if one == "latency_ms" and not figure["low"] <= figure["value"] <= figure["high"]:
            raise BadInput(f"--device {path}: {one} of {name} lies outside of its own interval: measure it again.")
        found[one] = dict(figure)
    return found


def _is_cost(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
