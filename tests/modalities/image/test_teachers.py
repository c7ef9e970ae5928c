"""Teachers that are ONNX files or ensembles: the same answers, one by one resumed, and sentences where they do not fit."""

import dataclasses
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper

from limbeck.cli.main import main
from limbeck.errors import BadInput
from limbeck.evaluation.classes import classification
from limbeck.modalities.image import draft
from limbeck.modalities.image.export import export_onnx, image_metadata
from limbeck.modalities.image.onnx_file import OnnxModel
from limbeck.pipeline import run as pipeline
from limbeck.pipeline import stages
from limbeck.pipeline.job import Job
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.pipeline.training_stage import Trained
from limbeck.targets.store.store import Store
from tests.helpers.tiny import RECIPE, folder_of, job, recipe, snapshot

SMALL = ("data.limit=100", "targets.views=1", "train={epochs: 1, batch_size: 50}", "baseline.label_smoothing=0")
TRAINED = "{model: convnet, width: 4, train: {epochs: 1, batch_size: 50}}"


@dataclass(frozen=True)
class Taught:
    """A finished teacher with its store, and the same teacher as an ONNX file."""

    out: Path
    job: Job
    teacher: Trained
    store: Store
    file: Path

    def answers(self) -> torch.Tensor:
        """Logits (N, C) of the store's view 0, rows in the order of its ids."""
        return answers(self.store)


def taught(one: Job) -> tuple[Trained, Store]:
    with stages.claimed(one.out):
        teacher = the_teacher(one)
        store = the_targets(one, teacher)
    assert store is not None
    return teacher, store


def answers(store: Store) -> torch.Tensor:
    ids_N = torch.from_numpy(store.ids)
    found: Any = store.gather(ids_N, torch.zeros_like(ids_N))
    return getattr(found, "logits", found)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    folder = tmp_path_factory.mktemp("teachers")
    one = job(folder / "run", *SMALL)
    teacher, store = taught(one)
    normalise: Any = getattr(one.task, "normalisation")  # noqa: B009
    size: dict[str, Any] = {"channels": 1, "height": 8, "width": 8, "mean": normalise.mean, "std": normalise.std}
    about = image_metadata(name="tiny teacher", classes=one.splits.classes, **size)
    export_onnx(teacher.model, folder / "teacher.onnx", about)
    return Taught(folder / "run", one, teacher, store, folder / "teacher.onnx")


def with_teacher(out: Path, section: str, *more: str) -> Job:
    return job(out, *SMALL, f"teacher={section}", *more)


def changed(file: Path, to: Path, *, batch: int | None = None, metadata: bool = True) -> Path:
    """The file with another batch, or without what it says of itself."""
    proto = onnx.load(file)
    for value in (*proto.graph.input, *proto.graph.output):
        if batch is not None:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    if not metadata:
        del proto.metadata_props[:]
    onnx.save(proto, to)
    return to


def flat_classifier(
    to: Path, classes: int, *, sides: tuple[int, int, int] = (1, 8, 8), last: str | None = None
) -> Path:
    """The smallest ONNX classifier: a matrix over the pixels, and a last step where one is named."""
    pixels = sides[0] * sides[1] * sides[2]
    weight_PC = torch.linspace(-0.5, 0.5, pixels * classes).reshape(pixels, classes)
    tensor = helper.make_tensor("w", TensorProto.FLOAT, (pixels, classes), weight_PC.flatten().tolist())
    steps = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["raw" if last else "out"]),
    ]
    if last:
        steps.append(helper.make_node(last, ["raw"], ["out"], axis=1))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *sides])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", classes])
    graph = helper.make_graph(steps, "flat", [image], [out], [tensor])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), to)
    return to


# --- an ONNX file


