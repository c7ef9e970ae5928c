"""A text classifier asked once about every row of a tokenised ``datasets.Dataset``; the answers become a store.

Shapes: N examples, B batch, L positions, C classes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor, nn

from .. import progress
from ..data.ids import example_ids
from ..errors import BadInput
from ..files import fingerprint
from ..modalities.text.recipe import WordViews
from ..models.identity import identity
from ..models.inference import device_of, untouched
from ..nlp.tokens import probe_texts
from ..targets.cast import cast
from ..targets.codecs import Codec
from ..targets.store.manifest import StoreIdentity
from ..targets.store.store import Store

EXAMPLE_ID = "example_id"
"""Column of a row's id, int64: what a store knows it by."""
_POSITIVE = (1 << 63) - 1
_AT_ONCE = 1000
_PROBE_LENGTH = 8  # tokens
_CAST_BATCH = 1024  # rows that are sorted by length together


def ask(
    teacher: Any,
    dataset: datasets.Dataset,
    out: str | Path,
    tokenizer: Any,
    *,
    batch_size: int = 64,
    codec: Codec | None = None,
) -> tuple[datasets.Dataset, Store]:
    """Asks ``teacher`` once about every row of ``dataset``, and keeps its answers in the folder ``out``.

    Returns the data set with the column ``example_id`` and the store. The id is a hash of the row's tokens (with an
    ordinal where rows are equal), so it does not depend on the rows' order; a column ``example_id`` of distinct whole
    numbers that is there already is taken as it is. Other columns stay, so the rows can be tokenised again for a student
    with another tokenizer.

    A call that was interrupted goes on where it stopped; a finished store is opened, and the teacher not asked.

    Args:
        teacher: a sequence classifier; it answers where it is, in evaluation mode, and is left as it was.
        dataset: with ``input_ids`` (and ``attention_mask``, ``token_type_ids``) as ``tokenizer`` gives them.
        tokenizer: the teacher's; it pads.
        batch_size: texts that the teacher sees at a time.
        codec: how answers are kept; ``Dense()`` by default.

    Raises:
        BadInput: ``out`` holds the answers of another teacher or to other data; the data is not tokenised; ids repeat;
            the teacher answers with NaN or infinity.
    """
    if not isinstance(dataset, datasets.Dataset) or "input_ids" not in dataset.column_names:
        raise BadInput(
            "ask needs a datasets.Dataset with a column input_ids: tokenise it first (dataset.map(lambda row: "
            "tokenizer(row['text'], truncation=True)))."
        )
    shown = [name for name in tokenizer.model_input_names if name in dataset.column_names]
    rows = dataset.with_format(None).select_columns(shown)
    content_N, length_N = _contents(rows)
    dataset = _with_ids(dataset, content_N)
    ids_N = ids_of(dataset)
    probe = accepted(teacher, probe_texts(teacher.get_input_embeddings().num_embeddings, _PROBE_LENGTH))
    known: StoreIdentity = {
        "classes": teacher.config.num_labels,
        "data": _fingerprint(ids_N, content_N, shown),
        "teacher": identity(teacher, probe),
        "preprocess": None,
        "precision": str(next(teacher.parameters()).dtype).removeprefix("torch."),
        "views": WordViews().model_dump(mode="json"),
        "view_seed": 0,
    }

    def answer(index_B: Tensor, view: int) -> Tensor:
        del view  # there is one: the text as it is
        by_length_B = index_B[length_N[index_B].argsort(stable=True)]  # little padding
        parts = [_logits(teacher, tokenizer, rows, part_B) for part_B in by_length_B.split(batch_size)]
        return torch.cat(parts)[length_N[index_B].argsort(stable=True).argsort()]

    labels = [str(teacher.config.id2label[place]) for place in range(teacher.config.num_labels)]
    with progress.bar(len(dataset), "asking the teacher") as advance, untouched(teacher):
        store = cast(
            Path(out),
            known,
            ids_N,
            1,
            answer,
            codec=codec,
            batch_size=_CAST_BATCH,
            measured={"labels": labels},
            progress=advance,
        )
    return dataset, store


