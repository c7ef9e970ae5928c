"""The `limbeck` command from its first moment on.

What stops it while its parts are still being imported is answered when they are there: an exception in the middle of an
import would come out as a traceback, or as something else.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def main() -> None:
    """The `limbeck` command."""
    early: list[int] = []

    def stop(number: int, frame: Any) -> None:
        if early:  # asked twice: at once
            os._exit(130)
        early.append(number)

    # what the parent has had ignored (nohup, a shell's background) stays ignored
    numbers = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, stop)
    # Nobody's plugin has a part in reading a recipe, and pydantic would look through all installed packages for one.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    from .cli.sentences import STOPPED, complain

    plain = _plain_predict()
    if plain is None:
        from .cli.main import main as command
    else:
        command = plain
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    if early:
        complain(STOPPED)
        sys.exit(130)
    try:
        command()
    finally:
        # A KeyboardInterrupt that came up within exec or eval of source text is noted by CPython, caught or not, and after
        # `python -m limbeck` it would end the process by SIGINT in place of the exit code. Other source text clears the note.
        exec("")


def _plain_predict() -> Callable[[], None] | None:
    """`limbeck predict MODEL EXAMPLE ...` without typer, which takes longer than all else that it imports; None: anything else."""
    if sys.argv[1:2] != ["predict"]:
        return None
    from .cli import answers, sentences

    asked = answers.plainly_asked(sys.argv[2:])
    if asked is None:
        return None
    return lambda: sentences.guarded(lambda: sys.exit(sentences.answered(lambda: answers.show(*asked))))


if __name__ == "__main__":
    main()
