"""The tree of the package with a caption for each module, as CONTRIBUTING.md shows it.

`python tests/helpers/tree.py` writes it there anew.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "limbeck"
PAGE = ROOT / "CONTRIBUTING.md"
WIDTH = 24


def caption(module: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n", 1)[0].removesuffix(".")


def lines(folder: Path = PACKAGE, depth: int = 0) -> list[str]:
    """A line a module, folders after the modules of their own."""
    indent = "  " * depth
    found = []
    for module in sorted(folder.glob("*.py")):
        if module.name != "__init__.py":
            found.append(f"{indent + module.name:<{WIDTH}}  {caption(module)}")
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        found.append(f"{indent + inner.name + '/':<{WIDTH}}  {caption(inner / '__init__.py')}")
        found += lines(inner, depth + 1)
    return found


def shown() -> list[str]:
    """The tree as the page has it."""
    text = PAGE.read_text(encoding="utf-8")
    return text.split("<!-- tree -->\n```\n", 1)[1].split("\n```", 1)[0].split("\n")


def main() -> None:
    """Writes the tree into the page."""
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split("<!-- tree -->\n```\n", 1)
    tail = rest.split("\n```", 1)[1]
    PAGE.write_text(head + "<!-- tree -->\n```\n" + "\n".join(lines()) + "\n```" + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
