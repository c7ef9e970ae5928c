"""The script that lies beside an exported model and runs it without Limbeck."""

from __future__ import annotations

import ast
from importlib import resources
from pathlib import Path

from ..files import write_text


def write_standalone(module: str, path: Path) -> None:
    """Writes a modality's ``predict`` (the dotted name of its module) to ``path``, atomically: its very source.

    So both prepare their input alike. In the place of what it imports from a module beside it stands that module's source.
    """
    package, _, name = module.rpartition(".")
    source = _source(package, name)
    for line in ast.parse(source).body:
        if isinstance(line, ast.ImportFrom) and line.level == 1 and line.module is not None:
            written = ast.get_source_segment(source, line)
            assert written is not None
            source = source.replace(written, _body(_source(package, line.module)), 1)
    write_text(Path(path), source)


def _source(package: str, name: str) -> str:
    return resources.files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")


def _body(source: str) -> str:
    """A module's source from behind its docstring and its ``from __future__``, which may not stand in the middle of a file."""
    first = next(
        line
        for line in ast.parse(source).body
        if not isinstance(line, ast.Expr) and not (isinstance(line, ast.ImportFrom) and line.module == "__future__")
    )
    return "".join(source.splitlines(keepends=True)[first.lineno - 1 :]).rstrip()
