"""Objectives without state or shape: classes made from an entry of the catalogue and its function."""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any

from .. import functional
from ..catalogue import Entry
from ..catalogue.entry import FEATURES, LABELS, NUMBERS, SPREAD, VALUES
from ..catalogue.settings import REQUIRED, Setting
from .base import Objective
from .features import OnPairs
from .logits import OnBatches, OnLogits
from .values import OnValues


def made(entry: Entry, package: str) -> type[Objective]:
    """The module of an entry that names a function, with the entry's settings as arguments.

    On logits and on numbers it is the function's ``..._positions`` at every position, or, where examples are compared with
    one another, the function on the batch; on features, the function on each pair of layers, summed.

    Args:
        entry: names ``module`` and ``function``.
        package: where the class is to be imported from.
    """
    base, facts = made_of(entry)
    construct: Any = base.__init__
    signature = Signature([_parameter(setting) for setting in entry.settings])

    def __init__(self: Objective, *args: Any, **settings: Any) -> None:
        try:
            given = signature.bind(*args, **settings)
        except TypeError as error:
            raise TypeError(f"{entry.module}: {error}") from None
        given.apply_defaults()
        construct(self, entry.name, **facts, **given.arguments)

    own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__dict__["__signature__"] = signature.replace(parameters=[own, *signature.parameters.values()])
    members: dict[str, Any] = {"__init__": __init__, "__doc__": docstring(entry), "__module__": package}
    members |= {"reads": entry.reads, "relational": entry.relational}
    return type(str(entry.module), (base,), members)


def made_of(entry: Entry) -> tuple[type[Objective], dict[str, Any]]:
    """What an entry's class is derived from, and what that is told beside name and settings."""
    labels = LABELS in entry.needs
    if FEATURES in entry.needs:
        return OnPairs, {"value_of": getattr(functional, str(entry.function))}
    if entry.relational:
        return OnBatches, {"values_of": getattr(functional, str(entry.function))}
    values_of = getattr(functional, f"{entry.function}_positions")
    if entry.reads == NUMBERS:
        teacher, spread = (kind in entry.needs for kind in (VALUES, SPREAD))
        return OnValues, {"values_of": values_of, "labels": labels, "teacher": teacher, "spread": spread}
    return OnLogits, {"values_of": values_of, "labels": labels}


def docstring(entry: Entry) -> str:
    """What the class says of itself."""
    return f"{entry.about}\n\n{entry.when}\n\nSee :func:`limbeck.functional.{entry.function}`.\n"


def _parameter(setting: Setting) -> Parameter:
    default = Parameter.empty if setting.default is REQUIRED else setting.default
    return Parameter(setting.name, Parameter.POSITIONAL_OR_KEYWORD, default=default)
