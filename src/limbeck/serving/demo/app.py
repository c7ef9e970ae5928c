#!/usr/bin/env python3
"""A page on which a student answers beside its teacher: Gradio, and what runs the models.

    pip install gradio -r requirements.txt
    python app.py

Beside it lie ``demo.json``, which says what is shown, the models, and ``asking.py``, which asks them. On the Hugging Face
hub the same folder is a Space.
"""

from __future__ import annotations

import argparse
import html
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Default

MOST_SHOWN = 8
WAITING = '<div class="demo"><p class="wait">What the models say is shown here.</p></div>'
LARGEST_UPLOAD = "20mb"
CSS = """
.gradio-container { max-width: 68rem !important; margin: auto; }
.demo h1 { font-size: 1.9rem; font-weight: 600; margin: .4rem 0 .1rem; }
.demo p { margin: 0; color: var(--neutral-600); } .dark .demo p { color: var(--neutral-400); }
.demo p.verdict { font-size: 1.25rem; font-weight: 600; color: var(--body-text-color) !important; margin: 0 0 .8rem; unicode-bidi: isolate; }
.demo .two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); gap: 1rem; }
.demo .model { border: 1px solid var(--border-color-primary); border-radius: .7rem; padding: .9rem 1rem; background: var(--block-background-fill); min-width: 0; }
.demo .model h3 { margin: 0; font-size: 1rem; } .demo .teacher h3 { color: #0b66a8; } .demo .student h3 { color: #c24e00; }
.dark .demo .teacher h3 { color: #62b5f0; } .dark .demo .student h3 { color: #ff9a4d; }
.demo .facts { font-size: .85rem; margin: 0 0 .7rem; }
.demo ol { list-style: none; margin: 0; padding: 0; } .demo li { margin: 0 0 .5rem; overflow-wrap: anywhere; }
.demo .line { display: flex; justify-content: space-between; gap: 1rem; font-size: .95rem; } .demo .line span { unicode-bidi: isolate; }
.demo .line span:last-child { font-variant-numeric: tabular-nums; white-space: nowrap; }
.demo .bar { height: .4rem; border-radius: .2rem; background: var(--border-color-primary); overflow: hidden; margin-top: .15rem; }
.demo .bar i { display: block; height: 100%; background: #c24e00; } .demo .teacher .bar i { background: #0b66a8; }
.dark .demo .bar i { background: #ff9a4d; } .dark .demo .teacher .bar i { background: #62b5f0; }
.demo li:first-child .line { font-weight: 650; }
.demo .wait { padding: 2.5rem 1rem; text-align: center; border: 1px dashed var(--border-color-primary); border-radius: .7rem; }
#picture img { width: 100%; height: 100%; object-fit: contain; padding: .5rem; }
#shelf .caption-label { position: static; max-width: 100%; white-space: normal; text-align: left; border: 0; box-shadow: none; font-size: .75rem; line-height: 1.35; padding: .3rem .4rem; }
#shelf .gallery-item, #shelf .thumbnail-item { height: auto; aspect-ratio: auto; }
#shelf .thumbnail-item img { aspect-ratio: 1; }
.demo p.problem { color: #b3261e; } .dark .demo p.problem { color: #ff8a80; }
"""


def build(folder: Path) -> gr.Blocks:
    """The page of the demo in a folder. ``ValueError`` where a model of it cannot be used."""
    sys.path.insert(0, str(folder))
    asking = importlib.import_module("asking")
    told = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    models = {role: asking.opened(folder / file) for role, file in told["models"].items()}
    sizes = {role: (folder / file).stat().st_size for role, file in told["models"].items()}

    def answer(*values: Any) -> str:
        try:
            example = asking.example_of(values)
            return WAITING if example is None else answers(models, sizes, asking, example)
        except ValueError as error:
            return f'<div class="demo"><p class="problem" role="alert">{html.escape(str(error))}</p></div>'

    with gr.Blocks(title=told["title"], analytics_enabled=False, fill_width=False) as page:
        gr.HTML(head(told, sizes))
        with gr.Row():
            with gr.Column(scale=2, min_width=260):
                fields = asking.fields(models["student"])
                button = gr.Button("Ask", variant="primary")
            with gr.Column(scale=3, min_width=320):
                out = gr.HTML(WAITING, elem_id="answers")
        for field in fields:
            field.change(answer, fields, out, show_progress="hidden")
        button.click(answer, fields, out)
        if told["examples"]:
            gr.HTML(f'<div class="demo"><p>{html.escape(told["which"])}</p></div>')
            shelf = asking.shelf(told["examples"], folder)

            def choose(event: gr.SelectData) -> Any:
                chosen = event.index[0] if isinstance(event.index, list) else event.index
                values = asking.values_of(told["examples"][chosen], folder)
                return values if len(fields) > 1 else values[0]

            shelf.select(choose, None, fields)
    return page


