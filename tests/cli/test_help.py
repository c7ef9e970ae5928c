"""Claims about `--help`: what is written of a command is what is printed of it, whatever stands in brackets."""

import inspect
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo

from limbeck.cli import compare, export, run
from limbeck.cli import main as cli
from limbeck.cli.common import Group, command
from limbeck.compare.run import STAGES as COMPARE_STAGES
from limbeck.pipeline.stages import STAGES
from limbeck.sections.recipe import Export, FormatName

BORDERS = str.maketrans("│╭╮╰╯─", "      ")


def commands(app: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    """Every sub-command's path and function, those of groups of commands too."""
    for one in app.registered_commands:
        assert one.callback is not None
        yield (*path, str(one.name)), one.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, (*path, str(group.name)))


def written(function: Callable[..., Any]) -> list[str]:
    """The help that the source holds: paragraphs of the docstring, and what is said of each parameter."""
    told = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    for annotation in typing.get_type_hints(inspect.unwrap(function), include_extras=True).values():
        for extra in getattr(annotation, "__metadata__", ()):
            if isinstance(extra, OptionInfo | ArgumentInfo):
                told.append(extra.help or "")
    return [" ".join(text.split()) for text in told]


def shown(app: typer.Typer, path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> str:
    """What `--help` prints on a terminal so wide that no line is broken."""
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as end:
        app([*path, "--help"])
    assert end.value.code == 0
    return " ".join(capsys.readouterr().out.translate(BORDERS).split())


@pytest.mark.parametrize(("path", "function"), list(commands(cli.app)), ids=lambda one: " ".join(one) if isinstance(one, tuple) else "")  # fmt: skip
def test_all_that_is_written_of_a_command_is_printed(
    path: tuple[str, ...], function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    printed = shown(cli.app, path, monkeypatch, capsys)
    told = written(function)
    assert len(told) >= 2 or not inspect.signature(function).parameters
    assert [text for text in told if text not in printed] == []


def test_the_stages_that_help_names_are_those_that_there_are() -> None:
    # written out in the commands, since what defines them takes long to import
    assert [one.value for one in run.Stage] == list(STAGES)
    assert [one.value for one in compare.CompareStage] == list(COMPARE_STAGES)


def test_the_formats_that_help_names_are_those_of_a_recipe() -> None:
    assert [one.value for one in export.Format] == list(typing.get_args(FormatName))
    prefer = Export.model_fields["prefer"].annotation
    assert [one.value for one in export.Prefer] == list(typing.get_args(prefer))


def test_brackets_are_printed_wherever_help_is_written(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    odd = typer.Typer(cls=Group, rich_markup_mode="rich", help="Of [all] kinds, \\[even] these.", add_completion=False)

    @command(odd, "first", example="odd first --set 'a=[b, c]' [bold]")
    def first(
        path: Annotated[Path, typer.Argument(help="A path, such as [red]this[/red].")],
        some: Annotated[str, typer.Option(help="Some of [x, y] or {a: [b]}.")] = "[default]",
    ) -> None:
        """Takes [one] thing.

        Or a=[two, three].
        """

    @command(odd, "second", example="odd second")
    def second() -> None:
        """Stands beside it."""

    printed = shown(odd, ("first",), monkeypatch, capsys)
    for text in (*written(first), "Example: odd first --set 'a=[b, c]' [bold]", "[default: [default]]"):
        assert text in printed
    printed = shown(odd, (), monkeypatch, capsys)
    assert "Of [all] kinds, \\[even] these." in printed
    assert "Takes [one] thing." in printed


def test_help_of_what_is_asked_alone_is_help_of_the_whole_command(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    whole = shown(cli.app, (), monkeypatch, capsys)
    assert shown(cli.command_line(cli.NAMES, outline=True), (), monkeypatch, capsys) == whole
    for name in cli.NAMES:
        assert shown(cli.command_line([name]), (name,), monkeypatch, capsys) == shown(
            cli.app, (name,), monkeypatch, capsys
        )
