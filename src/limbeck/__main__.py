"""The `limbeck` command from its first moment on.

What stops it while its parts are still being imported is answered when they are there: an exception in the middle of an
import would come out as a traceback, or as something else.
"""

import os
import signal
import sys
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
    from .cli.common import STOPPED, complain
    from .cli.main import main as command

    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    if early:
        complain(STOPPED)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
