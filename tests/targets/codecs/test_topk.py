"""Top-k keeps the teacher at every temperature of the ladder, and between them what convexity allows."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import kd_positions, rest_at, sparse_kl_positions
from limbeck.targets.codecs import TopKCodec
from limbeck.targets.codecs.ids import bits_of_an_id, ids_in, pack, unpack
from limbeck.targets.codecs.topk import LADDER
from tests.helpers.codec_rows import kept, normal, zipf
from tests.helpers.codecs_of_all_kinds import coarse

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
