"""Figures that were measured on the device a student is for: a profile, read and checked. No torch"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..deploy.on_device import FILES, WEB
from ..deploy.opened import RUNTIME
from ..deploy.profile import OF_A_FILE, PROFILE, PROFILE_VERSION, Figures
from ..deploy.profiles import checked_figures, profile_in
from ..errors import BadInput, shown
from ..pipeline.versions import EXPORT_VERSION
from ..sections.budget import COSTS
from .budget import fits, nothing_fits
from .precision import PREFER, split_key

PRECISION = "float32"
"""That of the students' exports, where no format says otherwise."""
AGAIN = "write the candidates anew with limbeck search --candidates DIR and measure them again"


@dataclass(frozen=True)
class Profile:
    """What a device measured.

    Attributes:
        path: of its file.
        about: runtime and ``version``, ``machine``, ``threads``.
        figures: by architecture and format (:func:`limbeck.searching.costs.name_of`, :func:`limbeck.searching.precision.key_of`).
        failed: why an architecture could not be run there.
        what: an architecture is, in words.
    """

    path: Path
    about: dict[str, Any]
    figures: dict[str, Figures]
    failed: dict[str, str]
    what: dict[str, str]

    @property
    def formats(self) -> set[str]:
        """Those in which the device was given candidates."""
        return {split_key(name)[1] for name in (*self.figures, *self.failed)}

    def figures_of(self, name: str, wanted: Collection[str]) -> Figures:
        """What is known of an architecture."""
        return {one: figure for one, figure in self.figures.get(name, {}).items() if one in wanted}

    def problem_of(self, name: str, wanted: Collection[str]) -> str | None:
        """Why an architecture is not eligible, whatever the budget; None where all that is wanted of it is known."""
        if name in self.failed:
            return f"the device could not run it: {self.failed[name]}"
        if name not in self.figures:
            return f"it is not in {self.path.name}, and was not measured on the device"
        missing = [one for one in wanted if one in OF_A_FILE and one not in self.figures[name]]
        return f"{self.path.name} does not say its {' and '.join(missing)}" if missing else None


def read_profile(path: Path, wanted: Collection[str]) -> Profile:
    """The profile that ``measure.py`` wrote, or the page of candidates in a browser.

    Args:
        wanted: names of costs that a budget holds; all of them that are measured on a file must be known of some.

    Raises:
        BadInput: it is not there, is no profile, is of another runtime or precision or of exports in another format, was
            measured on an emulated machine, or the device cannot measure what is wanted.
    """
    path = Path(path)
    kinds = {"profile_version": int, "runtime": str, "exports": int, "precision": str, "figures": dict, "failed": dict}
    whose = f"The measure.py that lies beside candidates (limbeck search --candidates DIR), or their page (limbeck browser DIR), writes {PROFILE}."
    if profile_in(path, {"figures": dict}, whose).get("of") == FILES:
        raise BadInput(
            f"--device {path}: it is of files that are trained, which limbeck report --device takes; a search asks of students that it has yet to "
            f"train. {whose}"
        )
    said = profile_in(path, kinds, whose)
    if said["runtime"] not in (RUNTIME, WEB):
        raise BadInput(
            f"--device {path}: it was measured with {shown(said['runtime'])}, and students are exported for {RUNTIME}: "
            "measure them with that."
        )
    if (said["profile_version"], said["exports"]) != (PROFILE_VERSION, EXPORT_VERSION):
        age = (
            "an older" if (said["profile_version"], said["exports"]) < (PROFILE_VERSION, EXPORT_VERSION) else "a newer"
        )
        raise BadInput(
            f"--device {path}: it is of exports in {age} format than this version of Limbeck writes: {AGAIN}."
        )
    if said["precision"] != PRECISION:
        raise BadInput(
            f"--device {path}: it is of {shown(said['precision'])} models, and students are exported as {PRECISION}: {AGAIN}."
        )
    figures = {str(name): checked_figures(path, shown(name), one) for name, one in said["figures"].items()}
    for one in wanted:
        if one in OF_A_FILE and not any(one in known for known in figures.values()):
            raise BadInput(
                f"--device {path}: it does not say {one} ({COSTS[one].words}) of any candidate, which that device cannot "
                "measure: leave it out of the budget."
            )
    about = {name: said.get(name) for name in ("runtime", "version", "machine", "threads")}
    failed, what = ({str(name): str(one) for name, one in said.get(part, {}).items()} for part in ("failed", "what"))
    return Profile(path, about, figures, failed, what)


def require_measured(profile: Profile, formats: Sequence[str]) -> None:
    """Raises :class:`limbeck.errors.BadInput` where the device was given no candidate in one of these formats."""
    if missing := [one for one in formats if one not in profile.formats]:
        raise BadInput(
            f"--device {profile.path}: it has no candidate in {' or '.join(missing)}, which this search has in its space: {AGAIN}, or set "
            f"search.space.{PREFER} to what it has."
        )


def require_attained(profile: Profile, budget: Mapping[str, float]) -> None:
    """Raises :class:`limbeck.errors.BadInput` where nothing that the device measured is within the budget; names the smallest."""
    limits = {name: limit for name, limit in budget.items() if name in OF_A_FILE}
    measured = [
        (profile.what.get(name, f"{name}.onnx"), {one: figure["value"] for one, figure in figures.items()})
        for name, figures in profile.figures.items()
    ]
    if limits and not any(fits(cost, limits) for _, cost in measured):
        raise BadInput(f"--device {profile.path}: {nothing_fits(limits, measured)}")
