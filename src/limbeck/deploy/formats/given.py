"""What a file is given, held to what it says that it takes: the runtimes of devices check little of it, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput


def gate(
    path: Path, takes: Mapping[str, Mapping[str, Any]], most: Mapping[str, int]
) -> Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]:
    """What holds inputs to a file each time that it is asked, as :func:`checked` does: those laid out as the last ones were, which were
    right, are looked at no further. Of a network that takes 20 microseconds the whole look would be a third of the time.
    """
    before: list[Any] = []

    def passed(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        nonlocal before
        laid_out = [(name, array.dtype, array.shape) for name, array in inputs.items()]
        if laid_out == before:
            return [np.ascontiguousarray(inputs[name]) for name in takes]
        arrays = checked(path, takes, inputs, most)
        before = laid_out
        return arrays

    return passed


def checked(
    path: Path, takes: Mapping[str, Mapping[str, Any]], inputs: Mapping[str, np.ndarray], most: Mapping[str, int]
) -> list[np.ndarray]:
    """The arrays in the order that a file takes them in, each contiguous.

    Args:
        path: of the file, for messages.
        takes: of each input, by name, the ``dtype`` and the ``shape`` as :attr:`limbeck.interfaces.exportable.Input.said` has them.
        inputs: by name.
        most: how large the dimensions that have a limit can be, by their word: ``batch``.

    Raises:
        BadInput: an input is missing, or there is one too many; one has another type or shape; dimensions of one word differ; one is
            0, or larger than the file was made for.
    """
    if set(inputs) != set(takes):
        raise BadInput(f"{path} takes {_list(takes)}, and was given {_list(inputs)}.")
    sizes: dict[str, int] = {}
    for name, wanted in takes.items():
        array = inputs[name]
        if str(array.dtype) != wanted["dtype"]:
            raise BadInput(f"{path} takes {name} as {wanted['dtype']}, and was given {array.dtype}.")
        if not _fits(array.shape, wanted["shape"]):
            raise BadInput(
                f"{path} takes {name} of shape {_shape(wanted['shape'])}, and was given {_shape(array.shape)}."
            )
        for size, word in zip(array.shape, wanted["shape"], strict=True):
            if isinstance(word, str) and sizes.setdefault(word, size) != size:
                raise BadInput(f"{path} was given inputs of different {word}: {sizes[word]} and {size} ({name}).")
    for word, size in sizes.items():
        if size < 1 or size > most.get(word, size):
            limit = f"1 to {most[word]}, which it was made for" if word in most else "1 and more"
            raise BadInput(f"{path} takes a {word} of {limit}; it was given one of {size}.")
    return [np.ascontiguousarray(inputs[name]) for name in takes]


def _fits(shape: Sequence[int], wanted: Sequence[str | int]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(word, str) or word == size for size, word in zip(shape, wanted, strict=True)
    )


def _shape(sides: Sequence[str | int]) -> str:
    return f"({', '.join(map(str, sides))})"


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "nothing"
