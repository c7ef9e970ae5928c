"""The soft-target store: what a teacher said of every view of every example, read at memory speed.

A folder of Arrow files, one for each (view, block of sorted ids), with a manifest and a seal. Shapes: N
examples, V views, B batch, L positions, C classes.
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

from ...errors import BadInput
from ...interfaces import DenseLogits, Values
from ..codecs import Answer, Codec, answer_width, codec_from
from .check import check
from .index import Index
from .manifest import KIND, PLAN, SEAL, TARGETS_VERSION, differences, read_json
from .mapped_files import Answers, Mapped
from .padding import each_tensor, padded
from .prefetch import Ahead
from .segment import Segment, read_segments

HOLD_BELOW_BYTES = 1 << 30  # a smaller store is held in memory (or on the device) as one tensor
AVERAGED_AT_ONCE = 4096


class Store:
    """A finished store, opened for reading; see :meth:`open`."""

    path: Path
    plan: dict[str, Any]
    manifest: Mapping[str, Any]
    segments: list[Segment]
    ids: np.ndarray  # (N,) int64, ascending
    codec: Codec
    device: torch.device
    nbytes: int  # of all shards

    def __init__(
        self, path: Path, plan: dict[str, Any], manifest: Mapping[str, Any], segments: list[Segment], nbytes: int
    ) -> None:
        self.path, self.plan, self.manifest, self.segments, self.nbytes = path, plan, manifest, segments, nbytes
        self.codec = codec_from(plan["codec"]["name"], plan["codec"]["settings"])
        self.device = torch.device("cpu")
        self._index = Index(segments)
        self.ids = self._index.ids
        self._mapped = Mapped(path, plan, self._index, self.codec.layout(self.classes), nbytes)
        self._held: Answers | None = None  # all of them, in the order of the index, on the device
        self._ahead: Ahead | None = None

    @classmethod
    def open(cls, path: Path | str, expect: Mapping[str, Any] | None = None) -> Store:
        """Opens a finished store. ``expect``: any part of the manifest that must hold (``StoreIdentity``).

        Every digest is checked where the store is small (below 2 GB), otherwise the manifest's, the ids' and
        all sizes. Raises :class:`BadInput` where there is no store, casting has not finished, a file is
        damaged, or the store belongs to another teacher, other data, other views ...: the message says what
        differs.
        """
        path = Path(path)
        problems, manifest, nbytes = check(path)
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
        return cls(path, read_json(path / PLAN), manifest, read_segments(path, manifest["segments"]), nbytes)

    @property
    def classes(self) -> int:
        """C."""
        return self.plan["classes"]

    @property
    def views(self) -> int:
        """V: the most that an example has; see :meth:`view_counts`."""
        return self._index.views

    @property
    def view_seed(self) -> int:
        """The seed from which the views were drawn."""
        return self.plan["view_seed"]

    @property
    def ragged(self) -> bool:
        """Whether an example is a sequence, with an answer at each of its positions."""
        return self.plan["ragged"]

    @property
    def held(self) -> bool:
        """Whether all of it is kept in memory (or on the device) once something was asked."""
        return self._held is not None or self.nbytes < HOLD_BELOW_BYTES

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Store:
        """This store, answering on ``device``: held there whole where it is smaller than 1 GB."""
        self.device, self._ahead = torch.device(device), None
        self._index.to(self.device)
        if self._held is not None:
            self._held = _on(self._held, self.device)
        else:
            self._hold()
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

    def gather(self, ids_B: Tensor, view_B: Tensor, length: int | None = None) -> Answer:
        """What the teacher said of each (id, view), on the store's device: the codec's kind of answer, (B, ...).

        Of a ragged store (B, L, ...), with L the longest asked for, or ``length``; past an example's end stands
        something that is not the teacher's, and masks leave it out. Raises :class:`BadInput` for an unknown id or view,
        and for a sequence longer than ``length``. On an accelerator these checks would halt the device at every step,
        so from a store held there an unknown (id, view) answers NaN; call :meth:`require` once beforehand.
        """
        held = self._hold()
        if held is None:
            answers = self._ahead.take(ids_B, view_B) if self._ahead else self._read(ids_B, view_B)
            if not self.ragged:
                return self.codec.decode(answers.columns, self.classes)
            return padded(self.codec, self.classes, answers, slice(None), length)
        number_B, known_B = self._numbers(ids_B, view_B)
        if self.ragged:
            answer = padded(self.codec, self.classes, held, number_B, length)
        else:
            rows = {name: column.index_select(0, number_B) for name, column in held.columns.items()}
            answer = self.codec.decode(rows, self.classes)
        return answer if known_B is None else each_tensor(answer, lambda tensor: _nan_unless(known_B, tensor))

    def lengths(self, ids_B: Tensor, view_B: Tensor) -> Tensor:
        """How many positions each (id, view) of a ragged store has: int64 (B,) on the store's device.

        Raises as :meth:`gather` does; where that answers NaN, the length is some example's.
        """
        if not self.ragged:
            raise ValueError(f"{self.path} keeps one answer for each example, and no lengths")
        held = self._hold()
        if held is not None:
            assert held.length_B is not None
            return held.length_B[self._numbers(ids_B, view_B)[0]]
        return torch.from_numpy(self._mapped.lengths(*self._known(ids_B, view_B))).to(self.device)

    def prefetch(self, ids_B: Tensor, view_B: Tensor) -> None:
        """Begins to read, in a thread, what :meth:`gather` will be asked for; does nothing for a store that is held.

        What goes wrong is raised by that ``gather``. Announce batches in the order in which they are asked for.
        """
        if self._hold() is None:
            self._ahead = self._ahead or Ahead(self._read, self.device)
            self._ahead.announce(ids_B, view_B)

    def has(self, ids_B: Tensor, view_B: Tensor) -> Tensor:
        """Whether each (id, view) has an answer here: bool (B,)."""
        return self._index.numbers_on(ids_B.to(self.device), view_B.to(self.device))[1]

    def encoded(self, ids_B: Tensor, view_B: Tensor) -> Answers:
        """The answers as they are stored, not decoded, on the CPU. Raises as :meth:`gather` does there."""
        return self._mapped.read(*self._known(ids_B, view_B))

    def view_counts(self, ids_B: Tensor) -> Tensor | int:
        """How many views each example has (B,), or one number where all have equally many."""
        return self._index.view_counts(ids_B.to(self.device))

    def gather_rows(self, table_NX: Tensor, ids_B: Tensor) -> Tensor:
        """Rows (B, X) of a table ordered as :attr:`ids`, on this device; unknown ids as in :meth:`gather`."""
        position_B, known_B = self._index.positions_on(ids_B.to(self.device))
        if self.device.type == "cpu" and not bool(known_B.all()):
            self.require(ids_B)
        rows_BX = table_NX.index_select(0, position_B.clamp_(max=len(self.ids) - 1))
        return rows_BX if self.device.type == "cpu" else _nan_unless(known_B, rows_BX)

    def mean_probabilities(self) -> Tensor:
        """Log of the teacher's probabilities (T = 1), averaged over an example's views: float32 (N, C) on the CPU.

        Rows are in the order of :attr:`ids`. These are logits of the averaged distribution. Raises :class:`BadInput`
        where the store keeps something else than one distribution over all classes for each example.
        """
        out_NC = torch.full((len(self.ids), self.classes), -math.inf)
        ids_N, count_N = torch.from_numpy(self.ids), torch.from_numpy(self._index.count_N)
        for start in range(0, len(self.ids), AVERAGED_AT_ONCE):
            ids_B, count_B = ids_N[start : start + AVERAGED_AT_ONCE], count_N[start : start + AVERAGED_AT_ONCE]
            sum_BC = out_NC[start : start + AVERAGED_AT_ONCE]
            for view in range(self.views):
                has_B = count_B > view
                answer = self.gather(ids_B[has_B], torch.full_like(ids_B[has_B], view))
                if self.ragged or not isinstance(answer, DenseLogits):
                    raise BadInput(
                        f"the soft targets in {self.path} cannot be averaged over views: that takes every class's logit "
                        "and one answer for each example. Leave out targets.average, or cast with codec dense."
                    )
                sum_BC[has_B] = sum_BC[has_B].logaddexp(answer.logits.cpu().log_softmax(1))
            sum_BC -= count_B.log()[:, None]
        return out_NC

    def mean_numbers(self) -> tuple[Tensor, Tensor | None]:
        """The teacher's numbers averaged over an example's views, and their deviation: float32 (N, D) each, on the CPU.

        Rows are in the order of :attr:`ids`. The deviation is over the views, and, where each has one over an ensemble's members,
        over both: variance of the means and mean of the variances. None where there is neither. The codec must keep numbers.
        """
        sums_ND, squares_ND = (torch.zeros(len(self.ids), self.classes, dtype=torch.float64) for _ in range(2))
        ids_N, count_N = torch.from_numpy(self.ids), torch.from_numpy(self._index.count_N)
        for view in range(self.views):
            has_N = count_N > view
            answer = self.gather(ids_N[has_N], torch.full_like(ids_N[has_N], view))
            assert isinstance(answer, Values)
            sums_ND[has_N] += answer.values.double().cpu()
            squares_ND[has_N] += answer.values.double().cpu().square()
            if answer.spread is not None:
                squares_ND[has_N] += answer.spread.double().cpu().square()
        mean_ND = sums_ND / count_N[:, None]
        spread_ND = (squares_ND / count_N[:, None] - mean_ND.square()).clamp(min=0).sqrt()
        return mean_ND.float(), spread_ND.float() if self.views > 1 or answer_width(self.codec, 1) > 1 else None

    def _hold(self) -> Answers | None:
        if self._held is None and self.nbytes < HOLD_BELOW_BYTES:
            self._held = _on(self._mapped.read_all(), self.device)
        return self._held

    def _numbers(self, ids_B: Tensor, view_B: Tensor) -> tuple[Tensor, Tensor | None]:
        """Numbers (B,) of held answers; on an accelerator, too, whether they are there."""
        if self.device.type != "cpu":
            return self._index.numbers_on(ids_B.to(self.device), view_B.to(self.device))
        ids, view = _host(ids_B), _host(view_B)
        number_B = self._index.numbers(ids, view)
        if number_B is None:
            self._refuse(ids, view)
        return torch.from_numpy(number_B), None

    def _read(self, ids_B: Tensor, view_B: Tensor) -> Answers:
        return _on(self._mapped.read(*self._known(ids_B, view_B), pinned=self.device.type == "cuda"), self.device)

    def _known(self, ids_B: Tensor, view_B: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The examples' places among :attr:`ids`, and the views, for the host; refused where an answer is not there."""
        ids, view = _host(ids_B), _host(view_B)
        place_B = self._index.places(ids, view)
        if place_B is None:
            self._refuse(ids, view)
        return place_B, view

    def _refuse(self, ids_B: np.ndarray, view_B: np.ndarray) -> NoReturn:
        self.require(torch.from_numpy(ids_B))
        count_B = self._index.count_N[np.searchsorted(self.ids, ids_B)]
        wrong = int(((view_B < 0) | (view_B >= count_B)).nonzero()[0][0])
        raise BadInput(
            f"the store {self.path} holds views 0 to {int(count_B[wrong]) - 1} of example id {int(ids_B[wrong])}, and "
            f"view {int(view_B[wrong])} was asked for."
        )


def _host(numbers_B: Tensor) -> np.ndarray:
    return numbers_B.cpu().contiguous().numpy()


def _on(answers: Answers, device: torch.device) -> Answers:
    columns = {name: column.to(device, non_blocking=True) for name, column in answers.columns.items()}
    if answers.start_B is None or answers.length_B is None:
        return Answers(columns)
    return Answers(columns, answers.start_B.to(device), answers.length_B.to(device))


def _nan_unless(known_B: Tensor, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.where(known_B.view(-1, *[1] * (tensor.ndim - 1)), math.nan)


def verify(path: Path | str) -> list[str]:
    """Reads every byte of a store; a sentence for each problem, naming the file. Empty: it is whole."""
    return check(Path(path), full=True).problems


def inspect(path: Path | str) -> dict[str, Any]:
    """What a person wants to know of a store. Raises :class:`BadInput` where it is no finished store."""
    path = Path(path)
    store = Store.open(path)
    manifest = store.manifest
    return {
        "path": str(path),
        "examples": len(store),
        "views": store.views,
        "targets": manifest["targets"],
        "classes": store.classes,
        "ragged": store.ragged,
        "codec": manifest["codec"]["name"],
        "codec_settings": manifest["codec"]["settings"],
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
