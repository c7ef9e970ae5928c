"""What all sub-commands share: options, how one is declared, where it computes, and what it says. No torch."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from typer.core import TyperCommand, TyperGroup

from ..errors import printable
from .sentences import answered

if TYPE_CHECKING:
    from ..sections.recipe import Recipe

P = ParamSpec("P")


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Let the recipe run code that it names (module:callable).")
]
ComputeOn = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, metavar="N", help="CPU threads; torch decides otherwise.")
]
Jobs = Annotated[
    int,
    typer.Option("--jobs", min=1, metavar="N", help="Train so many students at a time, the threads shared out."),
]


class Command(TyperCommand):
    """A sub-command whose help is printed as it is written; its epilog is an example."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _literal(self)
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:  # which is told of a choice as pydantic tells of a field
            error.message = error.message.removeprefix("Value error, ")
            raise


class Group(TyperGroup):
    """A command of several sub-commands whose help is printed as it is written; its epilog alone is markup."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for one in (self, *self.commands.values()):
            _literal(one)
        super().format_help(ctx, formatter)


def _literal(one: Any) -> None:
    """Help is text: `[...]` in it is printed, not taken for rich's markup, under which it would vanish.

    Done when help is asked for, once: any other command does without rich's markup.
    """
    _import_rich_help()
    from rich.markup import escape

    if getattr(one, "literal", False):
        return
    one.literal = True
    for part in (one, *one.params):
        for name in ("help", "short_help"):
            if text := getattr(part, name, None):
                setattr(part, name, escape(text))
    if isinstance(one, Command) and one.epilog:
        one.epilog = f"Example: [bold]{escape(one.epilog)}[/]"


def _import_rich_help() -> None:
    """Imports typer's help without rich's Markdown, tracebacks and emoji, which we do not use, and take a third of `--help`."""
    unused = [name for name in ("rich.markdown", "rich.traceback", "rich._emoji_codes") if name not in sys.modules]
    for name in unused:
        module = ModuleType(name)
        module.__dict__.update(EMOJI={}, __getattr__=lambda called: type(called, (), {}))
        sys.modules[name] = module
    try:
        import typer.rich_utils  # noqa: F401  # pyright: ignore[reportUnusedImport]
    finally:
        for name in unused:
            del sys.modules[name]


def command(to: typer.Typer, name: str, example: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Adds a sub-command whose help is its docstring, with an example.

    What a person can mend is printed as a sentence, with its exit code; anything else keeps its traceback.
    """

    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
            if code := answered(functools.partial(function, *args, **kwargs)):
                raise typer.Exit(code)

        # Lines are broken for the source; the terminal has its own width.
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        return to.command(name, cls=Command, help=text, epilog=example)(wrapped)

    return decorate


def read_recipe(file: Path, overrides: list[str] | None) -> Recipe:
    """The recipe in a file, once all that it names is found to be there. Raises `BadInput` before anything heavy is imported."""
    from ..recipe import files, read

    recipe = read.read(file, overrides or ())
    files.look_for(recipe)
    return recipe


def say(*lines: str) -> None:
    """Says on stdout what was done; what is quoted may come from a file."""
    for line in lines:
        print(printable(line))
