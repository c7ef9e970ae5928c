"""A store into another codec, without asking the teacher again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import BadInput
from ..files import fingerprint
from ..interfaces import Hypotheses, Values
from .codecs import Codec, Numbers, answer_width
from .store.as_logits import dense_answers
from .store.manifest import StoreIdentity, libraries, read_seal
from .store.segment import totals
from .store.store import Store
from .store.writer import begin, fill, finish, manifest_of, plan_of
from .teacher_pass import Asking

BATCH = 512


def convert(
    source: Path,
    out: Path,
    codec: Codec,
    *,
    block_size: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Store:
    """Casts the store ``source`` into ``out`` with another codec, the old store's dense answers in the teacher's place.

    The new store has the old one's segments: all of its examples, each with its views, sequences included; of numbers also
    the deviations that the old one has.

    The new manifest says under ``made_from`` what it was made from, and its error is measured against that: what the old
    codec had lost comes on top. An unfinished conversion goes on when it is asked for again.

    Raises :class:`BadInput` where the old store is damaged or keeps only a part of an answer, where one keeps logits and the
    other the numbers of a regression, where ``out`` is the old
    store, or holds another.
    """
    source, out = Path(source), Path(out)
    if source.resolve() == out.resolve():
        raise BadInput(f"{out} is the store that is to be converted: name another folder for what is made of it.")
    store = Store.open(source)
    check_kinds(store, codec)
    if isinstance(codec, Numbers):
        codec = replace(codec, spread=answer_width(store.codec, 1) > 1)
    ids_N = torch.from_numpy(store.ids)
    asking = Asking(dense_answers(store, ids_N), ids_N, codec, store.classes, store.ragged, BATCH)
    identity = StoreIdentity(**{**identity_of(store), "made_from": made_from(store)})
    plan = plan_of(identity, codec, store.ragged, block_size or store.plan["block_size"])
    holding = totals(store.segments)
    plan = begin(out, plan, holding)
    asking.measure_on(store.segments[0].ids[: plan["block_size"]])
    fill(out, plan, store.segments, asking.content, progress)
    finish(out, manifest_of(plan, store.segments, asking.measured(), libraries()))
    return Store.open(out, expect={**plan, **holding})


def check_kinds(store: Store, codec: Codec) -> None:
    """Raises :class:`BadInput` where the store keeps logits and the codec numbers of a regression, or the other way round."""
    if codec.kind is Hypotheses:
        raise BadInput(
            f"--codec {codec.name}: transcripts are what a search finds in the answers of a teacher of recordings when it is asked: "
            "say targets.codec in the recipe. From answers that are kept whole a run finds them by itself."
        )
    if (store.codec.kind is Values) == (codec.kind is Values):
        return
    if codec.kind is Values:
        raise BadInput(
            f"{store.path} keeps answers over classes (codec {store.codec.name}), and float32 and float16 are for the numbers of a "
            "regression: take dense, int8, topk or sample."
        )
    raise BadInput(
        f"{store.path} keeps the numbers of a regression, and {codec.name} is for answers over classes: take float32 or float16."
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
        "codec": codec["name"],
        "error": codec["error"],
        "views": store.views,
        "seal": fingerprint(read_seal(store.path).files),
    }
