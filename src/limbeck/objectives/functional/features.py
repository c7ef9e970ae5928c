"""What the inner layers say: features and the relations between examples.

Shapes: B examples, D or C channels, H and W. A map is ``(B, C, H, W)``, a vector ``(B, D)``. Results are scalars: means
over examples (relations: over pairs and triples of them), 0 with a graph where there is no example. Arithmetic is at
least float32, also under autocast; float64 stays float64. No gradient reaches a teacher. What does not depend on the
features' scale is worked out after they are brought near 1 by a power of two, which is exact: huge and tiny features
neither overflow nor vanish in a square. What is below 1e-19 (float32) counts as zero there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import at_least_float32, full_precision, mean_over

__all__ = [
    "attention_transfer",
    "contrastive",
    "hint",
    "pkt",
    "review_hcl",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
]

PKT_EPS = 1e-7


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """``mean (student - teacher)²`` over all elements (FitNets: Romero et al. 2015, section 2.2).

    The student's features come from a regressor that brings them to the teacher's shape. The paper sums and halves; the
    mean is what the usual weight of 100 belongs to (Tian et al. 2020).

    Args:
        student: (B, ...).
        teacher: the same shape.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's features {tuple(student.shape)} and the teacher's {tuple(teacher.shape)} must have the same "
            "shape: bring the student's there with a regressor"
        )
    return mean_over((at_least_float32(student) - at_least_float32(teacher.detach())).square(), None)


def attention_transfer(student_BCHW: Tensor, teacher_BCHW: Tensor, *, power: float = 2.0) -> Tensor:
    """``mean (a_S - a_T)²``, ``a = m / ||m||₂``, ``m = Σ_c |f_c|^power``: where the activity is.

    Zagoruyko and Komodakis 2017, section 3.1; the mean over examples and places, as in the authors' code, is what the
    usual weight of 1000 belongs to. Channels may differ in number. Where H or W differ the larger attention map is
    averaged to the smaller (the paper: interpolated; Tian et al. 2020 average the features before squaring). A map that
    is zero everywhere has zero attention, and gradient 0 there.

    Args:
        student_BCHW: a map.
        teacher_BCHW: a map of as many examples.
        power: of the activations, at least 1.
    """
    if not power >= 1:  # NaN is refused too
        raise ValueError(f"power must be at least 1, not {power}")
    _check_examples(student_BCHW, teacher_BCHW)
    maps = [_activity(features, power) for features in (student_BCHW, teacher_BCHW.detach())]
    size = common_size(*maps)
    student_BN, teacher_BN = (unit_rows(pooled(activity_BHW, size).flatten(1)) for activity_BHW in maps)
    return mean_over((student_BN - teacher_BN).square(), None)


def _activity(features_BCHW: Tensor, power: float) -> Tensor:
    check_map(features_BCHW)
    features_BCHW = at_least_float32(features_BCHW)
    return (features_BCHW / _scale(features_BCHW, (1, 2, 3))).abs().pow(power).mean(dim=1)


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """``||G_T - G_S||² / B²``, ``G = F Fᵀ`` with its rows brought to length 1: who resembles whom.

    Tung and Mori 2019, section 3.1. An example whose features are all zero resembles nobody: its row is zero. One
    example alone has nothing to be compared with, and the value is 0 (unless its features are zero on one side).

    Args:
        student: (B, ...), flattened.
        teacher: (B, ...), of any other shape.
    """
    _check_examples(student, teacher)
    student_BB, teacher_BB = (_similarities(features) for features in (student, teacher.detach()))
    return mean_over((teacher_BB - student_BB).square(), None)


def _similarities(features: Tensor) -> Tensor:
    features_BD = at_least_float32(features).flatten(1)
    features_BD = features_BD / _scale(features_BD, (0, 1))
    with full_precision(features_BD):
        return unit_rows(features_BD @ features_BD.mT)


def pkt(student: Tensor, teacher: Tensor) -> Tensor:
    """``mean_ij p_ij log((p_ij + ε) / (q_ij + ε))``: probabilistic knowledge transfer.

    p_ij is how likely the teacher's features take example j for a neighbour of i: their cosine, moved to [0, 1], divided by
    its sum over j; q likewise of the student. Passalis and Tefas 2018, "Learning Deep Representations with Probabilistic
    Knowledge Transfer", section 3, with the cosine kernel; the mean over all pairs, an example with itself among them, and
    ε = 1e-7 are those of Tian et al. 2020, to which the usual weight of 30000 belongs. 0 where the cosines are equal.

    Args:
        student: vectors (B, D), or maps (B, C, H, W), which are averaged over their places.
        teacher: as many, of any width.

    Raises:
        ValueError: they are neither, or of unequal numbers of examples.
    """
    _check_examples(student, teacher)
    student_BB, teacher_BB = (_neighbours(features) for features in (student, teacher.detach()))
    ratio_BB = (teacher_BB + PKT_EPS) / (student_BB + PKT_EPS)
    return mean_over(teacher_BB * ratio_BB.log(), None)


