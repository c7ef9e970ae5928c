"""A sequence classifier for the data's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import BadInput
from ...models.labels import LabelMap, map_labels
from ...models.seeding import seeded
from ...nlp.extra import transformers
from ...nlp.folder import (
    SPARE_ROWS,
    check_tokenizer,
    locate,
    longest_input,
    quiet,
    sentences_of,
    source_of,
    tokenizer_of,
)
from .head import of_two_outputs, reorder


@dataclass(frozen=True)
class TextModel:
    """A sequence classifier whose logits (B, C) stand in the order of the data's classes."""

    model: transformers.PreTrainedModel
    tokenizer: Any  # transformers.PreTrainedTokenizerBase
    ready: bool  # whether its head was in the file; otherwise the head is fresh and must be trained
    max_length: int  # the longest input in tokens, special ones included
    notes: tuple[str, ...]  # what had to be taken for granted, as sentences


def load_classifier(
    name: str, classes: Sequence[str], *, seed: int = 0, multi_label: bool = False, role: str = "teacher"
) -> TextModel:
    """The classifier called ``name`` for the data's ``classes``, in float32 on the CPU, in eval mode.

    ``name`` is a local folder, ``package:some_package/sub/folder`` (a folder inside an installed package, which is
    not imported), or a name on the Hugging Face hub. A head for the task is one whose weights are in the file: its
    outputs are put into the order of ``classes``, matched by name; where it has one output for two classes, that is made
    two. A model without one gets a fresh head, initialised
    from ``seed`` alone, and comes with ``ready=False``.

    Raises:
        BadInput: there is no such model, its weights are pickled or damaged, it needs code of its own, its labels
            are not the data's, or its tokenizer is not its own.
    """
    place = locate(name, role=role)
    with quiet(), sentences_of(name, role), source_of(place):
        config: Any = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
        model, missing = _load(place, config, seed)
        _check_whole(missing, model, name, role)
        tokenizer = tokenizer_of(place, name, role)
        notes: list[str] = []
        if missing:
            config.num_labels = len(classes)
            config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
            model, _ = _load(place, config, seed)
        else:
            notes += fit_head(model, classes, multi_label=multi_label, role=role)
    model.config.id2label = dict(enumerate(classes))
    model.config.label2id = {name: index for index, name in enumerate(classes)}
    check_tokenizer(model, tokenizer, role=role)
    rows, known = model.get_input_embeddings().num_embeddings, len(tokenizer)
    if rows - known > max(SPARE_ROWS, rows // 50):
        notes.append(
            f"The {role} has embeddings for {rows:,} tokens and its tokenizer knows {known:,}: if that tokenizer is of another "
            "vocabulary, its answers mean nothing."
        )
    return TextModel(model.eval(), tokenizer, not missing, longest_input(model, tokenizer), tuple(notes))


def fit_head(model: Any, classes: Sequence[str], *, multi_label: bool, role: str) -> list[str]:
    """Brings the outputs of a classifier that has a head into the order of ``classes``; what was taken for granted.

    Raises:
        BadInput: its labels are not the data's.
    """
    config = model.config
    if config.num_labels == 1 and len(classes) == 2 and not multi_label:
        return [of_two_outputs(model, classes, role)]
    _check_kind(config, multi_label, role)
    order, note = _mapped([str(config.id2label[output]) for output in range(config.num_labels)], classes, role)
    reorder(model, order, role)
    return [note] if note else []


def _load(place: str, config: Any, seed: int) -> tuple[Any, set[str]]:
    """The classifier, and the names of the weights that its file lacks and that are therefore fresh."""
    with seeded(seed):
        model, facts = transformers.AutoModelForSequenceClassification.from_pretrained(
            place,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
        )
    return model, set(facts["missing_keys"])


def _check_whole(missing: set[str], model: Any, name: str, role: str) -> None:
    """The head may be missing, with the layer that gathers the sequence for it; nothing else may."""
    body = f"{model.base_model_prefix}."
    lost = sorted(key for key in missing if key.startswith(body) and "pooler" not in key)
    if lost:
        raise BadInput(
            f"{role}: the weights of {name} are not those of a {type(model).__name__}: '{lost[0]}' is missing, "
            f"{len(lost)} in all. Is config.json of another model?"
        )


def _check_kind(config: Any, multi_label: bool, role: str) -> None:
    wanted = "multi_label_classification" if multi_label else "single_label_classification"
    if config.problem_type not in (None, wanted):
        raise BadInput(
            f"{role}: config.json says {config.problem_type}, the data's labels are "
            f"{'several' if multi_label else 'one'} a text ({wanted})."
        )
    config.problem_type = wanted


def _mapped(names: Sequence[str], classes: Sequence[str], role: str) -> LabelMap:
    """:func:`map_labels`, which says how to go on where the head is for another number of classes."""
    try:
        return map_labels(names, classes, role=role)
    except BadInput as error:
        if len(names) == len(classes):
            raise
        raise BadInput(
            f"{error} To give it a new head, save its body alone, AutoModel.from_pretrained(folder)"
            ".save_pretrained(new_folder), with the tokenizer's files beside it; then name that folder and give "
            f"{role}.train."
        ) from None
