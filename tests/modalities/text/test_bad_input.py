"""Texts, tokenizers and teachers that cannot be used: one sentence, exit code 2, and nothing is written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limbeck.modalities.text import modality
from limbeck.nlp.folder import save_folder
from limbeck.pipeline.teacher import doubts, the_teacher
from tests.helpers import text_runs
from tests.helpers.text_runs import CLASSES, job, limbeck, recipe
from tests.helpers.tiny import snapshot
from tests.helpers.tiny_text import tiny_classifier, tiny_tokenizer


def other_vocabulary(here: Path) -> None:
    save_folder(tiny_classifier("bert", list(CLASSES), vocab_size=20), tiny_tokenizer(), here / "teacher", replace=True)


def other_padding(here: Path) -> None:
    config = here / "teacher" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pad_token_id": 3}))


def add(line: bytes) -> Callable[[Path], None]:
    def change(here: Path) -> None:
        with (here / "data" / "train.csv").open("ab") as file:
            file.write(line)

    return change


def rename_a_label(here: Path) -> None:
    for file in (here / "data").iterdir():
        file.write_text(file.read_text().replace("<script>good", "fine"))


def pickled(here: Path) -> None:
    weights = here / "teacher" / "model.safetensors"
    torch.save(load_file(weights), here / "teacher" / "pytorch_model.bin")
    weights.unlink()


def damaged(here: Path) -> None:
    weights = here / "teacher" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def headless(here: Path) -> None:
    whole = tiny_classifier("bert", list(CLASSES), num_hidden_layers=2)
    save_folder(whole.bert, tiny_tokenizer(), here / "teacher", replace=True)


def tokenizer_without_limit(here: Path) -> None:
    config = here / "teacher" / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_max_length": 512}))


def no_mask_token(here: Path) -> None:
    config = here / "teacher" / "tokenizer_config.json"
    values = json.loads(config.read_text())
    del values["mask_token"]
    config.write_text(json.dumps(values))


def no_tokenizer(here: Path) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (here / "teacher" / file).unlink()


def three_classes(here: Path) -> None:
    save_folder(tiny_classifier(), tiny_tokenizer(), here / "teacher", replace=True)


def nothing(here: Path) -> None:
    pass


WRONG: dict[str, tuple[Callable[[Path], None], tuple[str, ...], tuple[str, ...]]] = {
    "vocabulary": (other_vocabulary, (), ("teacher", "tokenizer knows 37 tokens", "20", "different vocabularies")),
    "padding": (other_padding, (), ("teacher", "pads with token 0", "config.json says 3")),
    "empty text": (add(b'"",bad\n'), (), ("'train'", "row 240", "empty", "data.on_empty: skip")),
    "blank text": (add(b'"  ",bad\n'), (), ("'train'", "row 240", "empty")),
    "latin-1": (add("café,bad\n".encode("latin1")), (), ("train.csv", "line 242", "UTF-8", "iconv")),
    "no label": (add(b"the plot,\n"), (), ("'train'", "row 240", "label")),
    "labels that differ": (rename_a_label, (), ("labels", "'fine'", "'<script>good'", "id2label")),
    "another number of labels": (three_classes, (), ("3 labels", "the data has 2", "AutoModel.from_pretrained", "teacher.train")),
    "pickled weights": (pickled, (), ("pytorch_model.bin", "ickled", "save_pretrained")),
    "damaged weights": (damaged, (), ("damaged",)),
    "no head": (headless, (), ("teacher.train", "no head")),
    "no tokenizer": (no_tokenizer, (), ("teacher", "has no tokenizer")),
    "no teacher": (nothing, ("teacher.model=nobody/../here",), ("teacher", "there is no folder")),
    "length of the tokenizer": (nothing, ("data.max_length=65",), ("data.max_length", "65", "64")),
    "length of the model": (tokenizer_without_limit, ("data.max_length=65",), ("data.max_length", "65", "64 at most")),
    "too short": (nothing, ("data.max_length=2",), ("data.max_length", "2")),
    "more layers": (nothing, ("student.layers=9",), ("student", "layers is 9", "1 to 2")),
    "layers that are not there": (nothing, ("student.layers=[0, 5]",), ("student", "layers is (0, 5)", "from 0 to 1")),
    "no layers to match": (
        nothing, ("student.model=bag", "student.layers=null", "objective.tiny_bert={}"),
        ("objective", "tiny_bert", "the student (limbeck-"),
    ),
    "wider": (nothing, ("student.hidden=48",), ("student", "hidden is 48", "24")),
    "heads that do not fit": (nothing, ("student.heads=5",), ("student", "hidden 12", "5 heads")),
    "knob of another kind": (nothing, ("student.model=bag",), ("student", "layers", "bag")),
    "nothing kept": (nothing, ("student.min_count=0",), ("student.min_count", "greater than 0")),
    "knob alone": (nothing, ("student.vocabulary=all", "student.min_count=3"), ("student", "vocabulary: used")),
    "no such kind": (nothing, ("student.model=shrunken",), ("student.model", "shrunk")),
    "views without variety": (nothing, ("targets.views=2",), ("targets.views", "views.")),
    "no mask token": (no_mask_token, ("views.mask=0.1", "targets.views=2", "student.vocabulary=all"), ("views.mask", "mask token")),
    "unknown task": (nothing, ("task=text-clasification",), ("task", "text-classification")),
    "a knob of images": (nothing, ("views.shift=0.1",), ("views.shift",)),
    "no transfer": (nothing, ("data.transfer.name=nowhere",), ("data.transfer.name", "nowhere")),
}  # fmt: skip


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_runs.write(tmp_path_factory.mktemp("right") / "here")


@pytest.fixture
def here(right: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(right, tmp_path / "here"))


@pytest.mark.parametrize("what", WRONG)
def test_it_is_said_and_nothing_is_written(here: Path, what: str) -> None:
    change, asked, names = WRONG[what]
    change(here)
    before = snapshot(here)
    settings = [part for one in asked for part in ("--set", one)]
    code, out, err = limbeck(here, "run", "tiny.yaml", "--threads", 1, *settings)
    assert (code, out) == (2, ""), err
    said = [line for line in err.splitlines() if line.startswith("limbeck: ")]
    assert len(said) == 1, err
    assert "Traceback" not in err
    assert all(name in err for name in names), err
    assert snapshot(here) == before


def test_an_empty_text_is_left_out_where_that_is_asked_for_and_an_enormous_one_is_cut(here: Path) -> None:
    add(b'"",bad\n')(here)
    add(f'"{"film plot " * 100_000}",bad\n'.encode())(here)
    splits = modality.load(recipe(here, "data.on_empty=skip"))
    assert len(splits.train) == 241
    assert int(splits.train.lengths.max()) == 24
    assert any("row 240" in note and "left out" in note for note in splits.notes)
    assert any("cut off after 24 tokens" in note for note in splits.notes)


def test_a_tokenizer_that_knows_far_fewer_tokens_is_pointed_out(here: Path) -> None:
    save_folder(
        tiny_classifier("bert", list(CLASSES), vocab_size=400), tiny_tokenizer(), here / "teacher", replace=True
    )
    (said,) = [note for note in job(here, here / "run").notes if "400" in note]
    assert "37" in said
    assert "another vocabulary" in said


@pytest.mark.parametrize("several", [False, True])
def test_a_teacher_that_is_always_wrong_is_doubted_and_one_that_is_always_right_is_not(
    tmp_path: Path, several: bool
) -> None:
    here = text_runs.write(tmp_path / "here", several=several)
    one = job(here, here / "run")
    teacher = the_teacher(one)
    assert doubts(one, teacher) == []
    with torch.no_grad():
        teacher.model.classifier.weight.neg_()
        teacher.model.classifier.bias.neg_()
    said = doubts(one, teacher)
    assert "no better on validation than always naming the commonest answer (0.0 % vs" in said[0]
    # of two classes that stand the wrong way round, both are named
    assert len(said) == (1 if several else 2)
    assert several or ("'bad' as '<script>good'" in said[1] and "'<script>good' as 'bad'" in said[1])


def test_a_head_is_trained_where_there_is_none(here: Path) -> None:
    headless(here)
    one = job(here, here / "run", "teacher.train.epochs=1")
    assert one.teacher.config.num_labels == 2
    assert tuple(one.teacher.config.id2label.values()) == tuple(sorted(CLASSES))
