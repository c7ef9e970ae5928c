"""The command: a table of its sub-commands, each of which imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from ..modalities import TASKS, outline_of
from ..version import __version__
from . import recipe, targets
from .browser import browser
from .common import Group, command
from .compare import compare
from .demo import demo
from .diagnose import diagnose
from .export import export
from .init import init
from .objectives import objectives
from .predict import predict
from .report import report
from .run import run
from .search import search
from .sentences import guarded
from .serve import serve

COMMANDS: dict[str, tuple[Callable[..., None], str]] = {  # each with an example
    "run": (run, "limbeck run recipes/digits.yaml --set student.width=12 --set seeds=3"),
    "compare": (compare, "limbeck compare recipes/compare_fashion_mnist.yaml --jobs 2"),
    "search": (
        search,
        "limbeck search recipes/fashion_mnist.yaml --budget latency_ms=0.05 --budget size_kb=60 --time 2h",
    ),
    "diagnose": (diagnose, "limbeck diagnose runs/digits"),
    "export": (export, "limbeck export runs/fashion_mnist --format onnx-int8 --prefer smallest"),
    "report": (report, "limbeck report runs/fashion_mnist --device profile.json"),
    "init": (init, "limbeck init --teacher wrn_16_2 --data zalando-datasets/fashion_mnist"),
    "predict": (predict, "limbeck predict runs/fashion_mnist shoe.png --top 3; limbeck predict runs/sst2 'a text'"),
    "serve": (serve, "limbeck serve runs/digits --port 8000; curl -F file=@seven.png http://127.0.0.1:8000/predict"),
    "browser": (browser, "limbeck browser runs/fashion_mnist --out page"),
    "demo": (demo, "limbeck demo runs/fashion_mnist"),
    "objectives": (objectives, "limbeck objectives dkd"),
}
GROUPS: dict[str, tuple[typer.Typer, str]] = {  # of sub-commands, likewise
    "recipe": (recipe.app, "limbeck recipe check recipes/digits.yaml"),
    "targets": (targets.app, "limbeck targets inspect runs/digits"),
}
EXAMPLES = " or ".join(dict.fromkeys(outline_of(task).examples for task in TASKS))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"limbeck {__version__}")
        raise typer.Exit


def command_line(names: Iterable[str], *, outline: bool = False) -> typer.Typer:
    """The command with these of its sub-commands. In ``outline`` they are what its own help says of them, and take nothing."""
    app = typer.Typer(
        name="limbeck",
        cls=Group,
        help=f"Distil a large model of {EXAMPLES} into a small one: teacher, soft targets, student, evidence.",
        epilog="Start with: [bold]limbeck run recipes/digits.yaml[/], or for your own data "
        "[bold]limbeck init --teacher wrn_16_2 --data FOLDER[/], or with texts "
        "[bold]limbeck init --teacher OWNER/MODEL --data FILE.csv[/]",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in names:
        function, example = COMMANDS[name] if name in COMMANDS else (None, GROUPS[name][1])
        if outline:
            said = function.__doc__ if function is not None else GROUPS[name][0].info.help
            command(app, name, example)(_nothing(said))
        elif function is not None:
            command(app, name, example)(function)
        else:
            app.add_typer(GROUPS[name][0], name=name, epilog=f"Example: [bold]{example}[/]")
    return app


def _nothing(said: str | None) -> Callable[[], None]:
    def nothing() -> None: ...

    nothing.__doc__ = said
    return nothing


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    del version


NAMES = (*COMMANDS, *GROUPS)
app = command_line(NAMES)


def main() -> None:
    """The `limbeck` command. Of typer, which reads the parameters of all that it is told of, only what is asked is wanted."""
    first = sys.argv[1:2]
    if not first or first[0] in ("-h", "--help"):
        guarded(command_line(NAMES, outline=True))
    else:
        guarded(command_line(first) if first[0] in NAMES else app)


if __name__ == "__main__":
    main()
