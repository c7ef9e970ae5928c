"""Codecs keep what they say they keep, at the cost they state, row by row."""

import itertools
import json
import math
import re

import pytest
import torch
from codec_rows import kept, normal, rows_of, zipf
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import recipe_codecs, stages
from limbeck.errors import BadInput
from limbeck.interfaces import Batch, DenseLogits, Output, Sampled, Target, TopK
from limbeck.objectives.functional import kd_positions, rest_at, sparse_kl_positions
from limbeck.objectives.modules import DIST, DKD, KD, BinaryCrossEntropy, BinaryKD, CrossEntropy, ForwardKL
from limbeck.objectives.schedules import Linear
from limbeck.recipe import Targets
from limbeck.recipe_codecs import CodecSection
from limbeck.targets.codecs import (
    Dense,
    Int8,
    Rows,
    SampleCodec,
    TopKCodec,
    bytes_per_target,
    codec_error,
    codec_from,
    unknown_as_nan,
)
from limbeck.targets.codecs.asked import asked_codecs
from limbeck.targets.codecs.auto import candidates, choose
from limbeck.targets.codecs.fit import misfit
from limbeck.targets.codecs.ids import bits_of_an_id, ids_in, pack, unpack
from limbeck.targets.codecs.topk import LADDER
from limbeck.targets.store import Store
from limbeck.teaching import the_targets, the_teacher
from tiny import job as tiny_job

ALL = [
    Dense(),
    Int8(),
    TopKCodec(3),
    SampleCodec(20, temperature=2.0, width=8),
    SampleCodec(9, proposal=3.0, width=3),
]
every_codec = pytest.mark.parametrize("codec", ALL, ids=lambda codec: f"{codec.name}-{len(codec.settings)}")


# ------------------------------------------------------------------------------------------------ all of them


@every_codec
def test_a_row_is_stored_alike_whatever_stands_beside_it(codec):
    logits_NC = normal(23, 300, scale=4).float()
    rows = rows_of(23, view=2)
    whole = codec.encode(logits_NC, rows)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    for piece in (1, 4, 23):
        parts = [
            codec.encode(logits_NC[index], Rows(rows.ids_N[index], 2, rows.position_N[index]))
            for index in order.split(piece)
        ]
        for name, column in whole.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), column[order])


@every_codec
def test_settings_and_name_are_all_that_decoding_needs(codec):
    logits_NC = normal(6, 300)
    columns = codec.encode(logits_NC, rows_of(6))
    again = codec_from(codec.name, json.loads(json.dumps(codec.settings)))
    assert again == codec
    for one, other in zip(vars(codec.decode(columns, 300)).values(), vars(again.decode(columns, 300)).values()):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@every_codec
def test_an_unknown_row_poisons_the_loss(codec):
    answer = unknown_as_nan(kept(codec, normal(3, 5)), torch.tensor([True, False, True]))
    batch = Batch(ids=torch.arange(3), view=torch.zeros(3), inputs=None)
    temperature = answer.temperature if isinstance(answer, Sampled) else 1.0
    total = KD(temperature)(Output(logits=normal(3, 5, seed=1)), Target((answer,)), batch)["kd"].total
    assert total.isnan()


