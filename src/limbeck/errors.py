"""What goes wrong, said in sentences.

Every error that a person can cause or mend is a ``LimbeckError``: its message says what is wrong, where, and
what would be right. The command prints the message alone and exits with ``exit_code``.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Iterable
from typing import Any


class LimbeckError(Exception):
    """Something a person can act on; the command exits with 1 and prints the message without a traceback.

    Args:
        lines: the sentence; or what heads a list, and the list. What is quoted in them may come from anywhere.
    """

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(map(printable, self.lines))


class BadInput(LimbeckError):
    """What was given cannot be used as it is: a recipe, a file, a data set, a model. Exit code 2."""

    exit_code = 2


class Interrupted(LimbeckError):
    """The run was stopped from outside (Ctrl-C, SIGTERM) and can be resumed. Exit code 130."""

    exit_code = 130


def printable(text: str) -> str:
    """``text`` on one line, with what cannot be seen (controls, line ends, marks of direction, half characters) escaped.

    A name that comes from a file can then neither steer the terminal nor pass for a line of its own. The two joiners stay,
    which scripts and emoji need.
    """
    return "".join(c if _is_seen(c) else c.encode("unicode_escape").decode() for c in text)


def _is_seen(character: str) -> bool:
    unseen = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return unicodedata.category(character) not in unseen or character in "\u200c\u200d"


def shortened(text: str, most: int = 200) -> str:
    """``text``, or its beginning where it is longer than ``most``."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest known name, or the list of known names where none is near."""
    known = sorted(known)
    return near(given, known) or (f" Known: {', '.join(known)}." if known else "")


def near(given: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`` Did you mean 'x'?`` for the nearest known name; empty where none is near."""
    found = difflib.get_close_matches(given, known, n=1, cutoff=cutoff)
    return f" Did you mean '{found[0]}'?" if found else ""


def not_installed(what: str, missing: ModuleNotFoundError, extra: str) -> BadInput:
    """What to install where a library is missing that comes with ``limbeck[extra]``; ``what`` needs it, in the plural."""
    return BadInput(
        f"{what} need {missing.name}, which is not installed: pip install 'limbeck[{extra}]', or in a copy of the "
        f"repository uv run --extra {extra} limbeck ... (pip install '.[{extra}]' without uv)."
    )


def short(error: Exception) -> str:
    """What an exception says, on one line and not at length; its type where it says nothing."""
    return " ".join(str(error).split())[:240] or type(error).__name__


def shown(value: Any) -> str:
    """A given value as the sentence quotes it: short, on one line."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        text = repr(value)
    else:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
