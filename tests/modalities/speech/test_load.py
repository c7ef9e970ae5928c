"""What is loaded: clips, labels, transcripts, the same whichever way a data set was written."""

import json

import datasets
import numpy as np
import pytest
import torch

from limbeck.errors import BadInput
from limbeck.interfaces import IGNORED
from limbeck.modalities.speech.data_sections import Data, SpeechData
from limbeck.modalities.speech.examples import text_of
from limbeck.modalities.speech.load import load
from tests.helpers.written_sounds import encoded, tone, write_class_folder


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    monkeypatch.delenv("LIMBECK_DATA", raising=False)


COUNT = 40
SAID = ["red fox", "a  Cat", "no", "é-mail & more"]


def rows(**more):
    """Ten speakers, two classes, four transcripts; the sounds are (S,) float32."""
    return [
        {"label": ("no", "yes")[n % 2], "speaker": f"s{n % 10}", "text": SAID[n % 4], "sound": tone(n), **more}
        for n in range(COUNT)
    ]


def as_parquet(root, kind):
    made = []
    for n, row in enumerate(rows()):
        sound = row.pop("sound")
        cell = {
            "bytes": {"bytes": encoded(sound, subtype="FLOAT"), "path": None},
            "decoded": {"array": sound.astype(np.float64).tolist(), "sampling_rate": 8000},
            "path": {"bytes": None, "path": str(_file(root / "files", n, sound))},
        }[kind]
        made.append({"audio": cell, **row})
    root.mkdir(exist_ok=True)
    if kind != "decoded":
        text = datasets.Value("string")
        features = datasets.Features({"audio": datasets.Audio(decode=kind == "path"), **dict.fromkeys(("label", "speaker", "text"), text)})  # fmt: skip
        table = datasets.Dataset.from_list([{**row, "audio": None} for row in made]).remove_columns("audio")
        struct = datasets.Features({"audio": {"bytes": datasets.Value("binary"), "path": text}})
        audio = datasets.Dataset.from_list([{"audio": row["audio"]} for row in made], features=struct)
        table = datasets.concatenate_datasets([audio, table], axis=1).cast(features)
        table.to_parquet(root / "train.parquet")
    else:
        datasets.Dataset.from_list(made).to_parquet(root / "train.parquet")


def _file(folder, n, sound):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{n:03}_s{n % 10}.wav"
    path.write_bytes(encoded(sound, subtype="FLOAT"))
    return path


