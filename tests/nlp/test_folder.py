"""Folders of transformers: saved, loaded, and refused with a sentence."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers

from limbeck.errors import BadInput
from limbeck.modalities.text.classifier import load_classifier
from limbeck.nlp.folder import save_folder
from tests.helpers.tiny_text import (
    CLASSES,
    TEXTS,
    encode,
    logits_of,
    tiny_classifier,
    tiny_tokenizer,
)

pytest.importorskip("transformers")


# Folders


def test_a_saved_teacher_answers_in_the_order_of_the_datas_classes(tmp_path):
    model, tokenizer = tiny_classifier(), tiny_tokenizer()
    save_folder(model, tokenizer, tmp_path / "teacher")
    inputs = encode(tokenizer, TEXTS)
    loaded = load_classifier(str(tmp_path / "teacher"), ["Positive", "NEGATIVE", "mixed"])
    assert loaded.ready
    assert loaded.notes == ()
    assert loaded.max_length == 64
    torch.testing.assert_close(logits_of(loaded.model, inputs), logits_of(model, inputs)[:, [2, 0, 1]])
    assert loaded.model.config.id2label == {0: "Positive", 1: "NEGATIVE", 2: "mixed"}

    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "teacher")
    torch.testing.assert_close(logits_of(plain, inputs), logits_of(model, inputs))
    said = transformers.pipeline("text-classification", model=str(tmp_path / "teacher"))(TEXTS[0])
    assert said[0]["label"] == CLASSES[int(logits_of(model, encode(tokenizer, TEXTS[:1])).argmax())]


def test_a_model_without_a_head_gets_a_fresh_one_from_the_seed(tmp_path):
    tiny_classifier().bert.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    heads = [load_classifier(str(tmp_path), ["a", "b", "c", "d"], seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(loaded.ready for loaded in heads)
    one, same, other = (loaded.model.classifier.weight for loaded in heads)
    assert one.shape == (4, 24)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def broken_folders(folder: Path) -> dict[str, tuple[str, str]]:
    """Name and sentence of every kind of folder that is refused."""

    def saved(name: str, **changes) -> Path:
        place = folder / name
        tiny_classifier(**changes).save_pretrained(place)
        tiny_tokenizer().save_pretrained(place)
        return place

    pickled = saved("pickled")
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(b"")
    mute = saved("mute")
    (mute / "config.json").unlink()
    damaged = saved("damaged")
    (damaged / "model.safetensors").write_bytes((damaged / "model.safetensors").read_bytes()[:200])
    larger = saved("larger", vocab_size=30)
    padded = saved("padded", pad_token_id=4)
    code = saved("code")
    auto = {"AutoConfig": "mine.Config", "AutoModelForSequenceClassification": "mine.Model"}
    (code / "config.json").write_text(json.dumps({"model_type": "my-own", "auto_map": auto}))
    (code / "mine.py").write_text("raise SystemExit('code was run')")
    other = saved("other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6}))
    several = saved("several", problem_type="multi_label_classification")
    return {
        "pickled": (str(pickled), r"only pickled weights \(pytorch_model\.bin\).*save_pretrained\(new_folder\)"),
        "no config": (str(mute), r"no config\.json"),
        "damaged": (str(damaged), r"damaged|cannot be loaded"),
        "vocabularies": (str(larger), r"knows 37 tokens and the model has embeddings for 30"),
        "padding": (str(padded), r"pads with token 0, the model's config\.json says 4"),
        "code": (str(code), r"needs code of its own, which is never run"),
        "layers": (str(other), r"not those of a BertForSequenceClassification.*is missing"),
        "several labels": (str(several), r"multi_label_classification, the data's labels are one a text"),
        "nothing there": (str(folder / "gone" / "model"), r"there is no folder"),
        "no package": ("package:no_such_package_at_all/model", r"no package 'no_such_package_at_all'"),
        "out of the package": ("package:limbeck/../model", r"leaves the package"),
    }


def test_what_cannot_be_used_is_refused_with_a_sentence(tmp_path):
    for name, (place, sentence) in broken_folders(tmp_path).items():
        with pytest.raises(BadInput) as refused:
            load_classifier(place, CLASSES)
        assert re.search(sentence, str(refused.value)), (name, str(refused.value))


def test_a_name_without_a_network_is_refused_at_once_and_quietly(tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://hub.invalid")  # resolves nowhere (RFC 2606)
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_teacher").mkdir()
    said = r"no folder my-teacher here, and the Hugging Face hub cannot be reached.*Did you mean 'my_teacher'\?"
    began = time.monotonic()
    with pytest.raises(BadInput, match=said):
        load_classifier("my-teacher", CLASSES)
    assert time.monotonic() - began < 5
    assert "Retrying" not in caplog.text + capfd.readouterr().err


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    model, tokenizer = tiny_classifier(), tiny_tokenizer()
    place = tmp_path / "student"
    save_folder(model, tokenizer, place)
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    with pytest.raises(BadInput, match="already holds something"):
        save_folder(model, tokenizer, place)

    class Failing(type(tokenizer)):
        def save_pretrained(self, *args, **kwargs):
            raise RuntimeError("half-way")

    bad = Failing(tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]")
    with pytest.raises(RuntimeError, match="half-way"):
        save_folder(tiny_classifier(seed=1), bad, place, replace=True)
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before
    assert os.listdir(tmp_path) == ["student"]
    save_folder(tiny_classifier(seed=1), tokenizer, place, replace=True)
    assert (place / "model.safetensors").read_bytes() != before["model.safetensors"]
    assert os.listdir(tmp_path) == ["student"]
