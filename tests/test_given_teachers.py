"""Teachers that come ready-made and could be read wrongly: probabilities, one output for two classes, classes in another
order, preprocessing on another scale, a head that nobody trained, answers that another teacher gave."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import safetensors.torch
import torch
import transformers
from onnx import TensorProto, helper
from torch import Tensor, nn

import limbeck
import text_runs
from limbeck import casting, draft, pipeline
from limbeck.data.arrays import from_arrays
from limbeck.errors import BadInput
from limbeck.evaluation.doubts import at_chance, confused, taken_for
from limbeck.job import job_from_models
from limbeck.models.asking import ask
from limbeck.models.convnet import ConvNet
from limbeck.models.onnx_file import OnnxModel
from limbeck.models.text_folder import load_classifier, save_folder
from limbeck.objectives.modules import KD
from limbeck.pass_cost import learnt_from
from limbeck.recipe import Data, ImageRecipe, Model, Preprocess, TeacherSection, Train
from limbeck.stages import claimed
from limbeck.teachers import Teachers, build_teachers, given_teacher
from limbeck.teaching import beware, the_targets, the_teacher
from tiny import folder_of, job, recipe
from tiny_text import encode, logits_of, tiny_classifier, tiny_tokenizer

NAMES = ("ant", "bee", "cat")


class Says(nn.Module):
    """Logits by the brightness of the three columns of an image, then whatever is done with them."""

    def __init__(self, last: Callable[[Tensor], Tensor], gain: float = 20.0) -> None:
        super().__init__()
        self.last, self.gain = last, nn.Parameter(torch.tensor(gain))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.last(self.gain * images_BCHW.mean((1, 2)))


def pictures(count: int, classes: int = 3, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise with the column of the label brighter."""
    noise = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(count) % classes
    images = 0.4 * torch.rand(count, channels, 3, 3, generator=noise)
    images[torch.arange(count), :, :, labels_N] += 0.5
    return images, labels_N


def splits_of(classes: int = 3, channels: int = 1, count: int = 240):
    train, validation, test = (pictures(n, classes, channels, seed) for seed, n in enumerate((count, count, 30)))
    return from_arrays(train, validation, test, classes=NAMES[:classes])


def teacher_of(last: Callable[[Tensor], Tensor], classes: int = 3, gain: float = 20.0, **section) -> Teachers:
    return given_teacher(Says(last, gain), TeacherSection(model="mine", **section), 0, splits_of(classes))


# --- probabilities


def test_a_module_that_ends_in_softmax_is_refused_with_the_line_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the teacher answers with probabilities.*leave out its last softmax"):
        teacher_of(lambda z: z.softmax(1))
    with pytest.raises(BadInput, match="answers with probabilities"):  # in half precision a sum is not quite 1
        teacher_of(lambda z: z.softmax(1).to(torch.bfloat16))
    with pytest.raises(BadInput, match="the teacher answers with probabilities"):
        limbeck.distill(
            teacher=Says(lambda z: z.softmax(1)), student=Says(lambda z: z), train=pictures(60), out=tmp_path / "never"
        )
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    "last",
    [
        lambda z: z,
        lambda z: z.log_softmax(1),  # known up to a constant
        lambda z: z.softmax(1) + 0.1,  # in range, and no distribution: a doubt, below
        lambda z: 0.001 * z,  # very unsure, and in range
        lambda z: z - z.mean(1, keepdim=True) + 1 / 3,  # sums to 1, and out of range
    ],
)
def test_logits_are_welcome_whatever_they_look_like(last: Callable[[Tensor], Tensor]) -> None:
    assert teacher_of(last).model is not None


def test_a_sigmoid_for_each_class_is_doubted_and_a_fresh_one_is_not() -> None:
    (note,) = teacher_of(torch.sigmoid).notes
    assert "lies in 0 to 1: where it ends in a sigmoid" in note
    assert teacher_of(torch.sigmoid, train=Train()).notes == ()


def test_a_student_that_ends_in_softmax_is_refused_too() -> None:
    one = ImageRecipe(data=Data(name="python"), teacher=TeacherSection(model="mine"), student=Model(model="mine"))
    splits = splits_of()
    with pytest.raises(BadInput, match="the student answers with probabilities"):
        job_from_models(
            one, splits, out=Path("never"), teacher=Says(lambda z: z), student=lambda _: Says(lambda z: z.softmax(1)),
            objective=KD, device="cpu",
        )  # fmt: skip


