"""What the objectives of decoupled.py, logit_matching.py and correlation.py must be: formula, gradient, invariances, no known bug.

The bugs that distillation code is known for (methods.md G.2) are written out and told apart.
"""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives import functional as f
from limbeck.objectives.functional import common
from tests.objectives.cases import EXACT, IGNORED, assert_is_reference, cases, normal
from tests.objectives.response_methods import BY_POSITION, DIVERGENCES, METHODS, close, far, value_and_gradient

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
every_method_by_position = pytest.mark.parametrize("method", BY_POSITION.values(), ids=BY_POSITION)


@pytest.fixture
def batch():
    """Student, teacher (12, 5), labels; class 3 ruled out by both at one position, by the teacher at another."""
    student, teacher = normal(12, 5, seed=1, scale=2), normal(12, 5, seed=2, scale=2)
    student[4, 3] = teacher[4, 3] = teacher[7, 3] = -math.inf
    return student, teacher, torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1])


# ------------------------------------------------------------------------------------------------ the value


@every_method
def test_it_is_the_reference(method):
    @settings(max_examples=100, deadline=None)
    @given(cases(), st.sampled_from(method.settings))
    def holds(case, chosen):
        expected, size = method.expected(case, chosen)
        # a logit divided by T is rounded by its own size, and that error is in the exponent
        size *= 1 + case.largest / min(1, chosen.get("temperature", 1))
        for dtype in (torch.float32, EXACT):
            pair, what_counts = case.tensors(dtype)
            assert_is_reference(method.function(*pair, **what_counts, **chosen), expected, dtype, size=size)

    holds()


@every_method
@pytest.mark.parametrize("classes", [2, 10, 300])
def test_at_ordinary_sizes_it_is_good_to_a_millionth(method, classes):
    student, teacher = (normal(16, classes, seed=seed, scale=3, dtype=torch.float32) for seed in (1, 2))
    labels = torch.arange(16) % classes
    rows = student.tolist(), teacher.tolist()
    # at T = 20 a divergence is small beside the logarithms it is the difference of, and float32 knows fewer digits
    for chosen in (chosen for chosen in method.settings if chosen.get("temperature", 1) <= 4):
        if method.positions is None:
            expected, _ = method.reference(*rows, **chosen)
        else:
            expected = math.fsum(method.reference(*row, **chosen)[0] for row in zip(*rows, labels.tolist())) / 16
        for dtype, relative in ((torch.float32, 1e-6), (EXACT, 1e-12)):
            value = method.function(student.to(dtype), teacher.to(dtype), labels=labels, **chosen)
            assert value.item() == pytest.approx(expected, rel=relative)


@every_method
def test_gradcheck(method, batch):
    student, teacher, labels = (tensor[3:9].reshape(3, 2, *tensor.shape[1:]) for tensor in batch)
    labels = labels.clone()
    labels[0, 1] = IGNORED
    mask = torch.tensor([[True, True], [True, True], [False, True]])
    for chosen in method.settings[:3]:
        function = partial(method.function, labels=labels, mask=mask, **chosen)
        assert torch.autograd.gradcheck(function, (student.clone().requires_grad_(), teacher))


@every_method
def test_no_gradient_reaches_the_teacher_and_narrow_logits_are_summed_in_float32(method, batch):
    student, teacher, labels = batch
    student, teacher = (logits.bfloat16().requires_grad_() for logits in (student, teacher))
    value = method(student, teacher, labels)
    value.backward()
    assert value.dtype == torch.float32
    assert value == method(student.float(), teacher.float(), labels)
    assert value == method(student.float(), teacher, labels)
    assert teacher.grad is None
    assert student.grad.dtype == torch.bfloat16
    assert student.grad.abs().sum() > 0


