"""The space of a search: what a recipe's modality offers, as the recipe's ``search.space`` narrows it. No torch.

By itself a search varies the student's family and its knobs, the objective and its settings, the learning rate, the share of
the recipe's epochs, and the strength of the views; a teacher varies where teachers are listed, and whether an
assistant stands between where assistants are, and where size is budgeted the precision in which it is deployed. Any other field of
those sections varies where ``search.space`` says how.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..errors import BadInput, did_you_mean, near, shown
from ..modalities import part_of
from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.entry import LABELS, LOGITS, VALUES
from ..recipe import files
from ..recipe.sentences import field_paths
from ..sections.knob import Knob, one_of, whole
from ..sections.recipe import QuantizationAware, Recipe
from ..sections.search import Range
from .candidates import WHERE, own_objective, pins_of, recipe_with, value_at
from .dimensions import ASSISTANT, FAMILY, OBJECTIVE, STUDENT, TEACHER, VIEWS, Dimension, Space, merged
from .dimensions import asked as asked
from .narrowed import narrowed
from .precision import BY_ITSELF, EXPORT, FORMATS, FURTHER, PREFER, ROUNDED, formats_in, with_precision

SMOOTHING = "baseline.label_smoothing"
EPOCHS, RATE = "train.epochs", "train.learning_rate"
_ROOTS = (STUDENT, OBJECTIVE, TEACHER, ASSISTANT, VIEWS, "train", "targets")  # what may differ between candidates
_TIMES = (
    4  # that a setting is tried away from the recipe's, or the published one: further off, most candidates only fail
)
_USUAL = (
    *("kd", "dkd", "dist", "nkd", "mse_logits", "alpha_beta"),
    *("binary_kd", "mse_values", "huber_values", "bounded_regression"),
)
"""Objectives that are tried, where they read answers as the recipe's own does and learn from what is stored."""


def space_of(recipe: Recipe) -> Space:
    """What varies in a search of this recipe.

    Raises:
        BadInput: ``search.space`` names a field that there is not, or that no student or objective of the search has; a range
            goes beyond a field's bounds; nothing varies; or students are to be sparse, of which a search measures nothing.
    """
    if recipe.sparsity is not None:
        raise BadInput(
            "sparsity: a search measures students before they are trained, and files as they are before they are compressed: leave "
            "sparsity out (--set sparsity=null), and give it to the run of what was found"
        )
    recipe = with_precision(recipe)
    given = {} if recipe.search is None else dict(recipe.search.space)
    problems = [why for path in given if (why := _no_field(recipe, path))]
    if problems:
        raise BadInput(*problems)
    base = _pinned(recipe)
    found = [*_students(recipe, base, given), *_objectives(recipe, base, given), *_others(recipe, base, given)]
    found += _deployed(recipe, given)
    _all_used(recipe, base, given, found)
    if not any(one.points != 1 for one in found):
        raise BadInput(
            "search.space: every field is pinned, so there is one point and nothing to search: give a range or a list, such "
            "as student.width: {low: 4, high: 32}"
        )
    choices = {one.name: len(one.knob.choices) for one in found if one.when is None and one.knob.kind == "list"}
    return Space(tuple(merged([one for one in found if one.points != 1], choices)))


def control_space(space: Space, recipe: Recipe) -> Space:
    """What is the student's own, for the same student without a teacher, and whether its labels are smoothed.

    It has neither objective nor soft targets, and nobody who teaches.
    """
    own = [one for one in space.dimensions if one.name.split(".")[0] not in (OBJECTIVE, TEACHER, ASSISTANT, "targets")]
    if recipe.smoothed:
        own.append(Dimension(SMOOTHING, one_of((0.0, recipe.baseline.label_smoothing))))
    return Space(tuple(own))


def offered(recipe: Recipe) -> dict[str, Knob]:
    """What the recipe's modality thinks worth trying, by the path of the field."""
    return part_of(recipe.task, "knobs").knobs(recipe)