# --- answers that are no function of the image


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (lambda z: z + torch.randn_like(z), r"answers the same image in two ways.*differ by up to"),
        (lambda z: nn.functional.dropout(z, 0.5, training=True), "answers the same image in two ways"),
        (lambda z: (z + 5 * torch.randn_like(z)).to(torch.bfloat16), "answers the same image in two ways"),
        (lambda z: z - z.mean(0), "depends on the other images of its batch"),
        (lambda z: z / z.abs().max(), "depends on the other images"),
        (lambda z: z.squeeze(0), r"batch of one image with the shape \(3,\); \(1, 3\) is wanted"),
        (
            lambda z: nn.functional.batch_norm(z, None, None, training=True),
            "fails on a batch of one image: Expected more",
        ),
    ],
)
def test_an_answer_depends_on_the_image_alone(last: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        teacher_of(last)


def by_batch(z: Tensor, share: float) -> Tensor:
    """With a rounding that is another one in each size of batch."""
    return z + share * (z.max() - z.min()) * (-1) ** len(z)


@pytest.mark.parametrize(
    "last",
    [
        torch.zeros_like,
        lambda z: 1e4 + 1e-3 * z,
        lambda z: z.half(),
        lambda z: 100 + z.to(torch.bfloat16),
        lambda z: by_batch(z, 0.01),
    ],
)
def test_rounding_is_no_dependence(last: Callable[[Tensor], Tensor]) -> None:
    teacher_of(last)


class SigmoidConfig(transformers.BertConfig):
    model_type = "bert_of_probabilities"


class Sigmoid(transformers.BertForSequenceClassification):
    config_class = SigmoidConfig

    def forward(self, *args, **kwargs):
        said = super().forward(*args, **kwargs)
        said.logits = said.logits.sigmoid()
        return said


transformers.AutoConfig.register("bert_of_probabilities", SigmoidConfig)
transformers.AutoModelForSequenceClassification.register(SigmoidConfig, Sigmoid)


def test_several_labels_of_a_text_are_wanted_as_logits(tmp_path: Path) -> None:
    here = text_runs.write(tmp_path / "here", several=True)
    assert text_runs.job(here, tmp_path / "run").teacher is not None
    config = here / "teacher" / "config.json"
    about = json.loads(config.read_text()) | {"model_type": "bert_of_probabilities", "architectures": ["Sigmoid"]}
    config.write_text(json.dumps(about))
    with pytest.raises(BadInput, match=r"every answer for every label lies in 0 to 1.*leave out its last sigmoid"):
        text_runs.job(here, tmp_path / "run")


# --- one output for two classes


def single(last: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda z: last(z[:, 1:2] - z[:, :1])


@pytest.mark.parametrize("shape", [(-1, 1), (-1,)])
def test_a_single_logit_is_that_of_the_second_class(shape: tuple[int, ...]) -> None:
    found = teacher_of(single(lambda z: z.reshape(shape)), classes=2)
    assert any(
        "one output for two classes: it is taken for the logit of 'bee' against 'ant'" in one for one in found.notes
    )
    images_BCHW, labels_B = pictures(40, 2, seed=9)
    logits_B2 = ask(found.model, images_BCHW)
    assert torch.equal(logits_B2.argmax(1), labels_B)
    both_B2 = Says(lambda z: z)(images_BCHW)[:, :2]
    torch.testing.assert_close(logits_B2.softmax(1), both_B2.softmax(1))


def test_a_single_probability_is_refused() -> None:
    with pytest.raises(
        BadInput, match=r"one output for two classes, and it is a probability.*leave out its last sigmoid"
    ):
        teacher_of(single(torch.sigmoid), classes=2)
    with pytest.raises(BadInput, match="answers 1 classes, the data has 3"):
        teacher_of(single(lambda z: z), classes=3)


def onnx_file(path: Path, outputs: int, *steps: str) -> Path:
    """A file that gives the columns' brightness, or the second's minus the first's, and then takes the steps."""
    weight_33 = 20 * torch.eye(3) if outputs == 3 else 20 * torch.tensor([[-1.0], [1.0], [0.0]])
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["columns"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["columns", "w"], ["z0"]),
        *(
            helper.make_node(step, [f"z{k}"], [f"z{k + 1}"], **({"to": TensorProto.FLOAT} if step == "Cast" else {}))
            for k, step in enumerate(steps)
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "columns",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 3, 3])],
        [helper.make_tensor_value_info(f"z{len(steps)}", TensorProto.FLOAT, ["n", outputs])],
        [helper.make_tensor("w", TensorProto.FLOAT, tuple(weight_33.shape), weight_33.flatten().tolist())],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def of_onnx(path: Path, classes: int) -> Teachers:
    one = recipe(f"teacher={{onnx: {path}, preprocess: {{mean: [0.0], std: [1.0]}}}}")
    assert isinstance(one, ImageRecipe)
    return build_teachers(one, splits_of(classes), trust_code=False)


