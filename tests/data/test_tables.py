"""Claims about tables as people bring them: which file is which split, what is left out, and what would be read wrongly."""

import codecs
import json
from pathlib import Path, PurePath

import datasets
import pytest

from limbeck.data.reading import Found
from limbeck.data.split_names import nearly
from limbeck.data.split_roles import choose, unused
from limbeck.data.tables import split_files
from limbeck.errors import BadInput
from limbeck.modalities.text.recipe import TextData
from limbeck.nlp.columns import find_text
from limbeck.nlp.sources import open_texts
from limbeck.vision.sources import open_images


def lines(count: int, start: int = 0, heading: str = "text,label") -> str:
    return heading + "\n" + "".join(f"take {start + row},{'ab'[row % 2]}\n" for row in range(count))


def folder(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def file(root: Path, text: str, name: str = "some.csv") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text.encode())
    return root / name


def found(path: Path) -> Found:
    rows = open_texts(str(path), None)
    assert isinstance(rows, Found)
    return rows


def refused(pattern: str, path: Path) -> None:
    with pytest.raises(BadInput, match=pattern) as caught:
        open_texts(str(path), None)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


# Which file is which split


def test_given_test_rows_stay_out_of_train_however_the_files_are_called(tmp_path):
    rows = found(folder(tmp_path / "a", **{"Train.csv": lines(12), "Test.csv": lines(4, 100)}))
    assert {split: len(rows[split]) for split in rows} == {"train": 12, "test": 4}
    assert rows["test"]["text"] == [f"take {100 + row}" for row in range(4)]
    assert rows.notes == ("the data's own splits: train has 12 rows (Train.csv); test has 4 rows (Test.csv).",)
    jsonl = "".join(json.dumps({"text": f"take {row}", "label": "ab"[row % 2]}) + "\n" for row in range(6))
    other = found(
        folder(
            tmp_path / "b",
            **{"training_data.csv": lines(8), "TEST.jsonl": jsonl, "MyDevSet.tsv": "text\tlabel\nx\ta\n"},
        )
    )
    assert {split: len(other[split]) for split in other} == {"train": 8, "validation": 1, "test": 6}
    datasets.Dataset.from_dict({"text": ["one"] * 3, "label": [0, 1, 0]}).to_parquet(tmp_path / "c.parquet")
    parquet = tmp_path / "d"
    parquet.mkdir()
    for name in ("TRAIN.parquet", "Validation.PARQUET"):
        (parquet / name).write_bytes((tmp_path / "c.parquet").read_bytes())
    assert set(found(parquet)) == {"train", "validation"}
    # image tables go the same way
    assert set(open_images(str(parquet), None)) == {"train", "validation"}


@pytest.mark.parametrize(
    ("files", "splits", "left"),
    [
        (
            ["my-train-00000-of-00002.csv", "my-train-00001-of-00002.csv", "my-test-00000-of-00001.csv"],
            "train 2 test 1",
            0,
        ),
        (["data/train-00000-of-00001.csv", "data/extra-00000-of-00001.csv", "other.csv"], "train 1 extra 1", 1),
        (["train/a.csv", "train/b.csv", "val/a.csv"], "train 2 validation 1", 0),
        (["train_test_split/Train.csv", "train_test_split/Eval.csv"], "train 1 test 1", 0),
        (["train.csv", "test.csv", "sample_submission.csv"], "train 1 test 1", 1),
        (["good.csv", "bad.csv", "latest.csv", "developers.csv"], "train 4", 0),
        (["trian.csv"], "train 1", 0),
        (["train1.csv", "train2.csv", "trained.csv"], "train 2", 1),
    ],
)
def test_words_of_names_tell_the_split(files, splits, left):
    grouped, out = split_files([PurePath(name) for name in files], Path("root"), "data.name")
    assert " ".join(f"{split} {len(those)}" for split, those in grouped.items()) == splits
    assert len(out) == left


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["train.csv", "tset.csv"], "'tset' is nearly 'test'"),
        (["trian.csv", "test.csv"], "'trian' is nearly 'train'"),
        (["train.csv", "Vaildation_2.csv"], "'Vaildation_2' is nearly 'validation'"),
        (["a.csv", "tests/b.csv"], "'tests' is nearly 'test'"),
        (["train_val.csv", "test.csv"], r"is named after several splits \(train, validation\)"),
        (["test/train.csv", "train.csv"], r"several splits \(test, train\)"),
        (["train.csv", "val.csv", "dev.csv"], "both dev.csv and val.csv are named after a validation split"),
        (["train.csv", "train.jsonl"], "look like the same table twice"),
    ],
)
def test_names_that_are_doubtful_are_refused(files, said):
    with pytest.raises(BadInput, match=said):
        split_files(sorted(PurePath(name) for name in files), Path("root"), "data.name")


