"""What the command says where something is wrong, or stops it, and the exit code of that. Imports next to nothing."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable

from ..errors import BadInput, LimbeckError, printable, shortened

STOPPED = "stopped. Run the same command again, and it goes on from where it was."


def guarded(command: Callable[[], object]) -> None:
    """Calls the whole command: asked to stop politely it is interrupted, and a reader that has gone is no error of its own."""
    # what ends a job politely (a scheduler, a closing session) is answered as Ctrl-C is, outside training too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        command()
    except BrokenPipeError:
        # The reader (head, less) has gone; point stdout elsewhere so that the last flush stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def answered(call: Callable[[], object]) -> int:
    """Calls, and returns the exit code. What a person can mend is said in a sentence; anything else keeps its traceback."""
    try:
        call()
    except LimbeckError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain(STOPPED)
        return 130
    except OSError as error:
        if (sentence := about_system(error)) is None:
            raise
        complain(sentence)
        return BadInput.exit_code
    return 0


def about_system(error: OSError) -> str | None:
    """What the system refuses, in a sentence; None for what is not about a file, such as a pipe or a network."""
    if type(error).__module__ != "builtins" or isinstance(error, ConnectionError | TimeoutError):
        return None
    if error.filename is None:
        return f"the system says: {error}."
    name = shortened(printable(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else "a file")
    if error.errno == errno.ENOENT:
        return f"{name} is not there, or not any more. If it was deleted meanwhile, run the same command again."
    return f"{name} cannot be used: {error.strerror}."


def complain(message: str) -> None:
    """Says on stderr what is wrong."""
    print(f"limbeck: {message}", file=sys.stderr, flush=True)
