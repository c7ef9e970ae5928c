"""What `limbeck init` writes for texts: it looks at the data in the teacher's tokens, and at the teacher's head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ...deploy.metadata import task_of
from ...deploy.sizing import Size, size_of, size_sentences
from ...errors import BadInput, printable
from ...nlp.locate import TOKENIZER
from ...sections.drafting import Drafted, coarse, flow, knob_lines
from ...sections.section import meanings
from . import OUTLINES
from .recipe import TextData, TextOnnxTeacher, TextStudent

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_FILES = (".onnx", ".safetensors", ".pt", ".pth", ".th", ".bin")  # a teacher of images may be one
# Below this a transfer set usually adds something: a classifier of texts learns words, and most of them are rare.
FEW_TEXTS = 10_000
# Texts are looked at up to this length, where the teacher takes longer ones.
_LONGEST = 2048
# Tokens that cost little, whatever the length of most texts.
_SHORT = 64


@dataclass(frozen=True)
class FoundTexts:
    """What was seen of the data. Lengths are in the teacher's tokens, special ones included, of texts in train."""

    name: str
    examples: int  # in train, after validation is carved off
    classes: tuple[str, ...]
    multi_label: bool
    median: int
    most: int  # 95 % of the texts have no more
    validation: int
    test: int | None  # None: not known
    validation_split: str | None = None  # the data's own, where it has one
    test_unlabelled: bool = False  # the data's own test split has no labels
    empty: bool = False  # some texts are
    notes: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)  # other fields of data, as a person named them
    longest: int | None = None  # tokens of the longest text, validation looked at too; None: not known

    @property
    def warnings(self) -> list[str]:
        """What to beware of, in sentences; usually nothing."""
        said = []
        if self.examples < FEW_TEXTS:
            said.append(
                f"{self.examples:,} training texts are few: a transfer set of texts without labels (data.transfer), which "
                "the teacher answers, makes up for some of it; train several seeds."
            )
        said += coarse("texts", self.validation, self.test)
        if self.test_unlabelled:
            said.append("the data's test split has no labels, so one is carved from train (data.test: null).")
        return said


@dataclass(frozen=True)
class FoundTeacher:
    """What was seen of the teacher."""

    name: str
    ready: bool  # it has a head for these labels
    size: Size
    longest: int  # tokens of an input
    notes: tuple[str, ...]


def plainly(teacher: str, data: str) -> bool:
    """Whether a teacher and data plainly are of texts, by their names and what lies there alone."""
    if is_file(teacher):
        task = task_of(Path(teacher).expanduser())
        return task in OUTLINES if task else Path(teacher).expanduser().with_name(TOKENIZER).is_file()
    if Path(data).suffix.lower() in SUFFIXES or teacher.startswith("package:"):
        return True
    folder = Path(teacher).expanduser()
    if folder.is_dir():
        return (folder / "config.json").is_file()
    # a name on the hub: no teacher of images is called owner/model, but timm's, code and files of weights
    return "/" in teacher and not teacher.startswith("timm/") and ":" not in teacher and folder.suffix not in _FILES


def is_file(teacher: str) -> bool:
    """Whether a teacher is an ONNX file, by its name."""
    return Path(teacher).suffix == ".onnx"


