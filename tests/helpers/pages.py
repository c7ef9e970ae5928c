"""A page taken apart, and evidence with something missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from limbeck.report import Evidence, write_report

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page strictly: every element closed in its turn; elements, attributes and text kept."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def written(evidence: Evidence, folder: Path) -> str:
    path = folder / "report.html"
    write_report(evidence, path)
    return path.read_text(encoding="utf-8")


def assert_harmless(page: Page) -> None:
    for name, attributes in page.elements:
        assert name not in {"script", "iframe", "object", "embed", "base", "form", "foreignobject", "link"}
        for key, value in attributes.items():
            assert not key.startswith("on"), (name, key)
            if key in {"src", "href", "xlink:href", "srcset", "action", "data", "poster", "background"}:
                assert (value or "").startswith(("data:image/png;base64,", "#")), (name, key, value)
            if key == "style":
                assert re.fullmatch(r"[a-z-]+:[\w.%-]+", value or ""), value


def renamed(value: Any, name: str) -> Any:
    """The same structure with every string and every key that data could have chosen replaced."""
    if isinstance(value, dict):
        return {key: renamed(inner, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, name) for inner in value]
    return name if isinstance(value, str) else value


def without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if name != key}


def leaves(value: Any, new: float | None) -> Any:
    """The same structure with every number replaced."""
    if isinstance(value, dict):
        return {key: leaves(inner, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [leaves(inner, new) for inner in value]
    return new if isinstance(value, int | float) else value
