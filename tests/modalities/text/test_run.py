"""Text classification from end to end: a run's products, and what changes with what."""

import json
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import onnx
import pytest
import torch
import transformers
from onnx import TensorProto

from limbeck.api import load
from limbeck.deploy.formats import cost
from limbeck.deploy.latency import in_turns
from limbeck.interfaces import DenseLogits, Target
from limbeck.modalities.text.students import text_student
from limbeck.nlp.vocabulary import FromTeacherIds, smaller_tokenizer
from limbeck.pipeline.more_formats import export_as
from limbeck.pipeline.objective import supervised
from limbeck.pipeline.parallel import Asked
from limbeck.pipeline.parallel import _share_of_students as share_of_students
from limbeck.pipeline.students import plan_of
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.targets.live_teacher import LiveTeacher
from limbeck.targets.stored_teacher import StoredTeacher
from tests.helpers import text_runs
from tests.helpers.text_runs import CLASSES, COUNTS, FLAGS, job, limbeck, recipe
from tests.helpers.tiny import digest, environment, folder_of, snapshot, train
from tests.modalities.text.finished_runs import TEXTS, TRAINED, Run, by_the_command, by_transformers, run
from tests.pipeline.test_kills import Launcher, until
from tests.pipeline.test_kills import finished as finished_stage
from tests.pipeline.test_run import STAGES, TOP_LEVEL

ARMS = ("student", "baseline", "smoothed")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(text_runs.write(tmp_path_factory.mktemp("texts") / "one"), *TRAINED)


@pytest.fixture
def here(finished: Run, tmp_path: Path) -> Path:
    """The folder of the finished run again, files with their times."""
    return Path(shutil.copytree(finished.folder, tmp_path / "here"))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(text_runs.write(tmp_path_factory.mktemp("flags") / "several", several=True))


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    started = Launcher(
        tmp_path_factory.mktemp("killed"), "limbeck.modalities.text.export, limbeck.modalities.text.modality"
    )
    yield started
    started.end()


ALONE = """
import json, pathlib, sys
sys.modules.update(limbeck=None, torch=None, transformers=None)
import predict
print(json.dumps([[dict(p.classes) for p in predict.predict(pathlib.Path(f"student/{file}.onnx"), sys.argv[1:], 9)]
                  for file in ("model", "model.int8")]))
"""


