"""TinyBERT, PKD and MiniLM on real text models: layers found, batches of texts, padding, adapters, and stages."""

import copy
import dataclasses
import importlib.util
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator

transformers = pytest.importorskip("transformers")

from limbeck.data.examples import HeldOut  # noqa: E402
from limbeck.errors import BadInput  # noqa: E402
from limbeck.interfaces import Batch, DenseLogits, Features, Output, Target  # noqa: E402
from limbeck.modalities.text import modality  # noqa: E402
from limbeck.modalities.text.classifier import load_classifier  # noqa: E402
from limbeck.modalities.text.examples import TextSplits  # noqa: E402
from limbeck.modalities.text.recipe import WordViews  # noqa: E402
from limbeck.modalities.text.students import text_student  # noqa: E402
from limbeck.modalities.text.task import TextClassification  # noqa: E402
from limbeck.models.capture import Capture  # noqa: E402
from limbeck.nlp.anatomy import inside  # noqa: E402
from limbeck.nlp.tokens import Vocabulary, from_tokens  # noqa: E402
from limbeck.objectives import functional  # noqa: E402
from limbeck.objectives.modules import KD, PKD, CrossEntropy, MiniLM, TinyBERT  # noqa: E402
from limbeck.objectives.schedules import Progress, Step  # noqa: E402
from limbeck.pipeline.objective import objective_of, with_layers  # noqa: E402
from limbeck.randomness import torch_seed  # noqa: E402
from limbeck.sections.objective import Objective  # noqa: E402
from limbeck.sections.train import Train  # noqa: E402
from limbeck.targets.live_teacher import LiveTeacher  # noqa: E402
from limbeck.training.loop import Training, fit  # noqa: E402
from tests.helpers.textual import ENCODER, sentence  # noqa: E402
from tests.helpers.tiny_text import TEXTS, tiny_classifier, tiny_tokenizer  # noqa: E402

THREE = ("tiny_bert", "pkd", "minilm")
RECIPE = Path(__file__).parents[2] / "recipes" / "sst2_tinybert.yaml"


def recipes_objective(**terms):
    return objective_of(Objective.model_validate(terms))


