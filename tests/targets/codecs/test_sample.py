"""Classes drawn from a teacher: an unbiased estimate, as little noisy as the bytes allow, and the same whenever it is drawn."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import kd_positions, sampled_cross_entropy
from limbeck.targets.codecs import SampleCodec
from limbeck.targets.codecs.sample import _rounded
from tests.helpers.codec_rows import kept, normal, rows_of, zipf


def shares_of(answer, classes):
    """The estimate of each row, (N, C)."""
    share = answer.counts.double() / answer.counts.double().sum(1, keepdim=True)
    if answer.weights is not None:
        share = share * answer.weights.double()
    return torch.zeros(len(share), classes, dtype=torch.float64).scatter_add_(1, answer.ids.clamp(min=0), share)


@pytest.mark.parametrize(
    ("codec", "noise"),
    [
        (SampleCodec(60, temperature=1.5, width=40), 1 / 60),
        (SampleCodec(30, temperature=1.5, width=8), 1 / 6),
        (SampleCodec(30, temperature=1.5, width=3), 1 / 3),
        (SampleCodec(30, temperature=1.0, proposal=2.5, width=6), None),
    ],
    ids=["all", "narrow", "none counted", "proposal"],
)
def test_the_mean_over_many_rows_is_the_distribution(codec, noise):
    classes, number = 40, 6000
    logits_NC = zipf(classes)[torch.randperm(classes, generator=torch.Generator().manual_seed(0))].repeat(number, 1)
    answer = kept(codec, logits_NC)
    p_C = (logits_NC[0] / codec.temperature).softmax(0)
    estimate_NC = shares_of(answer, classes)
    off_C = estimate_NC.mean(0) - p_C
    spread_C = estimate_NC.std(0) / number**0.5
    unbiased = off_C.abs() <= 4.5 * spread_C + 2e-4 * p_C  # weights are float16
    torch.testing.assert_close(answer.counts.sum(1), torch.full((number,), float(codec.draws)))
    assert unbiased.all()
    if codec.width == 8:
        # the buggy form: the largest alone, made to sum to 1
        cut = estimate_NC.scatter(1, answer.ids[:, 2:], 0)
        buggy = cut / cut.sum(1, keepdim=True)
        assert ((buggy.mean(0) - p_C).abs() / (buggy.std(0) / number**0.5 + 1e-9)).max() > 10
    if noise is not None:  # systematic draws are never noisier than independent ones
        assert (spread_C <= 1.1 * (p_C * (1 - p_C) * noise / number).sqrt()).all()


def test_what_is_large_is_known_and_the_others_share_the_rest_with_less_noise_than_plain_draws():
    classes, number = 3000, 4000
    codec = SampleCodec(width=18)
    logits_NC = zipf(classes, 1.5)[torch.randperm(classes, generator=torch.Generator().manual_seed(1))].repeat(
        number, 1
    )
    p_C = logits_NC[0].softmax(0)
    answer = kept(codec, logits_NC)
    assert torch.equal(answer.ids[:, :4], p_C.topk(4).indices.expand(number, 4))
    assert ((answer.counts[:, :4] - 255 * p_C[answer.ids[:, :4]]).abs() < 1).all()
    others_N = 255 - answer.counts[:, :4].sum(1)
    torch.testing.assert_close(answer.counts[:, 4:], (others_N / 14)[:, None].expand(-1, 14))
    # each of the others: its share of 14 places, rounded up or down
    places_NC = torch.zeros(number, classes).scatter_add_(1, answer.ids[:, 4:], torch.ones(number, 14))
    due_C = 14 * p_C.index_fill(0, answer.ids[0, :4], 0) / (1 - p_C.topk(4).values.sum())
    assert ((places_NC - due_C).abs() < 1 + 1e-6).all()
    assert float(due_C.max()) > 1.2  # so that one stands twice in some rows
    drawn_ND = torch.multinomial(p_C, number * 18, replacement=True, generator=torch.Generator().manual_seed(2))
    plain_NC = torch.zeros(number, classes).scatter_add_(1, drawn_ND.view(number, 18), torch.ones(number, 18)) / 18
    assert shares_of(answer, classes).var(0).sum() < 0.2 * plain_NC.var(0).sum()


def test_more_classes_than_two_bytes_can_number():
    """The mean over rows, of those that matter; 80,000 classes have fewer bits for their masses."""
    classes, number = 80_000, 1500
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(3))
    logits_NC = zipf(classes, 1.1)[order].expand(number, classes)
    answer = kept(SampleCodec(width=12), logits_NC)
    p_C = logits_NC[0].softmax(0)
    sums_C = torch.zeros(classes, dtype=torch.float64)
    sums_C.scatter_add_(0, answer.ids.clamp(min=0).flatten(), (answer.counts / 255).double().flatten())
    top = p_C.topk(300).indices
    spread = (p_C[top] / 9 * number).sqrt()
    assert ((sums_C[top] - number * p_C[top]).abs() <= 4.5 * spread).all()
    rest = float(sums_C.sum() - sums_C[top].sum()) / number
    assert rest == pytest.approx(float(1 - p_C[top].sum()), abs=0.01)


@pytest.mark.parametrize(("parts", "draws"), [(22, 50), (22, 100), (44, 50), (44, 100), (7, 255), (3, 1)])
def test_shares_that_fall_on_whole_draws_are_exact(parts, draws):
    """Equal masses, whatever is drawn: nothing is a draw too many where a product would be rounded up."""
    mass_NM = torch.full((3, parts), (1 << 38) - 1)
    for share in (0.0, 2.0**-53, 0.5, 1 - 2.0**-53):
        counts = _rounded(mass_NM, draws, torch.full((3, 1), share, dtype=torch.float64))
        assert (counts.sum(1) == draws).all()
        assert ((counts - draws / parts).abs() < 1).all()


def test_equals_are_told_apart_by_their_ids():
    answer = kept(SampleCodec(width=12), torch.zeros(50, 20))
    assert answer.ids[:, :3].tolist() == [[0, 1, 2]] * 50


@given(st.integers(1, 60), st.integers(1, 255), st.integers(0, 2**32), st.floats(0.1, 60))
@settings(max_examples=60)
def test_draws_are_shared_out_as_they_fall_due(classes, draws, seed, scale):
    """Where all are counted: D p rounded up or down, whatever the distribution. And nothing goes to what has no mass."""
    logits_NC = normal(5, classes, seed=seed % 1000, scale=scale)
    logits_NC[:, : classes // 2] = -torch.inf
    answer = kept(SampleCodec(draws, width=max(1, classes - seed % 2), seed=seed), logits_NC)
    assert (answer.ids >= 0).equal(answer.counts > 0)
    assert (answer.ids.masked_fill(answer.ids < 0, classes) >= classes // 2).all()
    if not seed % 2 or classes == 1:
        assert (answer.counts.sum(1) == draws).all()
        assert ((draws * shares_of(answer, classes) - draws * logits_NC.softmax(1)).abs() < 1 + 1e-6).all()


def test_the_gradient_is_that_of_kd_on_average_and_importance_weights_are_needed():
    number, temperature = 4000, 2.0
    student_C, teacher_C = normal(12, seed=1), normal(12, seed=2, scale=2)
    dense = student_C.clone().requires_grad_()
    kd_positions(dense[None], teacher_C[None], temperature=temperature).sum().backward()

    def slope(codec, weighted=True):
        answer = kept(codec, teacher_C.repeat(number, 1))
        student = student_C.clone().requires_grad_()
        weights = answer.weights if weighted else None
        value = sampled_cross_entropy(
            student.repeat(number, 1), answer.ids, answer.counts, weights=weights, temperature=temperature
        )
        return torch.autograd.grad(value, student)[0]

    drawn_at_four = SampleCodec(24, temperature=2.0, proposal=4.0, width=12)
    for codec in (SampleCodec(24, temperature=2.0, width=12), SampleCodec(24, temperature=2.0, width=6), drawn_at_four):
        torch.testing.assert_close(slope(codec), dense.grad, rtol=0, atol=0.02)
    assert (slope(drawn_at_four, weighted=False) - dense.grad).abs().max() > 0.1


def test_draws_depend_on_seed_id_view_and_position_alone():
    logits_NC = normal(1, 500).repeat(64, 1)
    codec, rows = SampleCodec(), rows_of(64)

    def drawn(codec=codec, **changed):
        columns = codec.encode(logits_NC, rows._replace(**changed))
        return torch.cat([columns["ids"].double().view(64, -1), columns["counts"].double()], 1)

    assert torch.equal(drawn(), drawn())
    others = [
        drawn(view=1),
        drawn(position_N=torch.ones(64, dtype=torch.int64)),
        drawn(ids_N=rows.ids_N + 1),
        drawn(SampleCodec(seed=1)),
    ]
    # a row's classes follow from one number, so that a few of so many may come twice
    assert all((other != drawn()).any(1).double().mean() > 0.9 for other in others)
    assert len(drawn().unique(dim=0)) > 50
