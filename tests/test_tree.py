"""The house: what stands where, as CONTRIBUTING.md tells it."""

from __future__ import annotations

from tests.helpers.tree import PACKAGE, ROOT, caption, lines, shown


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
