"""An ONNX file that classifies texts, as a module, with the tokenizer and the labels that lie beside it.

Shapes: B texts, L tokens, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput, shown
from ...models.labels import listed, map_labels, same_name, unnamed
from ...models.onnx_file import OnnxFile
from ...models.outputs import of_one_logit
from ...models.places import check_onnx
from ...nlp.locate import locate_tokenizer
from ...nlp.pairs import SEGMENTS
from ...nlp.tokenizer_file import load_tokenizer_file
from .recipe import TextOnnxTeacher

_WHOLE = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_NEEDED = ("input_ids", "attention_mask")


class TextOnnx(OnnxFile):
    """Logits (B, C), float32, of ``input_ids`` and ``attention_mask`` (B, L), from ONNX Runtime on the CPU.

    Tokens may be on any device, where the answer is too. ``token_type_ids`` are read where the file asks for them, and are
    0 where none are given. A file made for a fixed number or length of texts is given so many, filled up. ``order`` says
    which of its outputs is the logit of which class; None: in their places.

    Raises:
        BadInput: as :class:`OnnxFile`, and where the file takes other inputs than these.
    """

    order: tuple[int, ...] | None = None

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        super().__init__(path, threads=threads)
        given = {one.name: one for one in self.session.get_inputs()}
        if not set(_NEEDED) <= given.keys() <= {*_NEEDED, SEGMENTS}:
            raise BadInput(
                f"{path} takes {', '.join(given) or 'nothing'}; a classifier of texts takes {' and '.join(_NEEDED)}, and "
                f"perhaps {SEGMENTS}."
            )
        for name, one in given.items():
            if one.type not in _WHOLE or len(one.shape) != 2:
                raise BadInput(f"{path} takes '{name}', {one.type}; whole numbers (batch, length) are needed.")
        self._types = {name: _WHOLE[one.type] for name, one in given.items()}
        sides = [one.shape for one in given.values()]
        self.batch, self.length = (
            next((shape[k] for shape in sides if isinstance(shape[k], int)), None) for k in (0, 1)
        )  # None: any
        self.longest = min((length for length in (self.length, self._said_length()) if length), default=None)

    @property
    def segments(self) -> bool:
        """Whether it reads segment ids."""
        return SEGMENTS in self._types

    @property
    def timed_as_it_is(self) -> bool:
        """Whether texts of any length can be made up for it."""
        return self.batch is None and self.length is None and set(self._types.values()) == {np.int64}

    @property
    def said_input(self) -> Mapping[str, Any]:
        """What a file that Limbeck exported says of its input; empty for others."""
        said = self.metadata.get("input", {})
        if not isinstance(said, dict):
            raise self.unusable("input is no section of fields")
        return said

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _again, (str(self.path), self.threads, self.two_classes, self.order)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        device = input_ids.device
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.segments:
            given[SEGMENTS] = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        arrays = {name: value.detach().cpu().numpy() for name, value in given.items()}
        at_once = self.batch or max(1, len(input_ids))
        parts = [
            self._run({name: value[start : start + at_once] for name, value in arrays.items()})
            for start in range(0, max(1, len(input_ids)), at_once)
        ]
        logits_BC = self.as_logits(torch.cat(parts).to(device))
        return logits_BC if self.order is None else logits_BC[:, list(self.order)]

    def _run(self, given: Mapping[str, np.ndarray]) -> Tensor:
        count, length = given["input_ids"].shape
        more = ((0, (self.batch or count) - count), (0, max(0, (self.length or length) - length)))
        inputs = {
            name: np.ascontiguousarray(np.pad(np.pad(value, (more[0], (0, 0)), mode="edge"), ((0, 0), more[1])))
            for name, value in given.items()
        }
        inputs = {name: value.astype(self._types[name], copy=False) for name, value in inputs.items()}
        about = f"{count} text(s) of {length} tokens (is its tokenizer the one that it was made with?)"
        return self.run(inputs, about, "")[:count]

    def _said_length(self) -> int | None:
        """The longest input that its metadata name."""
        said = self.said_input.get("max_length")
        if said is not None and (type(said) is not int or not 1 <= said <= 1_000_000):
            raise self.unusable(f"input.max_length is {shown(said)}, not a whole number from 1 to 1,000,000")
        return said


def _again(path: str, threads: int | None, two_classes: bool, order: tuple[int, ...] | None) -> TextOnnx:
    model = TextOnnx(path, threads=threads)
    model.two_classes, model.order = two_classes, order
    return model


def tokenizer_beside(section: TextOnnxTeacher, role: str = "teacher") -> Any:
    """The tokenizer of a file: the one that the recipe names, or ``tokenizer.json`` beside it.

    Raises :class:`BadInput` where there is none.
    """
    path = Path(section.onnx).expanduser()
    check_onnx(path, role)
    place = locate_tokenizer(section.tokenizer, path, role=role)
    return load_tokenizer_file(place, section.tokenizer or str(place), role=role)


def onnx_classifier(
    section: TextOnnxTeacher, classes: Sequence[str], *, vocabulary: int, multi_label: bool, role: str
) -> tuple[TextOnnx, list[str]]:
    """The file as a classifier whose logits stand in the order of the data's ``classes``, and what was taken for granted.

    Its labels are named by its metadata, where Limbeck exported it, or by the ``config.json`` beside it; else they are
    taken in the data's order. ``vocabulary``: how many tokens its tokenizer knows.

    Raises:
        BadInput: it is no classifier of texts, is of other labels, or of another vocabulary.
    """
    try:
        model = TextOnnx(Path(section.onnx).expanduser())
        _check_metadata(model, vocabulary, multi_label)
    except BadInput as error:
        raise BadInput(f"{role}: {error}") from None
    names, kind = _said_labels(model)
    wanted = "multi_label_classification" if multi_label else "single_label_classification"
    one = model.answers == 1 and len(classes) == 2 and not multi_label
    if kind is not None and kind != wanted and not one:
        raise BadInput(
            f"{role}: config.json beside {model.path.name} says {kind}, the data's labels are "
            f"{'several' if multi_label else 'one'} a text ({wanted})."
        )
    if model.ends_in_softmax and multi_label:
        raise BadInput(
            f"{role}: {model.path} ends in a softmax, which names one label of several, and the data's texts may have several."
        )
    notes = []
    if one:
        model.two_classes = True
        model.order = (1, 0) if names and same_name(names[0], classes[0]) else (0, 1)
        notes.append(of_one_logit(role, tuple(classes[at] for at in model.order)))
        return model, notes
    if names is not None:
        try:
            order, note = map_labels(names, classes, role=role)
        except BadInput as error:
            raise BadInput(f"{error} ({model.path})") from None
        model.order = None if order == tuple(range(len(classes))) else order
        notes += [note] if note else []
    elif not unnamed(classes):
        notes.append(
            f"Nothing says which label each output of {section.title} stands for: they are taken to be {listed(classes, 5)}, "
            "in this order."
        )
    if model.ends_in_sigmoid and not multi_label:
        notes.append(
            f"{section.onnx} ends in a sigmoid, a yes or no for each label: what stands before it is taken for the logits of "
            "one label among all."
        )
    return model, notes


def _said_labels(model: TextOnnx) -> tuple[list[str] | None, str | None]:
    """The labels that a file names, in the order of its outputs, and the kind of problem, where anything says so."""
    if (classes := model.metadata.get("classes")) is not None:
        return list(classes), None  # of which kind is in the metadata too, and has been checked
    try:
        config = json.loads((model.path.parent / "config.json").read_text(encoding="utf-8"))
        names = {int(output): str(name) for output, name in config["id2label"].items()}
        kind = config.get("problem_type")
        return [names[output] for output in range(len(names))], kind if isinstance(kind, str) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None  # nothing there, or nothing that says so


def _check_metadata(model: TextOnnx, vocabulary: int, multi_label: bool) -> None:
    """Raises :class:`BadInput` where what a file says of itself makes no sense, or is not of such texts."""
    said = model.metadata
    if not said:
        return
    if (task := said.get("task")) != "text-classification":
        raise model.unusable(f"its task is {shown(task)}, and it takes texts")
    classes = said.get("classes")
    if classes is not None:
        if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
            raise model.unusable("classes must be a list of names")
        if model.answers not in (None, len(classes)):
            raise model.unusable(f"it names {len(classes)} classes, and the file answers {model.answers}")
    known = model.said_input.get("vocabulary")
    if known is not None and known != vocabulary:
        raise BadInput(
            f"{model.path} was made for a tokenizer of {shown(known)} tokens, and the one here knows {vocabulary}: take the "
            "tokenizer that lay beside it."
        )
    if said.get("multi_label", multi_label) is not multi_label:
        raise BadInput(
            f"{model.path} was made for {'one label' if multi_label else 'several labels'} a text, and the data has "
            f"{'several' if multi_label else 'one'}."
        )
