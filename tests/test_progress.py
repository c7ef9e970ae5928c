"""What a person, or a log, sees of a run that goes on."""

import io
import sys

import pytest

from limbeck import progress

# What a person sees of a run.


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(3, "training") as advance:
        advance(2, loss=0.5)
        advance(loss=0.25)
    assert capsys.readouterr() == ("", "")
    progress.note("a plain line")
    assert capsys.readouterr() == ("", "a plain line\n")


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 61.0, 62.0, 122.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.bar(100, "training") as advance:
        advance(40)  # what an earlier run had finished, which says nothing of the pace
        advance(10, loss=0.5)
        advance(1)
        advance(9)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "training: 50 of 100, about 5 min 5 s left loss=0.5"
    assert second == "training: 60 of 100, about 4 min 4 s left loss=0.5"


def test_a_log_says_which_stage_it_is_at_and_a_terminal_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 200.0, 0.0, 0.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    steps = progress.Steps(2)
    steps.next("teacher: wrn_10_2")
    steps.next("report")
    steps.end()
    assert capsys.readouterr().err.splitlines() == [
        "1 of 2, teacher: wrn_10_2", "2 of 2, report", "all done in 3 min 20 s",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "stderr", Terminal())
    steps = progress.Steps(1)
    steps.next("report")
    steps.end()
    assert sys.stderr.getvalue() == ""  # pyright: ignore[reportAttributeAccessIssue]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_count_and_latest_figures_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress.bar(3, "training") as advance:
        advance(2, loss=0.12345, acc="93.1 [x]")
        advance()
    shown = terminal.getvalue()
    assert "training" in shown
    assert "3/3" in shown
    assert "loss=0.1235 acc=93.1 [x]" in shown
