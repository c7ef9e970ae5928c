"""What ``limbeck.distill`` makes of the modules, texts and data sets that a Python program holds."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor, nn

from ...data.ids import Text
from ...errors import BadInput, short
from ...models.weights import load_weights
from ...nlp.columns import inner_of
from ...nlp.extra import transformers
from ...nlp.folder import quiet, sentences_of
from ...nlp.pairs import are_pairs
from ...nlp.tokenizer_file import load_tokenizer_file
from ...nlp.vocabulary import FromTeacherIds, inner, smaller_tokenizer
from ...objectives.modules import KD, CrossEntropy, Objective
from . import small as small  # tells transformers of Limbeck's own classes
from .columns import find_text_columns
from .examples import TextSplits
from .load import load_texts
from .predict import Metadata, open_tokenizer
from .recipe import OwnTextRecipe, OwnTextStudent, TextData, TextRecipe, TextTeacher, TextTransfer
from .teachers import segments_of
from .usable import Classifier

RECIPES = {"text-classification": OwnTextRecipe}
OWN = {"text-classification": ("tokenizer", "max_length")}
"""Arguments of ``limbeck.distill`` that are of a task alone."""

# What sentences about a recipe call a thing, and what it is called there.
ARGUMENTS = (
    (r"\bdata\.max_length\b", "max_length"),
    (r"name one with data\.(text|label)\b", "keep one alone (select_columns)"),
    (r", or set data\.on_empty: skip to leave such texts out", ""),
    (r" \(data\.text: [^)]*\)", ""),
    (
        r" Two that belong together are read as pairs: data\.text: \[FIRST, SECOND\]\.",
        " Pairs are given as a list of pairs.",
    ),
)
_SIDES = ("first", "second")

Given = Any
"""A ``datasets.Dataset``; ``(texts, labels)``; or a list or map-style data set of ``(text, label)``."""


def splits_of(
    train: Given,
    validation: Given | None,
    test: Given | None,
    *,
    recipe: TextRecipe,
    transfer: Any,
    classes: Sequence[str] | None,
    tokenizer: Any = None,
    max_length: int | None = None,
) -> TextSplits:
    """The splits of texts that are at hand, in the tokens of ``tokenizer``.

    A data set has a column of texts and one of labels, which are found by type and name. Labels are class numbers, names,
    or lists of them where a text may have several. Texts may be pairs of texts.

    Raises:
        BadInput: there is no tokenizer, or the data cannot be read; says why.
    """
    del max_length  # of the recipe
    if not callable(tokenizer) or not hasattr(tokenizer, "get_vocab"):
        raise BadInput(
            "tokenizer must be given for texts: the teacher's, such as transformers.AutoTokenizer.from_pretrained(folder)."
        )
    for name, other in (("validation", validation), ("test", test)):
        if other is not None and other is train:
            raise BadInput(f"{name} is the training data itself: give other examples, or None to carve it.")
    rows = {"train": _rows(train, "train", classes)}
    for name, given in (("validation", validation), ("test", test)):
        if given is not None:
            rows[name] = _rows(given, name, classes)
    if transfer is not None:
        rows["transfer"] = _unlabelled(transfer)
    pair = set(_SIDES) <= set(rows["train"].column_names)
    known = {
        "validation": "validation" if validation is not None else None,
        "text": _SIDES if pair else None,
        "transfer": None if transfer is None else TextTransfer(name="python", split="transfer"),
    }
    return load_texts(recipe.data.model_copy(update=known), tokenizer, at_hand=rows)


def usual_objective(task: str) -> Objective:
    """What a student is asked to match where nothing is said."""
    del task
    return 0.9 * KD(temperature=4.0) + 0.1 * CrossEntropy()


def fresh(student: nn.Module, splits: TextSplits) -> nn.Module:
    """A student that a function has just made, as it is."""
    del splits
    return student


def sections_of(
    teacher: str,
    student: str,
    *,
    validation_fraction: float,
    transfer: bool,
    tokenizer: Any = None,
    max_length: int | None = None,
) -> dict[str, Any]:
    """The sections of the recipe that describe data and models."""
    del tokenizer  # the fingerprint of the data covers its tokens
    length = {} if max_length is None else {"max_length": max_length}
    source = {"transfer": TextTransfer(name="python")} if transfer else {}
    return {
        "data": TextData(name="python", validation_fraction=validation_fraction, **length, **source),
        "teacher": TextTeacher(model=teacher),
        "student": OwnTextStudent(model=student),
    }


def usable(model: nn.Module, splits: TextSplits) -> Classifier:
    """The trained student, which takes texts as they are."""
    tokenizer = splits.tokenizer
    if isinstance(model, FromTeacherIds):
        tokenizer = smaller_tokenizer(tokenizer, model.kept_ids)
    made = Classifier(
        inner(model),
        tokenizer,
        classes=splits.classes,
        max_length=splits.max_length,
        multi_label=splits.multi_label,
        segments=bool(segments_of(model, splits)),
    )
    return made.eval()


def load(folder: Path, metadata: Metadata, *, model: nn.Module | None, trust_code: bool) -> Classifier:
    """The student that a folder holds, of whose exported model these are the ``metadata``; ``trust_code`` is for nothing."""
    own = not (folder / "config.json").is_file()
    if own and model is None:
        raise BadInput(
            f"{folder} holds weights of a person's own class: give a module of it, limbeck.load(..., model=MyModel())."
        )
    try:
        open_tokenizer(folder / metadata.tokenizer, metadata)
    except ValueError as error:  # predict stands alone, so it knows no errors of ours
        raise BadInput(str(error)) from None
    name, weights = str(folder), folder / "model.safetensors"
    with quiet(), sentences_of(name, "student"):
        tokenizer: Any = load_tokenizer_file(folder, name, role="student")
        if model is None:
            model, about = transformers.AutoModelForSequenceClassification.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
            if missing := sorted(about["missing_keys"]):
                raise BadInput(
                    f"student: {weights} lacks '{missing[0]}', {len(missing)} of the model's weights in all: copy or download it again."
                )
        else:
            model = copy.deepcopy(model)
            load_weights(model, weights, "student")
    assert model is not None
    made = Classifier(
        model,
        tokenizer,
        classes=metadata.classes,
        max_length=metadata.max_length,
        multi_label=metadata.multi_label,
        segments=metadata.segments,
    )
    return made.eval()


def _rows(given: Given, split: str, classes: Sequence[str] | None) -> datasets.Dataset:
    """Rows of texts and labels, the labels' classes named where ``classes`` names them."""
    rows = _listed(given, split) if not isinstance(given, datasets.Dataset) else given
    if classes is None:
        return rows
    pair = _SIDES if set(_SIDES) <= set(rows.column_names) else None
    label = find_text_columns(rows.features, pair, None).label
    assert isinstance(label, str)
    kind: Any = datasets.ClassLabel(names=[str(name) for name in classes])
    several = inner_of(rows.features[label]) is not None
    bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        return rows.cast_column(label, datasets.List(kind) if several else kind)
    except Exception as error:  # pyarrow and datasets have a class for each way to fail
        raise BadInput(f"{split}: its labels are not those of classes ({short(error)}).") from error
    finally:
        if bars:
            datasets.enable_progress_bars()


