"""A smaller vocabulary: the tokens that the data uses, a tokenizer of their own, and the way there from teacher ids.

Texts are tokenised once, with the teacher's tokenizer, for teacher and students alike. A student with fewer tokens is
therefore trained as :class:`FromTeacherIds`, which looks its own ids up (a token that it lacks becomes its unknown
token); by itself it comes with a tokenizer that gives its own ids. Both agree on every text whose tokens are all kept:
WordPiece takes the longest piece that it knows, and that piece is there still. On other texts the tokenizer may find
shorter pieces where the look-up gives the unknown token; :func:`unknown_share` counts both.

Shapes: B texts, L tokens, V the teacher's vocabulary, K the tokens kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.ids import Text
from ..errors import BadInput
from ..files import write_json
from .extra import tokenizers, transformers
from .pairs import sides

FILE = "teacher_vocabulary.json"
_BATCH = 1000


class FromTeacherIds(nn.Module):
    """A student called with the teacher's token ids.

    The look-up of tokens is part of its state: weights of another vocabulary do not load.
    """

    kept_ids: Tensor
    own_ids: Tensor

    def __init__(self, model: nn.Module, kept_ids_K: Tensor, *, teacher_tokens: int, unknown: int) -> None:
        """``kept_ids_K`` ascend; ``unknown`` is the student's own id for tokens that it lacks."""
        super().__init__()
        self.model = model
        self.teacher_tokens, self.unknown = teacher_tokens, unknown
        own_ids_V = torch.full((teacher_tokens,), unknown, dtype=torch.int64)
        own_ids_V[kept_ids_K] = torch.arange(len(kept_ids_K))
        self.register_buffer("kept_ids", kept_ids_K.clone())
        self.register_buffer("own_ids", own_ids_V, persistent=False)

    @property
    def config(self) -> Any:
        """The configuration of the student within."""
        return self.model.config

    def forward(self, input_ids: Tensor, **others: Any) -> Any:
        """The student's answer to teacher ids (B, L)."""
        return self.model(input_ids=self.own_ids[input_ids], **others)


def inner(model: nn.Module) -> Any:
    """The model that takes its own ids: the one within :class:`FromTeacherIds`, or ``model`` itself."""
    return model.model if isinstance(model, FromTeacherIds) else model


def write(model: FromTeacherIds, folder: Path) -> None:
    """Writes which of the teacher's tokens the student keeps, beside its weights."""
    facts = {"teacher_tokens": model.teacher_tokens, "unknown": model.unknown, "kept_ids": model.kept_ids.tolist()}
    write_json(folder / FILE, facts)


