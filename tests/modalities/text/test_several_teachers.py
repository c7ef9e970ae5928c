"""ONNX files and ensembles as teachers of texts: the same answers as the models that they stand for, or a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import yaml

from limbeck.deploy.int8 import quantise
from limbeck.errors import BadInput
from limbeck.interfaces import DenseLogits
from limbeck.modalities.text.export import INT8, export_text_onnx, text_metadata, write_tokenizer
from limbeck.modalities.text.onnx_file import TextOnnx
from limbeck.nlp.folder import save_folder
from limbeck.pipeline.job import Job, open_job
from limbeck.recipe.read import apply_overrides, from_dict
from limbeck.targets.store.as_logits import gathered
from tests.helpers import text_runs, tiny
from tests.helpers.tiny_text import encode, logits_of, tiny_classifier, tiny_tokenizer

TEXTS = ["the film is good", "a very dull plot", "love it and hate the actor"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run's folder, and beside its teacher another as an ONNX file in ``file``."""
    folder = text_runs.write(tmp_path_factory.mktemp("several"))
    exported(folder / "file" / "model.onnx", other_classifier(), list(text_runs.CLASSES))
    return folder


def other_classifier():
    """Of the same classes, which the data, sorted, has the other way round."""
    return tiny_classifier("bert", list(text_runs.CLASSES), seed=5, num_hidden_layers=1)


def exported(path: Path, model, classes: list[str], **facts) -> Path:
    """The file as a run leaves a teacher: ``tokenizer.json`` beside it and nothing else."""
    said = text_metadata(name="other", classes=classes, vocabulary=len(tiny_tokenizer()), max_length=40, **facts)
    export_text_onnx(model, tiny_tokenizer(), path, said)
    return path


def job(here: Path, out: Path, teacher: dict, *overrides: str) -> Job:
    """The tiny job with another teacher."""
    values = yaml.safe_load((here / "tiny.yaml").read_text()) | {"teacher": teacher}
    recipe = from_dict(apply_overrides(values, (f"data.name={here / 'data'}", *overrides)))
    return open_job(recipe, out=out, device="cpu", quiet=True)


def test_an_ensemble_of_a_folder_and_a_file_answers_as_its_members_do_and_teaches(here: Path, tmp_path: Path) -> None:
    file = {"onnx": str(here / "file" / "model.onnx")}
    trained = {"model": str(here / "teacher"), "train": {"epochs": 1}}
    one = job(here, tmp_path, {"ensemble": [{"model": str(here / "teacher")}, file, trained], "weights": [2, 1, 1]})
    # by hand, from the models themselves: the classes of the second stand the other way round
    tokens = encode(tiny_tokenizer(), TEXTS)
    models = [member.model for member in one.teachers]
    other = logits_of(other_classifier(), tokens)[:, [1, 0]]
    first, third = (logits_of(models[k], tokens) for k in (0, 2))
    mean = sum(w * z.double().softmax(1) for w, z in zip((0.5, 0.25, 0.25), (first, other, third), strict=True))
    torch.testing.assert_close(one.teacher(**tokens).exp().double(), mean, atol=1e-5, rtol=0)
    teacher, store, arms = tiny.train(one)
    assert store is not None
    assert [member.fingerprint for member in teacher.members][:2] == ["as it came"] * 2
    # what was stored is what the ensemble says after its third member was trained
    examples = one.splits.train
    task: Any = one.task
    said = task.logits(teacher.model, examples, as_teacher=True)
    kept = gathered(store, examples.ids, 0)
    assert isinstance(kept, DenseLogits)
    torch.testing.assert_close(kept.logits.float().softmax(1), said.softmax(1), atol=2e-3, rtol=0)
    assert all(student.history for student in arms.values())