def by_itself(run: Path, texts: list[str]) -> list[list[dict[str, float]]]:
    """What ``predict.py`` says, with the float32 file and with the int8 one, where nothing but its needs is installed."""
    command = [sys.executable, "-c", ALONE, *texts]
    done = subprocess.run(command, cwd=run, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- the whole of it


def test_a_run_leaves_its_products_and_results_hold_every_field(finished: Run) -> None:
    assert {path.name for path in finished.out.iterdir()} == {
        "recipe.yaml", "results.json", "report.html", "student", "teacher", "predict.py", "measure.py", "test_reads.json", "stages",
    }  # fmt: skip
    for name in STAGES:
        done = json.loads((folder_of(finished.out, name) / "done.json").read_text())
        assert {file: digest(folder_of(finished.out, name) / file) for file in done["files"]} == done["files"]
    results = finished.results
    assert set(results) == TOP_LEVEL
    assert results["task"] == "text-classification"
    assert {key: results["data"][key] for key in COUNTS} == COUNTS
    assert results["data"]["multi_label"] is False
    documented = (Path(__file__).parents[3] / "docs" / "results-schema.md").read_text()
    inside = {*results["data"], *results["student"], *results["export"], *results["export"]["int8"]}
    assert {field for field in inside if f"`{field}`" not in documented} == set()
    for role in ("teacher", *ARMS):
        section = results[role]
        assert min(section["parameters"], section["macs"], section["bytes"], section["latency_ms"]["cpu_p50"]) > 0
        assert section["latency_by_length"]["32"] == section["latency_ms"]
    assert results["teacher"]["metrics"]["accuracy"]["mean"] > 0.9  # its labels stand in another order
    assert results["export"]["path"] == "student/model.onnx"
    assert (finished.out / results["export"]["path"]).exists()
    assert results["export"]["parity"]["passed"] is True
    assert results["export"]["int8"]["n"] == COUNTS["test"]
    for name in ("teacher", "targets"):
        assert results["fingerprints"][name] == folder_of(finished.out, name).name
    assert [one["purpose"] for one in results["test_reads"]] == ["evaluation"]


def test_its_student_is_exported_with_a_scale_for_each_word(
    finished: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "in_turns", partial(in_turns, seconds=0.2))  # how fast it is is no claim here
    monkeypatch.chdir(here)  # its recipe names folders as seen from there
    out = here / finished.out.relative_to(finished.folder)
    results = export_as(out, ["onnx-int8"], "smallest")
    small, file = results["formats"]["files"]["onnx-int8"], out / "student" / "model.int8.onnx"
    assert small["bytes"] == results["export"]["int8"]["bytes"] == file.stat().st_size
    assert results["formats"]["path"] == "student/model.int8.onnx"
    assert small["kernels"]["int8"]
    assert set(small["latency_by_length"]) == set(results["student"]["latency_by_length"])
    words = json.loads((out / "student" / "config.json").read_text())["vocab_size"]
    of_words = [one for one in onnx.load(file).graph.initializer if one.dims[:1] == [words]]
    assert {(one.data_type, one.dims[1] == 1) for one in of_words} == {
        (TensorProto.INT8, False),
        (TensorProto.FLOAT, True),
    }
    assert by_the_command(out, TEXTS) != by_the_command(finished.out, TEXTS)


def test_all_ways_to_ask_the_student_answer_alike(finished: Run) -> None:
    student = finished.out / "student"
    long = " ".join(["good film"] * 40)  # beyond data.max_length, where the command cuts off
    expected = by_transformers(student, TEXTS).softmax(1)
    labels = transformers.AutoConfig.from_pretrained(student).id2label
    assert tuple(labels.values()) == tuple(sorted(CLASSES))
    piped = transformers.pipeline("text-classification", str(student))(TEXTS, top_k=None)
    for row, answer in zip(expected, piped, strict=True):
        told = {one["label"]: one["score"] for one in answer}
        assert [told[labels[c]] for c in range(2)] == pytest.approx(row.tolist(), abs=1e-4)
    by_command = by_the_command(finished.out, [*TEXTS, long])
    exact, rounded = by_itself(finished.out, [*TEXTS, long])
    loaded = load(finished.out)([*TEXTS, long]).softmax(1)  # which cuts off too
    assert [[told[labels[c]] for c in range(2)] for told in exact] == [
        pytest.approx(row, abs=1e-4) for row in loaded.tolist()
    ]
    for row, *others in zip(expected, by_command, exact, strict=False):
        for told in others:
            assert [told[labels[c]] for c in range(2)] == pytest.approx(row.tolist(), abs=1e-4)
    assert exact[-1] == pytest.approx(by_command[-1], abs=1e-4)
    code, said, err = limbeck(finished.out, "predict", ".", "love", " ")
    assert (code, said, "text 2 is empty" in err) == (2, "", True), err
    (finished.out.parent / "picture.png").write_bytes(b"")
    code, said, err = limbeck(finished.out.parent, "predict", finished.out.name, "picture.png")
    assert code == 0
    assert said.startswith("picture.png: ")
    assert err == "picture.png is a file; its name was classified, since this model takes texts.\n"
    assert [sum(one.values()) for one in rounded] == pytest.approx([1.0] * 4)
    assert max(abs(a[name] - b[name]) for a, b in zip(exact, rounded, strict=True) for name in a) < 0.1


def test_card_and_report_tell_of_the_texts_and_nothing_in_them_is_markup(finished: Run) -> None:
    card = (finished.out / "student" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert f"{finished.results['student']['metrics']['accuracy']['mean']:.1%}"[:-1] in card.replace(" %", "%")
    assert "<script>" not in card.split("---", 2)[2].replace("`<script>", "`")
    page = (finished.out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    assert "&lt;script&gt;good" in page  # the class
    shown = [text for text in texts_of(finished.folder, "test") if text.replace("<script>", "&lt;script&gt;") in page]
    assert shown


def texts_of(folder: Path, split: str) -> list[str]:
    lines = (folder / "data" / f"{split}.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split(",")[0] for line in lines]


def test_a_second_run_does_nothing_and_a_plan_says_so(finished: Run) -> None:
    before, results = snapshot(finished.out / "stages"), (finished.out / "results.json").read_bytes()
    products = snapshot(finished.out / "student")
    again = run(finished.folder, *TRAINED)
    assert snapshot(finished.out / "stages") == before
    assert (finished.out / "results.json").read_bytes() == results
    assert {name: digest_ for name, (_, digest_) in snapshot(finished.out / "student").items()} == {
        name: digest_ for name, (_, digest_) in products.items()
    }
    assert again.results["test_reads"] == finished.results["test_reads"]
    code, said, err = limbeck(finished.folder, "run", "tiny.yaml", "--out", "run", "--plan", *TRAINED)
    assert code == 0, err
    assert len(re.findall(r"finished|done", said)) >= len(STAGES)


def test_a_plan_of_a_new_run_writes_nothing(finished: Run) -> None:
    before = snapshot(finished.folder)
    code, said, err = limbeck(finished.folder, "run", "tiny.yaml", "--out", "other", "--plan", *TRAINED)
    assert code == 0, err
    assert all(word in said for word in ("teacher", "targets", "student"))
    assert snapshot(finished.folder) == before
    assert not (finished.folder / "other").exists()


# --- stopped, and shared out


@pytest.mark.slow
def test_killed_and_resumed_and_shared_out_the_weights_are_the_same(tmp_path: Path, launched: Launcher) -> None:
    asked = ("teacher.train.epochs=3", "targets.views=8", "views.replace=0.2", "train.epochs=4")
    folder = text_runs.write(tmp_path / "here")
    train(job(folder, folder / "whole", *asked))
    out = folder / "killed"
    settings = [part for one in asked for part in ("--set", one)]
    here = (f"data.name={folder / 'data'}", f"teacher.model={folder / 'teacher'}")
    command = ("run", str(folder / "tiny.yaml"), "--threads", "1", "--out", str(out), *settings)
    command = (*command, "--set", here[0], "--set", here[1])
    for stage, sign in (("teacher", "checkpoint.pt"), ("targets", "*.arrow"), ("student", "checkpoint.pt")):
        launched.start(*command)
        until(lambda stage=stage, sign=sign: any((out / "stages" / stage).rglob(sign)), launched)
        launched.strike(signal.SIGKILL)
        assert launched.wait() == -signal.SIGKILL, launched.log.read_text()
        assert not finished_stage(out, stage)
    # the rest as `--jobs 2` shares it out, each part on its own
    asked_for = Asked(recipe(folder, *asked), out, trust_code=False, force=(), device="cpu", threads=1)
    for number in (1, 0):
        share_of_students(pickle.loads(pickle.dumps(asked_for)), number, 2, lambda: None)
    for stage in ("teacher", *ARMS):
        file = Path(stage) / folder_of(out, stage).name / "model.safetensors"
        assert digest(out / "stages" / file) == digest(folder / "whole" / "stages" / file)
    seals = [(folder_of(one, "targets") / "store" / "seal.json").read_bytes() for one in (out, folder / "whole")]
    assert seals[0] == seals[1]


# --- what changes with what


@torch.no_grad()
def test_a_student_is_evaluated_with_the_tokens_that_it_is_deployed_with(tmp_path: Path) -> None:
    """Its own tokenizer splits a word that lost its piece further, where the look-up of training says [UNK]."""
    folder = text_runs.write(tmp_path / "here")
    one = job(folder, folder / "run")
    texts = one.task.held_out.texts
    # without the word "film", with its pieces
    used = [text.replace("film", "filo fim") for text in one.task.train.texts]
    made = text_student("shrunk", one.teacher, one.task.tokenizer, texts=used, classes=CLASSES, vocabulary="used")
    student = made.for_teacher_ids()
    assert isinstance(student, FromTeacherIds)
    own = smaller_tokenizer(one.task.tokenizer, student.kept_ids)
    cut = {"truncation": True, "max_length": one.task.max_length}
    ours, theirs = (tokenizer(list(texts), **cut)["input_ids"] for tokenizer in (own, one.task.tokenizer))
    assert any(len(a) > len(b) for a, b in zip(ours, theirs, strict=True))
    expected = [student.model(input_ids=torch.tensor([ids])).logits[0] for ids in ours]
    torch.testing.assert_close(one.task.logits(student, one.task.held_out), torch.stack(expected), atol=1e-5, rtol=0)
    looked_up = one.task.batch(
        one.task.held_out, torch.arange(len(texts)), torch.zeros(len(texts)).long(), one.recipe.views
    )
    assert (one.task.forward(student, looked_up).logits - torch.stack(expected)).abs().max() > 1e-3


def test_a_transfer_set_feeds_the_student_alone(tmp_path: Path) -> None:
    folder = text_runs.write(tmp_path / "here")
    out, extra = folder / "run", text_runs.transfer(folder, 120)
    whole = ("teacher.train.epochs=1", "student.vocabulary=all", "student.hidden=null", "baseline.epochs=2")
    train(job(folder, out, *whole))
    before = {stage: snapshot(out / "stages" / stage) for stage in ("teacher", "baseline", "smoothed", "student")}
    one = job(folder, out, *whole, f"data.transfer.name={extra}")
    _, store, _ = train(one)
    assert store is not None
    assert len(store) == COUNTS["train"] + 120
    after = {stage: snapshot(out / "stages" / stage) for stage in before}
    assert {stage for stage in before if after[stage] != before[stage]} == {"student"}
    assert before["student"].items() < after["student"].items()
    # a control takes as many steps as the student, unless told otherwise
    equal = job(folder, out, *whole[:-1], f"data.transfer.name={extra}")
    assert [plan_of(equal, arm).epochs for arm in ARMS] == [2, 3, 3]
    assert plan_of(equal, "baseline").warmup_epochs == pytest.approx(0.3)
    assert [plan_of(one, arm).epochs for arm in ARMS] == [2, 2, 2]


@pytest.mark.parametrize("several_labels", [False, True])
def test_texts_without_labels_have_no_loss_but_the_teachers(tmp_path: Path, several_labels: bool) -> None:
    folder = text_runs.write(tmp_path / "here", several=several_labels)
    one = job(folder, folder / "run", f"data.transfer.name={text_runs.transfer(folder, 60)}")
    student, objective = one.student(0).eval(), supervised(one.splits.answers)
    terms = []
    for examples in (one.task.train, one.task.pool):
        count = len(examples)
        batch = one.task.batch(examples, torch.arange(count), torch.zeros(count, dtype=torch.int64), one.recipe.views)
        with torch.no_grad():
            terms += objective(one.task.forward(student, batch), Target(), batch).values()
    alone, joint = terms
    assert len(one.task.pool) == len(one.task.train) + 60
    assert int(joint.count) == int(alone.count) == len(one.task.train)
    torch.testing.assert_close(joint.total, alone.total)


def test_a_stored_answer_belongs_to_the_very_tokens_that_the_student_sees(tmp_path: Path) -> None:
    folder = text_runs.write(tmp_path / "here")
    one = job(folder, folder / "run", "targets.views=3", "views.replace=0.3", "views.drop=0.2", "views.mask=0.1")
    teacher = the_teacher(one)
    store = the_targets(one, teacher)
    assert store is not None
    stored = StoredTeacher(store)
    source = one.task.source(one.task.pool, views=one.recipe.views, seed=0, batch_size=40, view_of=stored.view_of)
    seen, largest, elsewhere = set(), 0.0, 0.0
    for step in range(source.steps_per_epoch()):
        batch = source.next(step, teacher.model)
        seen |= set(batch.view.tolist())
        kept, live = (
            ask(batch, one.needs).get(DenseLogits).logits for ask in (stored, LiveTeacher(teacher.model, one.task))
        )
        plain = one.task.answer(teacher.model, one.task.batch(
            one.task.pool, torch.stack([(one.task.pool.ids == i).nonzero()[0, 0] for i in batch.ids]),
            torch.zeros_like(batch.view), one.recipe.views,
        ))  # fmt: skip
        largest = max(largest, float((kept.softmax(1) - live.softmax(1)).abs().max()))
        elsewhere = max(elsewhere, float((plain.softmax(1) - live.softmax(1)).abs().max()))
    assert seen == {0, 1, 2}
    assert largest < 2e-3
    assert elsewhere > 0.2  # views matter to this teacher


# --- several labels


def test_texts_with_several_labels_from_end_to_end(several: Run) -> None:
    results = several.results
    assert results["data"]["multi_label"] is True
    for role in ("teacher", *ARMS):
        assert {"accuracy", "micro_f1", "macro_f1"} <= set(results[role]["metrics"])
    assert results["teacher"]["metrics"]["micro_f1"]["mean"] == 1.0  # the labels are its own
    assert results["teacher"]["metrics"]["accuracy"]["mean"] == 1.0
    page = (several.out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    assert all(name in page for name in FLAGS)
    expected = by_transformers(several.out / "student", TEXTS).sigmoid()
    piped = transformers.pipeline("text-classification", str(several.out / "student"))(TEXTS, top_k=None)
    (exact, _), by_command = by_itself(several.out, TEXTS), by_the_command(several.out, TEXTS)
    for row, *others in zip(expected, exact, by_command, piped, strict=True):
        others[-1] = {one["label"]: one["score"] for one in others[-1]}
        for told in others:
            assert [told[name] for name in FLAGS] == pytest.approx(row.tolist(), abs=1e-4)
    assert all(abs(sum(told.values()) - 1) > 1e-3 for told in by_command)
    # what the int8 file costs is told of sets of labels, on all test texts
    exact, rounded = (
        torch.tensor([[told[name] > 0.5 for name in FLAGS] for told in answers])
        for answers in by_itself(several.out, texts_of(several.folder, "test"))
    )
    true = [line.split(",")[1:] for line in (several.folder / "data" / "test.csv").read_text().splitlines()[1:]]
    labels = torch.tensor([[flag == "1" for flag in flags] for flags in true])
    told = results["export"]["int8"]
    assert told["agreement"] == pytest.approx((rounded == exact).all(1).double().mean().item())
    assert told["accuracy"] == pytest.approx((rounded == labels).all(1).double().mean().item())
    assert told["accuracy_float32"] == pytest.approx((exact == labels).all(1).double().mean().item())


def test_an_objective_on_one_class_is_refused_for_several_labels(several: Run) -> None:
    before = snapshot(several.folder)
    for changes in (("objective.kd={}", "objective.binary_kd=null"), ("objective.cross_entropy={}",)):
        asked = [part for one in changes for part in ("--set", one)]
        code, _, err = limbeck(several.folder, "run", "tiny.yaml", "--out", "other", *asked)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert "take binary_" in err
    assert snapshot(several.folder) == before
