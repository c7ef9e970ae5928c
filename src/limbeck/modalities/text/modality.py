"""Texts: a label each, or several; models are Hugging Face's.

Shapes: N texts, B batch, L tokens, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...data.ids import Text
from ...deploy.measure import macs
from ...deploy.parity import require
from ...deploy.standalone import write_standalone
from ...evaluation.kinds import KINDS
from ...files import atomic_folder
from ...files import publish as copy_to
from ...interfaces import Inside
from ...interfaces.modality import Deployed, Deploying, Teachers
from ...nlp.anatomy import inside
from ...nlp.folder import longest_input, save_folder
from ...nlp.pairs import SEGMENTS, encoded
from ...nlp.segments import segments_read
from ...nlp.tokens import TextExamples
from ...nlp.vocabulary import FromTeacherIds, count_tokens, inner, smaller_tokenizer, unknown_share
from ...progress import Bar
from ...report import shown
from . import predict
from .card import text_card
from .examples import TextSplits
from .export import check_text_parity, export_text_onnx, inputs_of, onnx_logits, quantize_text_onnx, text_metadata
from .load import load_texts
from .predict import BATCH
from .recipe import TextRecipe, TextTeacher, made_of
from .students import text_student
from .task import TextClassification
from .teachers import build_teachers, check_fits, fitted, segments_of, tokenizer_of

LENGTHS = (32, 128)
MANY_UNKNOWN = 0.05  # share of tokens that a student does not know, from which on it is warned of

PARITY_TEXTS = 2000
# As predict.py has it: what an int8 file says of a text depends a little on the texts that it is asked about beside it.
AT_ONCE = BATCH
STUDENT = "student"  # the folder of the student, as transformers loads it
ONNX, INT8 = "model.onnx", "model.int8.onnx"


def load(recipe: TextRecipe, progress: Bar | None = None) -> TextSplits:
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
            section.model,
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
    """What a smaller vocabulary loses."""
    if not isinstance(student, FromTeacherIds):
        return []
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
    return [note]


def data_facts(splits: TextSplits) -> dict[str, Any]:
    """The texts' mean length in tokens, whether one may have several labels, and the names of the sides of pairs."""
    tokens = round(float(splits.train.lengths.double().mean()), 1)
    return {
        "about": f"{'pairs of texts' if splits.pair else 'texts'} of {tokens:g} tokens on average",
        "tokens": tokens,
        "vocabulary": splits.vocabulary.size,
        "multi_label": splits.multi_label,
        "pair": splits.pair,
    }


def deploy(wanted: Deploying) -> Deployed:
    """ONNX with the tokenizer beside it; of the student the whole folder that transformers loads, and int8 as well."""
    task, is_student = wanted.task, wanted.role == "student"
    model, tokenizer = inner(wanted.model), task.tokenizer
    if is_student and hasattr(model, "config"):  # a person's own may be called LABEL_0, LABEL_1 ...
        model.config.id2label = dict(enumerate(task.classes))
        model.config.label2id = {name: index for index, name in enumerate(task.classes)}
    if isinstance(wanted.model, FromTeacherIds):
        tokenizer = smaller_tokenizer(tokenizer, wanted.model.kept_ids)
    folder = wanted.folder / (STUDENT if is_student else wanted.role)
    if is_student:
        save_folder(wanted.model, tokenizer, folder, replace=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ONNX
    metadata = text_metadata(
        name=wanted.name,
        classes=task.classes,
        vocabulary=len(tokenizer),
        max_length=task.max_length,
        multi_label=task.multi_label,
        pair=task.pair,
        segments=bool(segments_read(model, tokenizer)) if task.pair else False,
    )
    names = metadata["input"]["names"]
    export_text_onnx(model, tokenizer, path, metadata)
    batches = list(_batches(tokenizer, wanted.examples.texts[:PARITY_TEXTS], task.max_length, names))
    limits = wanted.limits
    parity = check_text_parity(model, path, batches, limits.max_abs_difference, limits.agreement, task.answers.kind)
    require(parity, path, what="texts")
    longest = longest_input(model, tokenizer)
    one = {name: torch.zeros(1, min(LENGTHS[0], longest), dtype=torch.int64) for name in names}
    one["attention_mask"] += 1
    facts = {"path": str(path.relative_to(wanted.folder)), "parity": parity, "macs": macs(model, one)}
    variants: dict[str, Path] = {}
    if is_student and wanted.int8:
        int8 = folder / INT8
        quantize_text_onnx(path, int8)
        variants["int8"] = int8
        facts["int8"] = _int8_facts(path, int8, tokenizer, wanted, names)
        facts["int8"]["path"] = str(int8.relative_to(wanted.folder))
    files = sorted(str(file.relative_to(wanted.folder)) for file in folder.iterdir() if file.is_file())
    return Deployed(path, facts, tuple(files), variants, longest)


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


def _int8_facts(path: Path, int8: Path, tokenizer: Any, wanted: Deploying, names: Sequence[str]) -> dict[str, Any]:
    """What the int8 file costs in accuracy, on all test texts, against the float32 file; both as they are deployed."""
    examples, by = wanted.examples, KINDS[wanted.task.answers.kind]
    batches = list(_batches(tokenizer, examples.texts, wanted.task.max_length, names, in_order=True))
    exact_NC, ours_NC = (onnx_logits(file, batches) for file in (path, int8))
    labels = examples.labels.cpu()
    accuracy, exact = (by.figures(by.kept(logits, labels))["accuracy"] for logits in (ours_NC, exact_NC))
    return {
        "bytes": int8.stat().st_size,
        "accuracy": accuracy,
        "accuracy_float32": exact,
        "agreement": by.fidelity(by.kept(ours_NC, labels, exact_NC))["agreement"],
        "n": len(labels),
    }


def _batches(
    tokenizer: Any, texts: Sequence[Text], max_length: int, names: Sequence[str], *, in_order: bool = False
) -> Iterator[dict[str, Tensor]]:
    """The inputs ``names`` (B, L) as the deployed model gets them; shortest first unless ``in_order``."""
    some = list(texts) if in_order else sorted(texts, key=lambda text: len("".join(text)))
    for start in range(0, len(some), AT_ONCE):
        given = encoded(tokenizer, some[start : start + AT_ONCE], max_length)
        inputs = {"input_ids": given.tokens}
        if given.segments is not None:
            inputs[SEGMENTS] = given.segments
        padded = tokenizer.pad(inputs, return_attention_mask=True, return_tensors="pt", verbose=False)
        yield {name: padded[name] for name in names}