@pytest.mark.parametrize(
    ("codec", "classes", "expected"),
    [
        (Dense(), 10, 20),
        (Int8(), 10, 12),
        (TopKCodec(8), 200, 8 * 3 + 10),
        (TopKCodec(8), 50_000, 8 * 4 + 10),
        (TopKCodec(8), 2_000, 8 * 2 + 11 + 10),
        (TopKCodec(8, (1.0, 2.0)), 100_000, 8 * 2 + 17 + 4),
        (SampleCodec(), 50_000, 40),
        (SampleCodec(), 10, 10),
        (SampleCodec(), 18, 18),
        (SampleCodec(), 19, 18 + 4),
        (SampleCodec(width=24), 2_000, 24 * 11 // 8 + 6),
        (SampleCodec(width=12), 100_000, 26 + 3),  # 25.5 bytes of ids
        (SampleCodec(width=3), 50_000, 6),
        (SampleCodec(proposal=2.0), 50_000, 76),
    ],
)
def test_bytes_of_a_target(codec, classes, expected):
    assert bytes_per_target(codec, classes) == expected


def test_no_other_codec_and_no_other_settings():
    with pytest.raises(BadInput, match=r"no codec 'topp'\. Did you mean 'topk'"):
        codec_from("topp")
    for settings_ in ({"k": 0}, {"k": "8"}, {"q": 8}, {"k": 8, "temperatures": [1, 1]}, {"k": 8, "temperatures": []}):
        with pytest.raises(BadInput, match="the codec topk cannot be made"):
            codec_from("topk", settings_)
    for settings_ in (
        {"draws": 256},
        {"temperature": 0},
        {"proposal": -1.0},
        {"width": 0},
        {"temperature": 2, "proposal": 1},
    ):
        with pytest.raises(BadInput, match="the codec sample cannot be made"):
            codec_from("sample", settings_)
    with pytest.raises(ValueError, match="k is 6, and there are 5 classes"):
        TopKCodec(6).encode(normal(1, 5), rows_of(1))


# ------------------------------------------------------------------------------------------------ every class


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.sampled_from([1e-6, 1e-2, 1.0, 30.0, 1e4, 1e7]),
    st.sampled_from([0.0, 1e6]),
)
def test_dense_within_the_rounding_of_its_type_and_int8_within_half_a_step(seed, classes, scale, offset):
    logits_NC = normal(7, classes, seed=seed, scale=scale) + offset
    ruled_out = normal(7, classes, seed=seed + 1) > 1
    ruled_out[:, 0] = False
    logits_NC = logits_NC.masked_fill(ruled_out, -torch.inf)
    finite = logits_NC.masked_fill(ruled_out, torch.nan)
    for codec in (Dense(), Int8()):
        columns = codec.encode(logits_NC, rows_of(7))
        got_NC = codec.decode(columns, classes).logits.double()
        assert torch.equal(got_NC == -torch.inf, ruled_out)
        if codec == Dense():
            centre = finite.nanmean(1, keepdim=True)
            error = ((finite - centre).clamp(-65504, 65504) - got_NC).abs()
            bound = 2.0**-11 * got_NC.abs() + 2.0**-24
        else:
            step = columns["scale"].double()[:, None]
            below = finite - finite.nan_to_num(-torch.inf).amax(1, keepdim=True)
            error = (below.clamp(min=-254 * 65504.0) - got_NC).abs()
            bound = step / 2 + 1e-9 * (scale + offset)
            range_ = got_NC.masked_fill(ruled_out, 0).amin(1).neg()
            assert (step[:, 0] <= (1 + 2**-9) * range_ / 253 + 2.0**-23).all()
        assert (error[~ruled_out] <= bound.expand_as(error)[~ruled_out]).all()


def test_int8_of_equal_and_of_enormous_logits():
    inf = torch.inf
    logits_NC = torch.tensor([[3.0, 3.0, 3.0], [0.0, -inf, -inf], [3e38, 0.0, -3e38], [0.0, -254.0, -127.0]])
    got = kept(Int8(), logits_NC).logits
    assert got.tolist() == [[0, 0, 0], [0, -inf, -inf], [0, -254 * 65504.0, -254 * 65504.0], [0, -254, -127]]


# ------------------------------------------------------------------------------------------------ top k


@given(st.integers(1, 1 << 24) | st.sampled_from([256, 257, 1 << 16, (1 << 16) + 1]), st.integers(1, 40), st.data())
def test_ids_take_as_few_bits_as_the_classes_allow(classes, number, data):
    bits = bits_of_an_id(classes)
    assert bits == max(8, math.ceil(math.log2(classes)))
    ids = data.draw(st.lists(st.integers(0, classes - 1), min_size=number, max_size=number))
    ids_Nk = torch.tensor([ids, [classes - 1] * number, [0] * number])
    packed = pack(ids_Nk, classes)
    assert (packed.dtype, packed.shape) == (torch.uint8, (3, math.ceil(number * bits / 8)))
    assert ids_in(packed.shape[1], classes) == number
    assert torch.equal(unpack(packed, classes), ids_Nk)
    # the same without shifting tensors: one whole number a row, its lowest bits first
    whole = sum(one << (bits * at) for at, one in enumerate(ids))
    assert bytes(packed[0].tolist()) == whole.to_bytes(packed.shape[1], "little")


def test_more_classes_than_three_bytes_can_number_are_refused():
    with pytest.raises(ValueError, match="16777217"):
        bits_of_an_id((1 << 24) + 1)


