"""What all sub-commands share: how one is declared, what it says when it is stopped, and where it computes. No torch."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import ParamSpec

import typer

from .errors import LimbeckError

P = ParamSpec("P")


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def command(to: typer.Typer, name: str, example: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Adds a sub-command whose help is its docstring, with an example.

    What a person can mend is printed as a sentence, with its exit code; anything else keeps its traceback.
    """

    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(*args, **kwargs)
            except LimbeckError as error:
                complain(str(error))
                raise typer.Exit(error.exit_code) from None
            except KeyboardInterrupt:
                complain("stopped. Run the same command again, and it goes on from where it was.")
                raise typer.Exit(130) from None

        # Lines are broken for the source; the terminal has its own width.
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        return to.command(name, help=text, epilog=f"Example: [bold]{example}[/]")(wrapped)

    return decorate


def complain(message: str) -> None:
    """Says on stderr what is wrong."""
    print(f"limbeck: {message}", file=sys.stderr, flush=True)
