"""The objective that a recipe describes, put together from its sections."""

from __future__ import annotations

from typing import Any

from .errors import BadInput
from .interfaces import DenseLogits
from .objectives import modules, schedules
from .objectives.catalogue import CATALOGUE
from .objectives.modules import Objective, Sum
from .recipe import Objective as ObjectiveSection
from .recipe_section import Schedule


def objective_of(section: ObjectiveSection) -> Objective:
    """The objective a recipe's section describes: its terms in the order of the fields.

    Raises :class:`limbeck.errors.BadInput` for settings that an objective refuses.
    """
    return Sum([_weighted(name, term) for name, term in section.terms.items()])


def temperature_of(objective: Objective) -> float | None:
    """The temperature that logits are softened at: the KD term's where there is one, else the first; a schedule's last."""
    softening = [part for _, part in objective.weighted if DenseLogits in part.needs.target]
    softening.sort(key=lambda part: not isinstance(part, modules.KD))
    given = (getattr(part, "temperature", None) for part in softening)
    return next((schedules.extremes(temperature)[-1] for temperature in given if temperature is not None), None)


def _weighted(name: str, term: Any) -> tuple[float, Objective]:
    """A term with its weight: beside the module where it is a number, inside it where it changes over the run."""
    settings = {field: _value(getattr(term, field)) for field in type(term).model_fields}
    factor = 1.0
    if isinstance(settings["weight"], float):
        factor, settings["weight"] = settings["weight"], factor
    try:
        return factor, getattr(modules, str(CATALOGUE[name].module))(**settings)
    except ValueError as error:
        raise BadInput(f"objective.{name}: {error}.") from None


def _value(given: Any) -> Any:
    if not isinstance(given, Schedule):
        return given
    kind = schedules.Linear if given.linear is not None else schedules.Cosine
    return kind(given.way.start, given.way.end, given.way.epochs)
