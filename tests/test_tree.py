"""The house: what stands where, as CONTRIBUTING.md tells it."""

from __future__ import annotations

import re
from importlib import import_module

from tests.helpers.tree import PACKAGE, ROOT, caption, lines, shown

IMPORTED = re.compile(r"(?:(?<=from )|(?<=import )|(?<=-m ))limbeck(?:\.[a-z0-9_]+)+")
NAMED = re.compile(r"limbeck(?:\.[a-z0-9_]+)+")


def test_the_tree_in_contributing_has_every_module_with_the_first_line_of_its_docstring() -> None:
    assert shown() == lines(), "run: python tests/helpers/tree.py"


def test_every_module_has_a_caption_of_one_line() -> None:
    assert [str(module) for module in PACKAGE.rglob("*.py") if not caption(module)] == []


def test_the_root_has_ten_modules_at_most() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_no_file_has_more_than_400_lines() -> None:
    files = [file for folder in ("src", "tests", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
    long = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert {name: count for name, count in long.items() if count > 400} == {}


def test_modules_that_the_pages_name_are_there() -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")}
    moves = [line.split("|")[2] for line in pages.pop("upgrading.md").splitlines() if line.startswith("| `limbeck.")]
    imported = {name for page in pages.values() for name in IMPORTED.findall(page)}
    moved = {name for cell in moves for name in NAMED.findall(cell)}
    assert len(imported) > 5
    assert len(moved) > 100
    assert {name for name in imported | moved if not _is_there(name)} == set()


def _is_there(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_every_copy_of_the_key_of_a_files_metadata_is_alike() -> None:
    # what predict.py is written of stands alone, and models do not import deploy
    copies = (
        "limbeck.deploy.metadata",
        "limbeck.models.onnx_file",
        "limbeck.models.exported",
    )
    assert {import_module(name).METADATA_KEY for name in copies} == {"limbeck"}