def _students(recipe: Recipe, base: Recipe, given: Mapping[str, Any]) -> Iterator[Dimension]:
    if isinstance(given.get(STUDENT), tuple):
        yield _listed(recipe, STUDENT, given[STUDENT])
        return
    families: tuple[Any, ...] = (base.student.model,)
    if isinstance(said := given.get(FAMILY), tuple):
        families = said
        narrowed(recipe, {}, FAMILY, said, None)
    elif FAMILY not in given and STUDENT not in given:
        families = _families(recipe, base)
    if len(families) > 1:
        yield Dimension(FAMILY, one_of(families))
    explicit = {path: said for path, said in given.items() if path.startswith(f"{STUDENT}.") and path != FAMILY}
    for family in families:
        values = {FAMILY: family} if len(families) > 1 else {}
        own = recipe_with(recipe, values)
        known = {path: knob for path, knob in offered(own).items() if path.startswith(f"{STUDENT}.") and path != FAMILY}
        known = {} if STUDENT in given else {path: knob for path, knob in known.items() if path not in explicit}
        for path, said in explicit.items():
            if said is None or path in pins_of(recipe):
                continue
            knob = narrowed(recipe, values, path, said, offered(own).get(path), lenient=len(families) > 1)
            if knob is not None:
                known[path] = knob
        when = (FAMILY, (family,)) if len(families) > 1 else None
        yield from (Dimension(path, knob, when) for path, knob in known.items())


def _families(recipe: Recipe, base: Recipe) -> tuple[Any, ...]:
    """The recipe's own and those that its modality offers and that have sizes to try; one with weights stays what it is."""
    if getattr(base.student, "weights", None) is not None:
        return (base.student.model,)
    bare = base.model_copy(update={STUDENT: type(base.student)(model=base.student.model)})
    knob = offered(bare).get(FAMILY)
    if knob is None:
        return (base.student.model,)
    others = [one for one in knob.choices if one != base.student.model and _has_sizes(recipe, one)]
    return (base.student.model, *others)


def _has_sizes(recipe: Recipe, family: str) -> bool:
    return any(
        path.startswith(f"{STUDENT}.") and path != FAMILY for path in offered(recipe_with(recipe, {FAMILY: family}))
    )


def _objectives(recipe: Recipe, base: Recipe, given: Mapping[str, Any]) -> Iterator[Dimension]:
    names: tuple[Any, ...] = (own_objective(base),)
    said = given.get(OBJECTIVE)
    if isinstance(said, tuple):
        names = said
        for name in names:
            if isinstance(name, str) and name not in CATALOGUE and name != own_objective(base):
                raise BadInput(
                    f"search.space.objective: there is no objective {shown(name)}.{did_you_mean(name, CATALOGUE)}"
                )
        yield _listed(recipe, OBJECTIVE, names)
    elif OBJECTIVE not in given:
        names = tuple(dict.fromkeys((*names, *_usual(base))))
        if len(names) > 1:
            yield Dimension(OBJECTIVE, one_of(names))
    explicit = {path: said for path, said in given.items() if path.startswith(f"{OBJECTIVE}.")}
    for name in names:
        values = {OBJECTIVE: name} if len(names) > 1 else {}
        own = recipe_with(recipe, values)
        fixed = isinstance(said, Mapping) or not isinstance(name, str)  # written out: it is meant as it stands
        known = {} if fixed else {path: knob for path, knob in _settings(own).items() if path not in explicit}
        for path, values_of in explicit.items():
            term = path.split(".")[1]
            if values_of is None or path in pins_of(recipe) or getattr(own.objective, term, None) is None:
                continue
            knob = narrowed(recipe, values, path, values_of, offered(own).get(path))
            if knob is not None:
                known[path] = knob
        when = (OBJECTIVE, (name,)) if len(names) > 1 else None
        yield from (Dimension(path, knob, when) for path, knob in known.items())


