"""Under which licences a run's teachers and data were published, for its results and its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..data.places import folder_of
from ..deploy.licence import licence_of
from ..errors import BadInput
from ..sections.recipe import Recipe
from ..sections.teacher import members_of


def licences(recipe: Recipe) -> dict[str, list[dict[str, Any]]]:
    """Of every ``teacher`` and every source of ``data``: its ``name``, and its ``license``, None where nothing says it.

    What the recipe states is taken; else what the card says that lies there, or on the hub. A teacher that was ``trained_here``
    from the start has none.
    """
    teachers = []
    for _, section in members_of(recipe.teacher):
        comes_from = getattr(section, "comes_from", None)  # a modality need not say these
        said = getattr(section, "license", None)
        if said is None and comes_from is not None:
            said = licence_of(comes_from)
        trained_here = comes_from is None and section.train is not None
        teachers.append({"name": section.title, "license": said, "trained_here": trained_here})
    sources = (recipe.data, getattr(recipe.data, "transfer", None))
    data = [{"name": source.name, "license": _of_data(source)} for source in sources if source is not None]
    return {"teacher": _once(teachers), "data": _once(data)}


def _of_data(source: Any) -> str | None:
    if (stated := getattr(source, "license", None)) is not None:
        return stated
    if Path(source.name).expanduser().is_file():
        return licence_of(source.name, data=True)
    try:
        found = folder_of(source.name, getattr(source, "config", None), "data.name")
    except BadInput:
        return None
    return licence_of(source.name if found is None else found[0], data=True)


def _once(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for place, entry in enumerate(entries) if entry not in entries[:place]]
