"""What a source gives, and reading with the ``datasets`` library such that what it raises is said in a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import datasets
import datasets.exceptions

from ..errors import BadInput

Rows = Mapping[str, datasets.Dataset]


class Found(dict[str, datasets.Dataset]):
    """Splits by name, with ``notes``: sentences on where each came from, and on what was left out."""

    def __init__(self, splits: Mapping[str, datasets.Dataset], notes: Iterable[str] = ()) -> None:
        super().__init__(splits)
        self.notes = tuple(notes)


def own_splits(rows: Rows) -> Found:
    """The splits of a source that says itself what they are."""
    said = "; ".join(f"{split} has {rows_text(len(rows[split]))}" for split in rows)
    return Found(rows, [f"the data's own splits: {said}."])


def rows_text(count: int) -> str:
    """``1 row``, ``1,797 rows``."""
    return f"{count:,} row{'s' if count != 1 else ''}"


def notes_of(rows: Rows) -> list[str]:
    """What the source says of the splits."""
    return list(rows.notes) if isinstance(rows, Found) else []


def read(reading: Callable[[], Any], name: str, field: str) -> Any:
    """``reading()``, with whatever the ``datasets`` library raises said in a sentence."""
    bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        return reading()
    except datasets.exceptions.DatasetNotFoundError as error:
        raise BadInput(
            f"{field}: there is no data set '{name}' here or on the Hugging Face hub (or it needs a "
            "login): name a folder, a hub name such as zalando-datasets/fashion_mnist, or digits."
        ) from error
    except (ConnectionError, datasets.exceptions.DefunctDatasetError) as error:
        raise _unreachable(name, field) from error
    # The library opens any of a dozen formats; its errors have no common class.
    except Exception as error:
        if _is_network(error):
            raise _unreachable(name, field) from error
        if empty := re.search(r'Instruction "(.+)" corresponds to no data', str(error)):
            raise BadInput(
                f"{field}: split '{empty[1]}' of '{name}' is empty: it needs at least one example."
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        cause = error.__cause__ or error.__context__
        if isinstance(error, datasets.exceptions.DatasetGenerationError) and cause is not None:
            reason = f"{reason}: {(str(cause).strip() or type(cause).__name__).splitlines()[0].rstrip('.')}"
        raise BadInput(f"{field}: the data set '{name}' cannot be read ({reason}).") from error
    finally:
        if bars:
            datasets.enable_progress_bars()


def _is_network(error: BaseException | None) -> bool:
    seen = 0
    while error is not None and seen < 10:
        module = type(error).__module__.split(".")[0]
        if isinstance(error, (ConnectionError, TimeoutError)) or module in (
            "httpx",
            "httpcore",
            "requests",
            "urllib3",
        ):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _unreachable(name: str, field: str) -> BadInput:
    return BadInput(
        f"{field}: '{name}' is no folder here and the Hugging Face hub cannot be reached: check the "
        "network, name a local folder, or set LIMBECK_DATA to a folder that holds a copy."
    )