def splits_of(tokenizer, texts):
    """Half of the texts to learn from, the rest to validate on; the label is whether the number of tokens is even."""
    tokens = tokenizer(list(texts), add_special_tokens=True)["input_ids"]
    labels = torch.tensor([len(row) % 2 for row in tokens])
    whole = from_tokens(tokens, labels, torch.arange(len(tokens)) * 7, texts)
    half = torch.arange(len(tokens) // 2)
    return TextSplits(
        train=whole.take(half),
        validation=whole.take(half + len(half)),
        test=HeldOut(lambda notes: whole.take(half)),
        transfer=None,
        classes=("odd", "even"),
        fingerprint="made up",
        labelled="made up",
        vocabulary=Vocabulary(len(tokenizer), tokenizer.pad_token_id, frozenset(tokenizer.all_special_ids)),
    )


@pytest.fixture(scope="module")
def minilm():
    """A real teacher of six layers, and a student of three made from it, narrower and with ids of its own."""
    if importlib.util.find_spec(ENCODER) is None:
        pytest.skip(f"{ENCODER} is not installed")
    teacher = load_classifier(f"package:{ENCODER}/model", ("odd", "even"))
    texts = [sentence(number) for number in range(64)]
    student = text_student(
        "shrunk", teacher.model, teacher.tokenizer, texts=texts, layers=3, hidden=48, heads=12, vocabulary="used"
    )
    return teacher.model, student.for_teacher_ids(), splits_of(teacher.tokenizer, texts)


def answers(objective, student, teacher, task, batch):
    """What the objective says of both models; the student without dropout."""
    with Capture(student, objective.needs.features) as features:
        output = task.forward(student, batch)
    output = dataclasses.replace(output, features=features)
    target = LiveTeacher(teacher, task)(batch, objective.needs)
    return output, target


@pytest.mark.parametrize("name", THREE)
def test_a_shrunk_student_of_a_real_teacher_learns(minilm, name, tmp_path):
    """The loss falls, the teacher stays as it was, and every parameter of an adapter moves (bug 22)."""
    teacher, student, splits = minilm
    student = copy.deepcopy(student)
    objective = with_layers(recipes_objective(**{name: {}}), modality, student, teacher)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    task = TextClassification(splits, view_seed=0)
    plan = Train(epochs=6, batch_size=8, optimizer="adamw", learning_rate=3e-3, warmup_epochs=0, weight_decay=0)
    live = LiveTeacher(teacher, task)
    source = task.source(splits.train, views=WordViews(), seed=0, batch_size=8)
    run = Training("a student", student, task, source, objective, live, plan, 0, tmp_path, splits.train.ids)
    built = copy.deepcopy(objective)
    history = fit(run, Accelerator(cpu=True))
    losses = [record["train_loss"] for record in history]
    assert 0 < losses[-1] < 0.7 * losses[0], losses
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    # drawn again as the loop drew them: no parameter is where it began
    batch = source.next(0, student)
    torch.default_generator.manual_seed(torch_seed(0, "objective"))
    built.build(*answers(built, student, teacher, task, batch), batch, splits.train.ids)
    own = dict(objective.named_parameters())
    assert bool(own) == (name != "minilm")
    assert own.keys() == dict(built.named_parameters()).keys()
    for key, parameter in built.named_parameters():
        assert (own[key] != parameter).all(), key


@pytest.mark.parametrize("name", THREE)
def test_neither_padding_nor_the_cut_of_a_batch_changes_value_or_gradient(minilm, name):
    """Bugs 14 and 15, with the positions that the task gives and no mask: the answers are one a text."""
    teacher, student, splits = minilm
    student = copy.deepcopy(student).eval()
    objective = with_layers(recipes_objective(**{name: {}}), modality, student, teacher)
    index, views = torch.arange(8), WordViews()

    def told(multiple_of, parts=1):
        """Totals, counts and the student's gradient of the batch in so many parts, each padded for itself."""
        task = TextClassification(splits, view_seed=0, multiple_of=multiple_of)
        totals, counts = {}, {}
        student.zero_grad()
        for here in index.tensor_split(parts):
            batch = task.batch(splits.train, here, torch.zeros_like(here), views)
            assert batch.mask is None
            assert batch.positions is not None
            assert batch.positions.shape == batch.inputs["input_ids"].shape
            output, target = answers(objective, student, teacher, task, batch)
            if not dict(objective.named_parameters()):
                torch.manual_seed(0)
                objective.build(output, target, batch, batch.ids)
            terms = objective(output, target, batch)
            assert {key: int(term.count) for key, term in terms.items()} == {
                key: int(count) for key, count in objective.counts(batch).items()
            }
            sum(term.total for term in terms.values()).backward()
            for key, term in terms.items():
                totals[key] = totals.get(key, 0) + term.total.item()
                counts[key] = counts.get(key, 0) + int(term.count)
        layer = student.get_submodule(inside(student, "", "").layer.format(0))
        return (
            totals,
            counts,
            [parameter.grad.clone() for parameter in layer.parameters() if parameter.grad is not None],
        )

    totals, counts, gradients = told(1)
    tokens = int(splits.train.lengths[:8].sum())
    assert set(counts.values()) == {8 if name == "pkd" else tokens}
    assert gradients
    assert any((gradient != 0).any() for gradient in gradients)
    for other in (told(64), told(1, parts=3)):
        assert other[1] == counts
        assert other[0] == pytest.approx(totals, rel=1e-4)
        for one, two in zip(gradients, other[2], strict=True):
            torch.testing.assert_close(two, one, rtol=2e-3, atol=2e-5 * float(one.abs().max()) + 1e-7)
    # no position at all: 0 with a graph, and no NaN
    task = TextClassification(splits, view_seed=0)
    batch = task.batch(splits.train, index, torch.zeros_like(index), views)
    output, target = answers(objective, student, teacher, task, batch)
    nothing = dataclasses.replace(batch, positions=torch.zeros_like(batch.positions))
    for term in objective(output, target, nothing).values():
        assert term.total.requires_grad
        assert (term.total.item(), term.count.item()) == (0, 0)


# ----------------------------------------------------------------------------------------------- where layers are


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("alone", [False, True], ids=["classifier", "encoder-in-a-wrapper"])
def test_layers_are_where_the_model_says(family, alone):
    """Captured by the paths found, hidden states and attention are those that the model itself gives."""
    classifier = tiny_classifier(family, attn_implementation="eager")
    model = torch.nn.ModuleDict({"encoder": getattr(classifier, family)}) if alone else classifier
    where = inside(model, "pkd", "student")
    assert (where.layers, where.heads) == (4, 4)
    paths = [where.embeddings, *(where.layer.format(layer) for layer in range(4))]
    projections = [f"{where.attention.format(2)}.{part}" for part in where.parts]
    tokens = tiny_tokenizer()(TEXTS, padding=True, return_tensors="pt")
    inputs = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
    with Capture(model, [*paths, *projections]) as features:
        said = (model["encoder"] if alone else model)(**inputs, output_hidden_states=True, output_attentions=True)
    for path, states in zip(paths, said.hidden_states, strict=True):
        assert torch.equal(features[path], states), path
    scores = functional.attention_scores(features[projections[0]], features[projections[1]], where.heads)
    keys = inputs["attention_mask"].bool()[:, None, None, :]
    attention = scores.masked_fill(~keys, -torch.inf).softmax(-1)
    torch.testing.assert_close(attention, said.attentions[2], rtol=1e-4, atol=1e-6)
    assert features[projections[2]].shape == features[projections[0]].shape


def test_what_each_compares():
    teacher = inside(tiny_classifier(num_hidden_layers=6), "", "")
    student = inside(tiny_classifier(num_hidden_layers=3), "", "")

    def pairs(objective):
        objective.find(student, teacher)
        return [part.pairs for _, part in objective.found.weighted]

    def layers(*numbers, below=""):
        return tuple(tuple(f"bert.encoder.layer.{number}{below}" for number in pair) for pair in numbers)

    uniform, attention = ((0, 1), (1, 3), (2, 5)), ".attention.self"
    assert pairs(TinyBERT()) == [layers(*uniform), layers(*uniform, below=attention)]
    assert pairs(TinyBERT([[2, 4]])) == [layers((2, 4)), layers((2, 4), below=attention)]
    assert pairs(PKD()) == [layers((0, 1), (1, 3))]
    assert pairs(PKD("last")) == [layers((0, 3), (1, 4))]
    assert pairs(PKD([[2, 5]])) == [layers((2, 5))]
    assert pairs(MiniLM()) == [layers((2, 5), below=attention)]
    assert TinyBERT().find(student, teacher) is None
    summed = 2.0 * TinyBERT(weight=0.5) + CrossEntropy()
    assert summed.needs.teacher_features == ()
    summed.find(student, teacher)
    assert "bert.encoder.layer.5" in summed.needs.teacher_features
    assert "bert.embeddings" in summed.needs.features
    assert summed.needs.labels


def test_models_that_do_not_go_together():
    four, two = tiny_classifier(), tiny_classifier(num_attention_heads=2)
    one = tiny_classifier(num_hidden_layers=1)
    for objective, student, sentence_ in (
        (TinyBERT(), two, "objective: tiny_bert compares .* 2 heads, the teacher 4: .* minilm"),
        (MiniLM(("qk", "vv")), two, "objective: minilm compares attention .* has 2, the teacher 4: leave out"),
        (PKD(), one, "objective: pkd leaves out the last layer"),
        (PKD(), torch.nn.Linear(2, 2), r"objective: pkd finds .*bert.*the student \(Linear\) is none of these"),
        (TinyBERT([[9, 0]]), four, "the student has no layer 9"),
    ):
        with pytest.raises(BadInput, match=sentence_):
            with_layers(objective, modality, student, four)
    assert with_layers(MiniLM(), modality, two, four).needs.features
    assert with_layers(KD(), modality, torch.nn.Linear(2, 2), four).needs == KD().needs
    with pytest.raises(ValueError, match="call find"):
        TinyBERT().counts(None)
    with pytest.raises(ValueError, match="two letters"):
        MiniLM("qk")


# ----------------------------------------------------------------------------------------------- one after another


def test_the_recipe_says_the_stages_and_each_is_worked_out_in_its_own(tmp_path):
    """In the first epochs the answers do not count, so the head stays; thereafter the inside does not, nor is it needed."""
    section = Objective.model_validate(yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["objective"])
    teacher, student = tiny_classifier(classes=["odd", "even"]), tiny_classifier(classes=["odd", "even"], seed=1)
    objective = with_layers(objective_of(section), modality, student, teacher)
    assert [part.weight for _, part in objective.weighted] == [Step(0, 1, 2), Step(1, 0, 2)]
    splits = splits_of(
        tiny_tokenizer(), [" ".join(TEXTS[(i * i + j) % 8] for j in range(1 + i % 3)) for i in range(32)]
    )
    task = TextClassification(splits, view_seed=0)
    source = task.source(splits.train, views=WordViews(), seed=0, batch_size=8)
    assert source.steps_per_epoch() == 2
    batch = source.next(0, student)
    said = answers(objective, student, teacher, task, batch)
    objective.build(*said, batch, batch.ids)
    inner = ["hidden_states", "embeddings", "attention_maps"]
    assert list(objective.counts(batch)) == ["kd", *inner]
    for step, expected in ((0, inner), (3, inner), (4, ["kd"]), (7, ["kd"])):
        objective.at(Progress(step, 2, 8))
        assert list(objective(*said, batch)) == expected
    # where nothing of the features is asked for they may be missing, and the answers where those are not
    objective(Output(logits=said[0].logits), Target((said[1].get(DenseLogits),)), batch)
    objective.at(Progress(0, 2, 8))
    objective(Output(features=said[0].features), Target((said[1].get(Features),)), batch)

    heads = {}

    class Watched:
        """The source, with a look at the student's head before every step."""

        steps_per_epoch = source.steps_per_epoch

        def next(self, step, model, part=0, parts=1):
            heads[step] = student.classifier.weight.detach().clone()
            return source.next(step, model, part, parts)

    plan = Train(epochs=4, batch_size=8, optimizer="adamw", learning_rate=1e-3, warmup_epochs=0, weight_decay=0)
    fresh = with_layers(objective_of(section), modality, student, teacher)
    live = LiveTeacher(teacher, task)
    fit(Training("stages", student, task, Watched(), fresh, live, plan, 0, tmp_path), Accelerator(cpu=True))
    assert all(torch.equal(heads[step], heads[0]) for step in range(5))
    assert not any(torch.equal(heads[step + 1], heads[step]) for step in range(4, 7))


def test_terms_keep_their_names_while_others_rest():
    """The second of two terms of a name is the second still when the first rests; and where all rest, all are worked out."""
    logits = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    said = Output(logits=logits), Target((DenseLogits(-logits),))
    ids = torch.arange(3)
    batch = Batch(ids=ids, view=torch.zeros_like(ids), inputs=None)
    objective = KD(weight=Step(1, 0, 1)) + KD(temperature=2, weight=Step(1, 0, 2))
    names = {}
    for step in (0, 1, 2):
        objective.at(Progress(step, 1, 3))
        terms = objective(*said, batch)
        names[step] = {name: float(term.total) > 0 for name, term in terms.items()}
    assert names == {0: {"kd": True, "kd_2": True}, 1: {"kd_2": True}, 2: {"kd": False, "kd_2": False}}


@pytest.mark.parametrize(
    "weight",
    [
        {"step": {"start": 1, "end": 0}},
        {"step": {"start": 1, "end": 0, "epochs": 2}, "linear": {"start": 1, "end": 0}},
        {"step": {"start": 1, "end": -1, "epochs": 2}},
        {},
    ],
)
def test_a_step_that_says_too_little_or_too_much_is_refused(weight):
    with pytest.raises(ValueError, match=r"a step comes after|one of linear, cosine and step|cannot be negative"):
        Objective.model_validate({"kd": {"weight": weight}})