@every_method
def test_nothing_counts(method, batch):
    student, teacher, labels = batch
    student = student.requires_grad_()
    teacher = teacher.masked_fill(teacher > 0, math.nan)
    nowhere, unlabelled = torch.zeros(12, dtype=torch.bool), torch.full((12,), IGNORED)
    for value in (
        method(student, teacher, labels, nowhere),
        method(student, teacher, unlabelled),
        method(student[:0], teacher[:0], labels[:0]),
    ):
        assert value.item() == 0
        (gradient,) = torch.autograd.grad(value, student)
        assert (gradient == 0).all()


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, EXACT])
def test_in_chunks_it_is_what_it_is_whole(method, dtype, batch, monkeypatch):
    """G.2 bug 12: the memory-lean form must not be another loss, in value or in gradient."""
    student, teacher, labels = batch
    student, teacher = student.to(dtype), teacher.to(dtype)
    mask = torch.ones(12, dtype=torch.bool)
    mask[[0, 4, 5, 6]] = False  # rows 4 and 5 are a chunk of which nothing counts
    batches = [(student, teacher, labels, None), (student.clone(), teacher.clone(), labels, mask)]
    batches[1][0][5], batches[1][1][6] = math.nan, -math.inf
    wholes = [value_and_gradient(method, *each) for each in batches]
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setitem(common.CHUNK, "cpu", 10)
    tolerance = {"rtol": 1e-12, "atol": 1e-13} if dtype == EXACT else {"rtol": 1e-5, "atol": 1e-6}
    for each, whole in zip(batches, wholes, strict=True):
        for ours, theirs in zip(value_and_gradient(method, *each), whole, strict=True):
            close(ours, theirs, **tolerance)
        close(method(*each), whole[0], **tolerance)  # where no gradient is asked for


# ------------------------------------------------------------------------------------------------ invariances


@every_method
def test_it_is_invariant_to_a_constant_and_to_order(method, batch):
    student, teacher, labels = batch
    value, gradient = value_and_gradient(method, student, teacher, labels)
    close(method(student + 3.0, teacher - normal(12, 1, seed=3), labels), value)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    permuted = value_and_gradient(method, student[:, order], teacher[:, order], order.argsort()[labels])
    close(permuted[0], value)
    close(permuted[1], gradient[:, order])
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    close(method(student[order], teacher[order], labels[order]), value)
    shaped = (tensor.reshape(3, 4, *tensor.shape[1:]) for tensor in (student, teacher, labels))
    close(method(*shaped), value)


@every_method_by_position
def test_bug_each_micro_batch_normalised_by_itself(method, batch):
    student, teacher, labels = batch
    labels[:3] = IGNORED
    whole = method(student, teacher, labels)
    parts = [(student[part], teacher[part], labels[part]) for part in (slice(0, 5), slice(5, 12))]
    counted = [tuple(tensor[part[2] != IGNORED] for tensor in part) for part in parts]
    close(sum(method.at(*part).sum() for part in counted) / 9, whole)
    buggy = sum(method(*part) for part in parts) / 2
    assert far(buggy, whole, by=1e-4)
    if method.labels:
        assert (method.at(student, teacher, labels)[:3] == 0).all()


@every_method
def test_bug_masked_after_the_loss_was_reduced_and_padding_counts(method, batch):
    student, teacher, labels = batch
    mask = torch.ones(12, dtype=torch.bool)
    mask[[2, 7, 8]] = False
    value, gradient = value_and_gradient(method, student[mask], teacher[mask], labels[mask])
    for rubbish in (0.0, 9.0, math.nan, -math.inf):
        dirty, untaught = student.clone(), teacher.clone()
        dirty[~mask], untaught[8] = rubbish, rubbish
        masked = value_and_gradient(method, dirty, untaught, labels, mask)
        close(masked[0], value)
        close(masked[1][mask], gradient)
        assert (masked[1][~mask] == 0).all()
        unlabelled = labels.masked_fill(~mask, IGNORED)
        close(method(dirty, untaught, unlabelled), value)
    after = method(student, teacher, labels) * mask.double().mean()
    over_all = method(student, teacher, labels, mask) * mask.double().mean()
    assert far(after, value)
    assert far(over_all, value)


@every_method
def test_bug_mean_over_classes(method, batch):
    student, teacher, labels = batch
    padding = torch.full((12, 6), -math.inf, dtype=EXACT)
    wide = torch.cat([student, padding], 1), torch.cat([teacher, padding], 1)
    value, gradient = value_and_gradient(method, student, teacher, labels)
    wider = value_and_gradient(method, *wide, labels)
    close(wider[0], value)
    close(wider[1][:, :5], gradient)
    assert (wider[1][:, 5:] == 0).all()
    # divided by the number of columns, padding included
    assert far(wider[0] / 11, value / 5)
    # and padded with 0 (G.2 bug 18) the extra columns are classes like any other
    assert far(method(*(logits.masked_fill(logits == -math.inf, 0.0) for logits in wide), labels), value)


