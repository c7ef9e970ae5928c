"""What models are worth where they are used, before all that is said of their answers to examples."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from .evidence import Evidence
from .formats import dig


def content(evidence: Evidence) -> dict[str, Any] | None:
    """What the template is given; None where models are not judged so."""
    found = dig(evidence.results, "in_use")
    if not isinstance(found, dict):
        return None
    drawings = [
        # made by `svg.tag`, which escapes what data says
        {"title": one.title, "caption": one.caption, "svg": Markup(one.svg)}
        for one in evidence.drawings
    ]
    return {
        "how": evidence.outline.in_use or "in use",
        "tables": dig(found, "tables") or [],
        "drawings": drawings,
        "misleads": dig(found, "misleads") or "",
        "on_examples": evidence.on_examples,
    }