def coarse(logits_NC, ids_Nk, temperature):
    """Log-probabilities of the classes, and of all others together: in float64, from all logits."""
    log_p_NC = (logits_NC / temperature).log_softmax(1)
    rest = log_p_NC.scatter(1, ids_Nk, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([log_p_NC.gather(1, ids_Nk), rest], dim=1)


def as_distribution(answer, temperature):
    rest = rest_at(answer.log_rest.double(), answer.temperatures, temperature)
    return torch.cat([answer.logits.double() / temperature, rest[:, None]], dim=1).log_softmax(1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60), st.sampled_from([0.1, 1.0, 6.0, 40.0]), st.sampled_from([0.0, 1e3]))
def test_top_k_is_the_teacher_at_every_temperature_of_the_ladder(seed, classes, scale, offset):
    logits_NC = normal(5, classes, seed=seed, scale=scale) + offset
    answer = kept(TopKCodec(1 + seed % classes), logits_NC)
    assert torch.equal(answer.ids, logits_NC.topk(answer.ids.shape[1], dim=1).indices)
    for temperature in (1.0, 2.0, 4.0, 8.0):
        got, expected = as_distribution(answer, temperature), coarse(logits_NC, answer.ids, temperature)
        # a value of float16 is off by 2^-11 of itself; below e^-30 nothing of it matters
        off = (got.exp() - expected.exp()).abs()
        assert (off <= 2**-10 * expected.exp() * (1 + expected.clamp(min=-1e4).abs()) + 1e-12).all()
        student_NC = normal(5, classes, seed=seed + 1, scale=2)
        rest = rest_at(answer.log_rest, answer.temperatures, temperature)
        value = sparse_kl_positions(student_NC, answer.ids, answer.logits, rest, temperature=temperature)
        log_q = coarse(student_NC, answer.ids, temperature)
        dense = temperature**2 * (expected.exp() * (expected - log_q).masked_fill(expected.exp() == 0, 0)).sum(1)
        torch.testing.assert_close(value, dense, rtol=5e-3, atol=5e-3 * temperature**2)


def test_bug_top_k_renormalised_or_its_temperature_frozen():
    logits_NC = zipf(1000)[None].repeat(2, 1)
    answer = kept(TopKCodec(4), logits_NC)
    for temperature in (1.0, 4.0):
        expected = coarse(logits_NC, answer.ids, temperature).exp()
        assert torch.allclose(as_distribution(answer, temperature).exp(), expected, atol=1e-3)
        renormalised = (answer.logits.double() / temperature).softmax(1)
        assert (renormalised - expected[:, :4]).abs().max() > 0.1
        frozen = as_distribution(answer, 1.0)  # probabilities, kept at one temperature and softened afterwards
        softened = (frozen / temperature).softmax(1)
        assert temperature == 1 or (softened - expected).abs().max() > 0.1


def test_k_of_all_classes_is_the_dense_form():
    student_NC, teacher_NC = normal(6, 7, seed=1), normal(6, 7, seed=2, scale=3)
    answer = kept(TopKCodec(7), teacher_NC)
    assert (answer.log_rest == -torch.inf).all()
    for temperature in (1.0, 1.7, 3.0):
        rest = rest_at(answer.log_rest, answer.temperatures, temperature)
        value = sparse_kl_positions(student_NC, answer.ids, answer.logits, rest, temperature=temperature)
        torch.testing.assert_close(
            value, kd_positions(student_NC, teacher_NC, temperature=temperature), rtol=0, atol=0.02
        )


