"""Fields of a recipe of texts that are worth trying at other values: sizes, kinds of student, views. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from ...data.places import cached
from ...errors import BadInput
from ...nlp.locate import locate
from ...sections.knob import Knob, names_modules, of_any_recipe, one_of, spread, whole, whole_log
from ...sections.pruned import PRUNED, of_pruned
from ...sections.teacher import members_of
from .recipe import TextRecipe, made_of

_FEWEST_TOKENS = 8
_OF_A_TRANSFORMER = ("shrunk", "fresh")
_OF_ANY_KIND = frozenset(["hidden", "feed_forward", "vocabulary", "min_count", PRUNED])


class _Sizes(NamedTuple):
    """Of a teacher."""

    layers: int
    hidden: int
    heads: int
    feed_forward: int


_USUAL = _Sizes(12, 768, 12, 3072)  # BERT's, base; of a teacher on the hub that is not here yet


def knobs(recipe: TextRecipe) -> dict[str, Knob]:
    """By the path of the field; what a change of another field would make wrong is left out."""
    longest = recipe.data.max_length
    return {
        **{f"student.{name}": knob for name, knob in _student(recipe).items()},
        "data.max_length": one_of(
            [*(length for share in (8, 4, 2) if (length := longest // share) >= _FEWEST_TOKENS), longest]
        ),
        **{f"views.{name}": spread(0.0, 0.5) for name in ("replace", "mask", "drop")},
        **of_any_recipe(recipe),
    }


def _student(recipe: TextRecipe) -> dict[str, Knob]:
    student = recipe.student
    if student.model == PRUNED:
        found = {f"{PRUNED}.{name}": knob for name, knob in of_pruned().items()}
    else:
        found = _transformer(recipe) if student.model in _OF_A_TRANSFORMER else _without_attention(student.model)
    if student.vocabulary == "used":
        found["min_count"] = whole_log(1, 20)
    if student.min_count == 1:
        found["vocabulary"] = one_of(("all", "used"))
    if names_modules(recipe):
        found.pop("layers", None)
    elif set(student.knobs) <= _OF_ANY_KIND:
        of_teacher = (*_OF_A_TRANSFORMER, PRUNED) if made_of(recipe) is not None else ()
        found["model"] = one_of((student.model, *of_teacher, "bag", "conv"))
    return found


def _without_attention(kind: str) -> dict[str, Knob]:
    sizes = {"hidden": whole_log(8, 256), "feed_forward": whole_log(8, 512)}  # of embeddings, and behind them
    return {**sizes, "layers": whole(1, 6)} if kind == "conv" else sizes


def _transformer(recipe: TextRecipe) -> dict[str, Knob]:
    """Sizes up to the teacher's: a shrunk student has no more, and a fresh one needs none."""
    there, student = _teacher(recipe), recipe.student
    width = there.hidden // there.heads
    # heads as wide as the teacher's, or, where their number is given, so many as are no wider
    step, most = (width, there.hidden) if student.heads is None else (student.heads, student.heads * width)
    found = {
        "hidden": whole(step, min(most, there.hidden) // step * step, step=step),
        "feed_forward": whole_log(max(1, there.feed_forward // 16), there.feed_forward),
    }
    if student.layers is None or isinstance(student.layers, int):
        found["layers"] = whole(1, there.layers)
        if student.model == "shrunk":
            found["layer_choice"] = one_of(("uniform", "first", "last"))
    return found


def _teacher(recipe: TextRecipe) -> _Sizes:
    """The sizes of the teacher that a student takes after, where its configuration is on this machine."""
    which = made_of(recipe)
    assert which is not None, "a recipe with such a student has a teacher by name"
    try:
        place = _configuration(members_of(recipe.teacher)[which][1].model)
        said = {} if place is None else json.loads(place.read_text(encoding="utf-8"))
    except (BadInput, OSError, ValueError):  # whoever runs the recipe is told what is wrong with it
        said = {}
    layers, hidden, heads, feed_forward = (
        next((said[name] for name in names if isinstance(said.get(name), int)), usual)
        for names, usual in zip(
            (
                ("num_hidden_layers", "n_layers"),
                ("hidden_size", "dim"),
                ("num_attention_heads", "n_heads"),
                ("intermediate_size", "hidden_dim"),
            ),
            _USUAL,
            strict=True,
        )
    )
    return _Sizes(layers, hidden, heads, feed_forward)


def _configuration(model: str) -> Path | None:
    place = locate(model)
    if Path(place).is_dir():
        return Path(place) / "config.json"
    versions = cached(place, "models")
    if versions is None or not (versions / "main").is_file():
        return None
    return versions.parent / "snapshots" / (versions / "main").read_text(encoding="utf-8").strip() / "config.json"
