"""Objectives on transformers as modules: paths, layers, maps between widths, terms and counts; and a real BERT."""

import math

import numpy as np
import pytest
import torch

from limbeck.interfaces import Batch, Features, Output, Target
from limbeck.models.capture import Capture
from limbeck.objectives import functional
from limbeck.objectives.layer_maps import uniform
from limbeck.objectives.modules import AttentionMaps, HiddenStates, ValueRelations
from tests.objectives.cases import EXACT, log_softmax, normal

MASK = torch.tensor([[True, True, False], [True, True, True], [False, False, False], [True, False, False]])


def batch(mask=MASK, examples=4):
    return Batch(ids=torch.arange(examples), view=torch.zeros(examples), inputs=None, mask=mask)


def features(paths, width, seed, examples=4, length=3):
    return {path: normal(examples, length, width, seed=seed + i) for i, path in enumerate(paths)}


def answers(objective, student_width=4, teacher_width=6, **shape):
    student = features(objective.needs.features, student_width, 10, **shape)
    teacher = features(objective.needs.teacher_features, teacher_width, 50, **shape)
    return Output(features=student), Target((Features(teacher),))


def part(values, rows):
    return {path: value[rows] for path, value in values.items()}


def built(objective, **widths):
    student, target = answers(objective, **widths)
    torch.manual_seed(0)
    objective.build(student, target, batch(), torch.arange(4))
    return objective


LAYERS = {"layers": (2, 4)}
MAKERS = {
    "tinybert": lambda: HiddenStates(**LAYERS, embeddings=("embeddings", "embeddings")),
    "pkd": lambda: HiddenStates(**LAYERS, match="cls"),
    "distilbert": lambda: HiddenStates(**LAYERS, match="cosine", layer_map="last"),
    "scores": lambda: AttentionMaps(**LAYERS, heads=2),
    "attention": lambda: AttentionMaps(**LAYERS, heads=2, match="kl", layer_map=[(1, 2), (0, 0)]),
    "minilm": lambda: ValueRelations(**LAYERS, heads=2, relations=("qk", "vv")),
    "minilm2": lambda: ValueRelations(**LAYERS, heads=2),
    "packed": lambda: ValueRelations("blocks.{}.attn", "blocks.{}.attn", **LAYERS, heads=2, parts="qkv"),
}
WIDTHS = {"packed": {"student_width": 12, "teacher_width": 18}}
every_objective = pytest.mark.parametrize("name", MAKERS)


@every_objective
@pytest.mark.parametrize("mask", [None, MASK, torch.zeros(4, 3, dtype=torch.bool)], ids=["all", "some", "none"])
def test_terms_add_up_over_parts(name, mask):
    """Bug 15, and the counts are those of forward: divided over the whole batch its cut does not show."""
    objective = built(MAKERS[name](), **WIDTHS.get(name, {}))
    student, target = answers(objective, **WIDTHS.get(name, {}))
    whole = objective(student, target, batch(mask))
    counts = objective.counts(batch(mask))
    assert list(whole) == list(counts)
    totals = dict.fromkeys(whole, 0.0)
    for rows in (slice(0, 1), slice(1, 4)):
        here = batch(None if mask is None else mask[rows], len(range(4)[rows]))
        pieces = (
            Output(features=part(student.features, rows)),
            Target((Features(part(target.get(Features).values, rows)),)),
        )
        for term, value in objective(*pieces, here).items():
            totals[term] = totals[term] + value.total
    for term, value in whole.items():
        torch.testing.assert_close(totals[term], value.total, rtol=1e-12, atol=1e-14)
        assert value.count == counts[term] == (4 if mask is None else 3 if name == "pkd" and mask.any() else mask.sum())
        assert (value.total > 0) == (value.count > 0)


