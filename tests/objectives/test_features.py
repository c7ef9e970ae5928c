"""Feature and relation functions against loops in float64, their identities, and what is not a number elsewhere."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import (
    attention_transfer,
    contrastive,
    hint,
    review_hcl,
    rkd_angle,
    rkd_distance,
    similarity_preserving,
)
from limbeck.objectives.functional.features import pooled, unit_rows
from tests.objectives.cases import EXACT, assert_is_reference, normal

# ----------------------------------------------------------------------------------------------- the references


def unit(vector):
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector] if length else list(vector)


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def huber(difference):
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def averaged(rows, height, width):
    """A map (H lists of W) averaged to height x width: bin i spans floor(i H / h) to ceil((i + 1) H / h)."""

    def bins(size, number):
        return [range(i * size // number, -(-(i + 1) * size // number)) for i in range(number)]

    tall, wide = bins(len(rows), height), bins(len(rows[0]), width)
    return [[mean(rows[y][x] for y in ys for x in xs) for xs in wide] for ys in tall]


def reference_hint(student, teacher):
    return mean((s - t) ** 2 for s, t in zip(student.ravel().tolist(), teacher.ravel().tolist()))


def reference_attention(student, teacher, power):
    size = [min(ours, theirs) for ours, theirs in zip(student.shape[2:], teacher.shape[2:])]
    gaps = []
    for ours, theirs in zip(student.tolist(), teacher.tolist()):
        flat = []
        for example in (ours, theirs):
            rows, columns = len(example[0]), len(example[0][0])
            sums = [
                [math.fsum(abs(plane[y][x]) ** power for plane in example) for x in range(columns)] for y in range(rows)
            ]
            flat.append(unit(list(itertools.chain.from_iterable(averaged(sums, *size)))))
        gaps += [(s - t) ** 2 for s, t in zip(*flat)]
    return mean(gaps)


def reference_similarity(student, teacher):
    grams = []
    for features in (student, teacher):
        rows = features.reshape(len(features), -1).tolist()
        grams.append([unit([math.fsum(a * b for a, b in zip(one, other)) for other in rows]) for one in rows])
    return mean((s - t) ** 2 for ours, theirs in zip(*grams) for s, t in zip(ours, theirs))


def reference_distance(student, teacher):
    both = []
    for rows in (student.tolist(), teacher.tolist()):
        distances = [math.dist(one, other) for one in rows for other in rows]
        apart = [distance for distance in distances if distance > 0]
        both.append([distance / mean(apart) for distance in distances] if apart else distances)
    return mean(huber(s - t) for s, t in zip(*both))


def reference_angle(student, teacher):
    both = []
    for rows in (student.tolist(), teacher.tolist()):
        side = [[unit([a - b for a, b in zip(one, other)]) for one in rows] for other in rows]
        both.append([math.fsum(a * b for a, b in zip(one, other)) for at in side for one in at for other in at])
    return mean(huber(s - t) for s, t in zip(*both))


def reference_hcl(student, teacher, levels):
    height, width = teacher.shape[2:]
    total, weights, weight = reference_hint(student, teacher), 1.0, 1.0
    for level in levels:
        if level < min(height, width):
            weight /= 2
            small = [
                np.array([[averaged(plane, level, level) for plane in example] for example in maps.tolist()])
                for maps in (student, teacher)
            ]
            total += weight * reference_hint(*small)
            weights += weight
    return total / weights


def reference_contrastive(positive, negatives, times, noise, temperature):
    def belongs(similarity):
        return math.exp(similarity / temperature) / (math.exp(similarity / temperature) + noise)

    def stranger(similarity):  # 1 - belongs, which would lose its digits as a difference
        return noise / (math.exp(similarity / temperature) + noise)

    values = []
    for own, others, often in zip(positive.tolist(), negatives.tolist(), times.tolist()):
        apart = [n * math.log(stranger(s)) for s, n in zip(others, often)]
        values.append(-math.log(belongs(own)) - math.fsum(apart))
    return mean(values)


# ------------------------------------------------------------------------------------------- against references


@st.composite
def pairs(draw, student=2, teacher=2):
    """Features of 1 to 5 examples with that many dimensions; among them all-zero examples and duplicates."""
    examples = draw(st.integers(1, 5))
    scale = draw(st.sampled_from([1e-6, 1.0, 1e3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    both = []
    for dims in (student, teacher):
        array = scale * rng.standard_normal((examples, *(draw(st.integers(1, 6)) for _ in range(dims - 1))))
        array[rng.random(examples) < draw(st.sampled_from([0.0, 0.4]))] = 0
        array = array[rng.integers(0, examples, examples)] if draw(st.booleans()) else array
        both.append(array.astype(np.float32))
    return tuple(both)


DTYPES = st.sampled_from([torch.float32, EXACT])


def both(arrays, dtype):
    return [torch.tensor(array, dtype=dtype) for array in arrays]


def size_of(student, teacher):
    return float(((np.abs(student.astype(float)) + np.abs(teacher)) ** 2).mean())


@settings(max_examples=60, deadline=None)
@given(pairs(4, 4), DTYPES)
def test_hint_and_review_are_the_reference(case, dtype):
    student = np.resize(case[0], case[1].shape)
    tensors = both((student, case[1]), dtype)
    size = size_of(student, case[1])
    assert_is_reference(hint(*tensors), reference_hint(student, case[1]), dtype, size=size)
    expected = reference_hcl(student, case[1], (4, 2, 1))
    assert_is_reference(review_hcl(*tensors), expected, dtype, size=size)


@settings(max_examples=60, deadline=None)
@given(pairs(4, 4), st.sampled_from([1.0, 2.0, 4.0]), DTYPES)
def test_attention_transfer_is_the_reference(case, power, dtype):
    value = attention_transfer(*both(case, dtype), power=power)
    assert_is_reference(value, reference_attention(*case, power), dtype)


@settings(max_examples=60, deadline=None)
@given(pairs(3, 2), DTYPES)
def test_similarity_preserving_is_the_reference(case, dtype):
    assert_is_reference(similarity_preserving(*both(case, dtype)), reference_similarity(*case), dtype)


@settings(max_examples=80, deadline=None)
@given(pairs(), DTYPES)
def test_rkd_is_the_reference(case, dtype):
    assert_is_reference(rkd_distance(*both(case, dtype)), reference_distance(*case), dtype)
    assert_is_reference(rkd_angle(*both(case, dtype)), reference_angle(*case), dtype)


@settings(max_examples=60, deadline=None)
@given(pairs(), st.sampled_from([1e-4, 0.3, 20.0]), st.sampled_from([0.07, 1.0]), DTYPES, st.booleans())
def test_contrastive_is_the_reference(case, noise, temperature, dtype, counted):
    positive, negatives = np.tanh(case[0][:, 0]), np.tanh(case[1])
    times = np.arange(negatives.size).reshape(negatives.shape) % 3 if counted else np.ones_like(negatives, dtype=int)
    value = contrastive(
        *both((positive, negatives), dtype),
        log_noise=math.log(noise),
        temperature=temperature,
        times_BM=torch.tensor(times) if counted else None,
    )
    expected = reference_contrastive(positive, negatives, times, noise, temperature)
    # a similarity divided by T is rounded by its own size, and that error is in the exponent
    assert_is_reference(value, expected, dtype, size=(1 + times.sum(1).max()) / temperature)


def test_pooling_in_equal_parts_is_pooling():
    maps_BCHW = normal(2, 3, 8, 12)
    expected = [[averaged(plane, 4, 3) for plane in example] for example in maps_BCHW.tolist()]
    torch.testing.assert_close(pooled(maps_BCHW, (4, 3)), torch.tensor(expected, dtype=EXACT))


# --------------------------------------------------------------------------------------------- for all of them

MAPS = normal(4, 3, 5, 4, seed=1), normal(4, 2, 4, 6, seed=2)
LIKE = normal(4, 2, 6, 6, seed=3), normal(4, 2, 6, 6, seed=4)
VECTORS = normal(4, 5, seed=5), normal(4, 3, seed=6)
FUNCTIONS = {
    "hint": (hint, LIKE),
    "attention_transfer": (attention_transfer, MAPS),
    "similarity_preserving": (similarity_preserving, MAPS),
    "rkd_distance": (rkd_distance, VECTORS),
    "rkd_angle": (rkd_angle, VECTORS),
    "review_hcl": (review_hcl, LIKE),
}
SCALE_FREE = ("attention_transfer", "similarity_preserving", "rkd_distance", "rkd_angle")
every = pytest.mark.parametrize(("function", "given_"), FUNCTIONS.values(), ids=FUNCTIONS)
scale_free = pytest.mark.parametrize(("function", "given_"), [FUNCTIONS[n] for n in SCALE_FREE], ids=SCALE_FREE)


@every
def test_gradients_are_those_of_the_formula(function, given_):
    student, teacher = given_
    assert torch.autograd.gradcheck(lambda x: function(x, teacher), student.clone().requires_grad_())


def test_the_contrastive_gradient_is_that_of_the_formula():
    positive, negatives = normal(3).tanh().requires_grad_(), normal(3, 5, seed=1).tanh().requires_grad_()
    times = torch.arange(15).view(3, 5) % 3
    assert torch.autograd.gradcheck(
        lambda p, n: contrastive(p, n, log_noise=-2.0, times_BM=times), (positive, negatives)
    )


@every
def test_nothing_to_learn_only_from_oneself(function, given_):
    student, teacher = given_
    assert function(student, student) == 0
    assert function(student, teacher) > 1e-3
    # bug 7: the teacher takes part
    assert function(student, teacher) != function(student, teacher.flip(0))


@every
def test_the_order_of_examples_does_not_matter(function, given_):
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(function(*(x[order] for x in given_)), function(*given_), rtol=1e-12, atol=0)


@scale_free
@pytest.mark.parametrize("scale", [1e-18, 1e-10, 1e10, 1e37])
def test_scale_does_not_matter_even_in_float32(function, given_, scale):
    student, teacher = (x.float() for x in given_)
    torch.testing.assert_close(function(scale * student, teacher / 3), function(student, teacher), rtol=1e-5, atol=1e-7)


def test_relations_do_not_depend_on_the_axes():
    student, teacher = VECTORS
    rotation, _ = torch.linalg.qr(normal(5, 5))
    for function in (similarity_preserving, rkd_distance, rkd_angle):
        torch.testing.assert_close(function(student @ rotation, teacher), function(student, teacher))
    for function in (rkd_distance, rkd_angle):
        torch.testing.assert_close(function(student + 7, teacher), function(student, teacher))


def degenerate(student):
    """Zeros, one example, duplicates, neighbours that only just differ, huge and tiny features: values that stay finite."""
    yield torch.zeros_like(student)
    yield student * torch.tensor([1, 0, 1, 0]).view(-1, *[1] * (student.dim() - 1))
    yield student[[0, 0, 1, 1]]
    yield student[[0, 0, 0, 0]]
    yield torch.cat([student[:2], student[:2] * (1 + 2e-7)])
    yield student * 1e-38
    yield student * 1e-25
    yield student * 1e15


@every
@pytest.mark.parametrize("teacher_too", [False, True])
def test_zeros_and_duplicates_have_finite_gradients(function, given_, teacher_too):
    student, teacher = (x.float() for x in given_)
    for bad, bad_teacher in zip(degenerate(student), degenerate(teacher)):
        bad = bad.clone().requires_grad_()
        value = function(bad, bad_teacher if teacher_too else teacher)
        value.backward()
        assert value.isfinite()
        assert bad.grad.isfinite().all()


def test_the_usual_forms_have_no_gradient_at_duplicates():
    # the buggy forms: sqrt at 0, and 0 / 0
    student = VECTORS[0][[0, 0, 1, 1]].requires_grad_()
    (student.unsqueeze(0) - student.unsqueeze(1)).square().sum(2).sqrt().mean().backward()
    assert student.grad.isnan().any()
    zeros = torch.zeros(2, 3, requires_grad=True)
    assert (zeros / zeros.norm(dim=1, keepdim=True)).isnan().all()
    # and a small constant beneath leaves a gradient that no learning rate survives
    torch.nn.functional.normalize(zeros, dim=1).sum().backward()
    assert zeros.grad.abs().max() > 1e11
    zeros.grad = None
    unit_rows(zeros).sum().backward()
    assert zeros.grad.abs().max() <= 1


@every
def test_one_example_and_none(function, given_):
    for examples in (1, 0):
        student = given_[0][:examples].clone().requires_grad_()
        value = function(student, given_[1][:examples])
        value.backward()
        assert value.isfinite()
        assert student.grad.isfinite().all()
        if not examples:
            assert value == 0
    if function in (similarity_preserving, rkd_distance, rkd_angle):
        assert function(given_[0][:1], given_[1][:1]) == 0  # nothing to compare it with


@every
def test_means_do_not_grow_with_the_batch(function, given_):
    """Bugs 1 and 2: a batch that holds every example twice has the same mean."""
    value, twice = function(*given_), function(*(torch.cat([x, x]) for x in given_))
    if function is similarity_preserving:
        twice = 2 * twice  # rows of length 1 have twice as many places: published so, and why it is called relational
    if function in (rkd_distance, rkd_angle):
        assert twice < 2 * value
    else:
        torch.testing.assert_close(twice, value)


@every
def test_a_teacher_that_wants_gradients_gets_none(function, given_):
    student, teacher = (x.clone().requires_grad_() for x in given_)
    function(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@every
def test_narrow_features_are_worked_out_in_float32_under_autocast_too(function, given_):
    student, teacher = (x.bfloat16() for x in given_)
    expected = function(student.double(), teacher.double()).item()
    with torch.autocast("cpu", torch.bfloat16):
        value = function(student, teacher)
        wide = function(student.float(), teacher.float())
    assert value.dtype == wide.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert wide.item() == pytest.approx(expected, rel=1e-5)


@every
def test_what_is_not_a_number_is_not_hidden(function, given_):
    """Bug 24."""
    for bad in (math.nan, math.inf):
        student = given_[0].clone()
        student[1].view(-1)[0] = bad
        assert not function(student, given_[1]).isfinite()


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 2\).*\(4, 3\).*regressor"):
        hint(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="no map"):
        attention_transfer(torch.zeros(4, 2), torch.zeros(4, 2, 3, 3))
    with pytest.raises(ValueError, match="power"):
        attention_transfer(*MAPS, power=0.5)
    with pytest.raises(ValueError, match="no map"):
        review_hcl(torch.zeros(4, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="same examples"):
        similarity_preserving(torch.zeros(4, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="average maps"):
        rkd_angle(*MAPS)
    with pytest.raises(ValueError, match="temperature"):
        contrastive(torch.zeros(1), torch.zeros(1, 2), log_noise=0.0, temperature=0)