def _neighbours(features: Tensor) -> Tensor:
    features_BD = at_least_float32(features)
    if features_BD.dim() != 2:
        check_map(features_BD)
        features_BD = features_BD.mean(dim=(2, 3))
    unit_BD = unit_rows(features_BD)
    with full_precision(unit_BD):
        alike_BB = (unit_BD @ unit_BD.mT + 1) / 2
    return alike_BB / alike_BB.sum(dim=1, keepdim=True)


def rkd_distance(student_BD: Tensor, teacher_BD: Tensor) -> Tensor:
    """Huber loss (δ = 1) between the pairwise distances of both, each divided by its mean: RKD-D.

    Park et al. 2019, section 3.2.1. The mean distance is over the pairs that are apart; the loss is averaged over all
    B² ordered pairs, the B zeros of an example with itself among them, as in the authors' code, to which the usual
    weight of 25 belongs. Pairs at distance 0 (duplicates) get no gradient from their own distance.

    Args:
        student_BD: vectors.
        teacher_BD: as many vectors, of any width.
    """
    _check_vectors(student_BD, teacher_BD)
    student_BB, teacher_BB = (_relative_distances(features) for features in (student_BD, teacher_BD.detach()))
    return mean_over(F.smooth_l1_loss(student_BB, teacher_BB, reduction="none"), None)