def test_an_onnx_file_gives_the_soft_targets_of_the_model_it_was_made_from(plain: Taught, tmp_path: Path) -> None:
    teacher, store = taught(with_teacher(tmp_path / "run", f"{{onnx: {plain.file}}}"))
    torch.testing.assert_close(answers(store), plain.answers(), atol=1e-3, rtol=0)
    assert (tmp_path / "run" / "stages" / "teacher").exists() is False  # nothing was trained
    # the file is told from another by its bytes, even where both answer alike
    other = OnnxModel(changed(plain.file, tmp_path / "other.onnx", metadata=False))
    assert teacher.model.state_dict()["file_digest"].tolist() != other.state_dict()["file_digest"].tolist()


def test_a_file_made_for_a_fixed_number_of_images_answers_any_number(plain: Taught, tmp_path: Path) -> None:
    images_BCHW = torch.rand(10, 1, 8, 8)
    expected_BC = OnnxModel(plain.file)(images_BCHW)
    for batch in (1, 4):
        fixed = OnnxModel(changed(plain.file, tmp_path / f"{batch}.onnx", batch=batch))
        assert fixed.batch == batch
        for count in (1, 4, 10):
            torch.testing.assert_close(fixed(images_BCHW[:count]), expected_BC[:count], atol=1e-5, rtol=0)


def test_a_softmax_at_the_end_is_undone(tmp_path: Path) -> None:
    images_BCHW = torch.rand(5, 1, 8, 8)
    raw_BC, soft_BC = (
        OnnxModel(flat_classifier(tmp_path / f"{last}.onnx", 10, last=last))(images_BCHW) for last in (None, "Softmax")
    )
    torch.testing.assert_close(soft_BC, raw_BC.log_softmax(1), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(raw_BC, soft_BC, atol=1e-2)


def test_weights_beside_the_file_are_part_of_its_identity_and_stay_in_its_folder(plain: Taught, tmp_path: Path) -> None:
    onnx.save_model(
        onnx.load(plain.file), tmp_path / "a.onnx", save_as_external_data=True, location="a.data", size_threshold=100
    )
    whole = OnnxModel(tmp_path / "a.onnx")
    images_BCHW = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(whole(images_BCHW), OnnxModel(plain.file)(images_BCHW))
    data = bytearray((tmp_path / "a.data").read_bytes())
    data[1] ^= 1
    (tmp_path / "a.data").write_bytes(bytes(data))
    assert (
        OnnxModel(tmp_path / "a.onnx").state_dict()["file_digest"].tolist()
        != whole.state_dict()["file_digest"].tolist()
    )
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "a.onnx", tmp_path / "elsewhere" / "a.onnx")
    with pytest.raises(BadInput, match=r"a\.data, which does not exist"):
        OnnxModel(tmp_path / "elsewhere" / "a.onnx")


def test_a_run_with_a_live_onnx_teacher_measures_the_file_as_it_is(plain: Taught, tmp_path: Path) -> None:
    asked = recipe(*SMALL, f"teacher={{onnx: {plain.file}}}", "targets={live: true}")
    results = pipeline.run(asked, out=tmp_path / "run", threads=1)
    assert results["teacher"]["model"] == "teacher.onnx"
    assert results["teacher"]["bytes"] == plain.file.stat().st_size
    assert results["teacher"]["parameters"] > 0
    assert results["teacher"]["latency_ms"]["cpu_p50"] > 0
    assert results["targets"] is None  # nothing was stored
    test = plain.job.splits.test.open("the teacher by itself")
    assert test.labels is not None
    task: Any = plain.job.task
    expected = classification(task.logits(plain.teacher.model, test, as_teacher=True), test.labels)
    assert results["teacher"]["metrics"]["nll"]["mean"] == pytest.approx(expected["nll"], abs=1e-3)
    assert not (tmp_path / "run" / "teacher.onnx").exists()
    assert (tmp_path / "run" / "student.onnx").exists()


def test_a_draft_names_the_file_or_says_what_does_not_fit(plain: Taught) -> None:
    found = draft.Found("digits", examples=100, classes=10, channels=1, size=8)
    assert yaml.safe_load(draft.recipe(str(plain.file), found).text)["teacher"] == {"onnx": str(plain.file)}
    with pytest.raises(BadInput, match="answers 10 classes, the data has 7"):
        draft.recipe(str(plain.file), dataclasses.replace(found, classes=7))


