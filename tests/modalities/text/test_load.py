"""Claims about texts: where they come from, what they become, and what is said of those that will not do."""

import csv
import json
import os
from pathlib import Path

import datasets
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.modalities.text.recipe import TextTransfer
from limbeck.nlp.sentences import sentences_of
from limbeck.nlp.tokens import joined
from tests.helpers.textual import load, sentence, tokenizer

MIRRORS = Path(os.environ.get("LIMBECK_DATA", "nowhere"))
needs_mirrors = pytest.mark.skipif(not (MIRRORS / "sst2").is_dir(), reason="LIMBECK_DATA has no sst2")


def write_csv(path: Path, rows: list[dict], **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", **{"encoding": "utf-8", **how}) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def opinions(count: int = 60, start: int = 0) -> list[dict]:
    names = ("pos", "neg")
    return [{"text": sentence(start + row), "label": names[row % 2]} for row in range(count)]


# What is loaded


def test_csv_jsonl_and_files_of_the_same_texts_are_the_same_data(tmp_path):
    file = write_csv(tmp_path / "file.csv", opinions())
    write_csv(tmp_path / "csv" / "train.csv", opinions())
    write_jsonl(tmp_path / "jsonl" / "train.jsonl", opinions()[::-1])
    one, two, three = load(file), load(tmp_path / "csv"), load(tmp_path / "jsonl")
    assert one.classes == ("neg", "pos")
    assert one.fingerprint == two.fingerprint == three.fingerprint
    assert len(one.train) + len(one.validation) + one.test.count == 60
    test = one.test.open("figures")
    assert len(torch.unique(torch.cat([one.train.ids, one.validation.ids, test.ids]))) == 60
    for split in (one.train, one.validation, test):
        for row, text in enumerate(split.texts):
            tokens = split.tokens[split.offsets[row] : split.offsets[row + 1]].tolist()
            assert tokens == tokenizer()(text)["input_ids"]
            assert one.classes[split.labels[row]] == ("pos", "neg")[int(text.split()[-1]) % 2]


def test_na_and_a_byte_order_mark_are_no_missing_values(tmp_path):
    rows = [{"text": "NA" if row == 3 else sentence(row), "label": row % 2} for row in range(40)]
    splits = load(write_csv(tmp_path / "some.csv", rows, encoding="utf-8-sig"), test=None)
    held = splits.test.open("figures")
    assert "NA" in splits.train.texts + splits.validation.texts + held.texts
    assert splits.classes == ("0", "1")


def test_a_column_mapping_and_columns_found_by_name(tmp_path):
    rows = [{"id": f"x{row}", "review": sentence(row), "verdict": "no" if row % 2 else "yes"} for row in range(40)]
    file = write_csv(tmp_path / "some.csv", rows)
    with pytest.raises(BadInput, match=r"id, verdict may all be labels: name one with data\.label"):
        load(file)
    found = load(file, label="verdict")
    assert found.classes == ("no", "yes")
    assert found.fingerprint == load(file, text="review", label="verdict").fingerprint
    with pytest.raises(BadInput, match=r"data\.text: there is no column 'reviw'\. Did you mean 'review'\?"):
        load(file, text="reviw", label="verdict")


@pytest.mark.parametrize("kind", ["names", "numbers", "columns"])
def test_several_labels_as_lists_or_as_columns(tmp_path, kind):
    topics = ("plot", "sound", "cast")
    flags = [[int(bool(row & 1 << k)) for k in range(3)] for row in range(48)]
    if kind == "columns":
        rows = [{"text": sentence(row), **dict(zip(topics, flags[row], strict=True))} for row in range(48)]
        splits = load(write_csv(tmp_path / "some.csv", rows), label=topics)
    else:
        name = (lambda k: topics[k]) if kind == "names" else (lambda k: k)
        rows = [{"text": sentence(row), "labels": [name(k) for k in range(3) if flags[row][k]]} for row in range(48)]
        splits = load(write_jsonl(tmp_path / "some.jsonl", rows))
    assert splits.classes == {"names": tuple(sorted(topics)), "numbers": ("0", "1", "2"), "columns": topics}[kind]
    order = [topics.index(name) for name in sorted(topics)] if kind == "names" else range(3)
    assert splits.multi_label
    for row, text in enumerate(splits.train.texts):
        assert splits.train.labels[row].tolist() == [flags[int(text.split()[-1])][k] for k in order]


def test_long_texts_are_cut_off_and_counted(tmp_path):
    rows = opinions() + [{"text": "word " * 50_000 + str(row), "label": "pos"} for row in range(2)]
    splits = load(write_csv(tmp_path / "some.csv", rows), max_length=9, validation_fraction=0.2)
    assert int(splits.train.lengths.max()) == 9
    for split in (splits.train, splits.validation):
        cut = sum(len(tokenizer()(text[:200])["input_ids"]) > 9 for text in split.texts)
        name = "train"  # both come from the data's split train
        assert any(
            note.startswith(f"split '{name}': {cut} of {len(split)} texts are cut off after 9") for note in splits.notes
        )
    row = splits.train.texts.index(next(text for text in splits.train.texts if len(text) > 100))
    assert splits.train.tokens[splits.train.offsets[row + 1] - 1] == tokenizer().sep_token_id


def test_copies_in_another_case_fall_on_one_side_and_overlaps_are_noted(tmp_path):
    rows = [{**row, "text": how(row["text"])} for row in opinions(80) for how in (str, str.upper, lambda t: f"  {t} .")]
    splits = load(write_csv(tmp_path / "some.csv", rows))
    sides = [splits.train, splits.validation, splits.test.open("figures")]
    numbers = [{text.lower().strip(" .").split()[-1] for text in side.texts} for side in sides]
    assert not numbers[0] & numbers[1] | numbers[1] & numbers[2] | numbers[0] & numbers[2]
    assert sum(map(len, sides)) == 240
    write_csv(tmp_path / "both" / "train.csv", opinions(40))
    write_csv(tmp_path / "both" / "validation.csv", opinions(10, 36))
    write_csv(tmp_path / "both" / "test.csv", [{**row, "text": row["text"].title()} for row in opinions(10, 38)])
    both = load(tmp_path / "both", validation="validation")
    assert any(note.startswith("4 of 40 training texts stand in the validation split") for note in both.notes)
    both.test.open("figures")
    assert both.test.notes == ["2 of 10 test texts stand in the training data too."]


def test_equal_texts_have_ids_of_their_own_whatever_their_order(tmp_path):
    rows = [*opinions(30), *opinions(30)]
    one = load(write_csv(tmp_path / "one.csv", rows), test=None)
    two = load(write_csv(tmp_path / "two.csv", rows[::-1]), test=None)
    assert one.fingerprint == two.fingerprint
    assert set(one.train.ids.tolist()) == set(two.train.ids.tolist())


def test_a_transfer_set_of_sentences_stands_in_no_other_split(tmp_path):
    write_csv(tmp_path / "set" / "train.csv", opinions(40))
    write_csv(tmp_path / "set" / "test.csv", opinions(10, 100))
    known = [sentence(5), sentence(6), sentence(104).upper()]  # two of train, one of test
    fresh = ["Dr. Who walks in at 3.5 a.m. sharp!", "She said: nobody ever leaves?", "SHE SAID, nobody ever leaves!"]
    reviews = [
        {"text": f"{known[0].title()}.<br />Too short. {fresh[0]} {fresh[1]}"},
        {"text": f"{known[2]}. {fresh[2]}"},
    ]
    write_jsonl(tmp_path / "reviews" / "train.jsonl", reviews * 2)
    asked = TextTransfer(name=str(tmp_path / "reviews"), sentences=True)
    splits = load(tmp_path / "set", transfer=asked)
    assert splits.transfer.labels is None
    found = set(splits.transfer.texts)
    assert found in ({fresh[0], fresh[1]}, {fresh[0], fresh[2]})
    assert not splits.test.opened
    note = next(note for note in splits.notes if note.startswith("the transfer set"))
    assert "4 sentences of 4 texts; left out are 2 with fewer than 4 words and 6 that are there already" in note
    assert "2 of 4 transfer texts stand in the other splits too and are left out." in splits.notes
    write_jsonl(tmp_path / "turned" / "train.jsonl", reviews[::-1])
    turned = load(tmp_path / "set", transfer=TextTransfer(name=str(tmp_path / "turned"), sentences=True))
    assert set(turned.transfer.ids.tolist()) == set(splits.transfer.ids.tolist())
    assert turned.fingerprint == splits.fingerprint != load(tmp_path / "set").fingerprint


def test_the_fingerprint_covers_where_texts_are_cut_off(tmp_path):
    file = write_csv(tmp_path / "some.csv", opinions())
    one, two = load(file), load(file, max_length=12)
    assert torch.equal(one.train.ids, two.train.ids)
    assert one.fingerprint != two.fingerprint


@needs_mirrors
def test_sst2_and_sentences_of_imdb(monkeypatch):
    monkeypatch.setenv("LIMBECK_DATA", str(MIRRORS))
    splits = load("stanfordnlp/sst2", validation="validation", limit=500)
    assert splits.classes == ("negative", "positive")
    assert (len(splits.train), len(splits.validation), splits.test.count) == (500, 872, 1821)
    assert not splits.multi_label
    reviews = datasets.load_dataset(str(MIRRORS / "imdb"), split="validation[:40]")
    sentences = [found for text in reviews["text"] for found in sentences_of(text)]
    assert 300 < len(sentences) < 900
    assert max(map(len, sentences)) < 1200


# Sentences


@given(st.text(alphabet="aB .!?\n\"')é1", max_size=60))
def test_cutting_loses_nothing_but_white_space(text):
    sentences = sentences_of(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(one and one == " ".join(one.split()) for one in sentences)


def test_sentences_end_where_a_reader_ends_them():
    text = 'Mr. Smith met J. R. Ewing at 3 p.m. in Oslo. "Really?" he asked (twice!). It cost $3.50... Then I left.<br /><br />The end'
    assert sentences_of(text) == [
        "Mr. Smith met J. R. Ewing at 3 p.m. in Oslo.",
        '"Really?" he asked (twice!).',
        "It cost $3.50...",
        "Then I left.",
        "The end",
    ]


# What will not do


def test_an_empty_text_is_named_or_left_out(tmp_path):
    rows = opinions(40)
    rows[7]["text"], rows[9]["text"] = "", "  \t "
    file = write_csv(tmp_path / "some.csv", rows)
    with pytest.raises(BadInput, match=r"split 'train', row 7 \(counted from 0\): the text is empty \(2 of 40 are\)"):
        load(file)
    splits = load(file, on_empty="skip", test=None)
    assert len(splits.train) + len(splits.validation) + splits.test.count == 38
    assert "split 'train': 2 of 40 texts are empty and left out: row 7, 9 (counted from 0)." in splits.notes


def test_a_file_that_is_not_utf8_is_named_with_line_and_byte(tmp_path):
    text = "text,label\ngood,pos\nça va,neg\n"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=r"train\.csv is not UTF-8: line 3, byte 20 is 0xe7"):
        load(tmp_path / "set")
    (tmp_path / "cut.jsonl").write_bytes(b'{"text": "\xc3')
    with pytest.raises(BadInput, match=r"cut\.jsonl is not UTF-8: line 1, byte 10 is 0xc3"):
        load(tmp_path / "cut.jsonl")


def test_parquet_that_is_not_utf8_is_named_with_its_row(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    broken = pa.array([b"fine", b"caf\xe9", b"more"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 3, broken.buffers())
    parquet.write_table(pa.table({"text": texts, "label": [0, 1, 0]}), tmp_path / "some.parquet")
    with pytest.raises(
        BadInput, match=r"split 'train', row 1 \(counted from 0\): the text is not UTF-8 \(byte 3 is 0xe9"
    ):
        load(tmp_path / "some.parquet")


@pytest.mark.parametrize(
    ("change", "asked", "said"),
    [
        ({"label": ""}, {}, r"row 4 \(counted from 0\): column 'label' holds no label"),
        ({}, {"max_length": 4096}, r"data\.max_length: 4096 is more than the 512 tokens"),
        ({}, {"max_length": 2}, r"data\.max_length: 2 leaves no room beside 2 special tokens"),
        (
            {},
            {"label": ("label",)},
            r"row 0 \(counted from 0\): column 'label' holds 'pos'; where an example may have several labels",
        ),
        ({}, {"text": "text", "label": "text"}, r"column 'text' holds no labels"),
        ({}, {"label": ("text", "lable")}, r"data\.label: there is no column 'lable'\. Did you mean 'label'\?"),
        ({}, {"train": "trian"}, r"has no split 'trian'; it has train\. Did you mean 'train'\?"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, asked, said):
    rows = opinions(40)
    rows[4] |= change
    with pytest.raises(BadInput, match=said):
        load(write_csv(tmp_path / "some.csv", rows), **asked)


def test_a_file_with_semicolons_and_one_that_is_not_there(tmp_path):
    (tmp_path / "reviews.csv").write_text("text;label\ngood;pos\nbad;neg\n")
    with pytest.raises(BadInput, match=r"columns are separated by ';': save it with commas"):
        load(tmp_path / "reviews.csv")
    with pytest.raises(BadInput, match=r"there is no such file .*review\.csv.*Did you mean '.*reviews\.csv'\?"):
        load(tmp_path / "review.csv")


def test_a_class_that_train_lacks_and_a_folder_without_texts(tmp_path):
    write_jsonl(tmp_path / "set" / "train.jsonl", [{"text": sentence(row), "labels": ["a"]} for row in range(20)])
    write_jsonl(tmp_path / "set" / "validation.jsonl", [{"text": "one more here", "labels": ["a", "b"]}])
    with pytest.raises(
        BadInput, match=r"split 'validation', row 0 \(counted from 0\): class 'b' is none of the training split's"
    ):
        load(tmp_path / "set", validation="validation")
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match="holds no texts: it should hold CSV, JSONL or parquet files"):
        load(tmp_path / "none")
    (tmp_path / "odd.docx").write_bytes(b"PK")
    with pytest.raises(BadInput, match="is no table of texts"):
        load(tmp_path / "odd.docx")


# Examples


def test_taking_and_joining_keep_every_text_with_its_tokens(tmp_path):
    train = load(write_csv(tmp_path / "some.csv", opinions())).train
    index = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    taken = train.take(index[:17])
    both = joined(taken, train.take(index[17:]), train.labels[index])
    assert both.texts == tuple(train.texts[row] for row in index)
    for examples, at in ((taken, index[:17]), (both, index)):
        own, there = examples.padded(torch.arange(len(examples)), 0)
        wanted, same = train.padded(at, 0)
        assert torch.equal(own, wanted)
        assert torch.equal(there, same)
        assert (own[~there] == 0).all()
