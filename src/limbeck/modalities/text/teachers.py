"""The teachers that a recipe of texts names: built, held to the data, and made into one where they are several.

Shapes: B texts, L tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...data.ids import Text
from ...errors import BadInput, short
from ...interfaces.modality import Member, Teachers
from ...models.ensemble import Together
from ...models.inference import answered, ask
from ...models.labels import listed, unnamed
from ...models.outputs import ASKED, refuse_probabilities
from ...nlp.folder import check_tokenizer, load_tokenizer
from ...nlp.pairs import encoded, segment_kinds
from ...nlp.segments import segments_read
from ...nlp.tokens import probe_texts
from ...sections.teacher import members_of, seeds_of
from .classifier import fit_head, load_classifier
from .examples import TextSplits
from .onnx_file import TextOnnx, onnx_classifier, tokenizer_beside
from .recipe import TextEnsemble, TextOnnxTeacher, TextRecipe, TextTeacher, made_of
from .task import PROBE_LENGTH

COMPARED = 200  # texts that two tokenizers must cut up alike


class Reading(nn.Module):
    """A member of an ensemble, given what it reads of what all are given: logits (B, C)."""

    def __init__(self, model: nn.Module, *, segments: bool) -> None:
        super().__init__()
        self.model, self.segments = model, segments

    def forward(self, **inputs: Tensor) -> Tensor:
        if not self.segments:
            inputs.pop("token_type_ids", None)
        return answered(self.model, inputs)


def tokenizer_of(recipe: TextRecipe) -> Any:
    """What cuts up the texts of a run: the tokenizer of its teacher, of several that of the first."""
    where, section = members_of(recipe.teacher)[0]
    return _tokenizer(section, _role(where))


def build_teachers(recipe: TextRecipe, splits: TextSplits) -> Teachers:
    """The teachers of a recipe, their starting weights loaded; code is never run.

    Raises :class:`BadInput` where one cannot be built, does not fit the data, or reads other tokens than the first.
    """
    section = recipe.teacher
    if not isinstance(section, TextEnsemble):
        return alone(_member(section, recipe.seed, recipe, splits, "teacher"))
    members: list[Member] = []
    named = zip(members_of(section), seeds_of(section, recipe.seed), strict=True)
    for (where, one), seed in named:
        role = _role(where)
        if members:
            _check_tokens(splits, _tokenizer(one, role), role)
        members.append(_member(one, seed, recipe, splits, role))
    kinds = [segments_of(member.model, splits) for member in members]
    first = made_of(recipe)
    if max(kinds) and first is not None and not kinds[first] and recipe.student.model in ("shrunk", "fresh", "pruned"):
        reading = section.ensemble[kinds.index(max(kinds))].title
        raise BadInput(
            f"teacher.ensemble: {reading} reads the segment ids of pairs, and {section.ensemble[first].title}, whose "
            f"architecture the student has, does not: list {reading} first."
        )
    return together(members, section, kinds, splits)


def fitted(model: nn.Module, section: TextTeacher, seed: int, splits: TextSplits) -> Teachers:
    """A person's own module as the teacher: a transformers model, or any that takes the tokenised batch by name.

    Raises :class:`BadInput` where it does not fit the data.
    """
    notes: list[str] = []
    if hasattr(model, "config") and hasattr(model.config, "id2label"):
        notes += fit_head(model, splits.classes, multi_label=splits.multi_label, role="teacher")
        check_tokenizer(model, splits.tokenizer)
    elif not unnamed(splits.classes):
        notes.append(
            f"Nothing says which class each output of {section.title} stands for: they are taken to be "
            f"{listed(splits.classes, 5)}, in this order."
        )
    check_fits(model, splits, "teacher")
    check_length(model, splits, "teacher")
    doubtful = check_answers(model, splits, "teacher", ready=True)
    return alone(Member(section, seed, model, None, (*notes, *([doubtful] if doubtful else []))))


def alone(member: Member) -> Teachers:
    """A single teacher."""
    return Teachers(member.model, None, (member,), member.notes)


def together(members: Sequence[Member], section: TextEnsemble, kinds: Sequence[int], splits: TextSplits) -> Teachers:
    """An ensemble, each member of which gets what it reads."""
    inner = [Reading(member.model, segments=bool(kind)) for member, kind in zip(members, kinds, strict=True)]
    notes = tuple(dict.fromkeys(note for member in members for note in member.notes))
    model = Together(inner, section.combine, section.weights, label_sets=splits.multi_label)
    return Teachers(model.eval(), None, tuple(members), notes)


def segments_of(model: nn.Module, splits: TextSplits) -> int:
    """How many kinds of segment a model is shown."""
    if splits.pair is None:
        return 0
    if isinstance(model, Together):
        return max(segments_of(member, splits) for member in model.members)
    if isinstance(model, Reading):
        return segments_of(model.model, splits) if model.segments else 0
    if isinstance(model, TextOnnx):
        return segment_kinds(splits.tokenizer) if model.segments else 0
    return segments_read(model, splits.tokenizer)


def check_fits(model: nn.Module, splits: TextSplits, name: str) -> None:
    """Raises :class:`BadInput` where a model does not answer texts with finite logits (B, classes)."""
    inputs = probe_texts(splits.vocabulary.size, PROBE_LENGTH, segments_of(model, splits))
    try:
        answer = ask(model, inputs)
    except BadInput:
        raise
    except Exception as error:  # a model of any kind fails in any way
        said = " ".join(str(error).split())[:240] or type(error).__name__
        raise BadInput(f"the {name} fails on tokens of the data's texts: {said}") from error
    wanted = (len(inputs["input_ids"]), len(splits.classes))
    if not isinstance(answer, Tensor) or answer.shape != wanted:
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise BadInput(f"the {name} answers {wanted[0]} texts with {shape}; {wanted} is what {wanted[1]} classes need.")
    if not bool(torch.isfinite(answer).all()):
        raise BadInput(f"the {name} answers with NaN or infinity: its weights are not usable.")


def check_length(model: nn.Module, splits: TextSplits, name: str) -> None:
    """Raises :class:`BadInput` where a person's own model does not take texts as long as they may be."""
    try:
        ask(model, probe_texts(splits.vocabulary.size, splits.max_length, segments_of(model, splits)))
    except Exception as error:  # a model of any kind fails in any way
        raise BadInput(
            f"the {name} fails on texts of data.max_length: {splits.max_length} tokens ({short(error)}); give fewer."
        ) from error


