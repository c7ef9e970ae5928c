"""Fields of a recipe of texts that are right alone and wrong together, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...data.places import cached, place_of
from ...models.places import check_onnx
from ...nlp.locate import locate, locate_tokenizer
from ...sections.pruned import PRUNED
from ...sections.teacher import members_of, precision_problems
from ...sections.train import schedule_problems
from .recipe import TextRecipe, TextTeacher, made_of


def contradictions(recipe: TextRecipe) -> Iterator[str]:
    """What does not go together in a recipe of texts."""
    teachers = members_of(recipe.teacher)
    for where, teacher in teachers:
        yield from schedule_problems(f"{where}.train", teacher.train)
        if isinstance(teacher, TextTeacher) and teacher.views is not None and teacher.train is None:
            yield f"{where}.views: there is no {where}.train whose texts it could vary; leave it out"
    yield from precision_problems(recipe)
    if recipe.student.model in ("shrunk", "fresh", PRUNED) and made_of(recipe) is None:
        what = "architecture" if recipe.student.model == "fresh" else "weights"
        yield (
            f"student.model: {recipe.student.model} has its teacher's {what}, and an ONNX file shows none; take bag or conv, or "
            "name a teacher by its model"
        )
    student = recipe.student
    if student.model in ("bag", "conv") and student.heads is not None:
        yield f"student.heads: {student.heads} was given, and a {student.model} student has no attention heads; leave it out"
    if student.model == "bag" and student.layers is not None:
        yield f"student.layers: {student.layers} was given, and a bag student has none; leave it out"
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


def look_for(recipe: TextRecipe) -> list[Path | None]:
    """The folders and files that the recipe names; None for what is nowhere here yet.

    Raises `BadInput` where one is not there; nothing is opened.
    """
    found: list[Path | None] = []
    for field, source in (("data", recipe.data), ("data.transfer", recipe.data.transfer)):
        if source is None:
            continue
        file = Path(source.name).expanduser()
        found.append(file if file.is_file() else place_of(source.name, source.config, f"{field}.name"))
    for where, section in members_of(recipe.teacher):
        role = "teacher" if where == "teacher" else f"teacher in {where}"
        if isinstance(section, TextTeacher):
            found.append(_of_hub_or_folder(locate(section.model, role=role)))
        else:
            file = Path(section.onnx).expanduser()
            found.append(check_onnx(file, role))
            found.append(_of_hub_or_folder(locate_tokenizer(section.tokenizer, file, role=role)))
    return found


def _of_hub_or_folder(place: Path | str) -> Path | None:
    return Path(place) if Path(place).exists() else cached(str(place), "models")
