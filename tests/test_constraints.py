"""The recorded versions: one for each package that is asked for, and no two that contradict each other."""

from __future__ import annotations

import tomllib
from importlib.metadata import distributions
from itertools import chain

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.tree import ROOT


def recorded() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def asked_by(requirement: Requirement, versions: dict[str, str]) -> bool:
    """Whether the recorded version is one that is asked for; of a package of which none is recorded, it is."""
    version = versions.get(canonicalize_name(requirement.name))
    return version is None or requirement.specifier.contains(version, prereleases=True)


def test_each_package_that_pyproject_names_has_a_recorded_version_that_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    named, versions = [Requirement(one) for one in chain(project["dependencies"], *extras)], recorded()
    assert [str(one) for one in named if canonicalize_name(one.name) not in versions] == []
    assert [str(one) for one in named if not asked_by(one, versions)] == []


def test_no_recorded_version_is_one_that_another_recorded_package_refuses() -> None:
    versions = recorded()
    installed = {canonicalize_name(one.name): one for one in distributions()}
    # what a package asks for is known of the version that is here
    here = [one for name, one in installed.items() if versions.get(name) == one.version]
    assert here
    refused = []
    for one in here:
        for text in one.requires or ():
            requirement = Requirement(text)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and not asked_by(requirement, versions):
                refused.append(f"{one.name} {one.version} asks for {text}")
    assert refused == []