def check_answers(teacher: nn.Module, splits: TextSplits, name: str, *, ready: bool) -> str | None:
    """A sentence where a teacher's answers to some texts are in doubt. Raises :class:`BadInput` for probabilities."""
    answers = []
    for of in (splits.validation, splits.train):
        tokens_BL, there_BL = of.padded(of.ids.argsort()[: ASKED // 2], splits.vocabulary.pad)
        answers.append(ask(teacher, {"input_ids": tokens_BL, "attention_mask": there_BL.long()}).float().cpu())
    return refuse_probabilities(torch.cat(answers), name, several=splits.multi_label, ready=ready)


def _role(where: str) -> str:
    return "teacher" if where == "teacher" else f"teacher in {where}"


def _tokenizer(section: TextTeacher | TextOnnxTeacher, role: str) -> Any:
    if isinstance(section, TextOnnxTeacher):
        return tokenizer_beside(section, role)
    return load_tokenizer(section.model, role=role)


def _member(
    section: TextTeacher | TextOnnxTeacher, seed: int, recipe: TextRecipe, splits: TextSplits, role: str
) -> Member:
    known = {"multi_label": splits.multi_label, "role": role}
    if isinstance(section, TextOnnxTeacher):
        model, said = onnx_classifier(section, splits.classes, vocabulary=splits.vocabulary.size, **known)
        longest, notes, ready = model.longest, tuple(said), True
    else:
        loaded = load_classifier(section.model, splits.classes, seed=seed, **known)
        if not loaded.ready and section.train is None:
            raise BadInput(
                f"{role}: {section.model} has no head for the task, so its answers would mean nothing: give teacher.train "
                "(teacher={model: ..., train: {}}), or name a classifier."
            )
        model, longest, notes = loaded.model, loaded.max_length, loaded.notes
        ready = loaded.ready and section.train is None
    if longest is not None and recipe.data.max_length > longest:
        raise BadInput(
            f"data.max_length: {recipe.data.max_length} tokens, and {section.title} takes {longest} at most."
        )
    if isinstance(model, TextOnnx):
        check_fits(model, splits, role)
    doubtful = check_answers(model, splits, role, ready=ready)
    if splits.pair is not None and splits.vocabulary.separator is not None and not segments_of(model, splits):
        notes += ("The teacher reads no segment ids: it tells the sides of a pair by the token between them.",)
    return Member(section, seed, model, None, (*notes, *([doubtful] if doubtful else [])))


def _check_tokens(splits: TextSplits, tokenizer: Any, role: str) -> None:
    """Raises :class:`BadInput` where a tokenizer cuts up the data's texts otherwise than that of the run."""
    first = splits.tokenizer
    texts: list[Text] = []
    for of in (splits.validation, splits.train):
        texts += [of.texts[at] for at in of.ids.argsort()[: COMPARED // 2].tolist()]
    ours, theirs = (encoded(one, texts, splits.max_length) for one in (first, tokenizer))
    for text, a, b in zip(texts, ours.tokens, theirs.tokens, strict=True):
        if a != b:
            said = text if isinstance(text, str) else " / ".join(text)
            raise BadInput(
                f"{role}: it reads other tokens than the first of the ensemble ('{said[:60]}' has the ids {a[:6]} there and "
                f"{b[:6]} here), and all are asked about the same: take teachers of one tokenizer."
            )
    if tokenizer.get_vocab() != first.get_vocab():
        raise BadInput(
            f"{role}: its tokenizer has another vocabulary than that of the first of the ensemble ({len(tokenizer):,} and "
            f"{len(first):,} tokens), and all are asked about the same tokens: take teachers of one tokenizer."
        )
