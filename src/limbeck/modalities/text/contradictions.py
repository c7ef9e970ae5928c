"""Fields of a recipe of texts that are right alone and wrong together, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...data.places import folder_of
from ...nlp.locate import locate
from ...sections.train import schedule_problems
from .recipe import TextRecipe


def contradictions(recipe: TextRecipe) -> Iterator[str]:
    """What does not go together in a recipe of texts."""
    teacher = recipe.teacher
    yield from schedule_problems("teacher.train", teacher.train)
    if teacher.views is not None and teacher.train is None:
        yield "teacher.views: there is no teacher.train whose texts it could vary; leave it out"
    if recipe.targets.views > 1 and recipe.views == type(recipe.views)():
        yield (
            f"targets.views: {recipe.targets.views} was given, and nothing in views varies a text, so that the teacher would "
            "say the same so many times; leave it out, or give views.replace, views.mask or views.drop"
        )
    transfer, pairs = recipe.data.transfer, isinstance(recipe.data.text, tuple)
    if transfer is not None and pairs and transfer.sentences:
        yield "data.transfer.sentences: data.text names pairs, and sentences of a text make none; leave it out"
    if transfer is not None and transfer.text is not None and pairs != isinstance(transfer.text, tuple):
        one, two = ("pairs", "two columns") if pairs else ("single texts", "one column")
        yield f"data.transfer.text: data.text names {one}, so the transfer set needs {two} too"


def look_for(recipe: TextRecipe) -> None:
    """Raises `BadInput` where a folder or file that the recipe names is not there; nothing is opened."""
    for field, source in (("data", recipe.data), ("data.transfer", recipe.data.transfer)):
        if source is not None and not Path(source.name).expanduser().is_file():
            folder_of(source.name, source.config, f"{field}.name")
    locate(recipe.teacher.model)
