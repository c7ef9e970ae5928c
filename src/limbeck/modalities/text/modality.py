"""Texts: a label each, or several; models are Hugging Face's.

Shapes: N texts, B batch, L tokens, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...deploy.standalone import write_standalone
from ...files import atomic_folder
from ...files import publish as copy_to
from ...interfaces import Exportable, Graph, Inside
from ...interfaces.modality import Teachers
from ...nlp.anatomy import inside
from ...nlp.folder import save_folder
from ...nlp.pairs import SEGMENTS, encoded
from ...nlp.tokens import TextExamples
from ...nlp.vocabulary import FromTeacherIds, count_tokens, inner, smaller_tokenizer, unknown_share
from ...progress import Bar
from ...report import shown
from . import predict
from .card import text_card
from .examples import TextSplits
from .export import TOKENIZER, exportable, inputs_of, names_of, text_metadata, write_tokenizer
from .load import load_texts
from .predict import BATCH
from .pruned import notes_on_pruned, pruned_student
from .recipe import TextRecipe, TextTeacher, made_of
from .students import text_student
from .task import TextClassification
from .teachers import build_teachers, check_fits, fitted, segments_of, tokenizer_of

MANY_UNKNOWN = 0.05  # share of tokens that a student does not know, from which on it is warned of

PARITY_TEXTS = 2000
AT_ONCE = BATCH  # as predict.py has it
STUDENT = "student"  # the folder of the student, as transformers loads it
ONNX = "model.onnx"


def load(recipe: TextRecipe, progress: Bar | None = None, *, trust_code: bool = False) -> TextSplits:
    """The splits of the recipe's data, in the tokens of its teacher."""
    return load_texts(recipe.data, tokenizer_of(recipe), progress)


def origins(recipe: TextRecipe, splits: TextSplits) -> dict[str, dict[str, list[Any]]]:
    """The texts themselves; of pairs, both sides."""
    sides = splits.pair or ("text",)
    found: dict[str, dict[str, list[Any]]] = {}
    for name in ("train", "validation", "transfer"):
        examples = getattr(splits, name)
        if examples is not None:
            rows = [text if isinstance(text, tuple) else (text,) for text in examples.texts]
            found[name] = {side: [row[k] for row in rows] for k, side in enumerate(sides)}
    return found


def teachers_of(recipe: TextRecipe, splits: TextSplits, *, trust_code: bool) -> Teachers:
    """The recipe's teachers; code is never run, trusted or not."""
    return build_teachers(recipe, splits)


def given_teacher(model: nn.Module, recipe: TextRecipe, splits: TextSplits) -> Teachers:
    """A person's own module as the teacher."""
    assert isinstance(recipe.teacher, TextTeacher)
    return fitted(model, recipe.teacher, recipe.seed, splits)


def student_of(
    recipe: TextRecipe, splits: TextSplits, teachers: Teachers, *, trust_code: bool
) -> Callable[[int], nn.Module]:
    """What makes the recipe's student for a seed, from the teacher as it is when it is called."""
    if recipe.student.pruned is not None:
        return pruned_student(recipe, splits, teachers)
    section, at = recipe.student, made_of(recipe)
    teacher: Any = None if at is None else teachers.members[at].model
    texts = splits.train.texts + (() if splits.transfer is None else splits.transfer.texts)
    counted: list[Tensor] = []  # once for all students: a transfer set may be large

    def student(seed: int) -> nn.Module:
        if section.vocabulary == "used" and not counted:
            counted.append(count_tokens(splits.tokenizer, texts))
        # where the teacher lies does not matter to its student, which begins on the CPU
        device = None if teacher is None else next(teacher.parameters()).device
        made = text_student(
            section.model,  # pyright: ignore[reportArgumentType]
            teacher if teacher is None else teacher.to("cpu"),
            splits.tokenizer,
            texts=texts,
            classes=splits.classes,
            seed=seed,
            counts_V=counted[0] if counted else None,
            pairs=splits.pair is not None,
            multi_label=splits.multi_label,
            **section.knobs,
        ).for_teacher_ids()
        if teacher is not None:
            teacher.to(device)
        return made.requires_grad_(True)

    return student


def check(model: nn.Module, splits: TextSplits, name: str) -> None:
    """Raises :class:`BadInput` where a model does not answer texts with finite logits (B, classes)."""
    check_fits(model, splits, name)


def task_of(recipe: TextRecipe, splits: TextSplits, teachers: Teachers, device: torch.device) -> TextClassification:
    """The task."""
    segments = bool(segments_of(teachers.model, splits))
    return TextClassification(splits, view_seed=recipe.seed, device=device, segments=segments)


def starts_from_teacher(recipe: TextRecipe) -> bool:
    """Whether the student's first weights are the teacher's, or its embeddings made of the teacher's."""
    return recipe.student.made_of_teacher and made_of(recipe) is not None


def layers(model: nn.Module, asking: str, role: str) -> Inside:
    """Where its encoder's layers are."""
    return inside(model, asking, role)