@every_objective
def test_the_students_side_alone_learns_and_padding_is_silent(name):
    """Bugs 21 and 22, and NaN at padding, which a map's gradient would multiply by 0."""
    objective = built(MAKERS[name](), **WIDTHS.get(name, {}))
    student, target = answers(objective, **WIDTHS.get(name, {}))
    teacher = target.get(Features).values
    for tensor in (*student.features.values(), *teacher.values()):
        tensor[~MASK] = math.nan
        tensor.requires_grad_()
    terms = objective(student, target, batch())
    sum(term.total for term in terms.values()).backward()
    for tensor in student.features.values():
        assert tensor.grad.isfinite().all()
        assert (tensor.grad[~MASK] == 0).all()
        assert (tensor.grad[MASK] != 0).any()
    assert all(tensor.grad is None for tensor in teacher.values())
    for parameter in objective.parameters():
        assert parameter.grad.isfinite().all()
        assert (parameter.grad != 0).any()


def test_tinybert_maps_widths():
    objective = HiddenStates("s.{}", "t.{}", layers=(2, 4), embeddings=("s.stem", "t.stem"), weight=3.0)
    assert objective.needs.features == ("s.0", "s.1", "s.stem")
    assert objective.needs.teacher_features == ("t.1", "t.3", "t.stem")
    assert objective.needs.target == (Features,)
    assert not list(objective.parameters())
    built(objective)
    shapes = {name: tuple(parameter.shape) for name, parameter in objective.named_parameters()}
    assert shapes == {"maps.hidden_4_to_6.weight": (6, 4), "maps.embeddings_4_to_6.weight": (6, 4)}
    student, target = answers(objective)
    terms = objective(student, target, batch())
    teacher = target.get(Features).values
    maps = {name: parameter.detach().numpy() for name, parameter in objective.named_parameters()}

    def expected(mine, other, weight):
        gap = student.features[mine].numpy() @ maps[weight].T - teacher[other].numpy()
        return (gap**2).mean(-1)[MASK.numpy()].sum()

    pairs = (("s.0", "t.1"), ("s.1", "t.3"))
    hidden = sum(expected(*pair, "maps.hidden_4_to_6.weight") for pair in pairs)
    assert terms["hidden_states"].total.item() == pytest.approx(3 * hidden, rel=1e-12)
    stem = expected("s.stem", "t.stem", "maps.embeddings_4_to_6.weight")
    assert terms["embeddings"].total.item() == pytest.approx(3 * stem, rel=1e-12)
    # saved with a checkpoint: another, built under another seed, takes it over
    torch.manual_seed(1)
    again = HiddenStates("s.{}", "t.{}", layers=(2, 4), embeddings=("s.stem", "t.stem"), weight=3.0)
    again.build(student, target, batch(), torch.arange(4))
    assert again(student, target, batch())["hidden_states"].total != terms["hidden_states"].total
    again.load_state_dict(objective.state_dict())
    assert again(student, target, batch())["hidden_states"].total == terms["hidden_states"].total
    # of one width: no map
    assert not list(built(MAKERS["tinybert"](), student_width=6).parameters())


def test_layers_are_summed_and_pkd_averages_them():
    for match, function, weight in (
        ("mse", functional.hidden_mse, 1),
        ("cosine", functional.hidden_cosine, 1),
        ("cls", functional.cls_mse, 500),
    ):
        objective = HiddenStates(["a", "b"], ["c", "d"], match=match)
        student, target = answers(objective, teacher_width=4)
        teacher = target.get(Features).values
        for mask in (MASK, None):
            (term,) = objective(student, target, batch(mask)).values()
            both = [function(student.features[mine], teacher[other], mask=mask) for mine, other in objective.pairs]
            expected = weight * sum(both) / (2 if match == "cls" else 1)
            torch.testing.assert_close(term.total / term.count, expected)
    assert [other for _, other in HiddenStates(layers=(6, 12), match="cls", layer_map=uniform(6, 12)[:-1]).pairs] == [
        f"encoder.layer.{i}" for i in (1, 3, 5, 7, 9)
    ]


