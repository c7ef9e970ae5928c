"""What a person watching a run sees: one bar per loop, and plain lines. All of it on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .errors import printable

Bar = Callable[[int, str], AbstractContextManager[Callable[..., None]]]
"""``limbeck.progress.bar`` or its like."""

# Seconds between two lines in a log.
LINE_EVERY = 60.0


class Advance(Protocol):
    """Moves a bar on by `n` and shows the latest figures, e.g. `advance(1, loss=0.123, acc=93.1)`."""

    def __call__(self, n: int = 1, **figures: float | str) -> None: ...


def _figures_text(figures: dict[str, float | str]) -> str:
    texts = ((name, value if isinstance(value, str) else f"{value:.4g}") for name, value in figures.items())
    return " ".join(f"{name}={text}" for name, text in texts)


def _lines(total: int, title: str) -> Advance:
    """What stands in for the bar in a log: a line a minute."""
    began = said = time.monotonic()
    done = 0
    start: int | None = None
    latest: dict[str, float | str] = {}

    def advance(n: int = 1, **figures: float | str) -> None:
        nonlocal done, said, start
        done += n
        latest.update(figures)
        start = done if start is None else start  # the first call tells what an earlier run had finished
        now = time.monotonic()
        if now - said < LINE_EVERY or done == start:
            return
        said = now
        left = seconds_text((now - began) / (done - start) * (total - done))
        note(f"{title}: {done} of {total}, about {left} left {_figures_text(latest)}".rstrip())

    return advance


@contextmanager
def bar(total: int, title: str) -> Iterator[Advance]:
    """Shows the progress of `total` steps: count, time left, latest figures.

    Yields `advance(n=1, **figures)`; figures given once stay until they are given again. Where stderr is not a
    terminal there is a plain line a minute instead, so that logs of unattended runs stay short.
    """
    if not sys.stderr.isatty():
        yield _lines(total, title)
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
        task = progress.add_task(printable(title), total=total, figures="")

        def advance(n: int = 1, **figures: float | str) -> None:
            latest.update(figures)
            progress.update(task, advance=n, figures=_figures_text(latest))

        yield advance


class Steps:
    """Where a run stands: a plain line a stage, such as `2 of 7, soft targets: 4 views of 1,286 examples`.

    Only where stderr is not a terminal; there the bars say it.
    """

    def __init__(self, total: int) -> None:
        self.total, self.number = total, 0
        self._began = time.monotonic()

    def next(self, text: str) -> None:
        """Says that the next stage begins."""
        self.number += 1
        if not sys.stderr.isatty():
            note(f"{self.number} of {self.total}, {text}")

    def end(self) -> None:
        """Says how long it all took."""
        if not sys.stderr.isatty():
            note(f"all done in {seconds_text(time.monotonic() - self._began)}")


def note(text: str) -> None:
    """Prints one plain line to stderr, terminal or not."""
    print(printable(text), file=sys.stderr, flush=True)


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


def bytes_text(count: float) -> str:
    """A size as a person says it: `812 B`, `36.1 KB`, `2.4 MB` (1 KB = 1000 B)."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
