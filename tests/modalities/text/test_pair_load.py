"""Claims about pairs of texts as data: columns, ids, splits, transfer sets, views, and what is said of those that will not do."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import datasets
import pytest
import torch

pytest.importorskip("transformers")

from limbeck.data.ids import text_ids
from limbeck.errors import BadInput
from limbeck.modalities.text.columns import usual_pair
from limbeck.modalities.text.load import load_texts
from limbeck.modalities.text.recipe import TextData, TextTransfer, WordViews
from limbeck.modalities.text.task import TextClassification
from limbeck.modalities.text.views import Substitutes, vary
from limbeck.recipe import read as recipe_file
from tests.helpers.text_pair_runs import CLASSES, pairs, tokenizer_of_pairs
from tests.helpers.tiny_text import WORDS, tiny_tokenizer

SIDES = ("premise", "hypothesis")


def write(path: Path, rows: list, heads: tuple[str, ...] = (*SIDES, "label")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(rows)
    return path


def rows(count: int, seed: int = 0) -> list[tuple[str, str, str]]:
    return [(*pair, label) for pair, label in pairs(count, seed)]


def load(path: Path, tokenizer=None, **asked):
    data = TextData.model_validate({"name": str(path), "text": SIDES, "max_length": 16, **asked})
    return load_texts(data, tokenizer or tokenizer_of_pairs())


def test_pairs_are_read_with_the_tokens_of_both_sides(tmp_path):
    splits = load(write(tmp_path / "some.csv", rows(120)))
    assert splits.pair == SIDES
    assert "each example is a pair, 'premise' first and 'hypothesis' second." in splits.notes
    known = dict(pairs(120))
    held = splits.test.open("figures")
    assert sorted(splits.train.texts + splits.validation.texts + held.texts) == sorted(known)
    for examples in (splits.train, splits.validation, held):
        wanted = tokenizer_of_pairs()(*map(list, zip(*examples.texts, strict=True)))
        for row, pair in enumerate(examples.texts):
            here = slice(examples.offsets[row], examples.offsets[row + 1])
            assert examples.tokens[here].tolist() == wanted["input_ids"][row]
            assert examples.segments[here].tolist() == wanted["token_type_ids"][row]
            assert CLASSES[examples.labels[row]] == known[pair]


def test_an_id_is_of_both_sides_in_their_order_and_that_of_a_single_text_is_what_it_was(tmp_path):
    def number(data: bytes, **how) -> int:
        return int.from_bytes(hashlib.blake2b(data, digest_size=8, **how).digest(), "little") & (1 << 63) - 1

    ids = text_ids([("ab", "c"), ("c", "ab"), ("a", "bc"), ("2 ab", "c")], "train").tolist()
    assert len(set(ids)) == 4
    assert ids[0] == number(b"2 abc", person=b"pair of texts")
    assert text_ids(["2 abc", "é"], "train").tolist() == [number(b"2 abc"), number("é".encode())]
    file = write(tmp_path / "some.csv", rows(120))
    turned = write(tmp_path / "turned.csv", rows(120)[::-1])
    assert load(file).fingerprint == load(turned).fingerprint
    marked = write(tmp_path / "marked.csv", [(one, f"{two} unbright", label) for one, two, label in rows(120)])
    one, swapped = load(marked), load(marked, text=SIDES[::-1])
    assert not set(swapped.train.ids.tolist()) & set(one.train.ids.tolist())
    assert load(file, tokenizer_of_pairs(segments=False)).fingerprint != load(file).fingerprint
    # single texts: fixed when there were no pairs
    words = [(f"{a} {b}", "xy"[(3 * m + n) % 2]) for m, a in enumerate(WORDS) for n, b in enumerate(WORDS[:3])]
    single = load(write(tmp_path / "single.csv", words, ("text", "label")), tiny_tokenizer(), text=None)
    assert single.fingerprint == single.labelled == "873cd3391b39e9c1"
    assert single.train.ids[:2].tolist() == [2124019319744589931, 7451326898690857085]
    assert single.train.segments is None


def test_pairs_alike_fall_on_one_side_and_share_no_more_than_both(tmp_path):
    again = [(one.upper(), f"{two} .", label) for one, two, label in rows(90)]
    splits = load(write(tmp_path / "some.csv", [*rows(90), *again]), max_length=24)
    sides = [splits.train, splits.validation, splits.test.open("figures")]
    plain = [{(one.lower(), two.strip(" .")) for one, two in side.texts} for side in sides]
    assert not plain[0] & plain[1] | plain[1] & plain[2] | plain[0] & plain[2]
    assert [2 * len(one) for one in plain] == [len(side) for side in sides]
    # a premise may stand on both sides of a carving: the pair is the example, unless one groups them
    shared = sum(two in {two for _, two in splits.train.texts} for _, two in splits.validation.texts)
    assert shared
    assert any(f"{shared} of {len(sides[1])} validation pairs, which are carved" in note for note in splits.notes)
    grouped = load(tmp_path / "some.csv", max_length=24, group="hypothesis")
    assert not {two for _, two in grouped.train.texts} & {two for _, two in grouped.validation.texts}
    assert not any("validation pairs, which are carved" in note for note in grouped.notes)


def test_a_transfer_set_of_pairs_has_the_same_columns_or_names_its_own(tmp_path):
    file = write(tmp_path / "some.csv", rows(120))
    extra = [pair for pair, _ in pairs(160)][110:]  # ten stand in the other splits

    def transfer(*names: str, **asked):
        path = tmp_path / f"{'-'.join(names)}.jsonl"
        lines = [json.dumps(dict(zip(names, pair, strict=True))) + "\n" for pair in [*extra, extra[-1], ("film", " ")]]
        path.write_text("".join(lines))
        return load(file, transfer=TextTransfer(name=str(path), **asked))

    splits = transfer(*SIDES)
    assert set(splits.transfer.texts) == set(extra[10:])
    assert splits.transfer.segments is not None
    assert any(
        note.startswith("the transfer set holds 50 pairs of 52 pairs; left out are 1 with") for note in splits.notes
    )
    named = transfer("one", "two", text=("one", "two"))
    assert torch.equal(named.transfer.ids.sort().values, splits.transfer.ids.sort().values)
    with pytest.raises(BadInput, match=r"data\.transfer\.text: there is no column 'premise'"):
        transfer("one", "two")


def test_what_is_doubtful_about_columns_is_refused_or_said(tmp_path):
    file = write(tmp_path / "some.csv", rows(60))
    with pytest.raises(
        BadInput,
        match=r"premise, hypothesis may all be the texts: name one with data\.text; .*as pairs: data\.text: \[FIRST, SECOND\]",
    ):
        load(file, text=None, label="label")
    with pytest.raises(BadInput, match=r"data\.text: there is no column 'hypotesis'\. Did you mean 'hypothesis'\?"):
        load(file, text=("premise", "hypotesis"))
    with pytest.raises(BadInput, match=r"data\.label: column 'premise' holds no labels"):
        load(file, label="premise")
    with pytest.raises(BadInput, match=r"max_length: 4 leaves no room beside 3 special tokens"):
        load(file, max_length=4)
    questions = [(f"{one} and so on", f"{two} it was", label) for one, two, label in rows(60)]
    qnli = write(tmp_path / "qnli.csv", questions, ("question", "sentence", "label"))
    notes = load(qnli, text=None).notes
    said = "the texts are those of column 'sentence'; 'question' holds texts too, and is not read"
    assert any(note.startswith(said) for note in notes)
    assert not any("holds texts too" in note for note in load(qnli, text="sentence").notes)
    named = write(
        tmp_path / "ids.csv", [(f"x{n}", *row[1:]) for n, row in enumerate(questions)], ("id", "text", "label")
    )
    assert not any("holds texts too" in note for note in load(named, text=None).notes)


def test_an_empty_side_is_named_or_left_out(tmp_path):
    some = rows(60)
    some[7], some[9] = ("film", "", "same"), (" ", "film", "same")
    file = write(tmp_path / "some.csv", some)
    with pytest.raises(BadInput, match=r"split 'train', row 7 \(counted from 0\): hypothesis is empty \(2 of 60 are\)"):
        load(file)
    splits = load(file, on_empty="skip")
    assert "split 'train': 2 of 60 pairs lack a side and are left out: row 7, 9 (counted from 0)." in splits.notes
    assert len(splits.train) + len(splits.validation) + splits.test.count == 58


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"text": ["premise"]}, r"data\.text: text names one column, or the two different ones of a pair"),
        ({"text": ["a", "b", "c"]}, r"data\.text: text names one column, or the two different ones of a pair"),
        ({"text": 5}, r"data\.text: 5 was given; it must be text"),
        ({"label": 5}, r"data\.label: 5 was given; it must be text"),
        ({"text": ["a", "a"]}, r"data\.text: text names one column, or the two different ones of a pair"),
        ({"text": ["a", "b"], "transfer": {"name": "x", "sentences": True}}, r"sentences: data\.text names pairs"),
        ({"text": ["a", "b"], "transfer": {"name": "x", "text": "a"}}, r"transfer\.text: data\.text names pairs, so"),
        (
            {"text": "a", "transfer": {"name": "x", "text": ["a", "b"]}},
            r"transfer\.text: data\.text names single texts",
        ),
    ],
)
def test_a_recipe_that_names_no_pair_is_refused(data, said):
    rest = {"task": "text-classification", "teacher": {"model": "any"}, "student": {"model": "shrunk"}}
    with pytest.raises(BadInput, match=said):
        recipe_file.from_dict({**rest, "data": {"name": "x", **data}})
    recipe_file.from_dict({**rest, "data": {"name": "x", "text": ["a", "b"], "transfer": {"name": "y"}}})


def test_two_columns_are_proposed_as_a_pair_only_by_plain_names():
    def found(*names: str):
        return usual_pair(datasets.Features({name: datasets.Value("string") for name in names}))

    assert found("idx", "hypothesis", "premise", "label") == ("premise", "hypothesis")
    assert found("sentence2", "sentence1") == ("sentence1", "sentence2")
    assert found("text_a", "text_b", "kind") == ("text_a", "text_b")
    assert found("Question1", "Question2") == ("Question1", "Question2")
    assert found("title", "content") == found("sentence", "question") == found("q1", "q2", "a1", "a2") is None


def test_in_a_view_segments_stay_with_their_tokens_and_either_side_keeps_one(tmp_path):
    splits = load(write(tmp_path / "some.csv", rows(120)))
    train, vocabulary = splits.train, splits.vocabulary
    by = Substitutes.of(train, vocabulary)
    index = torch.arange(len(train))
    tokens, there = train.padded(index, vocabulary.pad)
    segments = train.padded_segments(index, vocabulary.segment_pad)
    view = torch.ones(len(train), dtype=torch.int64)
    whole = vary(WordViews(replace=0.3), 0, tokens, there, train.ids, view, by, segments)
    assert torch.equal(whole.segments, segments)
    short = vary(WordViews(drop=0.6), 0, tokens, there, train.ids, view, by, segments)
    assert short.there.sum() < 0.8 * there.sum()
    for row in range(len(train)):
        ids, kinds = short.tokens[row][short.there[row]].tolist(), short.segments[row][short.there[row]].tolist()
        middle = ids.index(3)
        assert (ids[0], ids[-1], ids.count(3)) == (2, 3, 2)
        assert kinds == [0] * (middle + 1) + [1] * (len(ids) - middle - 1)
        assert middle > 1  # a token of the first side
        assert len(ids) - middle > 2  # and one of the second
    some = torch.tensor([5, 3])
    task = TextClassification(splits, view_seed=0, multiple_of=8)
    batch = task.batch(task.train, some, view[:2], WordViews(drop=0.6))
    for place, row in enumerate(some.tolist()):
        mask = batch.inputs["attention_mask"][place].bool()
        assert batch.inputs["token_type_ids"][place][mask].tolist() == short.segments[row][short.there[row]].tolist()