def test_attention_and_relations():
    objective = AttentionMaps(layers=(2, 4), heads=2)
    assert objective.needs.features == tuple(
        f"encoder.layer.{i}.attention.self.{name}" for i in (0, 1) for name in ("query", "key")
    )
    student, target = answers(objective)
    student.features["encoder.layer.0.attention.self.query"].mul_(300)  # low scores are not masked ones
    teacher = target.get(Features).values
    scores = [
        [
            functional.attention_scores(values[f"{at}.query"], values[f"{at}.key"], 2)
            for at in (f"encoder.layer.{layer}.attention.self" for layer in layers)
        ]
        for values, layers in ((student.features, (0, 1)), (teacher, (1, 3)))
    ]
    for match, function in (("mse", functional.attention_mse), ("kl", functional.attention_kl)):
        (term,) = AttentionMaps(layers=(2, 4), heads=2, match=match)(student, target, batch()).values()
        more = {"ruled_out": -math.inf} if match == "mse" else {}
        expected = sum(function(mine, other, mask=MASK, **more) for mine, other in zip(*scores))
        torch.testing.assert_close(term.total / term.count, expected)

    objective = ValueRelations(layers=(2, 4), heads=2, relations=("vv",))
    assert objective.needs.features == ("encoder.layer.1.attention.self.value",)
    student, target = answers(objective)
    values = [*student.features.values(), *target.get(Features).values.values()]
    for mask in (MASK, None):
        term = objective(student, target, batch(mask))["relation_vv"]
        torch.testing.assert_close(term.total / term.count, functional.relation_kl(*values, heads=2, mask=mask))
    assert list(MAKERS["minilm2"]().terms) == ["relation_qq", "relation_kk", "relation_vv"]


def test_queries_keys_and_values_side_by_side():
    packed = ValueRelations(["a"], ["b"], heads=2, relations=("qk", "kk", "vv"), parts="qkv", teacher_parts="abc")
    student, target = answers(packed, student_width=12)
    apart = ValueRelations(["a"], ["b"], heads=2, relations=("qk", "kk", "vv"), teacher_parts="abc")
    assert packed.needs.features == ("a.qkv",)
    assert apart.needs.teacher_features == ("b.abc",)
    pieces = student.features["a.qkv"].split(4, dim=-1)
    split = Output(features={f"a.{name}": piece for name, piece in zip(("query", "key", "value"), pieces)})
    for name, term in packed(student, target, batch()).items():
        assert term.total == apart(split, target, batch())[name].total


def test_a_linear_map_is_not_rounded_by_autocast():
    objective = HiddenStates("a", "b")
    pair = (
        Output(features={"a": normal(4, 3, 4, seed=1, dtype=torch.float32)}),
        Target((Features({"b": normal(4, 3, 6, seed=2, dtype=torch.float32)}),)),
    )
    objective.build(*pair, batch(), torch.arange(4))
    plain = objective(*pair, batch())["hidden_states"].total
    with torch.autocast("cpu", torch.bfloat16):
        assert objective(*pair, batch())["hidden_states"].total == plain


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: HiddenStates("a", "b")(*answers(HiddenStates("a", "b")), batch()), r"4 wide .* 6 .*call build\(\)"),
        (lambda: HiddenStates("a", "b")(Output(), answers(HiddenStates("a", "b"))[1], batch()), "student's .* 'a'"),
        (lambda: built(HiddenStates("a", "b"), student_width=6)(*answers(HiddenStates("a", "b")), batch(MASK[:, :2])),
         "the mask"),
        (lambda: HiddenStates("a", "b", match="l1"), "'mse', 'cls' or 'cosine', not 'l1'"),
        (lambda: HiddenStates("a", "b", embeddings="stem"), "embeddings must be two paths"),
        (lambda: HiddenStates(), "need layers="),
        (lambda: HiddenStates(layers=(12, 6)), "name the pairs"),
        (lambda: AttentionMaps("a", "b", heads=2, match="cosine"), "'mse' or 'kl'"),
        (lambda: AttentionMaps("a", "b", heads=0), "heads must be at least 1"),
        (lambda: AttentionMaps("a", "b", heads=2, parts=("q", "k")), "parts must name"),
        (lambda: ValueRelations("a", "b", heads=2, relations=("qx",)), "two letters"),
        (lambda: ValueRelations("a", "b", heads=2, relations="qk"), "two letters"),
        (lambda: ValueRelations("a", "b", heads=2, weight=-1.0), "negative"),
        (lambda: MAKERS["minilm2"]()(*answers(MAKERS["minilm2"](), student_width=5), batch()), "5 cannot be cut"),
        (lambda: MAKERS["packed"]()(*answers(MAKERS["packed"]()), batch()), "side by side"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()


# ------------------------------------------------------------------------------------------------ a real BERT


def bert(layers, width, seed):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.7,
        attn_implementation="eager",
    )
    return transformers.BertModel(config, add_pooling_layer=False).eval().to(EXACT)


