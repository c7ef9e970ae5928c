"""How closely a student follows its teacher (Stanton et al. 2021): not the same as being right."""

from __future__ import annotations

from torch import Tensor

from .metrics import correct, log_probabilities


def fidelity(student_logits_NC: Tensor, teacher_logits_NC: Tensor, labels_N: Tensor) -> dict[str, float | None]:
    """Top-1 ``agreement`` (fraction), also where the teacher is right and where it is wrong, and mean ``kl``.

    ``kl`` is KL(teacher || student) at temperature 1 in nats, float64; exactly 0 for equal logits. Logits of
    -inf are taken as :mod:`limbeck.evaluation.metrics` says, so it is finite.
    ``agreement_where_teacher_wrong`` and ``agreement_where_teacher_right`` are None where there is no such
    example.
    """
    if student_logits_NC.shape != teacher_logits_NC.shape:
        shapes = f"{tuple(student_logits_NC.shape)} and {tuple(teacher_logits_NC.shape)}"
        raise ValueError(f"student's and teacher's logits differ in shape: {shapes}")
    student_NC = log_probabilities(student_logits_NC, labels_N)
    teacher_NC = log_probabilities(teacher_logits_NC, labels_N)
    kl_N = (teacher_NC.exp() * (teacher_NC - student_NC)).sum(dim=1)
    agree_N = student_logits_NC.argmax(dim=1).cpu() == teacher_logits_NC.argmax(dim=1).cpu()
    right_N = correct(teacher_logits_NC, labels_N).bool()
    return {
        "agreement": agree_N.double().mean().item(),
        "kl": kl_N.mean().item(),
        "agreement_where_teacher_wrong": _mean_or_none(agree_N[~right_N]),
        "agreement_where_teacher_right": _mean_or_none(agree_N[right_N]),
    }


def _mean_or_none(flags_N: Tensor) -> float | None:
    return flags_N.double().mean().item() if len(flags_N) else None