@pytest.mark.parametrize("name", ["test.xlsx", "Test.ndjson", "test.csv.gz", "my-val-1.feather", "test/part.npy"])
def test_a_split_of_a_kind_that_is_not_read_is_named(tmp_path, name):
    refused(f"{name} is named after a (test|validation) split, and .* files are not read", folder(tmp_path, **{
        "train.csv": lines(6), name: "something",
    }))  # fmt: skip
    (tmp_path / name).rename(tmp_path / f"notes{Path(name).suffix}")
    if "/" in name:
        (tmp_path / "test").rmdir()
    assert list(found(tmp_path)) == ["train"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a.csv": "text,flag\nx,true\ny,false\n"}, {"b.csv": "text,flag\nx,0\ny,2\n"}),
        ({"a.csv": "text,flag\nx,0\ny,2\n"}, {"b.csv": "text,flag\nx,true\ny,false\n"}),
        ({"a.jsonl": '{"text": "x", "label": 3}'}, {"b.jsonl": '{"text": "x", "label": true}'}),
        ({"a.jsonl": '{"text": "x", "label": [true]}'}, {"b.jsonl": '{"text": "x", "label": [3]}'}),
        ({"a.jsonl": '{"text": "x", "label": 1}'}, {"b.jsonl": '{"text": "x", "label": "01"}'}),
    ],
)
def test_parts_of_a_split_that_would_change_in_being_put_together_are_refused(tmp_path, first, second):
    files = {f"train-{name}": text for name, text in (first | second).items()}
    refused(
        r"train-a\.\w+ and train-b\.\w+ are both of split 'train', and column '(label|flag)' is",
        folder(tmp_path, **files),
    )


def test_parts_of_a_split_that_keep_their_values_are_put_together(tmp_path):
    texts = {"train-1.jsonl": '{"text": "x", "label": "b"}', "train-2.jsonl": '{"text": "y", "label": 1}'}
    assert found(folder(tmp_path, **texts))["train"]["label"][:] == ["b", "1"]


def test_ordinary_words_are_no_misspelt_splits():
    words = "text texts best rest brain rain strain trait trail tasting texting latest contest value valley developer detest"
    assert [word for word in words.split() if nearly(word)] == []
    assert [nearly(word) for word in ("tran", "trainn", "treining", "validatoin", "tets")] == [
        "train",
        "train",
        "training",
        "validation",
        "test",
    ]


def test_pooled_files_and_those_left_out_are_named_with_their_rows(tmp_path):
    pooled = found(folder(tmp_path / "a", **{"good.csv": lines(3), "bad.csv": lines(5, 50), "readme.txt": "about\n"}))
    assert len(pooled["train"]) == 8
    assert pooled.notes == (
        "no file is named after a split, so all are train: train has 8 rows (bad.csv 5 rows, good.csv 3 rows).",
        "left out, since there are tables beside: readme.txt.",
    )
    kaggle = found(folder(tmp_path / "b", **{"train.csv": lines(3), "sample_submission.csv": "id,label\n1,a\n"}))
    assert kaggle.notes[1] == "left out, since their names are those of no split: sample_submission.csv."


def test_a_folder_made_for_the_hub_reads_as_the_library_reads_it(tmp_path):
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: one.csv\n  - split: test\n    path: two.csv\n---\n"
    rows = found(
        folder(tmp_path / "a", **{"README.md": card, "one.csv": lines(3), "two.csv": lines(5), "tset.csv": lines(1)})
    )
    assert {split: len(rows[split]) for split in rows} == {"train": 3, "test": 5}
    assert rows.notes == ("the data's own splits: train has 3 rows; test has 5 rows.",)


def test_each_split_has_columns_of_its_own_and_files_of_one_split_do_not(tmp_path):
    contest = folder(tmp_path / "a", **{"train.csv": lines(4), "test.csv": "id,text\n1,one\n2,two\n"})
    assert found(contest)["test"].column_names == ["id", "text"]
    odd = folder(
        tmp_path / "b", **{"test.csv": "id,text\n1,one\n", "test_labels.csv": "id,label\n1,a\n", "train.csv": lines(4)}
    )
    refused(r"test\.csv and test_labels\.csv are both of split 'test', and test_labels\.csv has no column 'text'", odd)
    kinds = folder(tmp_path / "c", **{"a.csv": "text,label\none,1\n", "b.csv": "text,label\none,x\n"})
    refused("column 'label' is int64 in one and string in the other", kinds)
    turned = found(folder(tmp_path / "d", **{"a.csv": "text,label\none,x\n", "b.csv": "label,text\n2,two\n"}))
    assert turned["train"].to_dict() == {"text": ["one", "two"], "label": ["x", "2"]}


def test_names_of_files_are_no_patterns(tmp_path):
    rows = found(folder(tmp_path / "a", **{"[train] *.csv": lines(3), "test?.csv": lines(2)}))
    assert {split: len(rows[split]) for split in rows} == {"train": 3, "test": 2}
    assert len(found(file(tmp_path / "b", lines(3), "reviews [final].csv"))["train"]) == 3


