"""`limbeck recipe`: a recipe checked, and the schema that editors complete from"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .common import Group, RecipeFile, command, say

app = typer.Typer(
    cls=Group, no_args_is_help=True, help="Check a recipe, or print the schema that editors complete from."
)


@command(app, "schema", example="limbeck recipe schema > recipe.schema.json")
def schema() -> None:
    """Print the recipe's JSON schema.

    An editor with a YAML language server completes and checks a recipe whose first line is
    # yaml-language-server: $schema=recipe.schema.json
    """
    from ..recipe.reference import schema as of_recipes

    print(json.dumps(of_recipes(), indent=2, ensure_ascii=False))


@command(app, "check", example="limbeck recipe check recipes/digits.yaml --set seeds=3")
def check(
    file: RecipeFile,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field first. May be repeated."),
    ] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print it with every default written out.")] = False,
) -> None:
    """Say whether a recipe is right, and what is wrong with it where it is not (exit code 2).

    Only the recipe itself is checked, and what its search would vary: neither data nor models are opened.
    """
    from ..recipe import read as recipe_file

    recipe = recipe_file.read(file, set_ or ())
    if recipe.search is not None:
        from ..searching.space import space_of

        space_of(recipe)
    if resolved:
        print(recipe_file.resolved_yaml(recipe))
    else:
        say(f"{file} is a good recipe.")