@pytest.mark.parametrize("steps", [("Sigmoid",), ("Softmax", "Identity"), ("Sigmoid", "Cast", "Identity")])
def test_the_last_step_of_an_onnx_file_is_undone(tmp_path: Path, steps: tuple[str, ...]) -> None:
    images_BCHW, _ = pictures(20)
    raw_BC = OnnxModel(onnx_file(tmp_path / "raw.onnx", 3))(images_BCHW)
    found = of_onnx(onnx_file(tmp_path / "file.onnx", 3, *steps), 3)
    torch.testing.assert_close(found.model(images_BCHW).softmax(1), raw_BC.softmax(1), atol=1e-4, rtol=1e-3)
    assert any("ends in a sigmoid" in one for one in found.notes) == (steps[0] == "Sigmoid")


@pytest.mark.parametrize("steps", [(), ("Sigmoid",)])
def test_an_onnx_file_with_one_output_answers_two_classes(tmp_path: Path, steps: tuple[str, ...]) -> None:
    found = of_onnx(onnx_file(tmp_path / "file.onnx", 1, *steps), 2)
    images_BCHW, labels_B = pictures(20, 2)
    for model in (found.model, copy.deepcopy(found.model)):
        logits_B2 = model(images_BCHW)
        assert torch.equal(logits_B2.argmax(1), labels_B)
        torch.testing.assert_close(logits_B2[:, 0], torch.zeros(20))
    assert any("the logit of 'bee' against 'ant'" in one for one in found.notes)
    data = draft.Found("photos", examples=100, classes=2, channels=1, size=3)
    assert str(tmp_path / "file.onnx") in draft.draft(str(tmp_path / "file.onnx"), data).text


@pytest.mark.parametrize("named", ["good", "Bad", "LABEL_0"])
def test_a_classifier_of_texts_with_one_output(tmp_path: Path, named: str) -> None:
    model = tiny_classifier("bert", [named])
    model.config.problem_type = "multi_label_classification"
    tokenizer = tiny_tokenizer()
    save_folder(model, tokenizer, tmp_path / "one")
    loaded = load_classifier(str(tmp_path / "one"), ["bad", "good"])
    tokens = encode(tokenizer, ["the film is good", "a very dull plot"])
    (z_B,), logits_B2 = logits_of(model, tokens).T, logits_of(loaded.model, tokens)
    second, first = ("bad", "good") if named == "Bad" else ("good", "bad")
    at = ["bad", "good"].index(second)
    torch.testing.assert_close(logits_B2[:, at] - logits_B2[:, 1 - at], z_B)
    assert f"the logit of '{second}' against '{first}'" in loaded.notes[0]
    model.config.problem_type = None  # for transformers a regression
    save_folder(model, tokenizer, tmp_path / "plain")
    with pytest.raises(BadInput, match=r'"problem_type": "multi_label_classification"'):
        load_classifier(str(tmp_path / "plain"), ["bad", "good"])


# --- the order of the classes


def test_classes_known_by_position_only_are_noted(tmp_path: Path) -> None:
    state = ConvNet(3, 1, 3, width=4).state_dict()
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    section = f"teacher={{model: convnet, width: 4, weights: {tmp_path / 'w.safetensors'}}}"
    one = recipe(section)
    assert isinstance(one, ImageRecipe)
    (note,) = build_teachers(one, splits_of(), trust_code=False).notes
    assert "which class each output of convnet stands for: they are taken to be 'ant', 'bee', 'cat'" in note
    trained = recipe(section.replace("}", ", train: {}}"))
    assert isinstance(trained, ImageRecipe)
    assert build_teachers(trained, splits_of(), trust_code=False).notes == ()
    numbered = from_arrays(pictures(240), pictures(60, seed=1), pictures(30, seed=2))
    assert build_teachers(one, numbered, trust_code=False).notes == ()


def answers_of(pairs: dict[int, int], counts: list[int]) -> tuple[Tensor, Tensor]:
    """Logits that answer each class with its pair, else with itself."""
    labels_N = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    answers = torch.tensor([pairs.get(label, label) for label in labels_N.tolist()])
    return nn.functional.one_hot(answers, len(counts)).float(), labels_N


