"""What a request holds: examples out of JSON, an upload of one or several files, or plain bytes. Stands alone"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.types import Message, Receive

MOST_INSTANCES = 256
"""Examples of one request."""
DRAINED = 4
"""How many times the largest body is read and thrown away before a request is refused: whoever still sends reads no answer."""


class Asked(NamedTuple):
    """What a request asks: examples as they were given, and how many classes of each."""

    given: list[Any]  # bytes of files, or JSON values
    top: int


def limited(receive: Receive, most: int) -> Receive:
    """``receive`` that raises a 413 where more than ``most`` bytes of a body come, whatever was said of its length."""
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            while message.get("more_body") and total <= DRAINED * most:
                message = await receive()
                total += len(message.get("body", b""))
            raise too_long(most)
        return message

    return counting


def too_long(most: int) -> HTTPException:
    """A request's body is longer than ``most`` bytes."""
    return HTTPException(413, f"the request is longer than {most / 1e6:g} MB, the most that is taken here.")


async def asked(request: Request, *, files: bool, example: str, takes: str) -> Asked:
    """What a request asks. Raises ``HTTPException`` (400, 413, 415) with a sentence.

    ``files``: whether examples are files; ``example`` is what one is called, ``takes`` what a JSON instance is.
    """
    top = _top(request.query_params.get("top", "3"))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return Asked(_instances(await request.body(), takes), top)
    if files and kind == "multipart/form-data":
        return Asked(await _uploaded(request, example), top)
    family = "audio" if example == "sound" else example
    if files and (kind.startswith(f"{family}/") or kind == "application/octet-stream"):
        return Asked([_something(await request.body(), example)], top)
    if not files and kind == "text/plain":
        return Asked([_something(await request.body(), example)], top)
    what = f"{family}/* (one file's bytes), multipart/form-data (files)" if files else "text/plain (one)"
    raise HTTPException(
        415,
        f"Content-Type is {kind[:80] or 'missing'}: this model takes {what}, or application/json "
        f'such as {{"instances": [{takes}]}}.',
    )


def _top(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0:
        return int(text)
    raise HTTPException(400, f"top is {text[:20]!r}, not a whole number from 1.")


def _something(body: bytes, example: str) -> bytes:
    if not body:
        raise HTTPException(400, f"the request is empty: the {example} is its body.")
    return body


def _instances(body: bytes, takes: str) -> list[Any]:
    right = f'{{"instances": [{takes}]}}'
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # no UTF-8 and a number of too many digits are ValueErrors as well
        raise HTTPException(400, f"the request is not JSON, such as {right}.") from None
    instances = value.get("instances") if isinstance(value, dict) else None
    if not isinstance(instances, list):
        raise HTTPException(400, f'the request has no list "instances": send {right}.')
    return _some(instances)


async def _uploaded(request: Request, example: str) -> list[bytes]:
    try:
        form = await request.form(max_files=MOST_INSTANCES, max_fields=MOST_INSTANCES)
    except HTTPException:
        raise
    except Exception as error:  # the parser's own exceptions differ from version to version
        if type(error).__name__ == "ClientDisconnect":
            raise
        raise HTTPException(400, "the multipart/form-data of the request cannot be read.") from error
    files = [one for _, one in form.multi_items() if isinstance(one, UploadFile)]
    try:
        found = [await one.read() for one in files]
    finally:
        await form.close()
    if not found:
        raise HTTPException(400, f"the form has no file in it: send each {example} as a file, curl -F file=@NAME.")
    return _some(found)


def _some(found: list[Any]) -> list[Any]:
    if not found:
        raise HTTPException(400, "there are no instances in the request: send one or more.")
    if len(found) > MOST_INSTANCES:
        raise HTTPException(413, f"{len(found)} instances in one request: send at most {MOST_INSTANCES}.")
    return found
