"""What goes wrong, said in sentences.

Every error that a person can cause or mend is a ``LimbeckError``: its message says what is wrong, where, and
what would be right. The command prints the message alone and exits with ``exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LimbeckError(Exception):
    """Something a person can act on; the command exits with 1 and prints the message without a traceback."""

    exit_code = 1


class BadInput(LimbeckError):
    """What was given cannot be used as it is: a recipe, a file, a data set, a model. Exit code 2."""

    exit_code = 2


class Interrupted(LimbeckError):
    """The run was stopped from outside (Ctrl-C, SIGTERM) and can be resumed. Exit code 130."""

    exit_code = 130


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest known name, or the list of known names where none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" Known: {', '.join(known)}." if known else ""