def head(told: dict[str, Any], sizes: dict[str, int]) -> str:
    """The page's title, and what student and teacher have in common, as HTML."""
    told_of = [f"{role} {size(sizes[role])}" for role in sizes]
    if "teacher" in sizes:
        told_of.append(f"the student is {sizes['teacher'] / sizes['student']:.3g} times smaller")
    if told.get("agreement"):
        told_of.append(told["agreement"])
    return f'<div class="demo"><h1>{html.escape(told["title"])}</h1><p>{html.escape(" · ".join(told_of))}</p></div>'


def answers(models: dict[str, Any], sizes: dict[str, int], asking: Any, example: Any) -> str:
    """What each model says of an example, side by side, as HTML; whatever names hold, they are text."""
    shown = asking.page(models, example) if hasattr(asking, "page") else None
    if shown is not None:
        return shown
    said = {role: asking.ask(model, example) for role, model in models.items()}
    cards = "".join(card(role, one, sizes[role]) for role, one in said.items())
    return f'<div class="demo"><p class="verdict">{html.escape(verdict(said))}</p><div class="two">{cards}</div></div>'


def verdict(said: dict[str, Any]) -> str:
    """Whether they agree, in a sentence; with one model alone, what it says."""
    first = {role: one.names[int(one.values_C.argmax())] for role, one in said.items()}
    units = any(one.units for one in said.values())
    if len(said) == 1:
        return "" if units else f"The student says {first['student']}."
    if units:
        apart = abs(said["teacher"].values_C - said["student"].values_C)
        names = zip(said["student"].names, apart, said["student"].units)
        return (
            "Apart by " + ", ".join(f"{value:.3g} {unit}".strip() + f" ({name})" for name, value, unit in names) + "."
        )
    if first["teacher"] == first["student"]:
        return f"They agree: {first['student']}."
    return f"They differ: the teacher says {first['teacher']}, the student {first['student']}."


def card(role: str, said: Any, bytes_: int) -> str:
    """One model's answer as HTML."""
    order = range(len(said.names)) if said.units else (-said.values_C).argsort(kind="stable")[:MOST_SHOWN]
    lines = []
    for c in order:
        value = float(said.values_C[c])
        shown = f"{value:.6g} {said.units[c]}".strip() if said.units else f"{100 * value:.1f} %"
        bar = "" if said.units else f'<div class="bar"><i style="width:{100 * value:.2f}%"></i></div>'
        lines.append(
            f'<li data-value="{value!r}"><div class="line"><span>{html.escape(said.names[c])}</span>'
            f"<span>{html.escape(shown)}</span></div>{bar}</li>"
        )
    facts = f"{size(bytes_)} · {said.ms:.3g} ms here"
    return (
        f'<section class="model {role}"><h3>{role.capitalize()}</h3><p class="facts">{facts}</p>'
        f"<ol>{''.join(lines)}</ol></section>"
    )


def size(bytes_: int) -> str:
    """Bytes, for a person."""
    return f"{bytes_ / 1e3:.3g} KB" if bytes_ < 1e6 else f"{bytes_ / 1e6:.3g} MB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves the demo beside this file, on this machine alone unless ``GRADIO_SERVER_NAME`` says otherwise."""
    parser = argparse.ArgumentParser(description="A page on which a student answers beside its teacher.")
    parser.add_argument("--port", type=int, help="default: the first that is free from 7860 on")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    given = parser.parse_args(arguments)
    folder = Path(__file__).resolve().parent
    try:
        page = build(folder)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    page.launch(
        server_port=given.port,
        inbrowser=given.open,
        show_error=True,
        max_file_size=LARGEST_UPLOAD,
        allowed_paths=[str(folder / "examples")],
        footer_links=[],
        ssr_mode=False,
        css=CSS,
        theme=Default(primary_hue="orange", font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