def notes_on(student: nn.Module, splits: TextSplits) -> list[str]:
    """What stayed of its teacher, where it is pruned, and what a smaller vocabulary loses."""
    pruned = notes_on_pruned(student)
    if not isinstance(student, FromTeacherIds):
        return pruned
    smaller = smaller_tokenizer(splits.tokenizer, student.kept_ids)
    lost = unknown_share(splits.tokenizer, smaller, student.kept_ids, splits.validation.texts)
    unknown = lost["unknown_looked_up"]
    note = (
        f"The student keeps {len(student.kept_ids):,} of the teacher's {student.teacher_tokens:,} tokens. Of the validation "
        f"texts' tokens {unknown:.1%} are unknown to it in training and {lost['unknown_after']:.1%} as it is deployed, where its "
        f"own tokenizer splits words further (to the teacher: {lost['unknown_before']:.1%})."
    )
    if unknown > MANY_UNKNOWN:
        note = (
            f"Beware: so many unknown words cost accuracy. {note} Take vocabulary: all, a smaller min_count, or a transfer "
            "set with more words (data.transfer)."
        )
    return [*pruned, note]


def data_facts(splits: TextSplits, task: TextClassification) -> dict[str, Any]:
    """The texts' mean length in tokens, whether one may have several labels, and the names of the sides of pairs."""
    tokens = round(float(splits.train.lengths.double().mean()), 1)
    return {
        "about": f"{'pairs of texts' if splits.pair else 'texts'} of {tokens:g} tokens on average",
        "tokens": tokens,
        "vocabulary": splits.vocabulary.size,
        "multi_label": splits.multi_label,
        "pair": splits.pair,
    }


def exportables(model: nn.Module, task: TextClassification, role: str) -> dict[str, Exportable]:
    """One graph, which takes the model's own tokens."""
    own, tokenizer = inner(model), task.tokenizer_of(model)
    metadata = text_metadata(
        name=role,
        classes=task.classes,
        vocabulary=len(tokenizer),
        max_length=task.max_length,
        multi_label=task.multi_label,
        pair=task.pair,
        segments=SEGMENTS in names_of(own, tokenizer, task.pair),
    )
    return {f"{role}/{Path(ONNX).stem}": exportable(own, tokenizer, metadata)}


def beside(model: nn.Module, task: TextClassification, role: str, folder: Path) -> tuple[str, ...]:
    """The tokenizer; of the student the whole folder that transformers loads."""
    own, tokenizer, here = inner(model), task.tokenizer_of(model), folder / role
    if role == STUDENT:
        if hasattr(own, "config"):  # a person's own may be called LABEL_0, LABEL_1 ...
            own.config.id2label = dict(enumerate(task.classes))
            own.config.label2id = {name: index for index, name in enumerate(task.classes)}
        save_folder(model, tokenizer, here, replace=True)
    here.mkdir(parents=True, exist_ok=True)
    write_tokenizer(tokenizer, here / TOKENIZER, max_length=task.max_length)
    return tuple(str(file.relative_to(folder)) for file in here.iterdir() if file.is_file())


def sample(examples: TextExamples) -> TextExamples:
    """The first of them, the shortest before the others."""
    texts = examples.texts[:PARITY_TEXTS]
    return examples.take(torch.tensor(sorted(range(len(texts)), key=lambda at: len("".join(texts[at])))))


def answered(
    graphs: Mapping[str, Graph], model: nn.Module, task: TextClassification, role: str, examples: TextExamples
) -> Tensor:
    """Logits (N, C). What a file in 8 bits says of a text depends a little on the texts that it is asked about beside it."""
    (ask,), tokenizer = graphs.values(), task.tokenizer_of(model)
    names, texts, found = names_of(inner(model), tokenizer, task.pair), examples.texts, []
    for start in range(0, len(texts), AT_ONCE):
        given = encoded(tokenizer, texts[start : start + AT_ONCE], task.max_length)
        inputs = {"input_ids": given.tokens}
        if given.segments is not None:
            inputs[SEGMENTS] = given.segments
        padded = tokenizer.pad(inputs, return_attention_mask=True, return_tensors="np", verbose=False)
        found.append(torch.from_numpy(ask({name: padded[name] for name in names})[0]))
    return torch.cat(found)


def measured(model: nn.Module, task: TextClassification, splits: TextSplits) -> dict[str, float]:
    """None: what a classifier is worth its answers tell."""
    return {}


def in_use(models: Any, task: Any, splits: Any, progress: Any) -> None:
    """None: what a classifier is worth its answers tell."""
    return None


def publish(export: Path, student_weights: Path, out: Path, results: Mapping[str, Any]) -> None:
    """The student's folder with its model card, the exported teacher, and ``predict.py``."""
    card = text_card(results, model_type=_model_type(export / STUDENT), inputs=inputs_of(export / STUDENT / ONNX))
    with atomic_folder(out / STUDENT, replace=True) as folder:
        for file in (export / STUDENT).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "README.md").write_text(card, encoding="utf-8")
    for file in (ONNX, "tokenizer.json"):
        if (export / "teacher" / file).exists():
            copy_to(export / "teacher" / file, out / "teacher" / file)
        else:  # that of another teacher, before
            (out / "teacher" / file).unlink(missing_ok=True)
    write_standalone(predict.__name__, out / "predict.py")


def show(examples: TextExamples) -> Callable[[int], shown.Text]:
    """A test text by its position, or both sides of a pair."""

    def text(position: int) -> shown.Text:
        one = examples.texts[position]
        return shown.Text((one,) if isinstance(one, str) else tuple(one))

    return text


def _model_type(folder: Path) -> str | None:
    """What transformers calls its family; None of a person's own module."""
    if not (folder / "config.json").is_file():
        return None
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