def test_a_file_of_other_hands_is_read_by_the_labels_and_the_tokenizer_beside_it(here: Path, tmp_path: Path) -> None:
    classes = list(text_runs.CLASSES)
    path = Path(shutil.copytree(here / "file", tmp_path / "file")) / "model.onnx"
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, path)
    config = path.parent / "config.json"
    config.write_text(json.dumps({"id2label": dict(enumerate(classes))}))
    bag = ("student={model: bag, hidden: 8}", "targets={live: true}")
    one = job(here, tmp_path / "run", {"onnx": str(path)}, *bag)
    tokens = encode(tiny_tokenizer(), TEXTS)
    named = TextOnnx(here / "file" / "model.onnx")(**tokens)
    torch.testing.assert_close(one.teacher(**tokens), named[:, [1, 0]])
    config.unlink()
    (path.parent / "tokenizer.json").rename(tmp_path / "cuts.json")
    named_by = {"onnx": str(path), "tokenizer": str(tmp_path / "cuts.json")}
    other = job(here, tmp_path / "run", named_by, *bag)
    torch.testing.assert_close(other.teacher(**tokens), named)
    assert any("Nothing says which label each output of model.onnx stands for" in note for note in other.notes)
    assert not other.modality.starts_from_teacher(other.recipe)
    quantise(here / "file" / "model.onnx", tmp_path / "int8.onnx", INT8)
    write_tokenizer(tiny_tokenizer(), tmp_path / "tokenizer.json", max_length=40)
    small = job(here, tmp_path / "run", {"onnx": str(tmp_path / "int8.onnx")}, *bag)
    torch.testing.assert_close(small.teacher(**tokens), named[:, [1, 0]], atol=0.3, rtol=0)


def test_several_labels_are_put_together_label_by_label(here: Path, tmp_path: Path) -> None:
    folder = text_runs.write(tmp_path, several=True)
    other = tiny_classifier("bert", list(text_runs.FLAGS), seed=3, num_hidden_layers=1)
    save_folder(other, tiny_tokenizer(), tmp_path / "other")
    two = [{"model": str(folder / "teacher")}, {"model": str(tmp_path / "other")}]
    one = job(folder, tmp_path / "run", {"ensemble": two})
    tokens = encode(tiny_tokenizer(), TEXTS)
    mean = sum(logits_of(member.model, tokens).double().sigmoid() for member in one.teachers) / 2
    torch.testing.assert_close(one.teacher(**tokens).double().sigmoid(), mean, atol=1e-5, rtol=0)
    sure = job(folder, tmp_path / "run", {"ensemble": two, "combine": "confidence"})
    assert sure.teacher(**tokens).isfinite().all()
    with pytest.raises(BadInput, match=r"was made for one label a text, and the data has several"):
        job(folder, tmp_path / "run", {"ensemble": [two[0], {"onnx": str(here / "file" / "model.onnx")}]})


def refused(here: Path, tmp_path: Path, teacher: dict, *overrides: str) -> str:
    with pytest.raises(BadInput) as error:
        job(here, tmp_path, teacher, *overrides)
    return str(error.value)


def test_what_cannot_be_done_is_said(here: Path, tmp_path: Path) -> None:
    own, file = {"model": str(here / "teacher")}, here / "file" / "model.onnx"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", *"abcdefgh"]
    strange = tiny_classifier("bert", list(text_runs.CLASSES), vocab_size=len(words))
    save_folder(strange, tiny_tokenizer(words), tmp_path / "strange")
    said = refused(here, tmp_path, {"ensemble": [own, {"model": str(tmp_path / "strange")}]})
    assert "teacher in teacher.ensemble.1: it reads other tokens than the first of the ensemble" in said
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(file.read_bytes())
    assert "there is no tokenizer.json beside" in refused(here, tmp_path, {"onnx": str(bare)}, "student={model: bag}")
    assert "shrunk has its teacher's weights" in refused(here, tmp_path, {"onnx": str(file)})
    assert "has its precision inside" in refused(
        here, tmp_path, {"ensemble": [own, {"onnx": str(file)}]}, "targets.precision=bfloat16"
    )
    assert "takes 40 at most" in refused(here, tmp_path, {"ensemble": [own, {"onnx": str(file)}]}, "data.max_length=50")
    proto = onnx.load(file)
    said = json.loads(proto.metadata_props[0].value) | {"classes": ["happy", "sad"]}
    proto.metadata_props[0].value = json.dumps(said)
    other = Path(shutil.copytree(file.parent, tmp_path / "labels")) / "model.onnx"
    onnx.save(proto, other)
    assert "cannot be matched by name" in refused(here, tmp_path, {"ensemble": [own, {"onnx": str(other)}]})
    assert "an ensemble gives its logits alone" in refused(
        here, tmp_path, {"ensemble": [own, {"onnx": str(file)}]}, "objective={minilm: {}}"
    )
    with pytest.raises(BadInput, match=r"teacher\.train: no such field\. An ONNX file is used as it is"):
        from_dict({"task": "text-classification", "data": {"name": "x"}, "teacher": {"onnx": "a.onnx", "train": {}}})