def _relative_distances(features_BD: Tensor) -> Tensor:
    features_BD = at_least_float32(features_BD)
    features_BD = features_BD / _scale(features_BD, (0, 1))
    # not by way of the Gram matrix, which forgets small distances
    distances_BB = torch.cdist(features_BD, features_BD, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances_BB.sum() / (distances_BB > 0).sum().clamp(min=1)
    return distances_BB / torch.where(mean > 0, mean, torch.ones_like(mean))


def rkd_angle(student_BD: Tensor, teacher_BD: Tensor) -> Tensor:
    """Huber loss (δ = 1) between the cosines of the angles ijk that any three examples make: RKD-A.

    Park et al. 2019, section 3.2.2; averaged over all B³ ordered triples, repeated examples among them, as in the
    authors' code, to which the usual weight of 50 belongs. An angle with a side of length 0 (duplicates) counts as
    cosine 0. Takes memory for B² D and B³ numbers.

    Args:
        student_BD: vectors.
        teacher_BD: as many vectors, of any width.
    """
    _check_vectors(student_BD, teacher_BD)
    student_BBB, teacher_BBB = (_cosines(features) for features in (student_BD, teacher_BD.detach()))
    return mean_over(F.smooth_l1_loss(student_BBB, teacher_BBB, reduction="none"), None)


def _cosines(features_BD: Tensor) -> Tensor:
    features_BD = at_least_float32(features_BD)
    features_BD = features_BD / _scale(features_BD, (0, 1))
    sides_BBD = unit_rows(features_BD.unsqueeze(0) - features_BD.unsqueeze(1))
    with full_precision(sides_BBD):
        return sides_BBD @ sides_BBD.mT


def review_hcl(student_BCHW: Tensor, teacher_BCHW: Tensor, *, levels: Sequence[int] = (4, 2, 1)) -> Tensor:
    """The hierarchical context loss: mean squared differences of the maps and of their averages over ever larger parts.

    ``(MSE + ½ MSE₄ + ¼ MSE₂ + ⅛ MSE₁) / (1 + ½ + ¼ + ⅛)``, where ``MSE_l`` is between the maps averaged to l x l (Chen
    et al. 2021, section 3.3; weights from the authors' code). Levels that are not smaller than the map are left out,
    and the weights go on halving from one level to the next that is used.

    Args:
        student_BCHW: a fused map of the student, of the teacher's shape.
        teacher_BCHW: the teacher's map.
        levels: sides of the averaged maps, from large to small.
    """
    check_map(teacher_BCHW)
    student_BCHW, teacher_BCHW = at_least_float32(student_BCHW), at_least_float32(teacher_BCHW.detach())
    total = hint(student_BCHW, teacher_BCHW)
    weight = weights = 1.0
    for level in levels:
        if level < min(teacher_BCHW.shape[2:]):
            weight /= 2
            weights += weight
            size = (level, level)
            total = total + weight * hint(pooled(student_BCHW, size), pooled(teacher_BCHW, size))
    return total / weights


def contrastive(
    positive_B: Tensor,
    negatives_BM: Tensor,
    *,
    log_noise: Tensor | float,
    temperature: float = 0.07,
    times_BM: Tensor | None = None,
) -> Tensor:
    """Noise-contrastive estimation: ``-log h(positive) - Σ_m times_m log (1 - h(negative_m))``, mean over examples.

    ``h(s) = exp(s / T) / (exp(s / T) + noise)`` is the chance that a pair of similarity s belongs together (CRD: Tian et
    al. 2020, section 3). With K negatives drawn evenly from N examples, noise is K / N in the paper, and
    Z K / N in the authors' code and here, where ``exp(s / T) / Z`` is a probability over the N.

    Args:
        positive_B: similarity of each example with its other self.
        negatives_BM: its similarity with others.
        log_noise: log of the noise's weight.
        temperature: T, above 0.
        times_BM: how often each of the others was drawn; None: once.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    belongs_B = at_least_float32(positive_B) / temperature - log_noise
    apart_BM = -F.logsigmoid(log_noise - at_least_float32(negatives_BM) / temperature)
    if times_BM is not None:
        apart_BM = apart_BM * times_BM
    return mean_over(apart_BM.sum(dim=1) - F.logsigmoid(belongs_B), None)


# ------------------------------------------------------------------------------------------------------- parts


def unit_rows(vectors: Tensor) -> Tensor:
    """Vectors (..., D) divided by their length, at least float32; a zero vector stays zero and has a finite gradient."""
    vectors = at_least_float32(vectors)
    largest = _largest(vectors, (-1,))
    vectors = vectors / _power_of_two(largest)
    # a zero vector is divided by 1: by a small ε its gradient would be a million millions
    squares = vectors.square().sum(dim=-1, keepdim=True) + _vanishes(largest)
    return vectors / squares.sqrt()


def pooled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (..., H, W) averaged to ``size``; themselves where they have it."""
    height, width = maps.shape[-2:]
    if (height, width) == size:
        return maps
    if height % size[0] or width % size[1]:
        return F.adaptive_avg_pool2d(maps, size)
    # the same, but its gradient on a GPU does not depend on the order of additions
    return F.avg_pool2d(maps, (height // size[0], width // size[1]))


def common_size(student_maps: Tensor, teacher_maps: Tensor) -> tuple[int, int]:
    """The smaller height and the smaller width of two maps (..., H, W)."""
    (height, width), (other_height, other_width) = student_maps.shape[-2:], teacher_maps.shape[-2:]
    return min(height, other_height), min(width, other_width)


def check_map(features: Tensor) -> None:
    """Raises ``ValueError`` unless features are (B, C, H, W)."""
    if features.dim() != 4:
        raise ValueError(
            f"features of shape {tuple(features.shape)} are no map: (B, C, H, W) is needed, such as the output of a "
            "convolutional stage"
        )


def _check_examples(student: Tensor, teacher: Tensor) -> None:
    if student.dim() < 2 or teacher.dim() < 2 or len(student) != len(teacher):
        raise ValueError(
            f"the student's features {tuple(student.shape)} and the teacher's {tuple(teacher.shape)} must be (B, ...) of "
            "the same examples"
        )


def _check_vectors(student: Tensor, teacher: Tensor) -> None:
    _check_examples(student, teacher)
    if student.dim() != 2 or teacher.dim() != 2:
        raise ValueError(
            f"the student's features {tuple(student.shape)} and the teacher's {tuple(teacher.shape)} must be vectors "
            "(B, D): average maps over their places first (maps.mean((2, 3)))"
        )


def _scale(features: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A power of two near the largest size along ``dims``; without gradient, since nothing may depend on it."""
    return _power_of_two(_largest(features, dims))


def _largest(features: Tensor, dims: tuple[int, ...]) -> Tensor:
    if not features.numel():
        return features.new_zeros(())
    return features.detach().abs().amax(dim=dims, keepdim=True)


def _vanishes(largest: Tensor) -> Tensor:
    # below 1e-19 in float32: a gradient divided by so little might overflow
    return largest < torch.finfo(largest.dtype).tiny ** 0.5


def _power_of_two(largest: Tensor) -> Tensor:
    mantissa, _ = torch.frexp(largest)
    return torch.where(_vanishes(largest), torch.ones_like(largest), largest / (2 * mantissa))