@every_method
def test_bug_batchmean_grows_with_length_and_dividing_twice(method, batch):
    student, teacher, labels = (tensor.reshape(2, 6, *tensor.shape[1:]) for tensor in batch)
    value = method(student, teacher, labels)
    twice = [torch.cat([tensor, tensor], 1) for tensor in (student, teacher, labels)]
    tolerance = {"rtol": 1e-6} if method.positions is None else {}  # the 1e-8 beside a norm that has grown
    close(method(*twice), value, **tolerance)
    if method.positions is not None:
        per_sequence = [method.at(*batch).sum() / len(batch[0]) for batch in ((student, teacher, labels), twice)]
        close(per_sequence[1], 2 * per_sequence[0])  # the buggy form


# ------------------------------------------------------------------------------------------------ divergences


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.floats(1e-3, 50), st.sampled_from([torch.float32, EXACT]))
def test_divergences_are_zero_at_equality_and_nowhere_below(seed, classes, scale, dtype):
    student, teacher = (normal(5, classes, seed=seed + k, scale=scale, dtype=dtype) for k in (0, 1))
    labels = torch.arange(5) % classes
    for name in DIVERGENCES:
        method = METHODS[name]
        values = method.at(student, teacher, labels)
        assert (values >= -(1e-5 if dtype == torch.float32 else 1e-13) * (1 + scale)).all()
        if classes > 2 and scale > 0.1 and dtype == EXACT:
            assert (values > 0).all()
        equal = 0.1 * teacher if "ttm" in name else teacher
        assert (method.at(equal, teacher, labels).abs() <= (0 if "ttm" not in name else 1e-10)).all()


@pytest.mark.parametrize("confident", [3.0, 30.0, 300.0])
def test_bug_cross_entropy_for_divergence(confident):
    teacher, labels = normal(6, 5, seed=1, scale=confident), torch.tensor([0, 1, 2, 3, 4, 0])
    for name in DIVERGENCES:
        equal = 0.1 * teacher if "ttm" in name else teacher
        value, gradient = value_and_gradient(METHODS[name], equal, teacher, labels)
        assert abs(value) < 1e-11
        assert gradient.abs().max() < 1e-8
    if confident == 3.0:
        p = (0.1 * teacher).softmax(1)
        assert F.cross_entropy(0.1 * teacher, p) > 0.5  # without the teacher's entropy


def test_bug_swapped_arguments_and_probabilities_for_logarithms():
    student, teacher = (torch.tensor([row], dtype=EXACT) for row in ([2.0, 0, 0, 0], [0.0, 1, 5, 5]))
    labels = torch.tensor([1])
    for name in ("dkd", "standardized_kd", "ttm", "wttm"):
        method = METHODS[name]
        expected = method.reference(student[0].tolist(), teacher[0].tolist(), 1, **method.settings[0])[0]
        assert method(student, teacher, labels).item() == pytest.approx(expected, rel=1e-12)
        assert far(method(teacher, student, labels), expected, by=0.1)
    p, q = (0.1 * teacher).softmax(1), student.softmax(1)
    close(f.ttm(student, teacher), F.kl_div(q.log(), p, reduction="batchmean"))
    assert far(F.kl_div(q, p, reduction="batchmean"), f.ttm(student, teacher), by=0.1)
    assert F.kl_div(p, p, reduction="batchmean") < -0.1


@every_method
def test_bug_the_student_for_teacher(method, batch):
    student, teacher, labels = batch
    first, gradient = value_and_gradient(method, student, teacher, labels)
    assert far(method(student, normal(12, 5, seed=9), labels), first, by=1e-4)
    assert gradient.norm() > 1e-3


@every_method
def test_bug_nan_silently_replaced(method, batch):
    student, teacher, labels = batch
    for broken in (student, teacher):
        kept = broken[1, 2].item()
        broken[1, 2] = math.nan
        assert method(student, teacher, labels).isnan()
        broken[1, 2] = kept


