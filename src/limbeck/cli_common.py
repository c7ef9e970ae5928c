"""What all sub-commands share: how one is declared, what it says when it is stopped, and where it computes. No torch."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any, ParamSpec

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from .errors import BadInput, LimbeckError, printable, shortened

P = ParamSpec("P")
STOPPED = "stopped. Run the same command again, and it goes on from where it was."


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class _Literal:
    """Help is text: `[...]` in it is printed, not taken for rich's markup, under which it would vanish."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        parameters: list[Any] = getattr(self, "params", [])
        for one in (self, *parameters):
            for part in ("help", "short_help"):
                if text := getattr(one, part, None):
                    setattr(one, part, escape(text))


class Command(_Literal, TyperCommand):
    """A sub-command whose help is printed as it is written; its epilog alone is markup."""


class Group(_Literal, TyperGroup):
    """A command of several sub-commands, likewise."""


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
                complain(STOPPED)
                raise typer.Exit(130) from None
            except OSError as error:
                if (sentence := about_system(error)) is None:
                    raise
                complain(sentence)
                raise typer.Exit(BadInput.exit_code) from None

        # Lines are broken for the source; the terminal has its own width.
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        return to.command(name, cls=Command, help=text, epilog=f"Example: [bold]{escape(example)}[/]")(wrapped)

    return decorate


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


def say(*lines: str) -> None:
    """Says on stdout what was done; what is quoted may come from a file."""
    for line in lines:
        print(printable(line))


def complain(message: str) -> None:
    """Says on stderr what is wrong."""
    print(f"limbeck: {message}", file=sys.stderr, flush=True)
