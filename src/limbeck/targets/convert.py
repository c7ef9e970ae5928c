"""A store into another codec, without asking the teacher again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import BadInput
from .answers import dense_answers
from .cast import cast
from .codecs import Codec
from .manifest import StoreIdentity, contents
from .store import Store


def convert(
    source: Path,
    out: Path,
    codec: Codec,
    *,
    block_size: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Store:
    """Casts the store ``source`` into ``out`` with another codec, the old store's dense answers in the teacher's place.

    The new manifest says under ``made_from`` what it was made from, and its error is measured against that: what the old
    codec had lost comes on top. An unfinished conversion goes on when it is asked for again.

    Raises :class:`BadInput` where the old store is damaged or keeps only a part of an answer, where ``out`` is the old
    store, or holds another.
    """
    source, out = Path(source), Path(out)
    if source.resolve() == out.resolve():
        raise BadInput(f"{out} is the store that is to be converted: name another folder for what is made of it.")
    store = Store.open(source)
    ids_N = torch.from_numpy(store.ids)
    if store.manifest["targets"] != store.views * len(store):
        raise BadInput(
            f"{source} has more views of some examples than of others: extend it first, so that all have as many."
        )
    return cast(
        out,
        {**identity_of(store), "made_from": made_from(store)},
        ids_N,
        store.views,
        dense_answers(store, ids_N),
        codec=codec,
        ragged=store.ragged,
        block_size=block_size or store.manifest["block_size"],
        progress=progress,
    )


def identity_of(store: Store) -> StoreIdentity:
    """What a store says of its teacher, data and views."""
    stated = {key: store.manifest[key] for key in StoreIdentity.__annotations__ if key in store.manifest}
    stated.pop("made_from", None)
    return StoreIdentity(**stated)


def made_from(store: Store) -> dict[str, Any]:
    """What a manifest says of the store that another was made from: its codec with its error, and its contents' digest."""
    codec = store.manifest["codec"]
    return {
        "kind": "store",
        "codec": {"name": codec["name"], "settings": codec.get("settings", {})},
        "error": codec["error"],
        "views": store.views,
        "seal": contents(store.path),
    }
