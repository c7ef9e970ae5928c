"""Fields of a recipe of images that are worth trying at other values: sizes, families, strengths of views. No torch."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ...objectives.catalogue import CATALOGUE
from ...sections.knob import Knob, names_modules, of_any_recipe, one_of, spread, whole, whole_log
from ...sections.pruned import PRUNED, of_pruned
from ...sections.section import LARGEST_SIDE
from ...sections.teacher import Model
from ...vision.networks import CONVNET, DOWNSCALES, MOBILE, PILOTNET, RESNETS, WIDE_RESNETS, ours
from ...vision.sections import BUILT_IN, Views
from .recipe import ImageRecipe, RegressionRecipe, TeacherSection, made_of

_SMALLEST_SIDE, _USUAL_SIDE = 8, 32
_SIDES = (
    8,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
)  # where the recipe says none: the images' own is not known before they are read
# Widths that an edge device has room for, and how deep; the networks themselves can be larger: vision.networks.KNOBS.
_OF: dict[str, dict[str, Knob]] = {
    CONVNET: {"width": whole_log(4, 64), "depth": whole(1, 8), "kernel": one_of((3, 5, 7))},
    MOBILE: {
        "width": whole_log(4, 64),
        "depth": whole(1, 8),
        "expand": whole(1, 6),
        "kernel": one_of((3, 5, 7)),
    },
    PILOTNET: {"width": whole_log(4, 64), "hidden": whole_log(16, 256)},
}
_FEWEST_PIXELS = 4  # of a side of what a student makes of a picture
_MOST_LAYERS = 56


def knobs(recipe: ImageRecipe | RegressionRecipe) -> dict[str, Knob]:
    """By the path of the field; what a change of another field would make wrong is left out."""
    same = names_modules(recipe)
    return {
        **_network("student", recipe.student, same, (PRUNED,) if _can_be_pruned(recipe) else ()),
        **_downscale(recipe),
        **(_network("teacher", recipe.teacher, same) if isinstance(recipe.teacher, TeacherSection) else {}),
        "data.size": _sizes(recipe),
        **_strengths(recipe.views),
        **_views(recipe),
        **of_any_recipe(recipe),
    }


def _network(where: str, section: Model, same: bool, others: tuple[str, ...] = ()) -> dict[str, Knob]:
    """Of a network of ours that starts from its seed: with ``weights`` it is as large as they are. ``same``: its modules stay;
    ``others`` are families that it may be of too."""
    if section.weights is not None or not ours(section.model):
        return {}
    found = {f"{where}.{name}": knob for name, knob in _OF.get(section.model, {}).items()}
    if section.model == PRUNED:
        found = {f"{where}.{PRUNED}.{name}": knob for name, knob in of_pruned().items()}
    if same:
        found.pop(f"{where}.depth", None)
    elif section.model == PRUNED or not section.knobs:  # which another family would not have
        found[f"{where}.model"] = one_of((section.model, CONVNET, MOBILE, *_families(), *others))
    return found


def _can_be_pruned(recipe: ImageRecipe | RegressionRecipe) -> bool:
    """Whether a student may be its teacher pruned: a network by name, and the library at hand."""
    return made_of(recipe) is not None and find_spec("torch_pruning") is not None


def _downscale(recipe: ImageRecipe | RegressionRecipe) -> dict[str, Knob]:
    """How much smaller a student may make its pictures; weights are those of a network for any size of them."""
    if recipe.student.model not in (CONVNET, MOBILE):
        return {}
    fit = [one for one in DOWNSCALES if one == 1 or _side(recipe) // one >= _FEWEST_PIXELS]
    here = recipe.student.knobs.get("downscale", 1)
    return {"student.downscale": one_of(sorted({*fit, here}))}


def _side(recipe: ImageRecipe | RegressionRecipe) -> int:
    """The shorter side of the pictures; where it is not known before they are read, a usual one."""
    size = recipe.data.size or (_SMALLEST_SIDE if recipe.data.name in BUILT_IN else _USUAL_SIDE)
    return min(size) if isinstance(size, tuple) else size


def _strengths(views: Views) -> dict[str, Knob]:
    """The views as they are, half as strong, and none; nothing where they vary nothing."""
    if views == Views():
        return {}
    whole_section = views.model_dump(mode="json")
    halved = {name: _halved(value) for name, value in whole_section.items()}
    if (crop := whole_section["resized_crop"]) is not None:
        halved["resized_crop"] = {
            "scale": [(1 + crop["scale"][0]) / 2, (1 + crop["scale"][1]) / 2],
            "ratio": [ratio**0.5 for ratio in crop["ratio"]],
        }
    choices = []
    for one in (whole_section, halved, Views().model_dump(mode="json")):
        if one not in choices:
            choices.append(one)
    return {"views": Knob("list", choices=tuple(choices))}


def _halved(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _halved(one) for name, one in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return value // 2 if isinstance(value, int) else value / 2


def _families() -> list[str]:
    deep = {name: int(name.removeprefix("resnet").removesuffix("x4")) for name in RESNETS}
    wide = {name: int(name.split("_")[1]) for name in WIDE_RESNETS}
    return [name for name, layers in {**deep, **wide}.items() if layers <= _MOST_LAYERS]


def _sizes(recipe: ImageRecipe | RegressionRecipe) -> Knob:
    size = recipe.data.size
    if size is None:
        return one_of(_SIDES)
    sides = size if isinstance(size, tuple) else (size,)
    scaled = [tuple(round(side * share) for side in sides) for share in (0.25, 0.5, 0.75, 1, 1.5, 2)]
    fit = [one for one in scaled if one == sides or (min(one) >= _SMALLEST_SIDE and max(one) <= LARGEST_SIDE)]
    return one_of(fit if isinstance(size, tuple) else [one[0] for one in fit])


def _views(recipe: ImageRecipe | RegressionRecipe) -> dict[str, Knob]:
    numbers = isinstance(recipe, RegressionRecipe)
    side = _side(recipe)
    found = {
        "shift": spread(0.0, 0.25),
        "pad_crop": whole(0, max(1, side // 8)),
        "cutout": whole(0, side // 2),
        "erase": spread(0.0, 0.5),
        "affine.scale": spread(0.0, 0.3),
        "color.brightness": spread(0.0, 0.5),
        "color.contrast": spread(0.0, 0.5),
    }
    if recipe.data.name != "digits_turned":  # whose label is the angle itself
        found |= {"affine.degrees": spread(0.0, 30.0), "affine.shear": spread(0.0, 15.0)}
    if recipe.data.channels != 1 and recipe.data.name not in BUILT_IN:
        found["color.saturation"] = spread(0.0, 0.5)
    if not numbers:  # a mirror image may have another number
        found["flip"] = one_of((False, True))
    if not any(CATALOGUE[name].tells_the_class for name in recipe.objective.terms):  # of mixes nobody can
        found |= {name: spread(0.0, 1.0) for name in (("mixup",) if numbers else ("mixup", "cutmix"))}
    return {f"views.{name}": knob for name, knob in found.items()}
