"""PKT against loops in float64: what it is, what it does not see, and what goes wrong in its usual form."""

import math

import pytest
import torch

from limbeck.functional import pkt
from tests.objectives.cases import EXACT, assert_is_reference, normal


def reference(student, teacher):
    def chances(rows):
        alike = [
            [
                (math.fsum(a * b for a, b in zip(one, other)) / math.hypot(*one) / math.hypot(*other) + 1) / 2
                for other in rows
            ]
            for one in rows
        ]
        return [[value / math.fsum(row) for value in row] for row in alike]

    pairs = [(a, b) for p, q in zip(chances(teacher), chances(student)) for a, b in zip(p, q)]
    return math.fsum(a * math.log((a + 1e-7) / (b + 1e-7)) for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("dtype", [torch.float32, EXACT])
def test_it_is_the_formula(dtype):
    student, teacher = normal(5, 4, seed=1, dtype=dtype), normal(5, 7, seed=2, dtype=dtype)
    assert_is_reference(pkt(student, teacher), reference(student.tolist(), teacher.tolist()), dtype)


def test_by_hand():
    # cosines of two examples: 1 and 0 for the student, 1 and -1 for the teacher, who takes them for strangers
    student, teacher = torch.eye(2, dtype=EXACT), torch.tensor([[1.0], [-1.0]], dtype=EXACT)
    assert pkt(student, teacher).item() == pytest.approx(math.log(1.5) / 2, rel=1e-6)  # p (1, 0), q (2/3, 1/3)


def test_it_sees_neither_axes_nor_lengths_and_averages_maps():
    student, teacher = normal(4, 5), normal(4, 5, seed=1)
    turned = student @ torch.linalg.qr(normal(5, 5, seed=2))[0] * torch.tensor([[1.0], [2.0], [0.5], [9.0]])
    torch.testing.assert_close(pkt(turned, teacher), pkt(student, teacher))
    maps = normal(4, 5, 3, 2)
    torch.testing.assert_close(pkt(maps, teacher), pkt(maps.mean((2, 3)), teacher))


def test_bug_of_zeros_without_a_gradient():
    zeros = torch.zeros(3, 4, requires_grad=True)
    (zeros / zeros.norm(dim=1, keepdim=True)).sum().backward()  # the usual form
    assert zeros.grad.isnan().all()
    zeros.grad = None
    pkt(zeros, normal(3, 4).float()).backward()
    assert zeros.grad.isfinite().all()


def test_bug_of_the_student_in_the_teachers_place():
    student, teacher = normal(4, 5), normal(4, 5, seed=1)
    assert abs(pkt(student, teacher) - pkt(teacher, student)) > 1e-5


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match=r"\(B, \.\.\.\) of the same examples"):
        pkt(torch.zeros(4, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="are no map"):
        pkt(torch.zeros(4, 2, 3), torch.zeros(4, 2))
