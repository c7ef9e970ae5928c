"""Fields of a recipe of sounds that are worth trying at other values: sizes, families, strengths of views. No torch."""

from __future__ import annotations

from typing import Any

from ...sections.knob import Knob, names_modules, of_any_recipe, one_of, spread, whole, whole_log
from ...sections.teacher import Model
from ...vision.networks import Allowed
from .data_sections import SoundViews
from .families import CLASSIFIERS, ENCODERS, KNOBS, ours
from .recipe import AudioRecipe, TeacherSection
from .recipe_ctc import SpeechRecipe

_WIDEST, _DEEPEST = 128, 8  # that an edge device has room for; the networks themselves can be larger
_MELS = (20, 32, 40, 64)
FRAME_BY_FRAME = "ctc_frame_kd"  # two models of the same frames
_FRAMES = ("stride", "hop_ms")


def knobs(recipe: AudioRecipe | SpeechRecipe) -> dict[str, Knob]:
    """By the path of the field; what a change of another field would make wrong is left out."""
    same, among = names_modules(recipe), ENCODERS if isinstance(recipe, SpeechRecipe) else CLASSIFIERS
    found = {
        **_network("student", recipe.student, same, among),
        **(_network("teacher", recipe.teacher, same, among) if isinstance(recipe.teacher, TeacherSection) else {}),
        **_strengths(recipe.views),
        "views.shift": spread(0.0, 0.3),
        "views.gain": spread(0.0, 12.0),
        "views.speed": spread(0.0, 0.2),
        "views.echo": spread(0.0, 0.5),
        "views.time_mask": spread(0.0, 0.3),
        "views.frequency_mask": spread(0.0, 0.3),
        **of_any_recipe(recipe),
    }
    if FRAME_BY_FRAME not in recipe.objective.terms:
        return found
    return {path: knob for path, knob in found.items() if path.partition(".")[2] not in _FRAMES}


def _network(where: str, section: Model, same: bool, among: tuple[str, ...]) -> dict[str, Knob]:
    """Of a network of ours that starts from its seed: with ``weights`` it is as large as they are. ``same``: its modules stay."""
    if section.weights is not None or not ours(section.model):
        return {}
    found = {
        f"{where}.{name}": _within(name, allowed, section.knobs.get(name))
        for name, allowed in KNOBS[section.model].items()
    }
    if same:
        found.pop(f"{where}.depth", None)
    elif not section.knobs:  # which another family would not have
        found[f"{where}.model"] = one_of((section.model, *(one for one in among if one != section.model)))
    return found


def _within(name: str, allowed: Allowed, here: int | None) -> Knob:
    if isinstance(allowed, tuple):
        return one_of(allowed)
    if name == "mels":
        return one_of(sorted({*_MELS, here or _MELS[0]}))
    if allowed.step > 1:  # heads of attention share the channels
        return one_of([one for one in allowed if one <= _WIDEST])
    low, high = allowed[0], allowed[-1]
    if name == "depth":
        return whole(low, min(high, _DEEPEST))
    return whole_log(max(low, 4), min(high, _WIDEST))


def _strengths(views: SoundViews) -> dict[str, Knob]:
    """The views as they are, and none; nothing where they vary nothing."""
    if views == SoundViews():
        return {}
    choices: list[Any] = [views.model_dump(mode="json"), SoundViews().model_dump(mode="json")]
    return {"views": Knob("list", choices=tuple(choices))}
