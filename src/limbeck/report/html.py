"""What the pages share: templates that escape whatever data says, one style, and how a page is written."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup

from ..files import write_text
from . import charts, formats, svg

# C0 controls and DEL have no place in HTML; tab and line feed do.
NOT_TEXT = dict.fromkeys((*range(9), *range(11, 32), 127))


def write_html(path: Path, package: str, template: str, content: dict[str, Any]) -> None:
    """Writes a page to ``path``, atomically, from a template of ``package``. Raises :class:`LimbeckError` where it cannot be written."""
    page = _environment(package).get_template(template).render(content)
    # A folder's name may hold bytes that are no text: shown as escapes rather than refused at the very end.
    page = page.encode("utf-8", "backslashreplace").decode("utf-8").translate(NOT_TEXT)
    write_text(path, page)


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("limbeck.report", ".")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "count", "percent", "duration", "times", "signed", "spread", "size", "with_unit"):
        environment.filters[name] = getattr(formats, name)
    for name in ("mean_count", "things", "unbroken"):
        environment.filters[name] = getattr(formats, name)
    environment.globals |= {"names": charts.NAMES, "mark": legend_mark}
    return environment


def legend_mark(key: str) -> Markup:
    """The sign of a model beside its name."""
    return svg.drawing(14, 14, "", svg.mark(key, 7, 7, 4.2), class_="key")