@pytest.mark.parametrize(
    "tail",
    [normal(5000, scale=2), zipf(5000), torch.linspace(-12, 0, 5000, dtype=torch.float64), normal(30, scale=5)],
    ids=["normal", "zipf", "uniform", "few"],
)
def test_between_the_temperatures_the_rest_is_interpolated(tail):
    tail = tail - tail.max() - 2
    ladder = LADDER
    log_rest_R = torch.stack([(tail / t).logsumexp(0) for t in ladder])
    for temperature in (1.2, 1.75, 3.0, 5.0, 6.0):
        exact = (tail / temperature).logsumexp(0)
        got = rest_at(log_rest_R[None], ladder, temperature)[0]
        assert abs(got - exact) < 0.02
        # a constant in the logits passes through
        shifted = rest_at(log_rest_R[None] + 3 / torch.tensor(ladder, dtype=torch.float64), ladder, temperature)[0]
        assert abs(shifted - got - 3 / temperature) < 1e-12
        after = next(i for i, t in enumerate(ladder) if t > temperature)
        share = (1 / temperature - 1 / ladder[after - 1]) / (1 / ladder[after] - 1 / ladder[after - 1])
        chord = (1 - share) * log_rest_R[after - 1] + share * log_rest_R[after]
        assert got <= chord + 1e-12
        assert abs(chord - exact) > 1.3 * abs(got - exact) or abs(chord - exact) < 1e-3  # a straight line is worse


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-60, 0), min_size=1, max_size=6), st.floats(1, 8))
def test_the_interpolated_rest_keeps_to_what_convexity_allows(tail, temperature):
    tail, ladder = torch.tensor(tail, dtype=torch.float64), (1.0, 2.0, 4.0, 8.0)
    at_R = torch.stack([(tail / t).logsumexp(0) for t in ladder])
    got = rest_at(at_R, ladder, temperature)
    exact = (tail / temperature).logsumexp(0)
    low, high = (max(t for t in ladder if t <= temperature), min(t for t in ladder if t >= temperature))
    assert min(at_R[ladder.index(low)], at_R[ladder.index(high)]) - 1e-9 <= exact
    if temperature in ladder:
        assert got == at_R[ladder.index(temperature)]
        return
    share = (1 / temperature - 1 / low) / (1 / high - 1 / low)
    chord = (1 - share) * at_R[ladder.index(low)] + share * at_R[ladder.index(high)]
    # both lie below the chord, and above the prolonged chords on either side
    assert got <= chord + 1e-9
    assert exact <= chord + 1e-9
    for one, other in itertools.pairwise(ladder):
        if (one, other) == (low, high) or (other != low and one != high):
            continue
        reach = (1 / temperature - 1 / one) / (1 / other - 1 / one)
        below = (1 - reach) * at_R[ladder.index(one)] + reach * at_R[ladder.index(other)]
        assert below <= min(got, exact) + 1e-9


def test_outside_the_ladder_there_is_no_rest():
    for temperature in (0.9, 8.5):
        with pytest.raises(ValueError, match=f"from 1 to 8, and {temperature} is outside"):
            rest_at(torch.zeros(2, 4), (1.0, 2.0, 4.0, 8.0), temperature)
    assert rest_at(torch.full((2, 2), -torch.inf), (1.0, 2.0), 1.5).tolist() == [-math.inf, -math.inf]


# ------------------------------------------------------------------------------------------------ what it costs


def test_the_measured_error_is_the_divergence_it_says():
    logits_NC = normal(70, 20, scale=2)
    rows = rows_of(70)
    p = logits_NC.log_softmax(1)
    q = kept(Int8(), logits_NC).logits.double().log_softmax(1)
    kl = (p.exp() * (p - q)).sum(1)
    error = codec_error(Int8(), logits_NC, rows)
    assert error["mean_kl"] == pytest.approx(float(kl.mean()), rel=1e-9)
    assert error["p99_kl"] == pytest.approx(float(kl.quantile(0.99)), rel=1e-9)
    assert (error["n"], error["temperature"]) == (70, 1.0)

    error, ids = codec_error(TopKCodec(3), logits_NC, rows), logits_NC.topk(3, dim=1).indices
    rest = coarse(logits_NC, ids, 1.0)[:, -1]
    spread = (rest[:, None] - math.log(17)).expand(-1, 20).scatter(1, ids, p.gather(1, ids))
    assert error["mean_kl"] == pytest.approx(float((p.exp() * (p - spread)).sum(1).mean()), rel=0.02)
    assert error["mean_rest"] == pytest.approx(float(rest.exp().mean()), rel=1e-9)
    assert error["mean_coarse_kl"] < 1e-6 < 0.01 < error["mean_kl"]
    assert error["argmax_agreement"] == 1.0
    assert codec_error(TopKCodec(20), logits_NC, rows)["mean_kl"] < 1e-6
    assert codec_error(TopKCodec(3, (2.0, 4.0)), logits_NC, rows)["temperature"] == 2.0

    few, many = (codec_error(SampleCodec(draws, width=20), logits_NC, rows) for draws in (20, 200))
    assert few["mean_total_variation"] > 3 * many["mean_total_variation"] > 3 * many["bias"]
    narrow = codec_error(SampleCodec(width=4), logits_NC, rows)
    assert narrow["mean_total_variation"] > many["mean_total_variation"]
    assert narrow["mean_classes"] <= 4 < many["mean_classes"]
    assert "mean_kl" not in few
    for each in (error, few):
        json.dumps(each, allow_nan=False)


