"""Time and memory of each objective on logits, beside the same formula written naively in PyTorch.

    python benchmarks/objectives.py                                   # 8192 x 32,000, float32, CPU: some 12 GB of memory
    python benchmarks/objectives.py --device cuda --dtype bfloat16
    python benchmarks/objectives.py --rows 64 --classes 1000 --only kd jsd

Value and gradient with respect to the student's logits; the teacher's require none. Both forms take turns in every round,
turned round every other time, in one process; ratios are of the same round, by wall time and by CPU time of the process
(which other work on the machine disturbs less). Before that each is run once, and their values and gradients must agree.
Up to 4 million logits ours is one pass, as the naive form is; only beyond that does it go a few rows at a time. Where the
tensors fit the processor's cache, or the memory allocator keeps them (glibc: up to 32 MB), the naive form is at its best.

Memory is what a call holds at its peak beyond what was there before it, in units of the logits' size, the gradient that
it leaves behind included, as the allocator reports it (`peak_bytes` in common.py says how).

The naive forms are what the formula says, in whole tensors, with log-softmax where a logarithm is needed, in float32.
Labels are given where the formula needs them; that they may leave positions out costs ours a look at them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from common import Timed, peak_bytes, print_conditions, print_table, seconds, spread
from torch import Tensor

from limbeck.objectives import functional

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]  # student (N, C), teacher (N, C), labels (N,) -> scalar


def kl(log_p_NC: Tensor, log_q_NC: Tensor) -> Tensor:
    return (log_p_NC.exp() * (log_p_NC - log_q_NC)).sum(dim=1)


def naive_kd(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, T: float = 4.0) -> Tensor:
    log_q_NC, log_p_NC = F.log_softmax(s_NC / T, dim=1), F.log_softmax(t_NC / T, dim=1)
    return F.kl_div(log_q_NC, log_p_NC, log_target=True, reduction="batchmean") * T**2


def naive_cross_entropy(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor) -> Tensor:
    return F.cross_entropy(s_NC, labels_N)


def naive_dkd(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, T: float = 4.0, a: float = 1.0, b: float = 8.0) -> Tensor:
    here_NC = F.one_hot(labels_N, s_NC.shape[1]).bool()
    q_NC, p_NC = F.softmax(s_NC / T, dim=1), F.softmax(t_NC / T, dim=1)
    both = []
    for x_NC in (p_NC, q_NC):
        target_N = (x_NC * here_NC).sum(dim=1)
        both.append(torch.stack([target_N, 1 - target_N], dim=1).log())
    others = [F.log_softmax(x_NC / T - 1000 * here_NC, dim=1) for x_NC in (t_NC, s_NC)]
    return T**2 * (a * kl(*both) + b * kl(*others)).mean()


def naive_nkd(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, T: float = 1.0, g: float = 1.5) -> Tensor:
    here_NC = F.one_hot(labels_N, s_NC.shape[1]).bool()
    p_N = F.softmax(t_NC, dim=1).gather(1, labels_N[:, None])
    log_q_N = F.log_softmax(s_NC, dim=1).gather(1, labels_N[:, None])
    others_p_NC, others_q_NC = (F.log_softmax(x_NC / T - 1000 * here_NC, dim=1) for x_NC in (t_NC, s_NC))
    return -(p_N * log_q_N).mean() - g * T**2 * (others_p_NC.exp() * others_q_NC).sum(dim=1).mean()


def pearson(x_NC: Tensor, y_NC: Tensor, dim: int) -> Tensor:
    x_NC, y_NC = x_NC - x_NC.mean(dim, keepdim=True), y_NC - y_NC.mean(dim, keepdim=True)
    return (x_NC * y_NC).sum(dim) / (x_NC.norm(dim=dim) * y_NC.norm(dim=dim) + 1e-8)


def naive_dist(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, T: float = 4.0) -> Tensor:
    q_NC, p_NC = F.softmax(s_NC / T, dim=1), F.softmax(t_NC / T, dim=1)
    return T**2 * ((1 - pearson(q_NC, p_NC, 1)).mean() + (1 - pearson(q_NC, p_NC, 0)).mean())


def naive_standardized_kd(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, T: float = 2.0) -> Tensor:
    s_NC, t_NC = ((x - x.mean(1, keepdim=True)) / (1e-7 + x.std(1, keepdim=True)) for x in (s_NC, t_NC))
    return naive_kd(s_NC, t_NC, labels_N, T)


def naive_ttm(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, g: float = 0.1) -> Tensor:
    p_NC = F.softmax(t_NC, dim=1) ** g
    p_NC = p_NC / p_NC.sum(dim=1, keepdim=True)
    return F.kl_div(F.log_softmax(s_NC, dim=1), p_NC, reduction="batchmean")


def naive_wttm(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, g: float = 0.1) -> Tensor:
    p_NC = F.softmax(t_NC, dim=1) ** g
    weight_N = p_NC.sum(dim=1)
    p_NC = p_NC / weight_N[:, None]
    return (weight_N * F.kl_div(F.log_softmax(s_NC, dim=1), p_NC, reduction="none").sum(dim=1)).mean()


def naive_mse_logits(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor) -> Tensor:
    return F.mse_loss(s_NC - s_NC.mean(1, keepdim=True), t_NC - t_NC.mean(1, keepdim=True))


def naive_forward_kl(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor) -> Tensor:
    log_q_NC, log_p_NC = F.log_softmax(s_NC, dim=1), F.log_softmax(t_NC, dim=1)
    return F.kl_div(log_q_NC, log_p_NC, log_target=True, reduction="batchmean")


def naive_reverse_kl(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor) -> Tensor:
    log_q_NC, log_p_NC = F.log_softmax(s_NC, dim=1), F.log_softmax(t_NC, dim=1)
    return F.kl_div(log_p_NC, log_q_NC, log_target=True, reduction="batchmean")


def naive_jsd(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, b: float = 0.5) -> Tensor:
    q_NC, p_NC = F.softmax(s_NC, dim=1), F.softmax(t_NC, dim=1)
    log_m_NC = (b * p_NC + (1 - b) * q_NC).log()
    teachers = (p_NC * (F.log_softmax(t_NC, dim=1) - log_m_NC)).sum(dim=1)
    students = (q_NC * (F.log_softmax(s_NC, dim=1) - log_m_NC)).sum(dim=1)
    return (b * teachers + (1 - b) * students).mean()


def naive_skew_forward_kl(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, skew: float = 0.1) -> Tensor:
    q_NC, p_NC = F.softmax(s_NC, dim=1), F.softmax(t_NC, dim=1)
    mixture_NC = skew * p_NC + (1 - skew) * q_NC
    return (p_NC * (F.log_softmax(t_NC, dim=1) - mixture_NC.log())).sum(dim=1).mean()


def naive_skew_reverse_kl(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, skew: float = 0.1) -> Tensor:
    q_NC, p_NC = F.softmax(s_NC, dim=1), F.softmax(t_NC, dim=1)
    mixture_NC = (1 - skew) * p_NC + skew * q_NC
    return (q_NC * (F.log_softmax(s_NC, dim=1) - mixture_NC.log())).sum(dim=1).mean()


def naive_total_variation(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor) -> Tensor:
    return 0.5 * (F.softmax(s_NC, dim=1) - F.softmax(t_NC, dim=1)).abs().sum(dim=1).mean()


def naive_alpha_beta(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, a: float = 0.2, b: float = 0.7) -> Tensor:
    q_NC, p_NC = F.softmax(s_NC, dim=1), F.softmax(t_NC, dim=1)
    terms_NC = p_NC**a * q_NC**b - a / (a + b) * p_NC ** (a + b) - b / (a + b) * q_NC ** (a + b)
    return -terms_NC.sum(dim=1).mean() / (a * b)


def naive_adaptive_kl(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, mu: float = 0.5) -> Tensor:
    log_q_NC, log_p_NC = F.log_softmax(s_NC, dim=1), F.log_softmax(t_NC, dim=1)
    q_NC, p_NC = log_q_NC.exp(), log_p_NC.exp()
    sorted_NC, order_NC = p_NC.sort(dim=1, descending=True)
    in_head_NC = sorted_NC.cumsum(dim=1) <= mu
    in_head_NC[:, 0] = True
    head_NC = torch.zeros_like(in_head_NC).scatter(1, order_NC, in_head_NC)
    gap_NC = (p_NC - q_NC).abs().detach()
    head_N, tail_N = (gap_NC * head_NC).sum(dim=1), (gap_NC * ~head_NC).sum(dim=1)
    return ((head_N * kl(log_p_NC, log_q_NC) + tail_N * kl(log_q_NC, log_p_NC)) / (head_N + tail_N)).mean()


def naive_taid(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, t: float = 0.5) -> Tensor:
    log_target_NC = F.log_softmax((1 - t) * s_NC.detach() + t * t_NC, dim=1)
    return F.kl_div(F.log_softmax(s_NC, dim=1), log_target_NC, log_target=True, reduction="batchmean")


def naive_uld(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor) -> Tensor:
    q_NC, p_NC = (F.softmax(x_NC, dim=1).sort(dim=1, descending=True).values for x_NC in (s_NC, t_NC))
    return (q_NC - p_NC).abs().sum(dim=1).mean()


def naive_policy_kl(s_NC: Tensor, t_NC: Tensor, labels_N: Tensor, tau: float = 0.5) -> Tensor:
    log_q_NC, log_p_NC = F.log_softmax(s_NC, dim=1), F.log_softmax(t_NC / tau, dim=1)
    return F.kl_div(log_q_NC, log_p_NC, log_target=True, reduction="batchmean")


NAIVE: dict[str, tuple[Objective, dict[str, float]]] = {  # with the settings that ours has to be given
    "cross_entropy": (naive_cross_entropy, {}),
    "kd": (naive_kd, {"temperature": 4.0}),
    "dkd": (naive_dkd, {"temperature": 4.0, "alpha": 1.0, "beta": 8.0}),
    "nkd": (naive_nkd, {"temperature": 1.0, "gamma": 1.5}),
    "dist": (naive_dist, {"temperature": 4.0}),
    "standardized_kd": (naive_standardized_kd, {"temperature": 2.0}),
    "ttm": (naive_ttm, {"gamma": 0.1}),
    "wttm": (naive_wttm, {"gamma": 0.1}),
    "mse_logits": (naive_mse_logits, {}),
    "forward_kl": (naive_forward_kl, {}),
    "reverse_kl": (naive_reverse_kl, {}),
    "jsd": (naive_jsd, {"beta": 0.5}),
    "skew_forward_kl": (naive_skew_forward_kl, {"skew": 0.1}),
    "skew_reverse_kl": (naive_skew_reverse_kl, {"skew": 0.1}),
    "alpha_beta": (naive_alpha_beta, {"alpha": 0.2, "beta": 0.7}),
    "adaptive_kl": (naive_adaptive_kl, {"mu": 0.5}),
    "total_variation": (naive_total_variation, {}),
    "taid": (naive_taid, {"t": 0.5}),
    "uld": (naive_uld, {}),
    "policy_kl": (naive_policy_kl, {"teacher_temperature": 0.5}),
}


def naively(name: str, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    return NAIVE[name][0](student.float(), teacher.float(), labels)


def ours(name: str, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    # where labels only say what counts, neither form is given any
    needed = {"labels": labels} if name in ("cross_entropy", "dkd", "nkd") else {}
    return getattr(functional, name)(student, teacher, **needed, **NAIVE[name][1])


def with_gradient(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Value; the gradient is left in ``student.grad``."""
    student.grad = None
    value = objective(student, teacher, labels)
    value.backward()
    return value.detach()


