"""Modules written as one script that runs without Limbeck, such as the one that lies beside an exported model"""

from __future__ import annotations

import ast
from importlib import resources
from importlib.util import resolve_name
from pathlib import Path

from ..files import write_text


def write_standalone(module: str, path: Path) -> None:
    """Writes a module of ours (its dotted name) to ``path``, atomically, as a script that stands alone: its very source.

    So both do the same. In the place of what it imports from a module of ours stands that module's source, once, and so on
    for what that one imports; what that one does as a script of its own is left out.

    Raises ``ValueError`` where two of the modules give one name to two things, or import in another form than
    ``from .module import name``.
    """
    names: dict[str, str] = {}
    source = _source(module)
    write_text(Path(path), _with_ours(source, module, names))


def _with_ours(source: str, module: str, names: dict[str, str]) -> str:
    """``source`` with what it imports of ours in its place; ``names`` are those that modules gave so far, and who did."""
    tree, whole = ast.parse(source), source
    for name in _given(tree):
        if names.setdefault(name, module) != module:
            raise ValueError(f"{module} and {names[name]} both have a {name}: one script cannot hold both")
    for line in tree.body:
        if isinstance(line, ast.ImportFrom) and line.level:
            if line.module is None or any(one.asname for one in line.names):
                raise ValueError(f"{module}: {ast.unparse(line)} cannot be written out: from .module import name can")
            written = ast.get_source_segment(whole, line)
            assert written is not None
            ours = resolve_name("." * line.level + line.module, module.rpartition(".")[0])
            there = "" if ours in names.values() else _with_ours(_body(_source(ours)), ours, names)
            source = source.replace(f"{written}\n", there and f"{there}\n", 1)
    return source


def _given(tree: ast.Module) -> set[str]:
    """The names that a module gives to functions, classes and constants of its own."""
    found: set[str] = set()
    for line in tree.body:
        match line:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Assign(targets=targets):
                found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
            case _:
                pass
    return found


def _source(module: str) -> str:
    package, _, name = module.rpartition(".")
    return resources.files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")


def _body(source: str) -> str:
    """A module's source without its docstring, its ``from __future__`` (which may not stand in the middle) and its own script."""
    lines = source.splitlines(keepends=True)
    body = ast.parse(source).body
    first = next(
        line
        for line in body
        if not isinstance(line, ast.Expr) and not (isinstance(line, ast.ImportFrom) and line.module == "__future__")
    )
    script = next(
        (line.lineno - 1 for line in body if isinstance(line, ast.If) and "__main__" in ast.unparse(line.test)), None
    )
    return "".join(lines[first.lineno - 1 : script]).rstrip()
