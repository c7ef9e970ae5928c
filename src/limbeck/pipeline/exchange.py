"""Soft targets into another codec, and from Parquet (`limbeck targets convert, import`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from .. import progress
from ..errors import BadInput, shortened
from ..modalities import DEFAULT_TASK, recipe_class
from ..objectives.catalogue.entry import NUMBERS
from ..objectives.catalogue.fit import parts_of
from ..recipe import read as recipe_file
from ..recipe.sentences import sentences
from ..sections.codec import CodecSection
from ..sections.recipe import Recipe
from ..targets.codecs import Codec, Numbers, codec_from
from ..targets.codecs.numbers import PRECISIONS
from ..targets.convert import check_kinds
from ..targets.convert import convert as convert_store
from ..targets.parquet.load import VALUES, answers_in, import_parquet
from ..targets.parquet.rows import opened, parquet_files
from ..targets.store.store import Store


def convert(path: Path, out: Path, codec: str, settings: Sequence[str] = ()) -> Store:
    """A store into another codec, which is named with its settings, each ``name=value``."""
    store, wanted = Store.open(path), _codec(codec, settings)
    check_kinds(store, wanted)
    try:
        wanted.layout(store.classes)
    except ValueError as error:
        raise BadInput(f"--codec {codec}: {error}.") from None
    with progress.bar(store.manifest["targets"], "convert") as advance:
        return convert_store(path, out, wanted, progress=advance)


def import_file(
    source: Path, out: Path, recipe: Path | None, overrides: Sequence[str] = (), *, all_views: bool = False
) -> Store:
    """A store from Parquet; ``recipe`` says how the views were made, and how many they are where one answer is for all.

    Raises :class:`limbeck.errors.BadInput` where ``overrides`` change fields of no recipe.
    """
    views, seed, alike = None, 0, None
    if recipe is not None:
        read = recipe_file.read(recipe, overrides)
        _require_kind(parquet_files(source), read)
        views, seed = read.views.model_dump(mode="json"), read.seed
        alike = read.targets.views if all_views else None
        if not all_views and read.views != type(read.views)():
            _require_views(parquet_files(source))
    elif overrides:
        raise BadInput(f"--set {shortened(overrides[0])}: name the recipe whose field that is with --recipe.")
    elif all_views:
        raise BadInput("--all-views: name the recipe whose views they are with --recipe.")
    unvaried = recipe_class(DEFAULT_TASK).model_fields["views"].default.model_dump(mode="json")
    return import_parquet(source, out, views=views, unvaried=unvaried, view_seed=seed, alike=alike)


def _require_kind(files: Sequence[Path], read: Recipe) -> None:
    """Raises `BadInput` where the file holds numbers of a regression and the recipe learns from logits, or the other way round."""
    column = answers_in(files)
    ways = {part.reads for part in parts_of(read.objective.terms) if part.reads is not None}
    if not ways or (column == VALUES) == (NUMBERS in ways):
        return
    holds, other = ("numbers", "classes") if column == VALUES else ("answers over classes", "numbers")
    raise BadInput(
        f"{files[0]} holds {holds} (column '{column}'), and the recipe, of task {read.task}, learns {other}: name the recipe that "
        "the answers are for."
    )


def _require_views(files: Sequence[Path]) -> None:
    for file in files:
        if "view" not in opened(file).schema_arrow.names:
            raise BadInput(
                f"{file} has no column 'view', so its answers are to the examples as they are, and the recipe varies them (views): "
                "say with --all-views that each answer is for all views, or give a column view with an answer to each."
            )


def _codec(name: str, settings: Sequence[str]) -> Codec:
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise BadInput(f"--set {shortened(setting)}: it must look like name=value, such as k=16.")
        values[key.strip()] = recipe_file.value_of(text, setting)
    recipe_file.check_plain(values, f"--codec {name}")
    if name in (CodecSection.model_fields.keys() - {"auto"}):  # with the bounds and the defaults that a recipe has
        try:
            section = CodecSection.model_validate_json(json.dumps({name: values}), strict=True)
        except ValidationError as error:
            raise recipe_file.refusal("--codec", sentences(error, CodecSection)) from None
        values = section.chosen.model_dump()
    if name in PRECISIONS:  # as a recipe calls them
        if values:
            raise BadInput(f"--set {shortened(settings[0])}: the codec {name} has no settings; leave it out.")
        return Numbers(name)
    return codec_from(name, values)
