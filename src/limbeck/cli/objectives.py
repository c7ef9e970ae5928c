"""`limbeck objectives`: what a student can be asked to match, listed or explained"""

from __future__ import annotations

from typing import Annotated

import typer


def objectives(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One objective, to be explained.")] = None,
) -> None:
    """List what a student can be asked to match, with papers and defaults; or explain one objective.

    Any of them can stand in a recipe's objective section, unless marked otherwise.
    """
    from ..recipe import objectives_reference

    if name is None:
        objectives_reference.print_table()
    else:
        objectives_reference.print_entry(objectives_reference.find(name))
