"""Whether a file of text is UTF-8, and what it most likely is where it is not."""

from __future__ import annotations

import codecs
from pathlib import Path

from ..errors import BadInput

_CHUNK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def check_utf8(path: Path, field: str) -> None:
    """Raises ``BadInput`` where a file is UTF-16 or UTF-32, and with line and byte of the first that is no UTF-8.

    Without its mark UTF-16 shows by bytes of zero, which no text has.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = line = 0
    with path.open("rb") as file:
        while True:
            block = file.read(_CHUNK)
            if offset == 0 and (wide := _wide(block)):
                raise BadInput(
                    f'{field}: {path} is {wide}, as spreadsheets save "Unicode text": save it as UTF-8 '
                    f"(iconv -f {wide.lower().replace(' ', '')} -t utf-8)."
                )
            if (zero := block.find(0)) >= 0:
                number = line + block.count(b"\n", 0, zero) + 1
                raise BadInput(
                    f"{field}: {path}, line {number}: byte {offset + zero} is 0x00, which no text holds: save it as UTF-8."
                )
            waiting = decoder.getstate()[0]  # bytes of a character that the last block began
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                here = waiting + block
                number = line + here.count(b"\n", 0, error.start) + 1
                place = offset - len(waiting) + error.start
                raise BadInput(
                    f"{field}: {path} is not UTF-8: line {number}, byte {place} is 0x{here[error.start]:02x} "
                    f"({error.reason}); save it as UTF-8 (where it is Latin-1 or Windows-1252, which cannot be told from "
                    "here: iconv -f windows-1252 -t utf-8)."
                ) from error
            if not block:
                return
            offset, line = offset + len(block), line + block.count(b"\n")


def _wide(start: bytes) -> str | None:
    """``UTF-16`` or ``UTF-32`` by the mark at the start, or ``UTF-16LE`` or ``UTF-16BE`` by where zeros stand."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    head = start[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 4 < len(head) or min(even, odd) * 8 > max(even, odd):
        return None
    return "UTF-16LE" if odd > even else "UTF-16BE"