def test_what_a_hugging_face_bert_gives():
    """Attention from captured queries and keys is the model's own; and padding the tokens further changes no term."""
    student, teacher = bert(2, 8, seed=1), bert(4, 12, seed=2)
    tokens = torch.randint(1, 40, (3, 5), generator=torch.Generator().manual_seed(3))
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]])
    objective = (
        HiddenStates(layers=(2, 4), embeddings=("embeddings", "embeddings"))
        + AttentionMaps(layers=(2, 4), heads=2, match="kl")
        + AttentionMaps(layers=(2, 4), heads=2)
        + ValueRelations(layers=(2, 4), heads=4)
    )

    def ask(model, paths, more):
        shown = torch.cat([tokens, torch.zeros(3, more, dtype=torch.int64)], 1)
        there = torch.cat([mask, torch.zeros(3, more, dtype=torch.bool)], 1)
        with Capture(model, paths) as captured:
            answer = model(shown, attention_mask=there.long(), output_attentions=True, output_hidden_states=True)
        return captured, answer, batch(there, 3)

    results = []
    for more in (0, 4):
        mine, said, given = ask(student, objective.needs.features, more)
        other, taught, _ = ask(teacher, objective.needs.teacher_features, more)
        pair = Output(features=mine), Target((Features(other),))
        if not more:
            torch.manual_seed(0)
            objective.build(*pair, given, given.ids)
            assert torch.equal(mine["encoder.layer.1"], said.hidden_states[2])
            assert torch.equal(other["embeddings"], taught.hidden_states[0])
            # the divergence of the very probabilities that the models return, in plain arithmetic
            gaps = []
            for q, p in zip(said.attentions, (taught.attentions[1], taught.attentions[3])):
                q, p = q.detach().numpy(), p.detach().numpy()
                for b, head, i in np.ndindex(3, 2, 5):
                    keys = mask[b].numpy()
                    log_p, log_q = (log_softmax(np.log(x[b, head, i, keys]).tolist()) for x in (p, q))
                    gaps.append(mask[b, i].item() * math.fsum(math.exp(x) * (x - y) for x, y in zip(log_p, log_q)))
        results.append(objective(*pair, given))
    total = math.fsum(gaps) / 2  # the mean over two heads
    assert results[0]["attention_maps"].total.item() == pytest.approx(total, rel=1e-10)
    assert total > 0.1
    assert list(results[0]) == [
        "hidden_states",
        "embeddings",
        "attention_maps",
        "attention_maps_2",
        "relation_qq",
        "relation_kk",
        "relation_vv",
    ]
    for name, term in results[0].items():
        assert term.count == 12
        torch.testing.assert_close(results[1][name].total, term.total, rtol=1e-9, atol=0)
    sum(term.total for term in results[0].values()).backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all()
        for name, parameter in student.named_parameters()
        if "layer.1.attention.self" in name or "embeddings.LayerNorm" in name
    )