def _settings(own: Recipe) -> dict[str, Knob]:
    """The settings of what the teacher is asked for; weights are in proportion to that of the labels, which stays."""
    found = {path: knob for path, knob in offered(own).items() if path.startswith(f"{OBJECTIVE}.")}
    alone, values = len(own.objective.terms) == 1, own.model_dump(mode="json")
    return {
        path: knob if path.endswith(".temperature") else _nearer(knob, value_at(values, path))
        for path, knob in found.items()
        if CATALOGUE[path.split(".")[1]].needs != (LABELS,) and not (alone and path.endswith(".weight"))
    }


def _nearer(knob: Knob, value: Any) -> Knob:
    """A range by the logarithm, no further than so many times from the value that the recipe has."""
    if knob.kind != "log" or knob.integer or not isinstance(value, int | float):
        return knob
    assert knob.low is not None
    assert knob.high is not None
    return replace(knob, low=max(knob.low, value / _TIMES), high=min(knob.high, value * _TIMES))


def _usual(recipe: Recipe) -> Iterator[str]:
    reads = {CATALOGUE[name].reads for name in recipe.objective.terms} - {None} or set(recipe.reads[0][:1])
    for name in _USUAL:
        entry = CATALOGUE[name]
        stored = set(entry.needs) <= {LABELS, LOGITS, VALUES}
        if entry.reads in reads and stored and not (entry.tells_the_class and recipe.views.mixes):
            yield name


def _others(recipe: Recipe, base: Recipe, given: Mapping[str, Any]) -> Iterator[Dimension]:
    known = offered(base)
    rate = known.get(RATE)
    by_itself = {
        RATE: None if rate is None else _nearer(rate, base.train.peak),
        EPOCHS: _epochs(base, known.get(EPOCHS)),
        VIEWS: known.get(VIEWS),
    }
    if any(path.startswith(f"{VIEWS}.") and said is not None for path, said in given.items()):
        by_itself[VIEWS] = None  # the fields that are given vary instead
    for path, knob in by_itself.items():
        if knob is not None and path not in given:
            yield Dimension(path, knob)
    for path, said in given.items():
        if path.split(".")[0] in (STUDENT, OBJECTIVE, EXPORT) or not isinstance(said, tuple | Range):
            continue
        if path in (TEACHER, ASSISTANT, VIEWS):
            yield _listed(recipe, path, said)
        elif (knob := narrowed(recipe, {}, path, said, known.get(path))) is not None:
            yield Dimension(path, knob)


def _deployed(recipe: Recipe, given: Mapping[str, Any]) -> Iterator[Dimension]:
    """The format where there are several, and for how long a student goes on for one in 8 bits or less: from no epoch to the recipe's."""
    said = given.get(PREFER)
    for one in said if isinstance(said, tuple) else () if said is None else (said,):
        if one not in FORMATS:
            raise BadInput(
                f"search.space.{PREFER}: candidates are measured in ONNX Runtime, so that it is one of {', '.join(FORMATS)}, and "
                f"not {shown(one)}"
            )
    formats = formats_in(recipe)
    rounded = tuple(one for one in formats if one in ROUNDED)
    if len(formats) > 1:
        yield Dimension(PREFER, one_of(formats))
    epochs = given.get(FURTHER)
    if not rounded:
        if epochs is not None:
            raise BadInput(
                f"search.space.{FURTHER}: no student of this search is deployed in 8 bits or less; add {PREFER}: "
                f"[{', '.join(BY_ITSELF)}]"
            )
        return
    usual = whole(0, (recipe.export.quantization_aware or QuantizationAware()).epochs)
    knob: Knob | None = usual if FURTHER not in given else None
    choice = {PREFER: rounded[0]} if len(formats) > 1 else {}
    if isinstance(epochs, tuple | Range):
        knob = narrowed(recipe, choice, FURTHER, epochs, usual)
    elif epochs is not None:
        narrowed(recipe, choice, FURTHER, (epochs,), usual)
    if knob is not None:
        yield Dimension(FURTHER, knob, (PREFER, rounded) if choice else None)