def test_a_swapped_or_rolled_order_is_named_and_nothing_else_is() -> None:
    names = [f"c{k}" for k in range(10)]
    said = confused(taken_for(*answers_of({3: 5, 5: 3}, [20] * 10)), names)
    assert said is not None
    assert "'c3' as 'c5' (20 of 20), 'c5' as 'c3' (20 of 20): its classes seem to stand in another order" in said
    rolled = confused(taken_for(*answers_of({k: (k + 1) % 10 for k in range(10)}, [20] * 10)), names)
    assert rolled is not None
    assert "and 5 more" in rolled
    assert confused(taken_for(*answers_of({}, [20] * 10)), names) is None
    # six examples are too few to say so, and one answer for all is no order
    assert confused(taken_for(*answers_of({0: 1, 1: 0}, [6] * 10)), names) is None
    assert confused(taken_for(*answers_of(dict.fromkeys(range(10), 7), [20] * 10)), names) is None
    lost = confused(taken_for(*answers_of({2: 4}, [20] * 10)), names)
    assert lost is not None
    assert "'c2' as 'c4' (20 of 20): look whether it knows that class" in lost


def test_being_at_chance_is_claimed_only_where_the_examples_show_it() -> None:
    assert at_chance(0.1, 0.1, 512)
    assert at_chance(0.0, 0.1, 20)
    assert at_chance(0.5, 0.5, 200)
    assert not at_chance(0.3, 0.25, 512)  # little, and more than chance
    assert not at_chance(0.9, 0.9, 20)  # of 20, 18 right: as good as the commonest, and may be better
    assert not at_chance(0.5, 0.5, 6)
    # of a teacher that is right on 80 % of two classes, a set of 10 is never enough to cry wolf by more than 1 in 100
    right = sum(
        torch.distributions.Binomial(10, torch.tensor(0.8)).log_prob(torch.tensor(float(k))).exp().item()
        for k in range(11)
        if at_chance(k / 10, 0.5, 10)
    )
    assert right < 0.01


DATA = ("data.limit=400", "targets.views=2", "train={epochs: 1, batch_size: 50}", "baseline.label_smoothing=0")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a trained teacher and its soft targets."""
    one = job(tmp_path_factory.mktemp("taught") / "run", *DATA, "teacher.train={epochs: 25, batch_size: 25}")
    with claimed(one.out):
        the_targets(one, the_teacher(one))
    return one.out


def weights_in(folder: Path, run: Path, order: list[int]) -> Path:
    """The run's teacher with its outputs in another order."""
    state = safetensors.torch.load_file(folder_of(run, "teacher") / "model.safetensors")
    for name in ("fc.weight", "fc.bias"):
        state[name] = state[name][order].clone()
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(state, folder / "w.safetensors")
    return folder / "w.safetensors"


ROLLED, SWAPPED, RIGHT = [*range(1, 10), 0], [0, 1, 2, 5, 4, 3, 6, 7, 8, 9], list(range(10))


@pytest.mark.parametrize("order", [ROLLED, SWAPPED, RIGHT])
def test_cast_and_run_voice_the_same_doubts_before_the_teachers_pass(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], order: list[int]
) -> None:
    weights = weights_in(tmp_path / "w", taught, order)
    ready = (*DATA, f"teacher={{model: convnet, width: 4, weights: {weights}}}")
    casting.cast_recipe(recipe(*ready), tmp_path / "cast", threads=1)
    cast = " ".join(capsys.readouterr().err.split())
    one = job(tmp_path / "run", *ready)
    with claimed(one.out):
        said = beware(one, the_teacher(one))
    run = " ".join(capsys.readouterr().err.split())
    for words in (cast, run):
        assert "The teacher is right on" in words
        assert ("Look first at teacher.preprocess" in words) == (order is ROLLED)
        assert ("stand in another order than the data's, so bring" in words) == (order is not RIGHT)
        assert ("'3' as '5'" in words) == (order is SWAPPED)
    assert bool(said) == (order is not RIGHT)


# --- preprocessing


@pytest.mark.parametrize(
    ("preprocess", "said"),
    [
        (
            "{mean: [0.5, 0.5], std: [0.5, 0.5]}",
            "teacher.preprocess.mean holds 2 values, and the images have 3 channels",
        ),
        ("{std: [0.5]}", "teacher.preprocess.std holds 1 value, and the images have 3 channels"),
    ],
)
def test_values_that_are_not_one_for_each_channel_are_refused(preprocess: str, said: str) -> None:
    one = recipe(f"teacher={{model: convnet, width: 4, train: {{}}, preprocess: {preprocess}}}")
    assert isinstance(one, ImageRecipe)
    with pytest.raises(BadInput, match=said):
        build_teachers(one, splits_of(channels=3), trust_code=False)