def check_agreement(name: str, student: Tensor, teacher: Tensor, labels: Tensor) -> None:
    """Raises ``SystemExit`` where the two forms do not compute the same."""
    value, expected = [], []
    for objective, found in ((ours, value), (naively, expected)):
        found += [with_gradient(partial(objective, name), student, teacher, labels).float(), student.grad]
    tolerance = 1e-3 if student.dtype == torch.float32 else 2e-2
    kinks = 10 * tolerance  # a gradient may change its sign where |p - q| is down to rounding
    off = ((value[1] - expected[1]).float().norm() / expected[1].float().norm()).item()
    if abs(value[0] - expected[0]) > tolerance * abs(expected[0]) or off > kinks:
        raise SystemExit(
            f"{name}: the two forms differ: {value[0]:.6g} and {expected[0]:.6g}, gradients by {off:.2g} of their size"
        )


def measure(name: str, logits: Sequence[Tensor], rounds: int) -> list[object]:
    """One row of the table."""
    student, teacher, labels = logits
    device = student.device
    check_agreement(name, student, teacher, labels)
    calls = {form: partial(with_gradient, partial(of, name), student, teacher, labels) for form, of in FORMS.items()}
    times: dict[str, list[Timed]] = {form: [] for form in calls}
    for number in range(rounds):
        for form in list(calls) if number % 2 == 0 else list(calls)[::-1]:
            times[form].append(seconds(calls[form], device))
    pairs = list(zip(times["ours"], times["naive"], strict=True))
    wall, cpu = ([own[k] / naive[k] for own, naive in pairs] for k in (0, 1))
    size = student.numel() * student.element_size()
    peaks = []
    for call in calls.values():
        student.grad = None
        peaks.append(peak_bytes(call, device) / size)
    naive_seconds, our_seconds = (statistics.median(one[0] for one in times[form]) for form in calls)
    return [
        f"`{name}`",
        f"{1000 * naive_seconds:.1f}",
        f"{1000 * our_seconds:.1f}",
        spread(wall, 2),
        f"{statistics.median(cpu):.2f}",
        *(f"{peak:.2f}" for peak in peaks),
    ]


FORMS = {"naive": naively, "ours": ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--classes", type=int, default=32_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="CPU threads; torch decides otherwise")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--only", nargs="+", choices=tuple(NAIVE), default=list(NAIVE), metavar="NAME")
    asked = parser.parse_args()
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    began = time.monotonic()
    generator = torch.Generator().manual_seed(0)
    dtype, device = getattr(torch, asked.dtype), torch.device(asked.device)
    student, teacher = (
        (2 * torch.randn(asked.rows, asked.classes, generator=generator)).to(device, dtype) for _ in range(2)
    )
    labels = torch.randint(asked.classes, (asked.rows,), generator=generator).to(device)
    student.requires_grad_(True)
    print(f"({asked.rows} x {asked.classes:,}) {asked.dtype} on {_named(device)}\n")
    columns = ["function", "naive, ms", "ours, ms", "ours / naive by wall: min - median - max", "by CPU: median"]
    columns += ["naive: peak extra memory, of the logits' size", "ours"]
    print_table(columns, [])
    for name in asked.only:
        row = measure(name, (student, teacher, labels), asked.rounds)
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    print_conditions(f"0; {asked.rounds} rounds", began)


def _named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"


if __name__ == "__main__":
    main()
