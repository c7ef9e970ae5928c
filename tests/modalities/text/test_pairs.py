"""Pairs of texts from recipe to report and answers: a label that neither side has by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

pytest.importorskip("transformers")

import transformers

from limbeck.modalities.text import predict
from limbeck.modalities.text.task import TextClassification
from limbeck.models.identity import identity
from limbeck.pipeline.export import exporter_of
from tests.helpers import text_pair_runs
from tests.helpers.text_pair_runs import CLASSES, COUNTS, pairs
from tests.helpers.text_runs import job, limbeck
from tests.helpers.tiny import environment
from tests.helpers.tiny_text import SPECIAL, WORDS, tiny_tokenizer

UNSEEN = [("film good", "film"), ("film", "the good film"), ("the very bad plot it", "the film")]

ALONE = """
import json, pathlib, sys
sys.modules.update(limbeck=None, torch=None, transformers=None)
import predict
pairs = [tuple(pair) for pair in json.loads(sys.argv[1])]
print(json.dumps([[dict(p.classes) for p in predict.predict(pathlib.Path(f"student/{file}.onnx"), pairs, 9)]
                  for file in ("model", "model.int8")]))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A whole run, a transfer set of pairs and views among it."""
    folder = text_pair_runs.write(tmp_path_factory.mktemp("pairs") / "one")
    asked = ("--set", "data.transfer.name=transfer.jsonl", "--set", "views.replace=0.05", "--set", "targets.views=2")
    code, _, err = limbeck(folder, "run", "tiny.yaml", "--threads", 1, "--out", "run", *asked)
    assert code == 0, err
    return folder, json.loads((folder / "run" / "results.json").read_text())


def by_transformers(student: Path, texts: list[tuple[str, str]]) -> torch.Tensor:
    """Logits of the folder that a person downloads, a pair at a time."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(student).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(student)
    with torch.no_grad():
        return torch.cat([model(**tokenizer(*pair, return_tensors="pt")).logits for pair in texts])


def test_a_student_learns_what_neither_side_says(finished) -> None:
    _, results = finished
    assert results["data"]["pair"] == ["premise", "hypothesis"]
    assert {key: results["data"][key] for key in COUNTS} == COUNTS
    assert results["data"]["transfer"] > 50
    for role in ("teacher", "student"):  # one side alone is right in half of the cases
        assert results[role]["metrics"]["accuracy"]["mean"] > 0.9, role
    assert results["export"]["parity"]["passed"] is True
    assert results["export"]["int8"]["agreement"] > 0.9


def test_all_ways_to_ask_answer_alike(finished) -> None:
    folder, _ = finished
    expected = by_transformers(folder / "run" / "student", UNSEEN).softmax(1)
    names = [given.name for given in onnx.load(folder / "run" / "student" / "model.onnx").graph.input]
    assert names == ["input_ids", "attention_mask", "token_type_ids"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(UNSEEN)],
        cwd=folder / "run", env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    exact, rounded = json.loads(done.stdout)
    for row, pair, alone, close in zip(expected, UNSEEN, exact, rounded, strict=True):
        code, said, err = limbeck(folder, "predict", "run", *pair, "--json")
        assert code == 0, err
        (answer,) = json.loads(said)
        assert answer["text"] == list(pair)
        told = {one["class"]: one["probability"] for one in answer["top"]}
        for one in (told, alone):
            assert [one[name] for name in CLASSES] == pytest.approx(row.tolist(), abs=1e-4)
        assert [close[name] for name in CLASSES] == pytest.approx(row.tolist(), abs=0.15)
    script = [sys.executable, "predict.py", "student/model.onnx", *UNSEEN[0]]
    printed = subprocess.run(script, cwd=folder / "run", env=environment(), capture_output=True, text=True, timeout=120)
    assert printed.stdout.startswith("film good | film: same ")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["film"], "1 text was given, and this model takes a pair: give its two sides, 'premise' and 'hypothesis'"),
        (["film", "plot", "actor", "film"], "4 texts were given, and this model takes a pair"),
        (["film", " "], "'hypothesis' is empty"),
    ],
)
def test_another_number_of_texts_is_refused(finished, texts: list[str], said: str) -> None:
    folder, _ = finished
    code, out, err = limbeck(folder, "predict", "run", *texts)
    assert (code, out, said in err) == (2, "", True), err


