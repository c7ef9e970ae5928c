"""Asking the teacher once: every view of every example, block by block, into a store.

A shard is a pure function of (view, block of sorted ids), so casting can stop anywhere, go on anywhere, and
be done by several processes at once. Shapes: N examples, B batch, C classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..files import write_text
from . import shard
from .check import expected_files, lacks_a_file
from .codecs import Codec, Dense, Rows, bytes_per_target, codec_error
from .manifest import (
    IDS,
    KIND,
    MANIFEST,
    PLAN,
    SCHEMA_VERSION,
    SEAL,
    TARGETS_VERSION,
    StoreIdentity,
    alone,
    differences,
    id_metadata,
    json_text,
    libraries,
    read_json,
    shard_metadata,
    write_seal,
)
from .store import Store

ERROR_SAMPLE = 512

Ask = Callable[[Tensor, int], Tensor]


def cast(
    path: Path,
    identity: StoreIdentity,
    ids_N: Tensor,
    views: int,
    ask: Ask,
    *,
    codec: Codec | None = None,
    block_size: int = 4096,
    batch_size: int = 512,
    measured: Mapping[str, Any] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Store:
    """Stores the teacher's answer to every view of every example under ``path``, and opens the store.

    ids_N: distinct int64 ids in any order. ``ask(index_B, view)`` returns logits (B, C) for positions in
    ``ids_N``, on any device. ``measured``: further figures for the manifest. ``progress`` is called with the number of targets done, those found done
    included. A finished store is opened as it is, an unfinished one is finished; neither order, nor batch
    size, nor interruption changes a byte as long as the teacher answers each example alike.

    Raises :class:`BadInput` where ``path`` holds another store (it says what differs), where ids repeat or a
    count is not positive, where the teacher's answer does not fit the classes, is NaN or +inf, or has nothing
    finite; :class:`LimbeckError` where the disk is full or the folder cannot be written.
    """
    path = Path(path)
    codec = codec or Dense()
    ids_N = ids_N.detach().cpu().to(torch.int64)
    if not len(ids_N) or min(views, block_size, batch_size) < 1:
        raise BadInput("soft targets need at least one example, one view, and positive block and batch sizes.")
    sorted_N, order_N = ids_N.sort()
    if len(sorted_N) > 1 and bool((sorted_N[1:] == sorted_N[:-1]).any()):
        twice = sorted_N[1:][sorted_N[1:] == sorted_N[:-1]][0]
        raise BadInput(f"example id {int(twice)} occurs twice: every stored example needs an id of its own.")
    sorted_ids = sorted_N.numpy()
    plan = _plan(identity, sorted_ids, views, codec, block_size)
    if (path / SEAL).exists() and not lacks_a_file(path, plan):
        store = Store.open(path, expect=plan)
        if progress:
            progress(views * len(ids_N))
        return store
    plan = _begin(path, plan, sorted_ids)

    def answers(view: int, block: int, rows: int | None = None) -> Iterator[Tensor]:
        start, stop = block * block_size, min((block + 1) * block_size, len(ids_N))
        wanted = stop if rows is None else start + rows
        for first in range(start, wanted, batch_size):
            index_B = order_N[first : min(first + batch_size, stop)]
            yield _answer(ask, index_B, ids_N, view, plan["classes"])

    blocks = -(-len(ids_N) // block_size)
    for view, block in itertools.product(range(views), range(blocks)):
        file = path / shard.shard_name(view, block)
        about = shard_metadata(plan["ids"], view, block)
        if not shard.is_whole(file, about):
            columns = _encode(codec, answers(view, block), sorted_ids[block * block_size :], view)
            with alone(path):
                if not shard.is_whole(file, about):  # another writer may have been quicker
                    shard.write_with_digest(file, columns, about)
        if progress:
            progress(min(block_size, len(ids_N) - block * block_size))

    # Always asked anew, in the same batches: the figures are then the same after any interruption.
    sample = min(ERROR_SAMPLE, block_size, len(ids_N))
    sampled = torch.cat([answer.cpu() for answer in answers(0, 0, sample)])[:sample]
    error = codec_error(codec, sampled, _rows(sorted_ids[:sample], 0))
    _finish(path, plan, codec, error, measured or {})
    return Store.open(path, expect=plan)


def _plan(identity: StoreIdentity, ids: np.ndarray, views: int, codec: Codec, block_size: int) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "targets_version": TARGETS_VERSION,
        "codec": {"name": codec.name, "settings": dict(codec.settings)},
        **identity,
        "view_count": views,
        "examples": len(ids),
        "ids": shard.sha256_ids(ids),  # also the pairing set of mixes
        "block_size": block_size,
    }


def _begin(path: Path, plan: dict[str, Any], ids: np.ndarray) -> dict[str, Any]:
    """Writes plan and ids where there are none; otherwise holds the plan that is there against this one."""
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    taken = sorted(names & {MANIFEST, SEAL, IDS, "view-0000"})
    if taken and PLAN not in names:
        raise BadInput(f"{path} holds '{taken[0]}' but no {PLAN}, so nothing says whose it is: name a new folder.")
    with alone(path) as held:
        if held:
            _sweep(path)
        if not (path / PLAN).exists():
            write_text(path / PLAN, json_text(plan))
        there = read_json(path / PLAN)
        unequal = differences(there, plan)
        if unequal:
            raise BadInput(
                f"{path} holds unfinished soft targets of another kind: {'; '.join(unequal)}. "
                "Cast into another folder, or delete this one."
            )
        if lacks_a_file(path, there):  # a sealed store that lacks a file is an unfinished one
            (path / SEAL).unlink(missing_ok=True)
        shard.write(path / IDS, {"id": ids}, id_metadata())
    return there


def _finish(path: Path, plan: dict[str, Any], codec: Codec, error: dict[str, Any], measured: Mapping[str, Any]) -> None:
    described = {
        **plan["codec"],
        "bytes_per_target": bytes_per_target(codec, plan["classes"]),
        "error": error,
    }
    with alone(path) as held:
        if (path / SEAL).exists():
            return
        if held:
            _sweep(path)
        write_text(path / MANIFEST, json_text({**plan, **measured, "codec": described, "libraries": libraries()}))
        write_seal(path, sorted(expected_files(plan)))


def _sweep(path: Path) -> None:
    """Removes what killed writers left half-written; the living write only while they hold the lock."""
    for pattern in (*(f".{name}.*.part" for name in (PLAN, MANIFEST, SEAL, IDS)), "view-*/.*.part"):
        for left in path.glob(pattern):
            left.unlink(missing_ok=True)


def _rows(ids: np.ndarray, view: int) -> Rows:
    return Rows(torch.from_numpy(ids), view, torch.zeros(len(ids), dtype=torch.int64))


def _encode(codec: Codec, answers: Iterator[Tensor], ids: np.ndarray, view: int) -> dict[str, np.ndarray]:
    parts, first = [], 0
    for answer in answers:
        parts.append(codec.encode(answer, _rows(ids[first : first + len(answer)], view)))
        first += len(answer)
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}


def _answer(ask: Ask, index_B: Tensor, ids_N: Tensor, view: int, classes: int) -> Tensor:
    logits_BC = ask(index_B, view).detach()
    if logits_BC.shape != (len(index_B), classes):
        raise BadInput(
            f"the teacher answered {len(index_B)} examples with a tensor of shape {tuple(logits_BC.shape)}; "
            f"the data has {classes} classes, so ({len(index_B)}, {classes}) is needed."
        )
    bad_B = (logits_BC.isnan() | (logits_BC == torch.inf)).any(1) | ~logits_BC.isfinite().any(1)
    if bool(bad_B.any()):
        bad = bad_B.cpu()
        ids = [int(i) for i in ids_N[index_B[bad]]]
        named = ", ".join(map(str, ids[:5])) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
        raise BadInput(
            f"the teacher's answer is NaN or infinite for example id {named}, view {view}. Likely causes: "
            "weights from a training run that diverged, a precision too low for this teacher (try float32), "
            "or input that is not normalised as it expects."
        )
    return logits_BC