# --- an ensemble


def members_say(one: Job, teacher: Trained, store: Store) -> torch.Tensor:
    """Probabilities (K, N, C) of the members, each asked by itself about view 0, rows in the order of the store's ids."""
    pool = one.task.pool
    order_N = pool.ids.argsort()
    said = []
    for member, its in zip(one.teachers, teacher.members, strict=True):
        task = one.task.seen_through(member.sees)
        batch = task.batch(pool, order_N, torch.zeros_like(order_N), one.recipe.views)
        with torch.no_grad():
            inner: Any = its.model.model
            said.append(inner(batch.inputs).softmax(1))
    assert torch.equal(pool.ids[order_N], torch.from_numpy(store.ids))
    return torch.stack(said)


def test_an_ensembles_store_is_the_mean_of_its_members_probabilities(plain: Taught, tmp_path: Path) -> None:
    shutil.copytree(plain.out, tmp_path / "run")
    before = snapshot(tmp_path / "run" / "stages" / "teacher")
    section = f"{{ensemble: [{TRAINED}, {TRAINED}, {{onnx: {plain.file}}}], weights: [1, 2, 1]}}"
    one = with_teacher(tmp_path / "run", section)
    teacher, store = taught(one)
    # the first member is the teacher that was there alone; only the second, of another seed, was trained
    after = snapshot(tmp_path / "run" / "stages" / "teacher")
    assert before.items() <= after.items()
    assert len(list((tmp_path / "run" / "stages" / "teacher").iterdir())) == 2
    assert [member.seed for member in teacher.members] == [0, 1, 0]
    said_KNC = members_say(one, teacher, store)
    assert not torch.allclose(said_KNC[0], said_KNC[1], atol=1e-2)
    torch.testing.assert_close(said_KNC[0], said_KNC[2], atol=1e-3, rtol=0)
    mean_NC = (said_KNC * torch.tensor([0.25, 0.5, 0.25])[:, None, None]).sum(0)
    torch.testing.assert_close(answers(store).softmax(1), mean_NC, atol=1e-3, rtol=0)


@pytest.mark.parametrize("combine", ["logits", "confidence"])
def test_the_other_ways_to_put_answers_together(plain: Taught, tmp_path: Path, combine: str) -> None:
    files = [flat_classifier(tmp_path / "flat.onnx", 10), plain.file]
    section = f"{{ensemble: [{{onnx: {files[0]}}}, {{onnx: {files[1]}}}], combine: {combine}}}"
    one = with_teacher(tmp_path / "run", section)
    teacher, store = taught(one)
    said_KNC = members_say(one, teacher, store).double()
    if combine == "logits":
        expected_NC = said_KNC.log().mean(0).softmax(1)
    else:
        entropy_KN = -(said_KNC * said_KNC.log()).sum(2)
        # CA-MKD: 1 - softmax of the doubts, over K - 1
        weights_KN = 1 - entropy_KN.softmax(0)
        expected_NC = (weights_KN[:, :, None] * said_KNC).sum(0)
    torch.testing.assert_close(answers(store).softmax(1).double(), expected_NC, atol=1e-3, rtol=0)
    # another way is another store
    other = with_teacher(tmp_path / "run", section.replace(combine, "probabilities"))
    assert taught(other)[1].path != store.path


def test_members_resume_one_by_one(plain: Taught, tmp_path: Path) -> None:
    section = f"{{ensemble: [{TRAINED}, {TRAINED}]}}"
    out = tmp_path / "run"
    shutil.copytree(plain.out, out)
    _, store = taught(with_teacher(out, section))
    whole = {name: digest for name, (_, digest) in snapshot(store.path).items()}
    first = folder_of(plain.out, "teacher").name
    (second,) = (path for path in (out / "stages" / "teacher").iterdir() if path.name != first)
    shutil.rmtree(second)
    shutil.rmtree(store.path.parent)
    before = snapshot(out / "stages" / "teacher" / first)
    _, again = taught(with_teacher(out, section))
    assert snapshot(out / "stages" / "teacher" / first) == before
    assert second.exists()
    assert {name: digest for name, (_, digest) in snapshot(again.path).items()} == whole