def _listed(given: Given, split: str) -> datasets.Dataset:
    if isinstance(given, (datasets.DatasetDict, datasets.IterableDataset, datasets.IterableDatasetDict)):
        raise BadInput(f"{split} is a {type(given).__name__}: give one split of it, a datasets.Dataset.")
    if isinstance(given, Mapping):
        raise BadInput(f"{split} is a mapping: give (texts, labels), or datasets.Dataset.from_dict(...).")
    if isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], str):
        texts, labels = list(given[0]), given[1]
        labels = labels.tolist() if isinstance(labels, (np.ndarray, Tensor)) else list(labels)
    elif hasattr(given, "__len__") and hasattr(given, "__getitem__"):
        items = [given[row] for row in range(len(given))]
        if not all(isinstance(item, (tuple, list)) and len(item) == 2 for item in items):
            raise BadInput(f"{split}: each item must be (text, label).")
        texts, labels = [item[0] for item in items], [item[1] for item in items]
    else:
        raise BadInput(
            f"{split} is of type {type(given).__name__}: it must be a datasets.Dataset, (texts, labels), or a list of (text, label)."
        )
    if len(texts) != len(labels):
        raise BadInput(f"{split} has {len(texts)} texts and {len(labels)} labels: it needs one for each.")
    labels = [label.tolist() if isinstance(label, (np.generic, np.ndarray, Tensor)) else label for label in labels]
    return _table(texts, {"label": labels}, split)


def _unlabelled(given: Any) -> datasets.Dataset:
    if isinstance(given, datasets.Dataset):
        return given
    if isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], str):
        given = given[0]  # whatever labels stand beside them
    return _table(list(given), {}, "transfer")


def _table(texts: Sequence[Text], more: Mapping[str, list[Any]], split: str) -> datasets.Dataset:
    if not texts:
        raise BadInput(f"split '{split}' is empty: it needs at least one example.")
    columns: dict[str, list[Any]] = {"text": list(texts)}
    if are_pairs(texts):
        wrong = next((row for row, pair in enumerate(texts) if isinstance(pair, str) or len(pair) != 2), None)
        if wrong is not None:
            raise BadInput(f"split '{split}', row {wrong}: a pair of texts is needed, as in the rows before.")
        columns = {side: [pair[k] for pair in texts] for k, side in enumerate(_SIDES)}
    for name, column in columns.items():
        wrong = next((row for row, text in enumerate(column) if not isinstance(text, str)), None)
        if wrong is not None:
            raise BadInput(
                f"split '{split}', row {wrong}: the {name} is {str(column[wrong])[:60]!r}, which is no text."
            )
    try:
        return datasets.Dataset.from_dict({**columns, **more})
    except Exception as error:  # pyarrow has a class for each way to fail
        raise BadInput(
            f"{split}: its labels are of several kinds ({short(error)}): give numbers, names, or lists of them."
        ) from error