def test_auto_takes_the_cheapest_that_is_exact_enough():
    logits_NC = zipf(2000, power=2.5).repeat(40, 1) + normal(40, 2000, scale=0.1)
    among = candidates(2000)
    sizes = [bytes_per_target(codec, 2000) for codec in among]
    assert sizes == sorted(sizes)
    assert among[-1] == Dense()
    errors = {codec: codec_error(codec, logits_NC, rows_of(40))["mean_kl"] for codec in among}
    for bound in (1.0, 0.1, 1e-2, 2e-4, 1e-5):
        codec, error = choose(among, bound, logits_NC, rows_of(40))
        assert error["mean_kl"] == errors[codec] <= bound
        assert all(errors[cheaper] > bound for cheaper in among[: among.index(codec)])
    assert choose(among, 1.0, logits_NC, rows_of(40))[0].kind is TopK
    with pytest.raises(BadInput, match=r"no codec keeps the mean KL at 1e-12 or less; dense, the most exact, has"):
        choose(among, 1e-12, logits_NC, rows_of(40))
    for codecs in (candidates(2000, DIST()), candidates(2000, KD(0.5)), candidates(2000, average=True)):
        assert codecs == (Int8(), Dense())


# ------------------------------------------------------------------------------------------------ who learns from it


@pytest.mark.parametrize(
    ("codec", "objective", "words"),
    [
        (TopKCodec(2), DKD() + CrossEntropy(), "dkd needs the logits of all classes, and the codec topk"),
        (SampleCodec(), CrossEntropy() + DIST(), "dist needs the logits of all classes.*kd and forward_kl"),
        (SampleCodec(), 0.5 * KD(4.0), "the draws hold at 1, and kd uses 4"),
        (SampleCodec(temperature=4.0), KD(Linear(4.0, 2.0)), "kd uses 4 to 2"),
        (TopKCodec(2), ForwardKL(0.5), "from 1 to 8, and forward_kl uses 0.5"),
        (TopKCodec(2), KD(Linear(1.0, 16.0)), "kd uses 1 to 16"),
    ],
)
def test_an_objective_that_cannot_learn_from_it_is_refused(codec, objective, words):
    assert re.search(words, misfit(codec, objective))
    assert misfit(Dense(), objective) is misfit(Int8(), objective) is None


def test_an_objective_that_can_is_not():
    assert misfit(TopKCodec(2), KD(Linear(1.0, 8.0)) + CrossEntropy() + ForwardKL(3.0)) is None
    assert misfit(SampleCodec(temperature=4.0), KD(4.0) + CrossEntropy()) is None
    assert misfit(TopKCodec(2), CrossEntropy()) is None
    assert "dense or int8" in misfit(TopKCodec(2), KD(), average=True)


# ------------------------------------------------------------------------------------------------ in a run

KINDS = {
    "int8": DenseLogits,
    "{topk: {k: 3}}": TopK,
    "{sample: {draws: 40, temperature: 4}}": Sampled,
    "{auto: {mean_kl: 0.05}}": None,  # the teacher's answers decide
}


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """The tiny job's folder with its teacher, the logits it gives, and a batch of what the student sees."""
    out = tmp_path_factory.mktemp("codecs")
    job = tiny_job(out)
    with stages.claimed(out):
        teacher = the_teacher(job)
        dense = the_targets(job, teacher)
    return out, dense