def test_a_run_lists_the_members_beside_the_ensemble(plain: Taught, tmp_path: Path) -> None:
    shutil.copytree(plain.out, tmp_path / "run")
    asked = recipe(*SMALL, f"teacher={{ensemble: [{TRAINED}, {{onnx: {plain.file}}}]}}")
    results = pipeline.run(asked, out=tmp_path / "run", threads=1)
    taught, (first, second) = results["teacher"], results["teacher"]["members"]
    assert (first["model"], second["model"]) == ("convnet", "teacher.onnx")
    # both are the same network, so that what they say together is what each says
    for member in (first, second):
        assert member["metrics"]["accuracy"] == pytest.approx(taught["metrics"]["accuracy"]["mean"], abs=0.02)
        assert member["metrics"]["nll"] == pytest.approx(taught["metrics"]["nll"]["mean"], abs=1e-3)
    assert taught["model"] == "ensemble of convnet, teacher.onnx"
    assert taught["latency_ms"] is None
    assert len(results["fingerprints"]["teacher"]) == 2
    assert "Teacher 2: teacher.onnx" in (tmp_path / "run" / "report.html").read_text()


# --- precision


def test_a_precision_is_measured_stated_and_part_of_what_a_store_is(plain: Taught, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(plain.out, out)
    _, store = taught(job(out, *SMALL, "targets.precision=bfloat16"))
    assert store.path != out / plain.store.path.relative_to(plain.out)
    assert store.manifest["precision"] == "bfloat16"
    error = store.manifest["precision_error"]
    exact_NC, rough_NC = plain.answers().double(), answers(store).double()
    kl_N = (exact_NC.softmax(1) * (exact_NC.log_softmax(1) - rough_NC.log_softmax(1))).sum(1)
    assert 0 < error["mean_kl"] < 0.05
    assert error["mean_kl"] == pytest.approx(float(kl_N.mean()), rel=0.2)
    asked = json.loads((store.path.parent / "done.json").read_text())["facts"]["asked"]
    assert asked["precision"] == "bfloat16"
    # finished: opened again without asking
    before = snapshot(store.path)
    assert snapshot(taught(job(out, *SMALL, "targets.precision=bfloat16"))[1].path) == before


# --- what is wrong


@pytest.fixture
def limbeck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the tiny recipe by the command, in a folder of its own; gives exit code and stderr."""
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)

    def run(*fields: str) -> tuple[int, str]:
        sets = [argument for field in fields for argument in ("--set", field)]
        monkeypatch.setattr(sys, "argv", ["limbeck", "run", "tiny.yaml", "--threads", "1", *sets])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    return run


def refused(limbeck, fields: list[str], *names: str) -> None:
    code, err = limbeck(*fields)
    assert code == 2, err
    assert "Traceback" not in err
    last = err.rstrip("\n").splitlines()[-1]
    for name in names:
        assert name in last
    assert not Path("runs").exists()


FILE = "teacher={onnx: t.onnx}"


def test_files_that_are_no_teachers(limbeck, plain: Taught) -> None:
    refused(limbeck, [FILE], "t.onnx does not exist")
    Path("t.onnx").mkdir()
    refused(limbeck, [FILE], "t.onnx is a folder")
    Path("t.onnx").rmdir()
    Path("t.onnx").write_bytes(b"\x08 not a model")
    refused(limbeck, [FILE], "t.onnx is not a whole ONNX file")
    Path("t.onnx").write_bytes(plain.file.read_bytes()[:-3000])
    refused(limbeck, [FILE], "t.onnx")
    proto = onnx.load(plain.file)
    proto.graph.node[0].op_type = "NoSuchStep"
    onnx.save(proto, "t.onnx")
    refused(limbeck, [FILE], "t.onnx cannot be run by ONNX Runtime", "NoSuchStep")


def test_files_that_do_not_fit_the_data(limbeck, plain: Taught) -> None:
    flat_classifier(Path("t.onnx"), 7)
    refused(limbeck, [FILE], "teacher answers 7 classes, the data has 10")
    flat_classifier(Path("t.onnx"), 10, sides=(3, 8, 8))
    refused(limbeck, [FILE], "takes images of 3x8x8", "1x8x8")
    flat_classifier(Path("t.onnx"), 10, sides=(1, 12, 12))
    refused(limbeck, [FILE], "takes images of 1x12x12", "preprocess.size: 12")
    refused(
        limbeck,
        ["teacher={ensemble: [{onnx: " + str(plain.file) + "}, {onnx: t.onnx}]}"],
        "teacher in teacher.ensemble.1",
        "takes images of 1x12x12",
    )
    proto = onnx.load(plain.file)
    about = json.loads(proto.metadata_props[0].value)
    about["classes"][2] = "two"
    proto.metadata_props[0].value = json.dumps(about)
    onnx.save(proto, "t.onnx")
    refused(limbeck, [FILE], "made for other classes", "its class 2 is 'two'", "'2'")


def test_what_such_teachers_cannot_do(limbeck, plain: Taught) -> None:
    file = f"{{onnx: {plain.file}}}"
    features = "objective={attention_transfer: {student: [stages.0], teacher: [stages.0]}, cross_entropy: {}}"
    refused(limbeck, [f"teacher={file}", features], "attention_transfer", "an ONNX file gives its logits alone")
    refused(limbeck, [f"teacher={{ensemble: [{TRAINED}, {file}]}}", features], "an ensemble gives its logits alone")
    refused(
        limbeck, [f"teacher={file}", "targets.precision=float16"], "targets.precision", "ONNX file has its precision"
    )
    refused(limbeck, ["targets={live: true, precision: bfloat16}"], "targets", "leave out live")


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("{onnx: t.onnx, train: {epochs: 1}}", ("teacher.train", "used as it is: leave it out")),
        ("{onnx: t.onnx, preproces: {}}", ("teacher.preproces", "Did you mean 'preprocess'?")),
        ("{ensemble: [{onnx: t.onnx}]}", ("teacher", "two teachers or more")),
        (f"{{ensemble: [{TRAINED}, {TRAINED}], weights: [1]}}", ("weights has 1 value(s) for 2 teachers",)),
        (f"{{ensemble: [{TRAINED}, {TRAINED}], weights: [0, 0]}}", ("nor all 0",)),
        (f"{{ensemble: [{TRAINED}, {TRAINED}], combine: confidence, weights: [1, 2]}}", ("leave out weights",)),
        (f"{{ensemble: [{TRAINED}, {TRAINED}], combine: logit}}", ("teacher.combine", "Did you mean 'logits'?")),
        (f"{{ensemble: [{TRAINED}, {{model: convnet}}]}}", ("teacher.ensemble.1: give train",)),
        (f"{{ensemble: [{TRAINED}, {TRAINED}], train: {{}}}}", ("teacher.train", "has its own: leave it out")),
        ("{ensemble: [{model: convnet, train: {epohcs: 1}}, {onnx: t}]}", ("ensemble.0.train.epohcs", "'epochs'")),
    ],
)
def test_a_section_that_contradicts_itself(limbeck, section: str, names: tuple[str, ...]) -> None:
    refused(limbeck, [f"teacher={section}"], *names)


def test_sections_are_read_back_as_they_were_written() -> None:
    section = yaml.safe_load(f"{{ensemble: [{TRAINED}, {{onnx: a.onnx, preprocess: {{size: 8}}}}], weights: [1, 2]}}")
    one = recipe(f"teacher={json.dumps(section)}")
    assert recipe(f"teacher={json.dumps(one.model_dump(mode='json')['teacher'])}") == one
