"""An environment of highway-env made from a recipe's settings, which are held to what it knows: the library swallows misspelt ones."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from typing import Any

import gymnasium
import highway_env  # noqa: F401  # registers the environments
from gymnasium.envs.registration import load_env_creator
from highway_env.envs.common.abstract import AbstractEnv
from highway_env.envs.common.action import DiscreteMetaAction
from highway_env.envs.common.observation import KinematicObservation

from ...errors import BadInput, did_you_mean, shown
from ...files import fingerprint
from .fast import fast

LONGEST = 1000
"""Decisions of an episode at most; one that may last longer is taken for a mistake."""

_ONLY = {
    ("action", "longitudinal"): True,
    ("action", "lateral"): True,
    ("observation", "order"): "sorted",
    ("manual_control",): False,
    ("controlled_vehicles",): 1,
}
_KINDS = {"observation": ("Kinematics", KinematicObservation), "action": ("DiscreteMetaAction", DiscreteMetaAction)}


@dataclass(frozen=True)
class World:
    """Where is driven: an environment by its name, and its settings where they differ from its own.

    Raises :class:`BadInput`, where it is made, for an environment that there is not or that the planner does not know, and for a
    setting that the environment does not have or that does not go with a driver of five actions.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for why in _problems(self.settings, _class_of(self.name).default_config()):
            raise BadInput(f"data.settings{why}")

    @cached_property
    def config(self) -> dict[str, Any]:
        """All settings of the environment."""
        return _merged(_class_of(self.name).default_config(), self.settings)

    @property
    def said(self) -> dict[str, Any]:
        """The settings as the library itself takes them, which puts a section that is given in the place of its own."""
        return {name: self.config[name] for name in self.settings}

    @property
    def decisions(self) -> int:
        """How many decisions an episode has that no crash ends."""
        return round(self.config["duration"] * self.config["policy_frequency"])

    @cached_property
    def numbers(self) -> int:
        """How many numbers a state has."""
        return math.prod(self.environment().observation_space.shape or ())

    @cached_property
    def fingerprint(self) -> str:
        """What tells it from others: all its settings, and the versions of the simulator, which drives differently in another."""
        versions = {name: metadata.version(name) for name in ("highway-env", "gymnasium")}
        return fingerprint([self.name, self.config, versions])

    def environment(self, render_mode: str | None = None) -> AbstractEnv:
        """The environment, without the wrappers of gymnasium; faster than the library's, with the same bits."""
        return fast(_class_of(self.name))(config=copy.deepcopy(self.config), render_mode=render_mode)


def straight_roads() -> list[str]:
    """The environments with nothing but a straight road, which the planner knows."""
    return sorted(
        name
        for name, spec in gymnasium.registry.items()
        if str(spec.entry_point).startswith("highway_env.envs.highway_env:")
    )


def _class_of(name: str) -> type[AbstractEnv]:
    known = straight_roads()
    if name in known:
        found: Any = load_env_creator(str(gymnasium.spec(name).entry_point))
        return found
    if name in gymnasium.registry and str(gymnasium.spec(name).entry_point).startswith("highway_env."):
        raise BadInput(
            f"data.name: {name} is no straight road, and the planner knows no other: take {' or '.join(known)}."
        )
    raise BadInput(f"data.name: highway-env has no environment {shown(name)}.{did_you_mean(name, known)}")


def _merged(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    nested = {name: {**defaults[name], **settings.get(name, {})} for name in _KINDS}
    return {**copy.deepcopy(dict(defaults)), **settings, **nested}


def _problems(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the settings, each as the end of a sentence that begins with their place."""
    for name, value in settings.items():
        if name not in defaults:
            yield f".{name}: the environment has no such setting, and would take no notice of it.{did_you_mean(name, defaults)}"
        elif name in _KINDS:
            yield from _nested(name, value)
        elif why := _unlike(value, defaults[name]):
            yield f".{name}: {shown(value)} was given; {why}"
    merged = _merged(defaults, {name: value for name, value in settings.items() if name in defaults})
    for path, only in _ONLY.items():
        value = merged
        for part in path:
            value = value.get(part, only) if isinstance(value, dict) else only
        if value != only:
            yield f".{'.'.join(path)}: {shown(value)} was given; {shown(only)} is what a driver of five actions needs."
    lasts, decides, simulates = (merged[one] for one in ("duration", "policy_frequency", "simulation_frequency"))
    if not (lasts > 0 and decides > 0 and lasts * decides <= LONGEST):
        yield (
            f".duration: {shown(lasts)} s at {shown(decides)} decisions a second was given; an episode needs an end, after 1 to "
            f"{LONGEST} decisions."
        )
    elif simulates < decides:
        yield f".simulation_frequency: {shown(simulates)} was given; it must be at least policy_frequency ({shown(decides)})."


def _nested(name: str, given: Any) -> Iterator[str]:
    kind, cls = _KINDS[name]
    if not isinstance(given, Mapping):
        yield f".{name}: {shown(given)} was given; it is a section, such as {{type: {kind}}}"
        return
    known = {"type", *inspect.signature(cls.__init__).parameters} - {"self", "env", "kwargs"}
    for key, value in given.items():
        if key not in known:
            yield f".{name}.{key}: there is no such setting, and nobody would take notice of it.{did_you_mean(key, known)}"
        elif key == "type" and value != kind:
            yield f".{name}.type: {shown(value)} was given; a driver of five actions who sees cars as numbers needs {kind}."


def _unlike(value: Any, default: Any) -> str | None:
    """What a value should be, as a sentence, where it is of another kind than the default; None where it is of the same."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"it is true or false, {shown(default)} where nothing is said."
    if isinstance(default, (int, float)):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if number else f"it is a number, {shown(default)} where nothing is said."
    if isinstance(default, str):
        return None if isinstance(value, str) else f"it is a word, {shown(default)} where nothing is said."
    if isinstance(default, (list, tuple)):
        alike = isinstance(value, (list, tuple)) and len(value) == len(default)
        return None if alike else f"it is a list of {len(default)}, {shown(list(default))} where nothing is said."
    return None
