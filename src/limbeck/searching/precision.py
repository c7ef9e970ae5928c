"""In which format and precision a candidate is deployed, and how long it goes on for that: fields of a recipe as a search varies them. No torch.

``export.prefer`` names the format, of those that ONNX Runtime runs: what a candidate costs is measured on that file, and what it is worth by
what that file answers. In 8 bits or less ``export.quantization_aware.epochs`` says for how long it goes on with rounded weights, where the
file loses more than ``export.quantization_aware.when``; 0: not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..sections.recipe import IN_FLOAT32, Export, QuantizationAware, Recipe
from ..sections.search import Search

EXPORT = "export"
PREFER, FURTHER = "export.prefer", "export.quantization_aware.epochs"
FLOAT32 = "onnx"
ROUNDED = ("onnx-int8", "onnx-int4")
FORMATS = (FLOAT32, *ROUNDED)
BY_ITSELF = (FLOAT32, "onnx-int8")


def format_of(recipe: Recipe) -> str:
    """The format in which a candidate is deployed."""
    named = recipe.export.named
    return named if named in FORMATS else FLOAT32


def key_of(architecture: str, format: str) -> str:
    """What profiles and folders of candidates call an architecture in a format."""
    return architecture if format == FLOAT32 else f"{architecture}.{format}"


def split_key(key: str) -> tuple[str, str]:
    """The architecture and the format that :func:`key_of` was given."""
    architecture, _, format = key.partition(".")
    return architecture, format or FLOAT32


def with_precision(recipe: Recipe, among: Iterable[str] = BY_ITSELF) -> Recipe:
    """The recipe with ``export.prefer`` written into its space, where it varies by itself: where size is budgeted, of which 8 bits take a third.

    It does not where the recipe or its space says in which format a student is deployed; where ``among`` has not all of
    :data:`BY_ITSELF`, what is written there is that it does not.
    """
    search = recipe.search or Search()
    if "size_kb" not in search.budget or PREFER in search.space or recipe.export.named:
        return recipe
    said = BY_ITSELF if set(BY_ITSELF) <= set(among) else None
    varied = search.model_copy(update={"space": {**search.space, PREFER: said}})
    return recipe.model_copy(update={"search": varied})


def formats_in(recipe: Recipe) -> tuple[str, ...]:
    """The formats in which candidates of a recipe's search are deployed."""
    said = (recipe.search or Search()).space.get(PREFER)
    if isinstance(said, tuple):
        return said
    return (format_of(recipe) if said is None else str(said),)


def deploy_in(made: dict[str, Any], recipe: Recipe, wanted: Mapping[str, Any]) -> None:
    """Puts what is ``wanted`` of them into the plain values of a candidate: its format beside those that the recipe asks for."""
    prefer, epochs = wanted.get(PREFER), wanted.get(FURTHER)
    export, own = dict(made[EXPORT]), recipe.export
    if prefer is not None:
        export |= {"prefer": prefer, "formats": list(dict.fromkeys([*own.formats, prefer]))}
    further = own.quantization_aware
    if epochs is not None:
        when = (further or QuantizationAware()).when
        export["quantization_aware"] = None if epochs == 0 else {"epochs": epochs, "when": when}
    if not any(one not in IN_FLOAT32 for one in export.get("formats", ())):
        export["quantization_aware"] = None
    made[EXPORT] = export


def epochs_of(export: Export) -> int:
    """For how many epochs a student goes on where its file loses too much."""
    return 0 if export.quantization_aware is None else export.quantization_aware.epochs
