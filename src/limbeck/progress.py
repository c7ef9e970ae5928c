"""What a person watching a run sees: one bar per loop, and plain lines. All of it on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Advance(Protocol):
    """Moves a bar on by `n` and shows the latest figures, e.g. `advance(1, loss=0.123, acc=93.1)`."""

    def __call__(self, n: int = 1, **figures: float | str) -> None: ...


def _figures_text(figures: dict[str, float | str]) -> str:
    texts = ((name, value if isinstance(value, str) else f"{value:.4g}") for name, value in figures.items())
    return " ".join(f"{name}={text}" for name, text in texts)


def _silent(n: int = 1, **figures: float | str) -> None:
    del n, figures


@contextmanager
def bar(total: int, title: str) -> Iterator[Advance]:
    """Shows the progress of `total` steps: count, time left, latest figures.

    Yields `advance(n=1, **figures)`; figures given once stay until they are given again. Nothing is printed
    when stderr is not a terminal, so logs of unattended runs hold no bars.
    """
    if not sys.stderr.isatty():
        yield _silent
        return
    latest: dict[str, float | str] = {}
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4, transient=True) as progress:
        task = progress.add_task(title, total=total, figures="")

        def advance(n: int = 1, **figures: float | str) -> None:
            latest.update(figures)
            progress.update(task, advance=n, figures=_figures_text(latest))

        yield advance


def note(text: str) -> None:
    """Prints one plain line to stderr, terminal or not."""
    print(text, file=sys.stderr, flush=True)


def seconds_text(seconds: float) -> str:
    """A duration as a person says it: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
