"""Energy by an external meter, or by the log that a phone keeps: watts over time, less what the device takes when idle"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STRETCH_SECONDS = 20.0
GUARD_SECONDS = 1.0
LONGEST_GAP = 0.1
"""Of a stretch: no two samples of a log may lie further apart."""
_MOST_WATTS = 1e9  # no device takes as much: what is more is something else, and its integral may overflow
_YEAR_2001, _YEAR_5138 = 1e9, 1e11  # seconds: what is less counts from something else, what is more is in milliseconds


class Log(NamedTuple):
    """A meter's log: (N,) seconds since 1970, UTC, rising, and (N,) watts."""

    seconds: np.ndarray
    watts: np.ndarray


def metered(
    run: Callable[[], object], *, stretch: float = STRETCH_SECONDS, guard: float = GUARD_SECONDS
) -> dict[str, Any]:
    """Does nothing for a stretch of seconds, then runs a model for as long, while a meter writes its log.

    Returns ``idle`` and ``load``, each from and to, in seconds since 1970 by this device's clock, and the ``runs`` between the
    ends of ``load``. Before and behind each stretch lies a ``guard`` that does not count: clocks that differ by less do no
    harm, nor does a meter that smooths.
    """
    time.sleep(2 * guard)  # what was measured before has left its heat, and its high clock
    idle_from = time.time()
    time.sleep(stretch)
    idle_to = time.time()
    time.sleep(guard)
    _run_for(run, guard)
    load_from = time.time()
    runs = _run_for(run, stretch)
    load_to = time.time()
    _run_for(run, guard)
    return {"idle": [idle_from, idle_to], "load": [load_from, load_to], "runs": runs}


def _run_for(run: Callable[[], object], seconds: float) -> int:
    end, runs = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        run()
        runs += 1
    return runs


def read_log(path: Path) -> Log:
    """A meter's log: CSV with a heading that has the columns ``time`` and ``watts``; others are passed over.

    ``time`` is seconds since 1970 (UTC), or ISO 8601 with its zone.

    Raises ``ValueError`` in a sentence, with the line, where that is not what it holds.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: it is not text in UTF-8 (byte {error.start + 1} is none): save it as CSV in UTF-8."
        ) from None
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        return _log_in(rows, path)
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: it is not CSV ({error}).") from None


def _log_in(rows: Any, path: Path) -> Log:
    heading = [name.strip().lower() for name in next(rows, [])]
    if heading.count("time") != 1 or heading.count("watts") != 1:
        raise ValueError(
            f"{path}: its first line must name the columns time (seconds since 1970, UTC, or ISO 8601 with its zone) and "
            f"watts; it is {', '.join(heading) or 'empty'}."
        )
    when, power = heading.index("time"), heading.index("watts")
    seconds, watts = list[float](), list[float]()
    for row in rows:
        if not row:
            continue
        where = f"{path}, line {rows.line_num}"
        if len(row) <= max(when, power):
            raise ValueError(f"{where}: it has {len(row)} columns, and the heading has {len(heading)}.")
        seconds.append(_seconds(row[when].strip(), where))
        watts.append(_watts(row[power].strip(), where))
        if len(seconds) > 1 and seconds[-1] <= seconds[-2]:
            raise ValueError(f"{where}: time does not go on; it must rise from line to line.")
    if not seconds:
        raise ValueError(f"{path}: it holds no measurement.")
    return Log(np.array(seconds), np.array(watts))


def _seconds(said: str, where: str) -> float:
    try:
        found = float(said)
    except ValueError:
        try:
            moment = datetime.fromisoformat(said.replace("Z", "+00:00"))
        except ValueError:
            raise ValueError(
                f"{where}: '{said[:40]}' is no time; it would be seconds since 1970 (UTC), or ISO 8601 with its zone."
            ) from None
        if moment.tzinfo is None:
            raise ValueError(f"{where}: '{said[:40]}' does not say its zone; of UTC it would end in Z.") from None
        return moment.timestamp()
    if not _YEAR_2001 <= found < _YEAR_5138:
        why = "milliseconds, it seems" if found >= _YEAR_5138 else "counted from something else, it seems"
        raise ValueError(f"{where}: {said[:40]} is not seconds since 1970, UTC ({why}).")
    return found


def _watts(said: str, where: str) -> float:
    try:
        found = float(said)
    except ValueError:
        found = math.nan
    if not 0 <= found < _MOST_WATTS:
        raise ValueError(f"{where}: '{said[:40]}' is no power in watts, which is a number of at least 0.")
    return found


def energy_by_meter(log: Log, window: dict[str, Any], name: str) -> dict[str, Any]:
    """Energy of one run, of what :func:`metered` returned: ``value`` in mJ, ``kind``, ``how``, ``joules``, ``idle_watts``, ``runs``.

    The log is integrated by the trapezoid rule over ``load``, and what ``idle`` took on average is taken off for as long.
    ``name`` is the log's, for messages.

    Raises ``ValueError`` in a sentence where the log has a gap in either stretch or does not reach over both, or the device took
    no more at work than idle.
    """
    (idle_from, idle_to), (load_from, load_to) = window["idle"], window["load"]
    idle = _joules(log, idle_from, idle_to, f"{name}, idle")
    load = _joules(log, load_from, load_to, f"{name}, at work")
    idle_watts, seconds = idle / (idle_to - idle_from), load_to - load_from
    joules = load - idle_watts * seconds
    if joules <= 0:
        raise ValueError(
            f"{name}: it has {load / seconds:.3g} W while the model ran and {idle_watts:.3g} W in the idle stretch before, so that "
            "nothing is left for the model: does its clock agree with that of the device?"
        )
    return {
        "value": joules / window["runs"] * 1e3,
        "kind": "measured",
        "how": f"{name}: {load / seconds:.3g} W over {seconds:.3g} s and {window['runs']} runs, less {idle_watts:.3g} W idle before; "
        "the whole device",
        "joules": joules,
        "idle_watts": idle_watts,
        "runs": window["runs"],
    }


def _joules(log: Log, begin: float, end: float, what: str) -> float:
    """The integral of a log's power from ``begin`` to ``end``, trapezoids between samples, its ends between two of them."""
    first, last = np.searchsorted(log.seconds, begin, "right") - 1, np.searchsorted(log.seconds, end, "left")
    if first < 0 or last >= len(log.seconds):
        lacks = (
            f"begins {log.seconds[0] - begin:.3g} s too late"
            if first < 0
            else f"ends {end - log.seconds[-1]:.3g} s too soon"
        )
        raise ValueError(f"{what}: the log {lacks} to tell of {_clock(begin)} to {_clock(end)} UTC.")
    gaps = np.diff(log.seconds[first : last + 1])
    longest = LONGEST_GAP * (end - begin)
    if gaps.max() > longest:
        at = log.seconds[first + int(gaps.argmax())]
        raise ValueError(
            f"{what}: the log has a gap of {gaps.max():.3g} s from {_clock(at)} UTC on, and no two samples may lie more than "
            f"{longest:.3g} s apart."
        )
    inside = log.seconds[first + 1 : last]
    at_S = np.concatenate([[begin], inside[(inside > begin) & (inside < end)], [end]])
    watts_S = np.interp(at_S, log.seconds, log.watts)
    return float(((watts_S[1:] + watts_S[:-1]) / 2 * np.diff(at_S)).sum())


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