def ids_of(dataset: Any) -> Tensor:
    """The column ``example_id`` (N,) int64. Raises ``BadInput`` where there is none, or it does not hold whole numbers."""
    missing = (
        f"the training data has no column {EXAMPLE_ID}, by which a store of soft targets knows its rows: take the data set "
        "that limbeck.trainer.ask returns."
    )
    if isinstance(dataset, datasets.Dataset):
        if EXAMPLE_ID not in dataset.column_names:
            raise BadInput(missing)
        ids = dataset.select_columns([EXAMPLE_ID]).with_format("arrow")[:][EXAMPLE_ID].to_numpy()
    elif hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
        rows = (dataset[row] for row in range(len(dataset)))
        try:
            ids = np.array([int(row[EXAMPLE_ID]) for row in rows], dtype=np.int64)
        except (KeyError, TypeError, IndexError) as error:
            raise BadInput(missing) from error
    else:
        raise BadInput(
            "the rows of a streaming data set cannot be looked up before training: with a store of soft targets, give one "
            "that has a length."
        )
    if ids.dtype.kind not in "iu":
        raise BadInput(f"column {EXAMPLE_ID} holds {ids.dtype}, and ids are whole numbers (int64): name it otherwise.")
    return torch.from_numpy(ids.astype(np.int64))


def accepted(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Those inputs that the model's ``forward`` takes; labels are none of its business."""
    parameters = inspect.signature(model.forward).parameters
    known = set(parameters) - {"labels"}
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    given = {"input_ids", "attention_mask"} if takes_any else set()
    return {name: value for name, value in inputs.items() if name in known | given}


def _contents(rows: datasets.Dataset) -> tuple[Tensor, Tensor]:
    """A hash (N,) int64 of each row's tokens, padding left out, and how many there are."""
    contents, lengths = [], []
    batch: Any
    for batch in rows.iter(_AT_ONCE):
        masks = batch.get("attention_mask", [None] * len(batch["input_ids"]))
        for tokens, mask in zip(batch["input_ids"], masks, strict=True):
            there = np.asarray(tokens, np.int64)
            there = there if mask is None else there[np.asarray(mask, bool)]
            contents.append(
                int.from_bytes(hashlib.blake2b(there.tobytes(), digest_size=8).digest(), "little") & _POSITIVE
            )
            lengths.append(len(there))
    return torch.tensor(contents, dtype=torch.int64), torch.tensor(lengths, dtype=torch.int64)


def _with_ids(dataset: datasets.Dataset, content_N: Tensor) -> datasets.Dataset:
    """The data set with the column, which its format, where it has one, shows."""
    if EXAMPLE_ID in dataset.column_names:
        return dataset
    kind = dataset.format
    dataset = dataset.add_column(EXAMPLE_ID, example_ids(content_N, None).numpy())  # type: ignore[call-arg]
    columns = None if kind["type"] is None else [*kind["columns"], EXAMPLE_ID]
    return dataset.with_format(kind["type"], columns=columns, **kind["format_kwargs"])


def _fingerprint(ids_N: Tensor, content_N: Tensor, shown: list[str]) -> str:
    """That of ids and tokens, in the order of the ids."""
    order_N = ids_N.argsort()
    hashed = hashlib.sha256(torch.stack([ids_N[order_N], content_N[order_N]]).numpy().tobytes()).hexdigest()
    return fingerprint({"rows": hashed, "inputs": shown})


def _logits(teacher: Any, tokenizer: Any, rows: datasets.Dataset, index_B: Tensor) -> Tensor:
    batch = tokenizer.pad(rows[index_B.tolist()], return_tensors="pt")
    inputs = {name: value.to(device_of(teacher)) for name, value in accepted(teacher, batch).items()}
    return teacher(**inputs).logits.float()