# ------------------------------------------------------------------------------------------------ -inf and few classes


def corners():
    low = -math.inf
    return {
        "one class": ([[2.0], [1.0]], [[-3.0], [0.0]], [0, 0]),
        "the label alone": ([[low, 1.0, low], [0.0, 1.0, 2.0]], [[low, 5.0, low], [0.0, 1.0, 0.0]], [1, 1]),
        "the teacher the label alone": ([[1.0, 2.0, 0.0]] * 2, [[low, 3.0, low], [low, low, 3.0]], [1, 2]),
        "the label ruled out by the teacher": ([[1.0, 2.0, 0.0]] * 2, [[0.0, low, 1.0], [low, 0.0, 1.0]], [1, 0]),
        "the label ruled out by both": ([[1.0, low, 0.0]] * 2, [[0.0, low, 1.0], [0.0, low, 4.0]], [1, 1]),
        "all alike": ([[2.0] * 3] * 2, [[1.0] * 3] * 2, [0, 2]),
        "student all alike": ([[0.0] * 3] * 2, [[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]], [0, 2]),
        "teacher all alike": ([[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]], [[0.1] * 3] * 2, [0, 2]),
        "one position": ([[1.0, 2.0, 4.0]], [[1.0, 0.0, 4.0]], [1]),
        "huge": ([[1e4, -1e4, 0.0], [0.0, 0.0, -1e4]], [[-1e4, 1e4, 0.0], [1e4, 0.0, 0.0]], [1, 0]),
    }


@every_method
@pytest.mark.parametrize("corner", corners())
@pytest.mark.parametrize("dtype", [torch.float32, EXACT])
def test_bug_ruled_out_classes_and_constant_rows_make_nan(method, corner, dtype):
    student, teacher, labels = corners()[corner]
    rows = [student, teacher, labels]
    for chosen in method.settings:
        if method.positions is None:
            expected, size = method.reference(student, teacher, **chosen)
        else:
            pairs = [method.reference(*row, **chosen) for row in zip(*rows)]
            expected, size = (math.fsum(pair[which] for pair in pairs) / len(pairs) for which in (0, 1))
        value, gradient = value_and_gradient(
            partial(method.function, labels=torch.tensor(labels), **chosen),
            torch.tensor(student, dtype=dtype),
            torch.tensor(teacher, dtype=dtype),
        )
        assert_is_reference(value, expected, dtype, size=size)
        assert gradient.isfinite().all()
        assert (gradient[torch.tensor(student) == -math.inf] == 0).all()


@every_method_by_position
def test_what_the_teacher_allows_and_the_student_rules_out_costs_infinity(method):
    student = torch.tensor([[0.0, -math.inf, 1.0], [0.0, 1.0, 2.0]], dtype=EXACT, requires_grad=True)
    values = method.at(student, normal(2, 3, seed=1), torch.tensor([0, 1]))
    assert values[0] == math.inf
    assert values[1].isfinite()
    (gradient,) = torch.autograd.grad(values.sum(), student)
    assert not gradient.isnan().any()


# ------------------------------------------------------------------------------------------------ refusals


@every_method
def test_what_does_not_fit_is_refused(method):
    student, labels = normal(2, 3), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        method(student, normal(2, 4), labels)
    if not method.labels:
        with pytest.raises(ValueError, match=r"\(3,\)"):
            method(student, student, mask=torch.ones(3, dtype=torch.bool))
    for name in method.settings[0]:
        wrong = (
            (-1.0, math.nan) if name in ("alpha", "beta") or method.labels or name == "gamma" else (0.0, -1.0, math.nan)
        )
        for value in wrong:
            with pytest.raises(ValueError, match=name):
                method(student, student, labels, **{name: value})
    if method.labels:
        name = method.function.__name__
        with pytest.raises(ValueError, match=f"{name}.*labels="):
            method(student, student)
        with pytest.raises(ValueError, match=f"{name}.*mixed labels"):
            method(student, student, student.softmax(1))
        close(method(student, -student, labels.int()), method(student, -student, labels))
    for which in (f.ttm, f.wttm):
        with pytest.raises(ValueError, match="gamma"):
            which(student, student, gamma=0.0)