@pytest.mark.parametrize("asked", ["val", "Validation", "dev", "valid", "validation"])
def test_forms_of_a_split_s_name_meet_one_another(tmp_path, asked):
    rows = found(folder(tmp_path, **{"Train.csv": lines(4), "val.csv": lines(2), "Testing.csv": lines(3)}))
    train, validation, test = choose(rows, TextData(name="x", train="training", validation=asked))
    assert (len(train), len(validation or ()), len(test or ())) == (4, 2, 3)
    with pytest.raises(BadInput, match="'Testing' is the test split"):
        choose(rows, TextData(name="x", validation="Testing"))
    with pytest.raises(BadInput, match="'Training' is the training split"):
        choose(rows, TextData(name="x", validation="Training"))


def test_splits_that_play_no_part_are_named(tmp_path):
    rows = found(folder(tmp_path, **{"train.csv": lines(4), "val.csv": lines(2), "test.csv": lines(1)}))
    assert unused(rows, TextData(name="x", validation="dev")) == []
    assert unused(rows, TextData(name="x", test=None)) == [
        "the data's own split 'validation' is not used: data.validation: validation would.",
        "of the data's own splits these are not used: 'test' (1 row).",
    ]


def test_records_within_records_are_no_table(tmp_path):
    export = [{"id": 1, "annotations": [{"value": {"choices": ["pos"]}}], "data": {"text": "good"}}]
    rows = found(file(tmp_path, json.dumps(export), "some.json"))
    with pytest.raises(
        BadInput, match=r"no column holds texts of their own, only records within records \(export them flat"
    ):
        find_text(rows["train"].features, None, None)


# What pandas would shift, cut off or guess


def test_a_row_with_more_fields_than_headings_is_refused_with_its_line(tmp_path):
    text = 'text,label\n"one, two\nthree",a\n\ngood, really,b\n'
    refused(
        r"some\.csv, line 5 has 3 fields and there are 2 headings \(text, label\): a text with a comma",
        file(tmp_path, text),
    )
    # as in the first row, of which pandas makes an index without a word
    refused("line 2 has 3 fields", file(tmp_path / "first", "text,label\nno, never,b\nno, not,a\n"))
    refused(
        "line 3 has 3 fields.*a text with a tab", file(tmp_path / "tabs", "text\tlabel\na\tb\nc\td\te\n", "some.tsv")
    )


def test_quoted_commas_breaks_and_quotes_stay_as_they_are(tmp_path):
    text = 'text,label\r\n"one, two\r\nthree",a\r\n"she said ""no""",b\r\n5" wide,a\r\n'
    rows = found(file(tmp_path, text))["train"]
    assert rows["text"] == ["one, two\r\nthree", 'she said "no"', '5" wide']
    assert rows["label"] == ["a", "b", "a"]
    refused("line 3: a quote is opened that is never closed", file(tmp_path / "b", 'text,label\nx,a\n"so,b\ny,a\n'))
    refused("line 2: a field that begins with a quote goes on", file(tmp_path / "c", 'text,label\n"so" it is,b\n'))


def test_fewer_fields_are_empty_and_counted(tmp_path):
    rows = found(file(tmp_path, "text,label,source\none,a\ntwo,b,web\nthree,a\n"))
    assert rows["train"]["label"] == ["a", "b", "a"]
    assert rows.notes[1] == (
        "some.csv: 2 rows have fewer fields than the 3 headings, the first on line 2; what is missing is taken for empty."
    )


@pytest.mark.parametrize("headings", ["text,label", "text,label,,", "text,label,"])
def test_a_spreadsheet_s_trailing_commas_shift_nothing(tmp_path, headings):
    text = "\ufeff" + headings + '\r\none,a,,\r\n"two, too",b,,\r\nthree,a\r\n'
    rows = found(file(tmp_path, text))
    assert rows["train"].to_dict() == {"text": ["one", "two, too", "three"], "label": ["a", "b", "a"]}
    assert rows.notes[1] == "some.csv: fields that have no heading and hold nothing are left out."


def test_a_file_without_headings_or_with_the_headings_twice(tmp_path):
    rows = [("good film", "pos"), ("bad film", "neg"), ("fine", "pos"), ("dull", "neg"), ("great", "pos")]
    refused(
        r"the first line \('good film', 'pos'\) looks like an example and not like headings",
        file(tmp_path / "a", "".join(f"{text},{label}\n" for text, label in rows)),
    )
    refused("the first line .* looks like an example", file(tmp_path / "b", "great,5\nbad,1\nso so,3\n"))
    refused("line 4 has the headings a second time", file(tmp_path / "c", lines(2) + lines(2)))
    refused("two columns have the heading 'text'", file(tmp_path / "d", "text,text\na,b\n"))
    assert len(found(file(tmp_path / "e", "text,2019\na,x\nb,y\n"))["train"]) == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_not_taken_for_latin1(tmp_path, encoding):
    path = tmp_path / "some.csv"
    path.write_bytes(lines(5).encode(encoding))
    refused(r"some\.csv is UTF-(16|32).*save it as UTF-8 \(iconv -f utf-(16|32)", path)
    with pytest.raises(BadInput) as caught:
        open_texts(str(path), None)
    assert "atin" not in str(caught.value)
    advised = str(caught.value).split("iconv -f ")[1].split()[0]
    assert path.read_bytes().decode(codecs.lookup(advised).name) == lines(5)
