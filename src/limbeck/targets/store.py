"""The soft-target store: what a teacher said of every view of every example, read at memory speed.

A folder of Arrow files, one for each (view, block of sorted ids), with a manifest and a seal. Shapes: N
examples, V views, B batch, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..interfaces import DenseLogits
from . import shard
from .check import check
from .codecs import Answer, Codec, Column, bytes_per_target, codec_from, unknown_as_nan
from .manifest import IDS, KIND, SEAL, TARGETS_VERSION, differences, id_metadata, shard_metadata

HOLD_BELOW_BYTES = 1 << 30  # a smaller store is held in memory (or on the device) as one tensor


class Store:
    """A finished store, opened for reading; see :meth:`open`."""

    path: Path
    manifest: dict[str, Any]
    ids: np.ndarray  # (N,) int64, ascending
    codec: Codec
    device: torch.device

    def __init__(self, path: Path, manifest: dict[str, Any], ids: np.ndarray) -> None:
        self.path, self.manifest, self.ids = path, manifest, ids
        self.codec = codec_from(manifest["codec"]["name"], manifest["codec"].get("settings"))
        self.device = torch.device("cpu")
        self._ids_N = torch.from_numpy(ids)
        self._held: dict[str, Tensor] | None = None  # column -> (V * N, width) on the device
        self._mapped: dict[tuple[int, int], dict[str, np.ndarray]] = {}

    @classmethod
    def open(cls, path: Path | str, expect: Mapping[str, Any] | None = None) -> Store:
        """Opens a finished store. ``expect``: any part of the manifest that must hold (``StoreIdentity``).

        Every digest is checked where the store is small (below 2 GB), otherwise the manifest's, the ids' and
        all sizes. Raises :class:`BadInput` where there is no store, casting has not finished, a file is
        damaged, or the store belongs to another teacher, other data, other views ...: the message says what
        differs.
        """
        path = Path(path)
        problems, manifest = check(path)
        if problems:
            more = f" ({len(problems) - 1} more: limbeck targets verify {path})" if len(problems) > 1 else ""
            raise BadInput(problems[0] + more)
        wanted = {"kind": KIND, "targets_version": TARGETS_VERSION, **(expect or {})}
        unequal = differences(manifest, wanted)
        if unequal:
            raise BadInput(
                f"the soft targets in {path} do not belong to this run: {'; '.join(unequal)}. "
                "Cast them again into another folder, or name the store that fits."
            )
        ids = shard.read(path / IDS, [Column("id", np.dtype(np.int64), None)], manifest["examples"], id_metadata())[
            "id"
        ]
        return cls(path, manifest, np.array(ids))

    @property
    def classes(self) -> int:
        """C."""
        return self.manifest["classes"]

    @property
    def views(self) -> int:
        """V."""
        return self.manifest["view_count"]

    @property
    def view_seed(self) -> int:
        """The seed from which the views were drawn."""
        return self.manifest["view_seed"]

    @property
    def nbytes(self) -> int:
        """Bytes of all stored answers."""
        return self.views * len(self.ids) * bytes_per_target(self.codec, self.classes)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Store:
        """This store, answering on ``device``: held there whole where it is smaller than 1 GB."""
        self.device = torch.device(device)
        self._ids_N = self._ids_N.to(self.device)
        if self._held is not None:
            self._held = {name: column.to(self.device) for name, column in self._held.items()}
        elif self.nbytes < HOLD_BELOW_BYTES:
            self._held = self._read_whole()
        return self

    def require(self, ids_N: Tensor) -> None:
        """Raises :class:`BadInput` naming an id that has no answer here; for a check before training."""
        asked = ids_N.detach().cpu().numpy()
        unknown = asked[~np.isin(asked, self.ids)]
        if len(unknown):
            others = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
            raise BadInput(
                f"the store {self.path} has no soft target for example id {unknown[0]}{others}: it was cast "
                "from other examples. Cast it from the data that the student trains on."
            )

    def gather(self, ids_B: Tensor, view_B: Tensor) -> Answer:
        """The teacher's answer for (id, view), of the codec's kind, (B, ...) on the store's device.

        Raises :class:`BadInput` for an unknown id or view. On an accelerator that check would halt the device
        at every step, so there an unknown (id, view) answers NaN; call :meth:`require` once beforehand.
        """
        if self._held is None and self.nbytes < HOLD_BELOW_BYTES:
            self._held = self._read_whole()
        held = self._held
        ids_N = self._ids_N if held is not None else self._ids_N.cpu()
        view_B = view_B.to(ids_N.device)
        position_B, known_B = _positions(ids_N, ids_B.to(ids_N.device))
        known_B = known_B & (view_B >= 0) & (view_B < self.views)
        view_B = view_B.clamp(0, self.views - 1)
        if ids_N.device.type == "cpu" and not bool(known_B.all()):
            self._refuse(ids_B)
        if held is None:
            return self._gather_mapped(position_B.numpy(), view_B.numpy())
        row_B = view_B * len(self.ids) + position_B
        columns = {name: column.index_select(0, row_B) for name, column in held.items()}
        answer = self.codec.decode(columns, self.classes)
        return answer if ids_N.device.type == "cpu" else unknown_as_nan(answer, known_B)

    def gather_rows(self, table_NX: Tensor, ids_B: Tensor) -> Tensor:
        """Rows (B, X) of a table ordered as :attr:`ids`, on this device; unknown ids as in :meth:`gather`."""
        position_B, known_B = _positions(self._ids_N, ids_B.to(self.device))
        if self.device.type == "cpu":
            if not bool(known_B.all()):
                self.require(ids_B)
            return table_NX.index_select(0, position_B)
        return table_NX.index_select(0, position_B).where(known_B[:, None], math.nan)

    def mean_probabilities(self) -> Tensor:
        """Log of the teacher's probabilities (T = 1), averaged over all views: float32 (N, C) on the CPU.

        Rows are in the order of :attr:`ids`. These are logits of the averaged distribution. Raises :class:`BadInput` for a
        codec that does not keep every class's logit.
        """
        if self.codec.kind is not DenseLogits:
            raise BadInput(
                f"the mean over views needs the logits of all classes, and {self.path} was cast with the codec "
                f"{self.codec.name}, which does not keep them: cast it with dense or int8."
            )
        out_NC = torch.empty(len(self.ids), self.classes)
        size = self.manifest["block_size"]
        for block, start in enumerate(range(0, len(self.ids), size)):
            log_probs_VBC = torch.stack([self._block(v, block).log_softmax(1) for v in range(self.views)])
            out_NC[start : start + size] = log_probs_VBC.logsumexp(0) - math.log(self.views)
        return out_NC

    def _block(self, view: int, block: int) -> Tensor:
        # copied: torch wants writable memory
        columns = {n: torch.from_numpy(np.array(c)) for n, c in self._columns(view, block).items()}
        answer = self.codec.decode(columns, self.classes)
        assert isinstance(answer, DenseLogits)
        return answer.logits

    def _columns(self, view: int, block: int) -> dict[str, np.ndarray]:
        """One shard's columns (rows, width), mapped when first asked for."""
        if (view, block) not in self._mapped:
            size = self.manifest["block_size"]
            self._mapped[view, block] = shard.read(
                self.path / shard.shard_name(view, block),
                self.codec.layout(self.classes),
                min(size, len(self.ids) - block * size),
                shard_metadata(self.manifest["ids"], view, block),
            )
        return self._mapped[view, block]

    def _read_whole(self) -> dict[str, Tensor]:
        blocks = -(-len(self.ids) // self.manifest["block_size"])
        shards = [self._columns(view, block) for view in range(self.views) for block in range(blocks)]
        names = [column.name for column in self.codec.layout(self.classes)]
        held = {n: torch.from_numpy(np.concatenate([s[n] for s in shards])).to(self.device) for n in names}
        self._mapped.clear()
        return held

    def _gather_mapped(self, position: np.ndarray, view: np.ndarray) -> Answer:
        size = self.manifest["block_size"]
        blocks = -(-len(self.ids) // size)
        key = view * blocks + position // size
        order = np.argsort(key, kind="stable")
        edges = np.flatnonzero(np.diff(key[order])) + 1
        layout = self.codec.layout(self.classes)
        columns = {column.name: np.empty(column.shape(len(position)), column.dtype) for column in layout}
        for group in np.split(order, edges) if len(order) else []:
            there = self._columns(*divmod(int(key[group[0]]), blocks))
            for name, out in columns.items():
                out[group] = there[name][position[group] % size]
        here = {name: torch.from_numpy(column).to(self.device, non_blocking=True) for name, column in columns.items()}
        return self.codec.decode(here, self.classes)

    def _refuse(self, ids_B: Tensor) -> NoReturn:
        self.require(ids_B)
        raise BadInput(f"the store {self.path} holds views 0 to {self.views - 1}, and another was asked for.")


def _positions(ids_N: Tensor, ids_B: Tensor) -> tuple[Tensor, Tensor]:
    """Where each id stands among the ascending ``ids_N`` (B,), and whether it is there (B,)."""
    position_B = torch.searchsorted(ids_N, ids_B.contiguous()).clamp(max=len(ids_N) - 1)
    return position_B, ids_N[position_B] == ids_B


def verify(path: Path | str) -> list[str]:
    """Reads every byte of a store; a sentence for each problem, naming the file. Empty: it is whole."""
    return check(Path(path), full=True)[0]


def inspect(path: Path | str) -> dict[str, Any]:
    """What a person wants to know of a store. Raises :class:`BadInput` where it is no finished store."""
    path = Path(path)
    store = Store.open(path)
    manifest = store.manifest
    return {
        "path": str(path),
        "examples": len(store),
        "views": store.views,
        "classes": store.classes,
        "codec": manifest["codec"]["name"],
        "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        "bytes_per_target": manifest["codec"]["bytes_per_target"],
        "codec_error": manifest["codec"]["error"],
        "teacher": manifest["teacher"]["weights"],
        "precision": manifest["precision"],
        "data": manifest["data"],
        "view_spec": manifest["views"],
        "view_seed": manifest["view_seed"],
        **({"made_from": manifest["made_from"]} if "made_from" in manifest else {}),
        "libraries": manifest["libraries"],
        # the seal's own time: a date inside a file would make two equal stores differ
        "created": datetime.fromtimestamp((path / SEAL).stat().st_mtime, UTC).isoformat(timespec="seconds"),
    }