def as_table(root, kind):
    lines = []
    for n, row in enumerate(rows()):
        path = _file(root / "clips", n, row.pop("sound")).relative_to(root)
        lines.append({"path": str(path), **row})
    if kind == "jsonl":
        (root / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        text = "\n".join(",".join(f'"{value}"' for value in line.values()) for line in lines)
        (root / "train.csv").write_text(f"path,label,speaker,text\n{text}\n", encoding="utf-8")


@pytest.mark.parametrize("way", ["bytes", "decoded", "path", "csv", "jsonl"])
def test_the_same_clips_whichever_way_they_were_written(tmp_path, way):
    root = tmp_path / "set"
    (as_table if way in ("csv", "jsonl") else as_parquet)(root, way)
    splits = load(Data(name=str(root), group="speaker", label="label", seconds=0.5, validation_fraction=0.25))
    test = splits.test.open("figures")
    assert (splits.classes, splits.rate, splits.samples) == (("no", "yes"), 8000, 4000)
    everyone = [splits.train, splits.validation, test]
    assert sum(map(len, everyone)) == COUNT
    speakers = [set(part.groups.present) for part in everyone]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 10  # no speaker stands on two sides
    said = {}
    for part in everyone:
        for at in range(len(part)):
            said[round(float(part.waveform(at).double().sum()), 5)] = int(part.labels[at])
    assert said == {round(float(row["sound"].astype(np.float64).sum()), 5): n % 2 for n, row in enumerate(rows())}
    if way != "bytes":
        return
    as_table(tmp_path / "again", "csv")
    again = load(
        Data(name=str(tmp_path / "again"), group="speaker", label="label", seconds=0.5, validation_fraction=0.25)
    )
    assert again.fingerprint == splits.fingerprint  # ids are hashes of what is heard
    other = Data(name=str(root), group="speaker", label="label", seconds=0.5, validation_fraction=0.25, rate=16_000)
    faster = load(other)
    assert torch.equal(faster.train.ids, splits.train.ids)
    assert faster.fingerprint != splits.fingerprint
    assert faster.train.lengths.tolist() == [2 * length for length in splits.train.lengths.tolist()]
    assert any("8,000 samples a second and were brought to 16,000" in note for note in faster.notes)


def test_transcripts_become_symbols_of_an_alphabet(tmp_path):
    as_table(tmp_path, "csv")
    given = {"name": str(tmp_path), "group": "speaker", "text": "text", "validation_fraction": 0.25}
    splits = load(SpeechData(**given))
    assert splits.answers.kind == "frames"
    assert splits.alphabet[0] == ""
    train = splits.train
    assert [text_of(symbols, splits.alphabet) for symbols in train.labels] == list(train.texts)
    assert set(train.texts) <= {"red fox", "a cat", "no", "é-mail & more"}
    assert int((train.labels[train.texts.index("no")] != IGNORED).sum()) == 2 if "no" in train.texts else True
    with pytest.raises(BadInput) as error:
        load(SpeechData(**given, alphabet="abcdefghijklmnopqrstuvwxyz "))
    for part in (
        "10 of 40 transcripts",
        "'é' 10 times",
        "'&' 10 times",
        "first in row 3",
        "data.replace",
        "on_unknown",
    ):
        assert part in str(error.value)
    whole = {"alphabet": "abcdefghijklmnopqrstuvwxyz ", "replace": {"É": "e", "-": " ", "&": "and"}}
    mapped = load(SpeechData(**given, **whole))
    parts = (mapped.train, mapped.validation, mapped.test.open("figures"))
    assert "e mail and more" in {text for part in parts for text in part.texts}
    with pytest.raises(BadInput, match="split 'train': every transcript has letters that the alphabet lacks"):
        load(SpeechData(**given, alphabet="0123", on_unknown="skip"))
    skipped = load(SpeechData(**given, alphabet="abcdefghijklmnopqrstuvwxyz ", on_unknown="skip"))
    assert sum(len(part) for part in (skipped.train, skipped.validation, skipped.test.open("figures"))) == 30
    assert skipped.counted["train"]["unfit"] == 10
    dropped = load(SpeechData(**given, alphabet="abcdefghijklmnopqrstuvwxyz ", on_unknown="drop"))
    parts = (dropped.train, dropped.validation, dropped.test.open("figures"))
    assert "mail more" in {text for part in parts for text in part.texts}


def test_a_folder_of_classes_is_the_same_data_however_its_path_is_written(tmp_path, monkeypatch):
    write_class_folder(tmp_path / "words", count=20)
    write_class_folder(tmp_path / "more", count=20, start=100)
    whole = load(Data(name=str(tmp_path / "words"), transfer={"name": str(tmp_path / "more")}))
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    splits = load(Data(name="../words", transfer={"name": "../more"}))
    assert (splits.fingerprint, splits.elsewhere) == (whole.fingerprint, whole.elsewhere) == (whole.fingerprint, False)
    assert splits.transfer is not None
    assert whole.transfer is not None
    assert splits.transfer.ids.tolist() == whole.transfer.ids.tolist()


def test_folders_of_sounds_are_classes_whose_speakers_stay_together(tmp_path):
    for split, count in (("train", 20), ("test", 4)):
        for place, name in enumerate(("no", "yes")):
            for n in range(count):
                one = n * 2 + place + (500 if split == "test" else 0)
                path = tmp_path / split / name / f"s{n % 5}_{n:02}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded(tone(one)))
    (tmp_path / "train" / "no" / "notes.txt").write_text("none")
    (tmp_path / "train" / "yes" / "late.m4a").write_bytes(bytes(10))
    splits = load(Data(name=str(tmp_path), group="(s[0-9])_", seconds=0.25, validation_fraction=0.3))
    assert splits.classes == ("no", "yes")
    assert len(splits.train) + len(splits.validation) == 40
    assert not splits.train.groups.shared_with(splits.validation.groups)
    assert len(splits.validation.groups.present) >= 1
    assert splits.test.open("figures").labels.tolist() == [0] * 4 + [1] * 4
    said = " ".join(splits.notes)
    assert "libsndfile does not read such sounds (convert them to WAV or FLAC): 1 .m4a" in said
    assert "no sounds that libsndfile reads: 1 .txt" in said
    # The same folder, whatever stands in it, as sound without labels.
    transfer = load(Data(name=str(tmp_path), seconds=0.25, transfer={"name": str(tmp_path / "test")}))
    assert transfer.transfer is not None
    assert len(transfer.transfer) == 8
    assert transfer.transfer.labels is None
    for name in ("train", "test"):  # folders of persons beside a table of what is said in them
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,text", *(f"{path.relative_to(tmp_path)},ab" for path in sorted((tmp_path / name).rglob("*.wav")))]))  # fmt: skip
    spoken = load(SpeechData(name=str(tmp_path)))
    assert set(spoken.train.texts) == {"ab"}
    assert (len(spoken.train) + len(spoken.validation), spoken.test.count) == (40, 8)
    (tmp_path / "other" / "a").mkdir(parents=True)
    (tmp_path / "other" / "a" / "x.m4a").write_bytes(bytes(10))
    with pytest.raises(BadInput, match="convert them with FFmpeg"):
        load(Data(name=str(tmp_path / "other")))


def test_a_table_that_names_sounds_is_read_and_not_the_folders_that_they_lie_in(tmp_path):
    for split, count in (("train", 20), ("test", 4)):
        write_class_folder(tmp_path, classes=(f"{split}_sounds",), count=count, start=0 if split == "train" else 100)
        lines = [f"{path.relative_to(tmp_path)},{'ab'[n % 2]}" for n, path in enumerate(sorted((tmp_path / f"{split}_sounds").iterdir()))]  # fmt: skip
        (tmp_path / f"{split}.csv").write_text("\n".join(["where it lies,label", *lines]))
    splits = load(Data(name=str(tmp_path), audio="where it lies"))
    assert (splits.classes, len(splits.train) + len(splits.validation), splits.test.count) == (("a", "b"), 20, 4)
    write_class_folder(tmp_path / "words", count=20)
    (tmp_path / "words" / "people.csv").write_text("name,age\nann,3\n")
    assert load(Data(name=str(tmp_path / "words"))).classes == ("no", "yes")


def test_a_table_of_metadata_names_files_from_its_own_folder(tmp_path):
    for split, first in (("train", 0), ("test", 100)):
        write_class_folder(tmp_path / split, classes=("clips",), count=20, start=first)
    lines = [f"{split}/clips/{n:04}.wav,{'ab'[n % 2]},hi{n % 3}" for split, n0 in (("train", 0), ("test", 100)) for n in range(n0, n0 + 20)]  # fmt: skip
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,label,text", *lines, "elsewhere.wav,a,hi"]))
    splits = load(Data(name=str(tmp_path), label="label"))
    assert (len(splits.train) + len(splits.validation), splits.test.count) == (20, 20)
    assert any("folder of no split: 1 row of metadata.csv" in note for note in splits.notes)
    (tmp_path / "metadata.csv").unlink()
    for split, n0 in (("train", 0), ("test", 100)):
        own = [f"clips/{n:04}.wav,{'ab'[n % 2]},hi{n % 3}" for n in range(n0, n0 + 20)]
        (tmp_path / split / "metadata.csv").write_text("\n".join(["file_name,label,text", *own]))
    assert load(Data(name=str(tmp_path), label="label")).fingerprint == splits.fingerprint
    spoken = load(SpeechData(name=str(tmp_path)))
    assert spoken.alphabet == ("", "0", "1", "2", "h", "i")
    assert any("data.group with the column of transcripts" in note for note in spoken.notes)
    together = load(SpeechData(name=str(tmp_path), group="text", validation_fraction=0.3))
    assert not set(together.train.texts) & set(together.validation.texts)


def test_what_a_table_says_of_its_sounds_is_held_to_the_files(tmp_path):
    kinds = {"audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}, "label": datasets.Value("string")}  # fmt: skip
    cells = [{"audio": {"bytes": encoded(tone(n)), "path": None}, "label": "ab"[n % 2]} for n in range(40)]
    rows = datasets.Dataset.from_list(cells, features=datasets.Features(kinds))
    rows.cast_column("audio", datasets.Audio(sampling_rate=16_000)).save_to_disk(str(tmp_path / "saved"))
    splits = load(Data(name=str(tmp_path / "saved")))
    assert (splits.rate, splits.counted["train"]) == (8000, {"otherwise": 40})
    assert not splits.elsewhere
    (tmp_path / "listed").mkdir()
    write_class_folder(tmp_path / "sounds", count=10)
    lines = [f"../sounds/{name}/{2 * n + at:04}.wav,{name}" for n in range(10) for at, name in enumerate(("no", "yes"))]
    (tmp_path / "listed" / "train.csv").write_text("\n".join(["path,label", *lines]))
    assert load(Data(name=str(tmp_path / "listed"))).elsewhere
    write_class_folder(tmp_path / "quiet", count=5)
    for file in (tmp_path / "quiet").rglob("*.wav"):
        file.write_bytes(encoded(np.zeros(500)))
    with pytest.raises(BadInput, match="the 10 clips of split 'train' are all silent"):
        load(Data(name=str(tmp_path / "quiet")))


def test_clips_that_are_unlike_the_rest_are_counted_and_named(tmp_path):
    as_table(tmp_path, "csv")
    clips = tmp_path / "clips"
    (clips / "000_s0.wav").write_bytes(encoded(np.zeros(900)))
    (clips / "001_s1.wav").write_bytes(encoded(tone(1, seconds=0.7)))
    (clips / "002_s2.wav").write_bytes(encoded(np.stack([tone(2)] * 2, axis=1)))
    splits = load(Data(name=str(tmp_path), label="label", seconds=0.5))
    assert splits.counted["train"] == {"silent": 1, "cut": 1, "mixed": 1}
    assert sum("row 0 (clips/000_s0.wav)" in note and "silent" in note for note in splits.notes) == 1
    long = load(SpeechData(name=str(tmp_path), text="text", seconds=0.5))
    assert long.counted["train"]["long"] == 1
    (clips / "003_s3.wav").write_bytes(b"no sound at all")
    (clips / "004_s4.wav").write_bytes(encoded(np.zeros(0)))
    with pytest.raises(BadInput, match=r"row 3 \(clips/003_s3.wav\): the sound cannot be used: it is no sound"):
        load(Data(name=str(tmp_path), label="label"))
    skipped = load(Data(name=str(tmp_path), label="label", on_corrupt="skip"))
    assert skipped.counted["train"]["corrupt"] == 2
    assert any("row 3 (clips/003_s3.wav), row 4 (clips/004_s4.wav)" in note for note in skipped.notes)
    (clips / "003_s3.wav").unlink()
    with pytest.raises(BadInput, match=r"row 3 \(clips/003_s3.wav\).*there is no such file; relative paths start at"):
        load(Data(name=str(tmp_path), label="label"))