def look(teacher: str, data: str, given: Mapping[str, Any]) -> tuple[FoundTexts, FoundTeacher, Any, Any]:
    """The data and the teacher, with what they are: splits and the loaded model. `given` are other fields of data.

    Raises `BadInput` where one of them cannot be read, or they do not go together.
    """
    from ... import progress
    from ...nlp.folder import load_tokenizer
    from .classifier import load_classifier
    from .load import load_texts
    from .onnx_file import tokenizer_beside

    file = TextOnnxTeacher(onnx=teacher) if is_file(teacher) else None
    tokenizer = load_tokenizer(teacher) if file is None else tokenizer_beside(file)
    given, proposed = _with_pair(TextData.model_validate({"name": data, **given}), given)
    own, unlabelled = _splits(TextData.model_validate({"name": data, **given}))
    test = None if unlabelled else "test"
    longest = int(min(tokenizer.model_max_length, _LONGEST))
    usual = {"validation": own, "test": test, "max_length": longest, "on_empty": "skip"}
    asked = TextData.model_validate({"name": data, **usual, **given})
    splits = load_texts(asked, tokenizer, progress.bar)
    loaded = (
        load_classifier(teacher, splits.classes, multi_label=splits.multi_label)
        if file is None
        else _of_file(file, splits, longest)
    )
    lengths = splits.train.lengths.sort().values
    found = FoundTexts(
        data,
        len(splits.train),
        tuple(splits.classes),
        splits.multi_label,
        int(lengths[len(lengths) // 2]),
        int(lengths[(len(lengths) - 1) * 95 // 100]),
        len(splits.validation),
        splits.test.count,
        own,
        unlabelled,
        empty=any("are empty and left out" in note for note in splits.notes),
        notes=(*proposed, *splits.notes),
        given=given,
        longest=int(max(lengths[-1], splits.validation.lengths.max())),
    )
    size = _size(loaded.model, loaded.tokenizer)
    return found, FoundTeacher(teacher, loaded.ready, size, loaded.max_length, loaded.notes), splits, loaded


def _of_file(file: TextOnnxTeacher, splits: Any, longest: int) -> Any:
    """An ONNX file, held to the data, in the place of a loaded classifier; its texts are ``longest`` where it does not say."""
    from .classifier import TextModel
    from .onnx_file import onnx_classifier
    from .teachers import check_fits

    several, size = splits.multi_label, splits.vocabulary.size
    model: Any
    model, notes = onnx_classifier(file, splits.classes, vocabulary=size, multi_label=several, role="teacher")
    check_fits(model, splits, "teacher")
    return TextModel(model, splits.tokenizer, True, model.longest or longest, tuple(notes))


def _with_pair(data: TextData, given: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """The fields of data, with the columns of a pair where nobody named columns and the names of two say plainly that they
    are one; and what a person should know of that."""
    from ...nlp.sources import open_texts
    from .columns import usual_pair

    rows = open_texts(data.name, data.config)
    pair = None if data.text is not None or data.train not in rows else usual_pair(rows[data.train].features)
    if pair is None or set(pair) & ({data.label} if isinstance(data.label, str) else {*(data.label or ())}):
        return given, []
    return {"text": list(pair), **given}, [
        f"columns '{pair[0]}' and '{pair[1]}' are taken for pairs by their names; where only one of them is to be read, say "
        f"data.text: {pair[0]}."
    ]


def _splits(data: TextData) -> tuple[str | None, bool]:
    """The data's own validation split, and whether its test split has no labels (-1, as data sets of contests do)."""
    from ...data.split_roles import own_validation, resolved
    from ...nlp.sources import open_texts
    from .columns import find_text_columns, label_headings, read_text_labels, text_classes

    rows = open_texts(data.name, data.config, labels=partial(label_headings, text=data.text, label=data.label))
    own, test, train = own_validation(rows), resolved(rows, "test"), resolved(rows, data.train)
    if test not in rows or train not in rows:
        return own, False
    columns = find_text_columns(rows[train].features, data.text, data.label)
    labels = (columns.label,) if isinstance(columns.label, str) else columns.label
    if any(label not in rows[test].features for label in labels):
        return own, True
    try:
        read_text_labels(rows[test], columns.label, text_classes(rows[train], columns.label), "test")
    except BadInput:
        return own, True
    return own, False


def draft(task: str, teacher: str, data: str, student: str | None, given: Mapping[str, Any]) -> Drafted:
    """The recipe, and what to say of it. Raises `BadInput` as :func:`look`, and for an unknown student."""
    kinds = OUTLINES[task].students
    if student is not None and student not in kinds:
        raise BadInput(f"--student {student}: a student of texts is one of {', '.join(kinds)}.")
    found, about, splits, loaded = look(teacher, data, given)
    section, size, remark = _student(student, splits, loaded)
    text = recipe(found, about, section, size, remark, _knobs(section, loaded))
    noted = (f"Noted: {' '.join(note.split())}" for note in (*found.notes, *about.notes))
    return Drafted(text, (*_sizes(about, section, size), *noted), found.warnings)


def recipe(
    found: FoundTexts,
    teacher: FoundTeacher,
    student: dict[str, Any],
    student_size: Size,
    remark: str | None,
    knobs: Sequence[str] = (),
) -> str:
    """The text of the recipe. ``remark``: why the student is of another kind than usual; ``knobs``: comments."""
    length = max_length(found.most, found.longest, teacher.longest)
    data: dict[str, Any] = {"name": found.name}
    if found.validation_split is not None:
        data["validation"] = found.validation_split
    if found.test_unlabelled:
        data["test"] = None
    if found.empty:
        data["on_empty"] = "skip"
    data = {**data, "max_length": length, **found.given}
    longest = "" if found.longest is None else f", the longest {found.longest}"
    labels = "classes, several a text" if found.multi_label else "classes"
    kd, labelled = ("binary_kd", "binary_cross_entropy") if found.multi_label else ("kd", "cross_entropy")
    # the smaller the share of the teacher that a student starts with, the more there is to learn
    rate = 5.0e-4 if student["model"] == "shrunk" else 1.0e-3
    lines = [
        f"# A recipe to start from: {found.examples:,} training texts, {len(found.classes)} {labels}.",
        *(f"# Beware: {printable(warning)}" for warning in found.warnings),
        *(f"# Noted: {printable(' '.join(note.split()))}" for note in (*found.notes, *teacher.notes)),
        "# Every field is described in docs/recipe.md; `limbeck recipe schema` lets an editor complete them.",
        "task: text-classification",
        "",
        f"# Half of the texts have at most {found.median} tokens, 95 % at most {found.most}{longest}; longer than max_length is cut off.",
        "data:",
        *(f"  {name}: {flow(value)}" for name, value in data.items()),
        "  # Texts without labels, which the teacher answers and the student learns from besides:",
        f"  # transfer: {_transfer(found.given)}",
        "",
        *_teacher(found, teacher),
        "",
        "# A faster arithmetic for the teacher's pass, where its answers are measured to be as good.",
        "targets: {precision: auto}",
        "",
        *([f"# {remark}"] if remark else []),
        *(f"# {printable(line)}" for line in _sizes(teacher, student, student_size)),
        "# (MACs: multiply-accumulates of one pass. A run measures the exported file.)",
        f"student: {flow(student)}",
        *knobs,
        "",
        "# Softened answers of the teacher, and a little of the labels; `limbeck objectives` lists what else there is.",
        "objective:",
        f"  {kd}: {{temperature: 2, weight: 0.9}}",
        f"  {labelled}: {{weight: 0.1}}",
        "",
        "# A student wants a higher rate than its teacher, and takes more epochs where there are few texts.",
        f"train: {flow({'epochs': _epochs(found), 'learning_rate': rate, 'keep': 'best'})}",
        "",
        "# Students (and baselines) trained, for mean and standard deviation; 3 or 5 for results to rely on.",
        "seeds: 1",
    ]
    return "\n".join(lines) + "\n"


def _transfer(given: Mapping[str, Any]) -> str:
    """An example of a transfer set: its texts, or pairs, in columns that are called as the data's own."""
    text = given.get("text")
    name = "more_texts.csv" if text is None or isinstance(text, str) else "more_pairs.csv"
    return flow({"name": name, **({} if text is None else {"text": text})})


def max_length(most: int, longest: int | None, takes: int) -> int:
    """A length that leaves 95 % of the texts whole (``most``): the next multiple of 8, at least 16, within what the teacher takes.

    It leaves all of them whole where the ``longest`` is short or not half as long again: a batch is as long as its own longest
    text, so that a few longer ones cost little.
    """
    length = _next_multiple(most)
    if longest is not None and _next_multiple(longest) <= max(_SHORT, 1.5 * length):
        length = _next_multiple(longest)
    return min(takes, length)


def _next_multiple(length: int) -> int:
    return max(16, -(-length // 8) * 8)


def _epochs(found: FoundTexts) -> int:
    """About 60,000 texts seen, in 3 to 10 epochs."""
    return min(10, max(3, round(60_000 / max(1, found.examples))))


def _teacher(found: FoundTexts, teacher: FoundTeacher) -> list[str]:
    if teacher.ready:
        return [
            "# It has a head for these labels, so it is used as it is.",
            f"teacher: {flow({'onnx' if is_file(teacher.name) else 'model': teacher.name})}",
        ]
    epochs = 2 if found.examples >= 5000 else 4
    return [
        "# It has no head for these labels, so it is fine-tuned here.",
        "teacher:",
        f"  model: {flow(teacher.name)}",
        f"  train: {flow({'epochs': epochs, 'batch_size': 32, 'learning_rate': 5.0e-5})}",
    ]


def _sizes(teacher: FoundTeacher, student: dict[str, Any], size: Size) -> tuple[str, ...]:
    return size_sentences(teacher.name, teacher.size, student["model"], size)


def _size(model: Any, tokenizer: Any) -> Size:
    """Of a text as long as that by which a run's report counts."""
    import torch

    from ...nlp.folder import longest_input
    from .export import LENGTHS
    from .onnx_file import TextOnnx

    if isinstance(model, TextOnnx):
        return Size(model.parameter_count, None, file_bytes=model.path.stat().st_size)

    length = min(LENGTHS[0], longest_input(model, tokenizer))
    ids_BL = torch.zeros(1, length, dtype=torch.int64)
    inputs = {"input_ids": ids_BL, "attention_mask": torch.ones_like(ids_BL)}
    return size_of(model, inputs, f"a text of {length} tokens")


def _knobs(student: dict[str, Any], loaded: Any) -> list[str]:
    """Comments that say what of the student can be changed, and within what."""
    from ...nlp import anatomy as text_anatomy

    kind = student["model"]
    lacking = {
        "shrunk": (),
        "fresh": ("layer_choice",),
        "bag": ("layers", "layer_choice", "heads"),
        "conv": ("layer_choice", "heads"),
    }[kind]
    most = text_anatomy.sizes(loaded.model.config)._asdict() if kind == "shrunk" else {}
    known = {}
    schema = TextStudent.model_json_schema()["properties"]
    for name, told in meanings(TextStudent).items():
        if name in ("model", "pruned", *lacking):
            continue
        forms = [schema[name], *schema[name].get("anyOf", ())]
        words = next((form["enum"] for form in forms if "enum" in form), None)
        limit = most.get(name) or next((form["maximum"] for form in forms if "maximum" in form), None)
        allowed = " or ".join(words) if words else f"1 to {limit:,}" if limit else "from 1"
        meaning = " ".join(told.replace("``", "").split())
        known[name] = (allowed, meaning)
    return knob_lines(known, student)


def _student(kind: str | None, splits: Any, loaded: Any) -> tuple[dict[str, Any], Size, str | None]:
    """The section, its size, and why it is of another kind than usual.

    Half of the teacher's layers, half as wide, with the tokens that the texts use, where its architecture allows that.
    """
    from ...nlp import anatomy as text_anatomy

    remark = None
    if not hasattr(loaded.model, "config"):
        remark = "An ONNX file shows its answers alone, so its student starts from chance; `conv` is the other way."
        return (*_counted(kind or "bag", {}, splits, loaded), remark if kind is None else None)
    if kind in (None, "shrunk", "fresh"):
        try:
            there = text_anatomy.sizes(loaded.model.config)
        except BadInput:
            if kind is not None:
                raise
            kind, remark = "bag", "This teacher's architecture cannot be made smaller here; `conv` is the other way."
        else:
            # as wide a head as the teacher's, and half as many
            width = there.hidden // there.heads
            section = {"layers": max(1, there.layers // 2), "hidden": width * max(1, there.heads // 2)}
            return (*_counted(kind or "shrunk", section, splits, loaded), None)
    return (*_counted(kind, {}, splits, loaded), remark)


def _counted(kind: str, knobs: dict[str, Any], splits: Any, loaded: Any) -> tuple[dict[str, Any], Size]:
    """The section with ``vocabulary: used`` where the tokenizer allows it, and the size that this makes."""
    from .students import text_student

    def size(more: dict[str, Any]) -> Size:
        # a fresh one of the same sizes has as many as a shrunk one, and asks the teacher nothing
        teacher = loaded.model if hasattr(loaded.model, "config") else None
        built: Any = "fresh" if kind == "shrunk" and teacher is not None else kind
        about = {"texts": splits.train.texts, "classes": splits.classes, "multi_label": splits.multi_label}
        made = text_student(built, teacher, loaded.tokenizer, **about, **knobs, **more)
        return _size(made.model, made.tokenizer)

    used = {"vocabulary": "used"}
    try:
        reached = size(used)
    except BadInput:  # its tokenizer is of a kind from which nothing can be taken
        used, reached = {}, size({})
    return {"model": kind, **knobs, **used}, reached