def test_figures_on_a_scale_of_0_to_255_are_refused_wherever_they_are_given(tmp_path: Path) -> None:
    for section in ("{model: resnet20, train: {}, preprocess: %s}", "{onnx: t.onnx, preprocess: %s}"):
        with pytest.raises(BadInput, match=r"preprocess.std: 58.4 was given.*divide by 255.*0.229") as caught:
            recipe("teacher=" + section % "{mean: [123.675, 116.28, 103.53], std: [58.4, 57.1, 57.4]}")
        assert "[0.485, 0.456, 0.406]" in str(caught.value)
    with pytest.raises(BadInput, match="divide by 255"):
        Preprocess(mean=(127.5,))
    about = {"classes": list(NAMES), "input": {"mean": [127.5], "std": [64.0], "height": 3, "width": 3, "channels": 1}}
    proto = onnx.load(onnx_file(tmp_path / "t.onnx", 3))
    helper.set_model_props(proto, {"limbeck": json.dumps(about)})
    onnx.save(proto, tmp_path / "t.onnx")
    one = recipe(f"teacher={{onnx: {tmp_path / 't.onnx'}}}")
    assert isinstance(one, ImageRecipe)
    with pytest.raises(BadInput, match=r"what the file says of its input cannot be used.*divide by 255"):
        build_teachers(one, splits_of(), trust_code=False)


# --- timm's published weights


def test_timms_published_head_is_used_where_it_fits_and_a_random_one_is_refused(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(5)
    published = timm.create_model("test_resnet", num_classes=3, in_chans=3)
    safetensors.torch.save_file(published.state_dict(), tmp_path / "p.safetensors")
    known = f"pretrained: true, pretrained_cfg_overlay: {{file: {tmp_path / 'p.safetensors'}, num_classes: 3}}"

    def built(classes: int, more: str = "") -> nn.Module:
        one = recipe(f"teacher={{model: timm/test_resnet, {known}{more}}}")
        assert isinstance(one, ImageRecipe)
        return build_teachers(one, splits_of(classes, channels=3), trust_code=False).model

    for name, tensor in built(3).state_dict().items():
        assert torch.equal(tensor, published.state_dict()[name])
    with pytest.raises(
        BadInput, match=r"weights of timm/test_resnet know 3 classes and the data has 2.*give teacher.train"
    ):
        built(2)
    assert built(2, ", train: {}").state_dict()["fc.weight"].shape[0] == 2
    one = recipe("teacher={model: timm/test_resnet.r160_in1k, pretrained: true}")
    assert isinstance(one, ImageRecipe)
    with pytest.raises(BadInput, match="know 1000 classes and the data has 3"):
        build_teachers(one, splits_of(3, channels=3), trust_code=False)


# --- soft targets that were given


def test_with_given_soft_targets_nothing_is_said_of_a_teacher_that_was_not_asked(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (*DATA, f"targets={{store: {folder_of(taught, 'targets') / 'store'}}}")
    weights = folder_of(taught, "teacher") / "model.safetensors"
    same = job(tmp_path / "same", *given, f"teacher={{model: convnet, width: 4, weights: {weights}}}")
    with claimed(same.out):
        teacher = the_teacher(same)
        assert learnt_from(same, the_targets(same, teacher), teacher.identity)
    # another teacher, which is trained and not asked
    other = pipeline.run(recipe(*given), out=tmp_path / "other", threads=1)
    assert "soft targets: 2 views of 400 examples, as given" in capsys.readouterr().err
    assert other["learnt_from_teacher"] is False
    assert other["ratios"]["accuracy_kept"] is None
    assert other["student_over_teacher_seconds"] is None
    assert "targets" not in other["timings"]
    page = (tmp_path / "other" / "report.html").read_text(encoding="utf-8")
    assert "learnt from soft targets that were given, which nothing says are the teacher" in page
    assert "of the teacher's accuracy" not in page
    assert "counted in" not in page


def test_given_soft_targets_in_another_order_are_doubted(taught: Path, tmp_path: Path) -> None:
    weights = weights_in(tmp_path / "w", taught, ROLLED)
    ready = (*DATA, f"teacher={{model: convnet, width: 4, weights: {weights}}}")
    one = job(tmp_path / "rolled", *ready)
    with claimed(one.out):
        store = the_targets(one, the_teacher(one))
    assert store is not None
    told = job(tmp_path / "run", *DATA, f"targets={{store: {store.path}}}")
    with claimed(told.out):
        said = beware(told, the_teacher(told))
    assert "targets.store: the teacher is no better on training examples" in said[0]
    assert "another order" in said[1]
    right = job(tmp_path / "fine", *DATA, f"targets={{store: {folder_of(taught, 'targets') / 'store'}}}")
    with claimed(right.out):
        assert beware(right, the_teacher(right)) == ()