def from_teacher_ids(model: nn.Module, folder: str | Path) -> nn.Module:
    """``model``, loaded from ``folder``, as it is called with teacher ids: itself where it has the whole vocabulary.

    Raises:
        BadInput: the folder's list of tokens is damaged, or not this model's.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return model
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        tokens, unknown = int(facts["teacher_tokens"]), int(facts["unknown"])
        kept_ids_K = torch.tensor(facts["kept_ids"], dtype=torch.int64)
        rows = inner(model).get_input_embeddings().num_embeddings
        whole = (
            kept_ids_K.shape == (rows,)
            and bool((kept_ids_K.diff() > 0).all())
            and 0 <= int(kept_ids_K[0]) <= int(kept_ids_K[-1]) < tokens
            and 0 <= unknown < rows
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BadInput(
            f"{path} cannot be read ({' '.join(str(error).split())[:200]}); save the student again."
        ) from error
    if not whole:
        raise BadInput(f"{path} does not list the tokens of the model beside it; save the student again.")
    return FromTeacherIds(model, kept_ids_K, teacher_tokens=tokens, unknown=unknown)


def count_tokens(tokenizer: Any, texts: Sequence[Text]) -> Tensor:
    """How often each token of the vocabulary stands in ``texts``, untruncated: (V,) int64."""
    counts_V = torch.zeros(len(tokenizer), dtype=torch.int64)
    for ids in _token_ids(tokenizer, texts):
        counts_V += torch.bincount(torch.tensor([i for row in ids for i in row]), minlength=len(counts_V))
    return counts_V


def kept_tokens(tokenizer: Any, counts_V: Tensor, *, min_count: int = 1) -> Tensor:
    """Ids of the tokens seen at least ``min_count`` times, and of all special and added ones, ascending: (K,) int64."""
    if min_count < 1:
        raise BadInput(f"vocabulary: min_count is {min_count}; it must be 1 or more.")
    keep_V = counts_V >= min_count
    for token in (*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()):
        keep_V[token] = True
    return keep_V.nonzero().flatten()


def smaller_tokenizer(tokenizer: Any, kept_ids_K: Tensor) -> Any:
    """A tokenizer whose token k is the ``kept_ids_K[k]`` of ``tokenizer``; all else about it stays.

    Raises:
        BadInput: ``tokenizer`` is not a fast WordPiece tokenizer. Pieces of other kinds are made by merging or by
            likelihood, and do not stay the same where some are taken out.
    """
    state = _wordpiece(tokenizer)
    own = {teacher: index for index, teacher in enumerate(kept_ids_K.tolist())}
    pieces = state["model"]["vocab"]
    state["model"]["vocab"] = {token: own[index] for token, index in pieces.items() if index in own}
    for added in state["added_tokens"]:
        added["id"] = own[added["id"]]
    state["post_processor"] = _with_own_ids(state["post_processor"], own)
    state["padding"] = state["truncation"] = None

    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(json.dumps(state)),
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        **tokenizer.special_tokens_map,
    )


def unknown_share(tokenizer: Any, smaller: Any, kept_ids_K: Tensor, texts: Sequence[Text]) -> dict[str, Any]:
    """What a smaller vocabulary loses on ``texts``.

    Returns ``texts``, ``tokens`` and ``tokens_after`` (as each tokenizer counts, special ones included), the shares of
    tokens that are unknown: ``unknown_before`` (to the teacher), ``unknown_looked_up`` (as a student is trained),
    ``unknown_after`` (to its own tokenizer); and ``same``, the share of texts on which look-up and own tokenizer agree.
    """
    own_ids = {teacher: index for index, teacher in enumerate(kept_ids_K.tolist())}
    before, after = tokenizer.unk_token_id, smaller.unk_token_id
    tokens = tokens_after = unknown_before = unknown_looked_up = unknown_after = same = 0
    for theirs, ours in zip(_token_ids(tokenizer, texts), _token_ids(smaller, texts)):
        for teacher_ids, ids in zip(theirs, ours):
            looked_up = [own_ids.get(token, after) for token in teacher_ids]
            tokens, tokens_after = tokens + len(teacher_ids), tokens_after + len(ids)
            unknown_before += teacher_ids.count(before)
            unknown_looked_up += looked_up.count(after)
            unknown_after += ids.count(after)
            same += looked_up == ids
    return {
        "texts": len(texts),
        "tokens": tokens,
        "tokens_after": tokens_after,
        "unknown_before": unknown_before / max(tokens, 1),
        "unknown_looked_up": unknown_looked_up / max(tokens, 1),
        "unknown_after": unknown_after / max(tokens_after, 1),
        "same": same / max(len(texts), 1),
    }


def _token_ids(tokenizer: Any, texts: Sequence[Text]) -> Iterator[list[list[int]]]:
    for start in range(0, len(texts), _BATCH):
        some = sides(texts[start : start + _BATCH])
        yield tokenizer(*some, return_attention_mask=False, truncation=False, padding=False, verbose=False)["input_ids"]


def _wordpiece(tokenizer: Any) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = json.loads(backend.to_str()) if backend is not None else {"model": {"type": "slow"}}
    kind = state["model"]["type"]
    if kind != "WordPiece" or tokenizer.unk_token_id is None:
        raise BadInput(
            f"vocabulary: the teacher's tokenizer is of the kind {kind}, and tokens can be taken out of a WordPiece "
            "tokenizer with an unknown token alone (BERT's, DistilBERT's): keep all."
        )
    return state


def _with_own_ids(processor: dict[str, Any] | None, own: dict[int, int]) -> dict[str, Any] | None:
    """The step that puts special tokens round a text, with the new ids in the place of the old."""
    if processor is None:
        return None
    kind = processor["type"]
    if kind == "TemplateProcessing":
        for special in processor["special_tokens"].values():
            special["ids"] = [own[index] for index in special["ids"]]
    elif kind in ("BertProcessing", "RobertaProcessing"):
        for place in ("sep", "cls"):
            token, index = processor[place]
            processor[place] = [token, own[index]]
    elif kind == "Sequence":
        processor["processors"] = [_with_own_ids(step, own) for step in processor["processors"]]
    elif kind != "ByteLevel":
        raise BadInput(f"vocabulary: the tokenizer's {kind} cannot be renumbered: keep all tokens.")
    return processor