@pytest.mark.parametrize("codec", KINDS)
def test_from_a_teacher_to_a_gradient(taught, codec):
    out, dense = taught
    job = tiny_job(out, f"targets.codec={codec}")
    with stages.claimed(out):
        store = the_targets(job, the_teacher(job))
    assert isinstance(store, Store)
    assert store.path != dense.path
    assert Store.open(store.path, expect={"codec": {"name": store.codec.name, "settings": dict(store.codec.settings)}})
    with pytest.raises(BadInput, match="the codec"):
        Store.open(store.path, expect={"codec": {"name": "dense", "settings": {}}})
    task = job.task
    index_B = torch.arange(64)
    batch = task.batch(task.pool, index_B, index_B % 2, job.recipe.views)
    answer = store.gather(batch.ids, batch.view)
    kind = KINDS[codec] or store.codec.kind
    assert type(answer) is kind
    student = job.student(0)
    terms, gradients = [], []
    for target in (answer, dense.gather(batch.ids, batch.view)):
        student.zero_grad()
        term = KD(4.0)(task.forward(student.eval(), batch), Target((target,)), batch)["kd"]
        (term.total / term.count).backward()
        terms.append(term.total / term.count)
        gradients.append(
            torch.cat([weight.grad.flatten() for weight in student.parameters() if weight.grad is not None])
        )
    alike = torch.cosine_similarity(*gradients, dim=0)
    assert alike > {TopK: 0.5, Sampled: 0.9, DenseLogits: 0.98}[kind]
    if codec == "int8":
        torch.testing.assert_close(*terms, rtol=1e-2, atol=1e-4)
    elif kind is TopK:
        assert 0 < terms[0] <= terms[1] * 1.001  # coarser: it says less
    manifest = store.manifest["codec"]
    assert manifest["name"] == store.codec.name != "auto"
    assert manifest["bytes_per_target"] == bytes_per_target(store.codec, 10)
    if "auto" in codec:
        assert manifest["error"]["mean_kl"] <= 0.05
        assert the_targets(job, the_teacher(job)).path == store.path  # finished: it is not asked again


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["targets.codec={topk: {k: 11}}"], "targets.codec.topk: k is 11, and there are 10 classes"),
        (["targets.codec={sample: {temperature: 2}}"], "the draws hold at 2, and kd uses 4"),
        (["targets.codec={topk: {k: 2}}", "objective={dist: {}}"], "dist needs the logits of all classes"),
        (["targets.codec={topk: {k: 2}}", "targets.average=true"], "targets.average"),
        (["targets.codec=topk"], r"'topk' has settings: \{topk: \{k: 8\}\}"),
        (["targets.codec=int9"], "'int9' is not one of dense, int8.* Did you mean 'int8'"),
        (["targets.codec={topk: {kk: 2}}"], "targets.codec.topk.kk: no such field. Did you mean 'k'"),
        (["targets.codec={topk: {k: 2}, auto: {}}"], "one of topk, sample and auto"),
        (["targets.codec={sample: {proposal: 1, temperature: 4}}"], "Give a proposal above the temperature"),
        (["targets.codec={sample: {draws: 300}}"], "targets.codec.sample.draws: 300 was given; it must be at most 255"),
    ],
)
def test_a_codec_that_does_not_fit_is_refused_before_the_teacher_is_asked(tmp_path, overrides, words):
    with pytest.raises(BadInput, match=words):
        tiny_job(tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()


def test_a_recipes_defaults_are_the_codecs():
    assert TopKCodec(**recipe_codecs.TopK().model_dump()) == TopKCodec(8)
    assert SampleCodec(**recipe_codecs.Sample().model_dump()) == SampleCodec()


# ------------------------------------------------------------------------------------- answers of several labels


def test_answers_of_several_labels_are_kept_as_they_are():
    """A constant that a softmax does not see is what a sigmoid sees: centred, the answers would be others."""
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) - 3
    logits[0, 1], logits[1] = -torch.inf, 1e6
    rows = Rows(torch.arange(50), 0, torch.zeros(50, dtype=torch.int64))
    ((codec,), _) = asked_codecs(Targets(), 4, 0, BinaryKD() + BinaryCrossEntropy())
    assert codec == codec_from(codec.name, codec.settings) == Dense(centred=False)
    kept = codec.decode(codec.encode(logits, rows), 4).logits
    assert kept[0, 1] == -torch.inf
    torch.testing.assert_close(kept.sigmoid(), logits.sigmoid(), rtol=2e-3, atol=1e-6)
    centred = Dense().decode(Dense().encode(logits, rows), 4).logits
    assert (centred.sigmoid() - logits.sigmoid())[2:].abs().mean() > 0.3
    # labels of several alone ask for nothing of the teacher, and others are kept as ever
    assert asked_codecs(Targets(), 4, 0, BinaryCrossEntropy()).codecs == (Dense(),)
    assert asked_codecs(Targets(), 4, 0, KD()).ingredient == "dense"
    assert asked_codecs(Targets(codec=CodecSection(auto={})), 4, 0, BinaryKD()).codecs == (Dense(centred=False),)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"codec": "int8"}, "the logits of the codec int8 are kept up to a constant.* Take the codec dense"),
        ({"codec": CodecSection(topk={"k": 2})}, "the logits of the codec topk are kept up to a constant"),
        ({"average": True}, r"targets\.average: .* a yes or no for each class"),
    ],
)
def test_what_would_lose_a_sigmoid_is_refused(targets, said):
    with pytest.raises(BadInput, match=said):
        asked_codecs(Targets(**targets), 4, 0, BinaryKD())
    assert "store's logits are kept up to a constant" in str(misfit(Dense(), BinaryKD()))