def test_report_and_card_show_both_sides(finished) -> None:
    folder, _ = finished
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    shown = [
        pair for pair, _ in pairs(sum(COUNTS.values()))[-COUNTS["test"] :]
        if "".join(f"<blockquote><bdi>{side}</bdi></blockquote>" for side in pair) in page
    ]  # fmt: skip
    assert shown
    card = (folder / "run" / "student" / "README.md").read_text(encoding="utf-8")
    assert "the premise is the first text and the hypothesis the second" in card
    assert '"token_type_ids": np.array([tokens.type_ids])' in card
    # what the card tells to do works as it stands, and says the same
    blocks = [part.split("```")[0] for part in card.split("```python\n")[1:]]
    piped, runtime = (block.replace('"..."', '"film good"', 1).replace('"..."', '"film"', 1) for block in blocks[:2])
    done = subprocess.run(
        [sys.executable, "-c", f"{piped}\n{runtime}\nprint(*logits)"],
        cwd=folder / "run" / "student", env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = by_transformers(folder / "run" / "student", UNSEEN[:1])[0]
    assert [float(number) for number in done.stdout.splitlines()[-1].split()] == pytest.approx(
        expected.tolist(), abs=1e-4
    )
    assert "'label': 'same'" in done.stdout


def test_padding_and_bucketing_do_not_change_answers(tmp_path: Path) -> None:
    folder = text_pair_runs.write(tmp_path / "here")
    one = job(folder, folder / "run")
    task: Any = one.task
    tokenizer = task.tokenizer
    texts = task.held_out.texts
    with torch.no_grad():
        alone = torch.cat([one.teacher(**tokenizer(*pair, return_tensors="pt")).logits for pair in texts])
    for size, multiple in ((100, 1), (7, 8)):
        other = TextClassification(one.splits, view_seed=0, batch_size=size, multiple_of=multiple)
        torch.testing.assert_close(other.logits(one.teacher, task.held_out), alone, atol=1e-5, rtol=1e-5)
        source = other.source(task.held_out, views=one.recipe.views, seed=0, batch_size=size)
        place = {id_: row for row, id_ in enumerate(task.held_out.ids.tolist())}
        for step in range(source.steps_per_epoch()):
            batch = source.next(step, one.teacher)
            rows = [place[id_] for id_ in batch.ids.tolist()]
            with torch.no_grad():
                said = other.answer(one.teacher, batch)
            torch.testing.assert_close(said, alone[rows], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("family", "student"), [("roberta", "shrunk"), ("distilbert", "conv"), ("bert", "fresh")])
def test_families_without_segments_and_students_of_every_kind(tmp_path: Path, family: str, student: str) -> None:
    folder = text_pair_runs.write(tmp_path / "here", family, segments=family == "bert")
    out = folder / "run"
    used = "all" if family == "roberta" else "used"
    one = job(folder, out, f"student={{model: {student}, layers: 1, vocabulary: {used}}}")
    reads = 2 if family == "bert" else 0
    task: Any = one.task
    assert task.segments == reads
    assert ("segments" in one.task.input_facts(None)) == bool(reads)
    assert any("reads no segment ids" in note for note in one.notes) == (not reads)
    assert identity(one.teacher, one.task.probe(None))["probe"]
    model = one.student(0).eval()
    deployed = exporter_of(one, one.splits.test.open("figures")).export(model, "student", tmp_path / "export")
    assert deployed.facts["parity"]["passed"]
    inputs = [given.name for given in onnx.load(deployed.path).graph.input]
    assert ("token_type_ids" in inputs) == (bool(reads) and student == "fresh")
    texts = list(one.task.held_out.texts[:20])
    logits = task.logits(model, one.task.held_out)[:20]
    torch.testing.assert_close(by_transformers(tmp_path / "export" / "student", texts), logits, atol=1e-5, rtol=1e-4)


def test_every_batch_is_cut_on_the_side_that_the_tokenizer_says() -> None:
    tokenizer = tiny_tokenizer().backend_tokenizer
    tokenizer.enable_truncation(8, direction="left")
    tokenizer.enable_padding(pad_id=4)
    metadata = predict.Metadata("", (), False, 8, 10_000, "tokenizer.json", pair=("a", "b"))
    batch = [("the film is good and bright", "it is"), ("love", "hate")]
    first, second = (predict.model_inputs(tokenizer, batch, metadata)["input_ids"].tolist() for _ in range(2))
    words = {token: number for number, token in enumerate(SPECIAL + WORDS)}
    assert first[0] == [words[one] for one in ("[CLS]", "good", "and", "bright", "[SEP]", "it", "is", "[SEP]")]
    assert first == second
    assert first[1][-1] == 4