def _epochs(recipe: Recipe, knob: Knob | None) -> Knob | None:
    """From half of the recipe's epochs on: more of them would be a longer training, not a better one."""
    epochs = recipe.train.epochs
    fewest = max(1, math.ceil(recipe.train.warmup_epochs), math.ceil(epochs / 2))
    return None if knob is None or fewest >= epochs else whole(fewest, epochs)


def _listed(recipe: Recipe, path: str, said: Any) -> Dimension:
    """Whole sections, one of which is taken."""
    if not isinstance(said, tuple):
        raise BadInput(
            f"search.space.{path}: is a section; list such sections, or vary its fields, such as {path}.model"
        )
    for one in said:
        narrowed(recipe, {}, path, (one,), None)
        if path in (TEACHER, ASSISTANT):
            files.look_for(recipe_with(recipe, {path: one}))
    return Dimension(path, Knob("list", choices=said))


def _no_field(recipe: Recipe, path: str) -> str | None:
    root, where = path.split(".")[0], f"search.space.{path}"
    if root == "data":
        instead = " For a smaller picture give student.downscale." if path == "data.size" else ""
        return f"{where}: all candidates learn from the same examples, so that no field of data can vary.{instead}"
    if root in _ROOTS or path in (PREFER, FURTHER):
        return None
    if root == EXPORT:
        return f"{where}: of {EXPORT} what may vary are {PREFER} and {FURTHER}"
    known = [one for one in field_paths(type(recipe)) if one.split(".")[0] in _ROOTS]
    if root in type(recipe).model_fields:
        return f"{where}: candidates do not differ in {root}; what may vary are fields of {', '.join(_ROOTS)}"
    inside = [one for one in offered(recipe) if one.endswith(f".{path}")]  # `width`, where `student.width` is meant
    meant = f" Did you mean '{inside[0]}'?" if inside else near(path, [*known, *offered(recipe)])
    otherwise = f" What may vary are fields of {', '.join(_ROOTS)}, each by its path, such as student.width."
    return f"{where}: there is no such field.{meant or otherwise}"


def _pinned(recipe: Recipe) -> Recipe:
    try:
        return recipe_with(recipe, {})
    except BadInput as error:
        raise BadInput(*(line.replace(WHERE, "search.space", 1) for line in error.lines)) from None


def _all_used(recipe: Recipe, base: Recipe, given: Mapping[str, Any], found: list[Dimension]) -> None:
    """Refuses what the search could not take up: a knob that no student has, a setting of a term that no objective has."""
    names = {one.name for one in found}
    families = next((one.knob.choices for one in found if one.name == FAMILY), (base.student.model,))
    for path, said in given.items():
        root, _, rest = path.partition(".")
        if said is None or not rest or path == FAMILY or path in names:
            continue
        if root == STUDENT and isinstance(given.get(STUDENT), tuple):
            raise BadInput(f"search.space.{path}: search.space.student lists whole students; leave out one of the two")
        if root == STUDENT and not any(_has(recipe, family, path, said) for family in families):
            values = said if isinstance(said, Range | tuple) else (said,)
            narrowed(recipe, {}, path, values, offered(base).get(path))
        term = rest.split(".")[0]
        if root == OBJECTIVE and term not in CATALOGUE:
            raise BadInput(f"search.space.{path}: there is no objective {shown(term)}.{did_you_mean(term, CATALOGUE)}")
        if root == OBJECTIVE and not any(_has_term(recipe, one, term) for one in _tried(base, found)):
            raise BadInput(
                f"search.space.{path}: no objective of this search has {term}; add it, such as "
                f"search.space: {{objective: [{own_objective(base)}, {term}]}}"
            )


def _has(recipe: Recipe, family: str, path: str, said: Any) -> bool:
    return value_at(recipe_with(recipe, {FAMILY: family}).model_dump(mode="json"), path) == said


def _tried(base: Recipe, found: list[Dimension]) -> tuple[Any, ...]:
    return next((one.knob.choices for one in found if one.name == OBJECTIVE), (own_objective(base),))


def _has_term(recipe: Recipe, objective: Any, term: str) -> bool:
    return term in recipe_with(recipe, {OBJECTIVE: objective}).objective.terms
